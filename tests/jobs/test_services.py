"""Services, further stages of a use case, and `deepcube score`."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from jobs import usecases
from jobs.cli.errors import PlatformError
from jobs.cli.score import score
from jobs.cli.summary import Summary, show
from jobs.deploy import Deployer
from jobs.stages import STAGES, Service, UseCase

USE_CASE = UseCase(
    name="volcano",
    title="t",
    sources={"first": "a", "second": "b"},
    services={"alert": Service(title="raise alerts", source="Resources/inbox")},
)


def test_services_come_after_the_stages_of_every_use_case() -> None:
    assert USE_CASE.stages == (*STAGES, "alert")
    assert USE_CASE.default_source("features") == "first"
    assert USE_CASE.default_source("alert") == "Resources/inbox"


def test_a_service_is_a_function_of_the_inference_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Any, str]] = []

    def alert(project: Any, source: str, *, progress: Any) -> dict[str, Any]:
        told.append((project, source))
        progress(0.5, "half")
        return {"scored": 3}

    monkeypatch.setattr("inference_pipelines.volcano.alert", alert)
    assert USE_CASE.run("alert", "project", "Resources/inbox") == {"scored": 3}
    assert told == [("project", "Resources/inbox")]


def test_a_schedule_is_of_a_stage_that_there_is() -> None:
    for name in usecases.names():
        definition = usecases.load(name)
        assert set(definition.schedule) <= set(definition.stages)
        assert definition.sources


def test_a_deployment_has_a_job_for_every_stage_and_service() -> None:
    project: Any = SimpleNamespace(name="p", get_dataset_api=lambda: None, get_environment_api=lambda: None)
    package: Any = SimpleNamespace(file_name="w", requirements_name="r")
    steps = Deployer(project, package, "deepcube").steps(["volcano"])
    named = {step.name for step in steps if step.kind == "job"}
    assert named == {f"volcano_{stage}" for stage in usecases.load("volcano").stages}
    assert any(step.kind == "schedule" and step.name.startswith("volcano_alert ") for step in steps)


def test_the_summary_tells_what_a_service_found() -> None:
    found = {"cube": "inbox", "simulated": False, "scored": 3, "figures": ["a.png"], "seconds": 1.0}
    summary = Summary.of("volcano", "folder", {"alert": found | {"model": {"name": "m", "version": 2}}})
    console = Console(record=True, width=100, file=io.StringIO())
    show(summary, console)
    assert "m version 2" in console.export_text()
    assert summary.services["alert"]["scored"] == 3
    assert summary.figures == ["a.png"]


def test_what_scores_no_folders_says_which_do(tmp_path: Path) -> None:
    result = CliRunner().invoke(score, ["drought", str(tmp_path)])
    assert isinstance(result.exception, PlatformError)
    assert "volcano" in str(result.exception)


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have the volcano pipeline answer without a platform."""
    answer: dict[str, Any] = {"model": {"name": "m", "version": 2}, "scores": [], "refused": []}
    monkeypatch.setattr(sys.modules["jobs.cli.score"], "connect", lambda home, named: SimpleNamespace(project=None))

    def answered(project: Any, folder: Path, model: str | None, progress: Any) -> dict[str, Any]:
        print("Downloading model artifact")  # as the client does
        return answer

    monkeypatch.setattr("inference_pipelines.volcano.score", answered)
    return answer


def test_scores_are_one_json_object(scorer: Any, tmp_path: Path) -> None:
    scorer["scores"].append({"file": "a.png", "probability": 0.25})
    scorer["refused"].append({"file": "b.png", "reason": "it is cut off"})
    result = CliRunner().invoke(score, ["volcano", str(tmp_path), "--json"])
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["scores"] == [{"file": "a.png", "probability": 0.25}]
    assert (document["use_case"], document["folder"]) == ("volcano", str(tmp_path))
    shown = CliRunner().invoke(score, ["volcano", str(tmp_path)]).stdout
    assert "0.250" in shown and "it is cut off" in shown


def test_a_folder_of_which_nothing_can_be_scored_is_a_failure(scorer: Any, tmp_path: Path) -> None:
    assert CliRunner().invoke(score, ["volcano", str(tmp_path), "--json"]).exit_code == 1
