"""Effects, importance, rules, counterfactuals, activations and examples: against closed forms and known truth."""

import keras
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.linear_model import LinearRegression, LogisticRegression

from deepcube.explain import (
    InputError,
    MethodError,
    activation_clusters,
    embed,
    explain,
    group_labels,
    prototypes,
    similar,
    similar_in_feature_group,
)

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(200, 3)), columns=["rain", "heat", "noise"])
WEIGHTS = np.array([2.0, -1.0, 0.0])


def linear(x: np.ndarray) -> np.ndarray:
    return x @ WEIGHTS + 1


def test_ale_and_partial_dependence_of_a_linear_model_are_its_slopes():
    for method in ("ale", "partial_dependence"):
        result = explain(linear, X, method, outputs=["yield"], output_units="kg")
        assert result["effect"].dims == ("feature", "output", "point")
        assert result["effect"].attrs["units"] == "kg"
        assert float(result["base_value"][0]) == pytest.approx(linear(X.to_numpy()).mean())
        for name, weight in zip(X.columns, WEIGHTS, strict=True):
            one = result.sel(feature=name)
            known = np.isfinite(one["value"].values)
            slope = np.polyfit(one["value"].values[known], one["effect"].values[0, known], 1)[0]
            assert slope == pytest.approx(weight, abs=1e-9), (method, name)
    mean = explain(linear, X, "partial_dependence", features=["heat"])
    expected = linear(X.to_numpy()).mean() - (mean["value"] - X["heat"].mean())
    assert np.allclose(mean["effect"][0, 0], expected[0])
    assert mean["feature"].values.tolist() == ["heat"]


def test_ale_is_not_misled_by_dependent_features_but_partial_dependence_is():
    both = RNG.normal(size=300)
    table = np.stack([both, both + RNG.normal(0, 0.01, 300)], axis=1)
    model = lambda x: np.where(np.abs(x[:, 0] - x[:, 1]) > 1, 100.0, x[:, 0])  # noqa: E731  never off the diagonal
    local, partial = (explain(model, table, method)["effect"][0, 0] for method in ("ale", "partial_dependence"))
    assert np.nanmax(np.abs(local)) < 10 < np.nanmax(np.abs(partial))


def test_permutation_importance_in_closed_form():
    truth = linear(X.to_numpy())
    result = explain(linear, X, "permutation_importance", truth=truth, repeats=200)
    # Of a perfect linear model, shuffling a feature leaves the error sqrt(2) |w| std.
    expected = np.sqrt(2) * np.abs(WEIGHTS) * X.to_numpy().std(axis=0)
    assert np.allclose(result["importance"], expected, rtol=0.05)
    assert float(result["loss"]) == pytest.approx(0, abs=1e-12)
    again = explain(linear, X, "permutation_importance", truth=truth, repeats=5, seed=1)
    same = explain(linear, X, "permutation_importance", truth=truth, repeats=5, seed=1)
    assert np.array_equal(again["importance"], same["importance"])
    with pytest.raises(InputError, match="3 true values for 200"):
        explain(linear, X, "permutation_importance", truth=truth[:3])


def test_permutation_importance_of_an_odd_number_of_instances():
    result = explain(linear, X[:7], "permutation_importance", truth=linear(X[:7]), repeats=50)
    assert float(result["loss"]) == 0 and (result["importance"].values >= 0).all()
    assert float(result["importance"].max()) > 0


def test_permutation_importance_of_the_variables_of_a_cube():
    values = RNG.normal(size=(80, 3, 2, 2))
    cube = xr.DataArray(values, dims=("sample", "time", "y", "variable"), coords={"variable": ["ndvi", "noise"]})
    model = lambda x: x[..., 0].mean(axis=(1, 2))  # noqa: E731
    truth = model(values)
    truth[::7] = np.nan
    result = explain(model, cube, "permutation_importance", truth=truth, repeats=20)
    assert result["feature"].values.tolist() == ["ndvi", "noise"]
    assert result["importance"][0] > 0.2 > abs(float(result["importance"][1]))
    by_time = group_labels(cube, "time")
    assert explain(model, cube, "permutation_importance", truth=truth, groups=by_time).sizes["feature"] == 3


