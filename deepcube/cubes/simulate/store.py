"""Zarr stores with a group per grid that are written block by block."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import zarr
from numpy.typing import NDArray

from deepcube.cubes.variables import Kind

LABEL = "These data are simulated; they are no observations."
"""Sentence that every simulated store carries."""


@dataclass(frozen=True)
class Field:
    """One variable to be written.

    Attributes
    ----------
    name, units, long_name : str
        As CF has them; ``units`` is ``"1"`` without a dimension.
    dims : tuple of str
        Dimensions in the order of the array.
    dtype : str
        Type on disk.
    kind : {"continuous", "categorical", "count"}
        How values may be combined.
    attrs : mapping
        Further attributes, such as flag values.
    """

    name: str
    units: str
    long_name: str
    dims: tuple[str, ...] = ("time", "y", "x")
    dtype: str = "float32"
    kind: Kind = "continuous"
    attrs: Mapping[str, Any] = field(default_factory=dict)


class SimulatedStore:
    """A Zarr v3 store under construction, labelled simulated.

    Parameters
    ----------
    path : pathlib.Path
        Folder of the store, which must not exist.
    attrs : mapping
        Attributes of the root beside the label.
    """

    def __init__(self, path: Path, attrs: Mapping[str, Any]) -> None:
        self._path = path
        self._label: dict[str, Any] = {"simulated": "true", "comment": LABEL}
        self._root = zarr.create_group(path, attributes={"Conventions": "CF-1.11", **attrs, **self._label})
        self._groups: dict[str, zarr.Group] = {}

    def add_grid(
        self,
        name: str,
        coordinates: Mapping[str, Any],
        variables: Sequence[Field],
        *,
        chunks: Mapping[str, int],
        crs: str | None = None,
    ) -> None:
        """Add a grid: its axes and the variables on it, still empty.

        Parameters
        ----------
        name : str
            Name of the group; an empty name is the root.
        coordinates : mapping of str to array-like
            Values by dimension; dates for ``time``.
        variables : sequence of Field
            Variables to come.
        chunks : mapping of str to int
            Chunk length by dimension.
        crs : str, optional
            Coordinate reference system of ``y`` and ``x``, such as ``"EPSG:3035"``.
        """
        group = self._root.create_group(name, attributes=self._label) if name else self._root
        self._groups[name] = group
        sizes = {}
        for dim, values in coordinates.items():
            data, attrs = _axis(dim, values, crs)
            sizes[dim] = len(data)
            array = group.create_array(
                dim, shape=data.shape, dtype=data.dtype, chunks=(max(1, len(data)),), dimension_names=(dim,),
                attributes=attrs,
            )  # fmt: skip
            array[:] = data
        if crs:
            mapping = pyproj.CRS.from_user_input(crs).to_cf()
            group.create_array("spatial_ref", shape=(), dtype="int32", attributes=_plain(mapping))[...] = 0
        for item in variables:
            attrs = {"units": item.units, "long_name": item.long_name, "kind": item.kind, **item.attrs}
            if crs and {"y", "x"} <= set(item.dims):
                attrs["grid_mapping"] = "spatial_ref"
            group.create_array(
                item.name,
                shape=tuple(sizes[dim] for dim in item.dims),
                dtype=item.dtype,
                chunks=tuple(min(chunks.get(dim, sizes[dim]), sizes[dim]) for dim in item.dims),
                dimension_names=item.dims,
                fill_value=np.nan if item.dtype.startswith("float") else 0,
                attributes=attrs,
            )

    def write(self, grid: str, values: Mapping[str, NDArray[Any]], start: int | None = None) -> None:
        """Write variables of a grid.

        Parameters
        ----------
        grid : str
            Name of the group.
        values : mapping of str to numpy.ndarray
            Values by variable.
        start : int, optional
            First position along the first dimension; without it the whole variable is written.
        """
        for name, block in values.items():
            array: Any = self._groups[grid][name]
            if start is None:
                array[...] = np.asarray(block, dtype=array.dtype)
            else:
                array[start : start + len(block)] = np.asarray(block, dtype=array.dtype)

    def close(self) -> None:
        """Gather the metadata of all groups in one file, which opens the store in one read."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Consolidated metadata")  # xarray reads it from both formats of Zarr
            zarr.consolidate_metadata(self._path)


def _axis(dim: str, values: Any, crs: str | None) -> tuple[NDArray[Any], dict[str, Any]]:
    if isinstance(values, pd.DatetimeIndex):
        days = (values - pd.Timestamp("1970-01-01")) // pd.Timedelta(days=1)
        return np.asarray(days, dtype=np.int64), {
            "units": "days since 1970-01-01",
            "calendar": "proleptic_gregorian",
            "standard_name": "time",
            "axis": "T",
        }
    data = np.asarray(values)
    if dim in ("y", "x"):
        geographic = crs is not None and pyproj.CRS.from_user_input(crs).is_geographic
        words = ("latitude", "longitude") if geographic else ("projection_y_coordinate", "projection_x_coordinate")
        units = ("degrees_north", "degrees_east") if geographic else ("m", "m")
        place = 0 if dim == "y" else 1
        return data, {"standard_name": words[place], "units": units[place], "axis": dim.upper()}
    return data, {"long_name": dim}


def _plain(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as JSON can hold them."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in attrs.items()}
