"""One training spread over several processes: any strategy, on any launcher.

What is guaranteed, and tested: with the default options, a distributed run computes what a single process computes on
the same global batches with the same seed, up to the order of floating-point sums.

- **Batch size.** ``batch_size="global"`` (the default for all frameworks): the size that the training function writes
  is that of the batch over all ranks. ``"per_rank"``: each rank takes a batch of that size.
- **Split.** Rank ``r`` of ``n`` takes the ``r``-th of ``n`` contiguous parts of each global batch; the order of rows is
  the one that a single process would have drawn.
- **Averages.** Gradients are the mean over the global batch, also where the last batch cannot be split evenly (the loss
  must be a mean over rows). Every metric is the mean over ranks, and the same in all of them.
- **Evaluation.** Batches that torch reads without gradients (``torch.no_grad()``) are read whole by every rank, so that
  a metric is that of the whole validation data; ``evaluation="split"`` spreads them, and averages.
- **Seeds.** All ranks are seeded alike.
"""

import importlib.util
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from deepcube.oblivious.calling import TrainFn, TrainResult
from deepcube.oblivious.channel import Message
from deepcube.oblivious.crew import Crew
from deepcube.oblivious.driver import Driver, ObliviousConfig, drives
from deepcube.oblivious.errors import ExperimentConfigError, TrainResultError, WorkerError
from deepcube.oblivious.launchers import Launcher, LocalLauncher
from deepcube.oblivious.options import at_least, shared_processors
from deepcube.oblivious.record import RunRecord
from deepcube.oblivious.reporter import Step
from deepcube.oblivious.strategies import STRATEGIES, Strategy, make_strategy

_POLL_S = 0.2
_GRACE_S = 2.0

BatchSize = Literal["global", "per_rank"]
Evaluation = Literal["whole", "split"]


class DistributedConfig(ObliviousConfig):
    """One training over several ranks.

    Parameters
    ----------
    strategy : str or Strategy
        A name in :data:`~deepcube.oblivious.strategies.STRATEGIES`, or a strategy with options of its own.
    ranks : int
        Number of ranks; of virtual devices in one process for the strategies of JAX.
    model, dataset, hparams
        As in :class:`~deepcube.oblivious.ObliviousConfig`. The model must be a function that builds one.
    batch_size : {"global", "per_rank"}
        What the batch size in the training function counts.
    evaluation : {"whole", "split"}
        Whether every rank reads all evaluation data; see the module.
    restarts : int
        How often the job is started again after a rank died or failed. A training function that saves its state with
        ``reporter.save`` and begins with ``reporter.restore`` goes on where it was.
    launcher : Launcher, optional
        What starts the ranks; local processes by default.
    environment : mapping of str to str, optional
        Environment variables of the ranks, over the defaults, which share the processors evenly.
    interface : str
        Address to listen on; loopback by default.
    timeout : float
        Seconds without a report from any rank after which the job counts as hung.
    options
        Those of :class:`~deepcube.oblivious.ObliviousConfig`.

    Raises
    ------
    ExperimentConfigError
        If an option cannot be, the framework is not installed, or there are more ranks than rows.
    """

    def __init__(
        self,
        strategy: str | Strategy,
        ranks: int = 2,
        model: Any = None,
        dataset: Any = None,
        hparams: Mapping[str, Any] | None = None,
        *,
        batch_size: BatchSize = "global",
        evaluation: Evaluation = "whole",
        restarts: int = 0,
        launcher: Launcher | None = None,
        environment: Mapping[str, str] | None = None,
        interface: str = "127.0.0.1",
        timeout: float = 3600.0,
        **options: Any,
    ) -> None:
        super().__init__(model, dataset, hparams, **options)
        at_least(1, ranks=ranks)
        at_least(0, restarts=restarts)
        for name, value, allowed in (
            ("batch_size", batch_size, ("global", "per_rank")),
            ("evaluation", evaluation, ("whole", "split")),
        ):
            if value not in allowed:
                raise ExperimentConfigError(f"Found {name}={value!r}; expected one of {', '.join(allowed)}.")
        self.strategy = make_strategy(strategy)
        self.strategy.per_rank_batches = batch_size == "per_rank"
        self.strategy.split_evaluation = evaluation == "split"
        self.strategy.ranks = ranks
        _check_framework(self.strategy)
        _check_rows(dataset, ranks)
        _check_factory(model)
        self.ranks, self.restarts, self.timeout, self.interface = ranks, restarts, float(timeout), interface
        self.launcher = launcher or LocalLauncher()
        defaults = {**shared_processors(self.strategy.processes(ranks)), **self.strategy.environment(ranks)}
        self.environment = {**defaults, **(environment or {})}


