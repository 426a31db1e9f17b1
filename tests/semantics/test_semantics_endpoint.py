"""The endpoint through a client that is not ours, and through the protocol's corners."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from SPARQLWrapper import CSV, JSON, TURTLE, XML, SPARQLWrapper

from deepcube.semantics.endpoint import EndpointConfig, build_app
from deepcube.semantics.questions import QUESTIONS
from deepcube.semantics.workers import EngineConfig
from tests.semantics.serving import served
from tests.semantics.worked import COLUMN, EXPECTED, write_world

KEY = "a key of this test"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    cube, features = write_world(tmp_path_factory.mktemp("endpoint"))
    engine = EngineConfig(((str(cube), None),), data=(str(features),))
    app = build_app(EndpointConfig(engine, KEY, seconds=60, rows=500, examples=tuple(QUESTIONS.values())))
    with served(app) as url:
        yield url


def _client(address: str, query: str, form: str) -> SPARQLWrapper:
    client = SPARQLWrapper(f"{address}/sparql")
    client.addCustomHttpHeader("Authorization", f"Bearer {KEY}")
    client.setQuery(query)
    client.setReturnFormat(form)
    return client


def _get(address: str, query: str, **options: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {KEY}", "Accept": options.pop("accept", "*/*")}
    return httpx.get(f"{address}/sparql", params={"query": query, **options}, headers=headers, timeout=90)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_questions_by_sparqlwrapper(address: str, name: str, method: str) -> None:
    client = _client(address, "PREFIX unused: <urn:x> " + QUESTIONS[name][1], JSON)
    client.setMethod(method)
    found = client.query().convert()["results"]["bindings"]
    assert {row[COLUMN[name]]["value"] for row in found} == EXPECTED[name]


def test_forms(address: str) -> None:
    query = "SELECT ?l { ?p a sosa:ObservableProperty ; rdfs:label ?l } ORDER BY ?l"
    labels = ["fwi (simulated)", "spei3 (simulated)", "unrest (simulated)"]
    found = _client(address, query, XML).query().convert()
    assert [item.firstChild.data for item in found.getElementsByTagName("literal")] == labels
    assert _client(address, query, CSV).query().convert().decode().split("\r\n")[1:4] == labels
    graph = _client(address, "CONSTRUCT { ?p rdfs:label ?l } { ?p a sosa:ObservableProperty ; rdfs:label ?l }", TURTLE)
    assert b"fwi (simulated)" in graph.query().convert()
    places = _get(
        address, "SELECT ?w { ?h a feature:Hospital ; geo:hasGeometry/geo:asWKT ?w }", format="geojson"
    ).json()
    assert {item["geometry"]["type"] for item in places["features"]} == {"Point"} and len(places["features"]) == 3
    assert _get(address, "ASK { ?o a dcube:ExtremeFireDanger }").json()["boolean"] is True
    tsv = _get(address, query, accept="text/tab-separated-values").text.splitlines()
    assert tsv == ["?l", *(f'"{label}"' for label in labels)]


def test_refusals(address: str) -> None:
    assert httpx.get(f"{address}/sparql", params={"query": "ASK {}"}).status_code == 401
    assert _get(address, "ASK {}", accept="image/png").status_code == 406
    headers = {"Authorization": f"Bearer {KEY}"}
    assert httpx.post(f"{address}/sparql", data={"update": "CLEAR ALL"}, headers=headers).status_code == 403
    assert httpx.get(f"{address}/sparql", headers=headers).status_code == 400
    wrong = _get(address, "SELECT * {\n ?a ?b }")
    assert wrong.status_code == 400 and wrong.json()["line"] == 2
    many = _get(address, "SELECT ?c { ?o sosa:observedProperty var:fwi ; sosa:hasFeatureOfInterest ?c }")
    assert many.status_code == 413 and "500" in many.json()["message"]


def test_time_limit_holds_for_any_query(address: str) -> None:
    began = time.monotonic()
    slow = _get(
        address,
        "SELECT (COUNT(*) AS ?n) { " + " ".join(f"?a{i} rdfs:label ?b{i} ." for i in range(12)) + " }",
        timeout="1000",
    )
    assert slow.status_code == 504 and slow.json()["error"] == "QueryStoppedError"
    assert time.monotonic() - began < 60
    assert _get(address, "ASK {}").json()["boolean"] is True  # a new worker answers the next query


def test_page_offers_the_questions(address: str) -> None:
    page = httpx.get(address)
    assert all(title in page.text for title, _ in QUESTIONS.values())
    assert "default-src 'none'" in page.headers["content-security-policy"]
