"""Seasons and climatologies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcube.cubes import crossfit_climatology, fit_climatology, season_count, season_of, year_fraction

TIMES = pd.date_range("2001-01-01", periods=115, freq="16D")
seeds = st.integers(0, 2**32 - 1)


def series(seed: int, gaps: float = 0.3, pixels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(len(TIMES), pixels))
    return np.where(rng.random(values.shape) < gaps, np.nan, values)


@pytest.mark.parametrize(("days", "seasons"), [(16, 23), (10, 37), (30.4, 13), (31, 12), (365.25, 1), (8, 46)])
def test_a_year_has_a_season_per_started_step(days: float, seasons: int) -> None:
    assert season_count(pd.Timedelta(days=days)) == seasons


def test_modis_dates_have_the_same_season_every_year() -> None:
    for year in (2003, 2004):
        dates = pd.DatetimeIndex([pd.Timestamp(year, 1, 1) + pd.Timedelta(days=16 * i) for i in range(23)])
        assert season_of(dates, 23).tolist() == list(range(23))


def test_months_are_seasons_of_their_own() -> None:
    for year in (2003, 2004):
        assert season_of(pd.date_range(f"{year}-01-01", periods=12, freq="MS"), 12).tolist() == list(range(12))


@given(st.datetimes(pd.Timestamp("1900-01-01").to_pydatetime(), pd.Timestamp("2100-01-01").to_pydatetime()))
def test_year_fraction_is_within_the_year(date: object) -> None:
    times = pd.DatetimeIndex([date])
    assert 0 <= year_fraction(times)[0] < 1
    assert 0 <= season_of(times, 37)[0] < 37


def brute_force(values: np.ndarray, season: np.ndarray, seasons: int, s: int, minimum: int) -> tuple[float, float, int]:
    """Mean, spread and count of one season of one pixel, straight from the definition."""
    valid = np.isfinite(values)
    distance = np.array([min(abs(s - t), seasons - abs(s - t)) for t in season])
    for width in range(seasons // 2 + 1):
        inside = valid & (distance <= width)
        if inside.any() and inside.sum() >= min(minimum, valid.sum()):
            weight = 1 - distance[inside] / (width + 1)
            mean = np.average(values[inside], weights=weight)
            spread = np.sqrt(np.average((values[inside] - mean) ** 2, weights=weight))
            return float(mean), float(spread), int(inside.sum())
    return float("nan"), float("nan"), 0


@given(seeds, st.integers(1, 8), st.sampled_from([0.2, 0.9, 1.0]))
def test_climatology_equals_its_definition(seed: int, minimum: int, gaps: float) -> None:
    values, season = series(seed, gaps), season_of(TIMES, 23)
    fitted = fit_climatology(values, season, 23, minimum=minimum)
    for pixel in range(3):
        for s in (0, 7, 22):
            expected = brute_force(values[:, pixel], season, 23, s, minimum)
            found = (fitted.mean[s, pixel], fitted.std[s, pixel], fitted.observations[s, pixel])
            assert found == pytest.approx(expected, nan_ok=True, abs=1e-6)


def test_half_width_pools_neighbours_even_where_observations_suffice() -> None:
    values = np.array([[0.0], [0.0], [4.0], [4.0]])
    fitted = fit_climatology(values, np.array([0, 0, 1, 1]), 4, half_width=1, minimum=1)
    assert fitted.mean[:2, 0].tolist() == pytest.approx([4 / 3, 8 / 3])
    assert fitted.observations[0, 0] == 4


@given(seeds)
def test_constant_series_is_its_own_climatology(seed: int) -> None:
    values = np.where(np.isnan(series(seed)), np.nan, 0.7)
    fitted = fit_climatology(values, season_of(TIMES, 23), 23)
    np.testing.assert_allclose(fitted.mean, 0.7)
    np.testing.assert_allclose(fitted.std, 0.0, atol=1e-12)


@given(seeds, st.integers(0, len(TIMES) - 1))
def test_crossfit_ignores_everything_within_half_a_year(seed: int, at: int) -> None:
    values, season = series(seed), season_of(TIMES, 23)
    before = crossfit_climatology(values, TIMES, season, 23)
    near = np.asarray(abs((TIMES - TIMES[at]).days) <= 182)
    changed = np.where(near[:, None], values + 5.0, values)
    np.testing.assert_allclose(crossfit_climatology(changed, TIMES, season, 23)[at], before[at], atol=1e-12)
    far = crossfit_climatology(np.where(near[:, None], values, values + 5.0), TIMES, season, 23)
    np.testing.assert_allclose(far[at], before[at] + 5.0, atol=1e-12)


@given(seeds, st.integers(0, len(TIMES) - 1))
def test_crossfit_equals_a_fit_without_the_values_around(seed: int, at: int) -> None:
    values, season = series(seed), season_of(TIMES, 23)
    kept = np.asarray(abs((TIMES - TIMES[at]).days) > 182)
    expected = fit_climatology(values[kept], season[kept], 23).mean[season[at]]
    np.testing.assert_allclose(crossfit_climatology(values, TIMES, season, 23)[at], expected, atol=1e-12)


def test_crossfit_of_a_single_year_knows_nothing() -> None:
    few = slice(0, 12)
    assert np.isnan(crossfit_climatology(series(1)[few], TIMES[few], season_of(TIMES[few], 23), 23)).all()
