"""A rank that dies on any launcher is named with how it ended, and training goes on from the last checkpoint."""

import pytest
from maggy.experiment import experiment

from deepcube.oblivious import DistributedConfig, WorkerError
from deepcube.oblivious.cluster_launchers import (
    RayLauncher,
    SparkLauncher,
    TorchrunLauncher,
    _AgentFleet,
    _ThreadFleet,
    run_beside,
)

ENGINES = [
    pytest.param(launcher, marks=pytest.mark.slow, id=launcher.name)
    for launcher in (TorchrunLauncher, SparkLauncher, RayLauncher)
]


@pytest.mark.parametrize("launcher", ENGINES)
def test_a_dead_rank_ends_the_job_and_training_goes_on_from_the_checkpoint(tmp_path, launcher):
    functions_torch = pytest.importorskip("functions_torch", reason="torch is optional")
    common = {
        "model": functions_torch.Net,
        "dataset": (functions_torch.make_data(150), functions_torch.make_data(70, seed=2)),
        "hparams": {"epochs": 4, "keep": True, "trouble": "dies"},
        "optimization_key": "loss",
    }
    with pytest.raises(WorkerError, match="Rank 1 of 2 ended by signal SIGKILL"):
        experiment.lagom(
            functions_torch.train_fn,
            DistributedConfig("ddp", launcher=launcher(), directory=tmp_path / "once", **common),
        )
    result = experiment.lagom(
        functions_torch.train_fn,
        DistributedConfig("ddp", launcher=launcher(), directory=tmp_path / "again", restarts=1, **common),
    )
    assert result["result"]["attempts"] == 2
    assert result["metrics"]["began"] == 2
    assert [step["step"] for step in result["history"]] == [2, 3]


class Ended(Exception):
    """As an engine raises: the worker's own words somewhere in a long text."""


def test_an_engines_traceback_is_searched_for_the_worker_that_died():
    said = "Job aborted due to stage failure:\n  RuntimeError: worker 1 ended by signal SIGKILL; it printed last:\nout "
    said += "of memory\n(end of worker 1)\n\n\tat org.apache.spark.api.python.BasePythonRunner(PythonRunner.scala:1)"

    def run():
        raise Ended(said)

    fleet = _ThreadFleet(run, lambda: None, 3, revives=False)
    fleet.stop()
    dead = fleet.dead()
    assert list(dead) == [1, 0, 2]
    assert dead[1] == "ended by signal SIGKILL; it printed last:\nout of memory"
    assert dead[0] == dead[2] == f"was ended because worker 1 {dead[1]}"


def test_without_a_culprit_every_worker_is_dead_in_the_engines_own_words():
    closed = []

    def run():
        raise Ended("the cluster is gone")

    fleet = _ThreadFleet(run, lambda: None, 2, revives=False, close=lambda: closed.append(1))
    fleet.stop()
    fleet.stop()
    assert fleet.dead() == dict.fromkeys(range(2), "ended: the cluster is gone")
    assert closed == [1]


def test_the_agents_report_is_searched_for_the_rank_that_died_first(tmp_path):
    (tmp_path / "worker-0.log").write_text(
        "Failures:\n  <NO_OTHER_FAILURES>\nRoot Cause (first observed failure):\n[0]:\n  time      : 2026-11-22\n"
        "  rank      : 1 (local_rank: 1)\n  exitcode  : -9 (pid: 7)\n  error_file: <N/A>\n"
    )

    class Process:
        def poll(self):
            return 1

    dead = _AgentFleet(Process(), 2, tmp_path).dead()
    assert list(dead) == [1, 0]
    assert dead[1].startswith("ended by signal SIGKILL; it printed last:")


def test_a_worker_beside_an_engine_that_fails_says_what_it_printed(tmp_path):
    parts = {"payload": b"", "host": "127.0.0.1", "port": 9, "secret": b"", "environment": {}, "revive": False}
    with pytest.raises(RuntimeError, match=r"worker 3 ended with status 1(.|\n)*Error(.|\n)*\(end of worker 3\)"):
        run_beside({**parts, "path": "/nowhere"}, 3, None)
