"""One call for every method: a model, its inputs and the name of a method make one labelled explanation."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.explain.attribution import build_attributions
from deepcube.explain.errors import InputError, MethodError, OutputError
from deepcube.explain.inputs import as_inputs, fit_background, fit_baseline
from deepcube.explain.models import adapt, output_names
from deepcube.explain.quality import score
from deepcube.explain.recipes import METHODS, Recipe
from deepcube.explain.shapley import as_background

BACKGROUND = 100
"""Instances of a background sample that SHAP uses at most."""

OTHER_METHODS = (
    "grad_cam",
    "permutation_importance",
    "ale",
    "partial_dependence",
    "anchors",
    "counterfactual",
    "prototype_counterfactual",
)
"""Methods that explain otherwise than by adding up to the prediction."""


def explain(
    model: Any,
    inputs: Any,
    method: str = "integrated_gradients",
    *,
    background: Any = None,
    baseline: Any = None,
    baseline_meaning: str | None = None,
    scores: bool | Sequence[str] = False,
    outputs: Sequence[str] | None = None,
    output_units: str = "1",
    order: Sequence[str] | None = None,
    samples: int | None = None,
    groups: xr.DataArray | None = None,
    seed: int = 0,
    **options: Any,
) -> xr.Dataset:
    """Explain predictions of a model.

    Parameters
    ----------
    model : keras.Model, TracedModel, torch.nn.Module, scikit-learn estimator or callable
        The model; a callable maps an array (n, ...) to (n,) or (n, outputs).
    inputs : xarray.DataArray, xarray.Dataset, pandas.DataFrame or array, first dimension the instances
        A table (instance, feature), a series (instance, time, variable), an image (instance, y, x, channel), a cube
        (instance, time, y, x, variable), or whatever else the model takes. Names and units come from its coordinates
        and attributes; see :func:`deepcube.explain.inputs.as_inputs`.
    method : str
        One of :data:`METHODS`, for attributions, or of :data:`OTHER_METHODS`, which have options of their own: see
        :func:`~deepcube.explain.activation_map`, :func:`~deepcube.explain.permutation_importance`,
        :func:`~deepcube.explain.ale`, :func:`~deepcube.explain.partial_dependence`,
        :func:`~deepcube.explain.anchors`, :func:`~deepcube.explain.counterfactual` and
        :func:`~deepcube.explain.prototype_counterfactual`.
    background : as inputs, optional
        A sample of what is usual, preferably of training data. SHAP averages over at most :data:`BACKGROUND` of it;
        other methods compare with its mean.
    baseline : as inputs, or without the first dimension; optional
        Instead of a background, or beside it: one reference for all instances, or one each.
    baseline_meaning : str, optional
        What the baseline stands for, in words; kept with the result.
    scores : bool or sequence of str
        Whether to measure the quality of the attributions, or which scores; see :func:`deepcube.explain.score`.
    outputs : sequence of str, optional
        Names of the model's outputs; ``output_0``... by default, or a classifier's classes.
    output_units : str
        Unit of the outputs.
    order : sequence of str, optional
        Variables or features in the model's order, where the inputs may hold them in another.
    samples : int, optional
        Points along the path, or coalitions; the method's default without.
    groups : xarray.DataArray of int, optional
        Groups that kernel SHAP treats as one player each; see :func:`deepcube.explain.group_labels`.
    seed : int
        Seed of whatever is sampled.
    **options : Any
        Options of the other methods.

    Returns
    -------
    xarray.Dataset
        For attributions see :func:`deepcube.explain.build_attributions`; with the scores, if asked for, as variables of
        dims (instance, output), and the settings as attributes.

    Raises
    ------
    MethodError
        If there is no such method, or it does not fit the model or these options.
    InputError
        If the inputs have the wrong shape, lack a variable or hold missing values; the message says where.
    OutputError
        If the model's outputs do not fit the given names.
    """
    adapter, array = adapt(model), as_inputs(inputs, order=order)
    if method in OTHER_METHODS:
        if scores:
            raise MethodError(
                f"Found scores asked for {method}; expected one of {', '.join(METHODS)}, whose values add up."
            )
        named = {"outputs": outputs, "output_units": output_units, "seed": seed}
        options = options if groups is None else {**options, "groups": groups}
        return _other(adapter, array, method, background, named, options)
    if options:
        raise MethodError(f"Found unknown options {', '.join(sorted(options))} for method {method!r}.")
    Recipe(method, samples).check(adapter)
    sample = None if background is None else fit_background(array, _ordered(background, order))
    reference, meaning = _reference(array, sample, _ordered(baseline, order), baseline_meaning)
    recipe = Recipe(
        method,
        samples,
        _labels(array, groups),
        as_background(sample, BACKGROUND, seed) if sample is not None and baseline is None else None,
        seed,
    )
    x = array.values
    predictions = adapter.predict(x)
    names = output_names(adapter.original, predictions.shape[1], outputs)
    x0 = None if reference is None else reference.values
    attributions, base_values = recipe.attribute(adapter, x, x0, len(names))
    if attributions.shape != (len(x), len(names), *x.shape[1:]):
        raise OutputError(
            f"Found attributions of shape {attributions.shape}; expected one per input element and output."
        )
    result = build_attributions(
        method=method,
        baseline_meaning=meaning,
        attributions=attributions,
        inputs=array,
        baseline=reference,
        predictions=predictions,
        base_values=base_values,
        outputs=names,
        output_units=output_units,
    )
    if METHODS[method].samples:
        result.attrs[METHODS[method].sampled] = samples or METHODS[method].samples
    result.attrs |= {"seed": seed, "model": adapter.kind}
    if scores:
        wanted = None if isinstance(scores, bool) else scores
        result = result.assign(score(adapter, result, wanted, recipe=recipe, seed=seed))
    return result


def _ordered(data: Any, order: Sequence[str] | None) -> Any:
    """Bring a baseline or background of named columns or variables into the model's order."""
    if data is None or order is None:
        return data
    if isinstance(data, xr.Dataset | pd.DataFrame):
        return data[list(order)]
    if isinstance(data, xr.DataArray):
        dim = "variable" if "variable" in data.dims else data.dims[-1]
        return data.sel({dim: list(order)}) if dim in data.indexes else data
    return data


