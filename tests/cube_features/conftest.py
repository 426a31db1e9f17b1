"""Small grids to compute features on."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcube.cubes.conventions import to_grid


@pytest.fixture
def make_grid():
    """Return a function that makes a grid from arrays by name, in degrees or, with a CRS, in metres."""

    def make(variables, times, units=None, crs="EPSG:4326", spacing=0.01):
        shape = next(iter(variables.values())).shape[-2:]
        y = 40.0 - spacing * np.arange(shape[0]) if crs == "EPSG:4326" else 2e6 - spacing * np.arange(shape[0])
        x = 20.0 + spacing * np.arange(shape[1]) if crs == "EPSG:4326" else 5e6 + spacing * np.arange(shape[1])
        data = {
            name: (("time", "y", "x")[-values.ndim :], values, {"units": (units or {}).get(name, "1")})
            for name, values in variables.items()
        }
        return to_grid(xr.Dataset(data, {"time": times, "y": y, "x": x}), "main", "test", crs)

    return make


@pytest.fixture
def weekly():
    """Return a function that makes weekly times."""
    return lambda steps: pd.date_range("2010-01-03", periods=steps, freq="7D")
