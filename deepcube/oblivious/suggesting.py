"""Which trial comes next: one of Maggy's optimizers, counted, repeatable and safe against failures."""

import math
from collections.abc import Callable
from typing import Any

from maggy import Searchspace
from maggy.optimizer.abstractoptimizer import AbstractOptimizer
from maggy.optimizer.asha import Asha as MaggyAsha
from maggy.optimizer.bayes.base import BaseAsyncBO
from maggy.optimizer.bayes.tpe import TPE as MaggyTPE  # noqa: N811
from maggy.optimizer.gridsearch import GridSearch as MaggyGridSearch
from maggy.optimizer.randomsearch import RandomSearch as MaggyRandomSearch
from maggy.trial import Trial

from deepcube.oblivious.errors import ExperimentConfigError
from deepcube.oblivious.optimizers import TPE, Asha, GridSearch, RandomSearch, gaussian_process, own_randomness

_HYPERBAND = {"min_budget": 1, "max_budget": 9, "eta": 3, "n_iterations": 3}
_DRAWS = 100

OPTIMIZERS: dict[str, Callable[[], AbstractOptimizer]] = {
    "random": RandomSearch,
    "grid": GridSearch,
    "asha": Asha,
    "tpe": TPE,
    "gp": gaussian_process,
    "hyperband": lambda: RandomSearch(pruner="hyperband", pruner_kwargs=dict(_HYPERBAND)),
    "bohb": lambda: TPE(pruner="hyperband", pruner_kwargs=dict(_HYPERBAND)),
}
"""Optimizers by name; ``bohb`` is Hyperband that samples by TPE."""

_ALIASES = {"randomsearch": "random", "gridsearch": "grid"}
_CORRECTED = {MaggyRandomSearch: RandomSearch, MaggyGridSearch: GridSearch, MaggyAsha: Asha, MaggyTPE: TPE}


def make_optimizer(optimizer: str | AbstractOptimizer) -> Any:
    """Return an optimizer by its name; one of Maggy's own gets the corrected methods.

    Parameters
    ----------
    optimizer : str or maggy.optimizer.abstractoptimizer.AbstractOptimizer
        A key of :data:`OPTIMIZERS`, Maggy's name for it, or an optimizer.

    Raises
    ------
    ExperimentConfigError
        If there is none of that name, or it is something else.
    """
    if isinstance(optimizer, AbstractOptimizer):
        if type(optimizer) in _CORRECTED:
            corrected: Any = object.__new__(_CORRECTED[type(optimizer)])
            vars(corrected).update(vars(optimizer))
            optimizer = corrected
        if optimizer.pruner:
            optimizer.failed_store = {}
            for asker in (optimizer.pruner, *optimizer.pruner.iterations):
                asker.trial_metric_getter = optimizer.get_metrics_dict
                asker._log = lambda msg: None
            optimizer.pruner._close_log = lambda: None
        return optimizer
    name = str(optimizer).lower()
    make = OPTIMIZERS.get(_ALIASES.get(name, name))
    if make is None:
        raise ExperimentConfigError(
            f"Found optimizer={optimizer!r}; expected one of {', '.join(OPTIMIZERS)}, or an optimizer of Maggy's."
        )
    return make_optimizer(make())


def check_space(searchspace: Any) -> Searchspace:
    """Return the search space if it has a dimension.

    Raises
    ------
    ExperimentConfigError
        If it is no ``maggy.Searchspace``, or an empty one.
    """
    if not isinstance(searchspace, Searchspace):
        raise ExperimentConfigError(
            f"Found a search space of type {type(searchspace).__name__}; expected "
            'maggy.Searchspace(lr=("DOUBLE", [1e-4, 1e-2]), units=("DISCRETE", [16, 32])).'
        )
    if not searchspace.names():
        raise ExperimentConfigError("Found an empty search space; expected at least one hyperparameter to search over.")
    return searchspace


