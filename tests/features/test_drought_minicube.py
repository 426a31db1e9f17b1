"""Minicubes: everything a cube knows, on one grid and step, without what comes later."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from features import drought
from features.drought.minicube import SIDE, make_minicube, split_of

TIMES = pd.date_range("2016-01-05", periods=280, freq="5D")
SHAPE = (len(TIMES), 6, 7)


def write(folder: Path, red: np.ndarray | None = None, mask: np.ndarray | None = None, **more: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    red = rng.uniform(0.05, 0.2, SHAPE) if red is None else red
    data = {
        "s2_B04": (("time", "lat", "lon"), red),
        "s2_B8A": (("time", "lat", "lon"), np.full(SHAPE, 0.4)),
        "s2_mask": (("time", "lat", "lon"), np.zeros(SHAPE, "uint8") if mask is None else mask),
        "cop_dem": (("lat", "lon"), np.arange(42.0).reshape(6, 7)),
        "esawc_lc": (("lat", "lon"), np.full((6, 7), 30, "uint8")),
        **{name: (("time", "lat", "lon"), values) for name, values in more.items()},
    }
    coords = {"time": TIMES, "lat": 2 + 0.0003 * np.arange(6), "lon": 42 + 0.0003 * np.arange(7)}
    path = folder / "place.nc"
    xr.Dataset(data, coords, {"simulated": "true"}).to_netcdf(path)
    return path


def made(path: Path) -> xr.Dataset:
    return make_minicube(drought.open_source(str(path)))


def test_a_minicube_holds_what_the_cube_has_at_its_own_steps(tmp_path):
    mask = np.zeros(SHAPE, "uint8")
    mask[3, 2, 1] = 1
    red = np.full(SHAPE, 0.1)
    minicube = made(write(tmp_path, red, mask))
    assert dict(minicube.sizes) == {"time": 280, "y": 6, "x": 7}
    assert minicube.attrs["step_days"] == 5.0 and minicube.attrs["simulated"] == "True"
    assert set(minicube.data_vars) == {"ndvi", "normal", "band_s2_b04", "band_s2_b8a", "elevation", "land_cover"}
    assert minicube["land_cover"].attrs["product"] == "esawc_lc"
    assert sorted(np.ravel(minicube["elevation"])) == list(range(42))
    assert np.nanmax(np.abs(minicube["ndvi"] - 0.6)) < 1e-6
    cloudy = minicube["ndvi"].isnull()
    assert int(cloudy.sum()) == 1, "the cloud is a gap, in NDVI and in the bands"
    assert (minicube["band_s2_b04"].isnull() == cloudy).all()
    assert np.allclose(minicube["band_s2_b04"].values[~cloudy.values], 0.1)
    reopened = tmp_path / "again.nc"
    minicube.to_netcdf(reopened)
    assert split_of(xr.load_dataset(reopened)) == split_of(minicube)


def test_what_is_normal_knows_neither_the_value_itself_nor_later_years(tmp_path):
    red = np.random.default_rng(1).uniform(0.05, 0.2, SHAPE)
    before = made(write(tmp_path, red))
    split = split_of(before)
    train = np.asarray(split.train_end > TIMES)
    changed = red.copy()
    changed[~train] = 0.3
    changed[20, 3, 3] = 0.3
    after = made(write(tmp_path, changed))
    assert not np.allclose(before["ndvi"], after["ndvi"])
    assert (before["normal"][20] == after["normal"][20]).all(), "cross-fitted"
    far = np.ones(len(TIMES), bool)
    far[:60] = False
    same = np.delete(np.arange(6), before["y"].values[3:4])
    assert np.array_equal(before["normal"].values[far][:, same], after["normal"].values[far][:, same], equal_nan=True)


def test_of_a_large_cube_the_middle_is_taken(shared_data):
    minicube = made(shared_data / "eolearn-testeopatch" / "TestEOPatch")
    assert (minicube.sizes["y"], minicube.sizes["x"]) == (SIDE, SIDE)
    assert {"elevation", "land_cover"} <= set(minicube.data_vars)
    assert int(minicube["y"][0]) == (101 - SIDE) // 2


@pytest.mark.slow
def test_the_simulated_source_brings_bands_weather_terrain_and_land_cover(tmp_path):
    minicube = make_minicube(drought.open_source("simulated", tmp_path))
    assert {"rain", "temperature", "elevation", "land_cover", "band_s2_b8a"} <= set(minicube.data_vars)
    assert minicube["rain"].dims == ("time",) and minicube["rain"].attrs["units"] == "mm"
    assert minicube.attrs["step_days"] == 5.0
