"""Distances between distributions, against the client's own engine, which a cluster uses."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.embedded.quality.comparison import METRICS, compare
from deepcube.embedded.quality.distances import METRICS as DISTANCES
from deepcube.embedded.quality.distances import NoDistributionError, distance
from deepcube.embedded.quality.profile import ProfileConfig, profile

CONNECTION = duckdb.connect()
CONFIG = ProfileConfig(histograms=True, exact_uniqueness=True)


def describe(values: list[Any]) -> dict[str, Any]:
    CONNECTION.register("rows", pa.table({"x": pa.array(values)}))
    return profile(CONNECTION, "rows", CONFIG)[0]


def by_client(detection: dict[str, Any], reference: dict[str, Any], comparison: dict[str, Any]) -> Any:
    from hsfs.core.feature_descriptive_statistics import FeatureDescriptiveStatistics
    from hsfs.core.feature_monitoring_result_engine import FeatureMonitoringResultEngine
    from hsfs.core.statistics_comparison_config import StatisticsComparisonConfig

    engine = FeatureMonitoringResultEngine(feature_store_id=1, feature_group_id=1)
    ids = iter((1, 2))
    windows = [
        FeatureDescriptiveStatistics.from_response_json({**each, "id": next(ids)}) for each in (detection, reference)
    ]
    return engine._compute_difference_and_shift(StatisticsComparisonConfig.from_response_json(comparison), *windows)


numbers = st.lists(st.floats(-1e4, 1e4).map(lambda x: round(x, 2)), min_size=1, max_size=60)
words = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=40)


@settings(max_examples=100, deadline=None)
@given(
    numbers,
    numbers,
    st.sampled_from(DISTANCES),
    st.sampled_from([None, "EQUI_WIDTH", "EQUI_FREQUENCY", "CUSTOM_EDGES"]),
    st.integers(1, 15),
)
def test_numbers_as_the_client_compares_them(
    detection: list[float], reference: list[float], metric: str, strategy: str | None, bins: int
) -> None:
    first, second = describe(detection), describe(reference)
    comparison = {"distributionMetric": metric, "threshold": 0.1, "binningStrategy": strategy, "binCount": bins}
    comparison |= {"customBinEdges": [-100.0, 0.0, 50.0]} if strategy == "CUSTOM_EDGES" else {}
    comparison = {key: value for key, value in comparison.items() if value is not None}
    if strategy != "CUSTOM_EDGES" and second["min"] == second["max"]:
        return  # the client fails on the one bin of a constant
    wanted, shifted = by_client(first, second, comparison)
    found = compare(comparison, first, second)
    assert found.difference == pytest.approx(wanted, rel=1e-9, abs=1e-9)
    assert found.shifted == shifted or wanted == pytest.approx(0.1)


@settings(max_examples=60, deadline=None)
@given(words, words, st.sampled_from([m for m in DISTANCES if m != "WASSERSTEIN"]))
def test_categories_as_the_client_compares_them(detection: list[str], reference: list[str], metric: str) -> None:
    first, second = describe(detection), describe(reference)
    comparison = {"distributionMetric": metric, "threshold": 0.1}
    wanted, _ = by_client(first, second, comparison)
    assert compare(comparison, first, second).difference == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-100, 100), max_size=20),
    st.lists(st.floats(-100, 100), max_size=20),
    st.sampled_from([m for m in METRICS if m != "STDDEV"]),
    st.booleans(),
    st.booleans(),
    st.one_of(st.none(), st.floats(0.5, 10)),
)
def test_numbers_of_statistics_as_the_client_compares_them(
    detection: list[float], reference: list[float], metric: str, relative: bool, strict: bool, specific: float | None
) -> None:
    first, second = (
        describe([float(v) for v in values]) if values else {"featureName": "x", "count": 0}
        for values in (detection, reference)
    )
    comparison = {"metric": metric, "threshold": 0.5, "relative": relative, "strict": strict, "specificValue": specific}
    wanted, shifted = by_client(first, second, comparison)
    found = compare(comparison, first, second)
    assert (found.difference, found.shifted) == (wanted, shifted)


@settings(max_examples=50, deadline=None)
@given(numbers, st.sampled_from(DISTANCES))
def test_a_distribution_has_no_distance_from_itself(values: list[float], metric: str) -> None:
    found = describe(values)
    assert distance(found, found, {"distributionMetric": metric}) == pytest.approx(0.0, abs=1e-12)


def test_a_shift_is_seen_and_an_order_kept() -> None:
    generator = np.random.default_rng(0)
    reference = describe(generator.normal(0, 1, 2000).tolist())
    near, far = describe(generator.normal(0.3, 1, 2000).tolist()), describe(generator.normal(2, 1, 2000).tolist())
    # Not of all: with 20 bars over 10 bins, one bin may stay empty, and divergences make much of that.
    for metric in ("WASSERSTEIN", "KOLMOGOROV_SMIRNOV", "HELLINGER"):
        comparison = {"distributionMetric": metric}
        assert 0 < distance(near, reference, comparison) < distance(far, reference, comparison)


def test_what_cannot_be_compared_is_said() -> None:
    comparison = {"distributionMetric": "PSI", "binningStrategy": "EQUI_WIDTH"}
    with pytest.raises(NoDistributionError, match="neither"):
        distance({"count": 1}, {"count": 1}, comparison)
    with pytest.raises(NoDistributionError, match="needs numbers"):
        distance(describe(["a"]), describe(["b"]), {"distributionMetric": "WASSERSTEIN"})
    with pytest.raises(NoDistributionError, match="edges"):
        edges = {"distributionMetric": "PSI", "binningStrategy": "CUSTOM_EDGES", "customBinEdges": [1.0, 1.0]}
        distance(describe([1.0]), describe([1.0]), edges)
    assert compare(comparison, {"count": 0}, describe([1.0, 2.0])).difference is None
    assert json.dumps(describe([float("inf"), 1.0]), allow_nan=False)
