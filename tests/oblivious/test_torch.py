"""Data-parallel and sharded training in torch equals a single process that is fed the same global batches."""

import json
from pathlib import Path

import pytest
from maggy.experiment import experiment

from deepcube.oblivious import ExperimentConfigError, SingleRunConfig, WorkerError
from deepcube.oblivious.distributed import DistributedConfig
from deepcube.oblivious.torch_strategies import FullySharded

torch = pytest.importorskip("torch", reason="torch is optional")
functions_torch = pytest.importorskip("functions_torch")

STRATEGIES = ["ddp", "replicate", "zero1", "fsdp2"]
TOLERANCE = 1e-5
"""Relative: sums of 32-bit floats in another order."""


def data():
    return functions_torch.make_data(150), functions_torch.make_data(70, seed=2)


def common(tmp_path, **hparams):
    return {
        "model": functions_torch.Net,
        "dataset": data(),
        "hparams": hparams,
        "optimization_key": "loss",
        "directory": tmp_path,
        "seed": 3,
    }


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return experiment.lagom(functions_torch.train_fn, SingleRunConfig(**common(tmp_path_factory.mktemp("single"))))


def distributed(tmp_path, strategy, hparams=None, **options):
    config = DistributedConfig(strategy, **{**common(tmp_path, **(hparams or {})), **options})
    return experiment.lagom(functions_torch.train_fn, config)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_distributed_equals_single_also_where_the_last_batch_is_uneven(tmp_path, single, strategy):
    """150 rows in batches of 32: the last has 22, of which three ranks get 7, 7 and 8."""
    result = distributed(tmp_path, strategy, ranks=3 if strategy == "ddp" else 2)
    for ours, theirs in zip(result["history"], single["history"], strict=True):
        assert ours["metric"] == pytest.approx(
            theirs.metric if hasattr(theirs, "metric") else theirs["metric"], rel=TOLERANCE
        )
    assert result["metric"] == pytest.approx(single["metric"], rel=TOLERANCE)
    assert result["result"]["train_fn_sha256"] == [single["train_fn_sha256"]]
    held = [rank["optimizer_elements"] for rank in result["result"]["ranks"]]
    whole = 2 * sum(p.numel() for p in functions_torch.Net().parameters())
    if strategy in ("ddp", "replicate"):
        assert set(held) == {whole}
    else:
        assert sum(held) == whole
        assert max(held) < whole


def test_a_batch_size_per_rank_makes_the_global_batch_larger(tmp_path, single):
    per_rank = distributed(tmp_path, "ddp", {"batch_size": 16}, batch_size="per_rank")
    assert per_rank["metric"] == pytest.approx(single["metric"], rel=TOLERANCE)


def test_split_evaluation_is_the_mean_over_ranks(tmp_path, single):
    split = distributed(tmp_path, "ddp", evaluation="split")
    assert split["metric"] == pytest.approx(single["metric"], rel=0.05)


@pytest.mark.parametrize("strategy", ["ddp", "zero1", "fsdp2"])
def test_a_dead_rank_ends_the_job_and_training_goes_on_from_the_checkpoint(tmp_path, single, strategy):
    whole = distributed(tmp_path, strategy, {"epochs": 4})
    result = distributed(tmp_path, strategy, {"epochs": 4, "keep": True, "trouble": "dies"}, restarts=1)
    assert result["result"]["attempts"] == 2
    assert result["metrics"]["began"] == 2
    assert result["state"] == "FINISHED"
    if strategy != "ddp":
        assert len(result["history"]) == 2
    # The order of rows begins anew after a restart, so the numbers are close but not the same.
    assert result["metric"] == pytest.approx(whole["metric"], rel=0.2)


def test_a_failing_rank_ends_the_job_with_its_own_traceback(tmp_path):
    with pytest.raises(WorkerError, match=r"Rank 1 of 2 failed with ArithmeticError(.|\n)*only in rank 1"):
        distributed(tmp_path, "ddp", {"trouble": "raises"})
    with pytest.raises(WorkerError, match="Rank 1 of 2 ended by signal SIGKILL"):
        distributed(tmp_path, "ddp", {"trouble": "dies"})
    states = [json.loads((folder / "record.json").read_text())["state"] for folder in Path(tmp_path).iterdir()]
    assert states == ["FAILED", "FAILED"]


def test_observers_stop_all_ranks(tmp_path):
    result = distributed(tmp_path, "ddp", {"epochs": 9}, observers=[lambda step: step.step == 1])
    assert (result["state"], len(result["history"])) == ("EARLY_STOPPED", 2)


class TestBadInput:
    @pytest.mark.parametrize(
        ("strategy", "options", "match"),
        [
            ("horovod", {}, "strategy='horovod'.*ddp"),
            ("ddp", {"ranks": 0}, "ranks=0"),
            ("ddp", {"ranks": 151}, "150 rows of training data for 151 ranks"),
            ("ddp", {"batch_size": "rank"}, "batch_size='rank'"),
            ("ddp", {"evaluation": "half"}, "evaluation='half'"),
        ],
    )
    def test_options(self, tmp_path, strategy, options, match):
        with pytest.raises(ExperimentConfigError, match=match):
            distributed(tmp_path, strategy, **options)

    def test_a_model_that_is_no_factory(self, tmp_path):
        with pytest.raises(ExperimentConfigError, match="a function or class that builds one"):
            distributed(tmp_path, FullySharded(units=("Linear",)), model=functions_torch.Net())
