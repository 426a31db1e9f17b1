"""Supervised children: how they end, what they leave, and what happens when somebody is killed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from runtime_tools import eventually

from deepcube.embedded.runtime.processes import MARK, Process, Result, Task

Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start a child that runs some Python; its output goes to ``out`` and ``err``."""

    def start(source: str, name: str = "child", **options: object) -> Process:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-c", source]
        task = Task(command, environment, tmp_path, tmp_path / "out", tmp_path / "err", **options)  # type: ignore[arg-type]
        return Process.start(tmp_path / name, task)

    return start


def _end(process: Process, seconds: float = 20.0) -> Result:
    result = process.wait(seconds)
    assert result is not None
    return result


def _text(place: Path) -> str:
    return place.read_text() if place.exists() else ""


def test_status_and_streams_are_kept(start: Start, tmp_path: Path) -> None:
    result = _end(start("import sys; print('to out'); print('to err', file=sys.stderr); sys.exit(3)"))
    assert (result.exit_code, result.signal, result.stopped, result.succeeded) == (3, None, False, False)
    assert result.reason == "it exited with status 3"
    assert (tmp_path / "out").read_text() == "to out\n"
    assert (tmp_path / "err").read_text() == "to err\n"
    assert _end(start("pass", "fine")).succeeded


def test_a_signal_is_named(start: Start) -> None:
    result = _end(start("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    assert result.reason == "it was ended by signal SIGSEGV"


def test_what_cannot_be_started_says_why(tmp_path: Path) -> None:
    task = Task(["/no/such/program"], {}, tmp_path, tmp_path / "out", tmp_path / "err")
    result = _end(Process.start(tmp_path / "child", task))
    assert not result.succeeded
    assert "/no/such/program" in result.reason


def test_the_last_words_are_not_lost(start: Start, tmp_path: Path) -> None:
    _end(start("import os\nfor i in range(20000): print(i)\nos._exit(1)"))
    assert (tmp_path / "out").read_text().splitlines() == [str(i) for i in range(20000)]


def test_a_log_is_bounded_and_keeps_the_newest(start: Start, tmp_path: Path) -> None:
    _end(start("for i in range(100_000): print(i)", log_bytes=10_000))
    text = (tmp_path / "out").read_text()
    assert len(text) <= 10_000
    lines = text.splitlines()
    assert lines[-1] == "99999"
    assert "dropped" in lines[0]
    assert lines[1:] == [str(i) for i in range(int(lines[1]), 100_000)]


def test_one_line_longer_than_the_log_is_bounded_too(start: Start, tmp_path: Path) -> None:
    _end(start("print('x' * 1_000_000, end='')", log_bytes=10_000))
    assert (tmp_path / "out").stat().st_size <= 10_000 + 65_536


def test_stop_asks_first_and_then_insists(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    polite = start("import signal, sys, time\nsignal.signal(15, lambda *a: sys.exit(5))\nprint('up')\ntime.sleep(60)")
    eventually(lambda: "up" in _text(tmp_path / "out"))
    polite.stop()
    result = _end(polite)
    assert (result.exit_code, result.stopped, result.succeeded) == (5, True, False)

    monkeypatch.setattr("deepcube.embedded.runtime.processes.GRACE_SECONDS", 0.3)
    deaf = start("import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('deaf')\ntime.sleep(60)", "deaf")
    eventually(lambda: "deaf" in _text(tmp_path / "out"))
    deaf.stop()
    assert _end(deaf).signal == 9


def test_a_stop_before_the_child_is_up_is_not_lost(start: Start) -> None:
    for i in range(5):
        process = start("import time; time.sleep(60)", f"child{i}")
        process.stop()
        result = process.wait(10)
        assert result is not None
        assert not result.succeeded


FAMILY = """
import os, subprocess, sys, time
children = [subprocess.Popen(["sleep", "600"]), subprocess.Popen(["sleep", "600"], start_new_session=True)]
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("orphan", os.getpid(), flush=True)
        time.sleep(600)
    os._exit(0)
for child in children:
    print("child", child.pid, flush=True)
"""


def _family(folder: Path) -> list[int]:
    lines = _text(folder / "out").split()
    return [int(word) for word in lines if word.isdecimal()] if len(lines) == 6 else []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt all its descendants")
def test_nothing_that_a_child_has_started_outlives_it(start: Start, tmp_path: Path) -> None:
    process = start(FAMILY + "\nos.wait()\ntime.sleep(0.5)\nsys.exit(0)")
    assert _end(process).succeeded
    assert len(_family(tmp_path)) == 3
    assert [pid for pid in _family(tmp_path) if _lives(pid)] == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs the environment of other processes")
def test_a_killed_supervisor_takes_all_along(start: Start, tmp_path: Path) -> None:
    process = start(FAMILY + "\ntime.sleep(600)")
    pids = eventually(lambda: _family(tmp_path))
    assert process._popen is not None
    process._popen.kill()
    result = _end(process)
    assert "supervisor was killed" in result.reason
    eventually(lambda: not [pid for pid in pids if _lives(pid)])
    marked = [p for p in psutil.process_iter() if _mark(p) == str(process.folder) and _lives(p.pid)]
    assert marked == []


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_later_server_finds_what_an_earlier_one_has_started(start: Start, tmp_path: Path) -> None:
    started = start("import time; time.sleep(1); print('done')")
    found = Process(started.folder)
    assert found.alive()
    assert found.result() is None
    eventually(lambda: found.was_started)
    assert _end(found).succeeded
    assert (tmp_path / "out").read_text() == "done\n"
    assert Process(tmp_path / "never").result() is not None
    assert not Process(tmp_path / "never").was_started


def test_a_later_server_can_stop_it(start: Start) -> None:
    started = start("import time; time.sleep(60)")
    found = Process(started.folder)
    eventually(lambda: found.was_started)
    found.stop()
    assert _end(found).stopped


def test_a_tied_child_ends_with_its_server(start: Start) -> None:
    process = start("import time; time.sleep(60)", tied=True)
    eventually(lambda: process.was_started)
    process.close()  # what the kernel does when the server dies
    assert _end(process).stopped


def test_supervisors_are_light(start: Start) -> None:
    process = start("import time; time.sleep(60)")
    eventually(lambda: process.was_started)
    assert process._popen is not None
    assert psutil.Process(process._popen.pid).memory_info().rss < 40 * 1024 * 1024
    process.kill()
    time.sleep(0.1)
    assert not process.alive()
