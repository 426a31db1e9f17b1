"""Models of every family, class imbalance, calibration, baselines and scores, on cases with a known cause."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from features import wildfire
from features.wildfire.trees import BoostedTrees, trees_model
from features.wildfire.usual import explained_model, explaining_methods, labelled, usual_conditions
from training_pipelines.studies import TrainingDataError, check_mode
from training_pipelines.wildfire import evaluation, model, modes
from training_pipelines.wildfire.data import Samples, TrainingData, training_means
from training_pipelines.wildfire.networks import build_model, families

NAMES = tuple(wildfire.INPUTS)
HPARAMS = {**modes.HPARAMS, "units": 8, "epochs": 2, "trees": 20, "batch_size": 64}


def made(rows: int, seed: int, weight: float) -> Samples:
    """Cases that burn where it is hot and steep; non-fires stand for many."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(rows, len(NAMES))).astype(np.float32)
    hot, steep = inputs[:, NAMES.index("fwi_lag_0")], inputs[:, NAMES.index("slope")]
    fire = random.uniform(size=rows) < 1 / (1 + np.exp(-(2 * hot + steep - 1)))
    day = np.datetime64("2010-06-01") + random.integers(0, 120, rows)
    return Samples(inputs, fire, np.where(fire, 1.0, weight), day.astype("datetime64[D]"), NAMES)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    parts = {"train": made(600, 1, 50), "validation": made(500, 2, 80), "test": made(700, 3, 80)}
    parts["test_known"] = made(400, 4, 60)
    train = parts["train"]
    return TrainingData(parts, training_means(train.inputs, train.weight).astype(np.float32), 1)


def fitted(data: TrainingData, folder: Path, family: str) -> tuple:
    told: list[float] = []
    reporter = SimpleNamespace(directory=folder, broadcast=lambda metric, step, metrics: told.append(metric))
    hparams = {**HPARAMS, "family": family}
    scores = model.train_fn(hparams, build_model, (data.train, data.validation), reporter)
    return model.load_network(folder / "model.keras"), scores, told


@pytest.mark.parametrize("family", ["boosting"])
def test_a_family_learns_and_is_saved_whole(data: TrainingData, tmp_path: Path, family: str) -> None:
    assert family in families(wildfire.Layout(NAMES))
    network, scores, told = fitted(data, tmp_path, family)
    assert scores["validation_loss"] == pytest.approx(min(told), abs=0.05) and np.isfinite(list(scores.values())).all()
    odds = model.log_odds(network, data.validation.inputs)
    assert odds.shape == (500,) and np.isfinite(odds).all()
    assert scores["validation_loss"] == pytest.approx(model.balanced_loss(data.validation, odds, data.train))
    assert evaluation.binary_scores(data.validation.fire, model.probability(odds))["auroc"] > 0.6
    assert ("integrated_gradients" in explaining_methods(network)) == (family != "boosting")


def test_families_fit_their_inputs() -> None:
    assert families(wildfire.Layout(("tmax_lag_0", "ffmc"))) == ["boosting", "dense"]
    history = tuple(f"tmax_lag_{lag}" for lag in range(10))
    assert families(wildfire.Layout(history)) == ["boosting", "dense", "lstm", "transformer"]


def test_trees_as_a_layer_are_scikit_learns(tmp_path: Path) -> None:
    from sklearn.ensemble import GradientBoostingClassifier

    names = ("tmax_lag_0", "ffmc", "slope", "slope_at_0_0")
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 4)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + 0.3 * random.normal(size=300) > 0
    booster = GradientBoostingClassifier(n_estimators=7, max_depth=3, random_state=0).fit(x[:, :3], y)
    start = float(np.log(y.mean() / (1 - y.mean())))
    network = trees_model([one for (one,) in booster.estimators_], 0.1, start, names)
    # Thresholds lie between values; values on them must go left, too.
    tree = booster.estimators_[0, 0].tree_
    edge = np.repeat(x[:1], 2, axis=0)
    edge[:, tree.feature[0]] = np.float32(tree.threshold[0]), np.nextafter(np.float32(tree.threshold[0]), np.float32(9))
    cases = np.concatenate([x, edge])
    np.testing.assert_allclose(
        model.log_odds(network, cases), booster.decision_function(cases[:, :3].astype(np.float32)), atol=1e-5
    )
    network.save(tmp_path / "model.keras")
    again = model.load_network(tmp_path / "model.keras")
    np.testing.assert_array_equal(model.log_odds(again, cases), model.log_odds(network, cases))
    assert isinstance(again.get_layer("trees"), BoostedTrees)


