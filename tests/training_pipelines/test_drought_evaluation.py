"""Scores of the drought model beside its baselines, by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from features import drought
from training_pipelines.drought.data import Samples
from training_pipelines.drought.evaluation import baseline_forecasts, draw, evaluate

GAP = np.nan


@pytest.fixture
def test_period() -> Samples:
    """Two origins; climatology 0.5 at every horizon, 0.3 observed last."""
    inputs = np.zeros((2, len(drought.FEATURE_NAMES)), dtype="float32")
    for name in drought.CLIMATOLOGY:
        inputs[:, drought.FEATURE_NAMES.index(name)] = 0.5
    inputs[:, drought.FEATURE_NAMES.index(drought.PERSISTENCE)] = 0.3
    return Samples(inputs, np.array([[0.4, 0.4, GAP], [0.4, GAP, GAP]], dtype="float32"))


def test_baselines_are_read_from_the_inputs(test_period):
    baselines = baseline_forecasts(test_period)
    assert np.allclose(baselines["persistence"], 0.3) and baselines["persistence"].shape == (2, 3)
    assert np.allclose(baselines["climatology"], 0.5)


def test_all_forecasts_are_scored_over_the_same_observed_rows(test_period):
    forecast = np.full((2, 3), 0.45, dtype="float32")
    result = evaluate(test_period, forecast, [forecast - 0.01, forecast + 0.01])
    assert result.model["overall"]["rmse"] == pytest.approx(0.05, abs=1e-6)
    assert {name: scores["overall"]["rmse"] for name, scores in result.baselines.items()} == pytest.approx(
        {"persistence": 0.1, "climatology": 0.1}, abs=1e-6
    )
    assert [scores["overall"]["n"] for scores in (result.model, *result.baselines.values())] == [3, 3, 3]
    assert set(result.model) == {"overall", "ndvi_step_1", "ndvi_step_2"}, "step 3 was never observed"
    assert result.seeds["overall"]["rmse"] == pytest.approx(
        {"mean": 0.05, "std": math.sqrt(2) * 0.01, "min": 0.04, "max": 0.06}, abs=1e-6
    )
    flat = result.flat()
    assert flat["rmse"] == result.model["overall"]["rmse"]
    assert flat["climatology_rmse_ndvi_step_2"] == pytest.approx(0.1, abs=1e-6)
    assert flat["seeds_rmse_std"] == pytest.approx(math.sqrt(2) * 0.01, abs=1e-6)


def test_beating_one_baseline_is_not_enough(test_period):
    good = evaluate(test_period, np.full((2, 3), 0.42), [np.full((2, 3), 0.42)])
    assert good.beats_baselines
    weak = {**good.baselines, "climatology": {"overall": {"rmse": 0.01, "r2": 0.0, "n": 3}}}
    assert not replace(good, baselines=weak).beats_baselines


def test_figures(test_period, tmp_path):
    result = evaluate(test_period, np.full((2, 3), 0.42), [np.full((2, 3), 0.42)])
    history = [{"step": 0, "metric": 0.2, "metrics": {"train_rmse": 0.1, "validation_rmse": 0.2}}]
    figures = draw(result, [{"history": history}], tmp_path, "sample")
    assert [figure.name for figure in figures] == ["learning_curve.png", "rmse_against_baselines.png"]
    assert all(figure.read_bytes()[:4] == b"\x89PNG" for figure in figures)
    json.dumps(result.flat())


def test_every_forecast_is_scored_by_pixel_and_with_the_spread_of_its_own_errors(test_period):
    random = np.random.default_rng(0)
    inputs = np.repeat(test_period.inputs[:1], 60, axis=0)
    period = Samples(inputs, (0.45 + random.normal(0, 0.02, (60, 3))).astype("float32"), cells=np.repeat([7, 8], 30))
    forecast = np.full((60, 3), 0.45, dtype="float32")
    result = evaluate(period, forecast, [forecast], (period, forecast))
    model, baselines = result.tables()
    assert model["vegetation"]["series"] == 6, "two cells at three horizons"
    assert model["vegetation"]["beats_climatology"] == 1.0
    assert model["distribution"]["coverage_80"] == pytest.approx(0.8, abs=0.05)
    assert {name: scores["distribution"]["crps"] for name, scores in baselines.items()} == pytest.approx(
        dict.fromkeys(baselines, model["distribution"]["crps"]), rel=1e-3
    ), "constant forecasts differ by their bias only, which the validation period corrects"
    assert np.shape(result.offsets) == (3, 9)
    assert result.flat()["climatology_crps"] == baselines["climatology"]["distribution"]["crps"]
    json.dumps(result.tables(), allow_nan=False)
