"""Anchors: conditions on a few features under which a prediction stays what it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from deepcube.explain.alibi_compat import load_alibi
from deepcube.explain.errors import InputError
from deepcube.explain.inputs import as_inputs, fit_background
from deepcube.explain.models import Array, adapt

PRECISION = 0.95
"""Share of the predictions that an anchor keeps, at least."""


def anchors(
    model: Any,
    inputs: Any,
    *,
    background: Any,
    bins: Sequence[float] | None = None,
    precision: float = PRECISION,
    output: int = 0,
    outputs: Sequence[str] | None = None,
    output_units: str = "1",
    seed: int = 0,
) -> xr.Dataset:
    """Find for each prediction a short rule that is enough for it.

    Parameters
    ----------
    model : object
        Any model that :func:`deepcube.explain.adapt` takes.
    inputs : xarray.DataArray, DataFrame or array, dims (instance, feature)
        A table.
    background : as inputs
        Sample that features outside the rule are drawn from; its quartiles are the bounds that rules use.
    bins : sequence of float, optional
        For a regression: limits that make classes of ``output``, for example ``[0.2, 0.5]`` for low, middle and high.
        Without it, outputs of one number are classes below and above the median of the background, and several outputs
        are taken for scores of classes.
    precision : float
        Share of the inputs within a rule that get the same class.
    output : int
        Which output of a regression.
    outputs : sequence of str, optional
        Names of the classes.
    output_units : str
        Unit of the outputs.
    seed : int
        Seed of the sampling.

    Returns
    -------
    xarray.Dataset
        ``in_anchor`` (instance, feature), bool; ``rule`` (instance,), in words; ``precision`` and ``coverage``
        (instance,), the share of the background that the rule applies to; ``predicted_class`` (instance,). Ribeiro,
        Singh and Guestrin, 2018, Anchors: High-Precision Model-Agnostic Explanations, AAAI, algorithm 2.

    Raises
    ------
    InputError
        If the inputs are not a table.
    """
    array, adapter = as_inputs(inputs), adapt(model)
    if array.ndim != 2:
        raise InputError(f"Found inputs of dims {array.dims}; anchors are rules on a table (instance, feature).")
    sample = fit_background(array, background).values.astype(np.float64)
    dim = array.dims[1]
    names = (
        [str(n) for n in array.indexes[dim]]
        if dim in array.indexes
        else [f"feature_{i}" for i in range(array.shape[1])]
    )
    limits = None if bins is None else np.asarray(bins, float)
    if limits is None and adapter.predict(sample[:1]).shape[1] == 1:
        limits = np.array([np.median(adapter.predict(sample))])

    def classify(rows: Array) -> Array:
        values = adapter.predict(np.asarray(rows, np.float64))
        return values.argmax(axis=1) if limits is None else np.digitize(values[:, output], limits)

    load_alibi()
    from alibi.explainers import AnchorTabular

    explainer = AnchorTabular(classify, feature_names=names, seed=seed)
    explainer.fit(sample, disc_perc=(25, 50, 75))
    x = array.values.astype(np.float64)
    before = np.random.get_state()
    try:
        np.random.seed(seed)
        found = [explainer.explain(row, threshold=precision) for row in x]
    finally:
        np.random.set_state(before)
    inside = np.zeros(x.shape, bool)
    for i, explanation in enumerate(found):
        inside[i, [int(f) for f in explanation.raw["feature"]]] = True
    classes = classify(x)
    first = array.dims[0]
    data = xr.Dataset(
        {
            "in_anchor": ((first, dim), inside),
            "rule": (first, [" and ".join(e.anchor) or "always" for e in found]),
            "precision": (first, [float(np.ravel(e.precision)[0]) for e in found], {"units": "1"}),
            "coverage": (first, [float(np.ravel(e.coverage)[0]) for e in found], {"units": "1"}),
            "predicted_class": (first, classes),
            "input": array.reset_coords(drop=True),
        },
        coords=array.coords,
        attrs={"method": "anchors", "precision_wanted": precision, "seed": seed},
    )
    data = data if dim in data.coords else data.assign_coords({dim: names})
    if limits is not None:
        data["predicted_class"].attrs |= {"limits": limits.tolist(), "units": output_units}
    elif outputs is not None:
        data["predicted_class"].attrs["classes"] = list(outputs)
    return data
