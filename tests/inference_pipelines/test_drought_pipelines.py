"""Training and inference of the drought use case through the real client, on a small simulated cube."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from mlflow import MlflowClient

import training_pipelines.drought as training
from deepcube.explain import CARD_HTML, CARD_JSON
from feature_pipelines import drought as feature_pipeline
from features import drought
from inference_pipelines import deployments
from inference_pipelines import drought as inference
from inference_pipelines.drought.forecaster import Forecaster
from training_pipelines.drought import outlook, outlook_card

pytestmark = pytest.mark.e2e

CUBE = "simulated_jubba"


@pytest.fixture(scope="module", autouse=True)
def quick(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two short seeds; runs and tracking in a folder of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPCUBE_HOME", str(tmp_path_factory.mktemp("deepcube")))
        patch.setattr(training, "SEEDS", (0, 1))
        patch.setattr(training, "HPARAMS", {**training.HPARAMS, "epochs": 3})
        yield


@pytest.fixture(scope="module")
def store(project: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The project, with the features of six simulated years of 16-day NDVI on 12 pixels."""
    rng = np.random.default_rng(5)
    times = pd.date_range("2001-01-01", periods=140, freq="16D")
    anomaly = np.zeros((len(times), 4, 3))
    for step in range(1, len(times)):
        anomaly[step] = 0.8 * anomaly[step - 1] + rng.normal(0, 0.05, (4, 3))
    values = 0.5 + 0.2 * np.sin(2 * np.pi * times.dayofyear.to_numpy() / 365.25)[:, None, None] + anomaly
    values[rng.random(values.shape) < 0.1] = np.nan
    path = tmp_path_factory.mktemp("cube") / f"{CUBE}.nc"
    xr.Dataset(
        {"NDVI": (("time", "lat", "lon"), np.clip(values, -1, 1))},
        {"time": times, "lat": 0.05 * np.arange(4), "lon": 42 + 0.05 * np.arange(3)},
        {"simulated": "true"},
    ).to_netcdf(path)
    assert feature_pipeline.run(project, str(path))["cube"] == CUBE
    return project


@pytest.fixture(scope="module")
def trained(store: Any) -> dict[str, Any]:
    return training.run(store, CUBE)


@pytest.fixture(scope="module")
def inferred(store: Any, trained: dict[str, Any]) -> dict[str, Any]:
    return inference.run(store, CUBE)


def test_an_unknown_cube_is_named_and_creates_nothing(project: Any) -> None:
    with pytest.raises(training.TrainingDataError, match="nowhere"):
        training.run(project, "nowhere")
    with pytest.raises(inference.NoModelError, match="drought_nowhere"):
        inference.run(project, "nowhere")
    with pytest.raises(inference.NoModelError, match="drought_nowhere"):
        again(project, "nowhere")
    assert project.get_model_registry().get_models("drought_nowhere") == []
    assert project.get_model_serving().get_deployments() == []


def test_the_model_is_registered_with_scores_schema_example_and_lineage(store: Any, trained: dict[str, Any]) -> None:
    assert json.loads(json.dumps(trained)) == trained
    model = store.get_model_registry().get_model(f"drought_{CUBE}", trained["model"]["version"])
    metrics = model.training_metrics
    assert metrics["rmse"] == pytest.approx(trained["model"]["metrics"]["overall"]["rmse"])
    for name in ("persistence", "climatology"):
        assert metrics[f"{name}_rmse"] == pytest.approx(trained["model"]["baselines"][name]["overall"]["rmse"])
    schema = model.model_schema
    schema = schema if isinstance(schema, dict) else schema.to_dict()
    columns = [column["name"] for column in schema["input_schema"]["columnar_schema"]]
    assert columns == drought.FEATURE_NAMES
    assert len(model.input_example) == len(drought.FEATURE_NAMES)
    view = model.get_feature_view(init=False)
    assert (view.name, view.version) == (f"drought_{CUBE}", 1)
    provenance = model.get_training_dataset_provenance()
    assert [dataset.version for dataset in provenance.accessible] == [trained["training_dataset_version"]]


def test_the_model_is_registered_with_its_card(store: Any, trained: dict[str, Any], tmp_path: Path) -> None:
    model = store.get_model_registry().get_model(f"drought_{CUBE}", trained["model"]["version"])
    folder = Path(model.download(str(tmp_path)))
    card = json.loads((folder / CARD_JSON).read_text())
    rows = {(row[0], row[1]): row[2] for row in card["metrics"]["rows"]}
    assert rows["model", "overall"] == pytest.approx(trained["model"]["metrics"]["overall"]["rmse"])
    assert card["split"] == trained["split"]
    assert "data:image/png" in (folder / CARD_HTML).read_text()
    assert all((folder / figure).is_file() for figure in card["figures"].values())


