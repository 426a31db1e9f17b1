"""What an endpoint answers where no answer can be had: a limit that is reached is not the fault of the query's text."""

from __future__ import annotations

import multiprocessing
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from deepcube.semantics import workers
from deepcube.semantics.endpoint import EndpointConfig, build_app
from deepcube.semantics.errors import QuerySyntaxError
from deepcube.semantics.workers import EngineConfig
from tests.semantics.serving import served
from tests.semantics.worked import write_world


def test_a_cube_that_cannot_be_opened_is_not_the_fault_of_the_query(tmp_path: Path) -> None:
    app = build_app(EndpointConfig(EngineConfig(((str(tmp_path / "none.zarr"), None),)), None))
    with served(app) as url:
        answer = httpx.get(f"{url}/sparql", params={"query": "ASK {}"}, timeout=90)
    assert answer.status_code == 503
    assert "Nothing can be asked" in answer.json()["message"]


def test_limits_have_statuses_of_their_own(tmp_path: Path) -> None:
    cube, features = write_world(tmp_path)
    app = build_app(EndpointConfig(EngineConfig(((str(cube), None),), data=(str(features),)), None, rows=2))
    with served(app) as url:

        def status(query: str, **options: str) -> int:
            return httpx.get(f"{url}/sparql", params={"query": query, **options}, timeout=90).status_code

        assert status("SELECT ?v { ?o sosa:observedProperty var:fwi ; sosa:hasSimpleResult ?v }") == 413
        assert status("SELECT ?v { ?o sosa:observedProperty var:fwi ; sosa:hasSimpleResult ?v }", timeout="1") == 504
        assert status("SELECT nothing") == 400


@pytest.mark.parametrize(
    ("raised", "seconds", "told"),
    [
        (RuntimeError("INTERRUPT Error: Interrupted!"), 0.05, "QueryStoppedError"),
        (RuntimeError("a fault"), 60.0, "RuntimeError"),
        (QuerySyntaxError("no SPARQL"), 0.05, "QuerySyntaxError"),
    ],
)
def test_what_a_library_makes_of_being_interrupted_is_a_time_limit(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, seconds: float, told: str
) -> None:
    class Engine:
        def query(self, *arguments: Any, **options: Any) -> Any:
            time.sleep(0.1)
            raise raised

    monkeypatch.setattr(workers, "open_engine", lambda config: Engine())
    ours, theirs = multiprocessing.Pipe()
    thread = threading.Thread(target=workers._work, args=(EngineConfig((), memory=0), theirs))
    thread.start()
    assert ours.recv() == {"kind": "ready"}
    ours.send(workers._Question("ASK {}", {"table": "json", "graph": "ttl"}, seconds, 10, False))
    assert ours.poll(10) and ours.recv()["error"] == told
    ours.close()
    thread.join(10)
    assert not thread.is_alive()
