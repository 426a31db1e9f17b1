"""What every use case's modes have in common: a search and an ablation before the models to register are trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maggy import Searchspace
from maggy.experiment import experiment

from deepcube.oblivious import AblationConfig, MlflowTracker, SearchConfig, Step

Tell = Callable[[float, str], None]
"""Told how much is done, from 0 to 1, and what is being done."""

Space = dict[str, tuple[str, list[Any]]]
"""Maggy's type and range of every hyperparameter that is searched."""


class TrainingDataError(ValueError):
    """The feature store lacks what training needs, or training was asked for in a way there is not."""


@dataclass(frozen=True)
class Study:
    """What a mode found before the models to register were trained.

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


@dataclass(frozen=True)
class Bench:
    """What a use case's studies train, on what, and how it is judged.

    Attributes
    ----------
    use_case : str
        Names the experiments.
    train_fn : callable
        The oblivious training function.
    build_model : callable
        As ``model`` of the configurations.
    dataset : object
        Training and validation part; no study sees the test part.
    metric : str
        What ``train_fn`` returns and a study makes small.
    tracker : MlflowTracker
        Every trial becomes a nested run.
    tell : callable
        Told after every trial, within the share of the work that ``share`` names.
    share : (float, float)
        Where the study begins and ends, from 0 to 1.
    shown : str
        What figures and runs call the dataset; says so where it is simulated.
    """

    use_case: str
    train_fn: Callable[..., Any]
    build_model: Callable[..., Any]
    dataset: Any
    metric: str
    tracker: MlflowTracker
    tell: Tell
    share: tuple[float, float] = (0.1, 0.4)
    shown: str = ""

    def search(self, hparams: dict[str, Any], space: Space, trials: int, *, es_min: int) -> Study:
        """Search hyperparameters with the tree-structured Parzen estimator.

        Parameters
        ----------
        hparams : dict
            Those that are not searched, and those to begin with.
        space : dict
            What is searched.
        trials : int
            How many configurations are tried.
        es_min : int
            Finished trials before slow ones are stopped; as many as ``trials``: none is.

        Returns
        -------
        Study
            The best configuration.
        """
        config = SearchConfig(
            Searchspace(**space),
            trials,
            "tpe",
            name=self._name("search"),
            es_min=es_min,
            **self._common(hparams, trials),
        )
        result = experiment.lagom(self.train_fn, config)
        found = result["result"]
        chosen = {name: found["best_config"][name] for name in space}
        summary = {
            "search_space": {name: list(values) for name, values in space.items()},
            "optimizer": found["optimizer"],
            "trials": found["num_trials"],
            "early_stopped": found["early_stopped"],
            "failed": len(found["failed"]),
            "best": chosen,
            f"best_{self.metric}": found["best_val"],
            "seed": result["seed"],
        }
        return Study({**hparams, **chosen}, summary, _figures(result))

    def ablate(
        self, hparams: dict[str, Any], components: Sequence[str], without: Callable[..., Any], seeds: Sequence[int]
    ) -> Study:
        """Train without one component at a time.

        Parameters
        ----------
        hparams : dict
            Hyperparameters of every run.
        components : sequence of str
            What is left out in turn.
        without : callable
            Called as ``without(dataset, component)``; returns the dataset with the component made uninformative.
        seeds : sequence of int
            Of the repeats of every run.

        Returns
        -------
        Study
            The components from the most to the least missed, with confidence intervals.
        """
        runs = (len(components) + 1) * len(seeds)
        config = AblationConfig(
            list(components),
            leave_out_feature=without,
            seeds=tuple(seeds),
            name=self._name("ablation"),
            **self._common(hparams, runs),
        )
        result = experiment.lagom(self.train_fn, config)
        found = result["result"]
        summary = {"ranking": found["ranking"], "components": found["components"], "seeds": list(seeds)}
        return Study(hparams, summary, _figures(result))

    def _name(self, study: str) -> str:
        return f"{self.use_case} {study}" + (f", {self.shown}" if self.shown else "")

    def _common(self, hparams: dict[str, Any], runs: int) -> dict[str, Any]:
        begin, end = self.share

        def show(step: Step) -> bool:
            done = min(1.0, (step.step + 1) / runs)
            self.tell(begin + (end - begin) * done, f"{step.step + 1} of {runs} trials: {step.metric:.4f} at best")
            return False

        return {
            "model": self.build_model,
            "dataset": self.dataset,
            "hparams": hparams,
            "optimization_key": self.metric,
            "direction": "min",
            "tracker": self.tracker,
            "observers": [show],
            "show_progress": False,
        }


def check_mode(mode: str, modes: Sequence[str]) -> None:
    """Check that there is a mode of that name.

    Parameters
    ----------
    mode : str
        What was asked for.
    modes : sequence of str
        Those of the use case.

    Raises
    ------
    TrainingDataError
        If there is none.
    """
    if mode not in modes:
        raise TrainingDataError(f"Found mode {mode!r}; expected one of {', '.join(modes)}.")


def _figures(result: dict[str, Any]) -> list[Path]:
    return sorted(Path(result["directory"]).glob("*.png"))
