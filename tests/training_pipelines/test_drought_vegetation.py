"""Scores by pixel, and of forecasts as distributions: against closed forms and independent computations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from features.drought.quantiles import LEVELS, below, coverage, crps, error_quantiles
from training_pipelines.drought.vegetation import vegetation_scores

seeds = st.integers(0, 1000)


@settings(max_examples=20)
@given(seed=seeds)
def test_scores_by_pixel_equal_a_loop_over_pixels(seed):
    random = np.random.default_rng(seed)
    truth, forecast, normal = random.normal(size=(3, 6, 12))
    truth[random.random(truth.shape) < 0.5] = np.nan
    series = np.repeat(np.arange(6), 12).reshape(6, 12)
    found = vegetation_scores(truth, forecast, normal, series)
    efficiencies, better = [], []
    for y, f, c in zip(truth, forecast, normal, strict=True):
        seen = np.isfinite(y)
        if seen.sum() >= 3:
            efficiencies.append(1 - ((y - f)[seen] ** 2).mean() / y[seen].var())
            better.append(((y - f)[seen] ** 2).mean() < ((y - c)[seen] ** 2).mean())
    nnse = np.mean([1 / (2 - one) for one in efficiencies])
    assert found["nse"] == pytest.approx(np.median(efficiencies))
    assert found["nnse"] == pytest.approx(nnse)
    assert found["veg_score"] == pytest.approx(2 - 1 / nnse)
    assert found["beats_climatology"] == pytest.approx(np.mean(better))
    assert found["series"] == len(efficiencies)


def test_a_perfect_forecast_scores_one_and_nothing_observed_scores_nothing():
    truth = np.array([0.1, 0.2, 0.4, 0.3])
    perfect = vegetation_scores(truth, truth, np.full(4, 0.25), np.zeros(4, int))
    assert [perfect[name] for name in ("nse", "nnse", "veg_score", "beats_climatology")] == [1, 1, 1, 1]
    mean = vegetation_scores(truth, np.full(4, truth.mean()), truth, np.zeros(4, int))
    assert mean["nse"] == pytest.approx(0) and mean["veg_score"] == pytest.approx(0) and mean["beats_climatology"] == 0
    assert np.isnan(vegetation_scores(truth * np.nan, truth, truth, np.zeros(4, int))["nse"])
    assert vegetation_scores(truth[:2], truth[:2], truth[:2], np.zeros(2, int))["series"] == 0


def test_crps_of_a_normal_forecast_is_near_its_closed_form():
    truth = np.array([-0.8, -0.2, 0.0, 0.3, 1.1])
    quantiles = np.tile(stats.norm.ppf(LEVELS), (len(truth), 1))
    exact = truth * (2 * stats.norm.cdf(truth) - 1) + 2 * stats.norm.pdf(truth) - 1 / np.sqrt(np.pi)
    assert crps(truth, quantiles) == pytest.approx(exact.mean(), abs=0.06), "nine levels approximate the integral"
    sharp = np.repeat(truth[:, None] + 0.5, len(LEVELS), axis=1)
    assert crps(truth, sharp) == pytest.approx(0.5), "without spread it is the mean absolute error"
    assert np.isnan(crps(truth * np.nan, quantiles))


@settings(max_examples=20)
@given(seed=seeds)
def test_the_true_distribution_has_the_best_crps(seed):
    truth = np.random.default_rng(seed).normal(size=4000)
    right, narrow, wide, shifted = (
        crps(truth, np.tile(shift + scale * stats.norm.ppf(LEVELS), (len(truth), 1)))
        for shift, scale in ((0, 1), (0, 0.3), (0, 3), (0.7, 1))
    )
    assert right < min(narrow, wide, shifted)


def test_quantiles_of_errors_make_a_calibrated_distribution():
    random = np.random.default_rng(0)
    forecast = random.normal(size=(4000, 2))
    truth = forecast + random.normal([0.5, 0.0], [1.0, 0.2], (4000, 2))
    truth[::7, 0] = np.nan
    offsets = error_quantiles(truth[:2000], forecast[:2000])
    assert offsets.shape == (2, len(LEVELS)) and (np.diff(offsets, axis=1) > 0).all()
    assert offsets[0, 4] == pytest.approx(0.5, abs=0.1)
    later = forecast[2000:, :, None] + offsets
    assert coverage(truth[2000:], later) == pytest.approx(0.8, abs=0.03)
    assert not error_quantiles(np.full((3, 1), np.nan), np.zeros((3, 1))).any()


@settings(max_examples=20)
@given(seed=seeds)
def test_the_chance_to_be_below_rises_with_the_threshold_and_is_the_level_at_a_quantile(seed):
    quantiles = np.sort(np.random.default_rng(seed).normal(size=(1, len(LEVELS))))
    assert np.allclose([below(quantiles[:, k], quantiles)[0] for k in range(1, len(LEVELS))], LEVELS[1:], atol=1e-9)
    thresholds = np.linspace(-4, 4, 40)
    chances = below(thresholds, np.repeat(quantiles, 40, axis=0))
    assert (np.diff(chances) >= -1e-12).all()
    assert ((chances > 0) & (chances < 1)).all()
    assert np.isnan(below(np.array([np.nan]), quantiles))[0]
