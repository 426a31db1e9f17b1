"""The two sides of a job: lines of progress, summaries of stages, discovery of use cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from jobs import usecases
from jobs.cli.summary import Summary, show
from jobs.stages import parse_progress, progress_line


@given(st.floats(0, 1), st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1))
def test_progress_survives_the_log(fraction: float, message: str) -> None:
    parsed = parse_progress(progress_line(fraction, message))
    assert parsed is not None
    assert abs(parsed[0] - fraction) < 1e-3
    assert parsed[1] == message


@pytest.mark.parametrize("line", ["", "::progress", "::progress x y", "progress 0.5 a"])
def test_other_lines_are_no_progress(line: str) -> None:
    assert parse_progress(line) is None


def test_progress_is_found_behind_an_unfinished_line() -> None:
    assert parse_progress("Downloading... DONE::progress 0.250 next") == (0.25, "next")


def test_a_use_case_is_a_module_in_every_folder() -> None:
    root = Path(__file__).resolve().parents[2]
    for name in usecases.names():
        definition = usecases.load(name)
        assert definition.name == name
        assert usecases.script(name).is_relative_to(root / "jobs")
        for folder in usecases.FOLDERS:
            assert (root / folder / f"{name}.py").exists() or (root / folder / name / "__init__.py").exists()


RESULTS = {
    "features": {"cube": "c", "simulated": True, "feature_groups": {"a": 1, "b": 2}, "seconds": 1.0},
    "training": {
        "cube": "c",
        "feature_view": {"name": "v", "version": 1},
        "model": {
            "name": "m",
            "version": 3,
            "metrics": {"overall": {"rmse": 0.125, "r2": 0.5}},
            "baselines": {"persistence": {"overall": {"rmse": 0.25}}},
        },
        "figures": ["f.png"],
        "seconds": 2.0,
    },
    "inference": {
        "cube": "c",
        "deployment": {"name": "d", "state": "Running"},
        "example": {
            "inputs": {"x": 1.0},
            "prediction": {"y": 2.0},
            "explanation": {"method": "ig", "attributions": {"y": {"x": 0.5}}, "completeness_error": {"y": 1e-6}},
        },
        "findings": {"index": {"rmse": 4.0}},
        "figures": ["g.png"],
        "feature_groups": {"b": 3, "p": 4},
        "seconds": 3.0,
    },
}


def test_the_summary_has_the_documented_keys() -> None:
    document = Summary.of("drought", "sample", RESULTS).document()
    assert document["simulated"] is True
    assert document["feature_groups"] == ["a", "b", "p"]
    assert document["figures"] == ["f.png", "g.png"]
    assert document["seconds"] == {"features": 1.0, "training": 2.0, "inference": 3.0}
    assert document["findings"] == {"index": {"rmse": 4.0}}
    assert {"use_case", "source", "feature_view", "model", "deployment", "example"} <= set(document)


@pytest.mark.parametrize("stages", [["features"], ["training"], ["inference"], list(RESULTS)])
def test_whatever_ran_is_shown(stages: list[str]) -> None:
    console = Console(record=True, width=200)
    show(Summary.of("drought", "sample", {stage: RESULTS[stage] for stage in stages}), console)
    text = console.export_text()
    assert "drought" in text
    assert ("0.125" in text and "0.25" in text) == ("training" in stages)
    assert ("completeness error" in text and "index rmse: 4.0" in text) == ("inference" in stages)
    assert ("simulated" in text) == ("features" in stages)
