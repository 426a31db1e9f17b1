"""The online store beside a model that is a dictionary: upserts, deletes, conditions, retries, restarts."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from online_tools import Sender, bare_platform, encode, make_group

from deepcube.embedded.errors import StorageError
from deepcube.embedded.online.avro import ValueCodec
from deepcube.embedded.online.columns import columns_of, compare_decimals, decimal_text, time_text
from deepcube.embedded.online.errors import InvalidRecordError
from deepcube.embedded.online.ingest import OutOfOrderError
from deepcube.embedded.online.records import Batch
from deepcube.embedded.online.store import OnlineStore
from deepcube.embedded.store.group_changes import update_group
from deepcube.embedded.store.types import arrow_type

keys = st.integers(0, 5)
times = st.integers(0, 9)
rows = st.lists(st.tuples(keys, times, st.integers(-5, 5)), min_size=1, max_size=6)


class OnlineStoreMachine(RuleBasedStateMachine):
    """What is sent to the topic, and what a dictionary would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.model: dict[int, tuple[int, int]] = {}
        self.sequence = 0

    @initialize()
    def open(self) -> None:
        self.open_platform()
        features = {"id": "bigint", "ts": "timestamp", "v": "int"}
        self.group = make_group(self.platform, features, ["id"], event_time="ts")
        self.sender = Sender(self.platform, self.group)

    def open_platform(self) -> None:
        self.context = bare_platform(self.folder)
        self.platform = self.context.__enter__()

    def documents(self, sent):
        return [{"id": key, "ts": time, "v": value} for key, time, value in sent]

    @rule(sent=rows)
    def upsert(self, sent) -> None:
        self.sender.send(self.documents(sent))
        self.model.update({key: (time, value) for key, time, value in sent})

    @rule(sent=rows)
    def upsert_if_newer(self, sent) -> None:
        self.sender.send(self.documents(sent), upsertIfNewer=b"1")
        for key, time, value in sent:
            if key not in self.model or time > self.model[key][0]:
                self.model[key] = (time, value)

    @rule(gone=st.lists(keys, min_size=1, max_size=4))
    def delete(self, gone) -> None:
        self.sender.send([{"id": key} for key in gone], operation=b"delete", storage=b"online")
        for key in gone:
            self.model.pop(key, None)

    @rule(sent=rows)
    def offline_only(self, sent) -> None:
        self.sender.send(self.documents(sent), storage=b"offline")

    @rule(sent=rows, again=st.integers(1, 3))
    def retry_of_an_idempotent_producer(self, sent, again) -> None:
        producer = (77, 0, self.sequence)
        first = self.sender.send(self.documents(sent), producer)
        for _ in range(again):
            assert self.sender.send(self.documents(sent), producer) == first
        self.sequence += len(sent)
        self.model.update({key: (time, value) for key, time, value in sent})

    @rule(sent=rows)
    def a_batch_with_a_bad_record_changes_nothing(self, sent) -> None:
        headers = self.sender.headers()
        good = [(encode(self.sender.codec, row), headers) for row in self.documents(sent)]
        with pytest.raises(InvalidRecordError):
            self.sender.store.accept(self.group, Batch(-1, -1, -1, [*good, (b"\x02", headers)]))

    @rule()
    def clear(self) -> None:
        self.sender.store.clear(self.group)
        self.model.clear()

    @rule()
    def restart(self) -> None:
        self.context.__exit__(None, None, None)
        self.open_platform()
        found = self.platform.catalog.get(self.group.id)
        assert found is not None
        self.group = found
        self.sender = Sender(self.platform, self.group)

    @invariant()
    def the_table_is_the_model(self) -> None:
        if hasattr(self, "sender"):
            expected = [(key, time_text(time), value) for key, (time, value) in self.model.items()]
            assert self.sender.rows() == sorted(expected, key=repr)

    def teardown(self) -> None:
        self.context.__exit__(None, None, None)
        shutil.rmtree(self.folder)


TestOnlineStore = OnlineStoreMachine.TestCase
TestOnlineStore.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with bare_platform(tmp_path_factory.mktemp("home")) as opened:
        yield opened


