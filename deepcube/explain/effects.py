"""Explanations of a model as a whole: which features it needs, and how its output depends on each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from deepcube.explain.alibi_compat import load_alibi
from deepcube.explain.errors import InputError
from deepcube.explain.inputs import as_inputs
from deepcube.explain.models import Array, ModelAdapter, adapt, output_names

REPEATS = 10
"""Permutations of each feature."""

POINTS = 20
"""Values of a feature at which an effect is computed, at most."""

Loss = Callable[[Array, Array], float]
"""From truth and prediction, each (n, outputs), to a number; less is better."""


def permutation_importance(
    model: Any,
    inputs: Any,
    *,
    truth: Any,
    groups: xr.DataArray | None = None,
    loss: Loss | None = None,
    loss_units: str | None = None,
    repeats: int = REPEATS,
    outputs: Sequence[str] | None = None,
    output_units: str = "1",
    seed: int = 0,
) -> xr.Dataset:
    """Measure how much worse a model gets when a feature is shuffled among the instances.

    Parameters
    ----------
    model : object
        Any model that :func:`deepcube.explain.adapt` takes.
    inputs : as for :func:`deepcube.explain.explain`
        A sample, preferably not of the training period.
    truth : array, shape (n,) or (n, outputs)
        What the model should predict; NaN where it is unknown, which the default loss leaves out.
    groups : xarray.DataArray of int, optional
        Groups of elements that are shuffled together, see :func:`deepcube.explain.group_labels`. By default every
        element along the last dimension (a feature, a variable, a channel) is a group.
    loss : callable, optional
        ``loss(truth, predictions)``; the root mean square error by default.
    loss_units : str, optional
        Unit of the loss; that of the outputs by default.
    repeats : int
        Permutations of each group.
    outputs : sequence of str, optional
        Not used: a loss is over all outputs.
    output_units : str
        Unit of the outputs.
    seed : int
        Seed of the permutations.

    Returns
    -------
    xarray.Dataset, dims (feature,)
        ``importance`` and ``spread`` (mean and standard deviation over the permutations of the loss after shuffling
        minus before) and, without dims, ``loss``. Breiman, 2001, Random Forests, Machine Learning 45, section 10, for
        any model: Fisher, Rudin and Dominici, 2019, All Models are Wrong, but Many are Useful, JMLR 20, equation 3.

    Raises
    ------
    InputError
        If truth and inputs do not fit each other, or the sample has fewer than two instances.
    """
    adapter, array = adapt(model), as_inputs(inputs)
    known = np.asarray(truth, np.float64)
    known = known[:, None] if known.ndim == 1 else known
    if len(known) != len(array) or len(array) < 2:
        raise InputError(f"Found {len(known)} true values for {len(array)} instances; expected as many, at least 2.")
    names, numbers = _groups(array, groups)
    shape = array.shape[1:]
    columns = [np.flatnonzero(numbers == group) for group in range(len(names))]
    flat = np.ascontiguousarray(array.values.reshape(len(array), -1))
    score = loss or _rmse
    load_alibi()
    from alibi.explainers import PermutationImportance

    rows = np.arange(len(array))[:, None]  # alibi permutes these; one column stands for all elements of a group

    def predict(indices: Array) -> Array:
        # Alibi shuffles the rows, of an odd number leaves out one, and then exchanges one column at a time.
        mixed = flat[: len(indices)].copy()
        for group in np.flatnonzero((indices != rows[: len(indices)]).any(axis=0)):
            members = columns[group]
            mixed[:, members] = flat[indices[:, group].astype(int)[:, None], members]
        return adapter.predict(mixed.reshape(len(mixed), *shape))

    def alibi_loss(y_true: Array, y_pred: Array, sample_weight: Any = None) -> float:
        return score(y_true, y_pred)

    before = np.random.get_state()
    try:
        np.random.seed(seed)
        explainer = PermutationImportance(predict, loss_fns={"loss": alibi_loss}, feature_names=names)
        found = explainer.explain(
            np.tile(rows, (1, len(names))), known, method="estimate", kind="difference", n_repeats=repeats
        )
    finally:
        np.random.set_state(before)
    parts = found.data["feature_importance"][0]
    units = loss_units or output_units
    return xr.Dataset(
        {
            "importance": (
                "feature",
                [p["mean"] for p in parts],
                {"units": units, "long_name": "loss after shuffling"},
            ),
            "spread": ("feature", [p["std"] for p in parts], {"units": units}),
            "loss": ((), score(known, adapter.predict(array.values)), {"units": units}),
        },
        coords={"feature": names},
        attrs={"method": "permutation_importance", "repeats": repeats, "seed": seed, "instances": len(array)},
    )


def ale(
    model: Any,
    inputs: Any,
    *,
    features: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    output_units: str = "1",
    seed: int = 0,
) -> xr.Dataset:
    """Compute accumulated local effects: how the output changes with one feature, others as they occur with it.

    Parameters
    ----------
    model : object
        Any model that :func:`deepcube.explain.adapt` takes.
    inputs : xarray.DataArray, DataFrame or array, dims (instance, feature)
        A sample of a table.
    features : sequence of str, optional
        Which features; all by default.
    outputs : sequence of str, optional
        Names of the outputs.
    output_units : str
        Unit of the outputs.
    seed : int
        Not used: nothing is sampled.

    Returns
    -------
    xarray.Dataset, dims (feature, output, point)
        ``effect``, centred on zero, at the ``value`` (feature, point) of the feature, NaN beyond the last point; and
        ``base_value`` (output,), the mean prediction. Apley and Zhu, 2020, Visualizing the effects of predictor
        variables in black box supervised learning models, JRSS B 82, equation 5 and its estimate, equation 16.

    Raises
    ------
    InputError
        If the inputs are not a table, or lack a feature.
    """
    load_alibi()
    from alibi.explainers import ALE

    table = _table(model, inputs, features)
    explainer = ALE(table.adapter.predict, feature_names=table.known)
    found = explainer.explain(table.x, features=table.columns, min_bin_points=max(4, len(table.x) // POINTS))
    curves = [np.asarray(curve).T for curve in found.ale_values]
    return _effects("ale", table, found.feature_values, curves, outputs, output_units)


def partial_dependence(
    model: Any,
    inputs: Any,
    *,
    features: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    output_units: str = "1",
    seed: int = 0,
) -> xr.Dataset:
    """Compute partial dependence: the mean output if a feature had one value everywhere.

    Parameters
    ----------
    model, inputs, features, outputs, output_units, seed
        As for :func:`ale`.

    Returns
    -------
    xarray.Dataset, dims (feature, output, point)
        As :func:`ale`, but that ``effect`` is a mean output and not centred. Friedman, 2001, Greedy Function
        Approximation: A Gradient Boosting Machine, Annals of Statistics 29, equations 51 to 53. Where features depend
        on each other it averages over inputs that do not occur; prefer :func:`ale` there.

    Raises
    ------
    InputError
        If the inputs are not a table, or lack a feature.
    """
    load_alibi()
    from alibi.explainers import PartialDependence

    table = _table(model, inputs, features)
    explainer = PartialDependence(table.adapter.predict, feature_names=table.known)
    found = explainer.explain(table.x, features=table.columns, kind="average", grid_resolution=POINTS)
    curves = [
        np.asarray(curve).reshape(-1, len(grid))
        for curve, grid in zip(found.pd_values, found.feature_values, strict=True)
    ]
    return _effects("partial_dependence", table, found.feature_values, curves, outputs, output_units)


@dataclass(frozen=True, eq=False)
class _Table:
    """A model and a sample of a table, with the features whose effects are wanted.

    ``known`` are the names of all features, ``names`` and ``columns`` those and the positions of the wanted ones,
    ``x`` (instance, feature) the sample, and ``units`` by name, if they are known.
    """

    adapter: ModelAdapter
    x: Array
    known: list[str]
    names: list[str]
    columns: list[int]
    units: dict[str, str]


def _effects(
    method: str,
    table: _Table,
    grids: Sequence[Any],
    curves: Sequence[Array],
    outputs: Sequence[str] | None,
    output_units: str,
) -> xr.Dataset:
    base, names = table.adapter.predict(table.x).mean(axis=0), table.names
    labels = output_names(table.adapter.original, len(base), outputs)
    longest = max(len(grid) for grid in grids)
    value = np.full((len(names), longest), np.nan)
    effect = np.full((len(names), len(labels), longest), np.nan)
    for i, (grid, curve) in enumerate(zip(grids, curves, strict=True)):
        value[i, : len(grid)] = grid
        effect[i, :, : len(grid)] = curve
    data = xr.Dataset(
        {
            "effect": (("feature", "output", "point"), effect, {"units": output_units}),
            "value": (("feature", "point"), value, {"long_name": "value of the feature, in its own units"}),
            "base_value": ("output", base, {"units": output_units, "long_name": "mean prediction"}),
        },
        coords={"feature": names, "output": labels},
        attrs={"method": method, "instances": len(table.x)},
    )
    if table.units:
        data = data.assign_coords(units=("feature", [table.units[name] for name in names]))
    return data


def _table(model: Any, inputs: Any, features: Sequence[str] | None) -> _Table:
    array = as_inputs(inputs)
    if array.ndim != 2:
        raise InputError(f"Found inputs of dims {array.dims}; effects are of a table (instance, feature).")
    dim, values = array.dims[1], array.values.astype(np.float64)
    labels = array.indexes[dim] if dim in array.indexes else [f"feature_{i}" for i in range(array.shape[1])]
    known = [str(name) for name in labels]
    missing = [name for name in features or () if name not in known]
    if missing:
        raise InputError(f"Found no feature {', '.join(missing)}; expected some of {', '.join(known)}.")
    names = known if features is None else list(features)
    labelled = "units" in array.coords and array["units"].dims == (dim,)
    units = dict(zip(known, array["units"].values.tolist(), strict=True)) if labelled else {}
    return _Table(adapt(model), values, known, names, [known.index(name) for name in names], units)


def _groups(array: xr.DataArray, groups: xr.DataArray | None) -> tuple[list[str], Array]:
    """Return the names of the groups and the group of every element."""
    one = array.isel({array.dims[0]: 0}, drop=True)
    last = one.dims[-1]
    if groups is None:
        names = (
            [str(name) for name in one.indexes[last]] if last in one.indexes else list(map(str, range(one.shape[-1])))
        )
        return names, np.broadcast_to(np.arange(one.shape[-1]), one.shape).ravel()
    if dict(groups.sizes) != dict(one.sizes):
        raise InputError(f"Found groups of {dict(groups.sizes)} for inputs of {dict(one.sizes)}; expected the same.")
    numbers = np.ravel(groups.transpose(*one.dims).values)
    return [f"group_{i}" for i in range(int(numbers.max()) + 1)], numbers


def _rmse(truth: Array, prediction: Array) -> float:
    square = (truth - prediction) ** 2
    mean = square.mean()
    return float(np.sqrt(np.nanmean(square) if np.isnan(mean) else mean))
