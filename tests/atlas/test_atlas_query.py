"""Questions in SPARQL on the page: asked, drawn, shared and reopened; refused without the key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from conftest import Served, serve
from pages import wait_until

from deepcube.atlas import Atlas
from deepcube.semantics.endpoint import EndpointConfig
from deepcube.semantics.workers import EngineConfig

if TYPE_CHECKING:
    from playwright.sync_api import Browser

QUERY = """SELECT ?name ?where (MAX(?v) AS ?wettest) WHERE {
  ?hospital a feature:Hospital ; rdfs:label ?name ; geo:hasGeometry/geo:asWKT ?where .
  ?o sosa:observedProperty var:rain ; sosa:hasSimpleResult ?v ; sosa:resultTime ?t ;
    sosa:hasFeatureOfInterest/geo:hasGeometry/geo:asWKT ?cell .
  FILTER(?t = "2018-01-05T00:00:00Z"^^xsd:dateTime)
  FILTER(geof:distance(?cell, ?where, uom:metre) < 30000)
} GROUP BY ?name ?where ORDER BY ?name"""


@pytest.fixture(scope="module")
def asking(cubes: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve an atlas that answers questions about the rain of a cube around hospitals."""
    from deepcube.semantics.loading import load_file
    from deepcube.semantics.vector import VectorStore

    folder = tmp_path_factory.mktemp("linked")
    places = {"Larissa": [22.42, 39.64], "Arta <b>": [20.98, 39.16], "Oslo": [10.7, 59.9]}
    features = [
        {"type": "Feature", "properties": {"name": name}, "geometry": {"type": "Point", "coordinates": at}}
        for name, at in places.items()
    ]
    path = folder / "hospitals.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    store = VectorStore(folder / "store")
    store.add(load_file(path, kind="Hospital"))
    del store
    engine = EngineConfig(((cubes[0].source, None),), str(folder / "store"))
    endpoint = EndpointConfig(engine, seconds=120, examples=(("Rain near hospitals", QUERY),))
    with serve(Atlas(cubes[:1]), semantics=endpoint) as running:
        yield running


def test_questions_need_the_key(asking: Served) -> None:
    url, form = f"{asking.url}/api/semantics/sparql", {"query": "ASK {}"}
    assert httpx.post(url, data=form).status_code == 401
    assert httpx.get(url, params=form, headers={"authorization": "Bearer x"}).status_code == 401
    elsewhere = {**asking.headers, "origin": "http://evil.example", "sec-fetch-site": "cross-site"}
    assert httpx.post(url, data=form, headers=elsewhere).status_code == 403
    answer = httpx.post(url, data=form, headers=asking.headers, timeout=120)
    assert answer.status_code == 200
    assert answer.json()["boolean"] is True
    assert "unsafe" not in answer.headers["content-security-policy"]
    wrong = httpx.post(url, data={"query": "SELECT"}, headers=asking.headers, timeout=120)
    assert wrong.status_code == 400


def test_ask_see_share_and_reopen(asking: Served, browser: Browser, screenshots: Path | None) -> None:
    drawn = "window.atlas && window.atlas.questions.found && window.atlas.questions.found.rows.length === 2"
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(90_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(asking.entrance())

    def until(expression: str) -> None:
        wait_until(page, expression, 120_000)

    until("window.atlas && window.atlas.measured.ready !== null")
    page.get_by_role("link", name="Query").click()
    page.get_by_label("Example").select_option(label="Rain near hospitals")
    page.get_by_role("button", name="Ask").click()
    until(drawn)
    page.locator("table.answer").wait_for()
    assert "Arta <b>" in page.locator("table.answer").inner_text()
    assert "Answer: wettest" in page.locator("#legends").inner_text()
    until("location.hash.includes('query=')")
    page.wait_for_timeout(800)
    if screenshots is not None:
        page.screenshot(path=screenshots / "atlas-query.png")
    link = page.evaluate("location.hash")
    page.goto("about:blank")
    page.goto(f"{asking.url}/{link}")
    until(drawn)
    page.locator("table.answer").wait_for()
    features = page.evaluate("window.atlas.map.answer.getSource().getFeatures().length")
    assert features == 2
    assert page.locator("table.answer b").count() == 0
    assert problems == []
    context.close()
