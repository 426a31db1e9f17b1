"""Processes under test, in milliseconds: a parent that has imported everything forks them on demand.

Run as a script under LD_PRELOAD, this is the parent: it reads one JSON request a line and answers with one. The class
:class:`Zygote` is its other end, in the test. A child runs one function of a module of this folder and leaves what it
returned, or how it failed, in a file.
"""

from __future__ import annotations

import atexit
import faulthandler
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class Outcome:
    """How a child ended.

    Attributes
    ----------
    value : object
        What its function returned.
    error : str
        Traceback, if it raised.
    signal : int
        Signal that killed it, or 0.
    """

    value: Any = None
    error: str = ""
    signal: int = 0

    @property
    def acknowledged(self) -> bool:
        """Whether the function came back, which is how a caller learns that it is done."""
        return not self.error and not self.signal


class Zygote:
    """A parent process that forks children.

    Parameters
    ----------
    modules : list of str
        What it imports first.
    folder : Path
        For its files; outside of what is tested.
    environment : mapping of str to str
        Variables on top of this process's.
    """

    def __init__(self, modules: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._count = 0
        self._process = subprocess.Popen(
            [sys.executable, __file__, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
            text=True,
            start_new_session=True,
        )
        self._receive()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the parent process died: {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._receive()

    def spawn(self, function: str, environment: Mapping[str, str] | None = None, **arguments: Any) -> Child:
        """Run ``module:function`` with keyword arguments in a child.

        Parameters
        ----------
        environment : mapping of str to str, optional
            Variables of the child.
        """
        self._count += 1
        base = self._folder / f"{self._count}"
        answer = self._ask(
            {
                "do": "fork",
                "function": function,
                "arguments": arguments,
                "environment": dict(environment or {}),
                "log": f"{base}.log",
                "result": f"{base}.json",
            }
        )
        return Child(self, answer["pid"], Path(f"{base}.log"), Path(f"{base}.json"))

    def status(self, pid: int) -> int | None:
        """Return the wait status of a child, or None while it runs."""
        status: int | None = self._ask({"do": "poll", "pid": pid})["status"]
        return status

    def close(self) -> None:
        """End the parent and its children."""
        if self._process.poll() is None:
            try:
                self._ask({"do": "exit"})
            except (RuntimeError, BrokenPipeError):
                self._process.kill()
        self._process.wait(10)


class Child:
    """A process that a :class:`Zygote` forked."""

    def __init__(self, zygote: Zygote, pid: int, log: Path, result: Path) -> None:
        self._zygote = zygote
        self.pid = pid
        self.log = log
        self._result = result
        self._status: int | None = None

    def running(self) -> bool:
        """Tell whether it has not ended."""
        if self._status is None:
            self._status = self._zygote.status(self.pid)
        return self._status is None

    def wait(self, seconds: float) -> bool:
        """Wait for the end; False if it did not come in time."""
        deadline = time.monotonic() + seconds
        while self.running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, if it runs."""
        if self.running():
            os.kill(self.pid, number)

    def outcome(self, seconds: float = 60.0) -> Outcome:
        """Wait for the end and return how it ended; what does not end is killed."""
        if not self.wait(seconds):
            self.kill(signal.SIGUSR1)  # has it say where it is
            self.wait(0.5)
            self.kill()
            assert self.wait(GRACE_SECONDS), f"process {self.pid} does not die"
            return Outcome(
                error=f"did not end within {seconds} s\n{self.log.read_text()[-3000:]}", signal=signal.SIGKILL
            )
        assert self._status is not None
        if os.WIFSIGNALED(self._status):
            return Outcome(signal=os.WTERMSIG(self._status))
        if not self._result.exists():
            return Outcome(error=f"ended with status {self._status}\n{self.log.read_text()[-2000:]}")
        return Outcome(**json.loads(self._result.read_text()))


def _child(request: dict[str, Any]) -> None:
    """Be a child: run the function, leave the outcome, end without the clean-up that belongs to the parent."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    faulthandler.register(signal.SIGUSR1, file=sys.__stderr__, all_threads=True)
    os.environ.update(request["environment"])
    module, name = request["function"].split(":")
    try:
        outcome = {"value": getattr(importlib.import_module(module), name)(**request["arguments"])}
    except BaseException:
        outcome = {"error": traceback.format_exc()}
    temporary = request["result"] + ".new"
    with open(temporary, "w") as stream:  # noqa: PTH123
        json.dump(outcome, stream)
    Path(temporary).replace(request["result"])
    atexit._run_exitfuncs()  # what the client does at exit; the rest of the clean-up is the parent's
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _serve() -> None:
    requests, answers = sys.stdin, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a module prints must not mix with the answers
    sys.path.insert(0, str(Path(__file__).parent))
    for module in sys.argv[1:]:
        importlib.import_module(module)
    children: dict[int, int | None] = {}

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    answer({"ready": True})
    for line in requests:
        request = json.loads(line)
        if request["do"] == "fork":
            pid = os.fork()
            if pid == 0:
                answers.close()
                _child(request)
            children[pid] = None
            answer({"pid": pid})
        elif request["do"] == "poll":
            pid = request["pid"]
            if children[pid] is None:
                ended, status = os.waitpid(pid, os.WNOHANG)
                children[pid] = status if ended else None
            answer({"status": children[pid]})
        else:
            break
    for pid, status in children.items():
        if status is None:
            os.kill(pid, signal.SIGKILL)
    answer({"ended": True})
    os._exit(0)  # what was imported may take its time to clean up


if __name__ == "__main__":
    _serve()
