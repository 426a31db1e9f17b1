"""What a variable is: units, gaps, range, and how its values may be combined, told from attributes, name and type."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

Kind = Literal["continuous", "categorical", "count"]
"""How values of a variable may be combined: averaged, only compared, or summed."""


@dataclass(frozen=True)
class Variable:
    """Description of one variable of a cube.

    Attributes
    ----------
    name : str
        Name within its grid.
    grid : str
        Name of the grid that it lies on.
    dims : tuple of str
        Dimensions, a subset of ``time``, ``y``, ``x`` and any others of the file, in order.
    units : str
        Units as the file states them; empty where it states none.
    long_name : str
        Human readable name; the name where the file states none.
    kind : {"continuous", "categorical", "count"}
        How values may be combined.
    dtype : str
        Type of the values when read.
    fill : float or None
        Value that stands for a gap in the file; None where the file states none.
    valid_range : tuple of float or None
        Smallest and largest value that make sense, in ``units``; None where the file states none.
    accumulates : bool
        True if values of successive steps add up (counts, precipitation depth), False if they average (temperature,
        rates).
    """

    name: str
    grid: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    kind: Kind
    dtype: str = "float64"
    fill: float | None = None
    valid_range: tuple[float, float] | None = None
    accumulates: bool = False


_FLAGS = {"flag_values", "flag_masks", "flag_meanings"}
_CATEGORICAL_NAMES = re.compile(
    r"(^|[_ ])((scl|mask|clm|class|cls|qa|qc|quality|avail|burned_areas?)([_ \d]|$)"
    # lc_forest and its like are the share of one class, which is a quantity
    r"|(lulc|lc\d*|lccs|clc|landcover|land_cover)(_?\d|_type|$))"
)
_COUNT_NAMES = re.compile(r"(^|_)(nobs|count|counts|number|n_obs)(_|$)")


def describe(grid: str, data: xr.DataArray) -> Variable:
    """Describe a variable from its attributes, and where these are silent from its name and type.

    Parameters
    ----------
    grid : str
        Name of its grid.
    data : xarray.DataArray
        The variable; not read.

    Returns
    -------
    Variable
        A variable with CF flag attributes, of Boolean type or with a well-known class name (SCL, LULC, CLC, ...) is
        categorical; one named like a number of observations is a count; everything else is continuous. An attribute
        ``kind`` overrides.
    """
    name, attrs = str(data.name), data.attrs
    kind: Kind = "continuous"
    if attrs.get("kind") in ("continuous", "categorical", "count"):
        kind = attrs["kind"]
    elif _FLAGS & set(attrs) or data.dtype == bool or _CATEGORICAL_NAMES.search(name.lower()):
        kind = "categorical"
    elif _COUNT_NAMES.search(name.lower()) or str(attrs.get("units", "")).lower() in ("count", "counts"):
        kind = "count"
    return Variable(
        name=name,
        grid=grid,
        dims=tuple(map(str, data.dims)),
        units=str(attrs.get("units", "")),
        long_name=str(
            next((attrs[key] for key in ("long_name", "standard_name", "description") if key in attrs), name)
        ),
        kind=kind,
        dtype=str(data.dtype),
        fill=_number(data.encoding.get("_FillValue", data.encoding.get("missing_value", attrs.get("_FillValue")))),
        valid_range=_valid_range(data),
        accumulates=_accumulates(name, kind, attrs),
    )


_DEPTH_NAMES = re.compile(r"(^|_)(tp|precip|precipitation|rain|rainfall|pr|snowfall)(_|$)")
_DEPTH_UNITS = ("mm", "m", "cm", "kg m-2", "kg/m2", "kg m**-2", "m of water equivalent", "inches")


def _accumulates(name: str, kind: Kind, attrs: Mapping[Any, Any]) -> bool:
    """Tell sums from means: what the file says, then counts, then depths of precipitation (a rate averages)."""
    if "accumulates" in attrs:
        return str(attrs["accumulates"]).strip().lower() in ("1", "true", "yes")
    methods = str(attrs.get("cell_methods", ""))
    if "time:" in methods:
        return bool(re.search(r"time:\s*sum", methods))
    if kind == "count":
        return True
    standard = str(attrs.get("standard_name", ""))
    if standard.endswith("_amount") or standard.startswith("lwe_thickness_of"):
        return True
    depth = str(attrs.get("units", "")).strip().lower() in _DEPTH_UNITS
    return kind == "continuous" and depth and bool(_DEPTH_NAMES.search(name.lower()))


def _valid_range(data: xr.DataArray) -> tuple[float, float] | None:
    """Return the range that CF attributes state; those of packed data count stored values and are unpacked."""
    attrs = data.attrs
    stated = attrs.get("valid_range")
    low, high = (attrs.get("valid_min"), attrs.get("valid_max")) if stated is None else (None, None)
    if stated is not None and np.size(stated) == 2:
        low, high = np.ravel(np.asarray(stated)).tolist()
    bounds = _number(low), _number(high)
    if bounds == (None, None):
        return None
    packed = np.dtype(data.encoding.get("dtype", data.dtype))
    scale, offset = (
        (_number(data.encoding.get("scale_factor")) or 1.0, _number(data.encoding.get("add_offset")) or 0.0)
        if packed.kind in "iu"
        else (1.0, 0.0)
    )
    least = -np.inf if bounds[0] is None else bounds[0] * scale + offset
    most = np.inf if bounds[1] is None else bounds[1] * scale + offset
    return float(least), float(most)


def _number(value: Any) -> float | None:
    """Return an attribute as a number; None where it is none, or not a number."""
    try:
        number = float(np.ravel(value)[0])
    except (TypeError, ValueError, IndexError):
        return None
    return None if np.isnan(number) else number
