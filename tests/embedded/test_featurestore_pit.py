"""Point-in-time joins against an oracle that looks at every pair of rows."""

from __future__ import annotations

import datetime
import os
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from featurestore_cases import Group, attach, bag, join, named, newest, query
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.embedded.errors import ApiError
from deepcube.embedded.query import frames
from deepcube.embedded.query.frames import Frames
from deepcube.embedded.query.pit import NONE, Matcher

EPOCH = datetime.datetime(2024, 1, 1)
CASES = int(os.environ.get("DEEPCUBE_CASES", "30"))
DATABASE = duckdb.connect(":memory:")

times = st.one_of(st.none(), st.integers(0, 6).map(lambda hours: EPOCH + datetime.timedelta(hours=hours)))
numbers = st.one_of(st.none(), st.integers(-2, 2))
words = st.one_of(st.none(), st.sampled_from(["", "a", "b"]))


def rows_of(alias: str, key: Any, event_time: Any = times, most: int = 12) -> st.SearchStrategy[Group]:
    kinds = {"n": pa.int64(), "s": pa.string(), "x": pa.int32(), "t": pa.timestamp("us")}
    row = st.fixed_dictionaries({"n": numbers, "s": key, "x": numbers, "t": event_time})
    schema = pa.schema(list(kinds.items()))
    tables = st.lists(row, max_size=most).map(lambda rows: pa.Table.from_pylist(rows, schema=schema))
    return tables.map(lambda table: Group(alias, table, ("n",), "t"))


def run(groups: list[Group], root: Any) -> list[dict[str, Any]]:
    with DATABASE.cursor() as connection:
        done = Frames(connection, query(root), attach(groups))
        return pa.Table.from_batches(list(done.batches()), schema=done.schema).to_pylist()


def expected(left: Group, right: Group, on: list[str], kind: str) -> list[dict[str, Any]]:
    found = [(row, newest(row, row["t"], right, on)) for row in left.rows()]
    if kind == "SEMI":
        return [named(left, row) for row, match in found if match is not None]
    kept = found if kind in ("LEFT", "FULL") else [pair for pair in found if pair[1] is not None]
    rows = [named(left, row) | named(right, match) for row, match in kept]
    if kind in ("RIGHT", "FULL"):
        # A row of the right group that is nobody's newest stands alone. Equal rows stand and fall together.
        used = [match for _, match in found if match is not None]
        rows += [named(left, None) | named(right, row) for row in right.rows() if row not in used]
    return rows


@pytest.mark.parametrize("on", [["n"], ["s"], ["n", "s"]])
@pytest.mark.parametrize("kind", ["LEFT", "INNER", "SEMI"])
@given(left=rows_of("a", words), right=rows_of("b", words))
@settings(max_examples=CASES, deadline=None)
def test_a_join_gives_the_newest_row_at_or_before_each_time(
    kind: str, on: list[str], left: Group, right: Group
) -> None:
    found = run([left, right], left.node([join(left, right, on, kind, left.column("t"))]))
    if kind == "SEMI":
        found = [{key: value for key, value in row.items() if key.startswith("a_")} for row in found]
    assert bag(found) == bag(expected(left, right, on, kind))


@pytest.mark.parametrize("kind", ["RIGHT", "FULL"])
@given(left=rows_of("a", words), right=rows_of("b", words))
@settings(max_examples=CASES, deadline=None)
def test_right_and_full_joins_keep_what_nothing_matched(kind: str, left: Group, right: Group) -> None:
    distinct = [row for number, row in enumerate(right.rows()) if row not in right.rows()[:number]]
    right = Group("b", pa.Table.from_pylist(distinct, schema=right.table.schema), ("n",), "t")
    found = run([left, right], left.node([join(left, right, ["n"], kind, left.column("t"))]))
    assert bag(found) == bag(expected(left, right, ["n"], kind))


@given(left=rows_of("a", words), right=rows_of("b", words), order=st.randoms(use_true_random=False))
@settings(max_examples=CASES, deadline=None)
def test_the_order_of_the_rows_decides_nothing(left: Group, right: Group, order: Any) -> None:
    shuffled = right.rows()
    order.shuffle(shuffled)
    other = Group("b", pa.Table.from_pylist(shuffled, schema=right.table.schema), ("n",), "t")
    plan = left.node([join(left, right, ["s"], "LEFT", left.column("t"))])
    assert run([left, right], plan) == run([left, other], plan)


@pytest.mark.parametrize("inner_kind", ["LEFT", "INNER"])
@pytest.mark.parametrize("kind", ["LEFT", "INNER"])
@given(a=rows_of("a", words), b=rows_of("b", words), c=rows_of("c", words))
@settings(max_examples=CASES, deadline=None)
def test_nested_joins_are_as_of_the_roots_time(kind: str, inner_kind: str, a: Group, b: Group, c: Group) -> None:
    inner = join(b, c, ["s"], inner_kind, a.column("t"))
    found = run([a, b, c], a.node([join(a, b, ["n"], kind, a.column("t"), [inner])]))
    wanted = []
    for row in a.rows():
        match = newest(row, row["t"], b, ["n"])
        second = newest(match, row["t"], c, ["s"]) if match is not None else None
        if inner_kind == "INNER" and second is None:
            match = None
        if match is not None or kind == "LEFT":
            wanted.append(named(a, row) | named(b, match) | named(c, second))
    assert bag(found) == bag(wanted)


