"""Experiments in the console: what an MLflow database holds, and the geometry of its charts."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepcube.embedded.console.experiments import Run, read_studies, shared_metrics, varied_params
from deepcube.embedded.console.trialcharts import learning_curves, parallel_coordinates

NAMES = ("dense <b>", "lstm")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a study of two trials as training pipelines do."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.create_experiment("wildfire", artifact_location=str(folder / "artifacts"))
    study = client.create_run(experiment, run_name="study", tags={"cube": "attica"})
    for number, name in enumerate(NAMES):
        tags = {"mlflow.parentRunId": study.info.run_id}
        run = client.create_run(experiment, run_name=name, tags=tags).info.run_id
        client.log_param(run, "family", name)
        client.log_param(run, "units", 16)
        client.log_metric(run, "auroc", 0.5 + number / 4)
        for step in range(3):
            client.log_metric(run, "validation_loss", 1.0 / (step + 1 + number), step=step)
        client.log_metric(run, "broken", float("nan"))
        client.set_terminated(run)
    return folder / "mlflow.db"


def test_studies_and_trials_are_read_as_they_were_noted(database: Path) -> None:
    (listed,) = read_studies(database)
    assert (listed.name, listed.facts, len(listed.trials)) == ("study", {"cube": "attica"}, 2)
    assert listed.trials[0].metrics == {}, "a list reads no metrics"
    (study,) = read_studies(database, listed.id)
    assert [trial.name for trial in study.trials] == list(NAMES)
    assert study.trials[1].params == {"family": "lstm", "units": "16"}
    assert study.trials[1].metrics == pytest.approx({"auroc": 0.75, "validation_loss": 0.25})
    assert study.trials[0].history["validation_loss"] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert study.trials[0].seconds is not None
    assert study.trials[0].status == "FINISHED"
    assert shared_metrics(study.trials) == ["validation_loss", "auroc"]
    assert varied_params(study.trials) == ["family"]


def test_what_is_no_database_holds_no_studies(tmp_path: Path) -> None:
    assert read_studies(tmp_path / "mlflow.db") == []
    (tmp_path / "mlflow.db").write_text("this is no database")
    assert read_studies(tmp_path / "mlflow.db") == []


def test_charts_put_better_trials_lower() -> None:
    chart = learning_curves([("a", [(0, 4.0), (10, 2.0)]), ("b", [(0, 4.0)]), ("c", [(0, 3.0), (10, 1.0)])], "loss")
    assert chart is not None
    assert [line.style for line in chart.lines] == ["run0", "run2"]
    ends = [float(line.path.rpartition(" ")[2]) for line in chart.lines]
    assert ends[1] > ends[0], "down on the page is a lower value"
    assert "lowest at the end is 1 of c" in chart.summary
    assert learning_curves([("a", [(0, 1.0)])], "loss") is None


def test_parallel_coordinates_have_an_axis_for_each_parameter() -> None:
    params = [{"units": "16", "family": "a"}, {"units": "64", "family": "b"}, {"family": "b"}]
    chart = parallel_coordinates(params, ["units", "family"], [0.3, 0.1, None], "loss")
    assert chart is not None
    assert len(chart.axes) == 3
    assert [line.style for line in chart.lines] == ["run7", "run0"]
    assert [line.path.count(" ") for line in chart.lines] == [3, 3]
    assert "lowest loss is 0.1, of units 64, family b" in chart.summary
    assert parallel_coordinates(params, [], [0.3, 0.1, 0.2], "loss") is None


def test_runs_without_an_end_took_no_known_time() -> None:
    assert Run("1", "x", "RUNNING", 5, None).seconds is None
