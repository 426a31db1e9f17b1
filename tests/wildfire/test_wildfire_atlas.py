"""The story of the atlas: danger on the map, why, where it comes from, what is near it, shared and opened again.

Predictions are those that the pipelines wrote through the client to an embedded server; the page is the one that
``deepcube open`` serves, in headless Chromium. Pictures go to ``DEEPCUBE_SCREENSHOTS``.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from pages import wait_until

import training_pipelines.wildfire as training
from deepcube.cubes import cell_centre
from deepcube.embedded.console.session import one_time_url
from features.wildfire import cases
from inference_pipelines import wildfire as inference
from jobs.runner import JobRunner
from training_pipelines.wildfire import modes

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CUBE = "simulated_attica"
LAYER = f"#in=wildfire_danger_{CUBE}&layer=fire_probability"
PATIENCE_MS = 120_000
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 800}}


@pytest.fixture(scope="module")
def danger(
    embedded: Any, project: Any, fire_cube: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pd.DataFrame]:
    """Write features by a job, train one small model, forecast, and deploy; return the forecasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPCUBE_HOME", str(tmp_path_factory.mktemp("deepcube")))
        patch.setattr(training, "SEEDS", (0, 1))
        patch.setattr(training, "HPARAMS", {**training.HPARAMS, "trees": 30})
        patch.setattr(modes, "families", lambda layout: ["boosting"])
        patch.setattr(cases, "HELD_OUT", 600)
        runner = JobRunner(project, "wildfire")
        runner.register(("features",))
        runner.run("features", str(fire_cube), lambda line, fraction: None)
        training.run(project, CUBE)
        inference.run(project, CUBE)
        yield project.get_feature_store().get_feature_group("wildfire_danger", 1).read()


