"""The workers of one experiment as its driver sees them: started, spoken to, watched and ended."""

import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deepcube.oblivious.calling import TrainFn
from deepcube.oblivious.channel import Hub, Message
from deepcube.oblivious.errors import WorkerError
from deepcube.oblivious.launchers import Launcher
from deepcube.oblivious.shipping import Job, pack

_WATCH_S = 0.25
_WHY_S = 5.0

Event = tuple[int, Message]
"""Number of a worker and its message; ``{"kind": "dead", "reason": ...}`` when it is gone."""


class Crew:
    """Workers and the hub that they connect to; a context manager whose end is the end of all of them.

    Parameters
    ----------
    launcher : Launcher
        Starts them.
    count : int
        How many.
    train_fn : callable
        The training function.
    parts : mapping of str to Any
        What else they need: ``model``, ``dataset``, ``strategy``, ``metric``.
    folder : pathlib.Path
        Folder of the run.
    environment : mapping of str to str
        Environment variables of the workers.
    interface : str
        Address that the hub binds to.
    revive : bool
        Whether workers that died can be started again.

    Raises
    ------
    TrainFunctionError, ExperimentConfigError
        If something cannot be shipped; nothing is started then.
    """

    def __init__(
        self,
        launcher: Launcher,
        count: int,
        train_fn: TrainFn,
        parts: Mapping[str, Any],
        folder: Path,
        environment: Mapping[str, str],
        interface: str = "127.0.0.1",
        revive: bool = False,
    ) -> None:
        payload = pack(train_fn, parts)
        self._hub = Hub(interface)
        self._reported: set[int] = set()
        self._lost: dict[int, float] = {}  # since when; their launcher may yet say why
        self._revives = revive
        self._count = count
        self._interrupted = False
        self._handler: Any = None
        self._watched = 0.0
        try:
            job = Job(payload, self._hub.host, self._hub.port, self._hub.secret, dict(environment), revive)
            self._fleet = launcher.start(job, count, folder)
        except BaseException:
            self._hub.close()
            raise

    def events(self, timeout: float) -> list[Event]:
        """Wait at most ``timeout`` seconds and return what workers said, and which of them are gone.

        Raises
        ------
        WorkerError
            If a worker could not even begin, with its own traceback.
        """
        if self._interrupted:
            raise KeyboardInterrupt
        events: list[Event] = []
        gone: set[int] = set()
        for number, message in self._hub.poll(timeout):
            if message is None:
                gone.add(number)
            elif message["kind"] == "broken":
                raise WorkerError(f"Worker {number} could not begin: {message['message']}\n{message['traceback']}")
            elif message["kind"] != "hello":
                events.append((number, message))
        now = time.monotonic()
        if gone or now - self._watched > _WATCH_S:
            self._watched = now
            events += self._deaths(gone)
        return events

    def order(self, number: int, *messages: Message) -> bool:
        """Send a worker orders; False if it is gone."""
        return self._hub.send(number, *messages)

    def kill(self, number: int) -> None:
        """End one worker, or at least part from it; its death is an event."""
        if not self._fleet.kill(number):
            self._hub.drop(number)
            self._lost.setdefault(number, time.monotonic())

    def restart(self, number: int) -> bool:
        """Start one dead worker again; False if its launcher cannot."""
        self._hub.drop(number)
        if not self._fleet.restart(number):
            return False
        self._reported.discard(number)
        self._lost.pop(number, None)
        return True

    @property
    def puzzled(self) -> bool:
        """Whether a worker is gone and its launcher has not said why yet; it is given some seconds to."""
        return bool(self._lost.keys() - self._reported)

    def stop(self) -> None:
        """End all workers and close the hub."""
        for number in range(self._count):
            self._hub.send(number, {"kind": "stop"})  # those that wait for an order end by themselves
        self._fleet.stop()
        self._hub.close()

    def _deaths(self, gone: set[int]) -> list[Event]:
        dead = self._fleet.dead()
        for number in gone - dead.keys():
            self.kill(number)  # a worker that has hung up is of no use, whatever its process is still doing
        if gone - dead.keys():
            dead = self._fleet.dead()
        patience = 0.0 if self._revives else _WHY_S
        late = [number for number, since in self._lost.items() if time.monotonic() >= since + patience]
        dead = dead | {number: "lost its connection" for number in late if number not in dead}
        fresh = {number: reason for number, reason in dead.items() if number not in self._reported}
        self._reported |= fresh.keys()
        return [(number, {"kind": "dead", "reason": reason}) for number, reason in fresh.items()]

    def _interrupt(self, number: int, frame: Any) -> None:
        """Remember Ctrl-C: Python swallows the exception where it hits a callback, for example one of the collector."""
        self._interrupted = True
        raise KeyboardInterrupt

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._handler = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        self.stop()
