"""Shapley values of any model, and exact ones of trees, by alibi with its faults corrected."""

from typing import Any

import numpy as np
import xarray as xr

from deepcube.explain.alibi_compat import load_alibi
from deepcube.explain.errors import InputError, MethodError
from deepcube.explain.models import Array, ModelAdapter
from deepcube.explain.trees import TreeSum

COALITIONS = 2048
"""Coalitions that kernel SHAP evaluates per instance, if there are so many."""

_MOST_GROUPS = 512


def kernel_shap(
    model: ModelAdapter,
    inputs: Array,
    background: Array,
    labels: Array | None = None,
    *,
    samples: int = COALITIONS,
    seed: int = 0,
) -> tuple[Array, Array]:
    """Estimate Shapley values by weighted least squares over sampled coalitions.

    Parameters
    ----------
    model : ModelAdapter
        Any model.
    inputs : numpy.ndarray of float, shape (n, ...)
        What to explain.
    background : numpy.ndarray of float, shape (m, ...) or (n, 1, ...)
        What absent elements are replaced by: one sample for all instances, or with one more dimension a reference for
        each instance.
    labels : numpy.ndarray of int, shape (...), optional
        Group of every element of an input; a group is present or absent as a whole, and its value is shared evenly by
        its elements. Every element is a group of its own by default.
    samples : int
        Coalitions to evaluate per instance; exact where there are so many.
    seed : int
        Seed of the sampling.

    Returns
    -------
    attributions : numpy.ndarray of float64, shape (n, outputs, ...)
        Shapley values of Lundberg and Lee, 2017, A Unified Approach to Interpreting Model Predictions, NeurIPS,
        theorem 2 (kernel SHAP). They sum to the prediction minus the base value.
    base_values : numpy.ndarray of float64, shape (n, outputs)
        Mean output over the background.

    Raises
    ------
    InputError
        If there are too many groups to sample coalitions of, or too few coalitions.
    """
    shape = inputs.shape[1:]
    numbers = np.arange(int(np.prod(shape))) if labels is None else np.ravel(labels)
    columns = [np.flatnonzero(numbers == group) for group in range(int(numbers.max()) + 1)]
    if len(columns) > _MOST_GROUPS:
        raise InputError(
            f"Found {len(columns)} elements to form coalitions of; expected at most {_MOST_GROUPS}. "
            "Group them: by variable, lag, patch or region."
        )
    if samples < 2:
        raise InputError(f"Found samples={samples}; expected at least 2 coalitions.")

    def predict(flat: Array) -> Array:
        return model.predict(np.asarray(flat).reshape(len(flat), *shape))

    x = inputs.reshape(len(inputs), -1).astype(np.float64)
    own = background.ndim == inputs.ndim + 1
    rows = background.reshape(*background.shape[:2], -1) if own else background.reshape(len(background), -1)
    before = np.random.get_state()  # alibi seeds NumPy's global state, which shap draws from
    try:
        if own:
            parts = [_one_fit(predict, x[i : i + 1], rows[i], columns, samples, seed) for i in range(len(x))]
            values, base = np.concatenate([p[0] for p in parts]), np.stack([p[1] for p in parts])
        else:
            values, one = _one_fit(predict, x, rows, columns, samples, seed)
            base = np.tile(one, (len(x), 1))
    finally:
        np.random.set_state(before)
    spread = np.zeros((*values.shape[:2], x.shape[1]))
    for group, members in enumerate(columns):
        spread[:, :, members] = values[:, :, group, None] / len(members)
    return spread.reshape(*spread.shape[:2], *shape), base


def _one_fit(
    predict: Any, x: Array, background: Array, columns: list[Array], samples: int, seed: int
) -> tuple[Array, Array]:
    """Return Shapley values (n, outputs, groups) and base values (outputs,) against one background."""
    base = predict(background).mean(axis=0)
    if len(columns) == 1:
        return (predict(x) - base)[:, :, None], base
    load_alibi()
    from alibi.explainers import KernelShap

    explainer = KernelShap(predict, link="identity", task="regression", seed=seed)
    singles = all(len(members) == 1 for members in columns)
    if singles:
        explainer.fit(background.astype(np.float64))
    else:
        names = [str(group) for group in range(len(columns))]
        explainer.fit(background.astype(np.float64), group_names=names, groups=[m.tolist() for m in columns])
    # Without regularisation: a selection of features would give the left-out ones no value and distort the rest.
    found = explainer.explain(x, silent=True, nsamples=samples, l1_reg=False)
    return np.stack([np.asarray(v).reshape(len(x), -1) for v in found.shap_values], axis=1), base


