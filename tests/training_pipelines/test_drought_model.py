"""The drought network and its training function."""

from pathlib import Path

import numpy as np
import pytest
from maggy.experiment import experiment

from deepcube.oblivious import MODEL_FILE, SingleRunConfig, score
from features import drought
from training_pipelines.drought import HPARAMS
from training_pipelines.drought.data import Samples
from training_pipelines.drought.evaluation import baseline_forecasts
from training_pipelines.drought.model import build_model, ensemble, load_network, masked_mse, predict, train_fn

MEMORY = 0.8
NOISE = 0.05


def simulated(rows: int, seed: int) -> Samples:
    """Anomalies that fade by a fifth per step around a seasonal NDVI: an AR(1) process, with gaps in the targets."""
    rng = np.random.default_rng(seed)
    season = rng.uniform(0, 2 * np.pi, rows)
    series = np.zeros((rows, 60))
    for step in range(1, 60):
        series[:, step] = MEMORY * series[:, step - 1] + rng.normal(0, NOISE, rows)
    now = 60 - 1 - len(drought.HORIZONS)
    values = {
        "season_sin": np.sin(season),
        "season_cos": np.cos(season),
        "ndvi_climatology_now": 0.5 + 0.2 * np.sin(season),
    }
    values |= {f"ndvi_anomaly_lag_{lag}": series[:, now - lag] for lag in drought.LAGS}
    values |= {f"ndvi_climatology_step_{h}": 0.5 + 0.2 * np.sin(season + 0.1 * h) for h in drought.HORIZONS}
    values["ndvi_last_observed"] = values["ndvi_climatology_now"] + series[:, now]
    inputs = np.stack([values.get(name, np.zeros(rows)) for name in drought.FEATURE_NAMES], axis=1)
    targets = np.stack([values[f"ndvi_climatology_step_{h}"] + series[:, now + h] for h in drought.HORIZONS], axis=1)
    targets[rng.random(targets.shape) < 0.2] = np.nan
    targets[:, 0] = np.where(np.isnan(targets).all(axis=1), 0.5, targets[:, 0])
    return Samples(inputs.astype("float32"), targets.astype("float32"))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict:
    hparams = {**HPARAMS, "l2": 1e-4, "batch_size": 256, "epochs": 12}
    config = SingleRunConfig(
        model=build_model,
        dataset=(simulated(6000, 1), simulated(1500, 2)),
        hparams=hparams,
        optimization_key="validation_rmse",
        directory=tmp_path_factory.mktemp("runs"),
    )
    return experiment.lagom(train_fn, config)


def test_the_untrained_network_is_the_climatology():
    samples = simulated(50, 0)
    network = build_model(samples.inputs, units=4, l2=0.0)
    assert np.allclose(predict(network, samples.inputs), baseline_forecasts(samples)["climatology"], atol=1e-6)


def test_the_normalisation_is_of_the_given_inputs_and_part_of_the_model(tmp_path):
    inputs = simulated(200, 0).inputs
    network = build_model(inputs, units=0, l2=0.0)
    network.save(tmp_path / MODEL_FILE)
    layer = load_network(tmp_path / MODEL_FILE).get_layer("normalisation")
    assert np.allclose(np.ravel(layer.mean), inputs.mean(axis=0), atol=1e-6)
    varying = inputs.std(axis=0) > 1e-6
    assert np.allclose(np.ravel(layer.variance)[varying], inputs.var(axis=0)[varying], rtol=1e-4)
    assert np.allclose(np.ravel(layer.variance)[~varying], 1), "a constant input must not be divided by zero"


def test_the_learnt_part_does_not_see_the_level_of_ndvi(result):
    network, samples = load_network(Path(result["directory"]) / MODEL_FILE), simulated(100, 4)
    level = [*drought.CLIMATOLOGY, "ndvi_climatology_now", drought.PERSISTENCE]
    shifted = samples.inputs.copy()
    shifted[:, [drought.FEATURE_NAMES.index(name) for name in level]] += 0.25
    assert np.allclose(predict(network, shifted), predict(network, samples.inputs) + 0.25, atol=1e-6)


def test_masked_loss_by_hand():
    truth = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]], dtype="float32")
    forecast = np.array([[2.0, 9.0, 1.0], [1.0, 1.0, 1.0]], dtype="float32")
    assert np.asarray(masked_mse(truth, forecast)).tolist() == pytest.approx([5 / 3, 0.0])


def test_training_nears_the_best_possible_forecast(result):
    test = simulated(4000, 3)
    network = load_network(Path(result["directory"]) / MODEL_FILE)
    trained = score(test.targets, predict(network, test.inputs)).rmse
    anomaly = test.columns(["ndvi_anomaly_lag_0"])
    damped = baseline_forecasts(test)["climatology"] + anomaly * MEMORY ** np.array(drought.HORIZONS)
    best = score(test.targets, damped).rmse
    baselines = {name: score(test.targets, forecast).rmse for name, forecast in baseline_forecasts(test).items()}
    assert best < trained < 1.05 * best
    assert trained < 0.95 * min(baselines.values())


def test_the_run_reports_every_epoch_and_keeps_the_best_weights(result):
    reported = [step["metric"] for step in result["history"]]
    assert len(reported) == result["metrics"]["epochs"] >= 2
    observed = np.isfinite(simulated(1500, 2).targets).mean()
    assert -1e-7 <= result["metric"] ** 2 - min(reported) ** 2 <= HPARAMS["min_delta"] / observed
    network = load_network(Path(result["directory"]) / MODEL_FILE)
    validation = simulated(1500, 2)
    assert score(validation.targets, predict(network, validation.inputs)).rmse == pytest.approx(result["metric"])


def test_what_does_not_help_in_the_validation_period_is_not_kept(tmp_path):
    validation = simulated(600, 2)
    normal = baseline_forecasts(validation)["climatology"]
    opposite = Samples(validation.inputs, (2 * normal - validation.targets).astype("float32"))  # wet after dry
    config = SingleRunConfig(
        model=build_model,
        dataset=(simulated(1500, 1), opposite),
        hparams={**HPARAMS, "batch_size": 256, "epochs": 2},
        optimization_key="validation_rmse",
        directory=tmp_path,
    )
    found = experiment.lagom(train_fn, config)
    assert min(step["metric"] for step in found["history"]) > found["metric"]
    network = load_network(Path(found["directory"]) / MODEL_FILE)
    assert np.allclose(predict(network, opposite.inputs), normal, atol=1e-6)


def test_an_ensemble_is_the_mean_of_its_members(tmp_path):
    samples = simulated(100, 0)
    members = [build_model(samples.inputs, units=4, l2=0.0) for _ in range(3)]
    for seed, member in enumerate(members):
        rng = np.random.default_rng(seed)
        member.set_weights([w + rng.normal(0, 0.1, w.shape) if w.ndim == 2 else w for w in member.get_weights()])
    forecasts = [predict(member, samples.inputs) for member in members]
    ensemble(members).save(tmp_path / MODEL_FILE)
    assert np.allclose(
        predict(load_network(tmp_path / MODEL_FILE), samples.inputs), np.mean(forecasts, axis=0), atol=1e-6
    )
    assert np.array_equal(predict(ensemble(members[:1]), samples.inputs), forecasts[0])
