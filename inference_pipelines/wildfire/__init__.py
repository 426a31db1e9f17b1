"""Inference pipeline of the wildfire use case: a registered model becomes danger maps, places at risk, an endpoint.

Batch inference writes the danger of every cell on the days to map, and of all held-out cases, to a feature group; draws
the maps and leaves them as NetCDF; and joins danger with people, roads and places into a ranked list of places at risk.
The endpoint answers with the danger of a cell and, if asked, with the reasons for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from deepcube.explain import grouped
from deepcube.oblivious import upload_files
from features import wildfire
from features.wildfire.usual import OUTPUT
from inference_pipelines import deployments
from inference_pipelines.deployments import NoModelError, newest_model
from inference_pipelines.wildfire.batch import danger_group, danger_rows, map_days, read_inputs, risk_group
from inference_pipelines.wildfire.forecaster import PROBABILITY, Forecaster
from inference_pipelines.wildfire.maps import map_danger, risk_rows, telling_days, top_places
from inference_pipelines.wildfire.products import draw_days, draw_reasons

if TYPE_CHECKING:
    from hopsworks.project import Project

__all__ = ["Forecaster", "NoModelError", "run", "run_batch"]

Progress = Callable[[float, str], None]
"""Told how much is done, from 0 to 1, and what is being done."""


def run(project: Project, cube: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Map danger and rank places in batch, deploy the model, and ask the deployment for one explained forecast.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    cube : str
        Name of a cube or table that a model has been trained on.
    progress : callable, optional
        Called as ``progress(fraction, message)``.

    Returns
    -------
    dict
        JSON-able summary: cube, feature groups with rows written, days mapped, places most at risk, deployment and its
        state, one example with inputs, prediction and explanation, figures and files in the project.

    Raises
    ------
    NoModelError
        If no model of the cube is registered.
    """
    tell = progress or (lambda fraction, message: None)
    batch = run_batch(project, cube, progress=lambda fraction, message: tell(0.6 * fraction, message))
    tell(0.6, "deploying the model")
    label = f"{wildfire.SIMULATED_LABEL}: " if batch["simulated"] else ""
    deployment = deployments.deploy(
        project,
        "wildfire",
        cube,
        description=f"{label}danger of fire in cells of {cube}, with explanations",
        script=Path(__file__).with_name("predictor.py"),
    )
    tell(0.9, f"asking {deployment['name']} for an explained forecast")
    request = batch.pop("example")
    answer = deployments.ask(project, deployment["name"], request)
    tell(1.0, f"{deployment['name']} is {deployment['state'].lower()}")
    return {**batch, "deployment": deployment, "example": {"request": request, **answer}}


def run_batch(project: Project, cube: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Forecast danger of the held-out cases and of whole maps, draw it, and rank the places at risk.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    cube : str
        Name of a cube or table that a model has been trained on.
    progress : callable, optional
        Called as ``progress(fraction, message)``.

    Returns
    -------
    dict
        JSON-able summary as :func:`run`, with ``example``: the instance to ask an endpoint for.

    Raises
    ------
    NoModelError
        If no model of the cube is registered.
    """
    tell = progress or (lambda fraction, message: None)
    model = newest_model(project, f"wildfire_{cube}")
    tell(0.0, f"loading {model.name} version {model.version}")
    fs = project.get_feature_store()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        forecaster = Forecaster.load(Path(model.download(scratch)))
        view = fs.get_feature_view(forecaster.signature.feature_view, forecaster.signature.feature_view_version)
        tell(0.1, "forecasting held-out cases and maps")
        inputs = read_inputs(fs, view, forecaster)
        rows = danger_rows(inputs, forecaster, model.version)
        tell(0.4, f"writing {len(rows)} forecasts")
        groups = {danger_group(fs): rows}
        days = map_days(inputs)
        forecasts = inputs.assign(**{name: rows[name] for name in rows.columns.difference(inputs.columns)})
        ranked = pd.DataFrame()
        tell(0.5, "mapping danger and ranking places" if days else "drawing")
        if days:
            figures, files, ranked = map_danger(fs, forecaster, forecasts, days, folder)
            if len(ranked):
                groups[risk_group(fs)] = risk_rows(ranked, cube, model.version)
        else:
            title = f"{forecaster.shown}: forecasts of the held-out cases, and what happened"
            figures, files = [draw_days(forecasts, folder / "fire_days.png", title=title, alarm=forecaster.alarm)], []
        for group, table in groups.items():
            group.insert(table)
            if forecaster.simulated:
                wildfire.label_simulated(group)
        tell(0.9, "explaining the greatest danger")
        for day in telling_days(forecasts) if days else [forecasts["time"].max()]:
            today = forecasts[forecasts["time"] == day]
            worst = today.loc[[today[PROBABILITY].idxmax()]]
            figures.append(_draw_reasons(forecaster, worst, folder))
        place = f"Resources/wildfire/{cube}"
        uploaded, left = upload_files(project, figures, place), upload_files(project, files, place)
    return {
        "cube": cube,
        "simulated": forecaster.simulated,
        "model_version": {"name": model.name, "version": model.version},
        "feature_groups": {group.name: len(table) for group, table in groups.items()},
        "maps": [day.date().isoformat() for day in days],
        "findings": {"places_at_risk": top_places(ranked)} if len(ranked) else {},
        "example": {"cube": cube, "cell_id": int(worst["cell_id"].iloc[0])},
        "figures": uploaded,
        "files": left,
    }


def _draw_reasons(forecaster: Forecaster, row: pd.DataFrame, folder: Path) -> Path:
    explained = grouped(forecaster.explain(row), "variable")["attribution"].isel(instance=0).sel(output=OUTPUT)
    day = pd.Timestamp(row["time"].iloc[0])
    target = day + pd.Timedelta(days=int(row["row"].iloc[0] >= 0))  # tables ask for the day itself
    reasons = pd.Series(explained.to_numpy(), index=[str(name) for name in explained["variable"].values])
    return draw_reasons(
        reasons,
        folder / f"explanation_{target:%Y-%m-%d}.png",
        title=f"{forecaster.shown}: forecast made on {day:%Y-%m-%d}, greatest danger",
        prediction=f"cell {row['cell_id'].iloc[0]}: probability {row[PROBABILITY].iloc[0]:.2g}, "
        "compared with the same place on a usual day",
    )