@drives(DistributedConfig)
class DistributedDriver(Driver):
    """Starts the ranks, lets them meet, and listens to them."""

    mode = "distributed"
    config: DistributedConfig

    def execute(self, train_fn: TrainFn, record: RunRecord) -> TrainResult:
        """Run the training, again after a failure if that is wanted."""
        for attempt in range(self.config.restarts + 1):
            try:
                return self._run(train_fn, record, attempt)
            except WorkerError:
                if attempt == self.config.restarts:
                    raise
                record.history.clear()
        raise AssertionError("unreachable")

    def _run(self, train_fn: TrainFn, record: RunRecord, attempt: int) -> TrainResult:
        config = self.config
        count = config.strategy.processes(config.ranks)
        parts = {
            "model": config.model,
            "dataset": config.dataset,
            "strategy": config.strategy,
            "metric": config.optimization_key,
        }
        folder = Path(record.directory)
        with Crew(config.launcher, count, train_fn, parts, folder, config.environment, config.interface) as crew:
            job = _Job(config, crew, count, folder)
            job.reporter = self.reporter(record)
            results = job.run()
        first = results[0]
        if first["stopped"]:
            record.state = "EARLY_STOPPED"
        returned = {
            "metrics": first["metrics"],
            "strategy": config.strategy.name,
            "launcher": config.launcher.name,
            "attempts": attempt + 1,
            "ranks": [{"seconds": one["seconds"], **one["stats"]} for one in results],
            "train_fn_sha256": sorted(job.hashes),
        }
        return TrainResult(first["metric"], first["metrics"], returned)