def test_everything_that_came_of_a_simulated_cube_says_so(
    store: Any, trained: dict[str, Any], inferred: dict[str, Any], tmp_path: Path
) -> None:
    assert trained["simulated"] is True and inferred["simulated"] is True and inferred["example"]["simulated"] is True
    model = store.get_model_registry().get_model(f"drought_{CUBE}", trained["model"]["version"])
    assert "(simulated)" in model.description
    card = json.loads((Path(model.download(str(tmp_path))) / CARD_JSON).read_text())
    assert card["data"]["simulated"].startswith("yes")
    features = store.get_feature_store()
    assert features.get_feature_view(f"drought_{CUBE}", 1).description.startswith(drought.SIMULATED_LABEL)
    for name in ("ndvi", "climatology", "features", "targets", "predictions", "impact"):
        assert drought.SIMULATED_LABEL in features.get_feature_group(f"drought_{name}", 1).description, name
    deployment = store.get_model_serving().get_deployment(inferred["deployment"]["name"])
    assert deployment.description.startswith(drought.SIMULATED_LABEL)


def test_the_run_is_tracked(trained: dict[str, Any]) -> None:
    client = MlflowClient(trained["mlflow"]["uri"])
    run = client.get_run(trained["mlflow"]["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["feature_view"] == f"drought_{CUBE}/1"
    assert run.data.tags["training_dataset_version"] == str(trained["training_dataset_version"])
    assert run.data.tags["model_version"] == str(trained["model"]["version"])
    assert run.data.metrics["rmse"] == pytest.approx(trained["model"]["metrics"]["overall"]["rmse"])
    children = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    assert sorted(child.data.params["seed"] for child in children) == ["0", "1"]


def test_batch_forecasts_are_the_models(
    store: Any, trained: dict[str, Any], inferred: dict[str, Any], tmp_path
) -> None:
    rows = store.get_feature_store().get_feature_group("drought_predictions", 1).read()
    assert len(rows) == inferred["feature_groups"]["drought_predictions"]
    assert set(rows["model_version"]) == {trained["model"]["version"]}
    assert str(rows["time"].min())[:19] == trained["split"]["test_start"].replace("T", " ")
    model = store.get_model_registry().get_model(f"drought_{CUBE}", trained["model"]["version"])
    forecaster = Forecaster.load(Path(model.download(str(tmp_path))))
    inputs = store.get_feature_store().get_feature_group("drought_features", 1).read()
    merged = rows.merge(inputs, on=[*drought.KEYS, "time"])
    assert len(merged) == len(rows)
    assert np.allclose(forecaster.forecast(merged), merged[inference.PREDICTED], atol=1e-6)


def test_the_impact_index_is_written_by_district_and_month_and_scored(store: Any, inferred: dict[str, Any]) -> None:
    table = store.get_feature_store().get_feature_group("drought_impact", 1).read()
    assert len(table) == inferred["feature_groups"]["drought_impact"] > 0
    assert table["impact_index"].between(0, 100).all()
    assert not table.duplicated(["cube", "district", "month"]).any()
    assert table["district"].str.startswith("cell ").all(), "no polygons were given"
    found = inferred["findings"]["impact_index"]
    assert found["districts"] == table["district"].nunique() and found["months"] == table["month"].nunique()
    assert set(found["rmse"]) == {"model", "persistence", "climatology"} and found["rmse"]["model"] > 0


def test_the_model_is_scored_by_pixel_and_as_a_distribution(trained: dict[str, Any]) -> None:
    model = trained["model"]
    for scores in (model["metrics"], *model["baselines"].values()):
        assert scores["vegetation"]["series"] == 36, "12 pixels at three horizons"
        assert 0 < scores["distribution"]["coverage_80"] < 1 and scores["distribution"]["crps"] > 0


def test_one_command_ends_with_an_explained_forecast(store: Any, inferred: dict[str, Any]) -> None:
    assert json.loads(json.dumps(inferred)) == inferred
    assert inferred["deployment"]["state"].lower() == "running"
    example = inferred["example"]
    rows = store.get_feature_store().get_feature_group("drought_predictions", 1).read()
    newest = rows[(rows["cell_id"] == example["request"]["cell_id"]) & (rows["time"] == rows["time"].max())].iloc[0]
    for label in drought.LABELS:
        assert example["prediction"][label] == pytest.approx(newest[f"predicted_{label}"], abs=1e-5)
        assert abs(example["explanation"]["completeness_error"][label]) < 1e-4
    datasets = store.get_dataset_api()
    assert [Path(figure).name for figure in inferred["figures"]] == [
        "forecast_map.png",
        "explanation.png",
        "impact.png",
    ]
    assert all(datasets.exists(figure) for figure in inferred["figures"])


def test_the_endpoint_explains_on_request_and_names_what_is_wrong(store: Any, inferred: dict[str, Any]) -> None:
    served = store.get_model_serving().get_deployment(inferred["deployment"]["name"])
    values = inferred["example"]["inputs"]
    plain = served.predict(inputs=[values])["predictions"][0]
    explained = served.predict(data={"instances": [values], "explain": True})["predictions"][0]
    assert plain == pytest.approx(explained["prediction"])
    assert set(explained) == {"prediction", "inputs", "explanation", "simulated"}
    wanted = {"method": "gradient_x_input", "scores": ["infidelity", "agreement"], "budget_seconds": 30}
    scored = served.predict(data={"instances": [values], "explain": wanted})["predictions"][0]["explanation"]
    assert scored["method"] == "gradient_x_input"
    assert scored["seconds"] <= scored["budget_seconds"] == 30
    assert set(scored["scores"]) == {"infidelity", "agreement"}
    for instance, explain, said in (
        (list(values.values())[:-1], False, "values; expected numbers"),
        ({name: value for name, value in values.items() if name != "season_sin"}, False, "missing season_sin"),
        (dict.fromkeys(values), False, "None for"),
        ({**values, "ndvi_last_observed": 5.0}, True, "outside what is possible"),
        (values, {"method": "magic"}, "found method 'magic'; this model is explained by"),
        (values, {"method": "tree_shap"}, "found method 'tree_shap'; this model is explained by"),
        (values, {"scores": ["beauty"]}, "unknown score beauty"),
    ):
        with pytest.raises(Exception, match=said) as refused:
            served.predict(data={"instances": [instance], "explain": explain})
        assert "400" in str(refused.value), said
    assert served.predict(inputs=[values])["predictions"][0] == pytest.approx(plain), "the server is still up"


def again(project: Any, cube: str) -> dict[str, Any]:
    """Deploy the newest model of a cube by the script of the pipeline."""
    script = Path(inference.__file__).with_name("predictor.py")
    return deployments.deploy(project, "drought", cube, description="drought", script=script)


def test_deploying_again_changes_nothing_until_there_is_a_newer_model(store: Any, inferred: dict[str, Any]) -> None:
    first = inferred["deployment"]
    assert again(store, CUBE) == first
    newer = training.run(store, CUBE)["model"]["version"]
    assert newer == first["model_version"] + 1
    assert again(store, CUBE) == {**first, "model_version": newer}
    served = store.get_model_serving()
    assert [deployment.name for deployment in served.get_deployments()] == [first["name"]]
    assert served.get_deployment(first["name"]).model_version == newer


def test_the_outlook_is_trained_on_the_minicube_and_registered(
    store: Any, trained: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlook, "HPARAMS", {**outlook.HPARAMS, "epochs": 1, "hidden": 2})
    monkeypatch.setattr(outlook, "SIZES", {"train": 16, "validation": 8, "test": 8})
    monkeypatch.setattr(outlook_card, "_EXPLAINED", 1)
    monkeypatch.setattr(outlook_card, "_STEPS", 2)
    monkeypatch.setattr(training, "SEEDS", (0,))
    told: list[float] = []
    summary = training.run(store, CUBE, mode="minicube", progress=lambda share, message: told.append(share))
    found = json.loads(json.dumps(summary, allow_nan=False))["model"]["outlook"]
    assert told == sorted(told) and told[-1] == 1.0
    assert found["reach"] == {"context_steps": 50, "horizon_steps": 10, "step_days": 16.0}
    assert set(found["scores"]) == {"per_pixel", "convlstm", "persistence", "climatology"}
    assert found["chosen"] == min(found["validation_crps"], key=found["validation_crps"].get)
    model = store.get_model_registry().get_model(found["name"], found["version"])
    assert "(simulated)" in model.description
    assert model.training_metrics["rmse_seen"] == pytest.approx(found["scores"][found["chosen"]]["seen"]["rmse"])
