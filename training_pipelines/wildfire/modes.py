"""Ways to train the wildfire models; the training function is the same in all of them.

``single`` tries one model of every family that fits the inputs, on the validation cases, and trains the best family
with all seeds, or the families whose mean is better still. ``hpo`` searches family and hyperparameters together.
``ablation`` also tells what each group of variables is worth to the chosen family, the first of several.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from maggy.experiment import experiment

from deepcube.oblivious import MODEL_FILE, MlflowTracker, SingleRunConfig
from features.wildfire import Layout, group_of
from features.wildfire.layout import GROUPS
from training_pipelines.studies import Bench, Space, Study, Tell
from training_pipelines.wildfire.data import Floats, Samples, TrainingData
from training_pipelines.wildfire.model import LogOdds, balanced_loss, load_network, log_odds, train_fn
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
_MOST, _GAIN = 3, 0.005  # families in a mean; by what share of the loss each further one must better it
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


def mean_of_families(odds: dict[str, LogOdds], data: TrainingData) -> tuple[list[str], float]:
    """Choose the networks whose mean log-odds do best on validation, the best one first.

    Parameters
    ----------
    odds : dict of str to numpy.ndarray of float, shape (rows,)
        Log-odds of one model of each family on the validation cases.
    data : TrainingData
        The cases.

    Returns
    -------
    tuple
        Families, three at most, and the validation loss of their mean. Each further one is that which helps most, as
        long as one helps (Caruana et al., 2004, Ensemble Selection from Libraries of Models, ICML, without repeats).
    """

    def loss(members: list[str]) -> float:
        return balanced_loss(data.validation, np.mean([odds[one] for one in members], axis=0), data.train)

    chosen: list[str] = []
    least = np.inf
    while len(chosen) < _MOST and len(chosen) < len(odds):
        found = {one: loss([*chosen, one]) for one in odds if one not in chosen}
        best = min(found, key=lambda one: found[one])
        if chosen and found[best] > least * (1 - _GAIN):
            break
        chosen, least = [*chosen, best], found[best]
    return chosen, float(least)


def _compare(data: TrainingData, hparams: dict[str, Any], tracker: MlflowTracker, tell: Tell) -> Study:
    """Train one model of each family and choose by the validation loss."""
    fitting = families(Layout(data.names))
    losses: dict[str, float] = {}
    odds: dict[str, LogOdds] = {}
    for number, family in enumerate(fitting):
        tell(0.1 + 0.3 * number / len(fitting), f"trying {family}")
        run = train(data, {**hparams, "family": family}, 0, tracker=tracker)
        losses[family] = float(run["metric"])
        odds[family] = log_odds(load_network(Path(run["directory"]) / MODEL_FILE), data.validation.inputs)
    # Trees stay by themselves: they have no gradients, so a mean with them could not be explained in time.
    members, loss = mean_of_families({one: odds[one] for one in fitting if one != "boosting"}, data)
    alone = min(losses, key=lambda family: losses[family])
    if len(members) > 1:
        losses[" + ".join(members)] = loss
    chosen = members if loss < losses[alone] else [alone]
    best = " + ".join(chosen)
    tell(0.4, f"{best} is best on validation")
    return Study(
        {**hparams, "family": chosen[0], "families": chosen},
        {**_CHOSEN_BY, "validation_loss": losses, "best": best},
    )
