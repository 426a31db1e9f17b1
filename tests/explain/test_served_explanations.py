"""Explanations of a deployment: options checked, budgets kept, what was left out said, nothing that brings it down."""

import json
import threading
import time

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from deepcube.explain import SCORES, ExplainError, ExplainOptions, MethodError, OptionsError, ServedExplainer
from deepcube.explain.pace import Pace

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


def test_the_pace_follows_a_model_that_gets_slower(monkeypatch):
    model = Slow(monkeypatch, 1e-4)
    explainer = served(model)
    data, zero = inputs(1, features=16), inputs(1, features=16) * 0
    explainer.warm_up(data, zero)
    model.per_row = 1e-3
    took = [explainer.explain(data, zero, wanted(explainer, budget_seconds=0.6))[0]["seconds"] for _ in range(8)]
    assert took[-1] <= 0.6 < took[0]


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
