"""Integrated Gradients of Keras models, by alibi."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from deepcube.explain.alibi_compat import load_alibi
from deepcube.explain.attribution import build_attributions
from deepcube.explain.errors import InputError, OutputError
from deepcube.explain.inputs import fit_baseline
from deepcube.explain.models import BATCH

STEPS = 50
"""Points of the Gauss-Legendre quadrature along the path; enough for smooth networks of a few layers."""


def integrated_gradients(
    model: Any,
    inputs: xr.DataArray,
    baseline: xr.DataArray,
    *,
    outputs: Sequence[str],
    output_units: str,
    baseline_meaning: str,
    steps: int = STEPS,
) -> xr.Dataset:
    """Attribute each output of a Keras model to the elements of its input.

    The attribution of input element i is the integral of the model's gradient along the straight line from the baseline
    to the input, times the distance (Sundararajan, Taly and Yan, 2017, Axiomatic Attribution for Deep Networks, ICML,
    equation 1)::

        IG_i(x) = (x_i - x'_i) * integral over a from 0 to 1 of df(x' + a (x - x')) / dx_i

    Parameters
    ----------
    model : keras.Model or TracedModel
        TensorFlow-backed model with one input and one output of shape ``(n, 1)`` or ``(n, outputs)``. Trace a small
        model that is explained again and again: see :class:`deepcube.explain.TracedModel`.
    inputs : xarray.DataArray, dims (instance, ...)
        Inputs in the model's own order; tabular input has the dims ``(instance, feature)`` with feature names as
        coordinate. Units go in a coordinate ``units`` along the feature dimension, or in the attributes.
    baseline : xarray.DataArray, dims (...) or (instance, ...)
        The input that counts as "nothing special": one for all instances, or one each. Its choice is part of the
        explanation, for example the training mean, or no anomaly at this place and season.
    outputs : sequence of str
        Names of the model's outputs.
    output_units : str
        Unit of the outputs.
    baseline_meaning : str
        What the baseline stands for, in words; kept with the result.
    steps : int
        Points along the path. More points, smaller completeness error, longer run time.

    Returns
    -------
    xarray.Dataset
        See :func:`deepcube.explain.build_attributions`.

    Raises
    ------
    InputError
        If inputs or baseline hold missing values or do not fit each other, or the number of steps is below 1.
    OutputError
        If the model's output does not fit the given names, or is not finite.
    """
    if steps < 1:
        raise InputError(f"Found steps={steps}; expected at least 1.")
    baseline = fit_baseline(inputs, baseline)
    x, x0 = (np.ascontiguousarray(part.values, dtype=np.float32) for part in (inputs, baseline))
    predictions, base_values = (_outputs(model, part, outputs) for part in (x, x0))
    attributions = alibi_integrated_gradients(model, x, x0, len(outputs), steps)
    return build_attributions(
        method="integrated_gradients",
        baseline_meaning=baseline_meaning,
        attributions=attributions,
        inputs=inputs,
        baseline=baseline,
        predictions=predictions,
        base_values=base_values,
        outputs=outputs,
        output_units=output_units,
    )


def alibi_integrated_gradients(
    model: Any, x: np.ndarray, x0: np.ndarray, outputs: int, steps: int, rows: int = BATCH
) -> np.ndarray:
    """Integrate the gradients of a Keras model by alibi.

    Parameters
    ----------
    model : keras.Model or TracedModel
        The model.
    x, x0 : numpy.ndarray of float32, shape (n, ...)
        Inputs and their baselines.
    outputs, steps : int
        Number of outputs, and points along the path.
    rows : int
        Rows per call of the model.

    Returns
    -------
    numpy.ndarray of float, shape (n, outputs, ...)
        Attributions.
    """
    load_alibi()
    from alibi.explainers.integrated_gradients import IntegratedGradients

    explainer = IntegratedGradients(model, method="gausslegendre", n_steps=steps, internal_batch_size=rows)
    # Attributions of all outputs come from one model by asking for one output at a time.
    targets: list[int | None] = list(range(outputs)) if outputs > 1 else [None]
    return np.stack([np.asarray(explainer.explain(x, baselines=x0, target=t).attributions[0]) for t in targets], axis=1)


def _outputs(model: Any, x: np.ndarray, outputs: Sequence[str]) -> np.ndarray:
    values = np.asarray(model(x))
    if values.ndim != 2 or values.shape[1] != len(outputs):
        raise OutputError(f"Found a model output of shape {values.shape}; expected (n, {len(outputs)}) for {outputs}.")
    if not np.isfinite(values).all():
        raise OutputError("Found a model output that is not finite; expected numbers. Check the model and its inputs.")
    return values
