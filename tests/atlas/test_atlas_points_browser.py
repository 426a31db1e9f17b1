"""Alerts and interferograms on the map in a real browser; pictures go to ``DEEPCUBE_SCREENSHOTS``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import points_platform as platform
import pytest
from conftest import Served
from visitors import Visitor, visitors

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ALERTS = "#in=volcano_events&layer=alert&time=2020-01-07&at=15,37.75,6"
SET = "#in=volcano_predictions_patches&layer=probability_deformation&time=2020-06-01"


@pytest.fixture(scope="module")
def points() -> Iterator[Served]:
    """Serve the points of a platform."""
    with platform.served_points(platform.Deployment()) as running:
        yield running


@pytest.fixture
def visit(browser: Browser, points: Served, screenshots: Path | None) -> Iterator[Callable[..., Visitor]]:
    """Return a function that opens a window on the points."""
    with visitors(browser, points, screenshots) as open_window:
        yield open_window


@pytest.mark.parametrize(("dark", "phone"), [(False, False), (True, True)], ids=["light-desktop", "dark-phone"])
def test_an_alert_is_clicked_and_tells_why(visit: Callable[..., Visitor], dark: bool, phone: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    visitor = visit(dark=dark, phone=phone, bypass_csp=True)
    page = visitor.go(ALERTS)
    assert "Triangles: alerts" in page.locator(".legend").inner_text()
    assert "have no place on the map" in page.locator("[data-note]").first.text_content()
    assert page.evaluate("window.atlas.map.points.layer.getSource().getFeatures().length") == 1
    page.get_by_label("Next step").click()
    visitor.until("document.querySelector('#timebar output').textContent === '2020-02-10'")
    visitor.click()
    reasons = page.locator("[aria-label='Why this prediction']")
    reasons.locator("table.attributions tr").first.wait_for()
    assert "0.8, of 2020-02-10" in reasons.locator("[data-reason=value]").inner_text()
    assert "stored with it" in reasons.inner_text()
    assert "inbox/c.png" in reasons.locator("ol.lineage").last.inner_text()
    visitor.until("document.querySelector('.alert-picture img').naturalWidth === 96")
    reasons.get_by_text("Earlier ones of this place (1)").click()
    assert "a.png" in reasons.locator("[data-reason=others]").inner_text()
    visitor.until("location.hash.includes('place=15.00000%2C37.75000')")
    visitor.shot(f"alert-{'phone' if phone else 'desktop'}")
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found] == []


def test_the_newest_of_every_place_and_its_similar_cases(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.go(SET)
    source = "window.atlas.map.points.layer.getSource().getFeatures()"
    assert page.evaluate(f"{source}.length") == 3
    page.get_by_role("button", name="Select the middle").click()  # the point nearest to it, for those without a pointer
    page.locator("[data-reason=similar] li").first.wait_for()
    assert page.locator("[data-reason=similar] li").count() == 3
    assert "came true" in page.locator("[data-reason=calibration]").inner_text()
    assert "catalogue x.csv" in page.locator("[aria-label='Why this prediction']").inner_text()
    visitor.shot("deformation")
    before = page.locator("#timebar output").inner_text()
    page.locator("[data-reason=similar] button").first.click()
    visitor.until(f"document.querySelector('#timebar output').textContent < '{before}'")
    page.get_by_role("link", name="Space-time block").click()
    page.get_by_role("alert").filter(has_text="no space-time block").wait_for()
    page.get_by_role("link", name="Map", exact=True).click()
    page.get_by_label("Compare with").select_option(label="Alerts")
    visitor.until("window.atlas.other && window.atlas.other.points.layer.getSource().getFeatures().length === 1")


def test_points_are_drawn_in_the_colours_of_their_values(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.go(f"{SET}&at=15,37.75,9&opacity=1")
    colour = (
        "window.atlas.map.points.layer.getSource().getFeatures().map(f => f.getStyle().getImage().getFill().getColor())"
    )
    before = page.evaluate(colour)
    assert len(set(before)) >= 2
    page.locator("#controls select").nth(1).select_option("viridis")
    visitor.until(f"{colour}.join() !== '{','.join(before)}'")
    red, green, blue, _ = visitor.pixel(0.5, 0.5)
    shown = {value.lower() for value in page.evaluate(colour)}
    assert f"#{red:02x}{green:02x}{blue:02x}" in shown
