"""A server that is killed at any point of its first start, or of a later one, starts again with nothing lost."""

from __future__ import annotations

import ssl
import urllib.request
from pathlib import Path

import pytest
from fault_bench import Bench
from fault_points import chosen
from fault_shim import COUNT, HALF, KILL

from deepcube.embedded import Running

CI_POINTS = 5


def _answers(running: Running) -> None:
    """The key of the home folder opens the one project, which has its folders."""
    context = ssl.create_default_context(cafile=str(running.home.certificates / "ca.pem"))
    environment = running.environment()
    request = urllib.request.Request(f"{running.url}/hopsworks-api/api/project")
    request.add_header("Authorization", f"ApiKey {environment['HOPSWORKS_API_KEY']}")
    with urllib.request.urlopen(request, context=context, timeout=10) as response:
        body = response.read()
    assert body.count(b'"project"') == 1
    assert (running.home.files / "Projects" / running.project / "Models").is_dir()


def _leftovers(home: Path) -> list[Path]:
    """Temporary files of atomic writes."""
    return [file for file in home.rglob(".*") if file.is_file()]


def _start_killed_at(bench: Bench, point: int, mode: int) -> bool:
    """Kill a start at a point; False if the start has fewer points."""
    with bench.control.armed(mode, point):
        child = bench.spawn_server()
        while child.running() and not (bench.home / "server.json").exists():
            child.wait(0.01)
        child.kill()
        child.wait(20)
        return bool(bench.control.fired)


def _explore(bench: Bench, snapshot: str, wanted: int | None, expected: dict[str, str] | None) -> int:
    bench.restore(snapshot)
    (bench.home / "server.json").unlink(missing_ok=True)
    with bench.control.armed(COUNT):
        bench.start()
        total = bench.control.counter
    bench.stop()
    for mode in (KILL, HALF):
        for point in chosen(total, wanted, f"{snapshot}-{mode}"):
            bench.restore(snapshot)
            (bench.home / "server.json").unlink(missing_ok=True)
            fired = _start_killed_at(bench, point, mode)
            with bench.serving() as running:
                _answers(running)
                environment = running.environment()
            assert not _leftovers(bench.home), (point, mode)
            if expected is not None and fired:
                assert environment == expected, (point, mode)
            with bench.serving() as running:
                assert running.environment() == environment
    return total


@pytest.mark.parametrize("wanted", [CI_POINTS, pytest.param(None, marks=pytest.mark.slow)])
def test_first_start(bench: Bench, wanted: int | None) -> None:
    bench.restore_empty()
    bench.save("empty")
    assert _explore(bench, "empty", wanted, None) > 50


@pytest.mark.parametrize("wanted", [CI_POINTS, pytest.param(None, marks=pytest.mark.slow)])
def test_later_start(bench: Bench, wanted: int | None) -> None:
    bench.restore_empty()
    with bench.serving() as running:
        environment = running.environment()
    bench.save("made")
    assert _explore(bench, "made", wanted, environment) > 10


def test_start_after_a_kill_while_serving(bench: Bench) -> None:
    """The files that a killed server leaves (its log of the catalog, its ``server.json``) are those of later starts."""
    bench.restore_empty()
    environment = bench.start().environment()
    assert bench.server is not None
    bench.server.kill()
    assert bench.server.outcome().signal == 9
    with bench.serving() as running:
        assert running.environment() == environment
        _answers(running)
