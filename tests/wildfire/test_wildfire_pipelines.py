"""The wildfire use case through the real client: features, training, danger maps, places at risk, endpoint."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import training_pipelines.wildfire as training
from deepcube.cubes import CubeError
from deepcube.explain import CARD_HTML, CARD_JSON
from feature_pipelines import wildfire as feature_pipeline
from features import wildfire
from features.wildfire import cases
from inference_pipelines import wildfire as inference
from inference_pipelines.wildfire.batch import danger_rows, read_inputs
from inference_pipelines.wildfire.forecaster import CLASSES, Forecaster
from training_pipelines.wildfire import modes

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CUBE = "simulated_attica"


@pytest.fixture(scope="module", autouse=True)
def quick(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two short seeds of two families; runs and tracking in a folder of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPCUBE_HOME", str(tmp_path_factory.mktemp("deepcube")))
        patch.setattr(training, "SEEDS", (0, 1))
        patch.setattr(modes, "families", lambda layout: ["dense", "lstm"])
        small = {**training.HPARAMS, "units": 8, "epochs": 3}
        patch.setattr(training, "HPARAMS", small)
        patch.setattr(cases, "HELD_OUT", 600)
        yield


@pytest.fixture(scope="module")
def written(project: Any, fire_cube: Path) -> dict[str, Any]:
    with pytest.raises(CubeError, match="nothing at"):
        feature_pipeline.run(project, str(fire_cube.parent / "nowhere.nc"))
    assert project.get_feature_store().get_feature_groups() == [], "nothing is written of bad input"
    return feature_pipeline.run(project, str(fire_cube))


@pytest.fixture(scope="module")
def trained(project: Any, written: dict[str, Any]) -> dict[str, Any]:
    return training.run(project, CUBE)


@pytest.fixture(scope="module")
def inferred(project: Any, trained: dict[str, Any]) -> dict[str, Any]:
    return inference.run(project, CUBE)


def group(project: Any, name: str) -> Any:
    return project.get_feature_store().get_feature_group(f"wildfire_{name}", 1)


def test_the_cube_becomes_feature_groups_and_a_view(project: Any, written: dict[str, Any]) -> None:
    assert json.loads(json.dumps(written)) == written
    assert written["cube"] == CUBE and written["simulated"] is True
    for name, rows in written["feature_groups"].items():
        found = project.get_feature_store().get_feature_group(name, 1)
        assert len(found.read()) == rows and wildfire.SIMULATED_LABEL in found.description
        suite = found.get_expectation_suite() if name != "wildfire_places" else True
        assert suite is not None
    view = project.get_feature_store().get_feature_view(f"wildfire_{CUBE}", 1)
    assert wildfire.is_simulated(view) and len(wildfire.view_inputs(view)) == written["inputs"]
    for part in ("train", "validation", "test", "test_known"):
        assert written["cases"][part]["fires"] > 0


def test_weather_is_stored_once_for_each_of_its_own_cells(project: Any, written: dict[str, Any]) -> None:
    weather, targets = group(project, "weather").read(), group(project, "targets").read()
    assert weather["weather_cell"].nunique() == 16 and targets["cell_id"].nunique() > 900
    assert not weather.duplicated(["weather_cell", "time"]).any()


def test_an_unknown_source_is_named(project: Any, written: dict[str, Any]) -> None:
    with pytest.raises(training.TrainingDataError, match="nowhere"):
        training.run(project, "nowhere")
    with pytest.raises(inference.NoModelError, match="wildfire_nowhere"):
        inference.run(project, "nowhere")


def test_the_model_is_registered_with_scores_and_card(project: Any, trained: dict[str, Any], tmp_path: Path) -> None:
    assert json.loads(json.dumps(trained)) == trained
    losses = trained["study"]["validation_loss"]
    assert trained["model"]["family"] == min(losses, key=losses.get)
    registered = project.get_model_registry().get_model(f"wildfire_{CUBE}", trained["model"]["version"])
    assert registered.training_metrics["auroc"] == pytest.approx(trained["model"]["metrics"]["overall"]["auroc"])
    for name in ("fwi", "climatology"):
        assert registered.training_metrics[f"{name}_auprc"] == trained["model"]["baselines"][name]["overall"]["auprc"]
    folder = Path(registered.download(str(tmp_path)))
    card = json.loads((folder / CARD_JSON).read_text())
    assert card["data"]["simulated"].startswith("yes") and "(simulated)" in registered.description
    assert {(row[0], row[1]) for row in card["metrics"]["rows"]} >= {("model", "overall"), ("fwi", "known ground")}
    assert len(card["figures"]) >= 4 and all((folder / figure).is_file() for figure in card["figures"].values())
    assert "data:image/png" in (folder / CARD_HTML).read_text()


def test_danger_maps_are_the_models(project: Any, inferred: dict[str, Any], tmp_path: Path) -> None:
    assert json.loads(json.dumps(inferred)) == inferred
    rows = group(project, "danger").read()
    assert len(rows) == inferred["feature_groups"]["wildfire_danger"]
    assert rows["fire_probability"].between(0, 1).all() and set(rows["danger_class"]) <= set(CLASSES)
    registered = project.get_model_registry().get_model(f"wildfire_{CUBE}")
    forecaster = Forecaster.load(Path(registered.download(str(tmp_path))))
    store = project.get_feature_store()
    inputs = read_inputs(store, store.get_feature_view(f"wildfire_{CUBE}", 1), forecaster)
    again = danger_rows(inputs, forecaster, 1).merge(rows, on=[*wildfire.KEYS], suffixes=("", "_stored"))
    again = again[again["time"] == pd.to_datetime(again["time_stored"]).dt.tz_localize(None)]
    assert len(again) == len(rows)
    np.testing.assert_allclose(again["fire_probability"], again["fire_probability_stored"], rtol=1e-4)
    local = project.get_dataset_api().download(next(f for f in inferred["files"] if f.endswith(".nc")), str(tmp_path))
    maps = xr.load_dataset(local)
    assert maps.attrs["simulated"] == "true" and maps["fire_probability"].dims == ("time", "y", "x")
    newest = rows[rows["time"] == rows["time"].max()]
    assert int(np.isfinite(maps["fire_probability"][-1]).sum()) == len(newest) == 32 * 32
    assert float(maps["fire_probability"][-1].max()) == pytest.approx(newest["fire_probability"].max(), rel=1e-5)
    assert 2 <= len(inferred["maps"]) <= 3 and list(inferred["findings"]["places_at_risk"]) == [
        str(pd.Timestamp(day).date() + pd.Timedelta(days=1)) for day in inferred["maps"]
    ]
    names = [Path(figure).stem for figure in inferred["figures"]]
    assert sum(name.startswith("danger_") for name in names) == len(inferred["maps"])
    assert {2, 1} >= {sum(name.startswith("explanation_") for name in names)}


def test_places_at_risk_are_ranked_on_every_mapped_day(project: Any, inferred: dict[str, Any], tmp_path: Path) -> None:
    risk = group(project, "risk").read()
    assert risk["probability"].between(0, 1).all() and risk["time"].nunique() == len(inferred["maps"])
    for _, today in risk.sort_values("rank").groupby("time"):
        assert today["people_at_risk"].is_monotonic_decreasing and today["rank"].tolist() == [*range(1, len(today) + 1)]
    api = project.get_dataset_api()
    paths = {Path(file).suffix: api.download(file, str(tmp_path)) for file in inferred["files"]}
    with Path(paths[".csv"]).open(newline="") as file:
        table = list(csv.DictReader(file))
    newest = risk[risk["time"] == risk["time"].max()].sort_values("rank")
    assert [row["place"] for row in table][: len(newest)] == newest["place"].tolist(), "the newest day comes first"
    features = json.loads(Path(paths[".geojson"]).read_text())["features"]
    assert [one["properties"]["place"] for one in features] == [row["place"] for row in table]
    assert len({one["id"] for one in features}) == len(table) == len(risk)
    assert inferred["findings"]["places_at_risk"][table[0]["date"]][0]["name"] == table[0]["name"]


def test_the_endpoint_explains_and_names_what_is_wrong(project: Any, inferred: dict[str, Any]) -> None:
    served = project.get_model_serving().get_deployment(inferred["deployment"]["name"])
    example = inferred["example"]
    values, cell = example["inputs"], example["request"]["cell_id"]
    rows = group(project, "danger").read()
    newest = rows[(rows["cell_id"] == cell) & (rows["time"] == rows["time"].max())].iloc[0]
    assert example["prediction"]["fire_probability"] == pytest.approx(newest["fire_probability"], rel=1e-3)
    explanation = example["explanation"]
    assert sum(explanation["by_group"].values()) == pytest.approx(sum(explanation["by_variable"].values()))
    assert abs(explanation["completeness_error"]["log_odds"]) < 0.05 and example["simulated"] is True
    plain = served.predict(inputs=[values])["predictions"][0]
    assert plain["fire_probability"] == pytest.approx(example["prediction"]["fire_probability"], rel=1e-4)
    gap = served.predict(inputs=[{**values, "lst_day_lag_2": None}])["predictions"][0]
    assert 0 <= gap["fire_probability"] <= 1
    scored = {"method": "gradient_x_input", "scores": ["agreement"], "budget_seconds": 20}
    answer = served.predict(data={"instances": [values], "explain": scored})["predictions"][0]["explanation"]
    assert answer["method"] == "gradient_x_input" and set(answer["scores"]) == {"agreement"}
    for wrong, reason in (
        ({name: value for name, value in values.items() if name != "ffmc"}, "missing ffmc"),
        ({**values, "tmax_lag_0": 400.0}, "found 400 for tmax_lag_0; expected -60 to 60 degC"),
        ({**values, **{f"lst_day_lag_{lag}": None for lag in range(10)}}, "no value of lst_day in its whole history"),
        ({**values, "ffmc": "dry"}, "expected a finite number"),
        ([1.0, 2.0], "found 2 values"),
        ({"cube": CUBE, "cell_id": 1}, "found no features of cell 1"),
        ({"cube": "elsewhere", "cell_id": cell}, "this model is for"),
        (dict.fromkeys(values), "no value of tmax in its whole history"),
        ({**values, "explain": {"method": "tree_shap"}}, "found method 'tree_shap'"),
        ({**values, "explain": {"method": "crystal_ball"}}, "found method 'crystal_ball'; this model is explained by"),
        ({**values, "explain": {"scores": ["beauty"]}}, "unknown score beauty"),
        ({**values, "explain": {"budget_seconds": -1}}, "budget_seconds"),
        ({**values, "weather": 1.0}, "weather"),
    ):
        with pytest.raises(Exception, match=reason) as refused:
            served.predict(inputs=[wrong])
        assert "400" in str(refused.value)
    assert served.predict(inputs=[values])["predictions"][0] == plain, "the server is still up"


def test_a_table_of_fire_days_goes_the_same_way(project: Any, shared_data: Path) -> None:
    source = str(shared_data / "uci-algerian-fires")
    summary = feature_pipeline.run(project, source)
    assert summary["simulated"] is False and summary["fwi_agreement"]["ffmc"] > 0.8
    result = training.run(project, summary["cube"])["model"]
    assert set(result["metrics"]) == {"overall"} and result["metrics"]["overall"]["auroc"] > 0.7
    batch = inference.run_batch(project, summary["cube"])
    assert batch["maps"] == [] and batch["findings"] == {} and batch["feature_groups"] == {"wildfire_danger": 50}
