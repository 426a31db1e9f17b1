"""Batch inference of the wildfire use case: danger of every cell on the days to map, and of all held-out cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from features import wildfire
from inference_pipelines.batches import read_rows
from inference_pipelines.wildfire.forecaster import CLASS, PROBABILITY, SPREAD, Forecaster

if TYPE_CHECKING:
    from hsfs.feature_group import FeatureGroup
    from hsfs.feature_store import FeatureStore

_KEY = (
    ("cube", "string", "Name of the cube or table"),
    ("cell_id", "bigint", "Cell of the pixel: HEALPix nested on WGS84, level encoded in the id (zuniq)"),
    ("time", "timestamp", "Day that the forecast was made on, UTC; it is for the target date, the day after in cubes"),
)


def danger_group(fs: FeatureStore) -> FeatureGroup:
    """Get or create ``wildfire_danger``: forecast danger by cell and day."""
    from hsfs.feature import Feature

    columns = (
        *_KEY,
        (PROBABILITY, "double", "Probability that the cell burns on the target date (unit 1)"),
        (SPREAD, "double", "Half the width of that probability's range over the seeds (unit 1)"),
        (CLASS, "string", "Danger class: low, moderate, high, very high or extreme, by times the base rate"),
        ("alarm", "int", "1 from the probability on that caught nine tenths of the fires of validation (flag)"),
        ("model_version", "int", "Version of the model in the registry (count)"),
    )
    return fs.get_or_create_feature_group(
        name="wildfire_danger",
        version=wildfire.VERSION,
        description="Danger of fire, forecast by the wildfire model: whole maps of some days, and held-out cases",
        primary_key=wildfire.KEYS,
        event_time="time",
        time_travel_format="DELTA",
        features=[Feature(*column) for column in columns],
    )


def risk_group(fs: FeatureStore) -> FeatureGroup:
    """Get or create ``wildfire_risk``: places ranked by the people who may have fire near them, by day."""
    from hsfs.feature import Feature

    columns = (
        _KEY[0],
        ("place", "string", "Identifier of the place in wildfire_places"),
        _KEY[2],
        ("rank", "int", "Place among all places of the cube, 1 being most at risk (count)"),
        ("probability", "double", "Probability that a cell around the place burns on the target date (unit 1)"),
        ("people_at_risk", "double", "People around the place times that probability (count)"),
        ("road_km_at_risk", "double", "Roads around the place times that probability (km)"),
        ("model_version", "int", "Version of the model in the registry (count)"),
    )
    return fs.get_or_create_feature_group(
        name="wildfire_risk",
        version=wildfire.VERSION,
        description="Places at risk of fire on the target date, ranked; see wildfire_places for what they are",
        primary_key=["cube", "place"],
        event_time="time",
        time_travel_format="DELTA",
        features=[Feature(*column) for column in columns],
    )


def read_inputs(fs: FeatureStore, view: Any, forecaster: Forecaster) -> pd.DataFrame:
    """Read the model inputs of all cases from the start of the test period to the newest day.

    Returns
    -------
    pandas.DataFrame
        Keys, ``time``, ``fire`` (-1 where unknown), ``row``, ``col`` (-1 in tables), ``weather_cell`` and model inputs.
    """
    start, targets = pd.Timestamp(forecaster.signature.details["test_start"]), wildfire.targets_group(fs)
    inputs = read_rows(view, targets, wildfire.KEYS, start, forecaster.signature.inputs)
    known = targets.select([*wildfire.KEYS, "time", wildfire.LABEL, "row", "col", "weather_cell"])
    truth = known.filter(targets.get_feature("cube") == forecaster.cube).read()
    for frame in (inputs, truth):
        frame["time"] = pd.to_datetime(frame["time"]).dt.tz_localize(None)
    return inputs.merge(truth, on=[*wildfire.KEYS, "time"])


def danger_rows(inputs: pd.DataFrame, forecaster: Forecaster, model_version: int) -> pd.DataFrame:
    """Forecast and return the rows of ``wildfire_danger``."""
    rows = inputs[[*wildfire.KEYS, "time"]].join(forecaster.forecast(inputs))
    rows["alarm"] = (rows[PROBABILITY] >= forecaster.alarm).astype(np.int32)
    rows["model_version"] = pd.Series(model_version, index=rows.index, dtype="int32")
    return rows


def map_days(inputs: pd.DataFrame) -> list[pd.Timestamp]:
    """Return the days of which whole maps can be drawn, in order; none for tables."""
    placed = inputs[inputs["row"] >= 0]
    if placed.empty:
        return []
    counts = placed.groupby("time").size()
    return sorted(counts.index[counts > 0.9 * counts.max()])
