"""The options that all experiments of many trials have, and the rules that stop trials early."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from maggy.earlystop import MedianStoppingRule
from maggy.earlystop.abstractearlystop import AbstractEarlyStop
from maggy.trial import Trial

from deepcube.oblivious.driver import ObliviousConfig
from deepcube.oblivious.errors import ExperimentConfigError
from deepcube.oblivious.journal import JOURNAL_FILE, read_journal
from deepcube.oblivious.launchers import Launcher, LocalLauncher
from deepcube.oblivious.options import at_least, shared_processors
from deepcube.oblivious.strategies import Strategy

Direction = Literal["min", "max"]

Rule = Callable[[Trial, Sequence[Trial], str], Any]
"""Maggy's early-stop check: returns the trial's id if it should stop."""


class TrialsConfig(ObliviousConfig):
    """What all experiments of many trials have in common.

    Parameters
    ----------
    model, dataset, hparams
        As in :class:`~deepcube.oblivious.ObliviousConfig`.
    direction : {"max", "min"}
        Whether a larger or a smaller metric is better (Maggy's default is the larger).
    workers : int
        Number of processes.
    trial_timeout : float
        Seconds without a report after which a trial counts as hung.
    retries : int
        How often a trial whose process died or hung is run again.
    synchronous : bool
        Run in batches that wait for their slowest trial, as bulk-synchronous engines do; to compare with.
    launcher : Launcher, optional
        What starts the workers; local processes by default.
    environment : mapping of str to str, optional
        Environment variables of the workers, over the defaults, which share the processors evenly.
    interface : str
        Address to listen on; loopback by default.
    resume : pathlib.Path or str, optional
        Folder of an interrupted experiment to continue.
    show_progress, figures : bool
        Show progress with the best so far in a terminal; draw figures at the end.
    options
        Those of :class:`~deepcube.oblivious.ObliviousConfig`.

    Raises
    ------
    ExperimentConfigError
        If an option cannot be.
    RecordError
        If there is nothing to continue in the folder.
    """

    es_interval = 1
    es_min = 0
    stops_early: Rule | None = None

    def __init__(
        self,
        model: Any = None,
        dataset: Any = None,
        hparams: Mapping[str, Any] | None = None,
        *,
        direction: Direction = "max",
        workers: int = 2,
        trial_timeout: float = 3600.0,
        retries: int = 1,
        synchronous: bool = False,
        launcher: Launcher | None = None,
        environment: Mapping[str, str] | None = None,
        interface: str = "127.0.0.1",
        resume: Path | str | None = None,
        show_progress: bool = True,
        figures: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(model, dataset, hparams, **options)
        at_least(1, workers=workers)
        at_least(0, retries=retries)
        if str(direction).lower() not in ("min", "max"):
            raise ExperimentConfigError(f"Found direction={direction!r}; expected 'min' or 'max'.")
        self.direction: Direction = "min" if str(direction).lower() == "min" else "max"
        if not trial_timeout > 0:
            raise ExperimentConfigError(f"Found trial_timeout={trial_timeout}; expected seconds, more than 0.")
        self.workers, self.trial_timeout, self.retries = workers, float(trial_timeout), retries
        self.synchronous, self.launcher = synchronous, launcher or LocalLauncher()
        self.environment = {**shared_processors(workers), **(environment or {})}
        self.interface, self.resume = interface, resume
        self.show_progress, self.figures = show_progress, figures
        if resume:
            read_journal(Path(resume) / JOURNAL_FILE)

    def order(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a worker is told of a trial: ``hparams``, ``seed`` and, for an ablation, ``without``."""
        return {"hparams": {**self.hparams, **params}, "seed": self.seed}

    def parts(self) -> dict[str, Any]:
        """Return what every worker is sent."""
        return {
            "model": self.model,
            "dataset": self.dataset,
            "strategy": Strategy(),
            "metric": self.optimization_key,
        }

    def identity(self) -> dict[str, Any]:
        """Return what must be the same for an experiment to be continued; JSON-able."""
        return {
            "direction": self.direction,
            "seed": self.seed,
            "metric": self.optimization_key,
            "hparams": {name: value for name, value in self.hparams.items() if isinstance(value, str | int | float)},
        }


def early_stop_rule(policy: str | AbstractEarlyStop) -> Rule | None:
    """Return the early-stop check of a policy; None for ``"none"``.

    Raises
    ------
    ExperimentConfigError
        If it is neither ``"median"``, ``"none"`` nor a rule of Maggy's kind.
    """
    known: Mapping[str, Rule | None] = {"median": MedianStoppingRule.earlystop_check, "none": None}
    if isinstance(policy, str) and policy.lower() in known:
        return known[policy.lower()]
    if isinstance(policy, AbstractEarlyStop):
        rule: Rule = policy.earlystop_check
        return rule
    raise ExperimentConfigError(
        f"Found es_policy={policy!r}; expected 'median', 'none' or one of Maggy's AbstractEarlyStop."
    )
