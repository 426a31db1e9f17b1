"""Explanations summed over what belongs together: variables, lags, patches of an image, regions of a map."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from deepcube.explain.errors import InputError


def grouped(
    explanation: xr.Dataset,
    by: str | Sequence[str] = (),
    *,
    patch: Mapping[str, int] | None = None,
    region: xr.DataArray | None = None,
) -> xr.Dataset:
    """Sum attributions over groups; what an output's attributions sum to stays the same.

    Parameters
    ----------
    explanation : xarray.Dataset
        As returned by :func:`deepcube.explain.explain`, with attributions of dims (instance, output, ...).
    by : str or sequence of str
        Dimensions to keep (``"variable"``, ``("lag", "variable")``), or coordinates along one of them to group by: a
        table whose features have the coordinates ``variable`` and ``lag`` is grouped by either or both.
    patch : mapping of str to int, optional
        Size of a patch along dimensions, for example ``{"y": 8, "x": 8}``; the last patch may be smaller. The
        coordinate of a patch is the mean of its elements' coordinates, where they are numbers.
    region : xarray.DataArray, optional
        Label of the region of every element, for example of dims (y, x); grouped into the dimension ``region``.

    Returns
    -------
    xarray.Dataset
        ``attribution`` of dims (instance, output, groups...), with ``prediction``, ``base_value`` and
        ``completeness_error`` as they were.

    Raises
    ------
    InputError
        If no grouping is asked for, or the explanation has no such dimension or coordinate.

    Examples
    --------
    >>> values = np.arange(8.0).reshape(1, 1, 4, 2)
    >>> cube = xr.Dataset({"attribution": (("instance", "output", "lag", "variable"), values)})
    >>> grouped(cube, "variable")["attribution"].values
    array([[[12., 16.]]])
    >>> grouped(cube, patch={"lag": 2})["attribution"].values
    array([[[ 6., 22.]]])
    """
    values = explanation["attribution"]
    kept = _names(by)
    if not kept and not patch and region is None:
        raise InputError("Found nothing to group by; expected `by`, `patch` or `region`.")
    fixed = values.dims[:2]
    for dim, size in (patch or {}).items():
        values = _patches(values, dim, size)
    keep: list[Any] = [*fixed, *(patch or {})]
    if region is not None:
        values, keep = _regions(values, region), [*keep, "region"]
    for dim, names in _along(values, kept).items():
        values = _by_coordinates(values, dim, names)
        keep += names
    keep += [name for name in kept if name in values.dims and name not in keep]
    result = values.sum([dim for dim in values.dims if dim not in keep], keep_attrs=True)
    others = {
        name: explanation[name].drop_vars(
            [c for c in explanation[name].coords if c not in explanation[name].dims], errors="ignore"
        )
        for name in ("prediction", "base_value", "completeness_error")
        if name in explanation
    }
    return xr.Dataset({"attribution": result.transpose(*keep), **others}, attrs=dict(explanation.attrs))


def group_labels(
    inputs: xr.DataArray,
    by: str | Sequence[str] = (),
    *,
    patch: Mapping[str, int] | None = None,
    region: xr.DataArray | None = None,
) -> xr.DataArray:
    """Label the group of every element of one input, for methods that treat a group as one player.

    Parameters
    ----------
    inputs : xarray.DataArray, dims (instance, ...)
        Inputs of the model.
    by, patch, region
        As for :func:`grouped`.

    Returns
    -------
    xarray.DataArray of int, dims (...)
        Number of the group of every element, from 0 without gaps. Without any grouping every element is its own.

    Raises
    ------
    InputError
        If the inputs have no such dimension or coordinate.
    """
    one = inputs.isel({inputs.dims[0]: 0}, drop=True)
    kept, keys = _names(by), []
    for dim, names in _along(one, kept).items():
        for name in names:
            _, codes = np.unique(one[name].values.astype(str), return_inverse=True)
            keys.append(xr.DataArray(codes, dims=(dim,)))
    for dim in (name for name in kept if name in one.dims):
        keys.append(xr.DataArray(np.arange(one.sizes[dim]), dims=(dim,)))
    for dim, size in (patch or {}).items():
        _require_dim(one, dim, size)
        keys.append(xr.DataArray(np.arange(one.sizes[dim]) // size, dims=(dim,)))
    if region is not None:
        _fit_region(one, region)
        _, codes = np.unique(region.values.astype(str), return_inverse=True)
        keys.append(xr.DataArray(codes.reshape(region.shape), dims=region.dims))
    if not keys:
        return xr.DataArray(np.arange(one.size).reshape(one.shape), dims=one.dims)
    template = xr.DataArray(np.zeros(one.shape, int), dims=one.dims)
    columns = np.stack([np.ravel((template + key).transpose(*one.dims).values) for key in keys], axis=1)
    _, numbers = np.unique(columns, axis=0, return_inverse=True)
    return xr.DataArray(numbers.reshape(one.shape), dims=one.dims)


def _names(by: str | Sequence[str]) -> list[str]:
    return [by] if isinstance(by, str) else list(by)


def _along(values: xr.DataArray, names: Sequence[str]) -> dict[Any, list[str]]:
    """Return the names that are coordinates, not dimensions, by the dimension that they lie along."""
    found: dict[Any, list[str]] = {}
    for name in names:
        if name in values.dims:
            continue
        if name not in values.coords or values[name].ndim != 1:
            known = ", ".join(map(str, [*values.dims, *(c for c in values.coords if c not in values.dims)]))
            raise InputError(f"Found no dimension or coordinate {name!r} to group by; expected one of {known}.")
        found.setdefault(values[name].dims[0], []).append(name)
    return found


def _by_coordinates(values: xr.DataArray, dim: Any, names: list[str]) -> xr.DataArray:
    """Sum over the elements along a dimension that share the values of some coordinates."""
    axis = values.get_axis_num(dim)
    levels, codes = zip(*(np.unique(values[name].values, return_inverse=True) for name in names), strict=True)
    shape = tuple(len(level) for level in levels)
    flat = np.moveaxis(values.values, axis, 0)
    total = np.zeros((int(np.prod(shape)), *flat.shape[1:]))
    np.add.at(total, np.ravel_multi_index(codes, shape), flat)
    rest = [d for d in values.dims if d != dim]
    coords = {d: values.indexes[d] for d in rest if d in values.indexes} | dict(zip(names, levels, strict=True))
    return xr.DataArray(total.reshape(*shape, *flat.shape[1:]), dims=(*names, *rest), coords=coords, attrs=values.attrs)


def _patches(values: xr.DataArray, dim: str, size: int) -> xr.DataArray:
    _require_dim(values, dim, size)
    axis, starts = values.get_axis_num(dim), np.arange(0, values.sizes[dim], size)
    total = np.add.reduceat(values.values, starts, axis=axis)
    coords = {d: values.indexes[d] for d in values.dims if d != dim and d in values.indexes}
    if dim in values.indexes and np.issubdtype(values[dim].dtype, np.number):
        counts = np.diff([*starts, values.sizes[dim]])
        coords[dim] = np.add.reduceat(values[dim].values.astype(float), starts) / counts
    elif dim in values.indexes:
        coords[dim] = values.indexes[dim][starts]
    others = {name: coord for name, coord in values.coords.items() if name not in values.dims and dim not in coord.dims}
    return xr.DataArray(total, dims=values.dims, coords=coords, attrs=values.attrs).assign_coords(others)


def _regions(values: xr.DataArray, region: xr.DataArray) -> xr.DataArray:
    _fit_region(values, region)
    rest = [dim for dim in values.dims if dim not in region.dims]
    ordered = values.transpose(*region.dims, *rest)
    levels, codes = np.unique(np.ravel(region.values), return_inverse=True)
    flat = ordered.values.reshape(region.size, *(values.sizes[dim] for dim in rest))
    total = np.zeros((len(levels), *flat.shape[1:]))
    np.add.at(total, np.ravel(codes), flat)
    coords = {dim: values.indexes[dim] for dim in rest if dim in values.indexes} | {"region": levels}
    others = {
        name: coord
        for name, coord in values.coords.items()
        if name not in values.dims and not set(coord.dims) & set(region.dims)
    }
    return xr.DataArray(total, dims=("region", *rest), coords=coords, attrs=values.attrs).assign_coords(others)


def _require_dim(values: xr.DataArray, dim: str, size: int) -> None:
    if dim not in values.dims:
        raise InputError(f"Found no dimension {dim!r} to cut into patches; expected one of {values.dims}.")
    if size < 1:
        raise InputError(f"Found a patch of size {size} along {dim!r}; expected at least 1.")


def _fit_region(values: xr.DataArray, region: xr.DataArray) -> None:
    wrong = {dim: size for dim, size in region.sizes.items() if values.sizes.get(dim) != size}
    if wrong or not region.dims:
        raise InputError(
            f"Found regions of {dict(region.sizes)} for values of {dict(values.sizes)}; expected the same sizes."
        )