TYPES = {
    "tinyint": st.integers(-128, 127),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "double": st.floats(allow_nan=False),
    "float": st.floats(width=32, allow_nan=False),
    "string": st.text(st.characters(codec="utf-8")),
    "binary": st.binary(),
    "timestamp": st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)),
    "decimal(20,4)": st.decimals(places=4, min_value=-(10**15), max_value=10**15),
    "array<double>": st.lists(st.floats(allow_nan=False)),
    "struct<a:int,b:array<string>>": st.fixed_dictionaries(
        {"a": st.integers(0, 9), "b": st.lists(st.text(st.characters(codec="utf-8")))}
    ),
    "map<string,bigint>": st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(0, 9)),
}


@pytest.mark.parametrize("kind", TYPES)
def test_values_of_every_type_come_back(platform, kind):
    name = "t_" + "".join(c if c.isalnum() else "_" for c in kind)
    group = make_group(platform, {"id": "bigint", "v": kind}, ["id"], name=name)
    sender = Sender(platform, group)

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.none() | TYPES[kind])
    def check(value):
        sent = value
        if isinstance(value, datetime):
            sent = (value - datetime(1970, 1, 1)) // timedelta(microseconds=1)
        sender.send([{"id": 1, "v": sent}])
        ((_, stored),) = sender.rows()
        if isinstance(value, datetime):
            assert stored == str(value)
        elif isinstance(value, Decimal):
            assert Decimal(stored) == value
        elif isinstance(value, list | dict):
            assert ValueCodec(arrow_type(kind)).read(stored) == value
        else:
            assert stored == value

    check()


def test_infinity_is_kept_and_nan_is_null(platform):
    sender = Sender(platform, make_group(platform, {"id": "int", "v": "double"}, ["id"], name="extremes"))
    sender.send([{"id": 1, "v": float("inf")}, {"id": 2, "v": float("nan")}])
    assert sender.rows() == [(1, float("inf")), (2, None)]


@given(st.decimals(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_are_compared_as_numbers(left, right):
    assert compare_decimals(str(left), str(right)) == (left > right) - (left < right)


def test_decimal_text_has_no_exponent():
    assert decimal_text(Decimal("1E+3")) == "1000"


def test_composite_keys_and_null_in_a_key(platform):
    group = make_group(platform, {"a": "string", "b": "int", "v": "int"}, ["a", "b"], name="pairs")
    sender = Sender(platform, group)
    sender.send([{"a": "x", "b": 1, "v": 1}, {"a": "x", "b": 2, "v": 2}, {"a": "x", "b": 1, "v": 3}])
    assert sender.rows() == [("x", 1, 3), ("x", 2, 2)]
    with pytest.raises(InvalidRecordError, match="does not fit"):
        sender.send([{"a": "y", "b": 1, "v": 1}, {"a": None, "b": 1, "v": 1}])
    assert sender.rows() == [("x", 1, 3), ("x", 2, 2)]


def test_appended_features_reach_old_rows_and_old_clients(platform):
    group = make_group(platform, {"id": "int", "v": "int"}, ["id"], name="grows")
    old = Sender(platform, group)
    old.send([{"id": 1, "v": 1}])
    features = [*group.body["features"], {"name": "w", "type": "string", "defaultValue": "none"}]
    group = update_group(platform, group, {"features": features})
    new = Sender(platform, group)
    new.send([{"id": 2, "v": 2, "w": "two"}])
    old.send([{"id": 2, "v": 5}, {"id": 3, "v": 3}])  # a client that still has the old features
    assert new.rows() == [(1, 1, "none"), (2, 5, "two"), (3, 3, "none")]


def test_offsets_go_on_after_a_clear(platform):
    sender = Sender(platform, make_group(platform, {"id": "int"}, ["id"], name="offsets", stream=True))
    assert sender.send([{"id": 1}, {"id": 2}]) == 0
    sender.store.clear(sender.group)
    assert sender.store.watermarks(sender.group) == (2, 2)
    assert sender.send([{"id": 3}]) == 2


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"featureGroupId": b"1"}, "another feature group"),
        ({"featureGroupId": b"x"}, "must be a number"),
        ({"subjectId": b"999999"}, "schema"),
        ({"operation": b"merge"}, "operation"),
        ({"onlineIngestionId": b"1e9"}, "must be a number"),
    ],
)
def test_headers_that_do_not_fit_are_refused(platform, headers, reason):
    found = platform.catalog.first(None, "feature_group", name="offsets")
    group = found or make_group(platform, {"id": "int"}, ["id"], name="offsets", stream=True)
    sender = Sender(platform, group)
    with pytest.raises(InvalidRecordError, match=reason):
        sender.store.accept(group, Batch(-1, -1, -1, [(encode(sender.codec, {"id": 9}), sender.headers(**headers))]))


