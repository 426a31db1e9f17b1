"""Hyperparameter search: many trials of one training function, asynchronously, in worker processes.

A worker that has finished a trial is given the next one at once; no trial waits for another. Every event is in the
journal before it is acted upon (:mod:`deepcube.oblivious.journal`), so a search that was interrupted continues with
``resume``: finished trials are not run again, those that were running are run again, and the optimizer goes on as if
nothing had happened.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from maggy import Searchspace
from maggy.earlystop.abstractearlystop import AbstractEarlyStop
from maggy.optimizer.abstractoptimizer import AbstractOptimizer

from deepcube.oblivious.calling import TrainFn, TrainResult
from deepcube.oblivious.crew import Crew
from deepcube.oblivious.driver import Driver, drives
from deepcube.oblivious.errors import RecordError, WorkerError
from deepcube.oblivious.journal import JOURNAL_FILE, Journal, read_journal
from deepcube.oblivious.options import at_least
from deepcube.oblivious.outcome import Outcome, TrialObserver
from deepcube.oblivious.progress import SearchProgress
from deepcube.oblivious.record import RunRecord
from deepcube.oblivious.reporter import Step
from deepcube.oblivious.suggesting import Suggester, check_space
from deepcube.oblivious.trials import Suggests, TrialRunner
from deepcube.oblivious.trials_config import TrialsConfig, early_stop_rule


class SearchConfig(TrialsConfig):
    """A search for the best hyperparameters.

    Parameters
    ----------
    searchspace : maggy.Searchspace
        What is searched.
    num_trials : int
        How many trials; see :class:`~deepcube.oblivious.suggesting.Suggester` for grid, ASHA and Hyperband.
    optimizer : str or maggy.optimizer.abstractoptimizer.AbstractOptimizer
        ``"random"``, ``"grid"``, ``"asha"``, ``"tpe"``, ``"gp"``, ``"hyperband"``, ``"bohb"``, or one of Maggy's.
    model, dataset, hparams
        As in :class:`~deepcube.oblivious.ObliviousConfig`; sampled values are added to ``hparams``.
    es_policy : str or maggy.earlystop.abstractearlystop.AbstractEarlyStop
        ``"median"``, ``"none"`` or a rule of one's own: a trial whose best metric is worse than the median of the
        running means of finished trials at that step is stopped (Golovin et al., 2017, Google Vizier, 3.2.1).
    es_interval, es_min : int
        Every how many steps the rule is asked, and after how many finished trials.
    budget_key : str
        Hyperparameter that receives the budget of ASHA and Hyperband, for example ``"epochs"``.
    options
        Those of :class:`TrialsConfig`. Every trial has the same ``seed``.

    Raises
    ------
    ExperimentConfigError
        If an option cannot be, for example an empty search space or an unknown optimizer.
    """

    def __init__(
        self,
        searchspace: Searchspace,
        num_trials: int,
        optimizer: str | AbstractOptimizer = "random",
        model: Any = None,
        dataset: Any = None,
        hparams: Mapping[str, Any] | None = None,
        *,
        es_policy: str | AbstractEarlyStop = "median",
        es_interval: int = 1,
        es_min: int = 10,
        budget_key: str = "budget",
        **options: Any,
    ) -> None:
        super().__init__(model, dataset, hparams, **options)
        at_least(1, num_trials=num_trials, es_interval=es_interval)
        at_least(0, es_min=es_min)
        self.searchspace = check_space(searchspace)
        self.num_trials, self.optimizer, self.budget_key = num_trials, optimizer, budget_key
        self.stops_early = early_stop_rule(es_policy)
        self.es_interval, self.es_min = es_interval, es_min

    def order(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a worker is told of a trial, the budget under the name that the function knows."""
        named = {self.budget_key if name == "budget" else name: value for name, value in params.items()}
        return super().order(named)

    def identity(self) -> dict[str, Any]:
        """Return what must be the same for a search to be continued."""
        optimizer = self.optimizer if isinstance(self.optimizer, str) else self.optimizer.name()
        return {
            "searchspace": {name: list(value) for name, value in self.searchspace.to_dict().items()},
            "optimizer": optimizer,
            "num_trials": self.num_trials,
            **super().identity(),
        }


