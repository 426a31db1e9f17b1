"""Keras over several workers of TensorFlow and several devices of JAX equals a single process."""

from pathlib import Path

import functions_keras
import pytest
from maggy.experiment import experiment

from deepcube.oblivious import DistributedConfig, SingleRunConfig, WorkerError
from deepcube.oblivious.checkpoints import Checkpoints

TOLERANCE = 1e-5
"""Relative: sums of 32-bit floats in another order."""


def common(tmp_path, **hparams):
    return {
        "model": functions_keras.build,
        "dataset": (functions_keras.make_data(160), functions_keras.make_data(64, seed=2)),
        "hparams": hparams,
        "optimization_key": "loss",
        "directory": tmp_path,
        "seed": 3,
    }


def history(result):
    return [step["metric"] for step in result["history"]]


def test_mirrored_workers_equal_a_single_process(tmp_path):
    single = experiment.lagom(functions_keras.train_fn, SingleRunConfig(**common(tmp_path)))
    result = experiment.lagom(functions_keras.train_fn, DistributedConfig("mirrored", **common(tmp_path)))
    assert history(result) == pytest.approx(history(single), rel=TOLERANCE)
    assert result["metric"] == pytest.approx(single["metric"], rel=TOLERANCE)
    assert result["result"]["train_fn_sha256"] == [single["train_fn_sha256"]]
    assert len(result["result"]["ranks"]) == 2


def test_mirrored_workers_save_together(tmp_path):
    """Some variables of metrics are sums over the workers: one that reads them alone gets out of step with the rest."""
    result = experiment.lagom(functions_keras.keeps, DistributedConfig("mirrored", **common(tmp_path, epochs=2)))
    network = functions_keras.build()
    network.compile(optimizer="adam", loss="mse", jit_compile=False)
    Checkpoints(Path(result["directory"]), 0).restore({"network": network})
    loss = network.evaluate(*common(tmp_path)["dataset"][1], batch_size=32, verbose=0)
    assert loss == pytest.approx(result["metric"], rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["jax-data", "jax-model"])
def test_two_devices_of_jax_equal_one(tmp_path, strategy):
    """Keras draws other weights on JAX than on TensorFlow: the reference is the same strategy on one device."""
    one, two = (
        experiment.lagom(functions_keras.train_fn, DistributedConfig(strategy, ranks, **common(tmp_path)))
        for ranks in (1, 2)
    )
    assert [result["result"]["ranks"][0]["devices"] for result in (one, two)] == [1, 2]
    assert history(two) == pytest.approx(history(one), rel=TOLERANCE)


@pytest.mark.slow
def test_a_batch_size_per_rank_makes_the_global_batch_larger(tmp_path):
    single = experiment.lagom(functions_keras.train_fn, SingleRunConfig(**common(tmp_path)))
    config = DistributedConfig("mirrored", batch_size="per_rank", **common(tmp_path, batch_size=16))
    assert experiment.lagom(functions_keras.train_fn, config)["metric"] == pytest.approx(
        single["metric"], rel=TOLERANCE
    )


@pytest.mark.slow
def test_a_dead_worker_ends_the_job_and_training_goes_on_from_the_checkpoint(tmp_path):
    """Rows come in the same order in every epoch here, so that the result is that of a run without trouble."""
    whole = experiment.lagom(functions_keras.keeps, DistributedConfig("mirrored", **common(tmp_path, epochs=4)))
    troubled = common(tmp_path, epochs=4, dies=True)
    with pytest.raises(WorkerError, match="Rank 1 of 2 ended by signal SIGKILL"):
        experiment.lagom(functions_keras.keeps, DistributedConfig("mirrored", **troubled))
    result = experiment.lagom(functions_keras.keeps, DistributedConfig("mirrored", restarts=1, **troubled))
    assert result["result"]["attempts"] == 2
    assert result["metrics"]["began"] == 2
    assert result["metric"] == pytest.approx(whole["metric"], rel=TOLERANCE)
