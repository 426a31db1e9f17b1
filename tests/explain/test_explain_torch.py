"""Explanations of torch modules; left out where torch is not installed."""

import numpy as np
import pytest

from deepcube.explain import adapt, embed, explain, randomised

torch = pytest.importorskip("torch")

X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")


@pytest.fixture
def module():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))


@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_x_input", "kernel_shap"])
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
