"""Scores of probabilities against sums by hand, scipy and brute force."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training_pipelines.binary_figures import draw_calibration, draw_ranking
from training_pipelines.binary_scores import (
    BinaryScoreError,
    binary_scores,
    calibration_table,
    flat_point,
    operating_point,
    over_seeds,
    probability_spread,
    ranking_scores,
)

TRUTH = [0, 0, 1, 1]
FORECAST = [0.1, 0.4, 0.35, 0.8]


def cases(min_size=4, max_size=40):
    """Some cases with at least one event and one non-event; probabilities on a coarse grid, so that they tie."""
    grid = st.integers(0, 10).map(lambda tenth: tenth / 10)
    row = st.tuples(st.booleans(), grid, st.integers(1, 5))
    return st.lists(row, min_size=min_size, max_size=max_size).filter(lambda rows: len({r[0] for r in rows}) == 2)


def test_scores_by_hand():
    scores = binary_scores(TRUTH, FORECAST)
    assert scores["auroc"] == pytest.approx(3 / 4), "three of the four pairs are in order"
    assert scores["auprc"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert scores["brier"] == pytest.approx((0.01 + 0.16 + 0.65**2 + 0.04) / 4)
    assert scores["brier_skill"] == pytest.approx(1 - scores["brier"] / 0.25)
    assert scores["log_loss"] == pytest.approx(-np.mean(np.log([0.9, 0.6, 0.35, 0.8])))
    assert (scores["base_rate"], scores["n"], scores["events"]) == (0.5, 4, 2)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_weights_stand_for_repeated_cases(rows):
    y, p, w = (np.array(column) for column in zip(*rows, strict=True))
    repeated = np.repeat(y, w), np.repeat(p, w)
    counted = binary_scores(y, p, w)
    written_out = binary_scores(*repeated)
    for name in set(counted) - {"n", "events"}:
        assert counted[name] == pytest.approx(written_out[name], abs=1e-9), name
    point, same = operating_point(y, p, recall=0.7, weight=w), operating_point(*repeated, recall=0.7)
    assert (point.threshold, point.recall, point.false_alarm_rate, point.precision) == pytest.approx(
        (same.threshold, same.recall, same.false_alarm_rate, same.precision)
    )


@settings(max_examples=40, deadline=None)
@given(cases(), st.sampled_from([0.25, 0.5, 0.8, 0.9, 1.0]))
def test_operating_point_is_the_highest_threshold_of_all(rows, recall):
    y, p, _ = (np.array(column) for column in zip(*rows, strict=True))
    good = [t for t in np.unique(p) if (p[y] >= t).mean() >= recall - 1e-12]
    point = operating_point(y, p, recall=recall, maps=np.arange(len(y)) % 2)
    assert point.threshold == max(good)
    assert point.recall == pytest.approx((p[y] >= point.threshold).mean())
    assert point.false_alarm_rate == pytest.approx((p[~y] >= point.threshold).mean())
    assert point.false_alarms_per_map == pytest.approx((p[~y] >= point.threshold).sum() / 2)
    assert operating_point(y, p, recall=recall, maps=2).false_alarms_per_map == point.false_alarms_per_map
    assert point.alarms == pytest.approx((p >= point.threshold).mean())


@settings(max_examples=25, deadline=None)
@given(cases())
def test_auroc_is_the_share_of_pairs_in_order(rows):
    y, p, _ = (np.array(column) for column in zip(*rows, strict=True))
    pairs = [(a > b) + 0.5 * (a == b) for a in p[y] for b in p[~y]]
    assert ranking_scores(y, p)["auroc"] == pytest.approx(np.mean(pairs))
    assert ranking_scores(y, 1000 * p - 7)["auroc"] == pytest.approx(np.mean(pairs)), "only the order counts"


def test_perfect_probabilities_are_calibrated_and_shifted_ones_are_not():
    random = np.random.default_rng(3)
    p = random.uniform(0, 1, 20_000)
    y = random.uniform(0, 1, p.size) < p
    table = calibration_table(y, p)
    assert len(table) == 10 and table["n"].sum() == p.size and table["events"].sum() == y.sum()
    assert np.allclose(table["forecast"], table["observed"], atol=0.04)
    assert table.attrs["ece"] < 0.02
    assert ((table["low"] <= table["observed"]) & (table["observed"] <= table["high"])).all()
    assert calibration_table(y, p**3).attrs["ece"] > 0.2


def test_calibration_of_a_thinned_sample_needs_its_weights():
    random = np.random.default_rng(4)
    p = random.uniform(0, 0.2, 40_000)
    y = random.uniform(0, 1, p.size) < p
    kept = y | (random.uniform(0, 1, p.size) < 0.1)
    weight = np.where(y[kept], 1.0, 10.0)
    assert calibration_table(y[kept], p[kept]).attrs["ece"] > 0.2
    assert calibration_table(y[kept], p[kept], weight=weight).attrs["ece"] < 0.02


def test_interval_is_that_of_wilson():
    table = calibration_table([0] * 8 + [1] * 2, [0.2] * 10)
    assert len(table) == 1, "one probability makes one bin"
    assert (table["low"][0], table["high"][0]) == pytest.approx((0.0567, 0.5098), abs=1e-4)  # Wilson, 2 of 10


def test_spread_over_seeds():
    summary = over_seeds([{"auroc": value} for value in (0.8, 0.9, 0.85)])["auroc"]
    assert summary["mean"] == pytest.approx(0.85) and summary["std"] == pytest.approx(0.05)
    assert (summary["min"], summary["max"]) == (0.8, 0.9)
    assert summary["high"] - 0.85 == pytest.approx(
        4.302653 * 0.05 / math.sqrt(3), rel=1e-5
    )  # t of 2 degrees of freedom
    alone = over_seeds([{"auroc": 0.8}])["auroc"]
    assert alone["std"] == 0 and math.isnan(alone["low"])
    assert probability_spread([[0.1, 0.2], [0.3, 0.2]]) == pytest.approx([math.sqrt(0.02), 0])
    assert probability_spread([[0.1, 0.2]]).tolist() == [0, 0]


def test_metrics_of_a_point_have_names():
    point = operating_point(TRUTH, FORECAST, recall=0.5)
    flat = flat_point(point, 0.5)
    assert flat["threshold_at_recall_50"] == 0.8 and flat["false_alarm_rate_at_recall_50"] == 0
    assert not any(name.startswith("false_alarms_per_map") for name in flat)


@pytest.mark.parametrize(
    ("truth", "forecast", "weight", "message"),
    [
        ([0, 1], [0.1], None, "shape"),
        ([0, 1, np.nan], [0.1, 0.2, 0.3], None, "other than 0 and 1"),
        ([0, 1], [0.1, np.nan], None, "1 of 2 forecasts missing"),
        ([0, 1], [0.1, 1.2], None, "0.1 to 1.2"),
        ([0, 0], [0.1, 0.2], None, "0 events among 2"),
        ([1, 1], [0.1, 0.2], None, "2 events among 2"),
        ([0, 1], [0.1, 0.2], [1, 0], "weight"),
    ],
)
def test_what_cannot_be_scored_is_refused(truth, forecast, weight, message):
    with pytest.raises(BinaryScoreError, match=message):
        binary_scores(truth, forecast, weight)


def test_other_wrong_arguments():
    with pytest.raises(BinaryScoreError, match="recall 0"):
        operating_point(TRUTH, FORECAST, recall=0)
    with pytest.raises(BinaryScoreError, match="one map per case"):
        operating_point(TRUTH, FORECAST, maps=[1, 2])
    with pytest.raises(BinaryScoreError, match="0 bins"):
        calibration_table(TRUTH, FORECAST, bins=0)
    with pytest.raises(BinaryScoreError, match="no seed"):
        over_seeds([])
    with pytest.raises(BinaryScoreError, match="different scores"):
        over_seeds([{"a": 1}, {"b": 1}])
    with pytest.raises(BinaryScoreError, match="alike"):
        probability_spread([[0.1], [0.1, 0.2]])


def test_figures(tmp_path):
    random = np.random.default_rng(0)
    p = random.uniform(0, 0.3, 500)
    y = random.uniform(0, 1, 500) < p
    tables = {"model": calibration_table(y, p), "climatology": calibration_table(y, np.full(500, 0.15))}
    curve = draw_calibration(tables, tmp_path / "calibration.png", title="fires", event="fire")
    ranking = draw_ranking(y, {"model": p, "index": 40 * p + 1}, tmp_path / "ranking.png", title="fires")
    for figure in (curve, ranking):
        assert figure.read_bytes()[:4] == b"\x89PNG"
    assert isinstance(tables["model"], pd.DataFrame)
