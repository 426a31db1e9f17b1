"""Hyperparameter search in worker processes: exactly once, durable, and safe against what goes wrong."""

import contextlib
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import functions
import pytest
from maggy import Searchspace
from maggy.experiment import experiment

from deepcube.oblivious import (
    ExperimentConfigError,
    RecordError,
    SearchConfig,
    SingleRunConfig,
    TrainFunctionError,
    TrainResultError,
    WorkerError,
    trials,
)


def space(**dimensions):
    with contextlib.redirect_stdout(io.StringIO()):
        return Searchspace(**(dimensions or {"x": ("DOUBLE", [0.0, 1.0]), "n": ("INTEGER", [2, 16])}))


def search(train_fn, tmp_path, num_trials=10, searchspace=None, **options):
    options = {"optimization_key": "loss", "direction": "min", "figures": False, "es_policy": "none", **options}
    config = SearchConfig(searchspace or space(), num_trials, directory=tmp_path, **options)
    return experiment.lagom(train_fn, config)


def executed(result):
    return (Path(result["directory"]) / "executed.txt").read_text().splitlines()


@pytest.mark.parametrize(("optimizer", "trials"), [("random", 60), ("tpe", 45), ("gp", 20)])
def test_every_configuration_runs_exactly_once(tmp_path, optimizer, trials):
    result = search(functions.counted, tmp_path, trials, optimizer=optimizer, workers=3)
    lines = [line.split() for line in executed(result)]
    assert len(lines) == len({x for _, x in lines}) == trials == result["result"]["num_trials"]
    assert 1 <= len({pid for pid, _ in lines}) <= 3
    assert result["metric"] == min((float(x) - 0.3) ** 2 for _, x in lines)
    assert result["metrics"]["x"] == result["result"]["best_config"]["x"]
    assert [json.loads(line)["event"] for line in (Path(result["directory"]) / "trials.jsonl").open()].count(
        "end"
    ) == trials


def test_a_grid_is_covered_once_and_a_search_may_be_larger_than_its_space(tmp_path):
    grid = space(x=("DISCRETE", [0.1, 0.2, 0.3]), kind=("CATEGORICAL", ["a", "b"]))
    for optimizer in ("grid", "random"):
        result = search(functions.counted, tmp_path, 20, grid, optimizer=optimizer)
        found = {(t["hparams"]["x"], t["hparams"]["kind"]) for t in result["result"]["trials"]}
        assert len(found) == result["result"]["num_trials"] == 6
        assert result["result"]["best_config"]["x"] == 0.3


@pytest.mark.parametrize(("optimizer", "trials"), [("asha", 30), ("hyperband", 1), ("bohb", 1)])
def test_budgets_reach_the_hyperparameter_that_they_belong_to(tmp_path, optimizer, trials):
    result = search(
        functions.stepped, tmp_path, trials, space(x=("DOUBLE", [0.0, 1.0])), optimizer=optimizer, budget_key="epochs"
    )
    trials = result["result"]["trials"]
    assert {len(t["history"]) for t in trials} == {t["hparams"]["budget"] for t in trials}
    largest = max(t["hparams"]["budget"] for t in trials)
    promoted = [t for t in trials if t["hparams"]["budget"] == largest]
    others = [t["metric"] for t in trials]
    assert largest == (4 if optimizer == "asha" else 9)
    assert min(t["metric"] for t in promoted) <= sorted(others)[len(others) // 2]


def test_the_median_rule_stops_bad_trials(tmp_path):
    options = {"es_policy": "median", "es_min": 4, "hparams": {"epochs": 8}}
    result = search(functions.stepped_to_the_end, tmp_path, 20, **options)
    trials = result["result"]["trials"]
    stopped = [t for t in trials if t["stopped"]]
    assert result["result"]["early_stopped"] == len(stopped) > 0
    # None of the stopped ones came to its end, also where the word came at its last step; all others did.
    assert sorted(map(float, executed(result))) == sorted(t["hparams"]["x"] for t in trials if not t["stopped"])
    assert {len(t["history"]) for t in trials if not t["stopped"]} == {8}
    assert min(len(t["history"]) for t in stopped) < 8
    assert all(t["metric"] == t["history"][-1][1] for t in stopped)
    assert result["result"]["best_id"] not in {t["trial_id"] for t in stopped}
    assert [step["metric"] for step in result["history"]] == sorted(
        (step["metric"] for step in result["history"]), reverse=True
    ), "the history of a search is the best so far"


def test_dead_and_hung_trials_are_retried_or_recorded_as_failed(tmp_path):
    kinds = ["works", "dies", "dies once", "hangs", "hangs once", "raises", "diverges"]
    result = search(
        functions.troubled, tmp_path, 9, space(what=("CATEGORICAL", kinds)), optimizer="grid", trial_timeout=1.5
    )
    by_kind = {t["hparams"]["what"]: t for t in result["result"]["trials"]}
    assert {kind for kind, t in by_kind.items() if t["metric"] == 1.0} == {"works", "dies once", "hangs once"}
    assert "SIGKILL" in by_kind["dies"]["error"]
    assert "no sign of life" in by_kind["hangs"]["error"]
    assert "a bad batch" in by_kind["raises"]["error"]
    assert "expected a finite number" in by_kind["diverges"]["error"]
    lines = executed(result)
    assert [lines.count(kind) for kind in kinds] == [1, 2, 2, 2, 2, 1, 1]


def test_a_worker_that_dies_loses_none_of_the_brief_trials_that_it_was_given_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "_BRIEF_S", 60.0)  # on a busy machine, too
    result = search(functions.brief, tmp_path, 200)
    lines = executed(result)
    assert result["result"]["num_trials"] == len(set(lines)) == 200
    assert len(lines) == 201, "only the one that it died in was run again"
    attempts = [trial["attempts"] for trial in result["result"]["trials"]]
    assert sorted(attempts)[-2:] == [1, 2]
    starts = [json.loads(line) for line in (Path(result["directory"]) / "trials.jsonl").open() if '"start"' in line]
    assert len(starts) > 201, "some had been given out ahead"


