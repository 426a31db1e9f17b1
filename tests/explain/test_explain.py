"""One interface for tables, series and cubes of Keras, scikit-learn and functions; exact where the answer is known."""

import itertools
import math

import keras
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression

from deepcube.explain import (
    InputError,
    MethodError,
    OutputError,
    TracedModel,
    adapt,
    as_inputs,
    explain,
    group_labels,
    grouped,
    randomised,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
WEIGHTS = np.array([[1.0, 0.5], [-2.0, 0.0], [0.25, 4.0], [0.0, -1.0]])
BACKGROUND = X[20:]


def linear(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)[:, :4] @ WEIGHTS + 0.3


def keras_linear() -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.layers[0].set_weights([WEIGHTS.astype("float32"), np.full(2, 0.3, "float32")])
    return model


def sklearn_linear() -> LinearRegression:
    return LinearRegression().fit(X, linear(X))


@pytest.mark.parametrize("model", [keras_linear, sklearn_linear, lambda: linear], ids=["keras", "sklearn", "function"])
@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_x_input", "kernel_shap"])
def test_every_method_is_exact_for_a_linear_model(model, method):
    model = model()
    if method != "kernel_shap" and adapt(model).kind != "keras":
        with pytest.raises(MethodError, match="use kernel_shap"):
            explain(model, X[:3], method, background=BACKGROUND)
        return
    result = explain(model, X[:3], method, background=BACKGROUND)
    expected = (X[:3] - BACKGROUND.mean(axis=0))[:, None] * WEIGHTS.T
    assert result["attribution"].dims == ("instance", "output", "feature")
    assert np.allclose(result["attribution"], expected, atol=1e-5)
    assert np.allclose(result["base_value"], linear(BACKGROUND.mean(axis=0)[None]), atol=1e-5)
    assert np.abs(result["completeness_error"]).max() < 1e-5


def shapley(f, x: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Shapley values by their definition, over all coalitions."""
    players = range(len(x))

    def value(coalition) -> float:
        rows = background.copy()
        rows[:, list(coalition)] = x[list(coalition)]
        return float(f(rows).mean())

    phi = np.zeros(len(x))
    for i in players:
        for size in players:
            weight = math.factorial(size) * math.factorial(len(x) - size - 1) / math.factorial(len(x))
            for s in itertools.combinations([j for j in players if j != i], size):
                phi[i] += weight * (value((*s, i)) - value(s))
    return phi


def interaction(x: np.ndarray) -> np.ndarray:
    return x[:, 0] * x[:, 1] + np.maximum(x[:, 2], x[:, 3]) ** 2


def test_kernel_shap_equals_the_definition():
    result = explain(interaction, X[:2], "kernel_shap", background=BACKGROUND)
    for i in range(2):
        assert np.allclose(result["attribution"][i, 0], shapley(interaction, X[i], BACKGROUND), atol=1e-9)


def test_kernel_shap_with_a_baseline_of_each_instance():
    baseline = X[2:4]
    result = explain(interaction, X[:2], "kernel_shap", baseline=baseline)
    for i in range(2):
        assert np.allclose(result["attribution"][i, 0], shapley(interaction, X[i], baseline[i : i + 1]), atol=1e-9)
    assert np.allclose(result["base_value"][:, 0], interaction(baseline))


@pytest.mark.parametrize("background", [None, BACKGROUND], ids=["paths", "interventional"])
@pytest.mark.parametrize("classes", [2, 3])
def test_tree_shap_of_a_forest_is_additive_in_every_class(background, classes):
    labels = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5) * (classes - 2)
    forest = RandomForestClassifier(8, max_depth=4, random_state=0).fit(X, labels)
    result = explain(forest, X[:5], "tree_shap", background=background)
    assert result["output"].values.tolist() == [str(c) for c in range(classes)]
    assert np.allclose(result["prediction"], forest.predict_proba(X[:5]))
    assert np.abs(result["completeness_error"]).max() < 1e-6
    assert np.abs(result["attribution"]).max() > 0.05


@pytest.mark.parametrize("kind", [RandomForestClassifier, RandomForestRegressor])
@settings(max_examples=15, deadline=None)
@given(trees=st.integers(1, 6), depth=st.integers(1, 6), classes=st.integers(2, 4), seed=st.integers(0, 99))
def test_a_forest_predicts_by_its_trees_what_it_predicts_as_a_whole(kind, trees, depth, classes, seed):
    random = np.random.default_rng(seed)
    table, labels = random.normal(size=(40, 3)), random.integers(0, classes, 40)
    forest = kind(trees, max_depth=depth, random_state=seed).fit(table, labels)
    whole = forest.predict_proba(table) if hasattr(forest, "predict_proba") else forest.predict(table)[:, None]
    assert np.allclose(adapt(forest).predict(table), whole, atol=1e-12)
    with pytest.raises(InputError, match="refuses"):
        adapt(forest).predict(table[:, :2])


def test_tree_shap_equals_the_definition():
    trees = RandomForestRegressor(4, max_depth=3, random_state=0).fit(X, interaction(X))
    result = explain(trees, X[:2], "tree_shap", background=BACKGROUND)
    expected = [shapley(trees.predict, x, BACKGROUND) for x in X[:2]]
    assert np.allclose(result["attribution"][:, 0], expected, atol=1e-6)


def test_tree_shap_of_boosted_trees():
    regression = HistGradientBoostingRegressor(max_iter=5, random_state=0).fit(X, X[:, 0])
    assert np.abs(explain(regression, X[:3], "tree_shap")["completeness_error"]).max() < 1e-6
    boosted = GradientBoostingClassifier(n_estimators=5, random_state=0).fit(X, X[:, 0] > 0)
    with pytest.raises(MethodError, match="margin"):
        explain(boosted, X[:3], "tree_shap")
    result = explain(boosted, X[:3], "tree_shap", background=BACKGROUND)
    assert np.allclose(result["prediction"], boosted.predict_proba(X[:3]))
    assert np.abs(result["completeness_error"]).max() < 1e-6


def test_kernel_shap_of_a_classifier_is_additive():
    model = LogisticRegression().fit(X, (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5))
    result = explain(model, X[:3], "kernel_shap", background=BACKGROUND[:10])
    assert result.sizes["output"] == 3
    assert np.abs(result["completeness_error"]).max() < 1e-9


def cube(instances: int, seed: int = 0) -> xr.Dataset:
    """A simulated cube of two variables."""
    rng, shape = np.random.default_rng(seed), (instances, 3, 4, 4)
    dims = ("sample", "time", "y", "x")
    rain = (dims, rng.normal(size=shape).astype("float32"), {"units": "mm"})
    heat = (dims, rng.normal(size=shape).astype("float32"), {"units": "K"})
    coords = {"time": np.arange(3), "y": np.arange(4) * 10.0, "x": np.arange(4) * 20.0}
    return xr.Dataset({"rain": rain, "heat": heat}, coords=coords)


@pytest.fixture(scope="module")
def convolutional() -> keras.Model:
    keras.utils.set_random_seed(1)
    layers = [keras.Input((3, 4, 4, 2)), keras.layers.ConvLSTM2D(2, 3, padding="same"), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(1)])


def test_a_cube_keeps_its_dims_names_and_units(convolutional):
    data, background = cube(2), cube(6, seed=1)
    result = explain(convolutional, data, background=background, samples=16, outputs=["ndvi"], output_units="1")
    assert result["attribution"].dims == ("sample", "output", "time", "y", "x", "variable")
    assert result["variable"].values.tolist() == ["rain", "heat"]
    assert result["units"].values.tolist() == ["mm", "K"]
    assert result["y"].values.tolist() == data["y"].values.tolist()
    assert np.abs(result["completeness_error"]).max() < 1e-4
    assert result.attrs["steps"] == 16
    by = grouped(result, ("time", "variable"), patch={"y": 2, "x": 2})
    labels = group_labels(as_inputs(data), ("time", "variable"), patch={"y": 2, "x": 2})
    assert int(labels.max()) + 1 == 3 * 2 * 2 * 2
    shap = explain(convolutional, data, "kernel_shap", background=background, groups=labels, samples=300)
    assert np.abs(shap["completeness_error"]).max() < 1e-6
    other = grouped(shap, ("time", "variable"), patch={"y": 2, "x": 2})
    assert np.corrcoef(np.ravel(by["attribution"]), np.ravel(other["attribution"]))[0, 1] > 0.8
    order = explain(convolutional, data[["heat", "rain"]], background=background, samples=16, order=["rain", "heat"])
    assert np.allclose(order["attribution"], result["attribution"], atol=1e-6)


def test_tables_and_series_by_name():
    table = pd.DataFrame(X, columns=list("abcd"))
    result = explain(linear, table[list("dcba")].iloc[:2], "kernel_shap", background=table, order=list("abcd"))
    assert result["feature"].values.tolist() == list("abcd")
    assert np.allclose(result["attribution"], (X[:2] - X.mean(axis=0))[:, None] * WEIGHTS.T)
    series = xr.DataArray(X[:6].reshape(6, 2, 2), dims=("pixel", "lag", "variable"), coords={"lag": [0, 1]})
    lagged = explain(linear, series, "kernel_shap", background=series)
    assert lagged["attribution"].dims == ("pixel", "output", "lag", "variable")
    assert np.allclose(lagged["attribution"].values.reshape(6, 2, 4), (X[:6] - X[:6].mean(axis=0))[:, None] * WEIGHTS.T)


def test_the_same_seed_gives_the_same_values_and_leaves_numpys_state():
    before = np.random.get_state()[1].copy()
    many = RNG.normal(size=(3, 16))
    values = [
        explain(lambda x: np.sin(x).sum(axis=1) ** 2, many, "kernel_shap", baseline=0.0, samples=100, seed=s)
        for s in (1, 1, 2)
    ]
    assert np.array_equal(values[0]["attribution"], values[1]["attribution"])
    assert not np.array_equal(values[0]["attribution"], values[2]["attribution"])
    assert np.array_equal(before, np.random.get_state()[1])


def hole(where) -> np.ndarray:
    values = X[:3].copy()
    values[where] = np.nan
    return values


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"inputs": hole(np.s_[1])}, InputError, "no valid value at all in instance 1"),
        ({"inputs": hole(np.s_[1, 2])}, InputError, "1 of 12, the first at instance 1, feature feature_2"),
        ({"inputs": X[:3, :3], "background": X[:, :3]}, InputError, "model refuses"),
        ({"inputs": pd.DataFrame(X[:, :3], columns=list("abc")), "order": list("abcd")}, InputError, "no feature d"),
        ({"inputs": cube(1)[["rain"]], "order": ["rain", "heat"]}, InputError, "no variable heat among rain"),
        ({"inputs": X[:0]}, InputError, "shape"),
        ({"inputs": np.array([["a", "b"]])}, InputError, "expected real numbers"),
        ({"method": "magic"}, MethodError, "magic.*expected one of"),
        ({"method": "tree_shap"}, MethodError, "kind function"),
        ({"background": None}, InputError, "no baseline and no background"),
        ({"background": X[:, :2]}, InputError, "background of"),
        ({"background": hole(np.s_[0, 0])}, InputError, "missing or infinite values in the background"),
        ({"baseline": np.zeros(3)}, InputError, "baseline"),
        ({"samples": 0}, InputError, "samples=0"),
        ({"outputs": ["only"]}, OutputError, "2 outputs"),
        ({"colour": "red"}, MethodError, "colour"),
        ({"method": "ale", "scores": True}, MethodError, "scores"),
        ({"method": "ale", "colour": 1}, MethodError, "colour"),
        ({"scores": ["beauty"]}, MethodError, "beauty"),
        ({"model": "not a model"}, MethodError, "type str"),
        ({"model": lambda x: np.full(len(x), np.nan)}, OutputError, "not finite"),
        ({"model": lambda x: x[:, :, None]}, OutputError, "expected \\(3, outputs\\)"),
    ],
)
def test_what_does_not_fit_is_said(arguments, error, said):
    arguments = {"model": linear, "inputs": X[:3], "method": "kernel_shap", "background": BACKGROUND, **arguments}
    with pytest.raises(error, match=said):
        explain(**arguments)


def test_values_that_cannot_be_are_refused_where_the_inputs_say_what_can():
    good = cube(2)
    good["rain"].attrs["valid_range"] = [-1e3, 1e3]
    assert as_inputs(good)["valid_max"].values.tolist() == [1e3, np.inf]
    bad = good.copy(deep=True)
    bad["rain"].values[(1, *(0,) * (bad["rain"].ndim - 1))] = 5000.0
    with pytest.raises(InputError, match=r"Found 5000 at .* 1.*expected -1000 to 1000"):
        explain(linear, bad, "kernel_shap", baseline=0.0)
    table = xr.DataArray(X[:3], dims=("instance", "feature"), attrs={"valid_range": (-0.01, 0.01)})
    with pytest.raises(InputError, match="outside what is possible"):
        explain(linear, table, "kernel_shap", background=BACKGROUND)


def test_too_many_players_are_to_be_grouped():
    with pytest.raises(InputError, match="Group them"):
        explain(lambda x: x.sum(axis=1), np.ones((1, 1000)), "kernel_shap", baseline=0.0)


def test_tree_shap_of_another_model_is_refused():
    with pytest.raises(MethodError, match="LogisticRegression"):
        explain(LogisticRegression().fit(X, X[:, 0] > 0), X[:1], "tree_shap")


def test_a_shuffled_copy_keeps_the_model_and_its_normalisation():
    normal = keras.layers.Normalization(mean=[0.0] * 4, variance=[4.0] * 4)
    model = keras.Sequential([keras.Input((4,)), normal, keras.layers.Dense(3), keras.layers.Dense(1)])
    before = [w.copy() for w in model.get_weights()]
    other = randomised(TracedModel(model), seed=3).original.model
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert np.array_equal(other.layers[0].variance, normal.variance)
    first, second = before[0], other.get_weights()[0]
    assert not np.array_equal(first, second)
    assert np.array_equal(np.sort(np.ravel(first)), np.sort(np.ravel(second)))
    with pytest.raises(MethodError, match="random_model"):
        randomised(linear)
