"""The worked questions find what a hand-made simulated world holds, from Python and from the command line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from deepcube.semantics import CubeSource, SemanticCube, VectorStore
from deepcube.semantics.loading import feature_triples, frame_features, load_file
from deepcube.semantics.questions import QUESTIONS
from jobs.cli import command
from tests.semantics.worked import COLUMN, EXPECTED, write_world


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


def test_from_the_command_line(world: tuple[Path, Path], tmp_path: Path) -> None:
    runner, question = CliRunner(), tmp_path / "fire.rq"
    question.write_text(runner.invoke(command, ["semantics", "questions", "fire"]).output)
    store = tmp_path / "store"
    loaded = runner.invoke(command, ["semantics", "load", str(world[1]), "--store", str(store)])
    assert loaded.exit_code == 0, loaded.output
    options = ["query", "-f", str(question), "--cube", str(world[0]), "--store", str(store)]
    result = runner.invoke(command, [*options, "--format", "csv"])
    assert result.exit_code == 0, result.output
    assert {row["name"] for row in csv.DictReader(io.StringIO(result.output))} == EXPECTED["fire"]
    plan = runner.invoke(command, [*options, "--explain"])
    assert "interpretation: fwi > 50" in plan.output
    assert "chunks" in plan.output


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
