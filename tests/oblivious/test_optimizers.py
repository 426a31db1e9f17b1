"""Maggy's optimizers, corrected; Maggy's own classes are the oracle where they are right."""

import contextlib
import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maggy import Searchspace
from maggy.optimizer.asha import Asha as MaggyAsha
from maggy.optimizer.bayes.tpe import TPE as MaggyTPE

from deepcube.oblivious.optimizers import expected_improvement
from deepcube.oblivious.suggesting import Suggester

MIXED = {
    "x": ("DOUBLE", [0.0, 1.0]),
    "n": ("INTEGER", [1, 9]),
    "kind": ("CATEGORICAL", ["a", "b", "c"]),
    "size": ("CATEGORICAL", [16, 32]),
    "step": ("DISCRETE", [1, 5, 7]),
}


def space(dimensions):
    with contextlib.redirect_stdout(io.StringIO()):
        return Searchspace(**dimensions)


def play(suggester, objective, workers=3, fails=lambda trial: False):
    """Run a search in this process: ``workers`` trials at a time, the oldest ends first."""
    running, order = [], []
    while True:
        while len(running) < workers and (trial := suggester.next()):
            running.append(trial)
            order.append(trial)
        if not running:
            return order
        trial = running.pop(0)
        if fails(trial):
            suggester.fail(trial)
        else:
            suggester.finish(trial, objective(trial.params))


def bowl(params):
    return (params["x"] - 0.7) ** 2 + (0.0 if params.get("kind", "b") == "b" else 0.5)


@pytest.mark.parametrize("direction", ["min", "max"])
def test_asha_promotes_the_good_ones(direction):
    """Maggy sorts descending whatever the direction."""
    suggester = Suggester("asha", space({"x": ("DOUBLE", [0.0, 1.0])}), 60, direction, 0)
    trials = play(suggester, lambda params: params["x"], workers=1)
    waiting, promotions = set(), 0
    for params in [trial.params for trial in trials]:
        if params["budget"] == 1:
            waiting.add(params["x"])
        elif params["budget"] == 2:
            assert params["x"] == (min if direction == "min" else max)(waiting)
            waiting.discard(params["x"])
            promotions += 1
    assert promotions >= 2


def test_maggys_own_asha_is_corrected_too():
    ours, theirs = (
        [t.params for t in play(Suggester(asha, space({"x": ("DOUBLE", [0.0, 1.0])}), 60, "min", 0), bowl)]
        for asha in ("asha", MaggyAsha(2, 1, 4))
    )
    assert ours == theirs


@pytest.mark.parametrize("optimizer", ["random", "tpe", "gp", "asha", "hyperband", "bohb"])
def test_mixed_spaces_stay_mixed(optimizer):
    suggester = Suggester(optimizer, space(MIXED), 32, "min", 1)
    for trial in play(suggester, bowl):
        p = trial.params
        assert isinstance(p["x"], float)
        assert 0 <= p["x"] <= 1
        assert isinstance(p["n"], int)
        assert p["kind"] in ("a", "b", "c")
        assert p["size"] in (16, 32)
        assert p["step"] in (1, 5, 7)


@pytest.mark.parametrize("optimizer", ["random", "tpe", "gp"])
@pytest.mark.parametrize("workers", [1, 4])
def test_no_trial_too_many(optimizer, workers):
    """Maggy runs n + workers - 1."""
    suggester = Suggester(optimizer, space({"x": ("DOUBLE", [0.0, 1.0])}), 22, "min", 0)
    assert len(play(suggester, bowl, workers)) == 22


@pytest.mark.parametrize(("optimizer", "trials", "seeds"), [("tpe", 60, 5), ("gp", 26, 2)])
def test_models_propose_better_configurations_than_chance(optimizer, trials, seeds):
    def later(name, seed):
        order = play(Suggester(name, space({k: MIXED[k] for k in ("x", "kind")}), trials, "min", seed), bowl)
        return np.mean([bowl(trial.params) for trial in order[18:]])

    assert np.mean([later(optimizer, s) for s in range(seeds)]) < 0.7 * np.mean([later("random", s) for s in range(9)])


@pytest.mark.parametrize("optimizer", ["hyperband", "bohb"])
def test_failed_trials_do_not_stop_hyperband(optimizer):
    suggester = Suggester(optimizer, space({"x": ("DOUBLE", [0.0, 1.0])}), 1, "min", 0)
    trials = play(suggester, bowl, fails=lambda trial: trial.params["x"] > 0.4)
    assert len(trials) == suggester.limit
    assert suggester.failed
    best = [t for t in trials if t.params["budget"] == 9 and t not in suggester.failed]
    assert best


@settings(max_examples=25)
@given(
    optimizer=st.sampled_from(["random", "tpe", "asha", "hyperband", "grid"]),
    seed=st.integers(0, 2**32 - 1),
    workers=st.integers(1, 4),
    direction=st.sampled_from(["min", "max"]),
)
def test_no_configuration_twice_and_the_same_events_give_the_same_trials(optimizer, seed, workers, direction):
    dimensions = {"x": ("DISCRETE", [0.1, 0.2, 0.3])} if optimizer == "grid" else MIXED

    def run():
        return [t.params for t in play(Suggester(optimizer, space(dimensions), 20, direction, seed), bowl, workers)]

    one = run()
    assert one == run()
    assert len({tuple(sorted(params.items(), key=lambda item: item[0])) for params in one}) == len(one)


def test_expected_improvement_is_maggys():
    suggester = Suggester("tpe", space({k: MIXED[k] for k in ("x", "n", "kind")}), 60, "min", 4)
    play(suggester, bowl)
    suggester.optimizer.update_model(0)
    good, bad = suggester.optimizer.models[0]["good"], suggester.optimizer.models[0]["bad"]
    points = np.column_stack([np.random.default_rng(0).random((30, 2)), np.arange(30) % 3])
    ours = expected_improvement(points, good, bad)
    theirs = [MaggyTPE._calculate_ei(list(point), good, bad) for point in points]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert math.isfinite(ours.max())
