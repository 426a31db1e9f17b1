"""Children of the server, each under a supervisor process; see :mod:`deepcube.embedded.runtime.supervisor`.

Whether a supervisor lives is told by a lock on a file that it holds open, not by process numbers: the server takes the
lock before it starts the supervisor, which inherits it, so there is no instant at which a living one looks dead, and
the kernel frees it however the supervisor ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from deepcube.embedded.errors import EmbeddedError

MARK = "DEEPCUBE_RUN_FOLDER"
GRACE_SECONDS = 5.0
LOG_BYTES = 64 * 1024 * 1024
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


@dataclass(frozen=True)
class Task:
    """What a supervisor is to run.

    Attributes
    ----------
    command : sequence of str
        Program and arguments.
    environment : mapping of str to str
        The child's whole environment.
    cwd : Path
        Working folder.
    stdout, stderr : Path
        Log files; their folder must exist.
    log_bytes : int
        Most bytes of each log file.
    tied : bool
        Whether the child ends with the server, however the server ends.
    stamped : bool
        Whether the times of the output are kept beside the logs.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    cwd: Path
    stdout: Path
    stderr: Path
    log_bytes: int = LOG_BYTES
    tied: bool = False
    stamped: bool = False


@dataclass(frozen=True)
class Result:
    """How a child ended.

    Attributes
    ----------
    exit_code : int or None
        Exit status; None if it did not exit by itself.
    signal : int or None
        Number of the signal that ended it.
    stopped : bool
        Whether it was told to stop.
    error : str or None
        Why it could not be started or followed.
    started, ended : float
        Seconds since the epoch.
    """

    exit_code: int | None
    signal: int | None
    stopped: bool
    error: str | None
    started: float
    ended: float

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself with status 0."""
        return self.exit_code == 0 and not self.stopped

    @property
    def reason(self) -> str:
        """How it ended, in words."""
        if self.error:
            return self.error
        if self.stopped:
            return "it was stopped"
        if self.signal is not None:
            with contextlib.suppress(ValueError):
                return f"it was ended by signal {signal.Signals(self.signal).name}"
            return f"it was ended by signal {self.signal}"
        return f"it exited with status {self.exit_code}"


class Process:
    """A supervised child, started by this server or found from an earlier one.

    Parameters
    ----------
    folder : Path
        Its folder: lock, ``supervisor.json``, ``result.json``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._popen: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, folder: Path, task: Task) -> Process:
        """Start a child.

        Raises
        ------
        EmbeddedError
            If the supervisor cannot be started.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        process = cls(folder)
        content = {
            "folder": str(folder),
            "command": list(task.command),
            "cwd": str(task.cwd),
            "stdout": str(task.stdout),
            "stderr": str(task.stderr),
            "log_bytes": task.log_bytes,
            "grace_seconds": GRACE_SECONDS,
            "tied": task.tied,
            "stamped": task.stamped,
        }
        descriptor = os.open(process._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            popen = subprocess.Popen(
                [sys.executable, "-I", str(_SUPERVISOR)],
                env={**task.environment, MARK: str(folder)},
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=(folder / "supervisor.log").open("ab"),
                start_new_session=True,
                pass_fds=(descriptor,),
            )
            process._popen = popen
            assert popen.stdin is not None
            popen.stdin.write(json.dumps(content).encode() + b"\n")
            popen.stdin.flush()
            if not task.tied:
                popen.stdin.close()
        except OSError as error:
            raise EmbeddedError(f"cannot start the supervisor of {folder.name}: {error}") from error
        finally:
            os.close(descriptor)
        return process

    @property
    def _lock(self) -> Path:
        return self.folder / "lock"

    @property
    def was_started(self) -> bool:
        """Whether a supervisor came up far enough to start the child."""
        return (self.folder / "supervisor.json").exists()

    def alive(self) -> bool:
        """Tell whether the supervisor lives, and with it perhaps the child."""
        if self._popen is not None:
            self._popen.poll()  # takes its exit status, so that no zombie stays
        try:
            with self._lock.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def result(self) -> Result | None:
        """Return how the child ended; None while the supervisor lives."""
        if self.alive():
            return None
        content = self._read("result.json")
        if content is not None:
            return Result(**content)
        self._kill_left_over()
        started = (self._read("supervisor.json") or {}).get("started", time.time())
        return Result(
            None, None, False, "its supervisor was killed, how it would have ended is lost", started, time.time()
        )

    def stop(self) -> None:
        """Ask the supervisor to end the child: SIGTERM, after a while SIGKILL. Does not wait."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the supervisor and all it has started at once."""
        self._signal(signal.SIGKILL)
        self._kill_left_over()

    def wait(self, seconds: float) -> Result | None:
        """Wait for the end, at most so long."""
        deadline = time.monotonic() + seconds
        while (result := self.result()) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return result

    def close(self) -> None:
        """Close what ties the child to this server."""
        if self._popen is not None and self._popen.stdin is not None:
            with contextlib.suppress(OSError):
                self._popen.stdin.close()

    def _signal(self, number: int) -> None:
        if not self.alive():
            return
        if self._popen is not None:
            self._popen.send_signal(number)
            return
        content = self._read("supervisor.json")
        if content is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(content["pid"], number)

    def _kill_left_over(self) -> None:
        """End what a killed supervisor left behind; it is known by its environment."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == str(self.folder):
                    process.kill()

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            content: dict[str, Any] = json.loads((self.folder / name).read_text())
        except (OSError, ValueError):
            return None
        return content
