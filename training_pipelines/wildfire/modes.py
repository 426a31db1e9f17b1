"""Ways to train the wildfire models; the training function is the same in all of them.

``single`` tries one model of every family that fits the inputs, on the validation cases, and trains the best family
with all seeds. ``hpo`` searches family and hyperparameters together. ``ablation`` also tells what each group of
variables is worth to the chosen family.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from maggy.experiment import experiment

from deepcube.oblivious import MlflowTracker, SingleRunConfig
from features.wildfire import Layout, group_of
from features.wildfire.layout import GROUPS
from training_pipelines.studies import Bench, Space, Study, Tell
from training_pipelines.wildfire.data import Floats, Samples, TrainingData
from training_pipelines.wildfire.model import train_fn
from training_pipelines.wildfire.networks import build_model, families

MODES = ("single", "hpo", "ablation")
"""Names of the modes."""

HPARAMS: dict[str, Any] = {
    "units": 32,
    "dropout": 0.2,
    "l2": 1e-4,
    "learning_rate": 2e-3,
    "batch_size": 128,
    "epochs": 12,
    "patience": 2,
    "trees": 150,
    "depth": 4,
    "shrinkage": 0.05,
}
"""Hyperparameters of all families, where ``hpo`` has not searched them."""

SEARCH_SPACE: Space = {
    "units": ("DISCRETE", [16, 32, 64]),
    "dropout": ("DOUBLE", [0.0, 0.4]),
    "learning_rate": ("DOUBLE", [5e-4, 5e-3]),
    "depth": ("DISCRETE", [2, 3, 4, 6]),
    "shrinkage": ("DOUBLE", [0.02, 0.15]),
}
"""What ``hpo`` searches beside the family, on the validation cases."""

_TRIALS = 12
_ABLATION_SEEDS = (0, 1, 2)
_METRIC = "validation_loss"
_CHOSEN_BY = {"chosen_by": "validation loss"}


def study(
    mode: str, data: TrainingData, hparams: dict[str, Any], tracker: MlflowTracker, tell: Tell, shown: str
) -> Study:
    """Choose family and hyperparameters on the validation cases, and do what else a mode does.

    Parameters
    ----------
    mode : str
        One of :data:`MODES`.
    data : TrainingData
        Only its training and validation cases are looked at.
    hparams : dict
        Hyperparameters that are not searched, and those to begin with.
    tracker : MlflowTracker
        Every trial becomes a nested run.
    tell : callable
        Called as ``tell(fraction, message)``.
    shown : str
        The source as figures name it.

    Returns
    -------
    Study
        What was found.
    """
    dataset = (data.train, data.validation)
    bench = Bench("wildfire", train_fn, build_model, dataset, _METRIC, tracker, tell, shown=shown)
    if mode == "hpo":
        space = {"family": ("CATEGORICAL", families(Layout(data.names))), **SEARCH_SPACE}
        # Families report at different paces, so none is stopped for being slower.
        found = bench.search(hparams, space, _TRIALS, es_min=_TRIALS)
        return replace(found, summary={**_CHOSEN_BY, **found.summary})
    chosen = _compare(data, hparams, tracker, tell)
    if mode != "ablation":
        return chosen
    groups = [group for group in GROUPS if any(group_of(name) == group for name in data.names)]
    missed = replace(bench, share=(0.4, 0.6)).ablate(
        chosen.hparams, groups, partial(without_group, data.means), _ABLATION_SEEDS
    )
    return replace(missed, summary={**chosen.summary, "ablation": missed.summary})


def train(data: TrainingData, hparams: dict[str, Any], seed: int, **options: Any) -> dict[str, Any]:
    """Train one model and return what ``experiment.lagom`` says of it."""
    config = SingleRunConfig(
        model=build_model,
        dataset=(data.train, data.validation),
        hparams=hparams,
        optimization_key=_METRIC,
        seed=seed,
        name=f"wildfire {hparams['family']} seed {seed}",
        **options,
    )
    return dict(experiment.lagom(train_fn, config))


def without_group(means: Floats, dataset: tuple[Samples, Samples], group: str) -> tuple[Samples, Samples]:
    """Return the cases with a group of variables held at their means over the training cases.

    Parameters
    ----------
    means : numpy.ndarray of float32, shape (inputs,)
        Means of all inputs.
    dataset : tuple of Samples
        Training and validation cases.
    group : str
        One of :data:`features.wildfire.layout.GROUPS`.
    """
    training, validation = dataset
    names = [name for name in training.names if group_of(name) == group]
    return training.held(names, means), validation.held(names, means)


def _compare(data: TrainingData, hparams: dict[str, Any], tracker: MlflowTracker, tell: Tell) -> Study:
    """Train one model of each family and choose by the validation loss."""
    fitting = families(Layout(data.names))
    losses: dict[str, float] = {}
    for number, family in enumerate(fitting):
        tell(0.1 + 0.3 * number / len(fitting), f"trying {family}")
        losses[family] = float(train(data, {**hparams, "family": family}, 0, tracker=tracker)["metric"])
    best = min(losses, key=lambda family: losses[family])
    tell(0.4, f"{best} is best on validation")
    return Study({**hparams, "family": best}, {**_CHOSEN_BY, "validation_loss": losses, "best": best})
