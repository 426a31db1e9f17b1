"""Counterfactuals: the nearest input that would have been predicted otherwise."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import xarray as xr

from deepcube.explain.alibi_compat import load_alibi
from deepcube.explain.errors import InputError
from deepcube.explain.inputs import as_inputs, fit_background
from deepcube.explain.models import Array, ModelAdapter, adapt, output_names

ITERATIONS = 50
"""Steps of each optimisation of a prototype counterfactual."""


def counterfactual(
    model: Any,
    inputs: Any,
    *,
    background: Any,
    target: tuple[float, float] | int | None = None,
    output: int = 0,
    fixed: Sequence[str] = (),
    outputs: Sequence[str] | None = None,
    output_units: str = "1",
    seed: int = 0,
) -> xr.Dataset:
    """Find for each input a change of few features, to values that occur, after which the prediction is another.

    From the nearest instances of the background that are predicted as wanted, values are taken over one feature at a
    time, each time the one that brings the prediction furthest towards the target; then every value that turns out not
    to be needed is put back. The result therefore holds only values that were observed.

    Parameters
    ----------
    model : object
        Any model that :func:`deepcube.explain.adapt` takes.
    inputs : as for :func:`deepcube.explain.explain`
        What is to be predicted otherwise; a table, or series and images, whose elements then are the features.
    background : as inputs
        A sample of what occurs.
    target : tuple of float, or int, optional
        What to reach: a range ``(low, high)`` of ``output``, open ends being infinite; or the class that scores
        highest. By default any other class, or of a single output the other side of the background's median.
    output : int
        Which output a range is for.
    fixed : sequence of str
        Names along the last dimension that must not change.
    outputs : sequence of str, optional
        Names of the outputs.
    output_units : str
        Unit of the outputs.
    seed : int
        Not used: nothing is sampled.

    Returns
    -------
    xarray.Dataset
        ``counterfactual`` and ``change`` of the inputs' dims; ``found`` (instance,), without which both are NaN;
        ``changed`` (instance,), the number of elements; ``distance`` (instance,), the mean absolute change in standard
        deviations of the background; ``prediction`` and ``counterfactual_prediction`` (instance, output). The nearest
        unlike neighbour of Keane and Smyth, 2020, Good Counterfactuals and Where to Find Them, ICCBR, made sparse as in
        Guidotti, 2024, Counterfactual explanations and how to find them, Data Mining and Knowledge Discovery 38; the
        distance is that of Wachter, Mittelstadt and Russell, 2018, Harvard Journal of Law and Technology 31, equation
        4, with the standard deviation for the median absolute one.

    Raises
    ------
    InputError
        If a fixed name does not exist, or nothing in the background is predicted as wanted.
    """
    array, adapter = as_inputs(inputs), adapt(model)
    sample = fit_background(array, background)
    shape = array.shape[1:]
    x, b = (part.values.reshape(len(part), -1).astype(np.float64) for part in (array, sample))
    at_sample, at_x = (adapter.predict(part.reshape(-1, *shape)) for part in (b, x))
    wanted = _Target(target, output, at_sample)
    movable = _movable(array, fixed)
    scale = np.where(b.std(axis=0) > 0, b.std(axis=0), 1.0)
    result = np.full(x.shape, np.nan)
    for i, row in enumerate(x):
        goal = wanted.of(at_x[i])
        if not (goal(at_sample) >= 0).any():
            raise InputError("Found nothing in the background that is predicted as wanted; expected an example of it.")
        taken_over = np.where(movable, b, row)
        fitting = taken_over[goal(adapter.predict(taken_over.reshape(-1, *shape))) >= 0]
        nearest = fitting[np.argsort((np.abs(fitting - row) / scale).sum(axis=1))[:5]]
        options = [_sparse(adapter, row, other, movable, goal, shape) for other in nearest]
        valid = [option for option in options if option is not None]
        if valid:
            result[i] = min(valid, key=lambda one: ((one != row).sum(), (np.abs(one - row) / scale).sum()))
    return _labelled("counterfactual", str(wanted), adapter, array, result, scale, at_x, outputs, output_units)


def prototype_counterfactual(
    model: Any,
    inputs: Any,
    *,
    background: Any,
    limit: float | None = None,
    output: int = 0,
    iterations: int = ITERATIONS,
    outputs: Sequence[str] | None = None,
    output_units: str = "1",
    seed: int = 0,
) -> xr.Dataset:
    """Find for each input a near one of another class, drawn towards what is typical of that class, by alibi.

    The values found need not have been observed, unlike those of :func:`counterfactual`, but lie within the range of
    the background; every element may change a little. It optimises by numerical gradients, so it takes seconds for
    each instance.

    Parameters
    ----------
    model : object
        Any model that :func:`deepcube.explain.adapt` takes.
    inputs : xarray.DataArray, DataFrame or array, dims (instance, feature)
        What is to be predicted otherwise.
    background : as inputs
        A sample of what occurs, with all classes; the nearest neighbours in it are the prototypes.
    limit : float, optional
        For a regression: what divides ``output`` into two classes; the median over the background by default. Several
        outputs are taken for scores of classes unless it is given.
    output : int
        Which output of a regression.
    iterations : int
        Steps of each optimisation.
    outputs : sequence of str, optional
        Names of the outputs.
    output_units : str
        Unit of the outputs.
    seed : int
        Not used: nothing is sampled.

    Returns
    -------
    xarray.Dataset
        As of :func:`counterfactual`. Van Looveren and Klaise, 2021, Interpretable Counterfactual Explanations Guided by
        Prototypes, ECML PKDD, algorithm 2 with k-d trees.

    Raises
    ------
    InputError
        If the inputs are not a table, or the background is all of one class.
    """
    array, adapter = as_inputs(inputs), adapt(model)
    if array.ndim != 2:
        raise InputError(f"Found inputs of dims {array.dims}; prototype counterfactuals are of a table.")
    x, b = (part.values.astype(np.float64) for part in (array, fit_background(array, background)))
    at_sample, at_x = adapter.predict(b), adapter.predict(x)
    regression = limit is not None or at_sample.shape[1] == 1
    middle = float(np.median(at_sample[:, output])) if limit is None else limit
    width = float(at_sample[:, output].std()) / 4 or 1.0

    def scores(values: Array) -> Array:
        """Return scores of classes; of a regression, how far it is above the limit as a smooth share."""
        if not regression:
            return values
        above = 1 / (1 + np.exp(np.clip((middle - values[:, output]) / width, -50, 50)))
        return np.stack([1 - above, above], axis=1)

    if len(np.unique(scores(at_sample).argmax(axis=1))) < 2:
        raise InputError("Found a background whose predictions are all of one class; expected an example of another.")
    result = _by_prototypes(lambda rows: scores(adapter.predict(rows)), x, b, iterations)
    reached = np.isfinite(result).all(axis=1)
    if reached.any():  # alibi reports what it found; only what the model confirms counts
        same = scores(adapter.predict(np.nan_to_num(result))).argmax(axis=1) == scores(at_x).argmax(axis=1)
        result = np.where(same[:, None], np.nan, result)
    target = f"the other side of {middle:g}" if regression else "another class"
    scale = np.where(b.std(axis=0) > 0, b.std(axis=0), 1.0)
    return _labelled("prototype_counterfactual", target, adapter, array, result, scale, at_x, outputs, output_units)


def _by_prototypes(classify: Callable[[Array], Array], x: Array, background: Array, iterations: int) -> Array:
    """Return alibi's counterfactual of every row, NaN where it found none.

    alibi builds a graph of TensorFlow 1. It gets one of its own; the model predicts in another thread, which knows
    nothing of that graph.
    """
    load_alibi()
    import tensorflow as tf
    from alibi.explainers import CounterfactualProto

    result = np.full(x.shape, np.nan)
    with (
        ThreadPoolExecutor(1) as thread,
        tf.Graph().as_default(),
        tf.compat.v1.Session() as session,
    ):
        explainer = CounterfactualProto(
            lambda rows: thread.submit(classify, np.asarray(rows, np.float64)).result(),
            shape=(1, x.shape[1]),
            use_kdtree=True,
            theta=10.0,
            feature_range=(background.min(axis=0)[None], background.max(axis=0)[None]),
            max_iterations=iterations,
            c_steps=3,
            sess=session,
        )
        explainer.fit(background)
        for i, row in enumerate(x):
            found = explainer.explain(row[None].astype(np.float32)).cf
            if found is not None:
                result[i] = np.ravel(found["X"])
    return result


def _labelled(
    method: str,
    target: str,
    adapter: ModelAdapter,
    array: xr.DataArray,
    result: Array,
    scale: Array,
    at_x: Array,
    outputs: Sequence[str] | None,
    output_units: str,
) -> xr.Dataset:
    """Put counterfactuals, rows of ``result`` that are NaN where there is none, beside what they depart from."""
    x, shape = array.values.reshape(len(array), -1).astype(np.float64), array.shape[1:]
    found = np.asarray(np.isfinite(result).all(axis=1))
    then = np.full(at_x.shape, np.nan)
    if found.any():
        then[found] = adapter.predict(result[found].reshape(-1, *shape))
    first, units = array.dims[0], {"units": output_units}
    change = np.where(found[:, None], result - x, np.nan)
    return xr.Dataset(
        {
            "input": array.reset_coords(drop=True),
            "counterfactual": (array.dims, result.reshape(array.shape), dict(array.attrs)),
            "change": (array.dims, change.reshape(array.shape), dict(array.attrs)),
            "found": (first, found),
            "changed": (first, np.where(found, (change != 0).sum(axis=1), 0)),
            "distance": (first, (np.abs(change) / scale).mean(axis=1), {"units": "1"}),
            "prediction": ((first, "output"), at_x, units),
            "counterfactual_prediction": ((first, "output"), then, units),
        },
        coords={**array.coords, "output": output_names(adapter.original, at_x.shape[1], outputs)},
        attrs={"method": method, "target": target},
    )


class _Target:
    """What is to be predicted, as a margin that is not negative where it is."""

    def __init__(self, target: tuple[float, float] | int | None, output: int, at_sample: Array) -> None:
        self._target, self._output = target, output
        self._middle = float(np.median(at_sample[:, output]))
        self._classes = at_sample.shape[1] > 1

    def __str__(self) -> str:
        if self._target is not None:
            return str(self._target)
        return "another class" if self._classes else f"the other side of {self._middle:g}"

    def of(self, prediction: Array) -> Any:
        if isinstance(self._target, tuple):
            low, high = self._target
            return lambda y: np.minimum(y[:, self._output] - low, high - y[:, self._output])
        if self._target is None and not self._classes:
            sign = 1.0 if prediction[self._output] < self._middle else -1.0
            return lambda y: sign * (y[:, self._output] - self._middle)
        if self._target is None:
            old = int(prediction.argmax())
            return lambda y: np.delete(y, old, axis=1).max(axis=1) - y[:, old]
        new = int(self._target)
        return lambda y: y[:, new] - np.delete(y, new, axis=1).max(axis=1)


def _movable(array: xr.DataArray, fixed: Sequence[str]) -> Array:
    last = array.dims[-1]
    known = [str(name) for name in array.indexes[last]] if last in array.indexes else []
    missing = [name for name in fixed if name not in known]
    if missing:
        raise InputError(
            f"Found no {', '.join(missing)} along {last!r} to keep fixed; expected some of {', '.join(known)}."
        )
    free = np.array([name not in fixed for name in known]) if known else np.ones(array.shape[-1], bool)
    return np.broadcast_to(free, array.shape[1:]).ravel()


def _sparse(
    adapter: ModelAdapter, row: Array, other: Array, movable: Array, goal: Any, shape: tuple[int, ...]
) -> Array | None:
    """Take over from another instance as few elements as reach the goal; None if even all do not."""

    def margins(rows: Array) -> Array:
        return np.asarray(goal(adapter.predict(rows.reshape(-1, *shape))))

    candidates = [int(i) for i in np.flatnonzero(movable & (row != other))]
    now, taken = row.copy(), []
    while candidates and margins(now[None])[0] < 0:
        trials = np.tile(now, (len(candidates), 1))
        trials[np.arange(len(candidates)), candidates] = other[candidates]
        best = candidates.pop(int(margins(trials).argmax()))
        now[best] = other[best]
        taken.append(best)
    if margins(now[None])[0] < 0:
        return None
    for element in taken[:-1]:
        without = now.copy()
        without[element] = row[element]
        if margins(without[None])[0] >= 0:
            now = without
    return now
