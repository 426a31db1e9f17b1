"""How far one ranking is ahead of another: equal to scikit-learn, and honest about what hangs together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from training_pipelines.binary_leads import lead
from training_pipelines.binary_scores import BinaryScoreError


def cases(seed: int, days: int, each: int, shared: float) -> tuple[np.ndarray, ...]:
    """Events of days, whose cases have part of their cause in common; a good forecast and a worse one, with ties."""
    random = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), each)
    cause = shared * random.normal(size=days)[day] + (1 - shared) * random.normal(size=day.size)
    truth = cause + 0.3 * random.normal(size=day.size) > 1.2 * np.std(cause)
    worse = np.round(cause + 1.5 * np.std(cause) * random.normal(size=day.size), 1)
    return truth, cause, worse, day, random.choice([1.0, 40.0], day.size)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_difference_is_scikit_learns(seed: int) -> None:
    truth, good, worse, day, weight = cases(seed, 12, 15, 0.5)
    if truth.all() or not truth.any():
        return
    found = lead(truth, good, worse, day, weight)
    for name, score in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
        expected = score(truth, good, sample_weight=weight) - score(truth, worse, sample_weight=weight)
        assert found[name]["difference"] == pytest.approx(expected, abs=1e-9)
        assert found[name]["low"] <= found[name]["high"]


def test_a_forecast_is_not_ahead_of_itself_and_a_good_one_is_of_noise() -> None:
    truth, good, worse, day, weight = cases(0, 60, 30, 0.3)
    itself = lead(truth, good, good, day, weight)
    assert set(itself["auroc"].values()) == set(itself["auprc"].values()) == {0.0}
    ahead = lead(truth, good, worse, day, weight)
    assert ahead["auroc"]["low"] > 0 and ahead["auprc"]["low"] > 0


def test_what_hangs_together_is_less_sure_than_what_does_not() -> None:
    truth, good, worse, day, weight = cases(1, 40, 40, 0.95)
    by_day, by_case = (lead(truth, good, worse, groups, weight) for groups in (day, np.arange(day.size)))
    assert by_day["auprc"]["difference"] == pytest.approx(by_case["auprc"]["difference"])
    width = [one["auprc"]["high"] - one["auprc"]["low"] for one in (by_day, by_case)]
    assert width[0] > width[1]


def test_one_outcome_cannot_be_ranked() -> None:
    with pytest.raises(BinaryScoreError):
        lead([1, 1], [0.1, 0.2], [0.1, 0.2], [0, 1])
