"""Open data cubes whatever their format, and turn them into series, seasons and cells.

A cube is a set of variables on one or more grids, each an ``xarray.Dataset`` with dimensions ``(time, y, x)``, opened
lazily from GeoTIFF stacks, NetCDF, Zarr, eo-learn patches and other layouts through the one call :func:`open_cube`.
Views (:mod:`deepcube.cubes.views`, ``cube.view(...)``) give other grids, regions, periods and steps; samples
(:mod:`deepcube.cubes.sampling`) give patches at the speed of the disk. May import no other part of the project; imports
no machine learning library but in the adapters of samples.
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
from deepcube.cubes.checking import Problem, check_cube
from deepcube.cubes.climatology import (
    Climatology,
    crossfit_climatology,
    fit_climatology,
    season_count,
    season_of,
    year_fraction,
)
from deepcube.cubes.copying import write_cube
from deepcube.cubes.describing import describe_cube, step_name
from deepcube.cubes.errors import (
    BuildError,
    CellError,
    CubeError,
    CubeNotFoundError,
    MissingCrsError,
    NotACubeError,
    NoValidDataError,
    PlanError,
    ScaleError,
    TimeAxisError,
    UnknownVariableError,
    ViewError,
)
from deepcube.cubes.model import Cube, Grid, Variable, slug
from deepcube.cubes.opening import open_cube
from deepcube.cubes.pictures import quick_look
from deepcube.cubes.series import ahead, lagged, last_observed
from deepcube.cubes.spectral import SCL_CLEAR, SCL_LAND, ndvi, scl_clear
from deepcube.cubes.splits import TimeSplit, time_split
from deepcube.cubes.steps import Steps, composite, native_steps, regular_step, window_steps
from deepcube.cubes.validate import check_valid
from deepcube.cubes.writing import CubeWriter

__all__ = [
    "SCL_CLEAR",
    "SCL_LAND",
    "BuildError",
    "CellError",
    "Climatology",
    "Cube",
    "CubeError",
    "CubeNotFoundError",
    "CubeWriter",
    "Grid",
    "MissingCrsError",
    "NoValidDataError",
    "NotACubeError",
    "PlanError",
    "Problem",
    "ScaleError",
    "Steps",
    "TimeAxisError",
    "TimeSplit",
    "UnknownVariableError",
    "Variable",
    "ViewError",
    "ahead",
    "cell_area",
    "cell_at",
    "cell_centre",
    "cell_level",
    "check_cube",
    "check_valid",
    "children",
    "composite",
    "crossfit_climatology",
    "descendant_range",
    "describe_cube",
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
    "quick_look",
    "regular_step",
    "scl_clear",
    "season_count",
    "season_of",
    "slug",
    "step_name",
    "time_split",
    "window_steps",
    "write_cube",
    "year_fraction",
]