def test_anchors_hold_as_often_as_they_say():
    model = LogisticRegression(C=100).fit(X, X["rain"] > 0.7)
    result = explain(model, X.iloc[:4], "anchors", background=X, precision=0.9)
    new = pd.DataFrame(np.random.default_rng(9).normal(size=(4000, 3)), columns=X.columns).to_numpy()
    bounds = np.percentile(X, [25, 50, 75], axis=0)
    for i in range(4):
        assert "rain" in str(result["rule"][i].item())
        row, inside = X.to_numpy()[i], result["in_anchor"].values[i]
        same_bin = [np.digitize(new[:, f], bounds[:, f]) == np.digitize(row[f], bounds[:, f]) for f in range(3)]
        held = np.logical_and.reduce([same_bin[f] for f in np.flatnonzero(inside)])
        assert (model.predict(new[held]) == model.predict(row[None])).mean() > 0.8
    with pytest.raises(InputError, match="background"):
        explain(model, X, "anchors")


def test_anchors_of_a_regression_are_about_its_classes():
    result = explain(linear, X.iloc[:2], "anchors", background=X, bins=[-1.0, 3.0], output_units="kg")
    assert result["predicted_class"].values.tolist() == np.digitize(linear(X.to_numpy()[:2]), [-1, 3]).tolist()
    assert result["predicted_class"].attrs["units"] == "kg"


def test_counterfactuals_reach_the_target_by_few_values_that_occur():
    result = explain(linear, X.iloc[:6], "counterfactual", background=X, target=(4.0, np.inf), fixed=["heat"])
    assert result["found"].all()
    assert (result["counterfactual_prediction"] >= 4).all()
    change = result["change"].values
    assert (change[:, 1] == 0).all(), "heat is fixed"
    assert (result["changed"] <= 1).all(), "rain alone is enough"
    moved = result["counterfactual"].values[change[:, 0] != 0, 0]
    assert np.isin(moved, X["rain"]).all()
    already = linear(X.to_numpy()[:6]) >= 4
    assert (change[already] == 0).all()


def test_counterfactuals_of_classes():
    model = LogisticRegression().fit(X, (X["rain"] > 0).astype(int) + (X["heat"] > 0.5))
    result = explain(model, X.iloc[:5], "counterfactual", background=X)
    before, after = (result[name].values.argmax(axis=1) for name in ("prediction", "counterfactual_prediction"))
    assert (before != after).all()
    chosen = explain(model, X.iloc[:5], "counterfactual", background=X, target=2)
    assert (chosen["counterfactual_prediction"].values.argmax(axis=1) == 2).all()
    with pytest.raises(InputError, match="Found nothing in the background"):
        explain(linear, X.iloc[:1], "counterfactual", background=X, target=(1e9, np.inf))
    with pytest.raises(InputError, match="no wind"):
        explain(linear, X.iloc[:1], "counterfactual", background=X, fixed=["wind"])


def images(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Simulated images, half of them with a bright spot, and where it is."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.3, (count, 12, 12, 1)).astype("float32")
    places = rng.integers(1, 11, (count, 2))
    for i in range(0, count, 2):
        y, x = places[i]
        values[i, y - 1 : y + 2, x - 1 : x + 2] += 2
    return values, places


@pytest.fixture(scope="module")
def detector() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((12, 12, 1)),
        keras.layers.Conv2D(6, 3, padding="same", activation="relu", name="maps"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(1, name="spot"),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.03), "mse", jit_compile=False)
    values, _ = images(256, seed=1)
    model.fit(values, np.arange(256) % 2 == 0, epochs=12, batch_size=64, verbose=0)
    return model


