"""Open data cubes whatever their format, and turn them into series, seasons and cells.

A cube is a set of variables on one or more grids, each an ``xarray.Dataset`` with dimensions ``(time, y, x)``, opened
lazily from GeoTIFF stacks, NetCDF, Zarr or eo-learn patches through the one call :func:`open_cube`. May import no other
part of the project; imports no machine learning library.
"""

from deepcube.cubes.cells import (
    cell_area,
    cell_at,
    cell_centre,
    cell_level,
    children,
    descendant_range,
    level_for_spacing,
    parent,
    pixel_cells,
    polygon_cells,
)
from deepcube.cubes.climatology import (
    Climatology,
    crossfit_climatology,
    fit_climatology,
    season_count,
    season_of,
    year_fraction,
)
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
from deepcube.cubes.model import Cube, Grid, Variable, slug
from deepcube.cubes.opening import open_cube
from deepcube.cubes.series import ahead, lagged, last_observed
from deepcube.cubes.spectral import SCL_CLEAR, SCL_LAND, ndvi, scl_clear
from deepcube.cubes.splits import TimeSplit, time_split
from deepcube.cubes.steps import Steps, composite, native_steps, regular_step, window_steps
from deepcube.cubes.validate import check_valid

__all__ = [
    "SCL_CLEAR",
    "SCL_LAND",
    "CellError",
    "Climatology",
    "Cube",
    "CubeError",
    "CubeNotFoundError",
    "Grid",
    "MissingCrsError",
    "NoValidDataError",
    "NotACubeError",
    "ScaleError",
    "Steps",
    "TimeAxisError",
    "TimeSplit",
    "UnknownVariableError",
    "Variable",
    "ahead",
    "cell_area",
    "cell_at",
    "cell_centre",
    "cell_level",
    "check_valid",
    "children",
    "composite",
    "crossfit_climatology",
    "descendant_range",
    "fit_climatology",
    "lagged",
    "last_observed",
    "level_for_spacing",
    "native_steps",
    "ndvi",
    "open_cube",
    "parent",
    "pixel_cells",
    "polygon_cells",
    "regular_step",
    "scl_clear",
    "season_count",
    "season_of",
    "slug",
    "time_split",
    "window_steps",
    "year_fraction",
]
