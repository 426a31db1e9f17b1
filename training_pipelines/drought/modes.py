"""Ways to train the drought model; the training function is the same in all of them.

``single`` trains one network per seed in this process. ``hpo`` first searches hyperparameters on the validation period.
``ablation`` also tells what each input is worth there. ``data-parallel`` trains each network on two workers.
``minicube`` also trains forecasts of months ahead, as distributions, on blocks of space and time: see
:mod:`training_pipelines.drought.outlook`.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from deepcube.oblivious import DistributedConfig, MlflowTracker, ObliviousConfig, SingleRunConfig
from training_pipelines.drought.data import Samples, TrainingData
from training_pipelines.drought.model import build_model, train_fn
from training_pipelines.studies import Bench, Space, Study, Tell

MODES = ("single", "hpo", "ablation", "data-parallel", "minicube")
"""Names of the modes."""

SEARCH_SPACE: Space = {
    "units": ("DISCRETE", [8, 16, 32]),
    "l2": ("DOUBLE", [0.01, 0.3]),
    "learning_rate": ("DOUBLE", [3e-4, 3e-3]),
}
"""What ``hpo`` searches, on the validation period."""

_TRIALS = 12
_ABLATION_SEEDS = (0, 1, 2)
_METRIC = "validation_rmse"


def study(
    mode: str, data: TrainingData, hparams: dict[str, Any], tracker: MlflowTracker, tell: Tell, shown: str
) -> Study:
    """Do what a mode does before training: search, leave out, or nothing.

    Parameters
    ----------
    mode : str
        One of :data:`MODES`.
    data : TrainingData
        Only its training and validation period are looked at.
    hparams : dict
        Hyperparameters that are not searched, and those to begin with.
    tracker : MlflowTracker
        Every trial becomes a nested run.
    tell : callable
        Called as ``tell(fraction, message)``.
    shown : str
        What figures call the cube.

    Returns
    -------
    Study
        What was found.
    """
    dataset = (data.train, data.validation)
    bench = Bench("drought", train_fn, build_model, dataset, _METRIC, tracker, tell, shown=shown)
    if mode == "hpo":
        return bench.search(hparams, SEARCH_SPACE, _TRIALS, es_min=4)
    if mode == "ablation":
        return bench.ablate(hparams, data.train.names, without_feature, _ABLATION_SEEDS)
    return Study(hparams)


def config(mode: str, data: TrainingData, hparams: dict[str, Any], seed: int, **options: Any) -> ObliviousConfig:
    """Return how to train one network in a mode."""
    common = {
        "model": build_model,
        "dataset": (data.train, data.validation),
        "hparams": hparams,
        "optimization_key": _METRIC,
        "seed": seed,
        "name": f"drought seed {seed}",
        **options,
    }
    return DistributedConfig("mirrored", **common) if mode == "data-parallel" else SingleRunConfig(**common)


def without_feature(dataset: tuple[Samples, Samples], feature: str) -> tuple[Samples, Samples]:
    """Return the periods with one input held at its mean over the training rows.

    Parameters
    ----------
    dataset : tuple of Samples
        Training and validation period.
    feature : str
        One of the inputs' names.
    """
    column = dataset[0].names.index(feature)
    mean = np.nanmean(dataset[0].inputs[:, column])

    def hold(samples: Samples) -> Samples:
        inputs = samples.inputs.copy()
        inputs[:, column] = mean
        return replace(samples, inputs=inputs)

    train, validation = dataset
    return hold(train), hold(validation)
