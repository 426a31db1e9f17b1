"""Small drought cubes with a known season."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401  (registers the accessor that writes a CRS)
import xarray as xr

WriteCube = Callable[..., Path]


@pytest.fixture
def write_cube(tmp_path: Path) -> WriteCube:
    """Return a function that writes six years of 16-day NDVI on a small UTM grid as NetCDF."""

    def write(name: str = "small.nc", *, rows: int = 3, cols: int = 2, scale: float = 1.0, gaps: float = 0.1) -> Path:
        rng = np.random.default_rng(11)
        times = pd.date_range("2001-01-01", periods=140, freq="16D")
        season = 0.5 + 0.3 * np.sin(2 * np.pi * times.dayofyear.to_numpy() / 365.25)
        values = season[:, None, None] + rng.normal(0, 0.05, (len(times), rows, cols))
        values[rng.random(values.shape) < gaps] = np.nan
        data = xr.Dataset(
            {"NDVI": (("time", "y", "x"), values * scale)},
            {"time": times, "y": 1_000_000.0 - 250 * np.arange(rows), "x": 500_000.0 + 250 * np.arange(cols)},
        )
        data.rio.write_crs("EPSG:32637").to_netcdf(tmp_path / name)
        return tmp_path / name

    return write
