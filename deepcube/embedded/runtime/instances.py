"""The processes of one version of a deployment: predictors and, if it has one, transformers."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deepcube.embedded.errors import EmbeddedError
from deepcube.embedded.runtime.logs import tail
from deepcube.embedded.runtime.processes import GRACE_SECONDS, Process, Task

LOG_BYTES = 16 * 1024 * 1024
MAX_BACK_OFF_SECONDS = 60.0
_STEADY_SECONDS = 30.0
_SCRIPT = Path(__file__).with_name("predictor.py")


@dataclass(frozen=True)
class Plan:
    """What the instances of a component run.

    Attributes
    ----------
    component : str
        ``predictor`` or ``transformer``.
    name : str
        Name of the deployment.
    script : Path
        The user's script.
    python : Path
        The interpreter.
    environment : mapping
        Their whole environment.
    model_files : Path or None
        Folder whose files they find in their working folder.
    count : int
        How many there are to be.
    """

    component: str
    name: str
    script: Path
    python: Path
    environment: Mapping[str, str]
    model_files: Path | None
    count: int


class Instance:
    """One process, started anew whenever it ends, with longer and longer pauses while it keeps failing.

    Parameters
    ----------
    plan : Plan
        What it runs.
    number : int
        Its number among its kind, from 0.
    folder : Path
        Folder of its own.
    socket_path : Path
        Where it listens; short, as the system limits such paths to about 100 characters.

    Attributes
    ----------
    name : str
        Name of the instance, as its logs carry it.
    identity : str
        Differs from that of every other instance, also of the same name.
    ready : bool
        Whether it answers requests.
    failure : str or None
        How its last process ended, until a later one is ready.
    outstanding : int
        Requests that it works on.
    """

    def __init__(self, plan: Plan, number: int, folder: Path, socket_path: Path) -> None:
        self.plan = plan
        self.name = f"{plan.name}-{plan.component}-{number}"
        self.identity = uuid.uuid4().hex
        self.socket = socket_path
        self.log = folder / f"{plan.component}.log"
        self.ready = False
        self.failure: str | None = None
        self.was_ready = False
        self.outstanding = 0
        self.restarts = 0
        self._folder = folder
        self._process: Process | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._ready_since = 0.0
        self._leaving = False
        folder.mkdir(parents=True, exist_ok=True)

    def step(self, now: float) -> None:
        """Look after the process: start it, find it ready, or find it dead.

        Parameters
        ----------
        now : float
            Monotonic time in seconds.
        """
        if self._process is None:
            if not self._leaving and now >= self._retry_at:
                self._start(now)
            return
        result = self._process.result()
        if result is not None:
            self._process.close()
            self._process = None
            self.ready = False
            if not self._leaving:
                self._failed(result.reason, now)
        elif not self.ready and not self._leaving and self._answers():
            self.ready = self.was_ready = True
            self._ready_since = now
            self.failure = None
        elif self.ready and now - self._ready_since > _STEADY_SECONDS:
            self._failures = 0

    def _start(self, now: float) -> None:
        work = self._folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        if self.plan.model_files is not None and self.plan.model_files.is_dir():
            for file in self.plan.model_files.iterdir():
                (work / file.name).symlink_to(file)
        self.socket.unlink(missing_ok=True)
        options = {"script": self.plan.script, "role": self.plan.component, "socket": self.socket}
        command = [str(self.plan.python), "-P", str(_SCRIPT), "--name", self.plan.name]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        task = Task(command, self.plan.environment, work, self.log, self.log, LOG_BYTES, tied=True, stamped=True)
        try:
            process_folder = self._folder / "process"
            shutil.rmtree(process_folder, ignore_errors=True)
            self._process = Process.start(process_folder, task)
        except (EmbeddedError, OSError) as error:
            self._failed(str(error), now)

    def _failed(self, reason: str, now: float) -> None:
        self._failures += 1
        self.restarts += 1
        pause = min(MAX_BACK_OFF_SECONDS, 2.0 ** (self._failures - 1))
        self._retry_at = now + pause
        last = [line.strip() for line in tail(self.log, 20, 8192).text.splitlines() if line.strip()]
        said = f": {last[-1][:500]}" if last else ""
        self.failure = f"{self.plan.component} {self.name} failed, {reason}{said}; it is started again in {pause:.0f} s"

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            probe.connect(str(self.socket))
            return True
        return False

    def retry_now(self) -> None:
        """Forget the failures so far: who starts it again waits for what comes of it, not for what was."""
        self.failure = None
        self._failures = 0
        self._retry_at = 0.0

    def leave(self) -> None:
        """Take no more requests and end the process; :attr:`gone` tells when it is over."""
        self._leaving = True
        self.ready = False
        if self._process is not None:
            self._process.stop()

    @property
    def gone(self) -> bool:
        """Whether there is no process and none will be started."""
        return self._leaving and self._process is None

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()


class Revision:
    """All instances that serve one state of a deployment's configuration.

    Parameters
    ----------
    number : int
        Counts the changes of the deployment.
    plans : list of Plan
        Predictor, and transformer if there is one.
    folder : Path
        Folder for what they write.
    sockets : Path
        Folder for their sockets.
    """

    def __init__(self, number: int, plans: list[Plan], folder: Path, sockets: Path) -> None:
        self.number = number
        self.folder = folder
        self._guard = threading.Lock()
        self._left_at = 0.0
        self.pools: dict[str, list[Instance]] = {
            plan.component: [
                Instance(plan, i, folder / f"{plan.component}-{i}", sockets / f"{folder.name}{plan.component[0]}{i}")
                for i in range(plan.count)
            ]
            for plan in plans
        }

    @property
    def instances(self) -> list[Instance]:
        """All instances."""
        return [instance for pool in self.pools.values() for instance in pool]

    @property
    def ready(self) -> bool:
        """Whether every component has an instance that answers."""
        return all(any(instance.ready for instance in pool) for pool in self.pools.values())

    @property
    def failure(self) -> str | None:
        """Why it is not ready, if an instance of a component without a ready one has failed."""
        for pool in self.pools.values():
            failures = [instance.failure for instance in pool if instance.failure]
            if failures and not any(instance.ready for instance in pool):
                return failures[0]
        return None

    def available(self, component: str) -> int:
        """Return how many instances of a component answer."""
        return sum(instance.ready for instance in self.pools.get(component, []))

    def step(self, now: float) -> None:
        """Look after every instance."""
        for instance in self.instances:
            instance.step(now)
        if self._left_at and now - self._left_at > GRACE_SECONDS + 3.0:
            for instance in self.instances:
                instance.kill()

    def take(self, component: str) -> Instance | None:
        """Return the ready instance with the least to do, with one request more on its count; None if none is ready."""
        with self._guard:
            ready = [instance for instance in self.pools[component] if instance.ready]
            if not ready:
                return None
            chosen = min(ready, key=lambda instance: instance.outstanding)
            chosen.outstanding += 1
            return chosen

    def give_back(self, instance: Instance) -> None:
        """Take a finished request from an instance's count."""
        with self._guard:
            instance.outstanding -= 1

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return any(instance.outstanding for instance in self.instances)

    def leave(self) -> None:
        """End all instances."""
        self._left_at = time.monotonic()
        for instance in self.instances:
            instance.leave()

    @property
    def gone(self) -> bool:
        """Whether all are over."""
        return all(instance.gone for instance in self.instances)
