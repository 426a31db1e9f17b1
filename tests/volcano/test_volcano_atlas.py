"""Interferograms and alerts from their files to the map: written, placed, deployed and explained through the client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pages import wait_until

from deepcube.embedded.console.session import one_time_url
from feature_pipelines import volcano as feature_pipeline
from features import volcano
from inference_pipelines import volcano as inference

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CATALOGUE = 'Volcano Name,Latitude,Longitude\nEtna,37.748,14.999\n"Negra, Sierra",-0.83,-91.17\nTaal,14.002,120.993\n'
NAMES = ("etna", "sierra_negra", "taal", "hidden_place")
PATIENCE_MS = 120_000


def patches(folder: Path, write_phase: Any) -> Path:
    """Write a dozen interferograms of each of some volcanoes, half of them with rings."""
    axis = np.linspace(-1, 1, volcano.PIXELS)
    distance = np.hypot(*np.meshgrid(axis, axis))
    generator = np.random.default_rng(3)
    for place, name in enumerate(NAMES):
        for number in range(12):
            rings = np.exp(1j * (3 + number) * np.exp(-(2 + place) * distance**2)) if number % 2 else 1.0
            noise = generator.normal(0, 0.6, distance.shape)
            phase = np.angle(rings * np.exp(1j * noise)).astype(np.float32)
            label = folder / ("deformation" if number % 2 else "none")
            label.mkdir(parents=True, exist_ok=True)
            frame = f"{place:03d}A_07885_131313"
            write_phase(label / f"{frame}_{name}_2019{number + 1:02d}01_2019{number + 1:02d}13.png", phase)
    return folder


@pytest.fixture(scope="module")
def watched(
    embedded: Any, project: Any, artifact: Path, write_phase: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Write features, register the untrained model, predict, deploy, raise alerts, and read a catalogue."""
    folder = tmp_path_factory.mktemp("volcano")
    source = patches(folder / "watched", write_phase)
    feature_pipeline.run(project, str(source))
    view = volcano.feature_view(project.get_feature_store(), "watched")
    view.create_training_data(description="all", data_format="parquet")
    registry = project.get_model_registry().python
    model = registry.create_model(
        name="volcano_watched", metrics={"auroc": 0.5}, feature_view=view, training_dataset_version=1
    )
    model.save(str(artifact))
    predicted = inference.run(project, "watched")
    settings = folder / "settings.json"
    settings.write_text('{"threshold": 0.000001}')
    datasets = project.get_dataset_api()
    for part in ("Resources/volcano", "Resources/volcano/alerts"):
        if not datasets.exists(part):
            datasets.mkdir(part)
    datasets.upload(str(settings), "Resources/volcano/alerts", overwrite=True)
    raised = inference.alert(project, str(source / "deformation"))
    (folder / "mine.csv").write_text(CATALOGUE)
    placed = inference.places(project, str(folder / "mine.csv"))
    yield {"predicted": predicted, "raised": raised, "placed": placed}


@pytest.fixture(scope="module")
def atlas(embedded: Any, watched: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Serve by the command that a user gives; return the address and the key."""
    command = [sys.executable, "-c", "from jobs.cli import main; main()", "open"]
    command += ["--home", str(embedded.home.root), "--port", "0", "--print"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = next(line.split()[1] for line in process.stdout if line.startswith("atlas:"))
    yield url, (embedded.home.root / "atlas.key").read_text().strip()
    process.terminate()
    process.wait()


@pytest.mark.parametrize("size", [(1280, 800), (390, 800)], ids=["desktop", "phone"])
def test_alerts_and_predictions_are_seen_and_explained(
    atlas: tuple[str, str], embedded: Any, watched: dict[str, Any], browser: Browser, size: tuple[int, int]
) -> None:
    assert (watched["raised"]["scored"], len(watched["raised"]["alerts"])) == (24, 24)
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, ignore_https_errors=True)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(one_time_url(embedded.home))
    assert context.request.post(f"{atlas[0]}api/session", data={"key": atlas[1]}).ok

    def until(expression: str) -> None:
        wait_until(page, expression, PATIENCE_MS)

    def shot(name: str) -> None:
        folder = os.environ.get("DEEPCUBE_SCREENSHOTS")
        if folder is not None:
            page.screenshot(path=Path(folder) / f"volcano-{name}-{size[0]}.png")

    marks = "window.atlas.map.points.layer.getSource().getFeatures().length"
    page.goto(f"{atlas[0]}#in=volcano_events&layer=alert&place=14.999,37.748&at=15,37.7,5")
    until(f"window.atlas && window.atlas.measured.ready !== null && {marks} === 3")  # one volcano is in no catalogue
    reasons = page.locator("[aria-label='Why this prediction']")
    reasons.locator("table.attributions tr").first.wait_for(state="attached")
    until("document.querySelector('.alert-picture img').naturalWidth > 100")
    assert "catalogue mine.csv" in reasons.inner_text()
    assert "volcano_watched 1" in reasons.locator("ol.lineage").last.inner_text()
    assert "have no place on the map" in page.locator("[data-note]").first.text_content()
    shot("alert")

    page.goto("about:blank")
    page.goto(
        f"{atlas[0]}#in=volcano_predictions_watched&layer=probability_deformation&place=14.999,37.748&at=15,37.7,5"
    )
    until(f"window.atlas && window.atlas.measured.ready !== null && {marks} === 3")
    reasons.locator("table.attributions tr").first.wait_for(state="attached")
    assert reasons.locator("table.attributions tr").count() >= 3
    assert "completeness error" in reasons.inner_text()
    assert "came true" in reasons.locator("[data-reason=calibration]").inner_text()
    assert reasons.locator("[data-reason=similar] li").count() == 3
    for part in ("Training dataset", "Feature view", "Feature group"):
        assert part in reasons.locator("ol.lineage").last.inner_text()
    shot("deformation")

    page.get_by_role("link", name="Alerts", exact=True).click()
    page.get_by_role("heading", name="Volcano alerts: deformation in interferograms").wait_for()
    assert page.get_by_role("article").count() == 24
    shot("console-alerts")
    page.get_by_role("link", name="Alerts of volcano on the map").click()
    until("window.atlas && window.atlas.measured && window.atlas.measured.ready !== null")
    assert problems == []
    context.close()
