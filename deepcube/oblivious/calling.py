"""The contract between an experiment and an oblivious training function.

A training function names the arguments that it wants, in any order, and is given only those. It does not know whether
it runs alone, as one of many trials or as one of many ranks:

>>> def train_fn(hparams, model, dataset, reporter):
...     network = model(units=hparams["units"])
...     for epoch in range(hparams["epochs"]):
...         reporter.broadcast(network.step(dataset), step=epoch)
...     return {"loss": network.loss}
"""

import hashlib
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepcube.oblivious.errors import DivergedError, TrainFunctionError, TrainResultError

TrainFn = Callable[..., Any]
"""A training function: takes some of the offered arguments by name, returns a number or a dictionary of numbers."""

OFFERED = ("hparams", "model", "module", "dataset", "reporter", "seed")
"""Names of the arguments that a training function may ask for; ``module`` is Maggy's other name for ``model``."""

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class TrainResult:
    """What a training function returned, checked.

    Attributes
    ----------
    metric : float
        The value of the metric that the experiment optimises.
    metrics : dict of str to float
        Every numeric entry of the returned dictionary, or the metric alone.
    returned : Any
        The returned object itself.
    """

    metric: float
    metrics: dict[str, float]
    returned: Any


def name_of(train_fn: TrainFn) -> str:
    """Return a name of the training function for messages and records."""
    return str(getattr(train_fn, "__qualname__", None) or type(train_fn).__qualname__)


def source_hash(train_fn: TrainFn) -> str | None:
    """Return the SHA-256 of the function's source code, to prove that two modes ran the same function.

    Parameters
    ----------
    train_fn : callable
        The training function.

    Returns
    -------
    str or None
        Hexadecimal digest; None where Python cannot find the source, for example of a callable object.
    """
    try:
        return hashlib.sha256(inspect.getsource(train_fn).encode()).hexdigest()
    except (OSError, TypeError):
        return None


def check_train_fn(train_fn: TrainFn, offered: Collection[str]) -> None:
    """Check, before anything is started, that the function can be called with the offered arguments.

    Parameters
    ----------
    train_fn : callable
        The training function.
    offered : collection of str
        Names of the arguments that the experiment can supply.

    Raises
    ------
    TrainFunctionError
        If it is not callable, or requires an argument that is not offered or that cannot be passed by name.
    """
    if not callable(train_fn):
        raise TrainFunctionError(
            f"Found a training function of type {type(train_fn).__name__}; expected a callable such as "
            "`def train_fn(hparams, reporter): ...`."
        )
    required = [p for p in _parameters(train_fn) if p.default is p.empty]
    unknown = [p.name for p in required if p.name not in offered or p.kind not in _BY_NAME]
    if unknown:
        raise TrainFunctionError(
            f"{name_of(train_fn)} requires the argument(s) {', '.join(unknown)}; expected only names among "
            f"{', '.join(sorted(offered))}. Rename them, or give them a default."
        )


def call_train_fn(train_fn: TrainFn, offered: Mapping[str, Any]) -> Any:
    """Call the function with those of the offered arguments that its signature names.

    Parameters
    ----------
    train_fn : callable
        The training function.
    offered : mapping of str to Any
        All arguments that the experiment can supply.

    Returns
    -------
    Any
        What the function returned.
    """
    return train_fn(**{name: offered[name] for name in wanted_names(train_fn, offered)})


def wanted_names(train_fn: TrainFn, offered: Collection[str]) -> list[str]:
    """Return those of the offered names that the function's signature has: all, if it takes any keyword."""
    if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(train_fn).parameters.values()):
        return list(offered)
    return [p.name for p in _parameters(train_fn) if p.name in offered]


def read_result(returned: Any, metric_name: str) -> TrainResult:
    """Check what a training function returned and pick the metric out of it.

    Parameters
    ----------
    returned : float or dict of str to Any
        The metric itself, or a dictionary that holds it under ``metric_name``.
    metric_name : str
        Name of the metric that the experiment optimises.

    Returns
    -------
    TrainResult
        The metric and all numeric entries.

    Raises
    ------
    TrainResultError
        If nothing or something not numeric came back, if the metric is missing, or if it is not finite.
    """
    if isinstance(returned, Mapping):
        if metric_name not in returned:
            raise TrainResultError(
                f"The training function returned a dictionary with {sorted(map(str, returned))}; expected the metric "
                f"{metric_name!r} in it. Return it, or name another metric as `optimization_key`."
            )
        metrics = {str(key): as_float(value) for key, value in returned.items() if _is_number(value)}
        metric = returned[metric_name]
    else:
        metrics = {metric_name: as_float(returned)} if _is_number(returned) else {}
        metric = returned
    return TrainResult(finite(metric, f"returned as {metric_name!r}"), metrics, returned)


def finite(value: Any, where: str) -> float:
    """Return a number as a Python float.

    Parameters
    ----------
    value : Any
        The candidate.
    where : str
        Where it came from, for the message, for example ``"returned as 'loss'"``.

    Returns
    -------
    float
        The value.

    Raises
    ------
    TrainResultError
        If the value is not a number, or not finite.
    """
    if not _is_number(value):
        raise TrainResultError(
            f"Found a value of type {type(value).__name__} {where} by the training function; expected a number."
        )
    number = as_float(value)
    if not math.isfinite(number):
        raise DivergedError(
            f"Found {number} {where} by the training function; expected a finite number. The training has probably "
            "diverged: lower the learning rate, or check the inputs for missing values."
        )
    return number


def as_float(value: Any) -> float:
    """Return a Python or NumPy scalar as a Python float."""
    return float(np.asarray(value).item())


def _is_number(value: Any) -> bool:
    array = np.asarray(value)
    return array.ndim == 0 and np.issubdtype(array.dtype, np.number) and not np.iscomplexobj(array)


def _parameters(train_fn: TrainFn) -> list[inspect.Parameter]:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p for p in inspect.signature(train_fn).parameters.values() if p.kind not in variadic]