def test_thinned_non_fires_are_corrected_for() -> None:
    """A model that is right on a thinned sample is right on all cell-days after the correction."""
    random = np.random.default_rng(5)
    truth = random.uniform(-7, -3, 400_000)
    fire = random.uniform(size=truth.size) < model.probability(truth)
    kept = fire | (random.uniform(size=truth.size) < 0.02)
    sample = Samples(np.zeros((kept.sum(), 1), np.float32), fire[kept], np.where(fire[kept], 1, 50.0), None, ("ffmc",))  # type: ignore[arg-type]
    thinned = truth[kept] + np.log(50)
    assert model.thinning(sample) == pytest.approx(np.log(50))
    slope, offset = model.calibrate(thinned - model.thinning(sample), sample)
    assert slope == pytest.approx(1, abs=0.08) and offset == pytest.approx(0, abs=0.3)
    assert model.probability(thinned - np.log(50)) == pytest.approx(model.probability(truth[kept]))


def test_an_order_that_validation_contradicts_is_not_turned_round(data: TrainingData) -> None:
    validation = data.validation
    odds = -validation.column("fwi_lag_0").astype(float)
    slope, offset = model.calibrate(odds, validation)
    assert slope == 0.05
    mean = np.average(model.probability(odds, slope, offset), weights=validation.weight)
    assert mean == pytest.approx(np.average(validation.fire, weights=validation.weight), rel=0.1)


def test_seeds_of_trees_are_explained_exactly_as_one_sum_of_trees(data: TrainingData, tmp_path: Path) -> None:
    from deepcube.explain import explain

    networks = []
    for seed in (0, 1):
        np.random.seed(seed)
        (tmp_path / str(seed)).mkdir()
        networks.append(fitted(data, tmp_path / str(seed), "boosting")[0])
    together = model.ensemble(networks, 0.8, -2.0)
    x = data.validation.inputs[:20]
    single = np.array([model.log_odds(one, x) for one in networks])
    found = np.asarray(together(x))
    np.testing.assert_allclose(found[:, 0], 0.8 * single.mean(axis=0) - 2.0, atol=1e-4)
    np.testing.assert_allclose(found[:, 1], 0.8 * single.std(axis=0), atol=1e-4)
    summed = explained_model(together, NAMES)
    np.testing.assert_allclose(summed(x)[:, 0], found[:, 0], atol=1e-4)
    usual = explain(summed, x[:3], explaining_methods(together)[0], baseline=x[3:6])
    np.testing.assert_allclose(usual["attribution"].sum("feature")[:, 0], found[:3, 0] - found[3:6, 0], atol=1e-3)


def test_usual_conditions_keep_the_place() -> None:
    import pandas as pd

    table = pd.DataFrame([np.arange(len(NAMES), dtype=float)], columns=list(NAMES))
    usual = usual_conditions(table, dict.fromkeys(NAMES, -1.0))
    assert usual["slope"][0] == table["slope"][0] and usual["roads_at_m1_0"][0] == table["roads_at_m1_0"][0]
    assert usual["fwi_lag_4"][0] == usual["ndvi"][0] == usual["season_sin"][0] == usual["green_at_0_0"][0] == -1
    inputs = labelled(table, NAMES)
    assert str(inputs["units"].sel(feature="tmax_lag_2").values) == "degC"
    assert str(inputs["variable"].sel(feature="tmax_lag_2").values) == "tmax"


