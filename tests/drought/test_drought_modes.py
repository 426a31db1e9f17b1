"""Every mode of training the drought model, with the same training function, on simulated rows."""

import numpy as np
import pytest
from maggy.experiment import experiment

from deepcube.cubes import TimeSplit
from deepcube.oblivious import MlflowTracker
from features import drought
from training_pipelines.drought import HPARAMS, modes
from training_pipelines.drought.data import Samples, TrainingData
from training_pipelines.drought.model import train_fn
from training_pipelines.studies import TrainingDataError, check_mode

QUICK = {**HPARAMS, "epochs": 2, "batch_size": 64}


def simulated(rows, seed):
    """Return rows whose targets follow the climatology and, a little, the last observation."""
    rng = np.random.default_rng(seed)
    inputs = rng.uniform(0.2, 0.8, size=(rows, len(drought.FEATURE_NAMES)))
    climatology = [drought.FEATURE_NAMES.index(name) for name in drought.CLIMATOLOGY]
    targets = inputs[:, climatology] + 0.3 * (inputs[:, [0]] - 0.5) + rng.normal(scale=0.01, size=(rows, 3))
    return Samples(inputs.astype("float32"), targets.astype("float32"))


@pytest.fixture(scope="module")
def data():
    parts = [simulated(rows, seed) for seed, rows in enumerate((256, 128, 64))]
    return TrainingData(*parts, split=TimeSplit(*["2020-01-01"] * 6), version=1)


def tell(fraction, message):
    assert 0 <= fraction <= 1


def test_a_search_chooses_within_its_space_and_keeps_the_rest(data, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCUBE_HOME", str(tmp_path))
    monkeypatch.setattr(modes, "_TRIALS", 3)
    with MlflowTracker(tmp_path / "mlflow", "drought") as tracker:
        found = modes.study("hpo", data, QUICK, tracker, tell, "cube (simulated)")
    assert found.summary["trials"] == 3
    assert found.hparams["units"] in modes.SEARCH_SPACE["units"][1]
    assert {name: found.hparams[name] for name in ("epochs", "batch_size")} == {"epochs": 2, "batch_size": 64}
    assert found.summary["best_validation_rmse"] > 0
    assert {path.name for path in found.figures} == {"learning_curves.png", "parallel_coordinates.png"}


@pytest.mark.slow
def test_an_ablation_ranks_every_input(data, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCUBE_HOME", str(tmp_path))
    with MlflowTracker(tmp_path / "mlflow", "drought") as tracker:
        found = modes.study("ablation", data, QUICK, tracker, tell, "cube (simulated)")
    assert set(found.summary["ranking"]) == set(drought.FEATURE_NAMES)
    assert found.summary["ranking"][0] in drought.CLIMATOLOGY
    assert found.hparams == QUICK


@pytest.mark.slow
def test_two_workers_train_what_one_process_trains(data, tmp_path):
    single, parallel = (
        experiment.lagom(train_fn, modes.config(mode, data, QUICK, 1, directory=tmp_path))
        for mode in ("single", "data-parallel")
    )
    assert parallel["metric"] == pytest.approx(single["metric"], rel=1e-3)
    assert parallel["train_fn_sha256"] == single["train_fn_sha256"]


def test_an_input_that_is_left_out_is_its_training_mean_in_both_periods(data):
    name = drought.FEATURE_NAMES[3]
    train, validation = modes.without_feature((data.train, data.validation), name)
    mean = data.train.inputs[:, 3].mean()
    np.testing.assert_allclose(train.inputs[:, 3], mean, rtol=1e-6)
    np.testing.assert_allclose(validation.inputs[:, 3], mean, rtol=1e-6)
    assert np.ptp(data.train.inputs[:, 3]) > 0


def test_an_unknown_mode_is_named():
    with pytest.raises(TrainingDataError, match=r"'horovod'.*single, hpo, ablation, data-parallel"):
        check_mode("horovod", modes.MODES)