def test_an_activation_map_shows_where_the_spot_is(detector):
    values, places = images(20)
    data = xr.DataArray(values, dims=("image", "y", "x", "channel"), coords={"y": np.arange(12) * 30.0})
    result = explain(detector, data, "grad_cam", outputs=["spot"])
    assert result["activation_map"].dims == ("image", "output", "y", "x")
    assert result.attrs["layer"] == "maps"
    assert result["y"].values[-1] == 330.0
    for i in range(0, 20, 2):
        peak = np.unravel_index(result["activation_map"].values[i, 0].argmax(), (12, 12))
        assert np.abs(np.array(peak) - places[i]).max() <= 2
    with pytest.raises(MethodError, match="no layer 'nowhere'"):
        explain(detector, data, "grad_cam", layer="nowhere")
    with pytest.raises(InputError, match="expected y and x"):
        explain(detector, data.rename(y="north"), "grad_cam")
    with pytest.raises(MethodError, match="Keras"):
        explain(lambda x: x.sum(axis=(1, 2, 3)), data, "grad_cam")


def test_activations_cluster_by_what_the_network_sees(detector):
    values, _ = images(40, seed=3)
    inner = embed(detector, values, layer="maps")
    assert inner.sizes == {"dim_0": 40, "component": 6}
    clusters = activation_clusters(inner, 2)
    groups = clusters["cluster"].values
    truth = np.arange(40) % 2
    assert max((groups == truth).mean(), (groups != truth).mean()) > 0.9
    assert clusters["size"].values.sum() == 40
    assert groups[clusters["representative"].values].tolist() == [0, 1]
    with pytest.raises(InputError, match="clusters=1"):
        activation_clusters(inner, 1)


def test_prototypes_cover_the_clusters_and_neighbours_are_the_nearest():
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = xr.DataArray(np.repeat(centres, 20, axis=0) + RNG.normal(0, 0.1, (60, 2)), dims=("instance", "feature"))
    result = prototypes(points, 3)
    assert sorted(result["position"].values // 20) == [0, 1, 2]
    assert result.attrs["coverage"] > 0.5
    by_class = prototypes(points, 6, labels=np.arange(60) // 30)
    assert (by_class["label"] == by_class["position"] // 30).all()
    found = similar(points[:5], points, count=3)
    standard = (points - points.mean("instance")) / points.std("instance")
    distance = np.sqrt(((standard.values[:5, None] - standard.values[None]) ** 2).mean(axis=-1))
    assert np.array_equal(found["position"], np.argsort(distance, axis=1)[:, :3])
    assert np.allclose(found["distance"], np.sort(distance, axis=1)[:, :3], atol=1e-6)
    with pytest.raises(InputError, match="at most as many"):
        similar(points, points, count=61)


def test_a_group_without_embeddings_is_named():
    class Group:
        name, embedding_index = "pixels", None

    with pytest.raises(InputError, match="pixels"):
        similar_in_feature_group(Group(), [1.0])


def test_effects_of_unknown_features_are_refused():
    with pytest.raises(InputError, match="wind"):
        explain(LinearRegression().fit(X, X["rain"]), X, "ale", features=["wind"])
    with pytest.raises(InputError, match="table"):
        explain(lambda x: x.sum(axis=(1, 2)), np.ones((3, 2, 2)), "ale")


@pytest.mark.parametrize("classes", [False, True], ids=["regression", "classes"])
def test_a_prototype_counterfactual_crosses_the_boundary_within_what_occurs(classes):
    def model(x):
        above = 1 / (1 + np.exp(-linear(x)))
        return np.stack([1 - above, above], axis=1) if classes else linear(x)

    result = explain(model, X[:1], "prototype_counterfactual", background=X, limit=None if classes else 1.0)
    assert result["found"].values.tolist() == [True]
    found = result["counterfactual"].values
    assert (linear(found) > (0 if classes else 1)) != (linear(X[:1].to_numpy()) > (0 if classes else 1))
    assert (found >= X.to_numpy().min(axis=0) - 1e-6).all()
    assert (found <= X.to_numpy().max(axis=0) + 1e-6).all()
    assert np.allclose(result["change"], found - X[:1].to_numpy())
    with pytest.raises(InputError, match="one class"):
        explain(lambda x: np.zeros(len(x)), X[:1], "prototype_counterfactual", background=X)
