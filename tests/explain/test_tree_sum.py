"""Trees held in arrays: what they predict, and their exact Shapley values, against scikit-learn and the definition."""

from itertools import combinations
from math import factorial

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor

from deepcube.explain import ExplainOptions, InputError, MethodError, ServedExplainer, TreeSum, explain, randomised

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(200, 4)).astype(np.float32)
Y = X[:, 0] * X[:, 1] + np.maximum(X[:, 2], 0)


def held(trees: list, scale: float, offset: float) -> TreeSum:
    """Hold scikit-learn's trees in arrays, leaves following themselves."""
    parts = []
    for tree in (one.tree_ for one in trees):
        leaf, itself = tree.children_left < 0, np.arange(tree.node_count)
        rows = (
            np.maximum(tree.feature, 0),
            np.where(leaf, itself, tree.children_left),
            np.where(leaf, itself, tree.children_right),
            tree.threshold,
            np.where(leaf, tree.value[:, 0, 0], 0.0),
        )
        parts.append(TreeSum(*(row[None] for row in rows), 0.0, X.shape[1]))
    return TreeSum.joined(parts, scale, offset)


def boosted(trees: int, depth: int, seed: int = 0) -> tuple[GradientBoostingRegressor, TreeSum]:
    model = GradientBoostingRegressor(n_estimators=trees, max_depth=depth, random_state=seed).fit(X, Y)
    return model, held([one for (one,) in model.estimators_], model.learning_rate, float(model.init_.constant_[0, 0]))


def shapley(model, x: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Shapley values by their definition: over all coalitions."""
    count, values = len(x), np.zeros(len(x))
    for player in range(count):
        others = [one for one in range(count) if one != player]
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for present in combinations(others, size):
                without = reference.copy()
                without[list(present)] = x[list(present)]
                joined = without.copy()
                joined[player] = x[player]
                values[player] += weight * float(model(joined[None])[0, 0] - model(without[None])[0, 0])
    return values


@settings(max_examples=10, deadline=None)
@given(trees=st.integers(1, 8), depth=st.integers(1, 5), seed=st.integers(0, 99))
def test_it_predicts_what_the_trees_predict(trees, depth, seed):
    model, summed = boosted(trees, depth, seed)
    np.testing.assert_allclose(summed(X)[:, 0], model.predict(X), atol=1e-9)
    forest = RandomForestRegressor(trees, max_depth=depth, random_state=seed).fit(X, Y)
    np.testing.assert_allclose(held(forest.estimators_, 1 / trees, 0.0)(X)[:, 0], forest.predict(X), atol=1e-9)


def test_tree_shap_is_exact_against_a_reference_for_each_instance():
    _, summed = boosted(5, 3)
    references = np.stack([X[10], X[11], X[10]])
    result = explain(summed, X[:3], "tree_shap", baseline=references)
    expected = [shapley(summed, x, one) for x, one in zip(X[:3], references, strict=True)]
    np.testing.assert_allclose(result["attribution"][:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(result["base_value"][:, 0], summed(references)[:, 0], atol=1e-9)
    assert np.abs(result["completeness_error"]).max() < 1e-6


def test_trees_of_scikit_learn_have_a_reference_for_each_instance_too():
    model, summed = boosted(5, 3)
    references = np.stack([X[10], X[11]])
    ours, theirs = (explain(one, X[:2], "tree_shap", baseline=references)["attribution"] for one in (summed, model))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_kernel_shap_agrees():
    _, summed = boosted(5, 3)
    tree, kernel = (
        explain(summed, X[:2], method, baseline=X[5])["attribution"] for method in ("tree_shap", "kernel_shap")
    )
    np.testing.assert_allclose(tree, kernel, atol=1e-5)


def test_shuffled_trees_have_learnt_nothing():
    _, summed = boosted(30, 3)
    random = randomised(summed, seed=1)
    found = random.predict(X)[:, 0]
    assert np.corrcoef(summed(X)[:, 0], Y)[0, 1] > 0.8 > 0.5 > abs(np.corrcoef(found, Y)[0, 1])
    assert sorted(random.original.value.ravel()) == pytest.approx(sorted(summed.value.ravel()))


def test_it_is_served_with_every_score():
    _, summed = boosted(10, 3)
    served = ServedExplainer(
        summed, outputs=["y"], output_units="1", baseline_meaning="a day", methods=("tree_shap", "kernel_shap")
    )
    inputs, baseline = (xr.DataArray(X[i : i + 1], dims=("instance", "feature")) for i in (0, 1))
    served.warm_up(inputs, baseline)
    (answer,) = served.explain(inputs, baseline, ExplainOptions("tree_shap", ("agreement", "randomisation"), 20.0))
    assert answer["method"] == "tree_shap" and set(answer["scores"]) == {"agreement", "randomisation"}
    assert answer["scores"]["agreement"]["y"] == pytest.approx(1.0, abs=1e-6)
    assert not answer["degraded"]


def test_what_does_not_fit_is_said():
    _, summed = boosted(2, 2)
    with pytest.raises(InputError, match="expected \\(rows, 4\\)"):
        summed(X[:, :2])
    with pytest.raises(MethodError, match="Give a baseline"):
        from deepcube.explain.shapley import tree_shap

        tree_shap(summed, X[:1])
    with pytest.raises(InputError, match="over \\[3, 4\\] inputs"):
        narrow = TreeSum(*(np.zeros((1, 1), int),) * 3, np.zeros((1, 1)), np.zeros((1, 1)), 0.0, 3)
        TreeSum.joined([summed, narrow], 1.0, 0.0)
    with pytest.raises(MethodError, match="kind trees"):
        explain(summed, X[:1], "integrated_gradients", baseline=X[1])
