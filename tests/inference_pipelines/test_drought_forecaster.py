"""Forecasts and explanations of a drought model."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcube.oblivious import load_artifact
from features import drought
from inference_pipelines.drought import forecaster as module
from inference_pipelines.drought.forecaster import NORMAL_CONDITIONS, Forecaster, normal_conditions


@pytest.fixture(scope="module")
def forecaster(model_folder) -> Forecaster:
    return Forecaster.load(model_folder)


def rows(count: int, seed: int = 0) -> pd.DataFrame:
    values = np.random.default_rng(seed).uniform(0, 1, (count, len(drought.FEATURE_NAMES)))
    return pd.DataFrame(values, columns=drought.FEATURE_NAMES, index=range(100, 100 + count))


def test_forecasts_are_the_networks_whatever_the_order_of_columns_or_the_chunks(forecaster, model_folder, monkeypatch):
    table = rows(10)
    network, _ = load_artifact(model_folder)
    expected = np.asarray(network(table.to_numpy("float32")))
    monkeypatch.setattr(module, "_CHUNK", 3)
    result = forecaster.forecast(table[table.columns[::-1]].assign(cell_id=1))
    assert np.allclose(result, expected, atol=1e-6)
    assert result.columns.tolist() == drought.LABELS
    assert result.index.tolist() == table.index.tolist()
    assert forecaster.forecast(table.iloc[:0]).shape == (0, 3)


def test_an_explanation_adds_up_to_the_departure_from_normal(forecaster):
    table = rows(3)
    explanation = forecaster.explain(table)
    departure = forecaster.forecast(table) - forecaster.forecast(normal_conditions(table))
    total = explanation["attribution"].sum("feature")
    assert np.allclose(total, departure, atol=1e-4)
    assert np.abs(explanation["completeness_error"]).max() < 1e-4
    assert explanation.attrs["baseline"] == NORMAL_CONDITIONS
    assert explanation["feature"].values.tolist() == drought.FEATURE_NAMES


def test_what_is_normal_anyway_explains_nothing(forecaster):
    explanation = forecaster.explain(normal_conditions(rows(2)))
    assert np.allclose(explanation["attribution"], 0, atol=1e-6)


@given(st.integers(0, 1000))
def test_normal_conditions_keep_place_and_season(seed):
    table = rows(4, seed)
    before = table.copy()
    normal = normal_conditions(table)
    kept = [*drought.CLIMATOLOGY, "ndvi_climatology_now", "season_sin", "season_cos"]
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(normal[kept], table[kept])
    assert (normal[drought.PERSISTENCE] == table["ndvi_climatology_now"]).all()
    rest = [name for name in drought.FEATURE_NAMES if name not in (*kept, drought.PERSISTENCE)]
    assert len(rest) == 2 * len(drought.LAGS) + 1
    assert (normal[rest] == 0).all(axis=None)
