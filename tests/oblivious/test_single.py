"""A single run behind Maggy's public call."""

import json
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from maggy.experiment import experiment

from deepcube.oblivious import ExperimentConfigError, SingleRunConfig, TrainFunctionError, TrainResultError


def halve(hparams, reporter):
    value = hparams["start"]
    for _ in range(hparams["steps"]):
        value /= 2
        reporter.broadcast(value, metrics={"double": 2 * value})
    (reporter.directory / "model.txt").write_text(str(value))
    return {"value": value, "steps": hparams["steps"]}


def run(train_fn, tmp_path, **options):
    return experiment.lagom(train_fn, SingleRunConfig(optimization_key="value", directory=tmp_path, **options))


def record_of(result):
    return json.loads((Path(result["directory"]) / "record.json").read_text())


def test_metric_history_files_and_record(tmp_path):
    result = run(halve, tmp_path, hparams={"start": 1.0, "steps": 3}, name="a name/with slash")
    assert result["metric"] == 0.125
    assert result["metrics"] == {"value": 0.125, "steps": 3.0}
    assert [(step["step"], step["metric"]) for step in result["history"]] == [(0, 0.5), (1, 0.25), (2, 0.125)]
    folder = Path(result["directory"])
    assert folder.parent == tmp_path
    assert (folder / "model.txt").read_text() == "0.125"
    record = record_of(result)
    assert record["state"] == "FINISHED"
    assert record["history"][-1] == {"step": 2, "metric": 0.125, "metrics": {"double": 0.25}}
    assert record["hparams"] == {"start": 1.0, "steps": 3}
    assert record["environment"]["maggy"] == "1.1.2"


def test_two_runs_never_share_a_folder(tmp_path):
    options = {"hparams": {"start": 1.0, "steps": 1}}
    assert run(halve, tmp_path, **options)["directory"] != run(halve, tmp_path, **options)["directory"]


def test_an_exception_surfaces_as_it_was_raised_and_is_recorded(tmp_path):
    class Broken(Exception):
        pass

    def train_fn(reporter):
        reporter.broadcast(1.0)
        raise Broken("disk full")

    with pytest.raises(Broken, match="disk full"):
        run(train_fn, tmp_path)
    (folder,) = tmp_path.iterdir()
    record = json.loads((folder / "record.json").read_text())
    assert record["state"] == "FAILED"
    assert "disk full" in record["error"]
    assert len(record["history"]) == 1
    assert run(halve, tmp_path, hparams={"start": 1.0, "steps": 1})["metric"] == 0.5, "a failure blocks the next run"


def test_nothing_is_written_for_a_function_that_cannot_be_called(tmp_path):
    with pytest.raises(TrainFunctionError, match="learning_rate"):
        run(lambda learning_rate: 0, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_result_is_a_failure(tmp_path):
    with pytest.raises(TrainResultError, match="NoneType"):
        run(lambda hparams: None, tmp_path)


def test_an_observer_ends_the_run_early(tmp_path):
    options = {"start": 1.0, "steps": 9}
    result = run(halve, tmp_path, hparams=options, observers=[lambda step: step.metric < 0.2])
    assert (result["state"], result["metric"], len(result["history"])) == ("EARLY_STOPPED", 0.125, 3)


def test_the_seed_decides_every_random_draw(tmp_path):
    def train_fn(hparams, seed):
        return {"value": random.random() + np.random.random(), "seed": seed}

    one, two, other = (run(train_fn, tmp_path, seed=seed) for seed in (1, 1, 2))
    assert one["metric"] == two["metric"] != other["metric"]
    assert other["metrics"]["seed"] == 2


def test_the_training_function_gets_its_own_copy_of_the_hyperparameters(tmp_path):
    def train_fn(hparams):
        return hparams.pop("value")

    config = SingleRunConfig(hparams={"value": 1.0}, directory=tmp_path)
    assert experiment.lagom(train_fn, config)["hparams"] == config.hparams == {"value": 1.0}


def test_home_and_current_folder_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = os.environ["HOME"]
    run(halve, tmp_path / "runs", hparams={"start": 1.0, "steps": 1})
    assert os.environ["HOME"] == home
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True])
def test_bad_seeds_are_named(seed):
    with pytest.raises(ExperimentConfigError, match="seed"):
        SingleRunConfig(seed=seed)


@pytest.mark.parametrize("pyspark", ["as installed", "absent"])
def test_spark_is_never_started(tmp_path, pyspark):
    script = """
        import subprocess, sys
        if sys.argv[1] == "absent":
            sys.modules["pyspark"] = None
        from maggy.experiment import experiment
        from deepcube.oblivious import SingleRunConfig
        started, watched = [], ("subprocess.Popen", "socket.bind")
        sys.addaudithook(lambda event, args: started.append(event) if event in watched else None)
        print(experiment.lagom(lambda hparams: 0.5, SingleRunConfig())["metric"], started)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), pyspark],
        env={**os.environ, "DEEPCUBE_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["0.5 []"], done.stderr


def test_a_worker_imports_no_framework():
    script = "import sys; from deepcube.oblivious import Reporter, leaving_out; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
