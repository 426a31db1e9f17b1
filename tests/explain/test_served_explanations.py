"""Explanations of a deployment: options checked, budgets kept, what was left out said, nothing that brings it down."""

import json
import threading
import time

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from deepcube.explain import (
    SCORES,
    ExplainError,
    ExplainOptions,
    MethodError,
    OptionsError,
    ServedExplainer,
    adapt,
    explain,
)
from deepcube.explain.pace import Pace
from deepcube.explain.watch import OutOfTime, Watch, watched

WEIGHTS = np.array([1.0, -2.0, 0.5, 3.0])
METHODS = ("kernel_shap",)
CHEAP = {"completeness_error", "complexity", "sparseness"}


class Slow:
    """A linear model that takes a while for every row; the time is simulated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds_per_row: float) -> None:
        self.now, self.per_row, self.rows = 0.0, seconds_per_row, 0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.now += self.per_row * len(x)
        self.rows += len(x)
        return x @ np.tile(WEIGHTS, x.shape[1] // 4)


def inputs(count: int, features: int = 4, seed: int = 0) -> xr.DataArray:
    values = np.random.default_rng(seed).normal(size=(count, features))
    coords = {"feature": [f"f{i}" for i in range(features)]}
    return xr.DataArray(values, dims=("instance", "feature"), coords=coords)


def served(model) -> ServedExplainer:
    return ServedExplainer(model, outputs=["ndvi"], output_units="1", baseline_meaning="nothing special")


def wanted(explainer: ServedExplainer, **options) -> ExplainOptions:
    parsed = explainer.options(options)
    assert parsed is not None
    return parsed


def linear(x: np.ndarray) -> np.ndarray:
    return x @ WEIGHTS


def test_an_answer_is_json_with_scores_and_settings():
    explainer = served(linear)
    data = inputs(2)
    explainer.warm_up(data[:1], data[:1] * 0)
    answers = explainer.explain(data, data[0] * 0, wanted(explainer, scores=True))
    first = json.loads(json.dumps(answers, allow_nan=False))[0]
    assert first["method"] == "kernel_shap"
    assert first["baseline"] == "nothing special"
    expected = dict(zip(data["feature"].values.tolist(), (data.values[0] * WEIGHTS).tolist(), strict=True))
    assert first["attributions"]["ndvi"] == pytest.approx(expected)
    assert first["settings"] == {"seed": 0, "coalitions": 2048}
    assert first["scores"]["infidelity"]["ndvi"] == pytest.approx(0, abs=1e-12)
    assert first["scores"]["faithfulness_correlation"]["ndvi"] == pytest.approx(1)
    assert set(SCORES) - set(first["scores"]) == {"agreement", "randomisation"}
    assert sum("does not fit" in said for said in first["degraded"]) == 2
    assert 0 < first["seconds"] < first["budget_seconds"] == 5.0


def test_all_zero_attributions_have_scores_that_are_null():
    explainer = served(lambda x: x[:, 0] * 0)
    data = inputs(1)
    (answer,) = explainer.explain(data, data[0] * 0, wanted(explainer, scores=["complexity"]))
    assert answer["scores"] == {"complexity": {"ndvi": None}}


def test_a_slow_model_is_explained_with_fewer_samples_within_the_budget(monkeypatch):
    model = Slow(monkeypatch, 1e-3)
    explainer = served(model)
    data, zero = inputs(1, features=16), inputs(1, features=16) * 0
    explainer.warm_up(data, zero)
    plenty = explainer.explain(data, zero, wanted(explainer, budget_seconds=30))[0]
    assert plenty["degraded"] == []
    assert plenty["settings"]["coalitions"] == 2048
    little = explainer.explain(data, zero, wanted(explainer, budget_seconds=0.6))[0]
    assert little["settings"]["coalitions"] < 2048
    assert little["degraded"] == [f"coalitions 2048 -> {little['settings']['coalitions']}"]
    assert little["seconds"] <= 0.6
    assert sum(little["attributions"]["ndvi"].values()) == pytest.approx(float(data.values[0] @ np.tile(WEIGHTS, 4)))


def test_scores_that_the_budget_does_not_allow_are_named(monkeypatch):
    model = Slow(monkeypatch, 1e-3)
    explainer = served(model)
    data, zero = inputs(1, features=16), inputs(1, features=16) * 0
    explainer.warm_up(data, zero)
    answer = explainer.explain(data, zero, wanted(explainer, scores=True, budget_seconds=0.5))[0]
    assert answer["seconds"] <= 0.5
    assert set(answer["scores"]) >= CHEAP
    left_out = {said.split()[1] for said in answer["degraded"] if said.endswith("left out")}
    assert left_out, answer["degraded"]
    assert not left_out & set(answer["scores"])
    fewer = [said for said in answer["degraded"] if "perturbations" in said or "->" in said]
    assert fewer, answer["degraded"]


def test_instances_that_the_budget_has_no_time_for_say_so(monkeypatch):
    model = Slow(monkeypatch, 1e-3)
    explainer = served(model)
    data, zero = inputs(40, features=16), inputs(1, features=16)[0] * 0
    explainer.warm_up(data[:1], inputs(1, features=16) * 0)
    answers = explainer.explain(data, zero, wanted(explainer, budget_seconds=0.5))
    explained = [answer for answer in answers if "attributions" in answer]
    assert 0 < len(explained) < 40 == len(answers)
    assert answers[: len(explained)] == explained
    assert "0.5 s" in answers[-1]["omitted"]
    assert answers[-1]["seconds"] <= 0.6


def test_a_model_that_got_slower_is_stopped_in_time_and_keeps_to_the_budget_from_then_on(monkeypatch):
    model = Slow(monkeypatch, 1e-4)
    explainer = served(model)
    data, zero = inputs(1, features=16), inputs(1, features=16) * 0
    explainer.warm_up(data, zero)
    model.per_row = 2e-3  # all 2048 coalitions would take four seconds
    answers = [explainer.explain(data, zero, wanted(explainer, budget_seconds=0.6))[0] for _ in range(8)]
    assert all(answer["seconds"] <= 0.6 for answer in answers)
    assert all(answer["degraded"] for answer in answers)
    assert answers[-1]["settings"]["coalitions"] < 2048
    model.per_row = 1e-5
    answers = [explainer.explain(data, zero, wanted(explainer, budget_seconds=0.6))[0] for _ in range(20)]
    assert answers[-1]["degraded"] == [], "a machine that is quiet again"


def test_what_is_stopped_is_made_again_from_the_fewest_samples(monkeypatch):
    model = Slow(monkeypatch, 1e-5)
    explainer = served(model)
    data, zero = inputs(1, features=16), inputs(1, features=16) * 0
    explainer.warm_up(data, zero)
    model.per_row = 2e-3
    answer = explainer.explain(data, zero, wanted(explainer, budget_seconds=1, scores=True))[0]
    assert answer["degraded"][0] == "coalitions 2048 -> 64"
    assert sum(answer["attributions"]["ndvi"].values()) == pytest.approx(float(data.values[0] @ np.tile(WEIGHTS, 4)))
    assert answer["seconds"] <= 1
    left_out = {said.split()[1] for said in answer["degraded"] if said.endswith("left out")}
    assert left_out and not left_out & set(answer["scores"])


def test_time_that_went_by_before_counts(monkeypatch):
    model = Slow(monkeypatch, 1e-4)
    explainer = served(model)
    data, zero = inputs(1, features=16), inputs(1, features=16) * 0
    explainer.warm_up(data, zero)
    arrived, options = time.perf_counter(), wanted(explainer, budget_seconds=0.5)
    model.now += 0.2
    (answer,) = explainer.explain(data, zero, options, since=arrived)
    assert 0.2 < answer["seconds"] <= 0.5
    model.now, rows = arrived + 12, model.rows
    (answer,) = explainer.explain(data, zero, options, since=arrived)
    assert model.rows == rows, "the model is not called for an answer that is late already"
    assert "0.5 s was spent" in answer["omitted"]
    assert (answer["seconds"], answer["degraded"]) == (12.0, ["took 12 s"])


def test_a_call_that_cannot_be_stopped_makes_an_answer_that_says_it_is_late(monkeypatch):
    model = Slow(monkeypatch, 0)
    explainer = served(model)
    data, zero = inputs(1), inputs(1) * 0
    explainer.warm_up(data, zero)
    model.per_row = 3.0  # of a call with one row, the prediction
    (answer,) = explainer.explain(data, zero, wanted(explainer, budget_seconds=0.5))
    assert answer["seconds"] > 0.5
    assert f"took {answer['seconds']:.2g} s" in answer["degraded"]


def test_no_answer_waits_longer_for_another_than_its_budget():
    working, done = threading.Event(), threading.Event()

    def model(x: np.ndarray) -> np.ndarray:
        if not done.is_set() and working.is_set():
            done.wait(60)
        return x @ WEIGHTS

    explainer = served(model)
    data = inputs(1)
    explainer.warm_up(data, data * 0)
    working.set()
    first = threading.Thread(target=explainer.explain, args=(data, data * 0, wanted(explainer)))
    first.start()
    while not explainer._lock.locked():
        time.sleep(0.001)
    (answer,) = explainer.explain(data, data * 0, wanted(explainer, budget_seconds=0.05))
    done.set()
    first.join(60)
    assert "omitted" in answer
    assert "attributions" in explainer.explain(data, data * 0, wanted(explainer))[0]


@pytest.mark.parametrize("framework", ["keras", "torch"])
@pytest.mark.parametrize("method", ["integrated_gradients", "kernel_shap"])
def test_networks_are_stopped_between_their_calls(framework, method):
    if framework == "keras":
        import keras

        network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    else:
        network = pytest.importorskip("torch").nn.Linear(4, 1)
    watch = Watch()
    model = watched(adapt(network), watch)
    data = inputs(1).astype("float32")
    with pytest.raises(OutOfTime), watch.until(0):
        explain(model, data, method, baseline=data * 0)
    with watch.until(60):
        within = explain(model, data, method, baseline=data * 0)
    freely = explain(network, data, method, baseline=data * 0)
    np.testing.assert_allclose(within["attribution"], freely["attribution"], atol=1e-5)


def test_calls_get_short_where_time_is(monkeypatch):
    model = Slow(monkeypatch, 1e-3)
    watch = Watch()
    slow = watched(adapt(model), watch)
    sizes: list[int] = []
    monkeypatch.setattr(watch, "before", lambda rows, before=watch.before: (sizes.append(rows), before(rows)))
    x = np.zeros((8192, 4))
    assert len(slow.predict(x[:512])) == 512 and sizes == [512], "no deadline, no short calls"
    with watch.until(1.0):
        slow.predict(x[:100])
        began = model.now
        with pytest.raises(OutOfTime):
            slow.predict(x)
    assert model.now - began < 1.2
    assert 100 < max(sizes[1:]) <= 400


@given(fixed=st.floats(0, 1), rate=st.floats(1e-4, 1), low=st.integers(1, 50), more=st.integers(2, 100))
def test_a_pace_predicts_what_grows_along_a_line(fixed, rate, low, more):
    pace = Pace()
    assert pace.seconds("step", 5) == 0
    for work in (low, low * more):
        pace.learn("step", work, fixed + rate * work)
    for work in (low, low * more, 3 * low * more):
        assert pace.seconds("step", work) == pytest.approx(fixed + rate * work)
    pace.forget("step")
    assert pace.seconds("step", low) == 0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("yes", "explain='yes'"),
        (1, "explain=1"),
        (None, "explain=None"),
        ([True], "expected true or false"),
        ({"colour": 1}, "unknown option colour"),
        ({"method": "magic"}, "method 'magic'.*kernel_shap"),
        ({"method": "tree_shap"}, "method 'tree_shap'"),
        ({"method": ["a"]}, "method"),
        ({"scores": "all"}, "scores='all'"),
        ({"scores": ["beauty"]}, "unknown score beauty"),
        ({"scores": [["x"]]}, "unknown score"),
        ({"budget_seconds": 0}, "budget_seconds=0"),
        ({"budget_seconds": True}, "budget_seconds=True"),
        ({"budget_seconds": float("nan")}, "budget_seconds=nan"),
        ({"budget_seconds": 1e9}, "at most 60"),
        ({"samples": 0}, "samples=0"),
        ({"samples": 2.5}, "samples=2.5"),
        ({"samples": 10**9}, "at most 8192"),
    ],
)
def test_options_that_make_no_sense_are_a_value_error_that_names_them(value, said):
    with pytest.raises(OptionsError, match=said) as caught:
        ExplainOptions.parse(value, METHODS, where="instance 3")
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).startswith("instance 3:")


def test_options_that_do():
    assert ExplainOptions.parse(False, METHODS) is None
    assert ExplainOptions.parse(True, METHODS) == ExplainOptions("kernel_shap")
    assert ExplainOptions.parse({}, METHODS) == ExplainOptions("kernel_shap")
    options = ExplainOptions.parse({"scores": ["infidelity", "infidelity"], "budget_seconds": 2, "samples": 9}, METHODS)
    assert options == ExplainOptions("kernel_shap", ("infidelity",), 2.0, 9)


def test_bad_inputs_leave_the_explainer_working():
    explainer = served(linear)
    good, options = inputs(1), wanted(explainer)
    for bad, baseline in (
        (good * np.nan, good * 0),
        (inputs(1, features=3), inputs(1, features=3) * 0),
        (good, inputs(1, features=3)),
        (good[:0], good[:0]),
    ):
        with pytest.raises(ExplainError):
            explainer.explain(bad, baseline, options)
    assert "attributions" in explainer.explain(good, good * 0, options)[0]
    with pytest.raises(MethodError, match="kind function"):
        ServedExplainer(linear, outputs=["y"], output_units="1", baseline_meaning="", methods=["integrated_gradients"])


def test_requests_at_once_get_their_own_answers():
    explainer, answers = served(linear), {}
    data = inputs(8)

    def ask(i: int) -> None:
        answers[i] = explainer.explain(data[i : i + 1], data[:1] * 0, wanted(explainer))[0]

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for i in range(8):
        assert sum(answers[i]["attributions"]["ndvi"].values()) == pytest.approx(float(data.values[i] @ WEIGHTS))
