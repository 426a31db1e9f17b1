"""How worker processes are started; a new way is one small class.

A launcher only has to run ``python -m deepcube.oblivious.worker FOLDER NUMBER`` so many times, each time with the job
in that folder. Everything else, which rank a process has, where the others are, what it does and what comes out, goes
over the worker's own channel and is the same for all launchers.
"""

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from deepcube.oblivious.shipping import Job

_PATIENCE_S = 3.0
_TAIL = 4000


class Fleet(ABC):
    """Started workers."""

    @abstractmethod
    def dead(self) -> dict[int, str]:
        """Return the numbers of workers that ended, each with why, as far as that is known here; the cause first."""

    @abstractmethod
    def stop(self) -> None:
        """End all workers and wait until they are gone; may be called twice."""

    def kill(self, number: int) -> bool:
        """End one worker at once; return False if this launcher cannot reach it."""
        return False

    def restart(self, number: int) -> bool:
        """Start one ended worker again; return False if this launcher cannot."""
        return False


class Launcher(ABC):
    """A way to start workers."""

    name: ClassVar[str]

    @abstractmethod
    def start(self, job: Job, count: int, folder: Path) -> Fleet:
        """Start workers number 0 to ``count - 1``.

        Parameters
        ----------
        job : Job
            What they need.
        count : int
            How many.
        folder : pathlib.Path
            Folder of the run: for the job's files, and for what workers print (``worker-N.log``).

        Returns
        -------
        Fleet
            The workers.

        Raises
        ------
        WorkerError
            If this launcher cannot be used here.
        """


class LocalLauncher(Launcher):
    """Processes on this machine."""

    name = "local"

    def start(self, job: Job, count: int, folder: Path) -> Fleet:
        """Start the processes, each the leader of a session of its own, so that Ctrl-C reaches only the experiment."""
        return _LocalFleet(job.write(folder / "job"), count, folder, job.environment)


class _LocalFleet(Fleet):
    def __init__(self, job: Path, count: int, folder: Path, environment: Mapping[str, str]) -> None:
        self._job, self._folder = job, folder
        self._environment = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        for number in range(count):
            self.restart(number)

    def restart(self, number: int) -> bool:
        with log_file(self._folder, number).open("ab") as log:
            self._workers[number] = subprocess.Popen(
                worker_command(self._job, number),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return True

    def dead(self) -> dict[int, str]:
        ended = {number: process.poll() for number, process in self._workers.items()}
        return {
            number: describe_exit(status) + tail(log_file(self._folder, number))
            for number, status in ended.items()
            if status is not None
        }

    def kill(self, number: int) -> bool:
        end_process(self._workers[number], patience=0.0)
        return True

    def stop(self) -> None:
        for process in self._workers.values():
            signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE_S
        for process in self._workers.values():
            end_process(process, patience=max(0.0, deadline - time.monotonic()))


def worker_command(job: Path, number: int | None) -> list[str]:
    """Return the command that runs a worker; without a number, it takes the one in ``$RANK``."""
    return [sys.executable, "-m", "deepcube.oblivious.worker", str(job), "-" if number is None else str(number)]


def log_file(folder: Path, number: int) -> Path:
    """Return the file that a worker prints to."""
    return folder / f"worker-{number}.log"


def signal_group(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Send a signal to a process and all that it has started."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            process.send_signal(number)


def end_process(process: "subprocess.Popen[bytes]", patience: float) -> None:
    """Wait for a process for some seconds, then kill it and all that it has started."""
    try:
        process.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        signal_group(process, signal.SIGKILL)
        process.wait()


def describe_exit(status: int) -> str:
    """Say how a process ended, for example ``"ended by signal SIGKILL"``."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"ended by signal {signal.Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"


def tail(path: Path) -> str:
    """Return the end of what a worker printed, as a paragraph of a message, or nothing."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            text = file.read().decode(errors="replace").strip()
    except OSError:
        return ""
    return f"; it printed last:\n{text}" if text else ""
