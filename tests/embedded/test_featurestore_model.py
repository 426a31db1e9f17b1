"""A feature group beside a model in memory: any sequence of writes gives the same rows, now and at every commit."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

EXAMPLES = int(os.environ.get("DEEPCUBE_CASES", "30")) // 10
START = pd.Timestamp("2024-01-01")
_numbers = itertools.count()

Key = tuple[int, int]
rows = st.dictionaries(
    st.tuples(st.integers(0, 4), st.integers(0, 2)), st.one_of(st.none(), st.floats(-9, 9)), min_size=1, max_size=6
)


def frame(content: dict[Key, float | None]) -> pd.DataFrame:
    keys = list(content)
    return pd.DataFrame(
        {
            "k": pd.Series([k for k, _ in keys], dtype="int64"),
            "at": pd.Series([START + pd.Timedelta(hours=h) for _, h in keys]).astype("datetime64[us]"),
            "v": pd.Series(list(content.values()), dtype="float64"),
        }
    )


class Machine(RuleBasedStateMachine):
    """Writes through the client; remembers what must be there."""

    store: Any

    @initialize(first=rows)
    def make(self, first: dict[Key, float | None]) -> None:
        name = f"model_{next(_numbers)}"
        self.group = self.store.create_feature_group(
            name, version=1, primary_key=["k"], event_time="at", time_travel_format="DELTA", statistics_config=False
        )
        self.now: dict[Key, float | None] = {}
        self.past: dict[int, dict[Key, float | None]] = {}
        self.upsert(first)

    def remember(self) -> None:
        self.past[max(self.group.commit_details(limit=1))] = dict(self.now)
        time.sleep(0.005)  # commits are told apart by milliseconds

    @rule(content=rows)
    def upsert(self, content: dict[Key, float | None]) -> None:
        self.group.insert(frame(content))
        self.now |= content
        self.remember()

    @rule(content=rows)
    def delete(self, content: dict[Key, float | None]) -> None:
        doomed = {key for key in content if key in self.now}
        self.group.commit_delete_record(frame(content))
        self.now = {key: value for key, value in self.now.items() if key not in doomed}
        if doomed:
            self.remember()

    @rule(content=rows)
    def overwrite(self, content: dict[Key, float | None]) -> None:
        self.group.insert(frame(content), overwrite=True)
        self.now, self.past = dict(content), {}
        self.remember()

    def seen(self, found: pd.DataFrame) -> dict[Key, float | None]:
        hours = ((found["at"] - START) / pd.Timedelta(hours=1)).astype(int)
        values = [None if pd.isna(value) else value for value in found["v"]]
        keys = list(zip(found["k"].tolist(), hours.tolist(), strict=True))
        assert len(set(keys)) == len(keys)
        return dict(zip(keys, values, strict=True))

    @invariant()
    def rows_are_those_of_the_model(self) -> None:
        if hasattr(self, "group"):
            assert self.seen(self.group.read()) == self.now

    @rule(data=st.data())
    def the_past_is_as_it_was(self, data: st.DataObject) -> None:
        moment = data.draw(st.sampled_from(sorted(self.past)))
        assert self.seen(self.group.as_of(moment).read()) == self.past[moment]
        changed = self.seen(self.group.as_of(exclude_until=moment).read())
        assert all(self.now[key] == value for key, value in changed.items())
        assert {key for key in self.now if self.now[key] != self.past[moment].get(key, object())} <= set(changed)


@pytest.mark.filterwarnings("ignore")
def test_any_sequence_of_writes_is_that_of_the_model(project: Any) -> None:
    Machine.store = project.get_feature_store()
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    profile = settings(max_examples=EXAMPLES, stateful_step_count=8, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(Machine, settings=profile)
