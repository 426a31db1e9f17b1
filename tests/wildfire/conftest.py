"""A small wildfire cube in the published layout, with a known cause of fire."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  (registers the accessor that writes a CRS)
import xarray as xr


@pytest.fixture(scope="session")
def fire_cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FireCube in its published layout: all on one daily grid of 1 km; cells on hot slopes burn."""
    rng = np.random.default_rng(7)
    side, times = 36, pd.date_range("2010-01-01", periods=900)
    shape = (len(times), side, side)
    season = -np.cos(2 * np.pi * times.dayofyear.to_numpy() / 365.25)
    daily = rng.normal(0, 3, len(times))
    place = rng.uniform(-1, 1, (side, side))
    hot = 291 + 9 * season[:, None, None] + daily[:, None, None] + place
    slope = np.abs(rng.normal(0, 8, (side, side)))
    chance = 2e-4 * np.exp(0.18 * (hot - 291) + 0.08 * (slope - 6))
    burned = np.zeros(shape, dtype=np.uint8)
    burned[1:] = rng.uniform(size=(shape[0] - 1, side, side)) < chance[:-1]
    surface = np.where(rng.uniform(size=shape) < 0.3, np.nan, hot + 8 + rng.normal(0, 1, shape))
    rain = np.where(rng.uniform(size=len(times)) < 0.2 - 0.15 * season, rng.gamma(1, 0.008, len(times)), 0.0)
    people = rng.lognormal(1, 1, (side, side))
    people[20:23, 11:14] += 300
    people[21, 12] += 500
    three, two = ("time", "y", "x"), ("y", "x")
    fields = {
        "burned_areas": (three, burned),
        "era5_max_t2m": (three, hot),
        "era5_min_t2m": (three, hot - 9),
        "era5_max_u10": (three, np.broadcast_to(rng.normal(2, 1, len(times))[:, None, None], shape)),
        "era5_max_v10": (three, np.broadcast_to(rng.normal(1, 1, len(times))[:, None, None], shape)),
        "era5_max_tp": (three, np.broadcast_to(rain[:, None, None], shape), {"units": "m"}),
        "LST_Day_1km": (three, surface),
        "1 km 16 days NDVI": (three, np.clip(0.5 - 0.2 * season[:, None, None] + 0.1 * place, -1, 1) + 0 * hot),
        "dem_mean": (two, 300 + 100 * place),
        "slope_mean": (two, slope),
        "aspect_mean": (two, rng.uniform(0, 360, (side, side))),
        "clc_2018": (two, rng.choice([12, 24, 28, 32], (side, side))),
        "roads_density_2020": (two, rng.gamma(1, 1, (side, side))),
        "population_density_2018": (two, people),
    }
    data = xr.Dataset(
        {name: (field[0], np.asarray(field[1], dtype=np.float32), *field[2:]) for name, field in fields.items()},
        {"time": times, "y": 2_000_000.0 - 1000 * np.arange(side), "x": 5_500_000.0 + 1000 * np.arange(side)},
        {"simulated": "true"},
    )
    path = tmp_path_factory.mktemp("fires") / "simulated_attica.zarr"
    chunks = {name: {"chunks": (90, side, side)} for name, field in fields.items() if field[0] == three}
    data.rio.write_crs("EPSG:3035").to_zarr(path, encoding=chunks)
    return path
