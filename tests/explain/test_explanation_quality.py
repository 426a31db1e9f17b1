"""Scores of explanations: equal to quantus or to a closed form, and able to tell good attributions from bad ones."""

import functools
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import quantus
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.linear_model import LinearRegression

from deepcube.explain import (
    METHODS,
    SCORES,
    InputError,
    MethodError,
    Recipe,
    adapt,
    against_truth,
    agreement,
    build_attributions,
    explain,
    score,
)
from deepcube.explain.quality import (
    Flat,
    complexity,
    deletion_curve,
    faithfulness_correlation,
    infidelity,
    insertion_curve,
    max_sensitivity,
    random_subsets,
    rank_correlation,
    sparseness,
    top_overlap,
)

RNG = np.random.default_rng(0)
X, X0 = RNG.normal(size=(3, 6)), RNG.normal(size=6)
WEIGHTS = RNG.normal(size=(6, 2))


def linear(x: np.ndarray) -> np.ndarray:
    return x @ WEIGHTS


def curved(x: np.ndarray) -> np.ndarray:
    return np.tanh(x @ WEIGHTS) + x[:, :2] * x[:, 2:4]


def explanation(phi: np.ndarray, model=linear) -> xr.Dataset:
    inputs = xr.DataArray(X, dims=("instance", "feature"))
    baseline = xr.DataArray(np.tile(X0, (len(X), 1)), dims=("instance", "feature"))
    return build_attributions(
        method="kernel_shap",
        baseline_meaning="simulated",
        attributions=phi,
        inputs=inputs,
        baseline=baseline,
        predictions=model(X),
        base_values=model(baseline.values),
        outputs=["a", "b"],
        output_units="K",
    )


EXACT = (X - X0)[:, None] * WEIGHTS.T
NOISY = EXACT + RNG.normal(0, 0.5, EXACT.shape)


def quantus_model(model, output: int = 0) -> SimpleNamespace:
    """A model as the arithmetic of quantus asks for it."""
    return SimpleNamespace(predict=lambda x: model(x.reshape(len(x), -1)), shape_input=lambda x, *args, **kwargs: x)


def quiet(metric, **options):
    return metric(disable_warnings=True, display_progressbar=False, abs=False, normalise=False, **options)


finite = st.floats(-10, 10, allow_subnormal=False).map(lambda value: round(value, 3))
attributions = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=8), elements=finite)


@settings(max_examples=30)
@given(attributions.filter(lambda a: (np.abs(a).sum(axis=1) > 0.01).all()))
def test_complexity_and_sparseness_equal_quantus(phi):
    size = np.abs(phi)
    metrics = quantus.Complexity(disable_warnings=True), quantus.Sparseness(disable_warnings=True)
    expected = [metric.evaluate_batch(x_batch=size, a_batch=size) for metric in metrics]
    assert np.allclose(complexity(phi), expected[0], atol=1e-4)
    assert np.allclose(sparseness(phi), expected[1], atol=1e-4)


def test_complexity_and_sparseness_at_their_ends():
    assert complexity(np.array([0.0, -3.0, 0.0, 0.0])) == 0
    assert complexity(np.ones(8)) == pytest.approx(np.log(8))
    assert sparseness(np.ones(8)) == pytest.approx(0)
    assert sparseness(np.array([0.0, -3.0, 0.0, 0.0])) == pytest.approx(1 - 1 / 4)
    assert np.isnan(complexity(np.zeros(3)))


@settings(max_examples=30)
@given(attributions, st.integers(0, 100))
def test_rank_correlation_equals_scipy_and_quantus(phi, seed):
    other = np.random.default_rng(seed).permuted(phi, axis=1)
    for a, b, ours in zip(phi, other, rank_correlation(phi, other), strict=True):
        if np.ptp(a) == 0:
            assert np.isnan(ours)
        else:
            assert ours == pytest.approx(stats.spearmanr(a, b).statistic)
            assert ours == pytest.approx(quantus.similarity_func.correlation_spearman(a, b))


@pytest.mark.parametrize("output", [0, 1])
def test_deletion_equals_the_pixel_flipping_of_quantus(output):
    flat = Flat.of(explanation(NOISY, curved))
    metric = quiet(quantus.PixelFlipping, features_in_step=1, perturb_baseline="black")

    def replace(arr, indices, **kwargs):
        changed = arr.copy()
        np.put_along_axis(changed, indices, np.take_along_axis(np.tile(X0, (len(arr), 1)), indices, axis=1), axis=1)
        return changed

    metric.perturb_func = replace
    expected = metric.evaluate_batch(
        model=quantus_model(curved), x_batch=X, y_batch=np.full(3, output), a_batch=NOISY[:, output]
    )
    ours = deletion_curve(flat, adapt(curved), steps=6)[:, output]
    assert np.allclose(ours[:, 1:], expected)
    assert np.allclose(ours[:, 0], curved(X)[:, output])


