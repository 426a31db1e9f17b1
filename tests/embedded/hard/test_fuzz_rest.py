"""Hostile requests to the REST wire: a clear answer to each, no traceback, no silence, no growth of memory."""

from __future__ import annotations

import json
import random

import pytest
from fault_bench import Bench
from rest_fuzz import GROWTH_BYTES, Prober, Request, changed, of_routes, raw_exchange

from deepcube.embedded import Running
from deepcube.embedded.api import RESOURCES

SEED = 20260101
SCENES = ["create_group", "create_stream", "insert_offline", "insert_stream", "delete_rows", "append_features",
          "create_view", "upload", "model", "deploycreate", "job", "jobcreate"]  # fmt: skip


def _table() -> list[tuple[str, str]]:
    """Every call."""
    calls = [(method, each.prefix + path) for each in RESOURCES for method, path, _ in each.table]
    streams = [(method, each.prefix + path) for each in RESOURCES for method, path, _ in getattr(each, "_streams", [])]
    return calls + streams


@pytest.mark.parametrize("share", [0.05, pytest.param(1.0, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_every_route_with_hostile_parameters_and_bodies(bench: Bench, share: float) -> None:
    bench.restore_empty()
    with bench.serving() as running:
        prober = Prober(running)
        table = sorted(_table(), key=lambda call: call[0] == "DELETE")
        project = running_project(prober)
        for request in of_routes(table, project, random.Random(SEED), 0.01):
            prober.probe(request)
        before = prober.memory()
        for request in of_routes(table, project, random.Random(SEED + 1), share):
            prober.probe(request)
        _judge(prober, before, len(table))


@pytest.mark.parametrize("rounds", [4, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_what_the_client_sends_with_one_thing_changed(bench: Bench, rounds: int) -> None:
    bench.restore_empty()
    with bench.serving():
        bench.must("prepare", scenes=SCENES)
        recorded = [
            Request(method, path, None if body is None else body.encode("latin-1"), kind)
            for method, path, body, kind in bench.must("record", scenes=SCENES)
        ]
    assert len(recorded) > 60, "the client talks to the server"
    with bench.serving() as running:
        prober = Prober(running)
        chooser = random.Random(SEED)
        calls = sorted(recorded, key=lambda request: request.method == "DELETE")
        for request in calls:
            prober.probe(changed(request, chooser))
        before = prober.memory()
        for _ in range(rounds):
            for request in calls:
                prober.probe(changed(request, chooser))
        _judge(prober, before, len(calls))
    bench.reap()


def running_project(prober: Prober) -> int:
    """Return the id of the default project."""
    status, body = prober.send(Request("GET", "/hopsworks-api/api/project"))
    assert status == 200
    return int(json.loads(body)[0]["project"]["id"])


def _judge(prober: Prober, before: int, at_least: int) -> None:
    assert prober.sent >= at_least
    grown = prober.memory() - before
    assert not prober.failures, f"{len(prober.failures)} of {prober.sent}:\n" + "\n".join(prober.failures[:60])
    assert prober.running.healthy()
    assert grown < GROWTH_BYTES, f"{prober.sent} requests cost {grown / 1e6:.0f} MB"
    prober.close()


@pytest.mark.parametrize(
    "content",
    [
        b"\x00" * 100_000,
        b"GET " + b"/" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"POST /hopsworks-api/api/project HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /hopsworks-api/api/project HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /hopsworks-api/api/project HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"GET /hopsworks-api/api/project HTTP/1.1\r\nHost: x\r\nAuthorization: \xff\xfe\r\nConnection: close\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET http://evil/ HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n",
    ],
)
def test_what_is_not_http_is_turned_away(embedded: Running, content: bytes) -> None:
    answer = raw_exchange(embedded, content)
    status = answer.split(b" ", 2)[1] if answer.startswith(b"HTTP/1.1 ") else b""
    assert status in (b"", b"400", b"401", b"404", b"405", b"431", b"501"), answer[:300]
    assert b"Traceback" not in answer
    assert embedded.healthy()
