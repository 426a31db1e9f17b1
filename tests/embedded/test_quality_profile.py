"""Statistics against numpy and pandas: nulls, NaN, infinities, constants, empty tables, every type."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import math
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.embedded.quality.profile import ProfileConfig, profile

CONNECTION = duckdb.connect()
EVERYTHING = ProfileConfig(histograms=True, correlations=True, exact_uniqueness=True, bins=7)


def statistics(table: pa.Table, config: ProfileConfig = EVERYTHING, **options: Any) -> dict[str, dict[str, Any]]:
    CONNECTION.register("rows", table)
    documents = profile(CONNECTION, "rows", config, **options)
    for document in documents:
        json.loads(json.dumps(document, allow_nan=False))  # what goes over the wire must be JSON
        document["extended"] = json.loads(document.pop("extendedStatistics", "{}"))
    return {document["featureName"]: document for document in documents}


def close(found: float | None, wanted: float, scale: float) -> bool:
    if found is None:
        return not math.isfinite(wanted)
    return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-9 * scale + 1e-300)


doubles = st.lists(
    st.one_of(st.none(), st.floats(), st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf])), max_size=60
)


@settings(max_examples=150, deadline=None)
@given(doubles)
def test_numbers_agree_with_numpy(values: list[float | None]) -> None:
    found = statistics(pa.table({"x": pa.array(values, pa.float64())}))["x"]
    present = np.array([v for v in values if v is not None and not math.isnan(v)], dtype=float)
    finite = present[np.isfinite(present)]
    assert found["count"] == len(values)
    assert found["numNonNullValues"] == len(present)
    assert found["numNullValues"] == len(values) - len(present)
    if not values:
        assert "completeness" not in found
        return
    assert found["completeness"] == len(present) / len(values)
    assert found["approxNumDistinctValues"] == len(np.unique(present))
    assert found["extended"].get("infinities", 0) == len(present) - len(finite)
    if len(present):
        sizes = np.unique(present, return_counts=True)[1]
        assert found["exactNumDistinctValues"] == len(sizes)
        assert found["distinctness"] == pytest.approx(len(sizes) / len(present))
        assert found["uniqueness"] == pytest.approx((sizes == 1).sum() / len(present))
        assert found["entropy"] == pytest.approx(
            -(sizes / len(present) * np.log(sizes / len(present))).sum(), abs=1e-12
        )
    if not len(finite):
        assert "min" not in found and "mean" not in found and found["extended"]["histogram"] == []
        return
    assert found["min"] == finite.min() and found["max"] == finite.max()
    size = float(np.abs(finite).max())
    unit = finite / size if size else finite  # numpy overflows near 1e308 as well
    assert close(found["mean"], float(unit.mean()) * (size or 1), size)
    assert close(found["stdDev"], float(unit.std()) * (size or 1), size)
    assert close(found["sum"], float(unit.sum()) * (size or 1), size * len(finite))
    assert len(found["percentiles"]) == 100
    wanted = np.percentile(unit, range(1, 101)) * (size or 1)
    assert all(close(a, float(b), size) for a, b in zip(found["percentiles"], wanted, strict=True))
    assert found["percentiles"] == sorted(found["percentiles"])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(1, 30))
def test_histogram_agrees_with_numpy(values: list[float], bins: int) -> None:
    config = ProfileConfig(histograms=True, bins=bins)
    found = statistics(pa.table({"x": pa.array(values, pa.float64())}), config)["x"]["extended"]["histogram"]
    edges = [tuple(float(edge) for edge in bar["value"].split(" to ")) for bar in found]
    assert edges[0][0] == min(values) and edges[-1][1] == max(values)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(edges))
    counts, _ = np.histogram(values, bins=[edges[0][0], *(end for _, end in edges)])
    assert [bar["count"] for bar in found] == counts.tolist()
    assert sum(bar["ratio"] for bar in found) == pytest.approx(1.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.one_of(st.none(), st.floats(-1e3, 1e3).map(lambda x: round(x, 3)))] * 3), max_size=30))
def test_correlations_agree_with_pandas(rows: list[tuple[float | None, ...]]) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b", "c"], dtype=float)
    found = statistics(pa.Table.from_pandas(frame, preserve_index=False))
    for name, document in found.items():
        if not rows:
            assert "correlations" not in document["extended"]
            continue
        listed = {item["column"]: item["correlation"] for item in document["extended"]["correlations"]}
        for other in frame:
            pair = frame[[name, other]].dropna() if other != name else frame[[name]].dropna()
            constant = any(pair[column].nunique() < 2 for column in pair)
            if constant:
                continue  # undefined; rounding decides whether a library sees it
            wanted = 1.0 if other == name else pair[name].corr(pair[other])
            assert listed[other] == pytest.approx(wanted, abs=1e-6)
        assert all(-1 <= value <= 1 for value in listed.values())


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=40))
def test_integers_are_exact(values: list[int | None]) -> None:
    found = statistics(pa.table({"x": pa.array(values, pa.int64())}))["x"]
    present = [value for value in values if value is not None]
    assert found["featureType"] == "Integral"
    assert found["numNullValues"] == len(values) - len(present)
    assert found["approxNumDistinctValues"] == len(set(present))
    if present:
        assert (found["min"], found["max"]) == (min(present), max(present))
        assert found["sum"] == pytest.approx(sum(present), rel=1e-9, abs=1e-6 * max(map(abs, present)))
        assert found["mean"] == pytest.approx(sum(present) / len(present), rel=1e-9, abs=1e-9 * max(map(abs, present)))


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(st.none(), texts), max_size=40))
def test_texts_are_counted(values: list[str | None]) -> None:
    found = statistics(pa.table({"s": pa.array(values, pa.string())}))["s"]
    counts = pd.Series([value for value in values if value is not None], dtype=object).value_counts()
    assert found["featureType"] == "String"
    assert found["numNonNullValues"] == counts.sum()
    if values:
        assert found["approxNumDistinctValues"] == len(counts)
        bars = {bar["value"]: bar["count"] for bar in found["extended"]["histogram"]}
        assert bars == counts.to_dict()
        sizes = [bar["count"] for bar in found["extended"]["histogram"]]
        assert sizes == sorted(sizes, reverse=True)


def test_every_type_of_a_feature_group() -> None:
    moment = dt.datetime(2024, 1, 2, 3, 4, 5)
    table = pa.table(
        {
            "flag": pa.array([True, False, True, None]),
            "time": pa.array([moment, None, moment + dt.timedelta(days=1), moment], pa.timestamp("us")),
            "zoned": pa.array([moment, None, None, moment], pa.timestamp("us", tz="UTC")),
            "day": pa.array([moment.date()] * 4, pa.date32()),
            "price": pa.array([Decimal("1.50"), None, Decimal("2.50"), Decimal("2.50")], pa.decimal128(10, 2)),
            "small": pa.array([1, 2, 3, None], pa.int16()),
            "single": pa.array([0.5, math.nan, 1.5, None], pa.float32()),
            "vector": pa.array([[1.0], None, [], [2.0, 3.0]], pa.list_(pa.float64())),
            "raw": pa.array([b"x", None, b"", b"y"], pa.binary()),
            "record": pa.array([{"a": 1}, None, {"a": 2}, {"a": 2}], pa.struct([("a", pa.int64())])),
            'we"ird name': pa.array([1.0, 2.0, 3.0, 4.0]),
            "empty": pa.array([None] * 4, pa.float64()),
        }
    )
    found = statistics(table)
    assert {name: d["numNullValues"] for name, d in found.items()} == {
        "flag": 1, "time": 1, "zoned": 2, "day": 0, "price": 1, "small": 1, "single": 2, "vector": 1, "raw": 1,
        "record": 1, 'we"ird name': 0, "empty": 4,
    }  # fmt: skip
    assert found["flag"]["featureType"] == "Boolean"
    assert {bar["value"]: bar["count"] for bar in found["flag"]["extended"]["histogram"]} == {"true": 2, "false": 1}
    assert found["time"]["approxNumDistinctValues"] == 2
    assert found["time"]["extended"] == {"earliest": "2024-01-02 03:04:05", "latest": "2024-01-03 03:04:05"}
    assert found["day"]["extended"]["earliest"] == "2024-01-02"
    assert found["price"]["featureType"] == "Fractional" and found["price"]["sum"] == 6.5
    assert found["small"]["featureType"] == "Integral" and found["small"]["mean"] == 2
    assert found["single"]["mean"] == 1.0 and found["single"]["completeness"] == 0.5
    for name in ("vector", "raw", "record"):
        assert "approxNumDistinctValues" not in found[name] and "histogram" not in found[name]["extended"]
    assert found["empty"]["completeness"] == 0 and found["empty"]["extended"] == {"histogram": [], "correlations": []}
    assert found['we"ird name']["mean"] == 2.5


def test_config_chooses_columns_and_extras() -> None:
    table = pa.table({"a": [1, 2], "b": [3, 4]})
    plain = statistics(table, ProfileConfig.from_document({"enabled": True, "columns": ["b"]}))
    assert list(plain) == ["b"]
    assert plain["b"]["extended"] == {} and "uniqueness" not in plain["b"]
    rich = statistics(
        table, ProfileConfig.from_document({"histograms": True, "histogramBins": 2, "correlations": True})
    )
    assert [bar["count"] for bar in rich["a"]["extended"]["histogram"]] == [1, 1]
    assert {item["column"] for item in rich["a"]["extended"]["correlations"]} == {"a", "b"}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9), st.just(math.inf)), min_size=1, max_size=200))
def test_sketches_are_close_to_the_exact_numbers(values: list[float | None]) -> None:
    table = pa.table({"x": pa.array(values, pa.float64()), "s": pa.array([str(v) for v in values])})
    exact, sketch = statistics(table), statistics(table, exact_rows=0)
    x, y = exact["x"], sketch["x"]
    for key in ("count", "numNonNullValues", "completeness", "min", "max"):
        assert x.get(key) == y.get(key)
    if "min" not in x:
        return
    spread = x["max"] - x["min"]
    size = max(abs(x["min"]), abs(x["max"]))
    for key in ("mean", "stdDev"):
        assert x[key] == pytest.approx(y[key], rel=1e-6, abs=1e-6 * size + 1e-300)
    assert [bar["count"] for bar in x["extended"]["histogram"]] == [bar["count"] for bar in y["extended"]["histogram"]]
    assert all(x["min"] <= value <= x["max"] for value in y["percentiles"])
    # Ranks, not values, are what a sketch keeps: each percentile lies between exact ones a few ranks away.
    ordered = sorted(v for v in values if v is not None and math.isfinite(v))
    slack = max(2, math.ceil(0.05 * len(ordered)))
    for percent, value in enumerate(y["percentiles"], start=1):
        rank = percent / 100 * (len(ordered) - 1)
        low = ordered[max(0, math.floor(rank) - slack)]
        high = ordered[min(len(ordered) - 1, math.ceil(rank) + slack)]
        assert low - 1e-9 * spread <= value <= high + 1e-9 * spread