def test_insertion_is_deletion_from_the_other_end():
    flat = Flat.of(explanation(EXACT, curved))
    turned = Flat.of(explanation(-EXACT, curved))
    there = insertion_curve(flat, adapt(curved), steps=6)
    back = deletion_curve(turned, adapt(curved), steps=6)
    assert np.allclose(there, back[..., ::-1])


def test_curves_of_a_linear_model_in_closed_form():
    result = score(linear, explanation(EXACT), ["deletion", "insertion"], curves=True)
    falling = np.sort(EXACT, axis=-1)[..., ::-1]
    curve = linear(X)[..., None] - np.concatenate([np.zeros((3, 2, 1)), falling.cumsum(axis=-1)], axis=-1)
    assert np.allclose(result["deletion_curve"], curve)
    assert np.allclose(result["deletion"], (curve[..., 1:] + curve[..., :-1]).mean(axis=-1) / 2)
    assert (result["insertion"] > result["deletion"]).all()
    assert result["share"].values.tolist() == pytest.approx(np.linspace(0, 1, 7).tolist())


def test_faithfulness_correlation_equals_quantus():
    flat = Flat.of(explanation(NOISY, curved))
    metric = quiet(quantus.FaithfulnessCorrelation, nr_runs=40, subset_size=3, perturb_baseline="black")
    drawn = []

    def replace(arr, indices, **kwargs):
        drawn.append(np.isin(np.arange(6), np.ravel(indices[0])))
        return np.where(drawn[-1], X0, arr)

    metric.perturb_func = replace
    for i in range(3):
        drawn.clear()
        expected = metric.evaluate_batch(
            model=quantus_model(curved), x_batch=X[i : i + 1], y_batch=np.array([1]), a_batch=NOISY[i : i + 1, 1]
        )
        ours = faithfulness_correlation(flat, adapt(curved), np.array(drawn))
        assert ours[i, 1] == pytest.approx(float(np.ravel(expected)[0]))


def test_infidelity_in_closed_form():
    error = NOISY - EXACT
    subsets = np.array([[(n >> i) & 1 for i in range(6)] for n in range(64)], bool)
    ours = infidelity(Flat.of(explanation(NOISY)), adapt(linear), subsets)
    assert np.allclose(ours, (error.sum(axis=-1) ** 2 + (error**2).sum(axis=-1)) / 4)
    assert np.allclose(infidelity(Flat.of(explanation(EXACT)), adapt(linear), subsets), 0)


def test_random_subsets_keep_groups_together():
    flat = Flat.of(explanation(EXACT))
    labels = np.array([0, 0, 1, 1, 2, 2])
    subsets = random_subsets(flat, 200, seed=0, labels=labels)
    assert (subsets[:, ::2] == subsets[:, 1::2]).all()
    assert 0.4 < subsets.mean() < 0.6


def test_max_sensitivity_equals_quantus_on_the_same_perturbations(monkeypatch):
    flat, noise = Flat.of(explanation(EXACT)), np.random.default_rng(5)
    drawn = []

    def attribute(self, model, x, x0, outputs):
        drawn.append(x)
        return np.sin(x)[:, None] * WEIGHTS.T, None

    monkeypatch.setattr(Recipe, "attribute", attribute)
    start = np.sin(X)[:, None] * WEIGHTS.T
    flat = Flat(flat.x, flat.x0, start, flat.predictions, flat.base_values, flat.shape)
    ours = max_sensitivity(flat, adapt(linear), Recipe("kernel_shap"), neighbours=4, radius=np.full(6, 0.1), seed=5)
    assert np.allclose(drawn[0], X + noise.uniform(-1, 1, X.shape) * 0.1)
    assert np.abs(drawn[0] - X).max() <= 0.1
    metric = quiet(quantus.MaxSensitivity, nr_samples=4)
    for i in range(3):
        replay = iter([d[i : i + 1] for d in drawn])
        metric.perturb_func = lambda arr, indices, replay=replay, **kwargs: next(replay)
        metric.changed_prediction_indices_func = lambda *args: []
        metric.explain_batch = lambda model, x, y: np.sin(x) * WEIGHTS[:, 0]
        expected = metric.evaluate_batch(
            model=quantus_model(linear), x_batch=X[i : i + 1], y_batch=np.array([0]), a_batch=start[i : i + 1, 0]
        )
        assert ours[i, 0] == pytest.approx(float(expected[0]))


def test_agreement_of_an_explanation_with_itself_and_its_opposite():
    first = explanation(EXACT)
    same = agreement(first, first)
    assert (same["rank_correlation"] == 1).all() and (same["sign_agreement"] == 1).all()
    opposite = agreement(first, explanation(-EXACT))
    assert np.allclose(opposite["rank_correlation"], -1)
    assert (opposite["sign_agreement"] == 0).all() and (opposite["top_overlap"] == 1).all()
    assert top_overlap(np.array([3.0, 2, 1, 0]), np.array([0.0, 2, 1, 3]), 2) == 0.5
    with pytest.raises(InputError, match="same sizes"):
        agreement(first, first.isel(feature=slice(0, 3)))