def _reference(
    array: xr.DataArray, sample: xr.DataArray | None, baseline: Any, meaning: str | None
) -> tuple[xr.DataArray | None, str]:
    """Return the baseline of every instance and what it means."""
    first = array.dims[0]
    if baseline is not None:
        if isinstance(baseline, xr.Dataset):
            dims = [dim for dim in array.dims if dim in baseline.dims]
            baseline = baseline.to_array("variable").transpose(*dims, "variable")
        elif isinstance(baseline, pd.DataFrame):
            baseline = as_inputs(baseline)
        elif not isinstance(baseline, xr.DataArray):
            values = np.broadcast_to(baseline, array.shape[1:]) if np.ndim(baseline) == 0 else np.asarray(baseline)
            named = array.dims if values.ndim == array.ndim else array.dims[1:]
            if values.ndim != len(named):
                raise InputError(f"Found a baseline of shape {values.shape} for inputs of {dict(array.sizes)}.")
            baseline = xr.DataArray(values, dims=named)
        return fit_baseline(array, baseline), meaning or "a baseline that was given"
    if sample is None:
        return None, meaning or "the training data, by the paths it took"
    mean = sample.mean([first], dtype=np.float64).astype(array.dtype if array.dtype.kind == "f" else np.float64)
    return fit_baseline(array, mean), meaning or f"a background sample of {sample.sizes[first]}"


def _labels(array: xr.DataArray, groups: xr.DataArray | None) -> Any:
    if groups is None:
        return None
    one = array.isel({array.dims[0]: 0}, drop=True)
    if dict(groups.sizes) != dict(one.sizes):
        raise InputError(f"Found groups of {dict(groups.sizes)} for inputs of {dict(one.sizes)}; expected the same.")
    return groups.transpose(*one.dims).values


def _other(adapter: Any, array: xr.DataArray, method: str, background: Any, named: Any, options: Any) -> xr.Dataset:
    from deepcube.explain import activations, counterfactuals, effects, rules

    functions: dict[str, Callable[..., xr.Dataset]] = {
        "grad_cam": activations.activation_map,
        "permutation_importance": effects.permutation_importance,
        "ale": effects.ale,
        "partial_dependence": effects.partial_dependence,
        "anchors": rules.anchors,
        "counterfactual": counterfactuals.counterfactual,
        "prototype_counterfactual": counterfactuals.prototype_counterfactual,
    }
    if method in ("anchors", "counterfactual", "prototype_counterfactual"):
        if background is None:
            raise InputError(f"Found no background; {method} needs a sample of what is usual.")
        options = {**options, "background": fit_background(array, background)}
    function = functions[method]
    try:
        inspect.signature(function).bind(adapter, array, **named, **options)
    except TypeError as error:
        raise MethodError(f"Found options that do not fit {method}: {error}.") from error
    return function(adapter, array, **named, **options)
