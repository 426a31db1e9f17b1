"""Requests that make no sense, to maps, points, series, exports, explanations and questions: no fault, no growth."""

from __future__ import annotations

import random
import resource
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import points_platform as platform
import pytest
from conftest import Served, serve

from deepcube.atlas import Again, Atlas, PointReasoner, Reasoner, load_predictions
from deepcube.atlas.atlas import Collection, Shown
from deepcube.atlas.predictions import PredictionTable
from deepcube.atlas.tables import table_layers
from deepcube.cubes import Variable, pixel_cells
from deepcube.semantics.endpoint import EndpointConfig
from deepcube.semantics.workers import EngineConfig

GOOD = {"in": "small", "layer": "ndvi", "z": "5", "x": "18", "y": "12", "t": "3", "lon": "23", "lat": "39"}
EXPLAINED = {"in": "danger", "layer": "fire_probability", "t": "1", "lon": "22.02", "lat": "44.98"}
POINT = {"in": "volcano_events", "layer": "alert", "t": "1", "lon": "15.0", "lat": "37.75"}
CALLS = (
    *("tile", "frame", "layer", "series", "atlas", "session", "face", "export", "reason", "reason", "nothing", ""),
    *("points", "picture", "semantics/sparql"),
)
OBSERVED = "?o sosa:observedProperty var:rain ; sosa:hasSimpleResult ?v"
QUERIES = (
    "ASK {}",
    "SELECT ?p { ?p a sosa:ObservableProperty }",
    f"SELECT (MAX(?v) AS ?m) WHERE {{ {OBSERVED} }}",
    f"SELECT ?v WHERE {{ {OBSERVED} }} LIMIT 3",
    f"SELECT ?v WHERE {{ {OBSERVED} }}",
    "SELECT * WHERE { ?s ?p ?o }",
    "CONSTRUCT { ?p rdfs:label ?l } WHERE { ?p a sosa:ObservableProperty ; rdfs:label ?l }",
)
WORDS = (
    "SELECT",
    "?x",
    "{",
    "}",
    "WHERE",
    "FILTER",
    "(",
    ")",
    "'",
    "<",
    ">",
    "sosa:",
    "UNION",
    "1e400",
    "\0",
    ";",
    "..",
)
HEAVY = (
    f"SELECT ?a {{ {OBSERVED} . ?a sosa:observedProperty var:rain ; sosa:hasSimpleResult ?w FILTER(?v + ?w < 0) }}",
    'SELECT ?x WHERE { ?x rdfs:label ?l FILTER(REGEX(?l, "' + "(a+)+" * 20 + '$")) }',
)
HOSTILE = (
    "DROP ALL",
    "SELECT * FROM <file:///etc/passwd> WHERE { ?s ?p ?o }",
    "SELECT * WHERE { SERVICE <http://127.0.0.1:1/> { ?s ?p ?o } }",
    "SELECT ?x WHERE { " + "{ " * 3000 + "}" * 3000 + " }",
    "SELECT ?x WHERE { ?x rdfs:label '<script>window.hacked = 1</script>' }",
)
NAMES = (*GOOD, "size", "low", "high", "palette", "axis", "other", "token", "as", "bounds", "at", "from", "to")
CLIENTS = 4  # that ask at once: a question must hold up nobody else
MOST_GROWTH_KIB = 96 * 1024


