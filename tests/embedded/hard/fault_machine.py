"""The feature store against a simple model of it: whatever is done, in whatever order, both hold the same rows.

Runs in a client process (the test restarts the server when the machine has killed it). Two groups see the same writes:
one whose table the client writes itself, and one with stream, whose rows go through the broker to both stores.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import fault_client
import hypothesis.strategies as st
import pandas as pd
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

_KEYS = st.lists(st.integers(0, 7), min_size=1, max_size=5, unique=True)
_VALUES = st.one_of(st.floats(-1e6, 1e6), st.just(0.0), st.just(-0.5), st.just(1e300))
_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8)
_START_SECONDS = 30.0

_numbers = iter(range(1, 10**6))


class FeatureStore(RuleBasedStateMachine):
    """Upserts, deletes, overwrites, time travel and kills of the server, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self._project = fault_client._login()
        self._store = self._project.get_feature_store()

    @initialize()
    def create(self) -> None:
        """Make the two groups."""
        number = next(_numbers)
        self._direct = fault_client._create(self._project, f"direct_{number}")
        self._stream = fault_client._create(self._project, f"stream_{number}", online_enabled=True, stream=True)
        for group in (self._direct, self._stream):
            group.save(fault_client.hsfs_features())
        self._rows: dict[str, dict[int, tuple[Any, ...]]] = {"direct": {}, "stream": {}}
        self._history: list[tuple[int, dict[int, tuple[Any, ...]]]] = []

    @rule(keys=_KEYS, value=_VALUES, name=_NAMES)
    def upsert(self, keys: list[int], value: float, name: str) -> None:
        """Bring rows into both groups."""
        frame = self._frame(keys, value, name)
        self._direct.insert(frame, wait=True)
        self._stream.insert(frame, wait=True)
        new = {key: (f"2024-01-0{key + 1}", value, name) for key in keys}
        for rows in self._rows.values():
            rows.update(new)
        self._remember()

    @rule(keys=_KEYS)
    def delete(self, keys: list[int]) -> None:
        """Remove rows from the group that the client writes itself."""
        self._direct.commit_delete_record(self._frame(keys, 0.0, ""))
        for key in keys:
            self._rows["direct"].pop(key, None)
        self._remember()

    @rule(keys=_KEYS, value=_VALUES)
    def overwrite(self, keys: list[int], value: float) -> None:
        """Replace all rows of the group that the client writes itself."""
        self._direct.insert(self._frame(keys, value, "over"), overwrite=True, wait=True)
        self._rows["direct"] = {key: (f"2024-01-0{key + 1}", value, "over") for key in keys}
        self._history.clear()  # an overwrite begins the table anew
        self._remember()

    @rule(which=st.integers(0, 100))
    def travel(self, which: int) -> None:
        """Read as of an earlier commit."""
        if self._history:
            moment, rows = self._history[which % len(self._history)]
            frame = self._direct.as_of(moment).read(dataframe_type="pandas")
            assert self._seen(frame) == rows, f"as of {moment}"

    @rule()
    def kill(self) -> None:
        """Kill the server; the test starts another one."""
        place = Path(os.environ["FAULT_HOME"]) / "server.json"
        pid = json.loads(place.read_text())["pid"]
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                if json.loads(place.read_text())["pid"] != pid:
                    return
            except (OSError, ValueError):
                pass
            fault_client._real_sleep(0.05)
        raise AssertionError("no other server came up")

    @invariant()
    def same_rows(self) -> None:
        """Compare every store with the model."""
        if not hasattr(self, "_rows"):
            return
        assert self._seen(self._direct.read(dataframe_type="pandas")) == self._rows["direct"], "direct"
        for online in (False, True):
            frame = self._read(self._stream, online)
            assert self._seen(frame) == self._rows["stream"], f"stream, online={online}"

    def _read(self, group: Any, online: bool) -> pd.DataFrame:
        """Read, once more if need be: the pooled connection to the online store does not outlive a killed server."""
        try:
            return group.read(online=online, dataframe_type="pandas")
        except Exception:
            return group.read(online=online, dataframe_type="pandas")

    def _frame(self, keys: list[int], value: float, name: str) -> pd.DataFrame:
        at = pd.to_datetime([f"2024-01-0{key + 1}" for key in keys])
        return pd.DataFrame({"cell": keys, "at": at, "value": [value] * len(keys), "name": [name] * len(keys)})

    def _seen(self, frame: pd.DataFrame) -> dict[int, tuple[Any, ...]]:
        columns = [frame[name].tolist() for name in ("cell", "at", "value", "name")]
        rows = {
            int(cell): (str(at)[:10], float(value), str(name)) for cell, at, value, name in zip(*columns, strict=True)
        }
        assert len(rows) == len(frame), "a key is there once"
        return rows

    def _remember(self) -> None:
        commits = self._direct.commit_details(limit=1)
        if commits:
            self._history.append((max(commits), dict(self._rows["direct"])))


def run(examples: int, steps: int, seed: int) -> None:
    """Run the machine."""
    import hypothesis

    options = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=False,
    )
    machine = hypothesis.seed(seed)(FeatureStore)
    run_state_machine_as_test(machine, settings=options)  # type: ignore[no-untyped-call]
