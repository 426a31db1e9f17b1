"""Integrated Gradients: exact where the answer is known, equal to an independent integration elsewhere."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import xarray as xr

from deepcube.explain import (
    InputError,
    OutputError,
    TracedModel,
    as_dict,
    attribution_bars,
    integrated_gradients,
    top_features,
)

FEATURES = ["rain", "heat", "season"]
OUTPUTS = ["step_1", "step_2"]
WEIGHTS = np.array([[1.0, 0.5], [-2.0, 0.0], [0.25, 4.0]], dtype="float32")
MEANING = "training mean"


def table(values) -> xr.DataArray:
    coords = {"feature": FEATURES, "units": ("feature", ["mm", "K", "1"])}
    return xr.DataArray(np.asarray(values, dtype="float32"), dims=("instance", "feature"), coords=coords)


def point(values) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, dtype="float32"), dims=("feature",), coords={"feature": FEATURES})


def explain(model, inputs, baseline, **options) -> xr.Dataset:
    options = {"outputs": OUTPUTS, "output_units": "1", "baseline_meaning": MEANING, **options}
    return integrated_gradients(model, inputs, baseline, **options)


@pytest.fixture(scope="module")
def linear() -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.layers[0].set_weights([WEIGHTS, np.array([0.1, -0.3], dtype="float32")])
    return model


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [keras.Input((3,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(8, "gelu"), keras.layers.Dense(2)]
    return keras.Sequential(layers)


def test_a_linear_model_is_attributed_exactly(linear):
    inputs, baseline = table([[1, 2, 3], [-1, 0.5, 0]]), point([0.5, 0, 1])
    result = explain(linear, inputs, baseline)
    expected = (inputs.values - baseline.values)[:, None, :] * WEIGHTS.T[None]
    assert result["attribution"].dims == ("instance", "output", "feature")
    assert np.allclose(result["attribution"], expected, atol=1e-5)
    assert np.allclose(result["base_value"], baseline.values @ WEIGHTS + [0.1, -0.3], atol=1e-6)
    assert np.allclose(result["prediction"], inputs.values @ WEIGHTS + [0.1, -0.3], atol=1e-5)
    assert np.abs(result["completeness_error"]).max() < 1e-5


def test_a_network_equals_an_independent_integration(network):
    inputs, baseline = table([[1, -1, 2], [0.3, 2, -1]]), point([0, 0, 0.5])
    result = explain(network, inputs, baseline)
    steps = 2000
    alphas = (np.arange(steps, dtype="float32") + 0.5) / steps  # midpoint rule; alibi uses Gauss-Legendre
    for i, x in enumerate(inputs.values):
        path = tf.constant(baseline.values + alphas[:, None] * (x - baseline.values))
        for o in range(len(OUTPUTS)):
            with tf.GradientTape() as tape:
                tape.watch(path)
                total = tf.reduce_sum(network(path)[:, o])
            mean_gradient = tape.gradient(total, path).numpy().mean(axis=0)
            assert np.allclose(result["attribution"][i, o], mean_gradient * (x - baseline.values), atol=1e-4)
    assert np.abs(result["completeness_error"]).max() < 1e-4


def test_more_steps_are_more_complete(network):
    inputs, baseline = table([[3, -3, 3]]), point([-3, 3, -3])
    coarse, fine = (explain(network, inputs, baseline, steps=n)["completeness_error"] for n in (2, 64))
    assert np.abs(fine).max() < np.abs(coarse).max()


def test_names_units_baseline_and_one_baseline_per_instance(linear):
    inputs = table([[1, 2, 3], [4, 5, 6]])
    result = explain(linear, inputs, inputs - 1)
    assert result["feature"].values.tolist() == FEATURES
    assert result["units"].values.tolist() == ["mm", "K", "1"]
    assert result["output"].values.tolist() == OUTPUTS
    assert result.attrs == {"method": "integrated_gradients", "baseline": MEANING}
    assert np.allclose(result["attribution"], WEIGHTS.T[None], atol=1e-5), "every input is one above its baseline"


def test_a_single_output_needs_no_output_axis():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].set_weights([WEIGHTS[:, :1]])
    result = explain(model, table([[1, 1, 1]]), point([0, 0, 0]), outputs=["y"])
    assert np.allclose(result["attribution"][0, 0], WEIGHTS[:, 0], atol=1e-6)


def test_inputs_of_more_dimensions_keep_them():
    model = keras.Sequential([keras.Input((2, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    inputs = xr.DataArray(np.ones((4, 2, 3), dtype="float32"), dims=("sample", "lag", "variable"))
    result = explain(model, inputs, inputs.isel(sample=0) * 0)
    assert result["attribution"].dims == ("sample", "output", "lag", "variable")
    assert np.abs(result["completeness_error"]).max() < 1e-5


def test_plain_values_for_json(linear):
    plain = as_dict(explain(linear, table([[1, 0, 0], [0, 1, 0]]), point([0, 0, 0])), instance=1)
    assert plain["attributions"]["step_1"] == pytest.approx({"rain": 0.0, "heat": -2.0, "season": 0.0}, abs=1e-6)
    assert plain["base_value"]["step_1"] == pytest.approx(0.1)
    assert abs(plain["completeness_error"]["step_2"]) < 1e-5
    assert (plain["method"], plain["baseline"], plain["units"]) == ("integrated_gradients", MEANING, "1")


def test_top_features_by_size_and_figure(linear, tmp_path):
    result = explain(linear, table([[1, 1, 1]]), point([0, 0, 0]))
    assert top_features(result, count=2)["feature"].values.tolist() == ["heat", "rain"]
    assert top_features(result, output="step_2", count=1)["feature"].values.tolist() == ["season"]
    with pytest.raises(InputError, match="step_9"):
        top_features(result, output="step_9")
    path = attribution_bars(result, tmp_path / "bars.png", title="one prediction")
    assert path.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("inputs", "baseline", "error", "said"),
    [
        (table([[1, 2, np.nan]]), point([0, 0, 0]), InputError, "inputs"),
        (table([[1, 2, 3]]), point([0, 0, np.inf]), InputError, "baseline"),
        (table([[1, 2, 3]]), point([0, 0, 0]).isel(feature=[1, 0, 2]), InputError, "order"),
        (table([[1, 2, 3]]), point([0, 0, 0]).isel(feature=[0, 1]), InputError, "'feature': 2"),
        (table(np.zeros((0, 3))), point([0, 0, 0]), InputError, "shape"),
    ],
    ids=["missing input", "infinite baseline", "other order", "other size", "no instance"],
)
def test_what_does_not_fit_is_named(linear, inputs, baseline, error, said):
    with pytest.raises(error, match=said):
        explain(linear, inputs, baseline)


def test_a_model_with_other_outputs_is_named(linear):
    with pytest.raises(OutputError, match=r"\(1, 2\)"):
        explain(linear, table([[1, 2, 3]]), point([0, 0, 0]), outputs=["only"])
    with pytest.raises(InputError, match="steps"):
        explain(linear, table([[1, 2, 3]]), point([0, 0, 0]), steps=0)


def test_a_traced_model_explains_the_same(network):
    inputs, baseline = table([[1, -1, 2], [0.3, 2, -1]]), point([0, 0, 0.5])
    traced = TracedModel(network)
    assert np.allclose(traced(inputs.values.astype(float)), network(inputs.values), atol=1e-6)
    xr.testing.assert_allclose(explain(traced, inputs, baseline), explain(network, inputs, baseline), atol=1e-5)
