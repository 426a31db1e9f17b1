"""Inference pipeline of the drought use case: a registered model becomes forecasts, in batch and behind an endpoint.

Batch forecasts of the held-out years and of the newest origin go to a feature group; the endpoint answers with a
forecast and, if asked, with the reasons for it.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from deepcube.explain import attribution_bars
from deepcube.oblivious import upload_files
from features import drought
from inference_pipelines import deployments
from inference_pipelines.deployments import NoModelError, newest_model
from inference_pipelines.drought.batch import (
    PREDICTED,
    forecast_rows,
    predictions_group,
    read_grid,
    read_inputs,
    read_truth,
)
from inference_pipelines.drought.figures import draw_maps, most_telling_origin
from inference_pipelines.drought.forecaster import Forecaster
from inference_pipelines.drought.impact import (
    draw_impact,
    find_districts,
    impact_group,
    impact_rows,
    impact_scores,
    quantile_offsets,
    read_spread,
)

if TYPE_CHECKING:
    from hopsworks.project import Project

__all__ = ["PREDICTED", "Forecaster", "NoModelError", "run", "run_batch"]

Progress = Callable[[float, str], None]
"""Told how much is done, from 0 to 1, and what is being done."""


def run(project: "Project", cube: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Forecast in batch, deploy the model, and ask the deployment for one explained forecast.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    cube : str
        Name of a cube that a model has been trained on.
    progress : callable, optional
        Called as ``progress(fraction, message)``.

    Returns
    -------
    dict
        JSON-able summary: cube, feature groups with rows written, deployment and its state, one example with inputs,
        prediction and explanation, the scores of the impact index (``findings``), figures in the project.

    Raises
    ------
    NoModelError
        If no model of the cube is registered.
    """
    tell = progress or (lambda fraction, message: None)
    batch = run_batch(project, cube, progress=lambda fraction, message: tell(0.6 * fraction, message))
    tell(0.6, "deploying the model")
    label = f"{drought.SIMULATED_LABEL}: " if batch["simulated"] else ""
    deployment = deployments.deploy(
        project,
        "drought",
        cube,
        description=f"{label}NDVI of {cube} one to three steps ahead, with explanations",
        script=Path(__file__).with_name("predictor.py"),
    )
    tell(0.9, f"asking {deployment['name']} for an explained forecast")
    request = {"cube": cube, "cell_id": batch["example_cell"]}
    answer = deployments.ask(project, deployment["name"], request)
    tell(1.0, f"{deployment['name']} is {deployment['state'].lower()}")
    return {
        "cube": cube,
        "simulated": batch["simulated"],
        "feature_groups": batch["feature_groups"],
        "origins": batch["origins"],
        "deployment": deployment,
        "example": {"request": request, **answer},
        "findings": {"impact_index": batch["impact"]},
        "figures": batch["figures"],
    }


def run_batch(project: "Project", cube: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Forecast every origin from the start of the test period to the newest, and draw what is worth seeing.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    cube : str
        Name of a cube that a model has been trained on.
    progress : callable, optional
        Called as ``progress(fraction, message)``.

    Returns
    -------
    dict
        JSON-able summary: cube, model, feature groups with rows written, scores of the impact index, first and last
        origin, the cell whose newest forecast is explained, figures in the project.

    Raises
    ------
    NoModelError
        If no model of the cube is registered.
    """
    tell = progress or (lambda fraction, message: None)
    model = newest_model(project, f"drought_{cube}")
    tell(0.0, f"loading {model.name} version {model.version}")
    fs = project.get_feature_store()
    with tempfile.TemporaryDirectory() as scratch:
        forecaster = Forecaster.load(Path(model.download(scratch)))
        view = fs.get_feature_view(forecaster.signature.feature_view, forecaster.signature.feature_view_version)
        tell(0.1, "forecasting the held-out years and the newest origin")
        inputs = read_inputs(fs, view, forecaster)
        rows = forecast_rows(inputs, forecaster, model.version)
        tell(0.5, f"writing {len(rows)} forecasts")
        group = predictions_group(fs)
        group.insert(rows)
        if forecaster.simulated:
            drought.label_simulated(group)
        truth, grid = read_truth(fs, cube, inputs["time"].min()), read_grid(fs, cube)
        tell(0.7, "adding up the impact by district and month")
        impact = impact_rows(
            inputs, rows, truth, read_spread(fs, cube), find_districts(project, grid), quantile_offsets(forecaster)
        )
        by_district = impact_group(fs)
        by_district.insert(impact.assign(model_version=pd.Series(model.version, index=impact.index, dtype="int32")))
        if forecaster.simulated:
            drought.label_simulated(by_district)
        tell(0.8, "drawing")
        driest = _driest(inputs, rows)
        figures = [
            _draw_maps(truth, grid, forecaster, inputs, rows, Path(scratch)),
            _draw_explanation(forecaster, driest, Path(scratch)),
            draw_impact(
                impact,
                Path(scratch) / "impact.png",
                title=f"{forecaster.shown}: share of values far below normal, held-out period",
            ),
        ]
        uploaded = upload_files(project, figures, f"Resources/drought/{cube}")
    return {
        "cube": cube,
        "simulated": forecaster.simulated,
        "model": {"name": model.name, "version": model.version},
        "feature_groups": {group.name: len(rows), by_district.name: len(impact)},
        "impact": impact_scores(impact),
        "origins": {"first": rows["time"].min().isoformat(), "last": rows["time"].max().isoformat()},
        "example_cell": int(driest["cell_id"].iloc[0]),
        "figures": uploaded,
    }


def _driest(inputs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the input row of the cell whose newest forecast is furthest below its climatology."""
    newest = inputs["time"] == inputs["time"].max()
    departure = rows.loc[newest, PREDICTED[0]] - inputs.loc[newest, drought.CLIMATOLOGY[0]]
    return inputs.loc[[departure.idxmin()]]


def _draw_maps(
    truth: pd.DataFrame,
    grid: pd.DataFrame,
    forecaster: Forecaster,
    inputs: pd.DataFrame,
    rows: pd.DataFrame,
    folder: Path,
) -> Path:
    known = rows.merge(inputs[[*drought.KEYS, "time", *drought.CLIMATOLOGY]], on=[*drought.KEYS, "time"])
    origin = most_telling_origin(known, truth)
    table = rows[rows["time"] == origin].merge(truth, on=[*drought.KEYS, "time"]).merge(grid)
    when = f"{origin:%Y-%m-%d}, the driest well-observed origin of the held-out period"
    title = f"{forecaster.shown}: NDVI one step after {when}"
    return draw_maps(table, folder / "forecast_map.png", title=title)


def _draw_explanation(forecaster: Forecaster, row: pd.DataFrame, folder: Path) -> Path:
    cell, origin = row["cell_id"].iloc[0], row["time"].iloc[0]
    title = f"{forecaster.shown}: why this forecast, cell {cell}, origin {origin:%Y-%m-%d}"
    return attribution_bars(forecaster.explain(row), folder / "explanation.png", title=title)
