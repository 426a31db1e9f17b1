"""Queries through the unmodified client: joins of every kind, filters of every operator, prefixes, nesting."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hopsworks_common.client.exceptions import FeatureStoreException, RestAPIError
from hsfs.feature import Feature

NASTY = [
    "plain",
    "it's",
    'say "so"',
    "back\\slash",
    "semi; DROP TABLE fg0 --",
    "per%cent",
    "under_score",
    ":colon",
    "",
    "ü",
]


@pytest.fixture(scope="module")
def store(project: Any) -> Any:
    return project.get_feature_store()


@pytest.fixture(scope="module")
def left(store: Any) -> Any:
    frame = pd.DataFrame({"k": [1, 2, 3, 4], "area": ["a", "b", "b", "c"], "v": [10, 20, 30, 40]})
    return filled(store, "left_side", frame, ["k"])


@pytest.fixture(scope="module")
def right(store: Any) -> Any:
    frame = pd.DataFrame({"k": [2, 3, 5], "area": ["x", "y", "z"], "w": [0.2, 0.3, 0.5]})
    return filled(store, "right_side", frame, ["k"])


@pytest.fixture(scope="module")
def typed(store: Any) -> Any:
    frame = pd.DataFrame(
        {
            "n": np.arange(10),
            "word": NASTY,
            "ratio": [0.1 * n if n else float("nan") for n in range(10)],
            "flag": [n % 2 == 0 for n in range(10)],
            "at": pd.Timestamp("2024-03-01") + pd.to_timedelta(np.arange(10), "h"),
            "day": [date(2024, 3, 1 + n) for n in range(10)],
            "money": [Decimal(n) / 4 for n in range(10)],
            "gap": [None if n % 3 == 0 else n for n in range(10)],
        }
    ).astype({"gap": "Int64"})
    features = [
        Feature("n", "bigint"),
        Feature("word", "string"),
        Feature("ratio", "double"),
        Feature("flag", "boolean"),
    ]
    features += [
        Feature("at", "timestamp"),
        Feature("day", "date"),
        Feature("money", "decimal(3,2)"),
        Feature("gap", "bigint"),
    ]
    group = store.get_or_create_feature_group(
        "typed", version=1, primary_key=["n"], event_time="at", features=features, time_travel_format="DELTA"
    )
    group.insert(frame, validation_options={"schema_validation": False})
    return group


def filled(store: Any, name: str, frame: pd.DataFrame, keys: list[str], **more: Any) -> Any:
    group = store.get_or_create_feature_group(name, version=1, primary_key=keys, time_travel_format="DELTA", **more)
    group.insert(frame)
    return group


def rows(query: Any) -> list[tuple[Any, ...]]:
    frame = query.read()
    cleaned = frame.astype(object).where(frame.notna(), None)
    return sorted(map(tuple, cleaned.itertuples(index=False)), key=repr)


@pytest.mark.parametrize("kind", ["left", "inner", "right", "full", "outer"])
def test_joins_are_those_of_pandas(left: Any, right: Any, kind: str) -> None:
    query = left.select(["k", "v"]).join(right.select(["k", "w"]), on=["k"], join_type=kind, prefix="r_")
    how = "outer" if kind in ("full", "outer") else kind
    wanted = left.read()[["k", "v"]].merge(
        right.read()[["k", "w"]].add_prefix("r_"), how=how, left_on="k", right_on="r_k"
    )
    cleaned = wanted.astype(object).where(wanted.notna(), None)
    assert rows(query) == sorted(map(tuple, cleaned.itertuples(index=False)), key=repr)


def test_a_cross_join_pairs_every_row(left: Any, right: Any) -> None:
    query = left.select(["v"]).join(right.select(["w"]), on=["k"], join_type="cross")
    assert len(query.read()) == 12


def test_a_semi_join_keeps_rows_with_a_match(left: Any, right: Any) -> None:
    assert rows(left.select(["k"]).join(right.select(["w"]), on=["k"], join_type="left_semi_join")) == [(2,), (3,)]


def test_an_unknown_join_is_refused(left: Any, right: Any) -> None:
    with pytest.raises(RestAPIError, match="unknown join type"):
        left.select(["k"]).join(right.select(["w"]), join_type="sideways").read()


def test_keys_are_found_or_named(store: Any, left: Any, right: Any) -> None:
    assert rows(left.select(["v"]).join(right.select(["w"]), join_type="inner")) == [(20, 0.2), (30, 0.3)]
    renamed = left.select(["v"]).join(right.select(["w"]), left_on=["v"], right_on=["k"])
    assert rows(renamed) == [(10, None), (20, None), (30, None), (40, None)]
    other = filled(store, "other_key", pd.DataFrame({"z": [1], "q": [1]}), ["z"])
    with pytest.raises(RestAPIError, match="no primary key in common"):
        left.select(["v"]).join(other.select(["q"])).read()
    with pytest.raises(RestAPIError, match="no join key"):
        left.select(["v"]).join(other.select(["q"]), on=["k"]).read()


def test_a_shared_key_comes_once_and_clashes_are_prefixed(left: Any, right: Any) -> None:
    joined = left.select_all().join(right.select_all(), on=["k"], join_type="inner").read()
    assert list(joined.columns) == ["k", "area", "v", "right_side_1_area", "right_side_1_w"]
    prefixed = left.select_all().join(right.select_all(), on=["k"], join_type="inner", prefix="r_").read()
    assert list(prefixed.columns) == ["k", "area", "v", "r_k", "r_area", "r_w"]


def test_nested_joins_are_joined_inside_out(store: Any, left: Any, right: Any) -> None:
    third = filled(store, "third_side", pd.DataFrame({"area": ["x"], "t": [7]}), ["area"])
    inside = right.select(["w"]).join(third.select(["t"]), on=["area"], join_type="inner")
    assert rows(left.select(["k"]).join(inside, on=["k"])) == [
        (1, None, None),
        (2, 0.2, 7),
        (3, None, None),
        (4, None, None),
    ]


def test_a_filter_of_a_joined_query_acts_before_the_join(left: Any, right: Any) -> None:
    query = left.select(["k"]).join(right.select(["w"]).filter(right.w > 0.25), on=["k"])
    assert rows(query) == [(1, None), (2, None), (3, 0.3), (4, None)]
    whole = left.select(["k"]).join(right.select(["w"]), on=["k"]).filter(right.w > 0.25)
    assert rows(whole) == [(3, 0.3)]


@pytest.mark.parametrize("word", NASTY)
def test_any_text_can_be_compared_with(typed: Any, word: str) -> None:
    found = typed.select(["n"]).filter(typed.word == word)
    assert rows(found) == [(NASTY.index(word),)]
    assert rows(typed.select(["n"]).filter(typed.word.isin([word, "' OR 1=1 --"]))) == [(NASTY.index(word),)]
    assert len(typed.select(["n"]).filter(typed.word != word).read()) == 9


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        ("n", 4),
        ("ratio", 0.30000000000000004),
        ("at", "2024-03-01 04:00:00"),
        ("at", pd.Timestamp("2024-03-01 04:00:00")),
        ("day", date(2024, 3, 5)),
        ("money", Decimal("0.75")),
        ("money", 0.75),
        ("gap", 4),
    ],
)
def test_every_comparison_is_that_of_python(typed: Any, feature: str, value: Any) -> None:
    column = typed.get_feature(feature)
    values = typed.read().sort_values("n")[feature].tolist()
    wanted = pd.Timestamp(value) if feature == "at" else value
    plain = [None if pd.isna(v) else (float(v) if isinstance(wanted, float) else v) for v in values]

    def numbers(condition: Any) -> list[int]:
        return sorted(typed.select(["n"]).filter(condition).read()["n"].tolist())

    def holds(check: Any) -> list[int]:
        return [n for n, v in enumerate(plain) if v is not None and check(v)]

    assert numbers(column == value) == holds(lambda v: v == wanted)
    assert numbers(column != value) == holds(lambda v: v != wanted)
    assert numbers(column < value) == holds(lambda v: v < wanted)
    assert numbers(column <= value) == holds(lambda v: v <= wanted)
    assert numbers(column > value) == holds(lambda v: v > wanted)
    assert numbers(column >= value) == holds(lambda v: v >= wanted)


def test_truth_missing_values_lists_and_patterns(typed: Any) -> None:
    select = typed.select(["n"])
    assert [n for (n,) in rows(typed.select(["n"]).filter(typed.flag == True))] == [0, 2, 4, 6, 8]  # noqa: E712
    assert [n for (n,) in rows(typed.select(["n"]).filter(typed.gap == None))] == [0, 3, 6, 9]  # noqa: E711
    assert len(typed.select(["n"]).filter(typed.gap != None).read()) == 6  # noqa: E711
    assert [n for (n,) in rows(typed.select(["n"]).filter(typed.n.isin([3, 5, 99])))] == [3, 5]
    assert len(typed.select(["n"]).filter(typed.n.isin([])).read()) == 0
    assert [n for (n,) in rows(typed.select(["n"]).filter(typed.gap.isin([None, 1])))] == [0, 1, 3, 6, 9]
    assert [n for (n,) in rows(typed.select(["n"]).filter(typed.word.like("%'%")))] == [1]
    assert [n for (n,) in rows(typed.select(["n"]).filter(typed.word.like("per\\%%")))] == [5]
    assert [n for (n,) in rows(typed.select(["n"]).filter(typed.n.like("_")))] == list(range(10))
    either = (typed.n < 2) | ((typed.n > 5) & (typed.flag == False))  # noqa: E712
    assert [n for (n,) in rows(select.filter(either))] == [0, 1, 7, 9]
    assert [n for (n,) in rows(typed.select(["n"]).filter(typed.n == typed.gap))] == [1, 2, 4, 5, 7, 8]
    assert len(typed.select(["n"]).limit(3).read()) == 3
    assert len(typed.show(4)) == 4


@pytest.mark.parametrize(
    ("feature", "value"),
    [("n", "1; DROP TABLE x"), ("flag", "maybe"), ("at", "not a time"), ("day", "00-00"), ("money", "NaNa")],
)
def test_a_value_of_another_type_is_refused(typed: Any, feature: str, value: str) -> None:
    from hsfs.constructor.filter import Filter

    with pytest.raises(RestAPIError, match="cannot compare feature"):
        typed.select(["n"]).filter(Filter(typed.get_feature(feature), "EQUALS", value)).read()


def test_a_window_of_event_time_is_half_open(typed: Any) -> None:
    found = typed.read(start_time="2024-03-01 02:00:00", end_time="2024-03-01 04:00:00")
    assert sorted(found["n"]) == [2, 3]


def test_rows_are_streamed_and_come_as_other_frames(typed: Any) -> None:
    with typed.select_all().read_batches() as batches:
        assert sum(batch.num_rows for batch in batches) == 10
    assert typed.select(["n", "ratio"]).read(dataframe_type="numpy").shape == (10, 2)
    assert len(typed.select(["n"]).read(dataframe_type="python")) == 10


def test_time_travel_reaches_into_joins(store: Any, left: Any) -> None:
    import time

    group = filled(store, "travelled_join", pd.DataFrame({"k": [1], "x": [1]}), ["k"])
    first = max(group.commit_details())
    time.sleep(0.05)
    group.insert(pd.DataFrame({"k": [1, 2], "x": [5, 6]}))
    now = left.select(["k"]).join(group.select(["x"]), on=["k"], join_type="inner")
    assert rows(now) == [(1, 5), (2, 6)]
    then = left.select(["k"]).join(group.select(["x"]).as_of(first), on=["k"], join_type="inner")
    assert rows(then) == [(1, 1)]


def test_sql_is_shown(left: Any, right: Any, typed: Any) -> None:
    text = left.select(["k"]).join(right.select(["w"]), on=["k"]).to_string()
    assert "LEFT JOIN" in text and '"fg0"."k" = "fg1"."k"' in text


def test_a_query_over_a_deleted_group_says_which(store: Any, left: Any) -> None:
    gone = filled(store, "gone_soon", pd.DataFrame({"k": [1], "x": [1]}), ["k"])
    query = left.select(["k"]).join(gone.select(["x"]), on=["k"])
    gone.delete()
    with pytest.raises(RestAPIError, match="it may have been deleted"):
        query.read()


def test_a_feature_that_is_not_there_is_refused(left: Any, right: Any) -> None:
    with pytest.raises(RestAPIError, match="has no feature 'nothing'"):
        left.select(["nothing"]).read()
    with pytest.raises(RestAPIError, match="which no feature group of the query has"):
        left.select(["k"]).filter(Feature("nothing", "int") > 1).read()


def test_a_point_in_time_join_is_that_of_pandas(store: Any) -> None:
    generator = np.random.default_rng(3)
    start = pd.Timestamp("2024-01-01")

    def moments(count: int) -> pd.Series:
        return pd.Series((start + pd.to_timedelta(generator.integers(0, 10**6, count), "s")).astype("datetime64[us]"))

    labels = pd.DataFrame({"id": np.arange(500), "k": generator.integers(0, 50, 500), "at": moments(500)})
    seen = pd.DataFrame({"k": generator.integers(0, 60, 800), "seen": moments(800), "x": generator.random(800)})
    seen = seen.drop_duplicates(["k", "seen"])
    left = filled(store, "pit_labels", labels, ["id"], event_time="at")
    right = filled(store, "pit_seen", seen, ["k"], event_time="seen")
    for kind in ("left", "inner"):
        found = left.select_all().join(right.select(["x"]), on=["k"], join_type=kind).read().sort_values("id")
        wanted = pd.merge_asof(
            labels.sort_values("at"), seen.sort_values("seen"), left_on="at", right_on="seen", by="k"
        ).sort_values("id")
        wanted = wanted.dropna(subset="x") if kind == "inner" else wanted
        np.testing.assert_array_equal(found["x"].to_numpy(), wanted["x"].to_numpy())
        assert found["id"].tolist() == wanted["id"].tolist()


def test_the_reason_of_a_failed_read_reaches_the_log(left: Any, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(FeatureStoreException, match="No commits found"):
        left.as_of("2000-01-01").read()
