"""GeoTIFF stacks: many dates in the bands of one file, or in many files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from deepcube.cubes.conventions import is_simulated, parse_crs
from deepcube.cubes.dates import find_date
from deepcube.cubes.errors import CubeError, NotACubeError, TimeAxisError
from deepcube.cubes.model import Grid, Opened, slug
from deepcube.cubes.validate import check_times

SUFFIXES = (".tif", ".tiff", ".gtiff")
"""File name endings of the files that a folder is searched for."""

_DATE_TAGS = (
    "time",
    "date",
    "datetime",
    "acquisition_date",
    "acquisition_datetime",
    "date_acquired",
    "tifftag_datetime",
)
_NO_NAME = ("", "x", "band", "layer")  # R's make.names turns the date 2000-02-18 into X2000.02.18


@dataclass(frozen=True)
class Layer:
    """One band of one file: the values of one variable at one date.

    Attributes
    ----------
    path : str
        The file.
    band : int
        The band, from 1.
    variable : str
        Variable that the band belongs to.
    date : pandas.Timestamp
        Date of the band.
    attrs : dict
        CF attributes: units, fill value, scale factor and offset, where the file states them.
    dtype : str
        Type of the stored values.
    """

    path: str
    band: int
    variable: str
    date: pd.Timestamp
    attrs: dict[str, Any]
    dtype: str


@dataclass(frozen=True)
class Raster:
    """The grid of a file: size, affine transform and CRS."""

    height: int
    width: int
    transform: tuple[float, ...]
    crs: str | None
    simulated: bool


class LayerStack(BackendArray):
    """Lazy array ``(time, y, x)`` over layers of equal grids; reads only the windows and bands asked for.

    Parameters
    ----------
    layers : sequence of Layer
        One layer per time, in order.
    shape : tuple of int
        Rows and columns.
    """

    def __init__(self, layers: Sequence[Layer], shape: tuple[int, int]) -> None:
        self.layers = tuple(layers)
        self.shape = (len(layers), *shape)
        self.dtype = np.result_type(*(layer.dtype for layer in layers))

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        import rasterio  # loads much that cubes in Zarr and NetCDF do without
        from rasterio.errors import RasterioError
        from rasterio.windows import Window

        times, rows, cols = (np.arange(size)[index] for size, index in zip(self.shape, key, strict=True))
        if min(np.size(times), np.size(rows), np.size(cols)) == 0:
            return np.empty(tuple(np.size(i) for i in (times, rows, cols) if np.ndim(i)), dtype=self.dtype)
        top, left = int(np.min(rows)), int(np.min(cols))
        window = Window(left, top, int(np.max(cols)) - left + 1, int(np.max(rows)) - top + 1)
        wanted = np.atleast_1d(times)
        block = np.empty((len(wanted), window.height, window.width), dtype=self.dtype)
        paths = np.array([self.layers[i].path for i in wanted])
        for path in np.unique(paths):
            positions = np.flatnonzero(paths == path)
            try:
                with rasterio.open(path) as file:
                    block[positions] = file.read([self.layers[wanted[i]].band for i in positions], window=window)
            except RasterioError as error:
                raise NotACubeError(
                    f"{path} cannot be read to its end ({error}). Check that it is complete."
                ) from error
        block = block[:, rows - top][..., cols - left]
        return block[0] if np.ndim(times) == 0 else block


def open_geotiffs(paths: Sequence[Path], name: str, crs: Any = None) -> Opened:
    """Open GeoTIFF files of one grid as a cube.

    The date of a band is looked for in its description, its tags, the tags of the file and the file name, in this
    order. What remains of the description (or, for files of one band, of the file name) names the variable.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        One file with a band per date, or files with one date each.
    name : str
        Name for a variable that has no name of its own.
    crs : any that pyproj understands, optional
        Coordinate reference system to use instead of the one in the files.

    Returns
    -------
    Opened
        One grid per distinct time axis; the attribute ``simulated`` where the files are tagged so.

    Raises
    ------
    NotACubeError
        If a file is unreadable, rotated, or on another grid than the first.
    TimeAxisError
        If a band has no date, or dates are unsorted within a file or duplicated.
    """
    rasters, layers = {}, []
    for path in paths:
        rasters[path], found = _scan(path, name)
        layers += found
    first, raster = next(iter(rasters.items()))
    for path, other in rasters.items():
        if _geometry(other) != _geometry(raster):
            raise NotACubeError(
                f"{path.name} has grid {_geometry(other)} but {first.name} has {_geometry(raster)}; expected the same "
                "size, transform and coordinate reference system in every file. Warp them to one grid first."
            )
    if len(paths) > 1:
        layers.sort(key=lambda layer: layer.date)
    names = dict.fromkeys(layer.variable for layer in layers)
    arrays = [_variable([layer for layer in layers if layer.variable == v], raster).rename(v) for v in names]
    system = parse_crs(crs) if crs is not None else pyproj.CRS.from_wkt(raster.crs) if raster.crs else None
    simulated = any(raster.simulated for raster in rasters.values())
    return Opened(_grids(arrays, name, system), {"simulated": True} if simulated else {})


def _grids(arrays: Sequence[xr.DataArray], name: str, crs: pyproj.CRS | None) -> list[Grid]:
    """Put variables that share their dates onto one grid."""
    by_times: dict[tuple[int, ...], list[xr.DataArray]] = {}
    for array in arrays:
        times = pd.DatetimeIndex(array["time"].to_index())
        check_times(times, f"{name} ({array.name})")
        by_times.setdefault(tuple(times.asi8), []).append(array)
    grids = []
    for group in by_times.values():
        dataset = xr.Dataset({str(array.name): array for array in group})
        grids.append(Grid("main" if len(by_times) == 1 else str(group[0].name), dataset, crs))
    return grids


def _geometry(raster: Raster) -> tuple[int, int, tuple[float, ...], str | None]:
    return raster.height, raster.width, raster.transform, raster.crs


def _scan(path: Path, name: str) -> tuple[Raster, list[Layer]]:
    """Read everything but the pixels of a file."""
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path) as file:
            if file.transform.b or file.transform.d:
                raise NotACubeError(f"{path.name} is rotated ({file.transform}); warp it to a north-up grid first.")
            raster = Raster(
                height=file.height,
                width=file.width,
                transform=tuple(file.transform)[:6],
                crs=file.crs.to_wkt() if file.crs else None,
                simulated=is_simulated(_lower(file.tags())),
            )
            return raster, [_layer(file, path, band, name) for band in file.indexes]
    except RasterioError as error:
        raise NotACubeError(f"{path} is not a readable GeoTIFF ({error}). Check that it is complete.") from error


def _layer(file: Any, path: Path, band: int, name: str) -> Layer:
    date, label = _date_and_label(file, path, band)
    attrs: dict[str, Any] = {}
    if file.units[band - 1]:
        attrs["units"] = file.units[band - 1]
    if (file.scales[band - 1], file.offsets[band - 1]) != (1.0, 0.0):
        attrs |= {"scale_factor": file.scales[band - 1], "add_offset": file.offsets[band - 1]}
    if file.nodatavals[band - 1] is not None:
        attrs["_FillValue"] = np.dtype(file.dtypes[band - 1]).type(file.nodatavals[band - 1])
    variable = slug(name) if label.lower() in _NO_NAME else label
    return Layer(str(path), band, variable, date, attrs, file.dtypes[band - 1])


def _date_and_label(file: Any, path: Path, band: int) -> tuple[pd.Timestamp, str]:
    """Return the date of a band, and what names its variable; an empty label where nothing does."""
    description = file.descriptions[band - 1] or ""
    described = find_date(description)
    if described:
        return described
    band_tags, file_tags = _lower(file.tags(band)), _lower(file.tags())
    own = _first_date([band_tags[key] for key in _DATE_TAGS if key in band_tags])
    date = own or _first_date([file_tags[key] for key in _DATE_TAGS if key in file_tags] + [path.stem])
    if date is None:
        raise TimeAxisError(
            f"Band {band} of {path.name} has no date: found the description {description!r} and the tags "
            f"{sorted(file_tags | band_tags)}; expected a date such as 2000-02-18 in the band name, in a band tag such "
            "as 'acquisition_date', or in the name of a file of one date."
        )
    if description:
        return date, description
    if file.count == 1:
        in_name = find_date(path.stem)
        return date, in_name[1] if in_name else ""
    return date, "" if own else f"band_{band}"


def _first_date(texts: Sequence[str]) -> pd.Timestamp | None:
    return next((found[0] for found in map(find_date, texts) if found), None)


def _lower(tags: dict[str, str]) -> dict[str, str]:
    return {key.lower(): value for key, value in tags.items()}


def _variable(layers: Sequence[Layer], raster: Raster) -> xr.DataArray:
    """Build one lazy variable, with the fill value and scale that its layers agree on."""
    attrs = layers[0].attrs
    for layer in layers:
        if repr(layer.attrs) != repr(attrs) or layer.dtype != layers[0].dtype:
            raise CubeError(
                f"Band {layer.band} of {Path(layer.path).name} is {layer.dtype} with {layer.attrs} but the first band "
                f"of {layer.variable} is {layers[0].dtype} with {attrs}; expected one type, unit, fill value and scale "
                "per variable. Rewrite the bands alike first."
            )
    a, _, c, _, e, f = raster.transform
    coordinates = {
        "time": pd.DatetimeIndex([layer.date for layer in layers]),
        "y": f + e * (np.arange(raster.height) + 0.5),
        "x": c + a * (np.arange(raster.width) + 0.5),
    }
    stack = LayerStack(layers, (raster.height, raster.width))
    data = xr.Variable(("time", "y", "x"), indexing.LazilyIndexedArray(stack), attrs)
    decoded = xr.conventions.decode_cf_variable(layers[0].variable, data)
    return xr.DataArray(decoded, coordinates)