def test_progress_counts_upserts_deletes_and_ignored_rows(platform):
    group = make_group(platform, {"id": "int", "ts": "timestamp"}, ["id"], name="progress", event_time="ts")
    sender = Sender(platform, group)
    ingestion = sender.store.begin_ingestion(group, 4)
    mark = {"onlineIngestionId": str(ingestion["id"]).encode()}
    sender.send([{"id": 1, "ts": 5}, {"id": 2, "ts": 5}], **mark)
    sender.send([{"id": 1, "ts": 4}], upsertIfNewer=b"1", **mark)
    sender.send([{"id": 2}], operation=b"delete", **mark)
    (found,) = sender.store.ingestions(group, ingestion["id"])
    assert {result["status"]: result["rows"] for result in found["results"]} == {
        "UPSERTED": 2,
        "DELETED": 1,
        "IGNORED": 1,
    }


def test_old_ingestions_make_room(platform):
    sender = Sender(platform, make_group(platform, {"id": "int"}, ["id"], name="many"))
    numbers = [sender.store.begin_ingestion(sender.group, 1)["id"] for _ in range(130)]
    assert [found["id"] for found in sender.store.ingestions(sender.group)] == numbers[:-101:-1]


def test_a_lost_batch_of_an_idempotent_producer_is_noticed(platform):
    sender = Sender(platform, make_group(platform, {"id": "int"}, ["id"], name="ordered"))
    sender.send([{"id": 1}, {"id": 2}], (5, 0, 0))
    with pytest.raises(OutOfOrderError):
        sender.send([{"id": 9}], (5, 0, 3))
    sender.send([{"id": 3}], (5, 0, 2))
    sender.send([{"id": 4}], (5, 1, 0))  # a new epoch starts anew
    assert sender.rows() == [(1,), (2,), (3,), (4,)]


def test_a_group_made_again_under_its_name_starts_empty(platform):
    group = make_group(platform, {"id": "int"}, ["id"], name="again")
    Sender(platform, group).send([{"id": 1}])
    platform.catalog.remove(group)  # as a crash between metadata and data leaves it
    renewed = Sender(platform, make_group(platform, {"id": "string", "v": "int"}, ["id"], name="again"))
    assert renewed.rows() == []
    renewed.send([{"id": "x", "v": 1}])
    assert renewed.rows() == [("x", 1)]


def test_tables_without_a_group_are_removed_at_the_start(tmp_path):
    with bare_platform(tmp_path) as opened:
        group = make_group(opened, {"id": "int"}, ["id"])
        Sender(opened, group).send([{"id": 1}])
        opened.catalog.remove(group)
    with bare_platform(tmp_path) as opened:
        assert opened.service(OnlineStore).database(group.project_id).group_ids() == []


def test_a_newer_file_is_refused_and_left_alone(tmp_path):
    with bare_platform(tmp_path) as opened:
        group = make_group(opened, {"id": "int"}, ["id"])
        path = opened.service(OnlineStore).database(group.project_id).path
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with bare_platform(tmp_path) as opened, pytest.raises(StorageError, match="schema 99"):
        opened.service(OnlineStore)


def test_columns_know_their_types():
    columns = columns_of([{"name": "a", "type": "decimal(5,2)", "primary": True}, {"name": "b", "type": "date"}])
    assert [(column.declared, column.primary) for column in columns] == [
        ("DECIMAL_TEXT COLLATE decimal", True),
        ("DATE_TEXT", False),
    ]


def test_a_topic_starts_at_offset_zero(platform):
    group = make_group(platform, {"id": "int"}, ["id"], name="nothing")
    assert platform.service(OnlineStore).watermarks(group) == (0, 0)
