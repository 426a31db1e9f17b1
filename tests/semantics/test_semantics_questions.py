"""The worked questions find what a hand-made simulated world holds, from Python and from the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from deepcube.semantics import CubeSource, SemanticCube, VectorStore
from deepcube.semantics.feature_triples import feature_triples, frame_features
from deepcube.semantics.loading import load_file
from deepcube.semantics.questions import QUESTIONS
from jobs.cli import command
from tests.semantics.worked import COLUMN, EXPECTED, write_world

PLANNED = {
    "fire": "interpretation: fwi > 50",
    "drought": "FILTER((?t = ",
    "volcano": "interpretation: unrest >= 0.5",
    "railway": "feature#trend_change",
}
"""What the plan of each question has to say."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_question(world: tuple[Path, Path], name: str) -> None:
    vector = VectorStore()
    vector.add(load_file(world[1]))
    answer = SemanticCube([CubeSource(world[0])], vector).query(QUESTIONS[name][1])
    column = answer.variables.index(COLUMN[name])
    rows = list(answer.rows)
    assert {row[column].value for row in rows if row[column]} == EXPECTED[name]
    assert len(rows) == len(EXPECTED[name])


@pytest.fixture(scope="module")
def store(world: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Linked data loaded by the command."""
    folder = tmp_path_factory.mktemp("linked") / "store"
    loaded = CliRunner().invoke(command, ["semantics", "load", str(world[1]), "--store", str(folder)])
    assert loaded.exit_code == 0, loaded.output
    return folder


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_from_the_command_line(world: tuple[Path, Path], store: Path, tmp_path: Path, name: str) -> None:
    """As docs/semantics.md shows it: the question into a file, asked, planned, and written out as GeoJSON."""
    runner, question = CliRunner(), tmp_path / f"{name}.rq"
    question.write_text(runner.invoke(command, ["semantics", "questions", name]).output)
    options = ["query", "-f", str(question), "--cube", str(world[0]), "--store", str(store)]
    result = runner.invoke(command, [*options, "--format", "csv"])
    assert result.exit_code == 0, result.output
    found = [row[COLUMN[name]] for row in csv.DictReader(io.StringIO(result.output))]
    assert sorted(found) == sorted(EXPECTED[name])
    table = runner.invoke(command, options)
    assert table.exit_code == 0 and f"{len(found):,} row" in table.output
    plan = runner.invoke(command, [*options, "--explain"])
    assert plan.exit_code == 0 and PLANNED[name] in plan.output
    if name != "drought":  # whose answer has no places
        target = tmp_path / f"{name}.geojson"
        assert runner.invoke(command, [*options, "-o", str(target)]).exit_code == 0
        assert len(json.loads(target.read_text())["features"]) == len(found)


def test_a_mapping_is_printed_over_an_empty_one(tmp_path: Path) -> None:
    """A shell empties ``CUBE.mapping.ttl`` before the command that writes it starts."""
    cube, _ = write_world(tmp_path)
    beside = tmp_path / "world.zarr.mapping.ttl"
    beside.write_text("")
    printed = CliRunner().invoke(command, ["semantics", "map", str(cube)])
    assert printed.exit_code == 0, printed.output
    beside.write_text(printed.output)
    assert {item.name for item in CubeSource(cube).mapping.variables} == {"fwi", "spei3", "unrest"}


def test_questions_are_listed() -> None:
    listed = CliRunner().invoke(command, ["semantics", "questions"])
    assert all(name in listed.output and title in listed.output for name, (title, _) in QUESTIONS.items())
    wrong = CliRunner().invoke(command, ["semantics", "questions", "floods"])
    assert wrong.exit_code == 2 and "there are fire" in wrong.output


def test_feature_groups_join_as_frames(world: tuple[Path, Path]) -> None:
    """Rows read through the Hopsworks client are features like any others."""
    frame = pd.DataFrame({"station": ["a", "b"], "lon": [40.3, 41.9], "lat": [1.68, 0.1], "risk": [0.7, 0.1]})
    vector = VectorStore()
    import pyoxigraph as ox

    triples = feature_triples(frame_features(frame, key="station"), "stations", "Station")
    vector.add(ox.Quad(s, p, o) for s, p, o in triples)
    answer = SemanticCube([CubeSource(world[0])], vector).query(
        """SELECT ?name (COUNT(*) AS ?n) {
          ?o a dcube:ExtremeFireDanger ; sosa:hasFeatureOfInterest ?c . ?c geo:hasGeometry/geo:asWKT ?w .
          ?s a feature:Station ; feature:station ?name ; feature:risk ?risk ; geo:hasGeometry/geo:asWKT ?sw .
          FILTER(?risk > 0.5) FILTER(geof:distance(?w, ?sw, uom:metre) < 20000) } GROUP BY ?name"""
    )
    rows = [[term.value for term in row if term] for row in answer.rows]
    assert rows == [["a", "9"]]