def test_hyperband_goes_on_after_failures(tmp_path):
    def fails_often(hparams, reporter):
        if hparams["x"] > 0.3:
            raise ValueError("out of memory")
        return {"loss": hparams["x"]}

    result = search(fails_often, tmp_path, 1, space(x=("DOUBLE", [0.0, 1.0])), optimizer="hyperband")
    assert result["result"]["num_trials"] + len(result["result"]["failed"]) == 20
    assert len(result["result"]["failed"]) > 2


SCRIPT = """
import contextlib, io, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import functions
from maggy import Searchspace
from maggy.experiment import experiment
from deepcube.oblivious import SearchConfig
space = Searchspace(x=("DOUBLE", [0.0, 1.0]))
config = SearchConfig(space, 40, sys.argv[3], direction="min", optimization_key="loss", figures=False, es_policy="none",
                      directory=Path(sys.argv[2]))
experiment.lagom(functions.slow, config)
"""


@pytest.mark.parametrize(
    ("how", "optimizer"),
    [(signal.SIGINT, "tpe"), pytest.param(signal.SIGKILL, "random", marks=pytest.mark.slow)],
)
def test_an_interrupted_search_is_continued_with_no_trial_lost_or_repeated(tmp_path, how, optimizer):
    here = str(Path(__file__).parent)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, here, str(tmp_path), optimizer],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        logs = list(tmp_path.glob("*/executed.txt"))
        if logs and logs[0].read_text().count("end") >= 15:
            break
        time.sleep(0.02)
    process.send_signal(how)
    process.communicate(timeout=60)
    folder = logs[0].parent
    time.sleep(1.5)  # workers end with their experiment
    before = logs[0].read_text()
    time.sleep(0.3)
    assert logs[0].read_text() == before, "a worker outlived its experiment"
    if how == signal.SIGINT:
        assert json.loads((folder / "record.json").read_text())["state"] == "KILLED"
    with (folder / "trials.jsonl").open("a") as journal:
        journal.write('{"event":"end","id":"torn')

    options = {"optimizer": optimizer, "searchspace": space(x=("DOUBLE", [0.0, 1.0])), "resume": folder}
    result = search(functions.slow, tmp_path, 40, **options)
    assert result["result"]["num_trials"] == 40
    assert Path(result["directory"]) == folder
    lines = executed(result)
    begun = [line for line in lines if not line.startswith("end")]
    ended = [line for line in lines if line.startswith("end")]
    assert len(set(ended)) == 40
    repeated = len(ended) - 40
    assert 0 <= repeated <= 2, "only what ended but was not yet recorded when the experiment was killed"
    assert len(set(begun)) == 40
    again = search(functions.slow, tmp_path, 40, **options)
    assert again["metric"] == result["metric"], "a finished search is read from its record"
    assert len(executed(again)) == len(lines)
    with pytest.raises(RecordError, match=r"num_trials 40 .* and 41 now"):
        search(functions.slow, tmp_path, 41, **options)


def test_one_source_in_every_mode(tmp_path):
    single = experiment.lagom(
        functions.stepped,
        SingleRunConfig(hparams={"x": 0.5, "epochs": 2}, optimization_key="loss", directory=tmp_path),
    )
    result = search(functions.stepped, tmp_path, 4, hparams={"epochs": 2})
    assert result["result"]["train_fn_sha256"] == [single["train_fn_sha256"]] == [result["train_fn_sha256"]]


def test_trials_are_seeded_alike_and_isolated_from_each_other(tmp_path):
    def draws(hparams, reporter, seed):
        import random

        import numpy as np

        return {"loss": random.random() + np.random.random(), "seed": seed}

    result = search(draws, tmp_path, 6, seed=5)
    assert len({t["metric"] for t in result["result"]["trials"]}) == 1
    assert {t["metrics"]["seed"] for t in result["result"]["trials"]} == {5}


