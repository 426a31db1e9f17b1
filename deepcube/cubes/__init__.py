"""Open data cubes whatever their format, and turn them into series, seasons and cells.

A cube is a set of variables on one or more grids, each an ``xarray.Dataset`` with dimensions ``(time, y, x)``, opened
lazily from GeoTIFF stacks, NetCDF, Zarr, eo-learn patches and other layouts through the one call :func:`open_cube`.
Views (:mod:`deepcube.cubes.views`, ``view(cube, ...)``) give other grids, regions, periods and steps; samples
(:mod:`deepcube.cubes.sampling`) give patches at the speed of the disk. May import no other part of the project; imports
no machine learning library but in the adapters of samples. Public names are loaded when they are first asked for, so
that cells and splits cost no readers of rasters.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepcube.cubes.cells import (
        cell_area,
        cell_at,
        cell_centre,
        cell_level,
        children,
        descendant_range,
        grid_level,
        level_for_spacing,
        parent,
        pixel_cells,
        polygon_cells,
    )
    from deepcube.cubes.cells_cover import (
        cell_features,
        cell_polygons,
        compact,
        contains,
        cover,
        expand,
        neighbours,
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
    from deepcube.cubes.model import Cube, Grid, slug
    from deepcube.cubes.opening import open_cube
    from deepcube.cubes.pictures import quick_look
    from deepcube.cubes.series import ahead, lagged, last_observed
    from deepcube.cubes.spectral import SCL_CLEAR, SCL_LAND, ndvi, scl_clear
    from deepcube.cubes.splits import TimeSplit, time_split
    from deepcube.cubes.steps import Steps, composite, native_steps, regular_step, window_steps
    from deepcube.cubes.validate import check_valid
    from deepcube.cubes.variables import Variable
    from deepcube.cubes.writing import CubeWriter

_HOMES = {
    "cells": (
        "cell_area",
        "cell_at",
        "cell_centre",
        "cell_level",
        "children",
        "descendant_range",
        "grid_level",
        "level_for_spacing",
        "parent",
        "pixel_cells",
        "polygon_cells",
    ),
    "cells_cover": ("cell_features", "cell_polygons", "compact", "contains", "cover", "expand", "neighbours"),
    "checking": ("Problem", "check_cube"),
    "climatology": (
        "Climatology",
        "crossfit_climatology",
        "fit_climatology",
        "season_count",
        "season_of",
        "year_fraction",
    ),
    "copying": ("write_cube",),
    "describing": ("describe_cube", "step_name"),
    "errors": (
        "BuildError",
        "CellError",
        "CubeError",
        "CubeNotFoundError",
        "MissingCrsError",
        "NotACubeError",
        "NoValidDataError",
        "PlanError",
        "ScaleError",
        "TimeAxisError",
        "UnknownVariableError",
        "ViewError",
    ),
    "model": ("Cube", "Grid", "slug"),
    "variables": ("Variable",),
    "opening": ("open_cube",),
    "pictures": ("quick_look",),
    "series": ("ahead", "lagged", "last_observed"),
    "spectral": ("SCL_CLEAR", "SCL_LAND", "ndvi", "scl_clear"),
    "splits": ("TimeSplit", "time_split"),
    "steps": ("Steps", "composite", "native_steps", "regular_step", "window_steps"),
    "validate": ("check_valid",),
    "writing": ("CubeWriter",),
}
"""Public names by the module that they are loaded from."""

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
    "cell_features",
    "cell_level",
    "cell_polygons",
    "check_cube",
    "check_valid",
    "children",
    "compact",
    "composite",
    "contains",
    "cover",
    "crossfit_climatology",
    "descendant_range",
    "describe_cube",
    "expand",
    "fit_climatology",
    "grid_level",
    "lagged",
    "last_observed",
    "level_for_spacing",
    "native_steps",
    "ndvi",
    "neighbours",
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


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use (PEP 562)."""
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