@pytest.fixture(scope="module")
def asked(cubes: list[Any]) -> Iterator[Served]:
    """Serve cubes, questions about them, and predictions; one platform of the two answers nothing but errors."""
    longitude, latitude = np.meshgrid(22.0 + 0.004 * np.arange(20), 45.0 - 0.003 * np.arange(15))
    cells = pixel_cells(longitude, latitude)[0].ravel()
    days = pd.to_datetime(["2020-01-01", "2020-01-11"])
    rows = pd.concat(
        pd.DataFrame({"time": day, "cell_id": cells, "fire_probability": np.linspace(0, 1, 300), "model_version": 1})
        for day in days
    )
    variable = Variable("fire_probability", "table", ("time", "y", "x"), "1", "danger", "continuous")
    shown = {name: Shown(layer) for name, layer in table_layers(rows, [variable], "time").items()}
    group: Any = SimpleNamespace(name="wildfire_danger", feature_store_id=1)
    atlas = Atlas(cubes)
    atlas.add(Collection("danger", "Danger", shown, kind="predictions"))
    reasoner = Reasoner(SimpleNamespace(), PredictionTable("wildfire", group, None, rows, "time"))
    reasoners: dict[str, Any] = {"danger": reasoner}
    store = platform.Store(
        [
            platform.Group("volcano_events", platform.events(), ["event_id"], "time"),
            platform.Group("volcano_places", platform.places(), ["place"], None),
        ]
    )
    project = platform.project(store, platform.Deployment(), {"/Projects/test/x.png": platform.PICTURE})
    for table, collection in load_predictions(project):
        reasoners[collection.id] = PointReasoner(project, table, again=Again(picture=lambda row: "x.png"))
        atlas.add(collection)
    endpoint = EndpointConfig(EngineConfig(((cubes[0].source, None),)), seconds=2.0, rows=500)
    with serve(atlas, reasoners=reasoners, semantics=endpoint) as running:
        yield running


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_random_requests_never_break_it(asked: Served, count: int) -> None:
    answered: Counter[int] = Counter()
    useful: Counter[str] = Counter()
    wrong: list[Any] = []
    held: list[int] = []
    noting = threading.Lock()

    def ask(requests: list[tuple[str, bytes, str]]) -> None:
        with httpx.Client(base_url=asked.url, headers=asked.headers, timeout=120) as client:
            for method, path, call in requests:
                answer = client.request(method, httpx.URL(client.base_url).copy_with(raw_path=path))
                with noting:
                    answered[answer.status_code] += 1
                    useful[call] += answer.status_code == 200
                    if answered.total() == count // 4:  # what is kept between requests is full by now
                        held.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
                # A question whose time is over is answered so; nothing else may fail.
                if answer.status_code >= 500 and (answer.status_code, call) != (504, "semantics/sparql"):
                    wrong.append((path, answer.text))

    requests = list(_requests(count))
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(ask, (requests[first::CLIENTS] for first in range(CLIENTS))))
    assert wrong == []
    assert answered.total() == count
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held[0]
    print(f"answers: {dict(sorted(answered.items()))}; grown by {growth / 1024:.1f} MiB after the first quarter")
    assert answered[200] > count // 20
    assert answered[400] > count // 20
    assert min(useful[call] for call in ("reason", "points", "picture", "semantics/sparql", "tile")) > 0
    assert growth < MOST_GROWTH_KIB


def _requests(count: int) -> Iterator[tuple[str, bytes, str]]:
    generator = random.Random(8)
    for _ in range(count):
        call = generator.choice(CALLS)
        good = {"reason": generator.choice((EXPLAINED, POINT)), "points": POINT, "picture": POINT}.get(call, GOOD)
        query = dict(good) if generator.random() < 0.7 else {}
        if call.startswith("semantics"):
            query = {"query": _question(generator)} if generator.random() < 0.9 else {}
        for name in generator.sample(NAMES, generator.randint(0, 4)):
            query[name] = _anything(generator)
        raw = "&".join(
            f"{name}={value.encode('utf-8', 'surrogateescape').hex() if generator.random() < 0.05 else value}"
            for name, value in query.items()
        )
        method = generator.choice(["GET"] * 8 + ["POST", "DELETE", "HEAD"])
        yield method, _escaped(f"/api/{call}?{raw}".encode("utf-8", "surrogateescape")), call


def _question(generator: random.Random) -> str:
    """Return a question: a good one, one with something changed, random words, or one that means harm."""
    kind = generator.random()
    if kind < 0.005:  # each costs its time limit and a new worker
        return generator.choice(HEAVY)
    if kind < 0.4:
        return generator.choice(QUERIES)
    if kind < 0.6:
        text = generator.choice(QUERIES)
        place = generator.randrange(len(text))
        return text[:place] + generator.choice(WORDS) + text[place + generator.randint(0, 5) :]
    if kind < 0.85:
        return " ".join(generator.choices(WORDS, k=generator.randint(1, 30)))
    return generator.choice(HOSTILE)


def _anything(generator: random.Random) -> str:
    junk = [
        "",
        "-1",
        "0",
        "1e400",
        "nan",
        "inf",
        "١",
        "99999999999999999999",
        "%00",
        "../../etc/passwd",
        "<script>",
        "small",
        "ndvi",
        "hostile",
        "quantity",
        "rotated",
        "number",
        "\udcff",
        "3.5",
        "é" * 300,
        "1_0",
        "0x10",
        " 1",
        "None",
    ]
    if generator.random() < 0.6:
        return generator.choice(junk)
    return str(generator.choice([generator.uniform(-400, 400), generator.randint(-5, 90)]))


def _escaped(path: bytes) -> bytes:
    return b"".join(bytes([c]) if 33 <= c < 127 and c not in b'"<>\\^`{|}#' else b"%%%02X" % c for c in path)