def test_a_search_is_repeatable_and_leaves_the_global_generators_alone(tmp_path):
    import random

    import numpy as np

    random.seed(1)
    np.random.seed(1)
    expected = (random.random(), np.random.random())
    random.seed(1)
    np.random.seed(1)
    one, two = (search(functions.counted, tmp_path, 20, optimizer="tpe", workers=1, seed=3) for _ in range(2))
    assert (random.random(), np.random.random()) == expected
    assert [t["hparams"] for t in one["result"]["trials"]] == [t["hparams"] for t in two["result"]["trials"]]


def test_figures_mlflow_and_observers(tmp_path):
    from deepcube.oblivious import MlflowTracker

    tracker = MlflowTracker(tmp_path / "mlflow", "search", {"feature_view": "view/1"})
    seen = []
    result = search(
        functions.stepped,
        tmp_path,
        5,
        hparams={"epochs": 3},
        figures=True,
        tracker=tracker,
        observers=[lambda step: bool(seen.append(step))],
    )
    folder = Path(result["directory"])
    assert all((folder / name).stat().st_size > 5000 for name in ("parallel_coordinates.png", "learning_curves.png"))
    assert [step.step for step in seen] == list(range(5))
    parent = result["tracking"]["mlflow_run_id"]
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracker.uri)
    runs = client.search_runs([client.get_experiment_by_name("search").experiment_id])
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent]
    assert len(nested) == 5
    assert {float(run.data.params["x"]) for run in nested} == {t["hparams"]["x"] for t in result["result"]["trials"]}
    assert len(client.get_metric_history(nested[0].info.run_id, "loss")) == 3


class TestBadInput:
    @pytest.fixture(autouse=True)
    def no_process_is_started(self, monkeypatch, request):
        if "late" not in request.keywords:
            monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("a worker was started"))

    def test_an_empty_search_space(self):
        with pytest.raises(ExperimentConfigError, match="empty search space"):
            SearchConfig(Searchspace(), 3)
        with pytest.raises(ExperimentConfigError, match="type dict"):
            SearchConfig({"x": ("DOUBLE", [0, 1])}, 3)

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"optimizer": "annealing"}, "annealing.*random, grid, asha"),
            ({"direction": "down"}, "direction='down'"),
            ({"workers": 0}, "workers=0"),
            ({"num_trials": 0}, "num_trials=0"),
            ({"es_policy": "mean"}, "es_policy='mean'"),
            ({"trial_timeout": 0}, "trial_timeout"),
            ({"optimizer": "grid"}, "only DISCRETE and CATEGORICAL"),
            ({"optimizer": "asha", "num_trials": 3}, "at least 8"),
        ],
    )
    def test_options(self, tmp_path, options, match):
        with pytest.raises(ExperimentConfigError, match=match):
            search(functions.counted, tmp_path, **options)

    def test_a_wrong_signature(self, tmp_path):
        with pytest.raises(TrainFunctionError, match="learning_rate"):
            search(lambda learning_rate: 1.0, tmp_path)

    def test_a_closure_that_cannot_be_shipped(self, tmp_path):
        with (tmp_path / "open.txt").open("w") as file:

            def writes(hparams):
                file.write("x")
                return 1.0

            with pytest.raises(TrainFunctionError, match=r"writes cannot be sent.*variable 'file'"):
                search(writes, tmp_path)

    def test_a_dataset_that_cannot_be_shipped(self, tmp_path):
        with pytest.raises(ExperimentConfigError, match="dataset of type generator"):
            search(functions.counted, tmp_path, dataset=(i for i in range(3)))

    def test_no_record_to_continue(self, tmp_path):
        with pytest.raises(RecordError, match=r"no trials\.jsonl"):
            search(functions.counted, tmp_path, resume=tmp_path)


def test_no_result_and_unknown_metrics_end_a_search_at_its_first_trial(tmp_path):
    with pytest.raises(TrainResultError, match="NoneType"):
        search(lambda hparams: None, tmp_path)
    with pytest.raises(TrainResultError, match=r"\['accuracy'\].*'loss'"):
        search(lambda hparams: {"accuracy": 1.0}, tmp_path)
    folders = [folder for folder in tmp_path.iterdir() if (folder / "record.json").exists()]
    assert {json.loads((folder / "record.json").read_text())["state"] for folder in folders} == {"FAILED"}


def test_a_search_in_which_everything_fails_shows_why(tmp_path):
    def broken(hparams):
        raise ValueError("no such column")

    with pytest.raises(WorkerError, match="no such column"):
        search(broken, tmp_path, 3)


def test_workers_that_cannot_start_show_why(tmp_path):
    class Unloadable:
        def __reduce__(self):
            return (__import__, ("a_module_that_only_the_driver_has",))

    with pytest.raises(WorkerError, match="a_module_that_only_the_driver_has"):
        search(functions.counted, tmp_path, 3, dataset=Unloadable())
    with pytest.raises(WorkerError, match="status 1"):
        search(functions.counted, tmp_path, 3, environment={"PYTHONHASHSEED": "not a number"})


def test_payload_and_secret_are_private(tmp_path):
    result = search(functions.counted, tmp_path, 1)
    job = Path(result["directory"]) / "job"
    assert job.stat().st_mode & 0o77 == 0
    assert all(file.stat().st_mode & 0o77 == 0 for file in job.iterdir())
