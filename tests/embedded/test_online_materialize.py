"""From the topic to the Delta table: every record once, whatever is interrupted, beside a model."""

from __future__ import annotations

import shutil
import tempfile
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from time import monotonic, sleep

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from online_tools import Sender, bare_platform, first_project, make_group

from deepcube.embedded.errors import EmbeddedError
from deepcube.embedded.online import materialize as module
from deepcube.embedded.online.database import ProjectDatabase
from deepcube.embedded.online.errors import OnlineError
from deepcube.embedded.online.materialize import Materializer, run_job
from deepcube.embedded.online.store import OnlineStore
from deepcube.embedded.store.commits import KIND as COMMIT
from deepcube.embedded.store.group_changes import clear_group, update_group
from deepcube.embedded.store.groups import delta_location


class Killed(BaseException):
    """Stands for the end of the process: nothing after it is done."""


def table_rows(platform, group):
    place = delta_location(platform, first_project(platform), group)
    if not (place / "_delta_log").exists():
        return []
    return DeltaTable(place).to_pyarrow_table().to_pylist()


def materialize(platform, group):
    return Materializer(platform).materialize(first_project(platform), group.id)


keys, times = st.integers(0, 4), st.integers(0, 3)
rows = st.lists(st.tuples(keys, times, st.integers(-5, 5)), min_size=1, max_size=6)


