"""Windows and networks of the outlook: no look ahead, no leak between parts, quantiles in order, one function."""

import keras
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from maggy.experiment import experiment

from deepcube.explain import as_dict
from deepcube.oblivious import MODEL_FILE, SingleRunConfig
from features.drought import time_split
from features.drought.quantiles import LEVELS, crps
from training_pipelines.drought import outlook_card
from training_pipelines.drought.outlook import Trained, baselines, score_outlook
from training_pipelines.drought.outlook_card import explain_outlook, truth_of, write_card
from training_pipelines.drought.space_time import KERNELS, MIDDLE, build_network, forecast, pinball, train_fn
from training_pipelines.drought.windows import PATCH, Planes, Reach, climatology
from training_pipelines.studies import TrainingDataError


def minicube(seed: int = 0, columns: int = 26, years: int = 6, step: str = "10D") -> xr.Dataset:
    """Departures that each pixel remembers for some ten steps."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2010-01-01", periods=int(years * 365 / pd.Timedelta(step).days), freq=step)
    shape = (len(times), 7, columns)
    rain, departure = rng.normal(0, 5, len(times)), np.zeros(shape)
    for t in range(1, len(times)):
        departure[t] = 0.9 * departure[t - 1] + rng.normal(0, 0.03, shape[1:])
    normal = 0.5 + 0.1 * np.sin(2 * np.pi * times.dayofyear.to_numpy() / 365.25)[:, None, None] + np.zeros(shape)
    ndvi = np.where(rng.random(shape) < 0.2, np.nan, normal + departure)
    cover = np.full(shape[1:], 30.0)
    cover[0] = 80
    data = {
        "ndvi": (("time", "y", "x"), ndvi.astype("float32")),
        "normal": (("time", "y", "x"), normal.astype("float32")),
        "band_b4": (("time", "y", "x"), rng.uniform(0, 0.3, shape).astype("float32")),
        "rain": ("time", rain.astype("float32")),
        "elevation": (("y", "x"), rng.normal(300, 20, shape[1:])),
        "land_cover": (("y", "x"), cover, {"product": "esawc_lc"}),
    }
    split = {name: pd.Timestamp(date).isoformat() for name, date in vars(time_split(times)).items()}
    attrs = {"cube": "made", "simulated": "True", "step_days": pd.Timedelta(step) / pd.Timedelta(days=1), **split}
    return xr.Dataset(data, {"time": times, "y": np.arange(7), "x": np.arange(columns)}, attrs)


CUBE = minicube()
PLANES = Planes.of(CUBE)


def test_reach_follows_the_step_and_the_length_of_the_cube():
    assert PLANES.reach == Reach(50, 10)
    assert Reach.of(minicube(step="5D")) == Reach(70, 20)
    assert Reach.of(minicube(step="16D")) == Reach(50, 10)
    short = Reach.of(minicube(years=3))
    assert short.horizon == 10 and short.context < 50
    with pytest.raises(TrainingDataError, match="longer cube"):
        Reach.of(minicube(years=2).assign_attrs(step_days=5.0))


def test_the_periods_of_targets_are_apart_and_places_held_out_are_never_trained_on():
    reached = {}
    for part in ("train", "validation", "test"):
        origins = PLANES.origins(part)
        assert len(origins)
        reached[part] = {int(o) + h for o in origins for h in range(1, PLANES.reach.horizon + 1)}
    assert not reached["train"] & reached["validation"] and not reached["validation"] & reached["test"]
    assert max(reached["train"]) < min(reached["validation"]) < min(reached["test"])
    assert PLANES.held_out == 26 - 6
    seen = {column + k for _, column in PLANES.places("seen") for k in range(PATCH)}
    elsewhere = {column + k for _, column in PLANES.places("elsewhere") for k in range(PATCH)}
    assert seen and elsewhere and max(seen) < PLANES.held_out - 1 and min(elsewhere) >= PLANES.held_out
    small = Planes.of(minicube(columns=5))
    assert small.places("elsewhere") == [] and small.patch == (6, 5)


@settings(max_examples=10)
@given(seed=st.integers(0, 100))
def test_inputs_do_not_change_with_what_comes_later(seed):
    random = np.random.default_rng(seed)
    origin = int(random.choice(PLANES.origins("test")))
    later = CUBE.copy(deep=True)
    for name in ("ndvi", "band_b4", "rain"):
        values = later[name].values
        values[origin + 1 :] = random.uniform(-1, 1, values[origin + 1 :].shape)
    window = [(origin, (0, 3)), (origin, (1, 20))]
    one, other = PLANES.blocks(window), Planes.of(later).blocks(window)
    assert np.array_equal(one.inputs, other.inputs)
    assert np.array_equal(one.persistence, other.persistence)
    assert not np.array_equal(one.targets, other.targets, equal_nan=True)


def test_normalisation_is_of_the_training_period_in_the_places_seen():
    other = CUBE.copy(deep=True)
    late = np.asarray(pd.DatetimeIndex(CUBE["time"].values) >= PLANES.split.train_end)
    for name in ("band_b4", "ndvi"):
        other[name].values[late] = 0.9
        other[name].values[:, :, PLANES.held_out :] = 0.9
    changed = Planes.of(other)
    assert changed.deviation == PLANES.deviation
    train = ~late
    assert np.array_equal(changed.observed[train][:, :, :19], PLANES.observed[train][:, :, :19])
    flat = PLANES.observed[train][:, :, :19, PLANES.names.index("band_b4")]
    assert abs(flat.mean()) < 1e-3 and flat.std() == pytest.approx(1, abs=1e-3)


def test_targets_are_the_ndvi_that_came_true_where_something_grows():
    origin = int(PLANES.origins("test")[0])
    blocks = PLANES.blocks([(origin, (0, 2))])
    truth = CUBE["ndvi"].values[origin + 1 : origin + 11, :6, 2:8]
    assert np.isnan(blocks.targets[0, :, 0]).all(), "water"
    assert np.array_equal(blocks.targets[0, :, 1:], truth[:, 1:], equal_nan=True)
    assert np.allclose(climatology(PLANES, blocks)[0], CUBE["normal"].values[origin + 1 : origin + 11, :6, 2:8])
    past = CUBE["ndvi"].values[: origin + 1, 3, 4]
    assert blocks.persistence[0, 3, 2] == past[np.isfinite(past)][-1]
    assert not blocks.inputs[0, 50:, :, :, : PLANES.observed.shape[-1]].any(), "nothing observed after the origin"


@pytest.mark.parametrize("kind", KERNELS)
def test_an_untrained_network_is_climatology_with_quantiles_in_order(kind):
    network = build_network(PLANES, kernel=KERNELS[kind], hidden=3)
    blocks = PLANES.random("train", 4, 0)
    quantiles = forecast(network, blocks)
    assert quantiles.shape == (4, 10, *PLANES.patch, len(LEVELS))
    assert np.allclose(quantiles[..., MIDDLE], climatology(PLANES, blocks), atol=1e-6)
    rng = np.random.default_rng(0)
    network.set_weights([rng.normal(0, 0.5, w.shape) for w in network.get_weights()])
    assert (np.diff(forecast(network, blocks), axis=-1) >= 0).all()
    moved = blocks.inputs.copy()
    moved[:, :50, 0, 0, 0] += 3
    change = np.abs(np.asarray(network(moved)) - np.asarray(network(blocks.inputs))).max(axis=(0, 1, 4))
    assert change[0, 0] > 1e-4
    assert (change[0, 1] > 1e-6) == (kind == "convlstm"), "only a ConvLSTM sees neighbours"


def test_the_loss_is_the_score():
    rng = np.random.default_rng(0)
    truth, quantiles = rng.normal(size=(3, 4, 2, 2)), np.sort(rng.normal(size=(3, 4, 2, 2, 9)), axis=-1)
    truth[rng.random(truth.shape) < 0.3] = np.nan
    share = np.isfinite(truth).mean()
    loss = float(np.mean(pinball(truth.astype("float32"), quantiles.astype("float32"))))
    assert loss / share == pytest.approx(crps(truth, quantiles), rel=1e-5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPCUBE_HOME", str(tmp_path_factory.mktemp("home")))
        hparams = {"hidden": 4, "learning_rate": 3e-3, "batch_size": 16, "epochs": 4, "patience": 4}
        dataset = (PLANES, PLANES.random("train", 96, 0), PLANES.random("validation", 32, 1))
        run = experiment.lagom(
            train_fn,
            SingleRunConfig(
                model=build_network,
                dataset=dataset,
                hparams={**hparams, "kernel": 1},
                optimization_key="validation_crps",
                seed=0,
                name="outlook",
            ),
        )
        network = keras.saving.load_model(f"{run['directory']}/{MODEL_FILE}", compile=False, safe_mode=True)
        return Trained([network], [run["history"]], run["result"]["validation_crps"])


def test_a_trained_network_beats_both_baselines_on_later_time_and_elsewhere(trained):
    history = [step["metrics"]["validation_crps"] for step in trained.histories[0]]
    assert trained.validation_crps == pytest.approx(min(history), rel=1e-5)
    scores, seeds = score_outlook(PLANES, {"per_pixel": trained})
    for where in ("seen", "elsewhere"):
        ours = scores["per_pixel"][where]
        for name in ("persistence", "climatology"):
            assert ours["rmse"] < scores[name][where]["rmse"]
            assert ours["crps"] < scores[name][where]["crps"]
            assert ours["n"] == scores[name][where]["n"]
        assert ours["beats_climatology"] > 0.5
        assert seeds["per_pixel"][where]["rmse"]["mean"] == pytest.approx(ours["rmse"])
    blocks = PLANES.random("test", 2, 0)
    assert np.array_equal(baselines(PLANES, blocks)["persistence"][:, 4], blocks.persistence)


def test_the_card_says_what_drives_it_and_scores_that_against_the_truth(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(outlook_card, "_EXPLAINED", 1)
    monkeypatch.setattr(outlook_card, "_STEPS", 4)
    scores, seeds = score_outlook(PLANES, {"per_pixel": trained})
    network = trained.networks[0]
    explained = explain_outlook(PLANES, network, PLANES.random("test", 1, 0))
    assert explained["attribution"].dims == ("instance", "output", "step", "y", "x", "channel")
    assert np.abs(explained["completeness_error"]).max() < 0.01
    assert set(as_dict(explained)["attributions"]) == {"first_half", "second_half"}
    assert "relevance_mass" in truth_of(explained)
    (figure,) = write_card(tmp_path, "made", True, PLANES, network, "per_pixel", scores, seeds, (0,))
    text = (tmp_path / "model_card.md").read_text()
    assert figure.is_file() and "(simulated)" in text and "known truth" in text and "climatology" in text
