"""The same training on every launcher."""

import sys

import functions_torch_free
import pytest
from maggy.experiment import experiment

from deepcube.oblivious import DistributedConfig, LocalLauncher, SearchConfig, WorkerError
from deepcube.oblivious.cluster_launchers import RayLauncher, SparkLauncher, TorchrunLauncher, require


def launch(tmp_path, launcher, train_fn=functions_torch_free.ranked):
    config = DistributedConfig(
        functions_torch_free.Alone(), 2, launcher=launcher, optimization_key="loss", directory=tmp_path
    )
    return experiment.lagom(train_fn, config)["result"]


@pytest.mark.parametrize(
    "launcher",
    [
        LocalLauncher,
        pytest.param(SparkLauncher, marks=pytest.mark.slow),
        pytest.param(RayLauncher, marks=pytest.mark.slow),
        pytest.param(TorchrunLauncher, marks=pytest.mark.slow),
    ],
)
def test_every_launcher_starts_all_ranks_which_learn_of_each_other(tmp_path, launcher):
    if launcher is TorchrunLauncher:
        pytest.importorskip("torch", reason="torch is optional")
    result = launch(tmp_path, launcher())
    assert result["launcher"] == launcher.name
    assert [(rank["rank"], rank["known"]) for rank in result["ranks"]] == [(0, 2), (1, 2)]
    with pytest.raises(WorkerError, match=r"only in rank 1"):
        launch(tmp_path, launcher(), functions_torch_free.fails_in_one)


@pytest.mark.slow
def test_the_executors_of_a_cluster_are_launched_on_too(tmp_path, monkeypatch):
    """Executors in processes of their own, as those of a PYSPARK job, whose session is given in the same way."""
    from pyspark.sql import SparkSession

    if (active := SparkSession.getActiveSession()) is not None:
        active.stop()
    builder = SparkSession.builder.master("local-cluster[2,1,1024]").config("spark.ui.enabled", "false")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    session = builder.getOrCreate()
    try:
        result = launch(tmp_path, SparkLauncher(session))
        assert [(rank["rank"], rank["known"]) for rank in result["ranks"]] == [(0, 2), (1, 2)]
        with pytest.raises(WorkerError, match=r"only in rank 1"):
            launch(tmp_path, SparkLauncher(session), functions_torch_free.fails_in_one)
    finally:
        session.stop()


@pytest.mark.slow
def test_a_search_runs_on_another_launcher_too(tmp_path):
    from maggy import Searchspace

    config = SearchConfig(
        Searchspace(x=("DOUBLE", [0.0, 1.0])),
        6,
        launcher=SparkLauncher(),
        optimization_key="loss",
        direction="min",
        figures=False,
        directory=tmp_path,
    )
    assert experiment.lagom(functions_torch_free.squared, config)["result"]["num_trials"] == 6


def test_a_launcher_that_is_not_installed_is_named():
    with pytest.raises(WorkerError, match="no dusk, which launcher 'dawn' needs"):
        require("dusk", "dawn")
