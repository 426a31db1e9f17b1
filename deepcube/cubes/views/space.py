"""A variable on other pixels, by a method that its kind allows."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepcube.cubes.errors import ViewError
from deepcube.cubes.variables import Variable
from deepcube.cubes.views import weights
from deepcube.cubes.views.target import Raster

Method = Literal["mean", "linear", "mode", "total", "nearest"]
"""Area-weighted mean, bilinear, class of the largest area, sum, or the pixel that covers most."""

_GDAL = {"mean": "average", "linear": "bilinear", "mode": "mode", "total": "sum", "nearest": "nearest"}
_ALLOWED: dict[str, tuple[Method, ...]] = {
    "categorical": ("mode", "nearest"),
    "count": ("total",),
    "continuous": ("mean", "linear", "nearest"),
}


def choose(variable: Variable, source: Raster, target: Raster) -> Method:
    """Return the method for a variable.

    Classes go to the one of the largest area and counts to sums. Precipitation and other depths that add up go to area
    means, which conserve volume. Other continuous variables go to area means, too, and to bilinear interpolation where
    the target is finer.
    """
    if variable.kind == "categorical":
        return "mode"
    if variable.kind == "count":
        return "total"
    return "linear" if not variable.accumulates and _finer(source, target) else "mean"


def _finer(source: Raster, target: Raster) -> bool:
    """Return True if target pixels are smaller, compared in degrees or metres as the two systems are alike."""
    if source.crs != target.crs and source.crs is not None and target.crs is not None:
        metres = {True: 111_320.0, False: 1.0}
        ours, theirs = metres[target.crs.is_geographic], metres[source.crs.is_geographic]
    else:
        ours = theirs = 1.0
    return _area(target) * ours**2 < _area(source) * theirs**2 * 0.999


def _area(raster: Raster) -> float:
    spacing = [float(np.median(np.abs(np.diff(axis)))) if len(axis) > 1 else math.inf for axis in (raster.y, raster.x)]
    return spacing[0] * spacing[1]


def regrid(
    data: xr.DataArray, variable: Variable, source: Raster, target: Raster, least: float, method: Method | None = None
) -> xr.DataArray:
    """Return a variable on the pixels of a target, lazily if it is chunked.

    Parameters
    ----------
    data : xarray.DataArray
        Values with dimensions ``y`` and ``x`` and any others; gaps are NaN.
    variable : Variable
        Its description.
    source, target : Raster
        Pixels that it has and that it is to have.
    least : float
        Share of a target pixel's area that must be valid, else it is a gap.
    method : str, optional
        Instead of the one that :func:`choose` returns.

    Raises
    ------
    ViewError
        If the kind of the variable does not allow the method.
    """
    way = method or choose(variable, source, target)
    if way not in _ALLOWED[variable.kind]:
        allowed = " or ".join(_ALLOWED[variable.kind])
        raise ViewError(f"{variable.name} is {variable.kind}: found the method {way!r}, expected {allowed}.")
    if (source.crs is None) != (target.crs is None):
        raise ViewError(
            f"{variable.name}: one of the two grids has no coordinate reference system; pass crs= to open_cube()."
        )
    same = source.crs == target.crs
    shares = weights.overlap(source, target) if same else None

    def apply(values: NDArray[Any]) -> NDArray[Any]:
        floats = np.asarray(values, dtype=np.float64)
        if shares is None:
            result = _warped(floats, source, target, way, least)
        elif way == "linear":
            result = weights.linear(floats, source, target, shares, least)
        elif way == "nearest":
            result = _nearest(floats, source, target)
        else:
            result = {"mean": weights.mean, "mode": weights.mode, "total": weights.total}[way](floats, shares, least)
        return result.astype(_float_type(data.dtype))

    moved: xr.DataArray = xr.apply_ufunc(
        apply,
        data.chunk({"y": -1, "x": -1}) if data.chunks is not None else data,
        input_core_dims=[["y", "x"]],
        output_core_dims=[["y", "x"]],
        exclude_dims={"y", "x"},
        dask="parallelized",
        output_dtypes=[_float_type(data.dtype)],
        dask_gufunc_kwargs={"output_sizes": {"y": len(target.y), "x": len(target.x)}},
        keep_attrs=True,
    )
    moved = moved.assign_coords(y=target.y, x=target.x).transpose(*data.dims)
    moved.attrs |= {"regridded": way}
    return moved


def _float_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the floating type that holds all values of a type, and gaps."""
    return (
        np.dtype("float32") if dtype.kind == "b" or dtype.itemsize <= 2 or dtype == np.float32 else np.dtype("float64")
    )


def _nearest(values: NDArray[np.float64], source: Raster, target: Raster) -> NDArray[np.float64]:
    """Return the value of the pixel that covers most of each target pixel; a gap outside all pixels."""
    shares = weights.overlap(source, Raster(target.y, target.x, source.crs))
    rows, columns = shares.y.toarray(), shares.x.toarray()
    result = values[..., rows.argmax(axis=1)[:, None], columns.argmax(axis=1)]
    outside = np.logical_or(rows.max(axis=1)[:, None] == 0, columns.max(axis=1) == 0)
    return np.where(outside, np.nan, result)


def _warped(
    values: NDArray[np.float64], source: Raster, target: Raster, way: Method, least: float
) -> NDArray[np.float64]:
    """Return values on pixels of another coordinate reference system, by GDAL's warper."""
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    ways = {"src_transform": _transform(source), "dst_transform": _transform(target)}
    ways |= {"src_crs": _wkt(source), "dst_crs": _wkt(target), "src_nodata": np.nan, "dst_nodata": np.nan}
    flat = values.reshape(-1, *values.shape[-2:])
    out = np.full((len(flat), len(target.y), len(target.x)), np.nan)
    for number, image in enumerate(flat):
        reproject(image, out[number], resampling=Resampling[_GDAL[way]], **ways)
        if way in ("mean", "mode", "linear") and np.isnan(image).any():
            share = np.zeros(out.shape[1:])
            mask = np.isfinite(image).astype(float)
            reproject(mask, share, resampling=Resampling.average, **{**ways, "src_nodata": None, "dst_nodata": None})
            out[number][share < least * (1 - 1e-9)] = np.nan
    return out.reshape(*values.shape[:-2], len(target.y), len(target.x))


def _transform(raster: Raster) -> Any:
    from rasterio.transform import Affine

    steps = []
    for name, axis in (("x", raster.x), ("y", raster.y)):
        spacing = np.diff(axis)
        if len(axis) < 2 or np.abs(spacing - spacing[0]).max() > 1e-3 * abs(spacing[0]):
            raise ViewError(f"The {name} axis is not evenly spaced, which another coordinate reference system needs.")
        steps.append((axis[-1] - axis[0]) / (len(axis) - 1))
    dx, dy = steps
    return Affine(dx, 0.0, raster.x[0] - dx / 2, 0.0, dy, raster.y[0] - dy / 2)


def _wkt(raster: Raster) -> str:
    assert raster.crs is not None
    return raster.crs.to_wkt()