@pytest.fixture(scope="module")
def atlas(
    embedded: Any, danger: pd.DataFrame, fire_cube: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Serve cube, predictions and hospitals by the commands that a user gives; return the address and the key."""
    folder = tmp_path_factory.mktemp("linked")
    longitude, latitude = worst(danger)[1:3]
    places = {"Near": [longitude + 0.02, latitude], "Oslo": [10.7, 59.9]}
    document = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": {"name": name}, "geometry": {"type": "Point", "coordinates": at}}
            for name, at in places.items()
        ],
    }
    (folder / "hospitals.geojson").write_text(json.dumps(document))
    home, store = str(embedded.home.root), str(folder / "store")
    deepcube(["semantics", "load", str(folder / "hospitals.geojson"), "--type", "Hospital", "--store", store])
    deepcube(["semantics", "load-features", "wildfire_danger:1", "--type", "Danger", "--store", store, "--home", home])
    command = [sys.executable, "-c", "from jobs.cli import main; main()", "open", str(fire_cube)]
    command += ["--store", store, "--home", home, "--port", "0", "--print"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = next(line.split()[1] for line in process.stdout if line.startswith("atlas:"))
    yield url, (Path(home) / "atlas.key").read_text().strip()
    process.terminate()
    process.wait()


def deepcube(arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-c", "from jobs.cli import main; main()", *arguments], check=True)


def worst(danger: pd.DataFrame) -> tuple[pd.Timestamp, float, float, float]:
    """Return the day, place and probability of the greatest danger on a whole map that eight days lie before."""
    stamps = pd.to_datetime(danger["time"], utc=True).dt.tz_localize(None)
    days = sorted(stamps.unique())
    rows = danger.assign(time=stamps)
    rows = rows[rows["time"].isin(days[7:])]
    whole = rows.groupby("time")["cell_id"].transform("size")
    row = rows[whole > 0.9 * whole.max()].sort_values("fire_probability").iloc[-1]
    longitude, latitude = (float(value[0]) for value in cell_centre(rows.loc[[row.name], "cell_id"].to_numpy()))
    return pd.Timestamp(row["time"]), longitude, latitude, float(row["fire_probability"])


def greatest_class(danger: pd.DataFrame) -> str:
    """Return the class of the greatest probability."""
    return str(danger.sort_values("fire_probability")["danger_class"].iloc[-1])


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_from_danger_to_its_reasons_and_what_is_near(
    atlas: tuple[str, str], embedded: Any, danger: pd.DataFrame, browser: Browser, size: str
) -> None:
    day, longitude, latitude, probability = worst(danger)
    days = sorted(pd.to_datetime(danger["time"], utc=True).dt.tz_localize(None).unique())
    before = days[days.index(day) - 7]
    walk = Walk(browser, atlas, size, one_time_url(embedded.home))
    page = walk.open(f"{LAYER}&time={before.date()}")
    assert "Simulated data" in page.locator(".legend").inner_text()
    for _ in range(7):
        page.get_by_label("Next step").click()
    walk.until(f"document.querySelector('#timebar output').textContent === '{day.date()}'")
    walk.shot("danger")

    walk.click(longitude, latitude)
    reasons = page.locator("[aria-label='Why this prediction']")
    reasons.locator("table.attributions tr").first.wait_for()
    assert f"{probability:.4g}"[:5] in reasons.locator("[data-reason=value]").inner_text()
    assert "came true" in reasons.locator("[data-reason=calibration]").inner_text()
    assert reasons.locator("table.attributions tr").count() >= 3
    assert reasons.locator("[data-reason=similar] li").count() == 3
    lineage = reasons.locator("ol.lineage").last
    for part in ("Model: ", "Training dataset: ", "Feature view: ", "Feature group: ", "Source: ", "Chunk: "):
        assert part in lineage.inner_text()
    walk.shot("why")
    with page.context.expect_page() as opened:
        lineage.get_by_role("link", name="wildfire_features").click()
    opened.value.get_by_role("heading", name="wildfire_features").first.wait_for()
    opened.value.close()

    page.get_by_role("link", name="Query").click()
    page.get_by_label("Example").select_option(label="Hospitals within 10 km of extreme danger")
    query = page.get_by_label("Query in SPARQL")
    query.fill(query.input_value().replace('"extreme"', f'"{greatest_class(danger)}"'))  # a small cube has no extreme
    page.get_by_role("button", name="Ask").click()
    page.locator("table.answer").wait_for()
    assert page.locator("table.answer tbody tr").count() == 1
    assert "Near" in page.locator("table.answer").inner_text()
    walk.until("window.atlas.map.answer.getSource().getFeatures().length === 1")
    walk.until("location.hash.includes('query=')")
    page.wait_for_timeout(500)
    walk.shot("hospitals")

    link = page.evaluate("location.hash")
    second = Walk(browser, atlas, size)
    again = second.open(link)
    second.until("window.atlas.map.answer.getSource().getFeatures().length === 1")
    second.until(f"document.querySelector('#timebar output').textContent === '{day.date()}'")
    again.locator("[aria-label='Why this prediction'] table.attributions tr").first.wait_for(state="attached")
    assert walk.problems == second.problems == []
    walk.close()
    second.close()


class Walk:
    """A browser window of one person."""

    def __init__(self, browser: Browser, atlas: tuple[str, str], size: str, entry: str | None = None) -> None:
        self.url, self.size = atlas[0], size
        context = browser.new_context(viewport=SIZES[size], has_touch=size == "phone", ignore_https_errors=True)
        context.set_default_timeout(PATIENCE_MS)
        self.page: Page = context.new_page()
        if entry is not None:
            self.page.goto(entry)
        assert context.request.post(f"{self.url}api/session", data={"key": atlas[1]}).ok
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))

    def open(self, hash: str) -> Page:
        """Open the atlas and wait until a layer is drawn."""
        self.page.goto(f"{self.url}{hash}")
        self.until("window.atlas && window.atlas.measured.ready !== null")
        return self.page

    def until(self, expression: str) -> None:
        """Wait until something is true in the page."""
        wait_until(self.page, expression, PATIENCE_MS)

    def click(self, longitude: float, latitude: float) -> None:
        """Click a place of the map."""
        x, y = math.radians(longitude), math.asinh(math.tan(math.radians(latitude)))
        place = [6378137 * x, 6378137 * y]
        left, top = self.page.evaluate("(place) => window.atlas.map.map.getPixelFromCoordinate(place)", place)
        box = self.page.locator("#map").bounding_box()
        assert box is not None
        self.page.mouse.click(box["x"] + left, box["y"] + top)

    def shot(self, name: str) -> None:
        """Keep a picture of the page."""
        folder = os.environ.get("DEEPCUBE_SCREENSHOTS")
        if folder is not None:
            self.page.screenshot(path=Path(folder) / f"atlas-{name}-{self.size}.png")

    def close(self) -> None:
        """Close the window."""
        self.page.context.close()
