"""The trials of a search while they run: given out, watched, retried, stopped early, recorded."""

import itertools
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from maggy.trial import Trial

from deepcube.oblivious.channel import Message
from deepcube.oblivious.crew import Crew
from deepcube.oblivious.errors import RecordError, TrainResultError, WorkerError
from deepcube.oblivious.journal import Entry, Journal
from deepcube.oblivious.outcome import Outcome, TrialObserver
from deepcube.oblivious.trials_config import TrialsConfig

_POLL_S = 0.2
_STARTS = 3
_BRIEF_S = 0.002
_AHEAD = 16
_CONFIDENCE = 4


class Suggests(Protocol):
    """Says which trial is next; :class:`~deepcube.oblivious.suggesting.Suggester` is one.

    Attributes
    ----------
    limit : int
        How many trials there will be at most.
    finished : list of maggy.trial.Trial
        Those with a metric.
    """

    limit: int
    finished: list[Trial]

    @property
    def adaptive(self) -> bool:
        """Whether what is next depends on what the earlier ones found."""
        ...

    @property
    def started(self) -> int:
        """Number of different trials suggested so far."""
        ...

    def next(self) -> Trial | None:
        """Return a trial to run, or None."""
        ...

    def finish(self, trial: Trial, metric: float) -> None:
        """Take the final metric of a trial."""
        ...

    def fail(self, trial: Trial) -> None:
        """Learn that a trial will never have a metric."""
        ...


@dataclass
class _Running:
    """A trial on a worker."""

    trial: Trial
    heard: float
    history: list[list[float]] = field(default_factory=list)


