"""Cubes that the tests of the atlas show: small, with gaps, classes, a rotated grid, and names that are markup."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.cubes import Cube, open_cube, write_cube

HOSTILE = '"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
SMALL = "small"
STEPS, ROWS, COLUMNS = 80, 24, 30


def small(folder: Path) -> Cube:
    """Return a cube in degrees: a quantity with gaps and seasons, another without, and classes."""
    generator = np.random.default_rng(3)
    times = pd.date_range("2018-01-05", periods=STEPS, freq="16D")
    latitude, longitude = np.linspace(41.0, 36.4, ROWS), np.linspace(20.1, 25.9, COLUMNS)
    season = 0.2 * np.sin(2 * np.pi * np.asarray(times.dayofyear) / 365)
    ndvi = 0.5 + season[:, None, None] + 0.1 * np.sin(np.arange(ROWS))[:, None] + 0.05 * np.cos(np.arange(COLUMNS))
    ndvi = (ndvi + generator.normal(0, 0.02, (STEPS, ROWS, COLUMNS))).astype(np.float32)
    ndvi[generator.random(ndvi.shape) < 0.2] = np.nan
    rain = generator.gamma(2, 5, ndvi.shape).astype(np.float32)
    cover = (np.arange(ROWS)[:, None] // 6 + np.zeros(COLUMNS)).astype(np.int16)
    classes = {"flag_values": [0, 1, 2, 3], "flag_meanings": "water forest crops urban", "long_name": "land cover"}
    dataset = xr.Dataset(
        {
            "ndvi": (("time", "y", "x"), ndvi, {"units": "1", "long_name": "vegetation index"}),
            "rain": (("time", "y", "x"), rain, {"units": "mm", "long_name": "rain"}),
            "cover": (("y", "x"), cover, classes),
        },
        {"time": times, "y": latitude, "x": longitude},
        {"title": "Small cube", "simulated": 1, "license": "CC0-1.0"},
    )
    return _stored(dataset, folder, SMALL, 4326)


def rotated(folder: Path) -> Cube:
    """Return a cube in metres of a transverse Mercator zone, y rising."""
    y, x = 4_400_000 + 500.0 * np.arange(20), 600_000 + 500.0 * np.arange(26)
    values = (np.arange(20)[:, None] * 100 + np.arange(26)).astype(np.float32)
    dataset = xr.Dataset({"number": (("y", "x"), values, {"units": "1"})}, {"y": y, "x": x}, {"license": "CC0-1.0"})
    return _stored(dataset, folder, "rotated", 32634)


def hostile(folder: Path) -> Cube:
    """Return a cube whose every text is markup that would run if it were taken as such."""
    latitude, longitude = np.linspace(41, 40, 5), np.linspace(20, 21, 6)
    attrs = {"units": HOSTILE, "long_name": HOSTILE, "kind": "categorical", "flag_values": [0, 1]}
    attrs["flag_meanings"] = "<script>window.hacked=1</script> <img/src=x/onerror=window.hacked=1>"
    values = np.arange(60).reshape(2, 5, 6) % 2
    quantity = {"units": HOSTILE, "long_name": HOSTILE}
    dataset = xr.Dataset(
        {
            "classes": (("time", "y", "x"), values.astype(np.int16), attrs),
            "quantity": (("time", "y", "x"), values.astype(np.float32), quantity),
        },
        {"time": pd.date_range("2020-01-01", periods=2), "y": latitude, "x": longitude},
        {"title": HOSTILE, "license": HOSTILE, "source": HOSTILE},
    )
    return _stored(dataset, folder, "hostile", 4326)


def _stored(dataset: xr.Dataset, folder: Path, name: str, epsg: int) -> Cube:
    raw, made = folder / f"{name}.nc", folder / f"{name}.zarr"
    dataset.to_netcdf(raw)
    write_cube(open_cube(raw, crs=f"EPSG:{epsg}"), made, layout="map")
    return open_cube(made)