class _Job:
    """One attempt: the ranks of one training."""

    reporter: Any

    def __init__(self, config: DistributedConfig, crew: Crew, count: int, folder: Path) -> None:
        self.config, self.crew, self.count, self.folder = config, crew, count, folder
        self.hashes: set[str] = set()
        self._addresses: dict[int, tuple[str, int]] = {}
        self._joined: set[int] = set()
        self._done: dict[int, Message] = {}
        self._decisions: list[bool] = []
        self._asked: dict[int, deque[int]] = {rank: deque() for rank in range(count)}
        self._steps = dict.fromkeys(range(count), 0)

    def run(self) -> list[Message]:
        """Return the final message of every rank, in order."""
        heard = time.monotonic()
        while len(self._done) < self.count:
            events = self.crew.events(_POLL_S)
            for position, (rank, message) in enumerate(events):
                if message["kind"] in ("dead", "error"):
                    self._fail(events[position:])
                self._take(rank, message)
            now = time.monotonic()
            if events:
                heard = now
            elif now - heard > self.config.timeout:
                waiting = sorted(set(range(self.count)) - self._done.keys())
                raise WorkerError(f"Ranks {waiting} gave no sign of life for {self.config.timeout:g} s and were ended.")
        for rank in range(self.count):
            self.crew.order(rank, {"kind": "stop"})
        self._part()
        return [self._done[rank] for rank in range(self.count)]

    def _take(self, rank: int, message: Message) -> None:
        kind = message["kind"]
        if kind == "ready":
            self._addresses[rank] = (message["host"], message["port"])
            self.hashes |= {message["sha256"]} - {None}
            if len(self._addresses) == self.count:
                self._to_all({"kind": "begin", "addresses": [self._addresses[r] for r in range(self.count)]})
        elif kind == "joined":
            self._joined.add(rank)
            if len(self._joined) == self.count:
                for each in range(self.count):
                    self.crew.order(each, self._order(each))
        elif kind == "step":
            self._step(rank, message)
        elif kind == "done":
            self._done[rank] = message

    def _order(self, rank: int) -> Message:
        own = self.folder if rank == 0 else self.folder / f"rank-{rank}"
        return {
            "kind": "trial",
            "id": "run",
            "hparams": self.config.hparams,
            "seed": self.config.seed,
            "directory": str(own),
            "common": str(self.folder),
            "wait": bool(self.config.observers),
        }

    def _step(self, rank: int, message: Message) -> None:
        """Tell observers of rank 0's step; every rank gets the same answer to the same step."""
        number = self._steps[rank]
        self._steps[rank] += 1
        if rank == 0:
            self._decisions.append(self.reporter.take(Step(message["step"], message["metric"], message["metrics"])))
        if not self.config.observers:
            return
        self._asked[rank].append(number)
        for each, asked in self._asked.items():
            while asked and asked[0] < len(self._decisions):
                self.crew.order(each, {"kind": "halt" if self._decisions[asked.popleft()] else "go"})

    def _to_all(self, message: Message) -> None:
        for rank in range(self.count):
            self.crew.order(rank, message)

    def _part(self) -> None:
        """Let the ranks leave each other in peace: one that is ended early makes the others complain."""
        deadline = time.monotonic() + _GRACE_S
        left: set[int] = set()
        while len(left) < self.count and time.monotonic() < deadline:
            left |= {rank for rank, message in self.crew.events(0.05) if message["kind"] == "dead"}

    def _fail(self, events: list[tuple[int, Message]]) -> None:
        """Raise for the rank that failed first; a dead one explains why others lost their connection to it."""
        bad = [(rank, message) for rank, message in events if message["kind"] in ("dead", "error")]
        deadline = time.monotonic() + _GRACE_S
        while (time.monotonic() < deadline or self.crew.puzzled) and not any(
            message["kind"] == "dead" for _, message in bad
        ):
            more = self.crew.events(0.1)
            bad += [(rank, message) for rank, message in more if message["kind"] in ("dead", "error")]
            if len({rank for rank, _ in bad}) == self.count:
                break
        dead = [(rank, message["reason"]) for rank, message in bad if message["kind"] == "dead"]
        if dead:
            raise WorkerError(f"Rank {dead[0][0]} of {self.count} {dead[0][1]}")
        rank, message = bad[0]
        if message["fatal"]:
            raise TrainResultError(f"{message['message']}\nIn rank {rank}:\n{message['traceback']}")
        raise WorkerError(f"Rank {rank} of {self.count} failed with {message['type']}:\n{message['traceback']}")


def _check_framework(strategy: Strategy) -> None:
    package = {"tensorflow": "tensorflow", "torch": "torch", "jax": "jax"}.get(strategy.framework)
    if package and importlib.util.find_spec(package) is None:
        raise ExperimentConfigError(
            f"Found no {package}, which strategy {strategy.name!r} needs; install it (`pip install {package}`)."
        )


def _check_factory(model: Any) -> None:
    """Check that the model is made on demand: each rank must build its own."""
    built = not isinstance(model, type) and hasattr(model, "get_weights" if hasattr(model, "fit") else "state_dict")
    if model is not None and (built or not callable(model)):
        raise ExperimentConfigError(
            f"Found a model of type {type(model).__name__}; expected a function or class that builds one in each rank."
        )


def _check_rows(dataset: Any, ranks: int) -> None:
    """Check that every rank gets a row of the training part: the first of several parts, as far as it can be told."""
    training = dataset[0] if isinstance(dataset, tuple | list) and dataset else dataset
    if isinstance(training, tuple | list) and training:
        training = training[0]
    if isinstance(training, Mapping) or not hasattr(training, "__len__"):
        return  # of the training function's own making: the loader says so in the worker
    rows = len(training)
    if rows < ranks:
        raise ExperimentConfigError(
            f"Found {rows} rows of training data for {ranks} ranks; expected one per rank at least."
        )


__all__ = ["STRATEGIES", "BatchSize", "DistributedConfig", "DistributedDriver", "Evaluation"]