def tree_shap(model: Any, inputs: Array, background: Array | None = None) -> tuple[Array, Array]:
    """Compute the exact Shapley values of an ensemble of trees.

    Parameters
    ----------
    model : scikit-learn ensemble or tree, or TreeSum
        Forest, boosted trees or a single tree.
    inputs : numpy.ndarray of float, shape (n, ...)
        What to explain; the features of the trees are the elements of an instance, the last dim fastest.
    background : numpy.ndarray of float, shape (m, ...) or (n, 1, ...); optional
        Sample that absent features are drawn from (interventional), one for all instances or, with one more dimension,
        a reference for each; without it, the paths that the training data took.

    Returns
    -------
    attributions : numpy.ndarray of float64, shape (n, outputs, ...)
        Shapley values of Lundberg et al., 2020, From local explanations to global understanding with explainable AI for
        trees, Nature Machine Intelligence 2, algorithms 2 (paths) and 3 (interventional). Of probabilities, if the
        model is a classifier.
    base_values : numpy.ndarray of float64, shape (n, outputs)
        Expected output.

    Raises
    ------
    MethodError
        If the model is none of trees, or explains its margin and not its probability without a background.
    """
    shape = inputs.shape[1:]
    own = background is not None and background.ndim > inputs.ndim
    inputs = inputs.reshape(len(inputs), -1)
    classifier = hasattr(model, "predict_proba")
    margin = classifier and "Boosting" in type(model).__name__
    if margin and background is None:
        raise MethodError(
            f"Found a {type(model).__name__} and no background: its trees add up to a margin, not to a probability. "
            "Give a background sample, or use kernel_shap."
        )
    if isinstance(model, TreeSum):
        if background is None:
            raise MethodError("Found trees in arrays and no background: they know no training data. Give a baseline.")
        model = model.as_shap()
    output = "probability" if margin else "raw"
    sample = None if background is None else background.reshape(len(background), -1)
    if sample is not None and own:
        values, base = _against_own(model, inputs, sample, output)
    else:
        values, base = _of_trees(model, inputs, sample, output)
        base = np.tile(base, (len(inputs), 1))
    if classifier and values.shape[1] == 1:  # of two classes only the second is given; the first mirrors it
        values, base = np.concatenate([-values, values], axis=1), np.concatenate([1 - base, base], axis=1)
    return values.reshape(*values.shape[:2], *shape), base


def _against_own(model: Any, inputs: Array, references: Array, output: str) -> tuple[Array, Array]:
    """Return the values of instances and the base value of each, every one against its own reference."""
    distinct, which = np.unique(references, axis=0, return_inverse=True)
    parts = [_of_trees(model, inputs[which == i], one[None], output) for i, one in enumerate(distinct)]
    values = np.empty((len(inputs), *parts[0][0].shape[1:]))
    base = np.empty((len(inputs), parts[0][1].size))
    for i, (found, start) in enumerate(parts):
        values[which == i], base[which == i] = found, start
    return values, base


def _of_trees(model: Any, inputs: Array, background: Array | None, output: str) -> tuple[Array, Array]:
    """Return the values of instances, shape (n, outputs, features), and the base values, shape (outputs,)."""
    import shap

    sample = None if background is None else background.astype(np.float64)
    try:
        explainer = shap.TreeExplainer(model, sample, model_output=output)
    except Exception as error:
        if "not yet supported" in str(error) or type(error).__name__ == "InvalidModelError":
            raise MethodError(
                f"Found a model of type {type(model).__name__}, which tree_shap cannot take apart; "
                "expected an ensemble of trees. Use kernel_shap."
            ) from error
        raise
    # One output: (n, features); several: (n, features, outputs). Completeness is measured with every explanation.
    found = np.asarray(explainer.shap_values(inputs.astype(np.float64), check_additivity=False))
    values = found[:, None] if found.ndim == 2 else np.moveaxis(found, -1, 1)
    return values, np.atleast_1d(np.asarray(explainer.expected_value, np.float64)).reshape(-1)


def as_background(sample: xr.DataArray, most: int, seed: int) -> Array:
    """Return at most so many instances of a sample, drawn without replacement.

    Parameters
    ----------
    sample : xarray.DataArray, dims (instance, ...)
        The sample.
    most : int
        How many at most.
    seed : int
        Seed of the draw.

    Returns
    -------
    numpy.ndarray, shape (at most ``most``, ...)
        The drawn instances, in their order.
    """
    values = np.asarray(sample.values)
    if len(values) <= most:
        return values
    return np.asarray(values[np.sort(np.random.default_rng(seed).choice(len(values), most, replace=False))])
