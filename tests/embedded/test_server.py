"""The server as a process: start, health, refusal, restart, and what a stranger gets."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from deepcube.embedded import Running, StartError, down, find, up


def _get(running: Running, path: str, key: str | None) -> int:
    context = ssl.create_default_context(cafile=str(running.home.certificates / "ca.pem"))
    request = urllib.request.Request(running.url + path)
    if key is not None:
        request.add_header("Authorization", f"ApiKey {key}")
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_it_answers_with_a_key_only(embedded: Running) -> None:
    path = "/hopsworks-api/api/project"
    assert _get(embedded, path, embedded.environment()["HOPSWORKS_API_KEY"]) == 200
    assert _get(embedded, path, None) == 401
    assert _get(embedded, path, "wrong.key") == 401
    assert _get(embedded, "/health", None) == 200


def test_an_unknown_call_is_named(embedded: Running) -> None:
    assert _get(embedded, "/hopsworks-api/api/nothing/here", embedded.environment()["HOPSWORKS_API_KEY"]) == 501


def test_every_route_but_health_needs_a_key(embedded: Running) -> None:
    from deepcube.embedded.api import RESOURCES

    paths = {resource.prefix + path for resource in RESOURCES for method, path, *_ in resource.table if method == "GET"}
    for path in paths:
        concrete = "/".join("1" if "{" in part else part for part in path.split("/"))
        assert _get(embedded, concrete, None) == 401, path


def test_up_twice_gives_the_same_server(embedded: Running) -> None:
    again, started = up(embedded.home.root)
    assert again.pid == embedded.pid
    assert not started


def test_a_taken_port_is_told_with_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StartError, match=rf"port {port} is in use by .*pid {os.getpid()}"):
            up(tmp_path / "home", port=port)
    assert find(tmp_path / "home") is None


def test_restart_and_kill_keep_ports_key_and_content(tmp_path: Path) -> None:
    first, _ = up(tmp_path, port=0)
    environment = first.environment()
    assert down(tmp_path)
    assert find(tmp_path) is None
    assert not down(tmp_path)
    second, started = up(tmp_path)
    assert started
    assert second.environment() == environment
    process = psutil.Process(second.pid)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert find(tmp_path) is None, "the file a killed server leaves is stale"
    third, _ = up(tmp_path)
    assert third.environment() == environment
    assert third.healthy()
    down(tmp_path)


def test_it_stays_light(embedded: Running) -> None:
    """The server maps neither TensorFlow, Spark nor torch."""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    maps = Path(f"/proc/{embedded.pid}/maps").read_text()
    assert not [name for name in ("tensorflow", "libtorch", "libjvm", "keras") if name in maps]


def test_client_logs_in_by_environment_alone(project: object, embedded: Running) -> None:
    assert project.name == embedded.project  # type: ignore[attr-defined]


def test_stop_does_not_wait_for_idle_connections(tmp_path: Path) -> None:
    running, _ = up(tmp_path, port=0)
    port = int(running.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)):
        began = time.monotonic()
        assert down(tmp_path)
    assert time.monotonic() - began < 20
