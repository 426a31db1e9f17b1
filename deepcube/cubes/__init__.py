"""Open data cubes whatever their format, and turn them into series, seasons and cells.

A cube is a set of variables on one or more grids, each an ``xarray.Dataset`` with dimensions ``(time, y, x)``, opened
lazily from GeoTIFF stacks, NetCDF or Zarr through the one call :func:`open_cube`. May import no other part of the
project; imports no machine learning library.
"""

from deepcube.cubes.errors import (
    CellError,
    CubeError,
    CubeNotFoundError,
    MissingCrsError,
    NotACubeError,
    NoValidDataError,
    ScaleError,
    TimeAxisError,
    UnknownVariableError,
)
from deepcube.cubes.splits import TimeSplit, time_split

__all__ = [
    "CellError",
    "CubeError",
    "CubeNotFoundError",
    "MissingCrsError",
    "NoValidDataError",
    "NotACubeError",
    "ScaleError",
    "TimeAxisError",
    "TimeSplit",
    "UnknownVariableError",
    "time_split",
]