class Suggester:
    """Asks an optimizer for trials and tells it what became of them.

    Two suggesters made of the same arguments that are told the same events in the same order suggest the same trials,
    which is how an interrupted search is continued.

    Parameters
    ----------
    optimizer : str or AbstractOptimizer
        What decides.
    searchspace : maggy.Searchspace
        What is searched.
    num_trials : int
        How many trials to run. Grid search runs at most its grid; Hyperband what its brackets ask for; ASHA ends with
        the first configuration that has reached the largest budget.
    direction : str
        ``"min"`` or ``"max"``.
    seed : int
        Seed of the optimizer's random draws.

    Raises
    ------
    ExperimentConfigError
        If the optimizer cannot search that space with that many trials.
    """

    def __init__(self, optimizer: Any, searchspace: Searchspace, num_trials: int, direction: str, seed: int) -> None:
        self.optimizer = make_optimizer(optimizer)
        self.running: dict[str, Trial] = {}
        self.finished: list[Trial] = []
        self.failed: list[Trial] = []
        self._seen: set[str] = set()
        self._last: Trial | None = None
        self._randomness: dict[str, Any] = {"seed": seed}
        self.limit = self._limit(searchspace, num_trials)
        self._initialize(searchspace, direction)

    @property
    def name(self) -> str:
        """Name of the optimizer."""
        kind = self.optimizer.name().lower()
        return f"{kind}+hyperband" if self.optimizer.pruner else kind

    @property
    def started(self) -> int:
        """Number of different trials suggested so far."""
        return len(self._seen)

    def next(self) -> Trial | None:
        """Return a trial to run; None if there is none now, or, with nothing running, none any more."""
        if self.started >= self.limit:
            return None
        # Random and grid search drew everything at the start: they need no generator, nor the time to swap it.
        if not self.adaptive:
            return self._ask()
        with own_randomness(self._randomness):
            return self._ask()

    @property
    def adaptive(self) -> bool:
        """Whether what is suggested depends on what the earlier trials found."""
        return not isinstance(self.optimizer, RandomSearch | GridSearch) or bool(self.optimizer.pruner)

    def finish(self, trial: Trial, metric: float) -> None:
        """Take the final metric of a trial."""
        trial.status, trial.final_metric = Trial.FINALIZED, metric
        self.running.pop(trial.trial_id)
        self.finished.append(trial)
        self._last = trial

    def fail(self, trial: Trial) -> None:
        """Learn that a trial will never have a metric."""
        trial.status, trial.final_metric = Trial.ERROR, math.nan
        self.running.pop(trial.trial_id)
        self.failed.append(trial)
        if self.optimizer.pruner:
            self.optimizer.failed_store[trial.trial_id] = trial
        self._last = trial

    def _ask(self) -> Trial | None:
        for _ in range(_DRAWS):
            trial = self.optimizer.get_suggestion(self._last)
            if not isinstance(trial, Trial):
                return None
            if trial.trial_id not in self._seen:
                self._seen.add(trial.trial_id)
                trial.status = Trial.RUNNING
                self.running[trial.trial_id] = trial
                return trial
            if self.optimizer.pruner:
                return None
        return None

    def _limit(self, searchspace: Searchspace, num_trials: int) -> int:
        if self.optimizer.pruner:
            return int(self.optimizer.pruner.num_trials())
        if isinstance(self.optimizer, GridSearch):
            try:
                return min(num_trials, GridSearch.get_num_trials(searchspace))
            except NotImplementedError as error:
                raise ExperimentConfigError(
                    "Found a grid search over a DOUBLE or INTEGER hyperparameter; expected only DISCRETE and "
                    "CATEGORICAL ones. List the values to try, or use optimizer='random'."
                ) from error
        if isinstance(self.optimizer, Asha):
            o = self.optimizer
            rungs = int(math.log(o.resource_max / o.resource_min, o.reduction_factor))
            if num_trials < (least := o.reduction_factor ** (rungs + 1)):
                raise ExperimentConfigError(f"Found num_trials={num_trials} for ASHA; expected at least {least}.")
        return num_trials

    def _initialize(self, searchspace: Searchspace, direction: str) -> None:
        o = self.optimizer
        o.num_trials, o.searchspace, o.direction = self.limit, searchspace, direction
        o.trial_store, o.final_store = self.running, self.finished
        if isinstance(o, BaseAsyncBO) and Searchspace.DISCRETE in searchspace.names().values():
            # Ordered choices are categories to the model; Maggy refuses them.
            choices = {name: (kind, values) for name, (kind, values) in searchspace.to_dict().items()}
            o.searchspace = quiet_space(
                {
                    name: ("CATEGORICAL" if kind == Searchspace.DISCRETE else kind, values)
                    for name, (kind, values) in choices.items()
                }
            )
        try:
            with own_randomness(self._randomness):
                o.initialize()
        except ValueError as error:
            raise ExperimentConfigError(f"{self.name} cannot search this space: {error}.") from error


def quiet_space(dimensions: dict[str, tuple[str, list[Any]]]) -> Searchspace:
    """Return a search space; Maggy prints a line for every dimension."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()):
        return Searchspace(**dimensions)
