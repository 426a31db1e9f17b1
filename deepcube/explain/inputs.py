"""What a model is given, as labelled arrays: tables, series, images and cubes alike, checked before anything runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.explain.errors import InputError


def as_inputs(inputs: Any, *, order: Sequence[str] | None = None) -> xr.DataArray:
    """Return inputs as one labelled array, the first dimension counting instances.

    Parameters
    ----------
    inputs : xarray.DataArray, xarray.Dataset, pandas.DataFrame or array, first dimension the instances
        A Dataset becomes an array whose last dimension ``variable`` holds its variables, with their units in the
        coordinate ``units``; all of its variables need the same dims. A table becomes ``(instance, feature)``. Values
        that are possible at all may be bounded: by the attribute ``valid_range``, or by coordinates ``valid_min`` and
        ``valid_max`` along a dimension, which a Dataset's variables with that attribute get.
    order : sequence of str, optional
        Variables or features in the order that the model expects.

    Returns
    -------
    xarray.DataArray, dims (instance, ...)
        The inputs.

    Raises
    ------
    InputError
        If there is no instance, a variable is missing, or a value is or lies outside its range; the message names
        which.
    """
    if isinstance(inputs, xr.Dataset):
        array = _from_dataset(inputs, order)
    elif isinstance(inputs, pd.DataFrame):
        _require(order, [str(name) for name in inputs.columns], "feature")
        table = inputs[list(order)] if order is not None else inputs
        coords = {"feature": [str(name) for name in table.columns]}
        array = xr.DataArray(table.to_numpy(np.float64), dims=("instance", "feature"), coords=coords)
    elif isinstance(inputs, xr.DataArray):
        array = inputs
        if order is not None:
            dim = "variable" if "variable" in array.dims else array.dims[-1]
            _require(order, [str(name) for name in array[dim].values], str(dim))
            array = array.sel({dim: list(order)})
    else:
        values = np.asarray(inputs)
        dims = ("instance", "feature") if values.ndim == 2 else tuple(f"dim_{i}" for i in range(values.ndim))
        names = {"feature": [f"feature_{i}" for i in range(values.shape[1])]} if values.ndim == 2 else None
        array = xr.DataArray(values, dims=dims, coords=names)
    if array.ndim < 2 or 0 in array.shape:
        raise InputError(f"Found inputs of shape {array.shape}; expected (instances, features...), none of them 0.")
    require_finite(array, "inputs")
    require_possible(array)
    return array


def _from_dataset(data: xr.Dataset, order: Sequence[str] | None) -> xr.DataArray:
    names = [str(name) for name in data.data_vars]
    _require(order, names, "variable")
    chosen = list(order) if order is not None else names
    if not chosen:
        raise InputError("Found a Dataset without variables; expected the model's inputs.")
    dims = {name: data[name].dims for name in chosen}
    if len(set(dims.values())) > 1:
        raise InputError(f"Found variables of different dimensions, {dims}; expected the same ones for all.")
    array = data[chosen].to_array("variable").transpose(*dims[chosen[0]], "variable")
    units = [str(data[name].attrs.get("units", "1")) for name in chosen]
    bounds = [_bounds(data[name].attrs) for name in chosen]
    coords: dict[str, Any] = {"units": ("variable", units)}
    if np.isfinite(bounds).any():
        coords |= {key: ("variable", [pair[i] for pair in bounds]) for i, key in enumerate(("valid_min", "valid_max"))}
    return array.assign_coords(coords)


def _bounds(attrs: Any) -> tuple[float, float]:
    """Return the range of possible values by the conventions of CF, section 2.5.1; infinite without any."""
    low, high = attrs.get("valid_range", (attrs.get("valid_min", -np.inf), attrs.get("valid_max", np.inf)))
    return float(low), float(high)


def require_possible(array: xr.DataArray) -> None:
    """Refuse values outside the range that is physically possible, as far as the array says what that is.

    Parameters
    ----------
    array : xarray.DataArray, dims (instance, ...)
        With the attribute ``valid_range``, or coordinates ``valid_min`` and ``valid_max`` along a dimension.

    Raises
    ------
    InputError
        If a value lies outside; the message says which and where.
    """
    low, high = (array.coords.get(key) for key in ("valid_min", "valid_max"))
    if low is None or high is None:
        if not np.isfinite(_bounds(array.attrs)).any():
            return
        low, high = (xr.DataArray(bound) for bound in _bounds(array.attrs))
    outside = ((array < low) | (array > high)).transpose(*array.dims).values
    if not outside.any():
        return
    first = {dim: int(i) for dim, i in zip(array.dims, np.argwhere(outside)[0], strict=True)}
    at = ", ".join(f"{d} {array.indexes[d][i] if d in array.indexes else i}" for d, i in first.items())
    least, most = (float(bound.isel({d: i for d, i in first.items() if d in bound.dims})) for bound in (low, high))
    raise InputError(
        f"Found {float(array.isel(first)):g} at {at}, one of {int(outside.sum())} values outside what is possible; "
        f"expected {least:g} to {most:g}. Check units and fill values."
    )


def _require(order: Sequence[str] | None, found: Sequence[str], what: str) -> None:
    missing = [name for name in order or () if name not in found]
    if missing:
        expected = ", ".join(order or ())
        raise InputError(f"Found no {what} {', '.join(missing)} among {', '.join(found)}; expected {expected}.")


def require_finite(array: xr.DataArray, what: str) -> None:
    """Refuse values that are missing or infinite, saying where they are.

    Parameters
    ----------
    array : xarray.DataArray, dims (instance, ...) or (...)
        The values.
    what : str
        What they are, for the message.

    Raises
    ------
    InputError
        If a value is not finite.
    """
    if array.dtype.kind not in "fiub":
        raise InputError(f"Found {what} of type {array.dtype}; expected real numbers.")
    finite = np.isfinite(array.values)
    if finite.all():
        return
    empty = [i for i, part in enumerate(finite.reshape(len(finite), -1)) if not part.any()]
    if empty and what == "inputs":
        where = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
        raise InputError(
            f"Found no valid value at all in instance {where}; expected observations. There is nothing to explain."
        )
    first = [int(i) for i in np.argwhere(~finite)[0]]
    at = ", ".join(
        f"{dim} {array.indexes[dim][i] if dim in array.indexes else i}"
        for dim, i in zip(array.dims, first, strict=True)
    )
    raise InputError(
        f"Found missing or infinite values in the {what}: {int((~finite).sum())} of {finite.size}, the first at {at}; "
        "expected none. Impute and flag them."
    )


def fit_baseline(inputs: xr.DataArray, baseline: xr.DataArray) -> xr.DataArray:
    """Return a baseline with the dims, shape and order of the inputs.

    Parameters
    ----------
    inputs : xarray.DataArray, dims (instance, ...)
        What the model is given.
    baseline : xarray.DataArray, dims (...) or (instance, ...)
        What it is compared with: one for all instances, or one each.

    Returns
    -------
    xarray.DataArray, dims as the inputs
        One baseline per instance.

    Raises
    ------
    InputError
        If they do not fit each other, or hold missing values.
    """
    if inputs.ndim < 2 or 0 in inputs.shape:
        raise InputError(f"Found inputs of shape {inputs.shape}; expected (instances, features...), none of them 0.")
    missing = set(baseline.dims) - set(inputs.dims)
    sizes = {dim: size for dim, size in baseline.sizes.items() if inputs.sizes.get(dim) != size}
    if missing or sizes or set(inputs.dims[1:]) - set(baseline.dims):
        raise InputError(
            f"Found a baseline of {dict(baseline.sizes)} for inputs of {dict(inputs.sizes)}; "
            "expected the same dimensions and sizes, with or without the first."
        )
    for dim in inputs.dims[1:]:
        if dim in inputs.indexes and dim in baseline.indexes and not inputs.indexes[dim].equals(baseline.indexes[dim]):
            raise InputError(f"Found other names, or another order, along {dim!r} in the baseline than in the inputs.")
    for name, part in (("inputs", inputs), ("baseline", baseline)):
        require_finite(part, name)
    names = {dim: inputs.indexes[dim] for dim in inputs.dims if dim in inputs.indexes}
    template = xr.DataArray(np.empty(inputs.shape, np.uint8), dims=inputs.dims)
    plain = baseline.drop_vars(list(baseline.coords)).broadcast_like(template)
    return plain.transpose(*inputs.dims).assign_coords(names).assign_attrs(inputs.attrs)


def fit_background(inputs: xr.DataArray, background: Any) -> xr.DataArray:
    """Return a background sample with the dims of the inputs, whatever its number of instances.

    Parameters
    ----------
    inputs : xarray.DataArray, dims (instance, ...)
        What the model is given.
    background : xarray.DataArray, Dataset, DataFrame or array, dims (instance, ...) or (...)
        The sample, or one instance of it.

    Returns
    -------
    xarray.DataArray, dims as the inputs
        The sample.

    Raises
    ------
    InputError
        If it does not fit, or holds missing values.
    """
    first, rest = inputs.dims[0], inputs.dims[1:]
    if isinstance(background, xr.DataArray):
        sample = background
    elif isinstance(background, xr.Dataset | pd.DataFrame):
        sample = as_inputs(background)
    else:
        values = np.asarray(background)
        sample = xr.DataArray(values, dims=inputs.dims if values.ndim == inputs.ndim else rest)
    sample = sample if first in sample.dims else sample.expand_dims(first)
    if set(sample.dims) != set(inputs.dims) or {d: sample.sizes[d] for d in rest} != {d: inputs.sizes[d] for d in rest}:
        raise InputError(
            f"Found a background of {dict(sample.sizes)} for inputs of {dict(inputs.sizes)}; "
            f"expected the same dimensions and sizes but for {first!r}."
        )
    for dim in rest:
        if dim in inputs.indexes and dim in sample.indexes and not inputs.indexes[dim].equals(sample.indexes[dim]):
            raise InputError(
                f"Found other names, or another order, along {dim!r} in the background than in the inputs."
            )
    require_finite(sample, "background")
    return sample.transpose(*inputs.dims)
