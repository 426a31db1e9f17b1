"""Ways to train the drought model; the training function is the same in all of them.

``single`` trains one network per seed in this process. ``hpo`` first searches hyperparameters on the validation period.
``ablation`` also tells what each input is worth there. ``data-parallel`` trains each network on two workers.
``minicube`` also trains forecasts of months ahead, as distributions, on blocks of space and time: see
:mod:`training_pipelines.drought.outlook`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from maggy import Searchspace
from maggy.experiment import experiment

from deepcube.oblivious import (
    AblationConfig,
    DistributedConfig,
    MlflowTracker,
    ObliviousConfig,
    SearchConfig,
    SingleRunConfig,
    Step,
)
from training_pipelines.drought.data import Samples, TrainingData, TrainingDataError
from training_pipelines.drought.model import build_model, train_fn

MODES = ("single", "hpo", "ablation", "data-parallel", "minicube")
"""Names of the modes."""

SEARCH_SPACE: dict[str, tuple[str, list[Any]]] = {
    "units": ("DISCRETE", [8, 16, 32]),
    "l2": ("DOUBLE", [0.01, 0.3]),
    "learning_rate": ("DOUBLE", [3e-4, 3e-3]),
}
"""What ``hpo`` searches, on the validation period."""

_TRIALS = 12
_ABLATION_SEEDS = (0, 1, 2)
_METRIC = "validation_rmse"

Tell = Callable[[float, str], None]


@dataclass(frozen=True)
class Study:
    """What a mode found before the networks to register were trained.

    Attributes
    ----------
    hparams : dict
        Hyperparameters to train with.
    summary : dict
        JSON-able; empty for modes that study nothing.
    figures : list of pathlib.Path
        Pictures of the study.
    """

    hparams: dict[str, Any]
    summary: dict[str, Any] = field(default_factory=dict)
    figures: list[Path] = field(default_factory=list)


def check_mode(mode: str) -> None:
    """Check that there is a mode of that name.

    Raises
    ------
    TrainingDataError
        If there is none.
    """
    if mode not in MODES:
        raise TrainingDataError(f"Found mode {mode!r}; expected one of {', '.join(MODES)}.")


def study(mode: str, data: TrainingData, hparams: dict[str, Any], tracker: MlflowTracker, tell: Tell) -> Study:
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

    Returns
    -------
    Study
        What was found.
    """
    if mode == "hpo":
        return _search(data, hparams, tracker, tell)
    if mode == "ablation":
        return _ablate(data, hparams, tracker, tell)
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


def _options(
    data: TrainingData, hparams: dict[str, Any], tracker: MlflowTracker, tell: Tell, total: int
) -> dict[str, Any]:
    def show(step: Step) -> bool:
        tell(0.1 + 0.3 * (step.step + 1) / total, f"{step.step + 1} of {total} trials: RMSE {step.metric:.4f} at best")
        return False

    return {
        "model": build_model,
        "dataset": (data.train, data.validation),
        "hparams": hparams,
        "optimization_key": _METRIC,
        "direction": "min",
        "tracker": tracker,
        "observers": [show],
        "show_progress": False,
    }


def _search(data: TrainingData, hparams: dict[str, Any], tracker: MlflowTracker, tell: Tell) -> Study:
    options = _options(data, hparams, tracker, tell, _TRIALS)
    result = experiment.lagom(
        train_fn,
        SearchConfig(Searchspace(**SEARCH_SPACE), _TRIALS, "tpe", name="drought search", es_min=4, **options),
    )
    found = result["result"]
    chosen = {name: found["best_config"][name] for name in SEARCH_SPACE}
    summary = {
        "search_space": {name: list(values) for name, values in SEARCH_SPACE.items()},
        "optimizer": found["optimizer"],
        "trials": found["num_trials"],
        "early_stopped": found["early_stopped"],
        "failed": len(found["failed"]),
        "best": chosen,
        "best_validation_rmse": found["best_val"],
        "seed": result["seed"],
    }
    folder = Path(result["directory"])
    return Study({**hparams, **chosen}, summary, sorted(folder.glob("*.png")))


def _ablate(data: TrainingData, hparams: dict[str, Any], tracker: MlflowTracker, tell: Tell) -> Study:
    total = (len(data.train.names) + 1) * len(_ABLATION_SEEDS)
    options = _options(data, hparams, tracker, tell, total)
    result = experiment.lagom(
        train_fn,
        AblationConfig(
            data.train.names,
            leave_out_feature=without_feature,
            seeds=_ABLATION_SEEDS,
            name="drought ablation",
            **options,
        ),
    )
    found = result["result"]
    summary = {"ranking": found["ranking"], "components": found["components"], "seeds": list(_ABLATION_SEEDS)}
    return Study(hparams, summary, sorted(Path(result["directory"]).glob("*.png")))
