"""Persistent scatterers: series that are made of their truth, columns as EGMS has them."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from deepcube.cubes.simulate import simulate
from deepcube.cubes.simulate.scatterers import CAUSES, phase_noise, trend


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return simulate("scatterers", tmp_path_factory.mktemp("simulate") / "points", seed=2, size="tiny", points=2000)


def test_series_are_trend_season_jump_and_noise(made):
    points, truth = pd.read_parquet(made.data), pd.read_parquet(made.truth)
    p = made.document["parameters"]
    epochs = [name for name in points if name.startswith("D2")]
    assert len(epochs) == p["epochs"] and epochs[0] == "D20180102"
    series = points[epochs].to_numpy()
    assert not series[:, 0].any()
    years = np.arange(p["epochs"]) * p["step_days"] / 365.25
    places = {place["hotspot"]: place for place in made.document["truth_values"]["hotspots"]}
    change = np.array([
        places[h]["start_years"] if h and places[h]["start_years"] > 0 else np.inf for h in truth["hotspot"]
    ])  # fmt: skip
    clean = trend(years, truth["velocity_before"].to_numpy(), truth["velocity_after"].to_numpy(), change)
    season = truth["season_amplitude"].to_numpy()[:, None] * np.cos(
        2 * np.pi * years - truth["season_phase"].to_numpy()[:, None]
    )
    after = (truth["jump_epoch"].to_numpy()[:, None] <= np.arange(p["epochs"])) & (truth["jump_epoch"].to_numpy() >= 0)[
        :, None
    ]
    rest = series - clean - season - truth["jump_mm"].to_numpy()[:, None] * after
    rest = rest - rest.mean(axis=1, keepdims=True)
    assert np.allclose(rest.std(axis=1), truth["noise_mm"], rtol=0.4)
    assert abs((rest.std(axis=1) / truth["noise_mm"]).mean() - 1) < 0.02


def test_changes_have_dates_and_causes(made):
    truth = pd.read_parquet(made.truth)
    changed = truth["change_epoch"] >= 0
    assert changed.any() and not changed.all()
    assert truth.loc[changed, "change_date"].notna().all() and truth.loc[~changed, "change_date"].isna().all()
    assert (truth.loc[changed, "velocity_before"] != truth.loc[changed, "velocity_after"]).all()
    assert (truth.loc[~changed, "velocity_before"] == truth.loc[~changed, "velocity_after"]).all()
    assert set(truth["cause"]) <= set(CAUSES) and (truth["cause"] != "none").equals(truth["hotspot"] > 0)
    assert pq.read_schema(made.data).metadata[b"simulated"] == b"true"


def test_velocity_is_the_slope_of_the_series(made):
    points = pd.read_parquet(made.data).head(50)
    epochs = [name for name in points if name.startswith("D2")]
    years = (pd.to_datetime([e[1:] for e in epochs]) - pd.Timestamp(epochs[0][1:])).days / 365.25
    slopes = np.polyfit(years, points[epochs].to_numpy().T, 1)[0]
    assert np.allclose(slopes, points["VEL"], atol=1e-3)


def test_trends_are_continuous():
    years = np.linspace(0, 4, 401)
    found = trend(years, np.array([2.0, -1.0]), np.array([-10.0, -1.0]), np.array([1.5, np.inf]))
    assert np.abs(np.diff(found)).max() <= 10 * 0.01 + 1e-9
    assert found[0, -1] == pytest.approx(2 * 1.5 - 10 * 2.5) and found[1, -1] == pytest.approx(-4)


def test_noise_falls_with_coherence():
    noise = phase_noise(np.array([0.3, 0.6, 0.9, 0.99]), 55.5)
    assert (np.diff(noise) < 0).all() and noise[2] == pytest.approx(55.5 / (4 * np.pi) * np.sqrt(0.19 / 1.62))