class MaterializationMachine(RuleBasedStateMachine):
    """The offline table beside a dictionary by key and event time; records that wait beside a list."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.waiting: list[tuple[str, tuple[int, int, int]]] = []
        self.model: dict[tuple[int, int], int] = {}

    @initialize()
    def open(self) -> None:
        self.context = bare_platform(self.folder)
        self.platform = self.context.__enter__()
        features = {"id": "bigint", "ts": "timestamp", "v": "int"}
        self.group = make_group(self.platform, features, ["id"], event_time="ts", stream=True)
        self.sender = Sender(self.platform, self.group)

    @rule(sent=rows)
    def upsert(self, sent) -> None:
        self.sender.send([{"id": k, "ts": t, "v": v} for k, t, v in sent])
        self.waiting += [("upsert", row) for row in sent]

    @rule(gone=st.lists(keys, min_size=1, max_size=3))
    def delete(self, gone) -> None:
        self.sender.send([{"id": key} for key in gone], operation=b"delete", storage=b"online")
        self.waiting += [("delete", (key, 0, 0)) for key in gone]

    def written(self) -> None:
        pending: dict[tuple[int, int], int] = {}
        for kind, (key, time, value) in self.waiting:
            if kind == "delete":
                pending = {place: kept for place, kept in pending.items() if place[0] != key}
            else:
                pending[key, time] = value
        self.model.update(pending)
        self.waiting.clear()

    @rule()
    def run_the_job(self) -> None:
        materialize(self.platform, self.group)
        self.written()

    @rule(where=st.sampled_from(["before", "after commit"]))
    def killed_in_the_job(self, where) -> None:
        waiting = bool(self.waiting)
        with pytest.MonkeyPatch.context() as patch:

            def die(*_: object, **__: object) -> None:
                raise Killed

            patch.setattr(module if where == "before" else ProjectDatabase, _step(where), die)
            if waiting:
                with pytest.raises(Killed):
                    materialize(self.platform, self.group)
        if where == "after commit":
            self.restart()
            materialize(self.platform, self.group)
            self.written()

    @rule()
    def restart(self) -> None:
        self.context.__exit__(None, None, None)
        self.context = bare_platform(self.folder)
        self.platform = self.context.__enter__()
        found = self.platform.catalog.get(self.group.id)
        assert found is not None
        self.group = found
        self.sender = Sender(self.platform, self.group)

    @rule()
    def clear(self) -> None:
        clear_group(self.platform, self.group)
        self.model.clear()
        self.waiting.clear()

    @invariant()
    def the_table_is_the_model(self) -> None:
        if hasattr(self, "sender"):
            found = sorted((row["id"], row["ts"], row["v"]) for row in table_rows(self.platform, self.group))
            epoch = datetime(1970, 1, 1)
            assert found == sorted((k, epoch.replace(microsecond=t), v) for (k, t), v in self.model.items())

    def teardown(self) -> None:
        self.context.__exit__(None, None, None)
        shutil.rmtree(self.folder)


def _step(where: str) -> str:
    return "delta_table" if where == "before" else "shorten_log"


TestMaterialization = MaterializationMachine.TestCase
TestMaterialization.settings = settings(max_examples=8, stateful_step_count=12, deadline=None)


@pytest.fixture
def platform(tmp_path):
    with bare_platform(tmp_path) as opened:
        yield opened


FEATURES = {
    "id": "bigint",
    "ts": "timestamp",
    "day": "date",
    "n": "decimal(12,3)",
    "flag": "boolean",
    "raw": "binary",
    "text": "string",
    "small": "tinyint",
    "x": "array<double>",
    "s": "struct<a:int,b:string>",
    "m": "map<string,bigint>",
}
ROW = {
    "id": 1,
    "ts": 1_700_000_000_123_456,
    "day": 19_000,
    "n": Decimal("12.345"),
    "flag": True,
    "raw": b"\x00\xff",
    "text": "ü",
    "small": -3,
    "x": [1.5, None, 2.5],
    "s": {"a": 7, "b": None},
    "m": {"k": 9},
}


def test_values_of_every_type_reach_the_table(platform):
    group = make_group(platform, FEATURES, ["id"], event_time="ts", stream=True)
    sender = Sender(platform, group)
    sender.send([ROW, {**dict.fromkeys(FEATURES), "id": 2, "ts": 5}])
    assert materialize(platform, group) == 2
    first, second = sorted(table_rows(platform, group), key=lambda row: row["id"])
    expected = {**ROW, "ts": datetime(2023, 11, 14, 22, 13, 20, 123456), "day": date(2022, 1, 8), "m": [("k", 9)]}
    assert first == expected
    assert {name: value for name, value in second.items() if value is not None} == {
        "id": 2,
        "ts": datetime(1970, 1, 1, 0, 0, 0, 5),
    }
    table = DeltaTable(delta_location(platform, first_project(platform), group))
    assert table.schema().to_arrow() is not None and table.metadata().configuration["delta.enableChangeDataFeed"]


def test_rows_without_an_event_time_are_not_doubled(platform):
    group = make_group(platform, {"id": "int", "ts": "timestamp", "v": "int"}, ["id"], event_time="ts", stream=True)
    sender = Sender(platform, group)
    for value in (1, 2):
        sender.send([{"id": 1, "ts": None, "v": value}])
        materialize(platform, group)
    assert table_rows(platform, group) == [{"id": 1, "ts": None, "v": 2}]


def test_without_a_primary_key_every_row_is_kept(platform):
    group = make_group(platform, {"v": "int"}, [], stream=True, online=False)
    sender = Sender(platform, group)
    sender.send([{"v": 1}, {"v": 1}])
    materialize(platform, group)
    sender.send([{"v": 1}])
    materialize(platform, group)
    assert [row["v"] for row in table_rows(platform, group)] == [1, 1, 1]


def test_records_for_the_online_store_alone_are_not_written(platform):
    group = make_group(platform, {"id": "int"}, ["id"], stream=True)
    sender = Sender(platform, group)
    sender.send([{"id": 1}], storage=b"online")
    sender.send([{"id": 2}], storage=b"offline")
    assert materialize(platform, group) == 1
    assert table_rows(platform, group) == [{"id": 2}]
    assert sender.rows() == [(1,)]


def test_features_appended_between_records(platform):
    group = make_group(platform, {"id": "int"}, ["id"], stream=True)
    old = Sender(platform, group)
    old.send([{"id": 1}])
    materialize(platform, group)
    group = update_group(platform, group, {"features": [*group.body["features"], {"name": "w", "type": "string"}]})
    old.send([{"id": 2}])
    Sender(platform, group).send([{"id": 3, "w": "x"}])
    materialize(platform, group)
    found = sorted((row["id"], row["w"]) for row in table_rows(platform, group))
    assert found == [(1, None), (2, None), (3, "x")]


def test_large_logs_are_written_in_parts(platform, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 3)
    group = make_group(platform, {"id": "int"}, ["id"], stream=True)
    sender = Sender(platform, group)
    sender.send([{"id": i} for i in range(8)])
    assert materialize(platform, group) == 8
    assert sorted(row["id"] for row in table_rows(platform, group)) == list(range(8))
    assert sender.store.watermarks(group) == (8, 8)
    assert len(platform.catalog.find(None, COMMIT, parent_id=group.id)) == 3


def test_another_writer_of_the_table_is_waited_for(platform, monkeypatch):
    group = make_group(platform, {"id": "int"}, ["id"], stream=True)
    sender, real, failures = Sender(platform, group), module._merge, [2]
    sender.send([{"id": 1}])
    materialize(platform, group)
    sender.send([{"id": 2}])

    def contended(*arguments):
        if failures[0]:
            failures[0] -= 1
            raise CommitFailedError("another writer was first")
        real(*arguments)

    monkeypatch.setattr(module, "_merge", contended)
    materialize(platform, group)
    assert sorted(row["id"] for row in table_rows(platform, group)) == [1, 2]

    failures[0] = 10**6
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    sender.send([{"id": 3}])
    with pytest.raises(OnlineError, match="records are kept"):
        materialize(platform, group)
    failures[0] = 0
    assert materialize(platform, group) == 1


def test_what_a_killed_server_had_accepted_is_written_at_the_next_start(tmp_path):
    with bare_platform(tmp_path) as platform:
        group = make_group(platform, {"id": "int"}, ["id"], stream=True)
        Sender(platform, group).send([{"id": 1}])
    with bare_platform(tmp_path) as platform:
        materializer = platform.service(Materializer)
        materializer.recover()
        until_written(platform, group)
        assert table_rows(platform, group) == [{"id": 1}]
        assert materializer.materialize(first_project(platform), group.id) == 0


def test_what_no_job_comes_for_is_written_after_a_while(platform, monkeypatch):
    monkeypatch.setattr(module, "OVERDUE_SECONDS", 0.1)
    group = make_group(platform, {"id": "int"}, ["id"], stream=True)
    materializer = platform.service(Materializer)
    materializer.recover()
    Sender(platform, group).send([{"id": 1}])
    until_written(platform, group)
    assert table_rows(platform, group) == [{"id": 1}]
    materializer.close()


def until_written(platform, group):
    database = platform.service(OnlineStore).database(group.project_id)
    deadline = monotonic() + 30
    while database.oldest_logged():
        assert monotonic() < deadline, "the log is not written"
        sleep(0.02)


def test_the_job_of_a_group_that_is_gone_says_so(platform):
    with pytest.raises(EmbeddedError, match="does not exist"):
        run_job(platform, first_project(platform), {"target": 4711})
    with pytest.raises(EmbeddedError, match="does not exist"):
        run_job(platform, first_project(platform), {})
