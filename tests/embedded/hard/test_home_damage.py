"""Damaged, foreign, newer and unwritable home folders: one clear message, exit status 1, and nothing changed."""

from __future__ import annotations

import errno
import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_bench import Bench
from fault_points import chosen
from fault_shim import COUNT, FAIL_FROM

from deepcube.embedded.home import Home, HomeLock

CI_POINTS = 8
_FLEETING = {"lock", "server.json", "catalog.db-shm", "catalog.db-wal"}


@pytest.fixture
def home(bench: Bench) -> Iterator[Path]:
    """A home folder as a stopped server leaves it, to be damaged."""
    if not bench.saved("made"):
        bench.restore_empty()
        with bench.serving():
            pass
        bench.save("made")
    bench.restore("made")
    yield bench.home
    bench.stop()


def _digest(home: Path) -> dict[str, str]:
    files = [path for path in sorted(home.rglob("*")) if path.is_file() and path.name not in _FLEETING]
    return {str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _refused(bench: Bench, *words: str, home: Path | None = None) -> str:
    """A server ends at once with status 1 and one line that says what is wrong."""
    child = bench.spawn_server(home)
    outcome, log = child.outcome(), child.log.read_text()
    assert "Traceback" not in log, log
    assert outcome.value == 1, (outcome, log)
    (line,) = [line for line in log.splitlines() if line.startswith("error: ")]
    assert all(word in line for word in words), line
    return line


def test_a_second_server_is_refused_and_changes_nothing(bench: Bench, home: Path) -> None:
    with bench.serving() as running:
        before, first = _digest(home), bench.server
        line = _refused(bench, "already serves", str(home), "--home")
        assert str(running.pid) in line
        assert _digest(home) == before
        assert running.healthy()
        bench.server = first


def test_who_asks_whether_a_server_runs_does_not_keep_one_from_starting(tmp_path: Path) -> None:
    """`deepcube up` asks again and again while the server that it has started takes the lock."""
    home = Home(tmp_path / "home")
    home.prepare()
    HomeLock(home).release()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            home.is_locked()

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(100):
            HomeLock(home).release()
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe\x00", b"[]", b"null", b'{"ports": 7}', b'{"ports": {"rest": "x"}}', b'{"unknown": 1}',
     b'{"project": 5}', b'{"ports": {"rest": 99999999}}', b'{"mysql_host": "8.8.8.8"}', b'{"mysql_host": 3}'],
)  # fmt: skip
def test_damaged_settings_are_told(bench: Bench, home: Path, content: bytes) -> None:
    (home / "settings.json").write_bytes(content)
    before = _digest(home)
    _refused(bench, "settings.json")
    assert _digest(home) == before


def _garbage(path: Path) -> None:
    path.write_bytes(b"not a database, certainly not " * 400)


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 + 100])


def _other_database(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE something (else_ INTEGER)")
        connection.execute("PRAGMA user_version = 1")


@pytest.mark.parametrize("damage", [_garbage, _cut, _other_database])
def test_a_damaged_catalog_is_told_and_left_alone(bench: Bench, home: Path, damage: Callable[[Path], None]) -> None:
    damage(home / "catalog.db")
    before = _digest(home)
    _refused(bench, "catalog.db")
    assert _digest(home) == before


def test_a_newer_catalog_is_refused_before_anything_is_touched(bench: Bench, home: Path) -> None:
    with sqlite3.connect(home / "catalog.db") as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("CREATE TABLE of_the_future (x)")
    connection.close()
    before = _digest(home)
    _refused(bench, "schema 99", "newer")
    assert _digest(home) == before


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key", "client.pem", "client.key"])
@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_damaged_certificates_are_made_again(bench: Bench, home: Path, name: str, content: bytes) -> None:
    (home / "certs" / name).write_bytes(content)
    with bench.serving() as running:
        assert running.healthy()


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"\xff\xfe", b"a.b"])
def test_a_lost_owner_key_is_made_again(bench: Bench, home: Path, content: bytes) -> None:
    (home / "api_key").write_bytes(content)
    with bench.serving() as running:
        assert "." in running.environment()["HOPSWORKS_API_KEY"]


def test_a_home_that_is_a_file_or_lies_below_one_is_refused(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    _refused(bench, str(file), home=file)
    _refused(bench, str(file), home=file / "below")
    assert file.read_text() == "kept"


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("wanted", [CI_POINTS, pytest.param(None, marks=pytest.mark.slow)])
def test_a_disk_that_fails_during_the_start(bench: Bench, code: int, wanted: int | None) -> None:
    """Whatever call it begins with: a clear message or a working server; and afterwards all is as it was."""
    bench.restore_empty()
    with bench.serving() as running:
        environment = running.environment()
    bench.save("served")
    with bench.control.armed(COUNT), bench.serving():
        total = bench.control.counter
    for point in chosen(total, wanted, f"disk-{code}"):
        bench.restore("served")
        with bench.control.armed(FAIL_FROM, point, error=code):
            child = bench.spawn_server()
            while child.running() and not (bench.home / "server.json").exists():
                child.wait(0.01)
        if child.running():
            bench.stop()
        outcome, log = child.outcome(), child.log.read_text()
        assert not outcome.error, (point, outcome)
        assert "Traceback" not in log, (point, log[-3000:])
        assert outcome.value == 0 or "error: " in log, (point, outcome, log[-3000:])
        with bench.serving() as running:
            assert running.environment() == environment
