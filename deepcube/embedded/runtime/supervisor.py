"""Supervise one child process; run as a script of its own, with nothing but the standard library.

The server starts it in a session of its own, so it outlives the server. It reads what to do as one line of JSON from
its standard input, starts the child, copies the child's output to log files of bounded size, ends the child when it is
told to (SIGTERM), and writes down how the child ended. It holds an open file that carries the server's lock; while the
lock is held, the supervisor lives. Nothing of the child's own processes survives it.

Files in its folder, each written whole or not at all: ``supervisor.json`` before the child is started, ``result.json``
at the end.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

STAMP = struct.Struct("<Qd")
STAMP_SECONDS = 0.01
_BLOCK = 64 * 1024
_DRAIN_SECONDS = 2.0
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a file so that a reader, or a crash, sees the old content or the new."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    Path(temporary).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


class Log:
    """A log file that keeps the newest output, at most so many bytes.

    Parameters
    ----------
    path : Path
        File; appended to if it exists.
    limit : int
        Most bytes of the file; beyond, the older half is dropped and a line says so.
    stamped : bool
        Whether a file beside it, ``<name>.times``, tells from which byte on the output is how old: pairs of an
        unsigned 64-bit offset and a double, seconds since the epoch.
    """

    def __init__(self, path: Path, limit: int, stamped: bool) -> None:
        self._path = path
        self._limit = limit
        self._stream = path.open("ab", buffering=0)
        self._size = path.stat().st_size
        self._dropped = 0
        self._times = path.with_name(f"{path.name}.times") if stamped else None
        self._stamped_at = 0.0

    def write(self, data: bytes) -> None:
        """Append; on a full disk the output is lost, the child goes on."""
        with contextlib.suppress(OSError):
            self._stamp()
            self._size += self._stream.write(data)
            if self._size > self._limit:
                self._shorten()

    def _stamp(self) -> None:
        """Note that what is written from here on is of now; at most so often."""
        now = time.time()
        if self._times is not None and not 0.0 <= now - self._stamped_at < STAMP_SECONDS:
            self._stamped_at = now
            with self._times.open("ab") as stream:
                stream.write(STAMP.pack(self._size, now))

    def _shorten(self) -> None:
        with self._path.open("rb") as old:
            old.seek(self._size - self._limit // 2)
            old.readline()  # start with a whole line
            cut = old.tell()
            newest = old.read()
        self._dropped += cut
        shorter = self._path.with_name(f".{self._path.name}.shorter")
        notice = f"... {self._dropped} bytes of older output dropped ...\n".encode()
        shorter.write_bytes(notice + newest)
        shorter.replace(self._path)
        self._stream.close()
        self._stream = self._path.open("ab", buffering=0)
        self._size = len(notice) + len(newest)
        if self._times is not None:
            self._shorten_times(cut, len(notice))

    def _shorten_times(self, cut: int, added: int) -> None:
        assert self._times is not None
        kept = [(max(0, offset - cut), at) for offset, at in STAMP.iter_unpack(self._times.read_bytes())]
        first = max((i for i, (offset, _) in enumerate(kept) if offset == 0), default=0)
        shorter = self._times.with_name(f".{self._times.name}.shorter")
        shorter.write_bytes(b"".join(STAMP.pack(offset + added if offset else 0, at) for offset, at in kept[first:]))
        shorter.replace(self._times)


def process_control(option: int, value: int) -> None:
    """Call Linux's prctl; elsewhere do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def descendants(root: int) -> list[int]:
    """Return all processes below one, where the system lists them under ``/proc``; parents before children."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


class Supervisor:
    """One child from start to end.

    Parameters
    ----------
    task : dict
        ``folder``, ``command``, ``cwd``, ``stdout``, ``stderr`` (paths; may be the same), ``log_bytes``,
        ``grace_seconds`` (between SIGTERM and SIGKILL), ``stamped`` (keep the times of the output) and ``tied`` (end
        when standard input closes).
    """

    def __init__(self, task: dict[str, Any]) -> None:
        self._task = task
        self._folder = Path(task["folder"])
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._kill_at = float("inf")
        self._status: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        out = Log(Path(task["stdout"]), task["log_bytes"], task["stamped"])
        self._logs = {"out": out, "err": out}
        if task["stderr"] != task["stdout"]:
            self._logs["err"] = Log(Path(task["stderr"]), task["log_bytes"], task["stamped"])
        self._started = time.time()

    def run(self) -> None:
        """Start the child and stay until it and everything it has started is gone."""
        process_control(_PR_SET_CHILD_SUBREAPER, 1)
        self._catch_signals()
        write_json(self._folder / "supervisor.json", {"pid": os.getpid(), "started": self._started})
        error = self._start()
        if error is None:
            while self._status is None:
                self._step()
            self._end_descendants()
            self._drain()
        self._finish(error)

    def _catch_signals(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._selector.register(reader, selectors.EVENT_READ, "signal")
        if self._task["tied"]:
            self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, "parent")

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._kill_at = time.monotonic() + self._task["grace_seconds"]
            self._signal_group(signal.SIGTERM)

    def _start(self) -> str | None:
        """Start the child; return why it cannot be started, if so."""
        own_pid = os.getpid()

        def die_with_supervisor() -> None:
            process_control(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != own_pid:
                os._exit(1)

        try:
            self._child = subprocess.Popen(
                self._task["command"],
                cwd=self._task["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,
                preexec_fn=die_with_supervisor,  # safe: this process has one thread
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return f"cannot start {self._task['command'][0]}: {error}"
        for stream, name in ((self._child.stdout, "out"), (self._child.stderr, "err")):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream.fileno(), selectors.EVENT_READ, name)
        if self._stopping:  # told so before there was a child to tell
            self._signal_group(signal.SIGTERM)
        return None

    def _step(self, timeout: float | None = None) -> bool:
        """Wait for something to happen and deal with it; return whether anything did."""
        if timeout is None and self._kill_at < float("inf"):
            timeout = max(0.0, self._kill_at - time.monotonic())
        events = self._selector.select(timeout)
        for key, _ in events:
            self._handle(key)
        self._reap()
        if self._status is None and time.monotonic() >= self._kill_at:
            self._kill_at = float("inf")
            self._signal_group(signal.SIGKILL)
        return bool(events)

    def _handle(self, key: selectors.SelectorKey) -> None:
        try:
            data = os.read(key.fd, _BLOCK)
        except BlockingIOError:
            return
        if key.data in self._logs and data:
            self._logs[key.data].write(data)
        elif not data:
            self._selector.unregister(key.fd)
            if key.data == "parent":
                self._stop()

    def _reap(self) -> None:
        """Take the exit status of every process that has ended, the child's and those it left behind."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if self._child is not None and pid == self._child.pid:
                    self._status = os.waitstatus_to_exitcode(status)
                    self._child.returncode = self._status

    def _signal_group(self, number: int) -> None:
        if self._child is not None and self._status is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, number)

    def _end_descendants(self) -> None:
        assert self._child is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        for _ in range(10):  # each round reaches what the round before has started meanwhile
            left = descendants(os.getpid())
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if not left:
                return
            time.sleep(0.01)
            self._reap()

    def _drain(self) -> None:
        """Copy what is still in the pipes."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline and self._step(0.0):
            pass

    def _finish(self, error: str | None) -> None:
        if error is not None:
            self._logs["err"].write(f"{error}\n".encode())
        status = self._status
        result = {
            "exit_code": status if status is not None and status >= 0 else None,
            "signal": -status if status is not None and status < 0 else None,
            "stopped": self._stopping,
            "error": error,
            "started": self._started,
            "ended": time.time(),
        }
        write_json(self._folder / "result.json", result)


if __name__ == "__main__":
    with open(0, "rb", buffering=0, closefd=False) as standard_input:  # unbuffered: what follows the line stays in it
        task_line = standard_input.readline()
    Supervisor(json.loads(task_line)).run()
