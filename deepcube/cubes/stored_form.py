"""The stored form of a cube: types, attributes and coordinates as they lie in Zarr v3."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from deepcube.cubes.arrays import Coding, coding_of
from deepcube.cubes.errors import CubeError
from deepcube.cubes.model import Grid


def stored_type(data: xr.DataArray) -> np.dtype[Any]:
    """Return the type that a variable is stored as."""
    return np.dtype(data.encoding.get("dtype", data.dtype))


def schema_of(grid: Grid) -> list[Any]:
    """Return all that makes a grid what it is, but for the values, in a form that can be hashed."""
    coordinates = [
        [
            str(name),
            hashlib.sha256(np.ascontiguousarray(np.asarray(c.values, dtype=_hashable(c.dtype))).tobytes()).hexdigest(),
        ]
        for name, c in sorted(grid.dataset.coords.items(), key=lambda item: str(item[0]))
        if c.ndim
    ]
    variables = [
        [str(name), list(map(str, data.dims)), str(stored_type(data)), repr(coding_of(data)), plain(data.attrs)]
        for name, data in grid.dataset.data_vars.items()
    ]
    return [coordinates, variables]


def encoded(coordinate: xr.DataArray) -> tuple[NDArray[Any], list[str], dict[str, Any]]:
    """Return the values, dimensions and attributes that a coordinate is stored with."""
    variable = xr.conventions.encode_cf_variable(_dated(coordinate).variable, name=coordinate.name)
    values = np.asarray(variable.values)
    attrs = dict(variable.attrs)
    if values.dtype.kind in "OUST":
        values, kind = _codes(values)
        attrs |= kind
    dims = [str(dim) for dim in variable.dims]
    return values, dims, {str(key): plain(value) for key, value in attrs.items() if key != "_FillValue"}


def _hashable(dtype: np.dtype[Any]) -> Any:
    return str if dtype.kind in "OUST" else dtype


def attributes_of(data: xr.DataArray, coding: Coding, grid: Grid) -> dict[str, Any]:
    """Return the attributes that a variable is stored with, packing and grid mapping among them."""
    dropped = {"_FillValue", "missing_value", "scale_factor", "add_offset", "grid_mapping", "coordinates"}
    attrs = {str(key): plain(value) for key, value in data.attrs.items() if str(key) not in dropped}
    if coding.scale != 1.0 or coding.offset != 0.0:
        attrs |= {"scale_factor": coding.scale, "add_offset": coding.offset}
    if coding.fill is not None:
        attrs["_FillValue"] = _fill_attribute(coding.fill, stored_type(data))
    if grid.crs is not None and {"y", "x"} <= {*map(str, data.dims), *map(str, grid.dataset.coords)}:
        attrs["grid_mapping"] = "spatial_ref"
    others = [
        str(name)
        for name, c in grid.dataset.coords.items()
        if name != "spatial_ref" and c.dims != (name,) and set(c.dims) <= set(data.dims) and c.ndim
    ]
    return attrs | ({"coordinates": " ".join(others)} if others else {})


def _fill_attribute(fill: float, dtype: np.dtype[Any]) -> Any:
    """Return a fill value as xarray writes it into Zarr v3: integers as they are, floats as base64 of 8 bytes."""
    return int(fill) if dtype.kind in "iub" else base64.standard_b64encode(struct.pack("<d", fill)).decode()


def _dated(coordinate: xr.DataArray) -> xr.DataArray:
    """Return times with the coarsest unit that holds them exactly, counted from 1970."""
    if coordinate.dtype.kind != "M":
        return coordinate
    times = pd.DatetimeIndex(np.atleast_1d(coordinate.to_numpy()).ravel())
    daily = bool((times == times.normalize()).all())
    whole = bool((times == times.floor("s")).all())
    unit = "days" if daily else "seconds" if whole else "nanoseconds"
    result = coordinate.copy(deep=False)
    result.encoding = {"units": f"{unit} since 1970-01-01", "calendar": "proleptic_gregorian", "dtype": "int64"}
    return result


def _codes(values: NDArray[Any]) -> tuple[NDArray[np.int32], dict[str, Any]]:
    """Return texts as numbers with CF flag attributes, as Zarr v3 has no agreed type for text."""
    texts = np.asarray(values, dtype=str)
    names, codes = np.unique(texts, return_inverse=True)
    meanings = {
        "flag_values": list(range(len(names))),
        "flag_meanings": " ".join(n.replace(" ", "_") or "-" for n in names),
    }
    return codes.reshape(texts.shape).astype(np.int32), meanings


def plain(value: Any) -> Any:
    """Return an attribute as JSON can hold it.

    Raises
    ------
    CubeError
        If it is neither text nor numbers.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    raise CubeError(f"Found the attribute value {value!r} of type {type(value).__name__}; expected text or numbers.")
