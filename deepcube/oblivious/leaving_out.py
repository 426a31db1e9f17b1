"""What an ablation does in its workers: take one feature, or one part of the model, away.

A module of its own, so that a worker need not import Maggy, which imports TensorFlow.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from deepcube.oblivious.errors import ExperimentConfigError


def hold_constant(dataset: Any, feature: str) -> Any:
    """Return a copy of a dataset in which a feature has its mean over the training rows everywhere.

    Parameters
    ----------
    dataset : pandas.DataFrame, or tuple or list of them and of anything else
        Every data frame that has the column is changed; the first of them is the training data.
    feature : str
        Name of the column; of numbers.

    Raises
    ------
    ExperimentConfigError
        If no part of the dataset has that column.
    """
    import pandas as pd

    parts = list(dataset) if isinstance(dataset, tuple | list) else [dataset]
    having = [each for each in parts if isinstance(each, pd.DataFrame) and feature in each.columns]
    if not having:
        raise ExperimentConfigError(
            f"Found no column {feature!r} in the dataset; expected data frames, or pass `leave_out_feature`."
        )
    mean = having[0][feature].mean()
    changed = [each.assign(**{feature: mean}) if any(each is one for one in having) else each for each in parts]
    return type(dataset)(changed) if isinstance(dataset, tuple | list) else changed[0]


def without_part(model: Any, part: str) -> Callable[..., Any]:
    """Return a factory of a model without one of its parts.

    Parameters
    ----------
    model : callable
        Builds a Keras ``Sequential`` model or a torch module.
    part : str
        Name of a layer or submodule; with a ``*`` at the end, all whose names begin so.

    Returns
    -------
    callable
        Takes the same arguments. A Keras layer is taken out; a torch submodule passes its input on.
    """
    return partial(_build_without, model, part)


def _build_without(model: Any, part: str, *args: Any, **options: Any) -> Any:
    built = model(*args, **options)
    if hasattr(built, "named_modules"):
        return _torch_without(built, part)
    return _keras_without(built, part)


def _matches(name: str, part: str) -> bool:
    return name.startswith(part[:-1]) if part.endswith("*") else name == part


def _torch_without(module: Any, part: str) -> Any:
    import torch

    names = [name for name, _ in module.named_modules() if name and _matches(name, part)]
    if not names:
        raise _unknown_part(part, [name for name, _ in module.named_modules() if name])
    for name in names:
        parent, _, own = name.rpartition(".")
        setattr(module.get_submodule(parent), own, torch.nn.Identity())
    return module


def _keras_without(network: Any, part: str) -> Any:
    import keras

    if not isinstance(network, keras.Sequential):
        raise ExperimentConfigError(
            f"Found a model of type {type(network).__name__}; expected a keras.Sequential, or pass `leave_out_part`."
        )
    kept = [layer for layer in network.layers if not _matches(layer.name, part)]
    if len(kept) == len(network.layers):
        raise _unknown_part(part, [layer.name for layer in network.layers])
    copies = [type(layer).from_config(layer.get_config()) for layer in kept]
    return keras.Sequential([keras.Input(network.input_shape[1:]), *copies])


def _unknown_part(part: str, names: Sequence[str]) -> ExperimentConfigError:
    return ExperimentConfigError(f"Found no part {part!r} in the model; expected one of {', '.join(names)}.")


def leave_out(
    feature: Callable[[Any, str], Any],
    part: Callable[[Any, str], Any],
    parts: Mapping[str, Any],
    without: Sequence[str],
) -> Mapping[str, Any]:
    """Return a worker's parts without one component.

    Parameters
    ----------
    feature, part : callable
        ``feature(dataset, name)`` and ``part(model, name)`` leave one out.
    parts : mapping of str to Any
        ``model`` and ``dataset``, and others that are left alone.
    without : (str, str)
        ``"feature"`` or ``"part"``, and its name.
    """
    kind, name = without
    if kind == "feature":
        return {**parts, "dataset": feature(copy.copy(parts["dataset"]), name)}
    return {**parts, "model": part(parts["model"], name)}
