"""Ways to train the wildfire models; the training function is the same in all of them.

``single`` tries one model of every family that fits the inputs, on the validation cases, and trains the best family
with all seeds. ``hpo`` searches family and hyperparameters together. ``ablation`` also tells what each group of
variables is worth to the chosen family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from maggy import Searchspace
from maggy.experiment import experiment

from deepcube.oblivious import AblationConfig, MlflowTracker, SearchConfig, SingleRunConfig, Step
from features.wildfire import Layout, group_of
from features.wildfire.layout import GROUPS
from training_pipelines.wildfire.data import Floats, Samples, TrainingData, TrainingDataError
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

SEARCH_SPACE: dict[str, tuple[str, list[Any]]] = {
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

Tell = Callable[[float, str], None]


@dataclass(frozen=True)
class Study:
    """What was chosen before the models to register were trained.

    Attributes
    ----------
    hparams : dict
        Hyperparameters to train with, the family among them.
    summary : dict
        JSON-able: how it was chosen, and what else the mode found.
    figures : list of pathlib.Path
        Pictures of the study.
    """

    hparams: dict[str, Any]
    summary: dict[str, Any]
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

    Returns
    -------
    Study
        What was found.
    """
    if mode == "hpo":
        return _search(data, hparams, tracker, tell)
    chosen = _compare(data, hparams, tracker, tell)
    return _ablate(data, chosen, tracker, tell) if mode == "ablation" else chosen


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
    return Study({**hparams, "family": best}, {"chosen_by": "validation loss", "validation_loss": losses, "best": best})


def _options(data: TrainingData, hparams: dict[str, Any], tracker: MlflowTracker, show: Any) -> dict[str, Any]:
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
    def show(step: Step) -> bool:
        tell(0.1 + 0.3 * min(1, (step.step + 1) / _TRIALS), f"{step.step + 1} of {_TRIALS} trials: {step.metric:.4f}")
        return False

    space = {"family": ("CATEGORICAL", families(Layout(data.names))), **SEARCH_SPACE}
    result = experiment.lagom(
        train_fn,
        SearchConfig(
            Searchspace(**space),
            _TRIALS,
            "tpe",
            name="wildfire search",
            es_min=_TRIALS,  # families report at different paces, so none is stopped for being slower
            **_options(data, hparams, tracker, show),
        ),
    )
    found = result["result"]
    chosen = {name: found["best_config"][name] for name in space}
    summary = {
        "chosen_by": "validation loss",
        "search_space": {name: list(values) for name, values in space.items()},
        "optimizer": found["optimizer"],
        "trials": found["num_trials"],
        "failed": len(found["failed"]),
        "best": chosen,
        "best_validation_loss": found["best_val"],
        "seed": result["seed"],
    }
    return Study({**hparams, **chosen}, summary, sorted(Path(result["directory"]).glob("*.png")))


def _ablate(data: TrainingData, chosen: Study, tracker: MlflowTracker, tell: Tell) -> Study:
    groups = [group for group in GROUPS if any(group_of(name) == group for name in data.names)]
    total = (len(groups) + 1) * len(_ABLATION_SEEDS)

    def show(step: Step) -> bool:
        tell(0.4 + 0.2 * min(1, (step.step + 1) / total), f"{step.step + 1} of {total} runs")
        return False

    result = experiment.lagom(
        train_fn,
        AblationConfig(
            groups,
            leave_out_feature=partial(without_group, data.means),
            seeds=_ABLATION_SEEDS,
            name="wildfire ablation",
            **_options(data, chosen.hparams, tracker, show),
        ),
    )
    found = result["result"]
    ablation = {"ranking": found["ranking"], "components": found["components"], "seeds": list(_ABLATION_SEEDS)}
    figures = sorted(Path(result["directory"]).glob("*.png"))
    return Study(chosen.hparams, {**chosen.summary, "ablation": ablation}, figures)
