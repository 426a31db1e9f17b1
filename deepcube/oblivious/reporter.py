"""How a training function tells the experiment how far it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from maggy.core.exceptions import BroadcastStepTypeError, BroadcastStepValueError, EarlyStopException

from deepcube.oblivious.calling import finite


@dataclass(frozen=True)
class Step:
    """One report of a training function.

    Attributes
    ----------
    step : int
        Epoch, batch or any other measure of progress that never falls.
    metric : float
        Value of the metric that the experiment watches.
    metrics : dict of str to float
        Further values of the same step, for the record only.
    """

    step: int
    metric: float
    metrics: dict[str, float] = field(default_factory=dict)


Observer = Callable[[Step], bool]
"""Called with every step, in the thread of the training function; returns True to stop the training early."""


class Reporter:
    """Maggy's reporter, over direct calls: no heartbeat thread, no socket.

    Parameters
    ----------
    directory : pathlib.Path
        Folder of this run, in which the training function may leave files such as the trained model.
    observers : sequence of callable
        Who learns of each step: a progress display, a tracker, a driver that may stop the trial.
    rank : int
        Rank of this process among those that train the same model; only rank 0 prints.
    reduce : callable, optional
        Turns this rank's value of a metric into the mean over all ranks.
    checkpoints : Checkpoints, optional
        How the ranks save and restore their common state.

    Attributes
    ----------
    directory : pathlib.Path
        Folder of this run; made when it is first asked for.
    history : list of Step
        All steps so far.
    """

    def __init__(
        self,
        directory: Path,
        observers: Sequence[Observer] = (),
        rank: int = 0,
        reduce: Callable[[float], float] | None = None,
        checkpoints: Any = None,
    ) -> None:
        self._directory = directory
        self._exists = False
        self.history: list[Step] = []
        self.rank = rank
        self._observers = tuple(observers)
        self._reduce = reduce or (lambda value: value)
        self._checkpoints = checkpoints

    @property
    def directory(self) -> Path:
        """Folder of this run, which exists."""
        if not self._exists:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._exists = True
        return self._directory

    @property
    def metric(self) -> float | None:
        """Latest value reported, None before the first."""
        return self.history[-1].metric if self.history else None

    @property
    def step(self) -> int:
        """Latest step reported, -1 before the first."""
        return self.history[-1].step if self.history else -1

    def broadcast(self, metric: float, step: int | None = None, metrics: Mapping[str, float] | None = None) -> None:
        """Report the metric of one step.

        Parameters
        ----------
        metric : float
            Value of the metric that the experiment watches.
        step : int, optional
            Epoch or batch; one more than the last by default.
        metrics : mapping of str to float, optional
            Further values of this step, for the record and the tracker. An addition to Maggy's signature.

        Raises
        ------
        TrainResultError
            If a value is not a finite number.
        maggy.core.exceptions.BroadcastStepTypeError, maggy.core.exceptions.BroadcastStepValueError
            If the step is not an integer, or lower than the last.
        maggy.core.exceptions.EarlyStopException
            If the experiment wants the training to end here. The driver catches it; training functions let it pass.
        """
        number = self.step + 1 if step is None else step
        if isinstance(number, bool) or not np.issubdtype(type(number), np.integer):
            raise BroadcastStepTypeError(metric, step)
        if number < self.step:
            raise BroadcastStepValueError(metric, step, self.step)
        values = {name: finite(value, f"broadcast as {name!r}") for name, value in (metrics or {}).items()}
        value = finite(metric, f"broadcast at step {int(number)}")
        report = Step(int(number), self._reduce(value), {name: self._reduce(one) for name, one in values.items()})
        if self.take(report):
            raise EarlyStopException(report.metric)

    def take(self, step: Step) -> bool:
        """Keep a step, tell the observers, and return whether one of them wants the training to end."""
        self.history.append(step)
        stops = [observer(step) for observer in self._observers]  # every observer hears of it
        return any(stops)

    def save(self, step: int, **objects: Any) -> None:
        """Keep the state of a training, so that it can go on after a failure; call it in every rank.

        Parameters
        ----------
        step : int
            The step, for example the epoch, that has just ended.
        objects
            By name: Keras models, or torch modules and optimizers.

        Raises
        ------
        CheckpointError
            If an object has no state that can be kept.
        """
        self._keeper().save(step, objects)

    def restore(self, **objects: Any) -> int:
        """Bring back the state that :meth:`save` kept last, into objects of the same names; call it in every rank.

        Returns
        -------
        int
            The step to go on with: the one after the kept one, or 0 if nothing was kept.
        """
        return int(self._keeper().restore(objects))

    def _keeper(self) -> Any:
        if self._checkpoints is None:
            from deepcube.oblivious.checkpoints import Checkpoints

            self._checkpoints = Checkpoints(self.directory, self.rank)
        return self._checkpoints

    def log(self, log_msg: str, jupyter: bool = False) -> None:
        """Print a line and append it to ``log.txt`` in the run's folder.

        Parameters
        ----------
        log_msg : str
            The line.
        jupyter : bool
            Accepted for Maggy's signature; lines always appear where the experiment runs.
        """
        with (self.directory / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"{log_msg}\n")
        if self.rank == 0:
            print(log_msg, flush=True)
