"""The query page in a real browser: worked questions, errors, hostile data, accessibility.

Needs Chromium (Debian's package ``chromium``; another place: ``DEEPCUBE_CHROMIUM``) and the package ``playwright``.
Screenshots go to ``DEEPCUBE_SCREENSHOTS`` if that is set.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deepcube.semantics.endpoint import EndpointConfig, build_app
from deepcube.semantics.questions import QUESTIONS
from deepcube.semantics.workers import EngineConfig
from tests.semantics.serving import served
from tests.semantics.worked import COLUMN, EXPECTED, PREFIXES, feature, write_world

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.e2e

KEY = "a key of this test"
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
DESKTOP, PHONE = {"width": 1200, "height": 900}, {"width": 390, "height": 800}
PATIENCE_MS = 60_000
DRAWN = {"fire": 3, "volcano": 2, "railway": 1}
"""Places of each answer that has any; the hostile hospital is one."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    cube, features = write_world(folder)
    evil = folder / "evil.ttl"
    evil.write_text(PREFIXES + feature("evil", "Hospital", "POINT(40.35 1.65)", label=HOSTILE))
    engine = EngineConfig(((str(cube), None),), data=(str(features), str(evil)))
    app = build_app(EndpointConfig(engine, KEY, seconds=60, examples=tuple(QUESTIONS.values())))
    with served(app) as url:
        yield f"{url}/"


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Return a function that opens the page in a window of its own; at the end nothing hostile may have run."""
    opened: list[tuple[BrowserContext, Page, list[str]]] = []

    def open_window(*, phone: bool = False, dark: bool = False, key: str = KEY) -> Page:
        context = browser.new_context(
            viewport=PHONE if phone else DESKTOP, has_touch=phone, color_scheme="dark" if dark else "light"
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text) if "Content Security" in line.text else None)
        page.goto(address)
        page.get_by_label("Key").fill(key)
        opened.append((context, page, problems))
        return page

    yield open_window
    for context, page, problems in opened:
        assert page.evaluate("window.hacked") is None
        assert problems == []
        context.close()


def _shot(page: Page, name: str) -> None:
    named = os.environ.get("DEEPCUBE_SCREENSHOTS")
    if named:
        Path(named).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(named) / f"query-{name}.png", full_page=True)


def _run(page: Page, query: str, button: str = "Run") -> None:
    page.get_by_label("Query").fill(query)
    page.get_by_role("button", name=button, exact=True).click()


def _column(page: Page, name: str) -> list[str]:
    names = page.get_by_role("columnheader").all_inner_texts()
    place = names.index(name)
    return [row.get_by_role("cell").nth(place).inner_text() for row in page.locator("tbody tr").all()]


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_worked_question(visit: Callable[..., Page], name: str) -> None:
    page = visit()
    page.get_by_label("Example").select_option(label=QUESTIONS[name][0])
    assert page.get_by_label("Query").input_value() == QUESTIONS[name][1]
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("status").filter(has_text=re.compile(r"^\d+ rows? in ")).wait_for()
    expected = EXPECTED[name] | ({HOSTILE} if name == "fire" else set())
    found = _column(page, COLUMN[name])
    assert len(found) == len(expected) and set(found) == expected
    picture = page.locator("#map svg")
    assert picture.count() == (1 if name in DRAWN else 0)
    if name in DRAWN:
        assert page.get_by_role("img", name=re.compile(f"^Map of {DRAWN[name]} places?$")).count() == 1
        assert picture.locator("circle").count() == DRAWN[name]
    _shot(page, name)


def test_a_map_of_areas_and_points(visit: Callable[..., Page]) -> None:
    page = visit()
    _run(page, "SELECT ?name ?where { ?f rdfs:label ?name ; geo:hasGeometry/geo:asWKT ?where }")
    page.get_by_role("status").filter(has_text="rows in").wait_for()
    assert page.locator("#map path").count() == 4  # three districts and a railway
    assert page.locator("#map circle").count() == page.locator("tbody tr").count() - 4
    page.locator("#map circle").first.hover(force=True)
    assert page.locator("tr.near").count() == 1
    assert f"name: {HOSTILE}" in page.locator("#map title").all_text_contents()
    _shot(page, "map")


def test_an_error_shows_its_place(visit: Callable[..., Page]) -> None:
    page = visit()
    _run(page, "SELECT ?a {\n  ?a soza:observedProperty ?b\n}")
    alert = page.get_by_role("alert")
    alert.filter(has_text="Line 2, column 6").wait_for()
    assert "did you mean 'sosa'" in alert.inner_text()
    chosen = "(e => e.value.slice(e.selectionStart, e.selectionEnd))(document.getElementById('query'))"
    assert page.evaluate(chosen) == "soza:observedProperty"
    _shot(page, "error")
    _run(page, "SELECT * {\n  ?a ?b }")
    alert.filter(has_text="line 2, column").wait_for()
    assert "^" in alert.inner_text()
    _run(page, "SELECT ?o { ?o dcube:none ?v }")
    alert.filter(has_text="there is no dcube:none").wait_for()


def test_without_the_key_nothing_is_told(visit: Callable[..., Page]) -> None:
    page = visit(key="wrong")
    _run(page, "ASK {}")
    page.get_by_role("alert").filter(has_text="A key is needed").wait_for()
    page.get_by_label("Key").fill(KEY)
    page.get_by_label("Query").press("Control+Enter")
    page.get_by_text("Yes (true)").wait_for()
    assert page.get_by_role("alert").inner_text() == ""


def test_plan_triples_and_files(visit: Callable[..., Page], tmp_path: Path) -> None:
    page = visit()
    _run(page, QUESTIONS["fire"][1], "Explain")
    page.locator("#answer pre").filter(has_text="interpretation: fwi > 50").wait_for()
    _shot(page, "plan")
    _run(page, "CONSTRUCT { ?h rdfs:label ?l } WHERE { ?h a feature:Hospital ; rdfs:label ?l }")
    page.locator("#answer pre").filter(has_text="near-fire").wait_for()
    assert "window.hacked" in page.locator("#answer pre").inner_text()
    page.get_by_label("Query").fill(QUESTIONS["volcano"][1])
    with page.expect_download() as download:
        page.get_by_label("Save as").select_option("csv")
    download.value.save_as(tmp_path / "answer.csv")
    with (tmp_path / "answer.csv").open(newline="") as file:
        assert {row["settlement"] for row in csv.DictReader(file)} == EXPECTED["volcano"]


def test_a_long_query_is_stopped(visit: Callable[..., Page]) -> None:
    page = visit()
    _run(page, "SELECT (COUNT(*) AS ?n) { " + " ".join(f"?a{i} rdfs:label ?b{i} ." for i in range(12)) + " }")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("status").filter(has_text="Stopped").wait_for()
    _run(page, "ASK {}")
    page.get_by_text("Yes (true)").wait_for()


@pytest.mark.parametrize(("phone", "dark"), [(False, False), (False, True), (True, False)])
def test_accessible_and_fits(visit: Callable[..., Page], phone: bool, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page, axe = visit(phone=phone, dark=dark), Axe()
    suffix = f"{'-phone' if phone else ''}{'-dark' if dark else ''}"

    def check(state: str) -> None:
        found: Any = axe.run(page).response["violations"]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], state
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{state} is wider than the window"

    check("empty")
    _run(page, QUESTIONS["fire"][1])
    page.get_by_role("status").filter(has_text="rows in").wait_for()
    check("answer")
    _shot(page, f"answer{suffix}")
    _run(page, "SELECT * {\n  ?a ?b }")
    page.get_by_role("alert").filter(has_text="line 2").wait_for()
    check("error")