@pytest.mark.parametrize("kind", ["LEFT", "INNER"])
@given(a=rows_of("a", words), b=rows_of("b", words), c=rows_of("c", words))
@settings(max_examples=CASES, deadline=None)
def test_a_group_without_event_time_is_joined_row_by_row(kind: str, a: Group, b: Group, c: Group) -> None:
    joins = [join(a, b, ["n"], "LEFT", a.column("t")), join(a, c, ["s"], kind, None)]
    found = run([a, b, c], a.node(joins))
    wanted = []
    for row in a.rows():
        base = named(a, row) | named(b, newest(row, row["t"], b, ["n"]))
        matches = [other for other in c.rows() if row["s"] is not None and other["s"] == row["s"]]
        wanted += [base | named(c, other) for other in matches]
        if not matches and kind == "LEFT":
            wanted.append(base | named(c, None))
    assert bag(found) == bag(wanted)


@given(left=rows_of("a", words, most=30), right=rows_of("b", words), rows=st.integers(1, 7))
@settings(max_examples=CASES, deadline=None)
def test_chunks_change_nothing_and_keep_the_order(left: Group, right: Group, rows: int) -> None:
    plan = left.node([join(left, right, ["n"], "LEFT", left.column("t"))])
    whole = run([left, right], plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "CHUNK_ROWS", rows)
        assert run([left, right], plan) == whole
    assert [row["a_x"] for row in whole] == [row["x"] for row in left.rows()]


days = st.integers(0, 3).map(lambda day: datetime.date(2024, 1, 1 + day))
millis = st.integers(0, 3).map(lambda day: 1_704_067_200_000 + day * 86_400_000)
seconds = millis.map(lambda value: value // 1000)


@pytest.mark.parametrize(
    ("kind", "values", "as_time"),
    [
        (pa.date32(), days, lambda day: datetime.datetime(day.year, day.month, day.day)),
        (
            pa.int64(),
            millis,
            lambda value: datetime.datetime.fromtimestamp(value / 1000, datetime.UTC).replace(tzinfo=None),
        ),
        (pa.int64(), seconds, lambda value: datetime.datetime.fromtimestamp(value, datetime.UTC).replace(tzinfo=None)),
    ],
)
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_event_times_of_different_types_compare(
    kind: pa.DataType, values: Any, as_time: Any, data: st.DataObject
) -> None:
    left = data.draw(rows_of("a", words))
    marks = data.draw(st.lists(values, max_size=6))
    table = pa.table({"n": pa.array([0] * len(marks), pa.int64()), "t": pa.array(marks, kind)})
    right = Group("b", table, ("n",), "t")
    found = run([left, right], left.node([join(left, right, ["n"], "LEFT", left.column("t"))]))
    for row, result in zip(left.rows(), found, strict=True):
        past = [mark for mark in marks if row["n"] == 0 and row["t"] is not None and as_time(mark) <= row["t"]]
        assert result["b_t"] == (max(past) if past else None)


def test_keys_and_times_that_fill_64_bits_match() -> None:
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    keys = pa.array([low, 0, high, high])
    matcher = Matcher([keys], pa.array([-(2**61), 0, 5, 2**61]), None)
    found, _ = matcher.match([pa.array([low, high, high, 7, 0])], pa.array([2**60, 4, 2**62, 0, -1]))
    assert found.tolist() == [0, NONE, 3, NONE, NONE]


def test_many_key_columns_do_not_overflow() -> None:
    generator = np.random.default_rng(0)
    columns = [pa.array(generator.integers(-(2**62), 2**62, 2000)) for _ in range(5)]
    matcher = Matcher(columns, pa.array(np.zeros(2000, dtype=np.int64)), None)
    times = pa.array(np.ones(2000, dtype=np.int64))
    assert matcher.match(columns, times)[0].tolist() == list(range(2000))
    moved = [*columns[:4], pa.array(np.roll(columns[4].to_numpy(), 1))]
    assert (matcher.match(moved, times)[0] == NONE).all()


def test_a_nested_right_join_is_refused() -> None:
    table = pa.table({"n": pa.array([1], pa.int64()), "t": pa.array([EPOCH], pa.timestamp("us"))})
    a, b, c = (Group(alias, table, ("n",), "t") for alias in "abc")
    nested = join(a, b, ["n"], "LEFT", a.column("t"), [join(b, c, ["n"], "RIGHT", a.column("t"))])
    with pytest.raises(ApiError, match="right or full join"):
        run([a, b, c], a.node([nested]))
