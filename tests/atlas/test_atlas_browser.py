"""The page in a real browser, at the size of a desktop and of a phone; pictures go to ``DEEPCUBE_SCREENSHOTS``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import KEY, Served
from visitors import Visitor, visitors

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def visit(browser: Browser, served: Served, screenshots: Path | None) -> Iterator[Callable[..., Visitor]]:
    """Return a function that opens a window on the cubes."""
    with visitors(browser, served, screenshots) as open_window:
        yield open_window


SMALL = "#in=small&layer=ndvi&time=2020-03-12"


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_from_map_to_series(visit: Callable[..., Visitor], phone: bool) -> None:
    visitor = visit(phone=phone)
    page = visitor.go(SMALL)
    name = "phone" if phone else "desktop"
    assert page.locator(".legend").inner_text().startswith("vegetation index")
    assert "Simulated data" in page.locator(".legend").inner_text()
    before = visitor.pixel(0.5, 0.5)
    page.get_by_label("Next step").click()
    visitor.until("document.querySelector('#timebar output').textContent === '2020-03-31'")
    visitor.until("location.hash.includes('time=2020-03-31')")
    visitor.shot(f"map-{name}")
    visitor.click(0.5, 0.55)
    page.locator("#details .chart").wait_for()
    label = page.locator("#details .chart").get_attribute("aria-label") or ""
    assert "vegetation index from 2018-01-05" in label
    assert "gaps" in label
    page.get_by_text("Show other variables").click()
    page.get_by_label("rain", exact=True).check()
    page.locator("#details .chart").nth(1).wait_for()
    assert page.locator("#details .band").count() == 2
    visitor.shot(f"place-{name}")
    assert before[3] == 255


def test_a_link_restores_everything(visit: Callable[..., Visitor]) -> None:
    first = visit()
    page = first.go(SMALL)
    page.locator("#controls").get_by_label("Colours").select_option("inferno")
    page.locator("#controls").get_by_label("Compare with").select_option(label="land cover")
    page.locator(".legend").nth(1).wait_for()
    first.click(0.3, 0.5)
    page.locator("#details .chart").wait_for()
    page.get_by_label("Use dark colours").click()
    first.until("location.hash.includes('theme=dark') && location.hash.includes('place=')")
    first.until("window.atlas.other && document.getElementById('state').textContent === ''")
    page.wait_for_timeout(500)
    first.shot("swipe-desktop")
    shared = page.evaluate("location.hash")
    second = visit()
    other = second.go(shared)
    other.locator("#details .chart").wait_for()
    other.locator(".legend").nth(1).wait_for()
    assert other.locator("#controls").get_by_label("Colours").input_value() == "inferno"
    assert other.evaluate("document.documentElement.dataset.theme") == "dark"
    second.until(f"location.hash === {shared!r}")
    assert other.locator("#details h2").inner_text() == page.locator("#details h2").inner_text()


def test_playing_moves_on_and_stops(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.go(SMALL)
    page.get_by_role("button", name="Play").click()
    visitor.until("document.querySelector('#timebar output').textContent > '2020-05-01'")
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(600)
    now = page.locator("#timebar output").inner_text()
    page.wait_for_timeout(900)
    assert page.locator("#timebar output").inner_text() == now


def test_the_block_is_cut_and_turned(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.go(SMALL)
    page.get_by_role("link", name="Space-time block").click()
    visitor.until("document.querySelectorAll('#block img').length === 6")
    visitor.until(
        "[...document.querySelectorAll('#block img')].every((image) => image.complete && image.naturalWidth > 0)"
    )
    visitor.shot("block-desktop")
    before = page.locator("#block .face-front").get_attribute("src")
    page.get_by_label("Time of the front").fill("500")
    page.get_by_label("Time of the front").dispatch_event("change")
    page.locator("#block .scene").press("ArrowRight")
    assert page.locator("#block .face-front").get_attribute("src") != before
    visitor.until("location.hash.includes('cut=0.5%2C') && location.hash.includes('view=block')")
    link = page.evaluate("location.hash")
    again = visit()
    other = again.go(link)
    again.until("document.querySelectorAll('#block img').length === 6")
    assert other.get_by_label("Time of the front").input_value() == "500"
    assert other.locator("#block .box").get_attribute("style") == page.locator("#block .box").get_attribute("style")


def test_what_is_seen_is_saved(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.go(SMALL)
    page.get_by_text("Save what is seen").click()
    saved = {}
    for name in ("PNG", "CSV", "GeoJSON", "Page"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).click()
        saved[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[name])
    assert saved["PNG"].read_bytes()[:4] == b"\x89PNG"
    assert saved["CSV"].read_text().startswith("longitude,latitude,time,ndvi")
    assert '"FeatureCollection"' in saved["GeoJSON"].read_text()
    text = saved["Page"].read_text()
    assert "<script" not in text
    assert "SIMULATED DATA" in text
    alone = visitor.page.context.new_page()
    asked: list[str] = []
    alone.on("request", lambda request: asked.append(request.url) if request.url.startswith("http") else None)
    alone.goto(saved["Page"].as_uri())
    assert alone.locator("figure img").count() >= 5
    assert alone.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    assert asked == []


def test_names_from_data_are_text(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    for layer in ("classes", "quantity"):
        page = visitor.go(f"#in=hostile&layer={layer}")
        assert "<script>" in page.locator(".legend").inner_text()
        visitor.click()
        page.locator("#details .chart").wait_for()
        page.get_by_text("About these data").click()
        assert "onerror" in page.locator("#controls").inner_text()
        assert page.locator("main img, main script").count() == 0
    visitor.shot("hostile")


def test_one_signs_in_with_the_key(visit: Callable[..., Visitor], served: Served) -> None:
    visitor = visit(signed_in=False)
    page = visitor.page
    page.goto(f"{served.url}/{SMALL}")
    page.get_by_label("Key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("This is not the key").wait_for()
    page.get_by_label("Key").fill(KEY)
    page.keyboard.press("Enter")
    visitor.until("window.atlas.measured.ready !== null")
    assert page.locator(".legend").inner_text().startswith("vegetation index")
    assert page.evaluate("document.cookie") == ""


@pytest.mark.parametrize(("dark", "phone"), [(False, False), (True, True)], ids=["light-desktop", "dark-phone"])
def test_axe_finds_no_serious_fault(visit: Callable[..., Visitor], dark: bool, phone: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    visitor = visit(phone=phone, dark=dark, bypass_csp=True)
    page = visitor.go(SMALL)
    visitor.click(0.5, 0.6)
    page.locator("#details .chart").wait_for()
    if phone:
        page.get_by_role("button", name="Layers").click()
    visitor.shot(f"{'dark' if dark else 'light'}-{'phone' if phone else 'desktop'}")
    found = Axe().run(page).response["violations"]
    serious = [
        (v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")
    ]
    assert serious == []
