"""Reading the three periods of a training dataset."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features import drought
from training_pipelines.drought.data import read_training_data
from training_pipelines.drought.model import build_model
from training_pipelines.studies import TrainingDataError

TIMES = pd.date_range("2000-01-01", "2011-12-31", freq="16D")
SPLIT = drought.time_split(TIMES)


class View:
    """Answers like a feature view, from one row per time step, and remembers what it was asked."""

    def __init__(self, targets: np.ndarray) -> None:
        self.rows = pd.DataFrame(targets, index=TIMES, columns=drought.LABELS)
        self.asked: dict[str, Any] = {}

    def train_validation_test_split(
        self, description: str, primary_key: bool, **dates: pd.Timestamp
    ) -> list[pd.DataFrame]:
        assert primary_key
        self.asked = dates
        labels = [
            self.rows[(self.rows.index >= dates[f"{part}_start"]) & (self.rows.index < dates[f"{part}_end"])]
            for part in ("train", "validation", "test")
        ]
        names = list(reversed(drought.FEATURE_NAMES))
        inputs = [
            pd.DataFrame(
                {"0_drought_targets_1_cell_id": rows.index.dayofyear}
                | {name: rows.index.year + names.index(name) / 100 for name in names},
                index=rows.index,
            )
            for rows in labels
        ]
        return [*inputs, *labels]

    def get_last_accessed_training_dataset(self) -> int:
        return 4


def test_periods_are_the_agreed_ones_and_rows_without_any_target_are_left_out():
    targets = np.full((len(TIMES), 3), 0.5)
    targets[1] = np.nan
    targets[2] = [np.nan, 0.25, np.nan]
    view = View(targets)
    data = read_training_data(view, SPLIT)
    assert view.asked == asdict(SPLIT)
    assert data.version == 4
    counts = {part: int(SPLIT.select(TIMES, part).sum()) for part in ("train", "validation", "test")}
    assert data.rows == {**counts, "train": counts["train"] - 1}
    assert np.array_equal(data.train.targets[1], [np.nan, 0.25, np.nan], equal_nan=True)
    assert data.train.cells is not None
    assert data.train.cells[:2].tolist() == [TIMES[0].dayofyear, TIMES[2].dayofyear], "cells stay with their rows"


def test_columns_come_in_the_order_of_the_features():
    data = read_training_data(View(np.full((len(TIMES), 3), 0.5)), SPLIT)
    last = drought.FEATURE_NAMES[-1]
    assert data.test.columns([last])[0, 0] == pytest.approx(2010 + 0.0, abs=1.01)
    offsets = data.test.inputs[0] - data.test.inputs[0].min()
    assert np.allclose(offsets[::-1], np.arange(len(drought.FEATURE_NAMES)) / 100, atol=1e-3)


def test_a_period_without_observed_targets_is_named():
    targets = np.full((len(TIMES), 3), 0.5)
    targets[SPLIT.select(TIMES, "validation")] = np.nan
    with pytest.raises(TrainingDataError, match="validation"):
        read_training_data(View(targets), SPLIT)


def test_the_weather_of_a_cube_comes_after_the_other_inputs_and_is_a_departure_to_the_network():
    class WithWeather(View):
        """Also answers with weather, in the order of the query."""

        def train_validation_test_split(self, description: str, **options: Any) -> list[pd.DataFrame]:
            frames = super().train_validation_test_split(description, **options)
            names = [name for name in drought.WEATHER_UNITS if name.startswith("rain")]
            return [*(frame.assign(**dict.fromkeys(names, 7.0)) for frame in frames[:3]), *frames[3:]]

    data = read_training_data(WithWeather(np.full((len(TIMES), 3), 0.5)), SPLIT)
    assert data.test.names == [*drought.FEATURE_NAMES, *(f"rain_anomaly_lag_{lag}" for lag in drought.LAGS)]
    assert (data.test.columns(["rain_anomaly_lag_5"]) == 7.0).all()
    network = build_model(data.train.inputs, units=2, l2=0.0)
    weights = {layer.name: layer.get_weights()[0].shape for layer in network.layers if layer.get_weights()}
    assert weights["memory"] == (13 + 6, 3)
    assert weights["hidden"] == (15 + 6, 2)
    alone = read_training_data(View(np.full((len(TIMES), 3), 0.5)), SPLIT)
    assert alone.test.names == drought.FEATURE_NAMES
