"""Batch inference of the drought use case: forecasts for every origin of the held-out years, up to the newest."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from features import drought
from inference_pipelines.batches import read_rows
from inference_pipelines.drought.forecaster import Forecaster

if TYPE_CHECKING:
    from hsfs.feature_group import FeatureGroup
    from hsfs.feature_store import FeatureStore

PREDICTED = [f"predicted_{label}" for label in drought.LABELS]
"""Columns of the forecasts."""


def predictions_group(fs: "FeatureStore") -> "FeatureGroup":
    """Get or create ``drought_predictions``: what a model forecast, by cell and forecast origin."""
    from hsfs.feature import Feature

    forecasts = [
        Feature(name, "double", f"NDVI forecast for {horizon} steps after the origin (unit 1)")
        for name, horizon in zip(PREDICTED, drought.HORIZONS, strict=True)
    ]
    return fs.get_or_create_feature_group(
        name="drought_predictions",
        version=drought.VERSION,
        description="NDVI forecasts of the drought model, from the held-out years to the newest origin",
        primary_key=drought.KEYS,
        event_time="time",
        time_travel_format="DELTA",
        features=[
            Feature("cube", "string", "Name of the cube, for example romania_s2"),
            Feature("cell_id", "bigint", "Cell of the pixel: HEALPix nested on WGS84, level encoded in the id (zuniq)"),
            Feature("time", "timestamp", "Forecast origin: the last time step that the forecast knows, UTC"),
            *forecasts,
            Feature("model_version", "int", "Version of the model in the registry (count)"),
        ],
    )


def read_inputs(fs: "FeatureStore", view: Any, forecaster: Forecaster) -> pd.DataFrame:
    """Read the model inputs of all origins from the start of the test period to the newest.

    Parameters
    ----------
    fs : hsfs.feature_store.FeatureStore
        The feature store.
    view : hsfs.feature_view.FeatureView
        The drought feature view of the model's cube.
    forecaster : Forecaster
        The model, which knows when its test period starts.

    Returns
    -------
    pandas.DataFrame
        Keys, ``time`` and model inputs; one row per cell and origin.
    """
    start = pd.Timestamp(forecaster.signature.details["split"]["test_start"])
    return read_rows(view, drought.targets_group(fs), drought.KEYS, start, forecaster.signature.inputs)


def forecast_rows(inputs: pd.DataFrame, forecaster: Forecaster, model_version: int) -> pd.DataFrame:
    """Forecast and return the rows of ``drought_predictions``.

    Parameters
    ----------
    inputs : pandas.DataFrame
        Keys, ``time`` and model inputs.
    forecaster : Forecaster
        The model.
    model_version : int
        Its version in the registry.

    Returns
    -------
    pandas.DataFrame
        Columns as :func:`predictions_group`.
    """
    rows = inputs[[*drought.KEYS, "time"]].copy()
    rows[PREDICTED] = forecaster.forecast(inputs).to_numpy()
    rows["model_version"] = pd.Series(model_version, index=rows.index, dtype="int32")
    return rows


def read_truth(fs: "FeatureStore", cube: str, start: pd.Timestamp) -> pd.DataFrame:
    """Read what came true after the origins from a date on: keys, ``time`` and targets."""
    group = drought.targets_group(fs)
    query = group.select([*drought.KEYS, "time", *drought.LABELS]).filter(group.get_feature("cube") == cube)
    rows = query.read()
    return rows[pd.to_datetime(rows["time"]).dt.tz_localize(None) >= start]


def read_grid(fs: "FeatureStore", cube: str) -> pd.DataFrame:
    """Read where the cells of a cube are: ``cell_id``, ``row``, ``col``, ``longitude``, ``latitude``; one row each."""
    group = drought.ndvi_group(fs)
    query = group.select(["cell_id", "row", "col", "longitude", "latitude"]).filter(group.get_feature("cube") == cube)
    return query.read().drop_duplicates("cell_id")
