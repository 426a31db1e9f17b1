"""What an explanation looks like: attributions as an ``xarray.Dataset`` with the input's own names and units."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from deepcube.explain.errors import InputError

FloatArray = npt.NDArray[np.floating]


def build_attributions(
    *,
    method: str,
    baseline_meaning: str,
    attributions: FloatArray,
    inputs: xr.DataArray,
    baseline: xr.DataArray | None,
    predictions: FloatArray,
    base_values: FloatArray,
    outputs: Sequence[str],
    output_units: str,
) -> xr.Dataset:
    """Put attributions into one labelled object and measure how complete they are.

    Parameters
    ----------
    method : str
        Name of the method, for example ``"integrated_gradients"``.
    baseline_meaning : str
        What the baseline stands for, in words.
    attributions : numpy.ndarray of float, shape (instances, outputs, *dims of one input)
        Contribution of every input element to every output.
    inputs : xarray.DataArray, dims (instance, ...)
        What the model was given.
    baseline : xarray.DataArray, same dims, or None
        What it was compared with, if that is an input.
    predictions, base_values : numpy.ndarray of float, shape (instances, outputs)
        Model output at the inputs and at the baseline.
    outputs : sequence of str
        Names of the outputs.
    output_units : str
        Unit of the outputs and therefore of the attributions.

    Returns
    -------
    xarray.Dataset
        Variables ``attribution`` (instance, output, ...), ``input`` and ``baseline`` (instance, ...), ``prediction``,
        ``base_value`` and ``completeness_error`` (instance, output). The error is
        ``sum(attributions) - (f(x) - f(baseline))``, zero for exact attributions (completeness axiom of Sundararajan,
        Taly and Yan, 2017, Axiomatic Attribution for Deep Networks, ICML, proposition 1).
    """
    instance = inputs.dims[0]
    rest = inputs.dims[1:]
    coords: dict[Any, Any] = {**inputs.coords, "output": list(outputs)}
    total = attributions.reshape(*attributions.shape[:2], -1).sum(axis=-1, dtype=np.float64)
    error = total - (predictions.astype(np.float64) - base_values.astype(np.float64))
    units = {"units": output_units}
    per_output = (instance, "output")
    # Bare variables: arrays with coordinates would each be aligned with all others.
    variables = {
        "attribution": ((instance, "output", *rest), attributions, {**units, "long_name": "attribution"}),
        "input": inputs.variable,
        "prediction": (per_output, predictions, {**units, "long_name": "model output"}),
        "base_value": (per_output, base_values, {**units, "long_name": "model output at the baseline"}),
        "completeness_error": (per_output, error, {**units, "long_name": "completeness error"}),
    }
    if baseline is not None:
        variables["baseline"] = baseline.variable
    data = xr.Dataset(variables, coords=coords)
    data.attrs.update(method=method, baseline=baseline_meaning)
    return data


def top_features(
    explanation: xr.Dataset, instance: int = 0, output: str | None = None, count: int = 10
) -> xr.DataArray:
    """Return the largest attributions of one prediction, largest first.

    Parameters
    ----------
    explanation : xarray.Dataset
        As returned by an explainer for tabular input, with the dimension ``feature``.
    instance : int
        Position of the prediction.
    output : str, optional
        Name of the output; the first by default.
    count : int
        How many features to return at most.

    Returns
    -------
    xarray.DataArray, dims (feature,)
        Attributions, by falling absolute value.

    Raises
    ------
    InputError
        If the explanation is not tabular or has no such output.
    """
    values = explanation["attribution"]
    if "feature" not in values.dims:
        raise InputError(f"Found attributions with dimensions {values.dims}; expected a tabular `feature` dimension.")
    names = [str(name) for name in values["output"].values]
    chosen = output or names[0]
    if chosen not in names:
        raise InputError(f"Found no output {chosen!r}; expected one of {', '.join(names)}.")
    row = values.isel({values.dims[0]: instance}).sel(output=chosen)
    return row.isel(feature=np.argsort(-np.abs(row.values))[:count])


def as_dict(explanation: xr.Dataset, instance: int = 0) -> dict[str, Any]:
    """Return the explanation of one prediction as plain Python values, for JSON.

    Parameters
    ----------
    explanation : xarray.Dataset
        As returned by an explainer.
    instance : int
        Position of the prediction.

    Returns
    -------
    dict
        ``method``, ``baseline`` (what it stands for) and ``units``; and per output ``base_value``,
        ``completeness_error`` and ``attributions``: by name where an input has one dimension, else nested lists in the
        order of ``dims``, which then maps every dimension to its coordinates.
    """
    one = explanation.isel({explanation["attribution"].dims[0]: instance})
    names = [str(name) for name in one["output"].values]
    dims = one["attribution"].dims[1:]

    def per_output(variable: str) -> dict[str, float]:
        return dict(zip(names, map(float, one[variable].values), strict=True))

    def values(name: str) -> Any:
        row = one["attribution"].sel(output=name)
        if len(dims) > 1:
            return row.values.tolist()
        labels = [str(label) for label in (row.indexes[dims[0]] if dims[0] in row.indexes else range(row.size))]
        return dict(zip(labels, map(float, row.values), strict=True))

    plain = {
        "method": explanation.attrs["method"],
        "baseline": explanation.attrs["baseline"],
        "units": one["attribution"].attrs["units"],
        "base_value": per_output("base_value"),
        "attributions": {name: values(name) for name in names},
        "completeness_error": per_output("completeness_error"),
    }
    if len(dims) > 1:
        plain["dims"] = {
            str(dim): [str(label) for label in one.indexes[dim]] if dim in one.indexes else list(range(one.sizes[dim]))
            for dim in dims
        }
    return plain