class TrialRunner:
    """Gives trials to workers until there are no more.

    Parameters
    ----------
    config : TrialsConfig
        The experiment.
    suggester : Suggests
        Says which trial is next.
    crew : Crew
        The workers.
    journal : Journal
        Where everything is recorded.
    folder : pathlib.Path
        Folder of the search; each trial gets a folder of its own in it.
    """

    def __init__(self, config: TrialsConfig, suggester: Suggests, crew: Crew, journal: Journal, folder: Path) -> None:
        self.config, self.suggester, self.crew, self.journal, self.folder = config, suggester, crew, journal, folder
        self.observers: Sequence[TrialObserver] = ()
        self.outcomes: dict[str, Outcome] = {}
        self.hashes: set[str] = set()
        self._best: Outcome | None = None
        self._again: deque[Trial] = deque()
        self._attempts: dict[str, int] = {}
        self._idle: set[int] = set()
        self._busy: dict[int, _Running] = {}
        self._next: dict[int, deque[Trial]] = {}  # on a worker already, behind the one that it runs
        self._brief: dict[int, int] = {}  # how many trials in a row took a worker next to no time
        self._alive: set[int] = set()
        self._ended: set[int] = set()
        self._failed_starts = 0
        self._exhausted = False

    def replay(self, entries: Sequence[Entry]) -> None:
        """Bring the optimizer to where an interrupted search was.

        Raises
        ------
        RecordError
            If the optimizer does not suggest what is recorded, for example because its options differ.
        """
        waiting: dict[str, Trial] = {}
        known: set[str] = set()
        for entry in entries:
            trial_id = entry["id"]
            if entry["event"] == "start":
                self._attempts[trial_id] = entry["attempt"]
                if trial_id in known:
                    continue
                known.add(trial_id)
                trial = self.suggester.next()
                if trial is None or trial.trial_id != trial_id:
                    found = trial and trial.params
                    raise RecordError(
                        f"Found trial {entry['hparams']} in the record where the optimizer now suggests {found}; "
                        "expected the same optimizer with the same options. Start a new search, without `resume`."
                    )
                waiting[trial_id] = trial
            elif entry["event"] == "end":
                self._settle(waiting.pop(trial_id), Outcome(**entry["outcome"]))
        for trial in waiting.values():
            self._attempts[trial.trial_id] -= 1  # it was the experiment that ended, not the trial
            self._again.append(trial)

    def run(self, workers: int) -> dict[str, Outcome]:
        """Run until all trials have ended, and return how, by trial id.

        Raises
        ------
        WorkerError
            If no worker can be kept alive.
        TrainResultError
            If the function returns nothing, or not the metric.
        """
        self._alive = set(range(workers))
        while True:
            self._give_out()
            if not self._busy and not self._again and self._exhausted:
                return self.outcomes
            for number, message in self.crew.events(_POLL_S):
                self._take(number, message)
            self._watch()

    def _give_out(self) -> None:
        self._exhausted = self.suggester.started >= self.suggester.limit
        if self.config.synchronous and (self._busy or len(self._idle) < len(self._alive)):
            return
        while self._idle:
            trial = self._again.popleft() if self._again else self.suggester.next()
            if trial is None:
                self._exhausted = True  # for now: a trial that ends may lead to more
                return
            number = self._idle.pop()
            self._busy[number] = _Running(trial, time.monotonic())
            self._start(number, [trial])
        self._give_ahead()

    def _give_ahead(self) -> None:
        """Give out several trials at once where they are shorter than giving them out, if their order does not matter.

        A worker gets the more of them the longer all of its trials have been that short.
        """
        if self.suggester.adaptive or self.config.synchronous or self.config.stops_early or self._again:
            return
        for number in self._busy:
            wanted = min(_AHEAD, self._brief.get(number, 0) // _CONFIDENCE)
            waiting = self._next.setdefault(number, deque())
            if wanted == 0 or len(waiting) > wanted // 2:
                continue
            more = list(itertools.islice(iter(self.suggester.next, None), wanted - len(waiting)))
            waiting.extend(more)
            self._start(number, more)

    def _start(self, number: int, trials: Sequence[Trial]) -> None:
        """Record and give out trials; should the worker be gone, its death is the next event."""
        for trial in trials:
            self._attempts[trial.trial_id] = self._attempts.get(trial.trial_id, 0) + 1
            trial.metric_history, trial.step_history, trial.metric_dict = [], [], {}
        self.journal.append(
            *(
                {"event": "start", "id": t.trial_id, "attempt": self._attempts[t.trial_id], "hparams": t.params}
                for t in trials
            )
        )
        self.crew.order(number, *map(self._order, trials))

    def _order(self, trial: Trial) -> Message:
        return {
            "kind": "trial",
            "id": trial.trial_id,
            "directory": self._directory(trial),
            **self.config.order(trial.params),
            "wait": self.config.stops_early is not None,
        }

    def _directory(self, trial: Trial) -> str:
        return f"{self.folder}/trials/{trial.trial_id}"

    def _take(self, number: int, message: Message) -> None:
        kind = message["kind"]
        if kind == "ready":
            self._failed_starts = 0
            self.hashes |= {message["sha256"]} - {None}
            self._idle.add(number)
            return
        if kind == "dead":
            self._bury(number, message["reason"])
            return
        running = self._busy.get(number)
        if running is None or running.trial.trial_id != message.get("id"):
            return
        running.heard = time.monotonic()
        if kind == "step":
            self._step(number, running, message)
            return
        del self._busy[number]
        if waiting := self._next.get(number):
            self._busy[number] = _Running(waiting.popleft(), time.monotonic())
        else:
            self._idle.add(number)
        outcome = self._outcome(running)
        if kind == "done":
            outcome.metric, outcome.metrics = message["metric"], message["metrics"]
            outcome.stopped, outcome.seconds = message["stopped"], message["seconds"]
        elif message["fatal"]:
            raise TrainResultError(f"{message['message']}\n{message['traceback']}")
        else:
            outcome.error = message["traceback"]
        brief = kind == "done" and outcome.seconds < _BRIEF_S
        self._brief[number] = self._brief.get(number, 0) + 1 if brief else 0
        self._end(running.trial, outcome)

    def _outcome(self, running: _Running) -> Outcome:
        trial = running.trial
        return Outcome(
            trial.trial_id,
            dict(trial.params),
            history=running.history,
            attempts=self._attempts[trial.trial_id],
            directory=self._directory(trial),
        )

    def _step(self, number: int, running: _Running, message: Message) -> None:
        running.history.append([message["step"], message["metric"]])
        rule = self.config.stops_early
        if rule is None:
            return
        trial = running.trial
        step = trial.append_metric({"value": message["metric"], "step": message["step"]})
        due = bool(step) and step % self.config.es_interval == 0
        halt = False
        if due and len(self.suggester.finished) > self.config.es_min:
            comparable = [t for t in self.suggester.finished if len(t.metric_history) >= len(trial.metric_history)]
            halt = bool(comparable) and rule(trial, comparable, self.config.direction) is not None
        self.crew.order(number, {"kind": "halt" if halt else "go"})

    def _end(self, trial: Trial, outcome: Outcome) -> None:
        self.journal.append({"event": "end", "id": trial.trial_id, "outcome": vars(outcome)})
        self._settle(trial, outcome)
        for observer in self.observers:
            observer(outcome, self._best)

    def _settle(self, trial: Trial, outcome: Outcome) -> None:
        """Tell the optimizer, and remember the best."""
        self.outcomes[trial.trial_id] = outcome
        if outcome.metric is None:
            self.suggester.fail(trial)
            return
        trial.early_stop = outcome.stopped
        trial.step_history = [int(step) for step, _ in outcome.history]
        trial.metric_history = [metric for _, metric in outcome.history]
        self.suggester.finish(trial, outcome.metric)
        best = self._best.metric if self._best else None
        better = best is None or (outcome.metric < best if self.config.direction == "min" else outcome.metric > best)
        if better:
            self._best = outcome

    def _watch(self) -> None:
        """Kill the workers of hung trials."""
        oldest = time.monotonic() - self.config.trial_timeout
        for number in [number for number, running in self._busy.items() if running.heard < oldest]:
            self._ended.add(number)
            self.crew.kill(number)
            self._lose(number, f"gave no sign of life for {self.config.trial_timeout:g} s and was ended")

    def _bury(self, number: int, reason: str) -> None:
        """Replace a worker whose process is gone; its trial is run again, or failed."""
        self._idle.discard(number)
        if number in self._busy:
            self._lose(number, reason)
        elif number not in self._ended:
            self._failed_starts += 1
        self._ended.discard(number)
        if self._failed_starts >= _STARTS or not self.crew.restart(number):
            self._alive.discard(number)
        if not self._alive or self._failed_starts >= _STARTS:
            raise WorkerError(f"Worker {number} {reason}")

    def _lose(self, number: int, reason: str) -> None:
        running = self._busy.pop(number)
        for waiting in self._next.pop(number, ()):
            self._attempts[waiting.trial_id] -= 1  # it was not begun
            self._again.append(waiting)
        self._brief[number] = 0
        trial = running.trial
        if self._attempts[trial.trial_id] <= self.config.retries:
            self._again.append(trial)
            return
        outcome = self._outcome(running)
        outcome.error = f"its process {reason}"
        self._end(trial, outcome)
