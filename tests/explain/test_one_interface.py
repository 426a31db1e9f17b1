"""Tables, series, images and cubes of Keras, torch and scikit-learn: one call, and the input's own dims and units."""

from typing import Any

import keras
import numpy as np
import pytest
import xarray as xr
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from deepcube.explain import explain, grouped

LAYOUTS = {
    "table": {"feature": 4},
    "series": {"time": 3, "variable": 2},
    "image": {"y": 3, "x": 2, "channel": 2},
    "cube": {"time": 2, "y": 2, "x": 2, "variable": 2},
}


def sample(layout: str, count: int) -> xr.DataArray:
    """Return instances whose last dim has names and units."""
    sizes = LAYOUTS[layout]
    last = list(sizes)[-1]
    values = np.random.default_rng(0).normal(size=(count, *sizes.values())).astype("float32")
    names = [f"{last}_{i}" for i in range(sizes[last])]
    units = ["mm", "K", "1", "m"][: len(names)]
    return xr.DataArray(values, dims=("instance", *sizes), coords={last: names, "units": (last, units)})


def linear(framework: str, shape: tuple[int, ...], weights: np.ndarray) -> Any:
    """Return the same linear model in one of the frameworks."""
    if framework == "keras":
        layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.set_weights([weights[:, None].astype("float32"), np.zeros(1, "float32")])
        return model
    if framework == "torch":
        torch = pytest.importorskip("torch")
        module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(len(weights), 1, bias=False))
        with torch.no_grad():
            module[1].weight.copy_(torch.as_tensor(weights[None]))
        return module
    rows = np.random.default_rng(1).normal(size=(100, len(weights)))
    return LinearRegression(fit_intercept=False).fit(rows, rows @ weights)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("framework", ["keras", "torch", "sklearn"])
def test_every_layout_of_every_framework_is_one_call(framework: str, layout: str) -> None:
    data = sample(layout, 12)
    shape = data.shape[1:]
    weights = np.random.default_rng(2).normal(size=int(np.prod(shape)))
    model = linear(framework, shape, weights)
    expected = (data - data.mean("instance")).values[:2].reshape(2, -1) * weights
    methods = ["kernel_shap"] if framework == "sklearn" else ["kernel_shap", "integrated_gradients", "gradient_x_input"]
    for method in methods:
        result = explain(model, data[:2], method, background=data, outputs=["danger"], output_units="1")
        assert result["attribution"].dims == ("instance", "output", *data.dims[1:])
        assert result["units"].values.tolist() == data["units"].values.tolist()
        assert np.allclose(result["attribution"].values.reshape(2, -1), expected, atol=1e-4)
        total = result["attribution"].sum(data.dims[1:]) + result["base_value"]
        assert np.allclose(total, result["prediction"], atol=1e-4)
        by_last = grouped(result, str(data.dims[-1]))["attribution"]
        summed = expected.reshape(2, *shape).sum(axis=tuple(range(1, len(shape))))
        assert np.allclose(by_last.values.reshape(2, -1), summed, atol=1e-4)


@pytest.mark.parametrize("layout", ["series", "cube"])
def test_trees_of_series_and_cubes_add_up_and_agree_with_their_definition(layout: str) -> None:
    data = sample(layout, 60)
    rows = data.values.reshape(60, -1)
    forest = RandomForestRegressor(5, max_depth=3, random_state=0).fit(rows, rows[:, 0] + np.maximum(rows[:, -1], 0))
    result = explain(forest, data[:3], "tree_shap", background=data, scores=["completeness_error"])
    assert result["attribution"].dims == ("instance", "output", *data.dims[1:])
    assert np.abs(result["completeness_error"]).max() < 1e-6
    table = explain(forest, rows[:3], "tree_shap", background=rows)
    assert np.allclose(result["attribution"].values.reshape(3, -1), table["attribution"].values[:, 0])