class TrialsDriver(Driver):
    """Runs many trials, whichever they are."""

    config: TrialsConfig

    @abstractmethod
    def suggester(self) -> Suggests:
        """Return what says which trial is next."""

    @abstractmethod
    def summarize(self, outcomes: Mapping[str, Outcome], folder: Path) -> TrainResult:
        """Return the result of the experiment, after all trials; at least one has finished."""

    def execute(self, train_fn: TrainFn, record: RunRecord) -> TrainResult:
        """Run all trials and return the result of the experiment."""
        config, folder = self.config, Path(record.directory)
        suggester = self.suggester()
        earlier = read_journal(folder / JOURNAL_FILE)[1:] if config.resume else []
        workers = min(config.workers, suggester.limit)
        with (
            Crew(
                config.launcher,
                workers,
                train_fn,
                config.parts(),
                folder,
                config.environment,
                config.interface,
                revive=True,
            ) as crew,
            Journal(folder / JOURNAL_FILE) as journal,
            SearchProgress(suggester.limit, config.direction, config.show_progress) as progress,
            ThreadPoolExecutor(max_workers=1) as background,
        ):
            if not config.resume:
                journal.append({"event": "experiment", **self._description(record)})
            runner = TrialRunner(config, suggester, crew, journal, folder)
            runner.observers = (progress, *self._watchers(record, background.submit))
            runner.replay(earlier)
            outcomes = runner.run(workers)
        failed = {o.trial_id: o.error for o in outcomes.values() if o.metric is None}
        if len(failed) == len(outcomes):
            first = next(iter(failed.values()), "no trial was suggested")
            raise WorkerError(f"Found no finished trial among {len(outcomes)}; the first failed with:\n{first}")
        result = self.summarize(outcomes, folder)
        more = {
            "failed": failed,
            "train_fn_sha256": sorted(runner.hashes),
            "trials": [vars(o) for o in outcomes.values()],
        }
        return TrainResult(result.metric, result.metrics, {**result.returned, **more})

    def _open_record(self, train_fn: TrainFn) -> RunRecord:
        """Open a record; to continue an experiment, in its own folder, if it is the same experiment."""
        record = super()._open_record(train_fn)
        if self.config.resume:
            Path(record.directory).rmdir()
            record.directory = str(Path(self.config.resume).resolve())
            earlier = read_journal(Path(record.directory) / JOURNAL_FILE)[0]
            for key, value in self._description(record).items():
                if earlier.get(key) != value:
                    raise RecordError(
                        f"Found {key} {earlier.get(key)!r} in the record of {record.directory} and {value!r} now; "
                        "expected the same experiment. Start a new one, without `resume`."
                    )
        return record

    def _description(self, record: RunRecord) -> dict[str, Any]:
        return {"train_fn_sha256": record.train_fn_sha256, **self.config.identity()}

    def _watchers(self, record: RunRecord, later: Callable[..., Any]) -> Sequence[TrialObserver]:
        """Return who learns of each trial: the record and observers of the best so far, and the slow tracker."""
        tracker = self.config.tracker

        def keep(outcome: Outcome, best: Outcome | None) -> None:
            if best is None or best.metric is None:
                return
            step = Step(len(record.history), best.metric, {} if outcome.metric is None else {"trial": outcome.metric})
            record.history.append(step)
            if tracker:
                later(tracker.log_step, step, record.metric_name)
            for observer in self.config.observers:
                observer(step)

        def track(outcome: Outcome, best: Outcome | None) -> None:
            if tracker:
                later(tracker.log_trial, f"{record.name} {outcome.trial_id}", outcome, record.metric_name)

        return keep, track


@drives(SearchConfig)
class SearchDriver(TrialsDriver):
    """Runs the trials of a search."""

    mode = "search"
    config: SearchConfig

    def suggester(self) -> Suggester:
        """Return the optimizer."""
        c = self.config
        self._suggester = Suggester(c.optimizer, c.searchspace, c.num_trials, c.direction, c.seed)
        return self._suggester

    def summarize(self, outcomes: Mapping[str, Outcome], folder: Path) -> TrainResult:
        """Return Maggy's summary of a search, and draw it."""
        finished = sorted(
            (o for o in outcomes.values() if o.metric is not None),
            key=lambda o: o.metric or 0.0,
            reverse=self.config.direction == "max",
        )
        if self.config.figures:
            self._draw(finished, folder)
        best, worst = finished[0], finished[-1]
        summary = {
            "best_id": best.trial_id,
            "best_val": best.metric,
            "best_config": best.hparams,
            "best_directory": best.directory,
            "worst_id": worst.trial_id,
            "worst_val": worst.metric,
            "worst_config": worst.hparams,
            "avg": sum(o.metric or 0.0 for o in finished) / len(finished),
            "num_trials": len(finished),
            "early_stopped": sum(o.stopped for o in finished),
            "optimizer": self._suggester.name,
        }
        return TrainResult(best.metric or 0.0, best.metrics, summary)

    def _draw(self, finished: Sequence[Outcome], folder: Path) -> None:
        from deepcube.oblivious.study_figures import parallel_coordinates, trial_curves

        name, metric, best_first = self.config.name, self.config.optimization_key, self.config.direction
        metrics = [o.metric or 0.0 for o in finished]
        parallel_coordinates(
            [o.hparams for o in finished],
            metrics,
            folder / "parallel_coordinates.png",
            title=f"{name}: {len(finished)} trials",
            metric=metric,
            best_first=best_first,
        )
        if any(o.history for o in finished):
            trial_curves(
                [o.history for o in finished],
                metrics,
                [o.stopped for o in finished],
                folder / "learning_curves.png",
                title=f"{name}: {len(finished)} trials",
                metric=metric,
                best_first=best_first,
            )