def test_good_attributions_score_better_than_noisy_ones():
    good, bad = (score(linear, explanation(phi), curves=False) for phi in (EXACT, NOISY))
    assert np.abs(good["completeness_error"]).max() < 1e-9 < np.abs(bad["completeness_error"]).min()
    assert (good["infidelity"] < bad["infidelity"]).all()
    assert np.allclose(good["faithfulness_correlation"], 1)
    assert (good["deletion"] <= bad["deletion"] + 1e-12).all()
    assert (good["insertion"] >= bad["insertion"] - 1e-12).all()
    assert set(good.data_vars) == set(SCORES) - {"randomisation", "agreement"}, "what a function does not allow"
    assert good["infidelity"].attrs["units"] == "(K)^2"
    assert good["deletion"].attrs["units"] == "K"


@functools.cache
def trained() -> keras.Model:
    """A network that has learnt a simulated rule: of six elements, the first and the fourth count."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(24, "relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=False)
    x = np.random.default_rng(1).normal(size=(1024, 6)).astype("float32")
    model.fit(x, 2 * x[:, 0] - np.abs(x[:, 3]), epochs=25, batch_size=128, verbose=0)
    return model


TRUTH = xr.DataArray(np.array([True, False, False, True, False, False]), dims="feature")


@pytest.mark.parametrize("method", [name for name, kind in METHODS.items() if "keras" in kind.kinds])
def test_every_method_finds_what_drives_a_simulated_output(method):
    inputs = np.random.default_rng(2).normal(size=(8, 6))
    result = explain(trained(), inputs, method, baseline=0.0, scores=True)
    found = against_truth(result, TRUTH)
    assert found["auroc"].mean() > 0.9
    assert found["relevance_mass"].mean() > 0.7
    assert found["relevance_rank"].mean() > 0.8
    assert set(SCORES) <= set(result.data_vars)
    assert result["faithfulness_correlation"].mean() > 0.85
    assert abs(float(result["randomisation"].mean())) < 0.8
    assert result["agreement"].mean() > 0.5
    assert result["agreement"].attrs["method"] != method
    assert (result["insertion"] > result["deletion"]).mean() > 0.7


def test_the_sanity_check_exposes_an_explanation_of_the_input_only():
    inputs = np.random.default_rng(2).normal(size=(4, 6))
    result = explain(trained(), inputs, baseline=0.0, scores=["randomisation"])
    flat = Flat.of(result)
    blind = Flat(flat.x, flat.x0, flat.x[:, None], flat.predictions, flat.base_values, flat.shape)
    from deepcube.explain.quality import model_randomisation

    class Blind(Recipe):
        def attribute(self, model, x, x0, outputs):
            return x[:, None].astype(float), None

    shown = model_randomisation(blind, adapt(trained()), Blind("integrated_gradients"))
    assert np.allclose(shown, 1)
    assert (result["randomisation"] < 0.95).any()


def test_truth_as_contributions_and_against_quantus():
    noisy = explanation(NOISY)
    scored = against_truth(noisy, xr.DataArray(EXACT, dims=("instance", "output", "feature")))
    assert np.allclose(scored["rmse"], np.sqrt(((NOISY - EXACT) ** 2).mean(axis=-1)))
    assert scored["correlation"][1, 1] == pytest.approx(np.corrcoef(NOISY[1, 1], EXACT[1, 1])[0, 1])
    mask = np.tile(TRUTH.values, (3, 1))
    found = against_truth(noisy, TRUTH)
    for name, metric in (
        ("relevance_mass", quantus.RelevanceMassAccuracy),
        ("relevance_rank", quantus.RelevanceRankAccuracy),
    ):
        expected = quiet(metric).evaluate_batch(a_batch=np.abs(NOISY[:, 0]), s_batch=mask)
        assert np.allclose(found[name][:, 0], expected)
    auc = quantus.AUC(disable_warnings=True).evaluate_batch(a_batch=np.abs(NOISY[:, 0]), s_batch=mask)
    assert np.allclose(found["auroc"][:, 0], auc)
    with pytest.raises(InputError, match="all elements or of none"):
        against_truth(noisy, xr.ones_like(TRUTH))
    with pytest.raises(InputError, match="truth"):
        against_truth(noisy, TRUTH.isel(feature=slice(0, 2)))


def test_what_a_model_does_not_allow_is_said():
    model = LinearRegression().fit(X, X[:, 0])
    result = explain(model, X, "kernel_shap", baseline=X0)
    with pytest.raises(MethodError, match="random_model"):
        score(model, result, ["randomisation"])
    other = LinearRegression().fit(X, X[::-1, 1])
    shuffled = score(model, result, ["randomisation"], random_model=other)
    assert shuffled["randomisation"].shape == (3, 1)
    with pytest.raises(MethodError, match="compare"):
        score(model, result, ["agreement"])
    with pytest.raises(InputError, match="without a baseline"):
        score(model, result.drop_vars("baseline"))