def test_means_are_of_cell_days() -> None:
    raw = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]])
    np.testing.assert_allclose(training_means(raw, np.array([3.0, 1.0])), [1.5, 5.0, 0.0])


def test_climatology_is_the_frequency_by_month_and_cover() -> None:
    names = ("cover_forest", "cover_arable")
    forest = np.array([1, 1, 1, 0, 0, 0] * 40, dtype=np.float32)
    july = np.array([1, 0] * 120, dtype=bool)
    fire = np.zeros(240, dtype=bool)
    fire[np.flatnonzero(july & (forest == 1))[:30]] = True
    day = np.where(july, np.datetime64("2010-07-15"), np.datetime64("2010-01-15")).astype("datetime64[D]")
    samples = Samples(np.column_stack([forest, 1 - forest]), fire, np.where(fire, 1.0, 10.0), day, names)
    chance = evaluation.Climatology(samples)(samples)
    assert chance[july & (forest == 1)].min() > chance[july & (forest == 0)].max() > 0
    assert chance[july & (forest == 0)].min() > chance[~july & (forest == 0)].max() > 0
    assert np.average(chance, weights=samples.weight) == pytest.approx(
        np.average(fire, weights=samples.weight), rel=0.2
    )


def test_scores_stand_beside_the_baselines(data: TrainingData, tmp_path: Path) -> None:
    good = {part: 2.0 * one.column("fwi_lag_0") + one.column("slope") - 5 for part, one in data.parts.items()}
    single = [{part: odds + 0.1 * seed for part, odds in good.items()} for seed in (0, 1)]
    days = dict.fromkeys(data.parts, 120)
    result = evaluation.evaluate(data, good, single, days)
    assert set(result.model) == set(result.baselines["fwi"]) == {"overall", "known_ground"}
    assert (
        result.beats_baselines and result.model["overall"]["auroc"] > result.baselines["fwi"]["overall"]["auroc"] > 0.6
    )
    assert result.seeds["overall"]["auroc"]["std"] == pytest.approx(0, abs=1e-9)
    test = data.parts["test"]
    point = result.model["overall"]
    alarm = model.probability(good["test"]) >= point["threshold_at_recall_90"]
    assert alarm[test.fire].mean() == pytest.approx(point["recall_at_recall_90"])
    assert test.weight[alarm & ~test.fire].sum() / 120 == pytest.approx(point["false_alarms_per_map_at_recall_90"])
    ahead = result.leads["overall"]["fwi"]["auprc"]
    assert ahead["difference"] == pytest.approx(point["auprc"] - result.baselines["fwi"]["overall"]["auprc"])
    assert 0 < ahead["low"] < ahead["difference"] < ahead["high"]
    flat = result.flat()
    assert flat["auroc"] == point["auroc"] and "known_ground_auroc" in flat and "fwi_auroc" in flat
    json.dumps([result.model, result.baselines, result.seeds, result.thresholds, result.leads, flat])
    history = [{"step": 0, "metric": 0.2, "metrics": {"train_loss": 0.1, "validation_loss": 0.2}}]
    for figure in evaluation.draw(result, [{"history": history}], 1, tmp_path, "sample"):
        assert figure.read_bytes()[:4] == b"\x89PNG"


def test_a_group_of_variables_is_held_at_its_means(data: TrainingData) -> None:
    train, validation = modes.without_group(data.means, (data.train, data.validation), "human presence")
    for held, before in ((train, data.train), (validation, data.validation)):
        for name in ("roads", "people_at_0_p1"):
            assert (held.column(name) == data.means[NAMES.index(name)]).all()
        np.testing.assert_array_equal(held.column("fwi_lag_0"), before.column("fwi_lag_0"))


def test_unknown_modes_are_refused() -> None:
    with pytest.raises(TrainingDataError, match="'magic'; expected one of single, hpo, ablation"):
        check_mode("magic", modes.MODES)
