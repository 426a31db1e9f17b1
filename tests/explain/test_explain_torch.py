"""Explanations of torch modules, by captum where it is there; left out where torch is not installed."""

import numpy as np
import pytest
import xarray as xr

from deepcube.explain import MethodError, adapt, captum_methods, embed, explain, grouped, randomised
from deepcube.explain.gradients import path_integral

torch = pytest.importorskip("torch")

X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")


@pytest.fixture
def module():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))


CAPTUM = pytest.mark.skipif(not captum_methods.has_captum(), reason="captum is not installed")


@pytest.mark.parametrize(
    "method",
    ["integrated_gradients", "gradient_x_input", "kernel_shap", pytest.param("deep_lift", marks=CAPTUM)],
)
def test_a_linear_module_is_attributed_exactly(method):
    module = torch.nn.Linear(4, 2)
    result = explain(module, X[:3], method, background=X)
    weights = module.weight.detach().numpy()
    assert np.allclose(result["attribution"], (X[:3] - X.mean(axis=0))[:, None] * weights, atol=1e-5)
    assert np.abs(result["completeness_error"]).max() < 1e-5
    assert result.attrs["model"] == "torch"


def test_a_network_is_complete_and_scored_and_left_as_it_was(module):
    before = [p.detach().clone() for p in module.parameters()]
    result = explain(module, X[:3], background=X, samples=64, scores=True)
    assert np.abs(result["completeness_error"]).max() < 1e-5
    assert result["agreement"].mean() > 0.8
    assert np.isfinite(result["randomisation"]).all()
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    kept, shuffled = module[0].weight.detach(), randomised(module).original[0].weight.detach()
    assert not torch.equal(shuffled, kept)
    assert torch.equal(shuffled.ravel().sort().values, kept.ravel().sort().values)


def test_gradients_equal_finite_differences(module):
    adapter, step = adapt(module), 1e-2
    gradient = adapter.gradient(X[:2], 1)
    for i in range(4):
        moved = [X[:2] + sign * step * np.eye(4, dtype="float32")[i] for sign in (1, -1)]
        slope = (adapter.predict(moved[0]) - adapter.predict(moved[1]))[:, 1] / (2 * step)
        assert np.allclose(gradient[:, i], slope, atol=1e-3)


def test_activations_by_layer(module):
    assert embed(module, X).shape == (20, 8)
    assert embed(module, X, layer="0").shape == (20, 8)


@CAPTUM
def test_integration_by_captum_equals_the_own_quadrature(module):
    baseline = np.zeros_like(X[:3])
    by_captum = explain(module, X[:3], baseline=baseline, samples=32)["attribution"]
    assert np.allclose(by_captum, path_integral(adapt(module), X[:3], baseline, 2, 32), atol=1e-5)


@CAPTUM
def test_deep_lift_of_a_network_is_complete_and_agrees_with_integrated_gradients(module):
    lifted, integrated = (explain(module, X, method, background=X) for method in ("deep_lift", "integrated_gradients"))
    assert np.abs(lifted["completeness_error"]).max() < 1e-5
    assert np.corrcoef(np.ravel(lifted["attribution"]), np.ravel(integrated["attribution"]))[0, 1] > 0.9


def test_without_captum_gradients_are_integrated_all_the_same_and_deep_lift_is_refused(module, monkeypatch):
    monkeypatch.setattr(captum_methods, "has_captum", lambda: False)
    monkeypatch.setattr("deepcube.explain.recipes.has_captum", lambda: False)
    assert np.abs(explain(module, X[:3], background=X)["completeness_error"]).max() < 1e-5
    with pytest.raises(MethodError, match=r"extra `torch`"):
        explain(module, X[:3], "deep_lift", background=X)


def test_a_cube_keeps_its_dims_names_and_units():
    class Mean(torch.nn.Module):
        def forward(self, x):
            return x.mean(dim=(1, 2, 3))  # (instance, time, y, x, variable) -> (instance, variable)

    values = np.random.default_rng(1).normal(size=(2, 5, 4, 4, 3)).astype("float32")
    names = ["rain", "heat", "ndvi"]
    coords = {"variable": names, "units": ("variable", ["mm", "K", "1"])}
    cube = xr.DataArray(values, dims=("instance", "time", "y", "x", "variable"), coords=coords)
    result = explain(Mean(), cube, baseline=0.0, outputs=names)
    assert result["attribution"].dims == ("instance", "output", "time", "y", "x", "variable")
    assert result["units"].values.tolist() == ["mm", "K", "1"]
    by_variable = grouped(result, "variable")["attribution"]
    for i, one in enumerate(names):
        assert np.allclose(by_variable.sel(output=one, variable=one), values[..., i].mean(axis=(1, 2, 3)), atol=1e-6)


@CAPTUM
def test_an_activation_map_lies_where_the_pattern_is():
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(64, 1))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1.0)
    image = np.zeros((1, 1, 8, 8), "float32")
    image[0, 0, 5:7, 1:3] = 1
    result = explain(module, xr.DataArray(image, dims=("instance", "channel", "y", "x")), "grad_cam")
    assert result["activation_map"].dims == ("instance", "output", "y", "x")
    peak = np.unravel_index(int(result["activation_map"][0, 0].values.argmax()), (8, 8))
    assert 5 <= peak[0] <= 6
    assert 1 <= peak[1] <= 2
    with pytest.raises(MethodError, match="Conv2d"):
        explain(torch.nn.Flatten(), xr.DataArray(image, dims=("instance", "channel", "y", "x")), "grad_cam")
