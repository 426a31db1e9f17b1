"""The drought cube: the published layout, water that adds up, plants that remember, images of the stored truth."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.cubes import open_cube
from deepcube.cubes.simulate import simulate
from deepcube.cubes.simulate.drought import Plants
from deepcube.cubes.simulate.drought_view import reflectance


@pytest.fixture(scope="module")
def drought(tmp_path_factory):
    return simulate("drought", tmp_path_factory.mktemp("simulate") / "drought", seed=1, size="tiny")


def group(store, name):
    return xr.open_zarr(store, group=name).load()


def test_it_opens_as_a_cube_in_three_resolutions(drought):
    cube = open_cube(drought.data)
    assert cube.simulated
    assert {grid.name: grid.shape for grid in cube.grids} == {
        "s2_30m_5day": (24, 24), "era5_9km_daily": (2, 2), "static_30m": (24, 24)
    }  # fmt: skip
    assert {f"s2_B{b}" for b in ("02", "03", "04", "05", "06", "07", "8A")} <= set(cube.variables)
    assert cube.variables["s2_mask"].kind == cube.variables["esawc_lc"].kind == "categorical"
    step = np.diff(cube.grid_of("s2_B04").times) / np.timedelta64(1, "D")
    assert (step == 5).all()


def test_clear_images_show_the_true_ndvi_and_clouds_hide_it(drought):
    seen, true = group(drought.data, "s2_30m_5day"), group(drought.truth, "state_30m_5day")
    ndvi = (seen.s2_B8A - seen.s2_B04) / (seen.s2_B8A + seen.s2_B04)
    error = np.abs(ndvi - true.ndvi)
    clear = (seen.s2_mask == 0) & (seen.s2_SCL != 6)
    assert 0.35 < float((seen.s2_mask == 0).mean()) < 0.9
    assert float(error.where(clear).mean()) < 0.03
    assert float(error.where(seen.s2_mask == 1).mean()) > 3 * float(error.where(clear).mean())
    failed = (seen.s2_mask == 4).all(("y", "x"))
    assert bool(seen.s2_B04.isnull().all(("y", "x")).equals(failed.drop_attrs()))


def test_states_stay_in_range_and_water_balances_over_the_years(drought):
    true, weather = group(drought.truth, "state_30m_5day"), group(drought.data, "era5_9km_daily")
    for name in ("soil_wetness", "vegetation"):
        assert float(true[name].min()) >= 0 and float(true[name].max()) <= 1
    rain, lost = float(weather.era5_tp.mean(("y", "x")).sum()), float(weather.era5_e.mean(("y", "x")).sum())
    capacity = float(group(drought.truth, "static_30m").soil_capacity.mean())
    assert lost <= rain + capacity
    assert bool((weather.era5_e <= weather.era5_pev.mean(("y", "x")) + 1e-5).all())


def test_vegetation_follows_water_with_a_lag(drought):
    true = group(drought.truth, "state_30m_5day").mean(("y", "x"))
    wet, green = true.soil_wetness.to_numpy(), true.vegetation.to_numpy()
    lags = [np.corrcoef(wet[: len(wet) - k], green[k:])[0, 1] for k in range(0, 12)]
    assert 1 <= int(np.argmax(lags)) <= 10 and max(lags) > 0.5


@settings(max_examples=30)
@given(up=st.floats(1, 100), down=st.floats(1, 100), wet=st.floats(0, 1), start=st.floats(0, 1))
def test_plants_move_towards_what_water_allows_and_never_past_it(up, down, wet, start):
    plants = Plants(np.array([[up]]), np.array([[down]]))
    plants.state = np.array([[start]])
    aim = 1 / (1 + np.exp(-(wet - 0.35) / 0.08))
    before = abs(aim - start)
    after = abs(aim - plants.step(np.array([[wet]]))[0, 0])
    assert after <= before + 1e-12
    assert 0 <= plants.state[0, 0] <= 1


def test_more_leaf_is_more_ndvi():
    leaf = np.linspace(0, 1, 11)[None]
    bands = reflectance(leaf, np.full(leaf.shape, 0.3), np.zeros(leaf.shape, dtype=bool))
    ndvi = (bands["s2_B8A"] - bands["s2_B04"]) / (bands["s2_B8A"] + bands["s2_B04"])
    assert (np.diff(ndvi[0]) > 0).all() and 0.1 < ndvi[0, 0] < 0.35 and ndvi[0, -1] > 0.8
