"""MLflow in a local folder."""

from pathlib import Path

import pytest
from maggy.experiment import experiment
from mlflow import MlflowClient

from deepcube.oblivious import MlflowTracker, SingleRunConfig, TrackingError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


def train_fn(hparams, reporter):
    for epoch in range(60):
        reporter.broadcast(1 / (epoch + 1), step=epoch, metrics={"loss": epoch})
    if hparams.get("fail"):
        raise RuntimeError("no convergence")
    return {"Metric": 0.5, "rmse": 0.25}


def test_parameters_steps_final_values_and_tags_below_one_parent(folder, tmp_path):
    figure = tmp_path / "figure.txt"
    figure.write_text("a figure")
    with MlflowTracker(folder, "drought", {"feature_view": "drought_x"}, name="two seeds") as tracker:
        runs = [
            experiment.lagom(
                train_fn, SingleRunConfig(hparams={"lr": 0.1}, seed=seed, tracker=tracker, directory=tmp_path)
            )
            for seed in (0, 1)
        ]
        tracker.log_metrics({"test_rmse": 0.3})
        tracker.log_artifact(figure)
    tracker.set_tags({"model_version": 7})

    client = MlflowClient(tracker.uri)
    child = client.get_run(runs[1]["tracking"]["mlflow_run_id"])
    assert child.data.params == {"lr": "0.1", "seed": "1", "mode": "single"}
    assert child.data.metrics["final_rmse"] == 0.25
    assert child.info.status == "FINISHED"
    assert len(client.get_metric_history(child.info.run_id, "Metric")) == 60
    assert [m.value for m in client.get_metric_history(child.info.run_id, "loss")][-1] == 59
    parent = client.get_run(child.data.tags["mlflow.parentRunId"])
    assert parent.info.run_id == tracker.run_id
    assert parent.info.run_name == "two seeds"
    assert parent.data.tags["feature_view"] == child.data.tags["feature_view"] == "drought_x"
    assert parent.data.tags["model_version"] == "7"
    assert parent.data.metrics == {"test_rmse": 0.3}
    assert [item.path for item in client.list_artifacts(parent.info.run_id)] == ["figure.txt"]
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "artifacts"}


def test_a_failed_run_is_marked_failed_and_keeps_its_steps(folder, tmp_path):
    tracker = MlflowTracker(folder, "failing")
    with pytest.raises(RuntimeError, match="no convergence"):
        experiment.lagom(train_fn, SingleRunConfig(hparams={"fail": True}, tracker=tracker, directory=tmp_path))
    client = MlflowClient(tracker.uri)
    assert client.get_run(tracker.run_id).info.status == "FAILED"
    assert len(client.get_metric_history(tracker.run_id, "Metric")) == 60


def test_logging_before_any_run_is_refused(folder):
    with pytest.raises(TrackingError, match="no run"):
        MlflowTracker(folder, "drought").set_tags({"a": 1})
