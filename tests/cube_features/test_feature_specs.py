"""Declared features against brute force, and the promise that none looks ahead."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.cubes.climatology import fit_climatology, season_of
from deepcube.cubes.conventions import to_grid
from deepcube.cubes.features import Anomaly, FeatureError, Kndvi, Lag, Masked, Ndvi, Season, Value, Window, declare
from deepcube.cubes.features.specs import seasonal


def values(grid, feature, shape):
    return declare(grid, {"x": feature}, level=20).tile(0).column("x").to_pandas().to_numpy().reshape(shape)


def holed(seed, shape):
    generator = np.random.default_rng(seed)
    cube = generator.normal(size=shape)
    cube[generator.random(shape) < 0.2] = np.nan
    return cube


@settings(max_examples=25)
@given(
    steps=st.integers(1, 9), minimum=st.none() | st.integers(1, 5), seed=st.integers(0, 99),
    statistic=st.sampled_from(["mean", "sum", "min", "max", "std"]),
)  # fmt: skip
def test_windows_equal_brute_force(steps, minimum, seed, statistic):
    cube = holed(seed, (12, 2, 3))
    axes = {"time": pd.date_range("2010-01-03", periods=12, freq="7D"), "y": [2.0, 1.0], "x": [1.0, 2.0, 3.0]}
    grid = to_grid(xr.Dataset({"v": (("time", "y", "x"), cube)}, axes), "main", "test", "EPSG:4326")
    found = values(grid, Window("v", steps, statistic, minimum), cube.shape)
    needed = steps if minimum is None else minimum
    for t in range(12):
        for pixel in np.ndindex(2, 3):
            past = cube[(slice(max(0, t - steps + 1), t + 1), *pixel)]
            past = past[np.isfinite(past)]
            if len(past) < needed:
                assert np.isnan(found[(t, *pixel)])
            else:
                assert found[(t, *pixel)] == pytest.approx(getattr(np, statistic)(past), abs=1e-12)


FIT = ("2010-01-01", "2012-01-01")
FEATURES = [
    Value("v"),
    Lag("v", 3),
    Window("v", 5, "mean", 1),
    Window(Lag("v", 2), 3, "max", 1),
    Anomaly("v", FIT),
    Anomaly("v", FIT, standardised=True, half_width=2),
    Anomaly(Ndvi("red", "nir"), FIT, crossfit=True),
    Kndvi("red", "nir"),
    Masked("v", "class", (1, 2)),
    Lag(Anomaly(Window("v", 4, "mean", 1), FIT), 1),
    Season("sin"),
]


@pytest.mark.parametrize("feature", FEATURES, ids=repr)
def test_no_feature_sees_the_future(feature, make_grid, weekly):
    generator = np.random.default_rng(5)
    times, shape = weekly(160), (160, 2, 2)
    cubes = {
        "v": holed(1, shape), "red": generator.uniform(0.01, 0.4, shape), "nir": generator.uniform(0.1, 0.6, shape),
        "class": generator.integers(0, 4, shape).astype(float),
    }  # fmt: skip
    before = values(make_grid(cubes, times), feature, shape)
    for cut in (110, 135):  # both after the period that climatologies are fitted on
        changed = {
            name: np.concatenate([cube[:cut], generator.permutation(cube[cut:].ravel()).reshape(cube[cut:].shape)])
            for name, cube in cubes.items()
        }
        after = values(make_grid(changed, times), feature, shape)
        assert np.array_equal(before[:cut], after[:cut], equal_nan=True)


def test_anomalies_are_departures_from_the_climatology_of_their_period(make_grid, weekly):
    times, cube = weekly(200), holed(3, (200, 2, 2)) + 5
    found = values(make_grid({"v": cube}, times), Anomaly("v", FIT), cube.shape)
    inside = (times >= FIT[0]) & (times < FIT[1])
    season = season_of(times, 53)
    normal = fit_climatology(cube.reshape(200, -1)[inside], season[inside], 53)
    assert np.allclose(found, cube - normal.mean[season].reshape(cube.shape), equal_nan=True)


def test_crossfitting_takes_its_own_value_out(make_grid, weekly):
    times, cube = weekly(156), np.zeros((156, 1, 1))
    cube[20] = 100.0
    plain = values(make_grid({"v": cube}, times), Anomaly("v", FIT), 156)
    fitted = values(make_grid({"v": cube}, times), Anomaly("v", FIT, crossfit=True), 156)
    assert plain[20] < 100 and fitted[20] == pytest.approx(100)


def test_declarations_that_make_no_sense_are_refused(make_grid, weekly):
    with pytest.raises(FeatureError, match="never look ahead"):
        Lag("v", -1)
    with pytest.raises(FeatureError, match="at least 1"):
        Window("v", 0)
    grid = make_grid({"v": np.zeros((30, 1, 1))}, weekly(30))
    with pytest.raises(FeatureError, match="within them"):
        values(grid, Anomaly("v", ("1990-01-01", "1991-01-01")), 30)
    irregular = make_grid({"v": np.zeros((3, 1, 1))}, weekly(9)[[0, 1, 7]])
    with pytest.raises(FeatureError, match="regular"):
        values(irregular, Lag("v", 1), 3)


@settings(max_examples=20)
@given(
    years=st.integers(1, 6), minimum=st.integers(1, 4), gaps=st.sampled_from([0.0, 0.1, 0.6]), seed=st.integers(0, 99)
)
def test_the_way_without_pooling_is_the_general_one(years, minimum, gaps, seed):
    generator = np.random.default_rng(seed)
    values = 7 + generator.normal(size=(years * 9, 3))
    values[generator.random(values.shape) < gaps] = np.nan
    season = np.arange(len(values)) % 9
    fast = seasonal(values, season, 9, 0, minimum)
    general = fit_climatology(values, season, 9, half_width=0, minimum=minimum)
    assert np.allclose(fast.mean, general.mean, equal_nan=True)
    assert np.allclose(fast.std, general.std, atol=1e-7, equal_nan=True)
    assert np.array_equal(fast.observations, general.observations)
