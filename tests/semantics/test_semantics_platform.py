"""Feature groups and predictions of the feature store, through the real client, joined with linked data and a cube."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pyoxigraph as ox
import pytest
from click.testing import CliRunner

from deepcube.embedded import Running
from deepcube.semantics.questions import QUESTIONS
from deepcube.semantics.vocabulary import PREFIXES
from jobs.cli import command
from tests.semantics.worked import EXPECTED, write_world

pytestmark = pytest.mark.e2e

BASE = "https://w3id.org/deepcube/features/"


@pytest.fixture(scope="module")
def predictions(project: Any) -> str:
    """Store simulated predictions of trend changes; return how the command names their feature group."""
    frame = pd.DataFrame(
        {
            "scatterer": ["p1", "p2", "p3"],
            "longitude": [40.12, 40.13, 40.12],
            "latitude": [0.1005, 0.1, 0.3],
            "trend_change": [True, False, True],
            "change_mm_per_year": [-5.5, 0.0, 7.25],
        }
    )
    group = project.get_feature_store().get_or_create_feature_group(
        name="trend_predictions", version=1, primary_key=["scatterer"], description="predicted changes (simulated)"
    )
    group.insert(frame, write_options={"wait_for_job": True})
    return "trend_predictions:1"


def test_predictions_answer_a_worked_question(predictions: str, embedded: Running, tmp_path: Path) -> None:
    cube, features = write_world(tmp_path)
    runner, store, home = CliRunner(), str(tmp_path / "store"), ["--home", str(embedded.home.root)]
    load = ["semantics", "load-features", predictions, "--store", store, "--type", "Scatterer", "--key", "scatterer"]
    loaded = runner.invoke(command, [*load, *home])
    assert loaded.exit_code == 0, loaded.output
    assert f"{predictions}: " in loaded.output
    assert runner.invoke(command, ["semantics", "load", str(features), "--store", store]).exit_code == 0
    options = ["--cube", str(cube), "--store", store, "--format", "csv"]
    result = runner.invoke(command, ["query", QUESTIONS["railway"][1], *options])
    assert result.exit_code == 0, result.output
    rows = {row["scatterer"]: row for row in csv.DictReader(io.StringIO(result.output))}
    near = next(iri for iri in rows if iri.endswith("/p1"))
    assert set(rows) == EXPECTED["railway"] | {near}
    assert float(rows[near]["change"]) == -5.5
    assert float(rows[near]["distance"]) == pytest.approx(0.0005 * 111_195, rel=1e-3)  # north of the railway


def test_wrong_names_are_told(predictions: str, embedded: Running, tmp_path: Path) -> None:
    runner, home = CliRunner(), ["--home", str(embedded.home.root), "--store", str(tmp_path / "store")]
    wanted = {"trend_predictions": "expected NAME:VERSION", "none:1": "no feature group none of version 1"}
    for name, said in wanted.items():
        wrong = runner.invoke(command, ["semantics", "load-features", name, *home])
        assert wrong.exit_code == 2 and said in " ".join(wrong.output.split()), wrong.output
    wrong = runner.invoke(command, ["semantics", "load-features", predictions, "--key", "id", *home])
    assert wrong.exit_code == 2 and "it has scatterer" in " ".join(wrong.output.split()), wrong.output


def test_catalogue_has_the_feature_group(predictions: str, embedded: Running, tmp_path: Path) -> None:
    cube, _ = write_world(tmp_path)
    options = ["--cube", str(cube), "--feature-group", predictions, "--home", str(embedded.home.root)]
    result = CliRunner().invoke(command, ["semantics", "catalogue", "--format", "nt", *options])
    assert result.exit_code == 0, result.output
    text = "".join(line + "\n" for line in result.output.splitlines() if line.endswith(" ."))
    store = ox.Store()
    store.load(text.encode(), ox.RdfFormat.N_TRIPLES)
    found: Any = store.query(
        """SELECT ?column ?type { ?c a dcat:Catalog ; dcat:dataset ?d . ?d dcterms:title "trend_predictions" ;
        dcat:theme [ rdfs:label ?column ; dcterms:type ?type ] }""",
        prefixes=PREFIXES,
    )
    types = {row["column"].value: row["type"].value for row in found}
    assert types == {
        "scatterer": "string",
        "longitude": "double",
        "latitude": "double",
        "trend_change": "boolean",
        "change_mm_per_year": "double",
    }
    assert bool(store.query('ASK { ?c dcat:dataset ?d . ?d dcterms:title "world" }', prefixes=PREFIXES))
