"""Scores against values worked out by hand, and against scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import r2_score, root_mean_squared_error

from deepcube.oblivious import Score, ScoreError, score, score_table, spread

GAP = math.nan


def test_by_hand():
    # errors 1, 0, -2; squares 5; mean of truth 2, squares about it 2
    assert score(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 1.0])) == Score(math.sqrt(5 / 3), 1 - 5 / 2, 3)


def test_gaps_in_the_truth_do_not_count():
    truth, forecast = np.array([[1.0, GAP], [3.0, 2.0]]), np.array([[1.0, 9.0], [3.0, 2.0]])
    assert score(truth, forecast) == Score(0.0, 1.0, 3)


@given(
    hnp.arrays(float, (20, 2), elements=st.floats(-1, 1, width=32)),
    hnp.arrays(float, (20, 2), elements=st.floats(-1, 1, width=32)),
    hnp.arrays(bool, (20, 2)),
)
def test_equal_to_scikit_learn_over_the_observed_values(truth, forecast, gaps):
    kept = ~gaps
    if np.unique(truth[kept]).size < 2:
        return
    result = score(np.where(gaps, GAP, truth), forecast)
    assert result.rmse == pytest.approx(root_mean_squared_error(truth[kept], forecast[kept]))
    if np.ptp(truth[kept]) > 1e-6:
        assert result.r2 == pytest.approx(r2_score(truth[kept], forecast[kept]), rel=1e-6)


def test_table_scores_all_forecasts_over_the_same_rows():
    truth = np.array([[0.0, 1.0, GAP], [2.0, GAP, GAP]])
    table = score_table(truth, {"model": np.ones((2, 3)), "zero": np.zeros((2, 3))}, ["a", "b", "c"])
    assert set(table["model"]) == {"overall", "a", "b"}, "an output that was never observed has no score"
    assert table["model"]["a"] == {"rmse": 1.0, "r2": 0.0, "n": 2}
    assert table["zero"]["overall"]["rmse"] == pytest.approx(math.sqrt(5 / 3))
    assert {row["overall"]["n"] for row in table.values()} == {3}


def test_truth_that_does_not_vary_has_no_r2():
    assert math.isnan(score(np.ones(3), np.zeros(3)).r2)


@pytest.mark.parametrize(
    ("truth", "forecast", "said"),
    [
        (np.zeros(2), np.zeros(3), r"\(2,\).*\(3,\)"),
        (np.full(2, GAP), np.zeros(2), "no observed value"),
        (np.zeros(2), np.array([0.0, GAP]), "1 of 2 forecasts missing"),
    ],
)
def test_what_cannot_be_compared_is_refused(truth, forecast, said):
    with pytest.raises(ScoreError, match=said):
        score(truth, forecast)


def test_spread_over_seeds():
    assert spread([1.0, 3.0]) == {"mean": 2.0, "std": pytest.approx(math.sqrt(2)), "min": 1.0, "max": 3.0}
    assert spread([1.0])["std"] == 0.0
