"""The FireCube-like cube: published variables, physics that adds up, danger that is what fires were drawn from."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcube.cubes import open_cube
from deepcube.cubes.features.fireweather import FireWeather
from deepcube.cubes.simulate import simulate
from deepcube.cubes.simulate.fire import FireRegime, Landscape, burn, ignition_probability
from deepcube.cubes.simulate.weather import Bucket, extraterrestrial_radiation, vapour_pressure


def group(store, name):
    return xr.open_zarr(store, group=name)


def test_it_opens_as_a_cube_with_the_58_published_variables(firecube):
    cube = open_cube(firecube.data)
    assert cube.simulated
    assert len(cube.variables) == 58
    assert {grid.name: grid.shape for grid in cube.grids} == {
        "weather_9km": (4, 5),
        "modis_1km_daily": (36, 45),
        "modis_1km_16day": (36, 45),
        "modis_500m_8day": (72, 90),
        "static_1km": (36, 45),
        "fires_1km": (36, 45),
    }
    assert cube.variables["era5_max_t2m"].units == "K"
    assert cube.variables["clc_2018"].kind == "categorical"
    assert cube.variables["number_of_fires"].kind == "count"


def test_its_variables_are_those_whose_statistics_were_published(firecube, shared_data):
    names = set(open_cube(firecube.data).variables)
    published = xr.open_dataset(shared_data / "uc3-firecube-means" / "spatiotemporal_only_means.nc")
    wanted = {str(name).removesuffix("_mean") for name in published if str(name).endswith("_mean")} - {"clc"}
    assert {name for name in wanted if not name.startswith("population")} - names == set()


def test_values_are_physical(firecube):
    weather, true = group(firecube.data, "weather_9km").load(), group(firecube.truth, "weather_9km").load()
    assert bool((weather.era5_max_t2m > weather.era5_min_t2m).all())
    assert bool((weather.era5_max_tp >= 0).all()) and bool((weather.fwi >= 0).all())
    assert bool(((true.humidity > 0) & (true.humidity <= 100)).all())
    assert bool(((true.soil_wetness >= 0) & (true.soil_wetness <= 1)).all())
    fine = group(firecube.data, "modis_500m_8day").load()
    assert bool((fine.ET_500m <= fine.PET_500m + 1e-4).where(fine.ET_500m.notnull(), True).all())
    assert float(fine.Fpar_500m.min()) >= 0 and float(fine.Fpar_500m.max()) <= 0.95
    lst = group(firecube.data, "modis_1km_daily").load()
    assert bool(((lst.QC_Day == 0) == lst.LST_Day_1km.notnull()).all())


def test_composites_end_on_their_date(firecube):
    daily = group(firecube.data, "modis_1km_daily").time.to_index()
    sixteen = group(firecube.data, "modis_1km_16day").time.to_index()
    eight = group(firecube.data, "modis_500m_8day").time.to_index()
    assert list(sixteen) == list(daily[15::16]) and list(eight) == list(daily[7::8])


def test_fires_are_drawn_from_the_stored_danger(tmp_path):
    made = simulate("firecube", tmp_path / "dry", seed=0, size="tiny", rows=54, columns=54, days=64, sea_share=0.0)
    danger = group(made.truth, "danger_1km").ignition_probability.to_numpy()
    started = group(made.data, "fires_1km").number_of_fires.to_numpy()
    assert danger.min() >= 0 and danger.max() < 1
    expected, spread = danger.sum(), np.sqrt((danger * (1 - danger)).sum())
    assert abs(started.sum() - expected) < 4 * spread
    assert danger[started > 0].mean() > 1.3 * danger.mean()


def test_fires_burn_only_fuel_only_once_a_year_and_areas_add_up(firecube):
    fires, true = group(firecube.data, "fires_1km").load(), group(firecube.truth, "static_1km").load()
    assert int(fires.burned_areas.sum()) > 0
    burnt = fires.burned_areas.groupby("time.year").sum()
    assert int(burnt.max()) == 1
    assert bool((true.fuel.to_numpy()[fires.burned_areas.max("time").to_numpy() > 0] > 0).all())
    assert float(fires.ignition_points.sum()) == pytest.approx(float(fires.burned_areas.sum()) * 100)
    listed = firecube.document["truth_values"]["fires"]
    assert sum(fire["area_ha"] for fire in listed) == firecube.document["truth_values"]["burnt_ha"]
    assert float(fires.ignition_points.sum()) == pytest.approx(sum(fire["area_ha"] for fire in listed))


def test_the_size_of_a_block_changes_no_value(tmp_path):
    sizes = {"size": "tiny", "rows": 18, "columns": 18, "days": 40, "seed": 4}
    whole = simulate("firecube", tmp_path / "a", block_days=48, **sizes)
    parts = simulate("firecube", tmp_path / "b", block_days=16, **sizes)
    for store in ("data", "truth"):
        for name in xr.open_groups(getattr(whole, store), engine="zarr"):
            if name != "/":
                xr.testing.assert_identical(
                    group(getattr(whole, store), name).load(), group(getattr(parts, store), name).load()
                )


def test_the_bucket_keeps_every_millimetre():
    generator = np.random.default_rng(0)
    bucket = Bucket(np.full((3, 4), 100.0), np.full((3, 4), 50.0))
    for _ in range(300):
        before, rain = bucket.storage.copy(), generator.gamma(0.2, 20, (3, 4))
        actual, runoff = bucket.step(rain, generator.uniform(0, 9, (3, 4)))
        assert np.allclose(bucket.storage - before, rain - actual - runoff, atol=1e-9)
        assert (bucket.storage >= -1e-9).all() and (bucket.storage <= 100 + 1e-9).all()
        assert (actual >= 0).all() and (runoff >= 0).all()


def test_danger_grows_with_what_makes_it():
    regime, one = FireRegime(), np.ones((1, 1))
    base = ignition_probability(regime, 20 * one, one, one, one, 1.0)
    for worse in ((40 * one, one, one, one), (20 * one, 2 * one, one, one), (20 * one, one, one, 1.5 * one)):
        assert ignition_probability(regime, *worse, 1.0) > base
    assert ignition_probability(regime, 50 * one, one, 0 * one, one, 1.0) == 0
    assert np.isclose(base[0, 0], regime.rate, rtol=1e-3)


def test_wind_carries_fire_and_gaps_stop_it():
    size = 41
    fuel = np.ones((size, size))
    fuel[:, 30] = 0

    def land(east):
        field = np.zeros((size, size))
        return Landscape(fuel, field, field + 20, field + east, field, 1000.0)

    shifts = []
    for i in range(40):
        pixels = burn(FireRegime(steps=15), (20, 20), land(8.0), np.random.default_rng(i))
        assert (fuel[tuple(pixels.T)] > 0).all() and pixels[:, 1].max() < 30
        assert pixels[0].tolist() == [20, 20] and len(np.unique(pixels, axis=0)) == len(pixels)
        reached = {tuple(p) for p in pixels.tolist()}
        assert all(
            any((r + a, c + b) in reached for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b)
            for r, c in reached - {(20, 20)}
        )
        shifts.append(pixels[:, 1].mean() - 20)
    assert np.mean(shifts) > 0.2


def test_published_formulas():
    assert vapour_pressure(24.5) == pytest.approx(3.075, abs=2e-3)  # FAO 56, example 3
    # FAO 56, example 8: 20 degrees south on 3 September, 32.2 MJ/m2/day
    assert extraterrestrial_radiation(246, -20.0) / 0.408 == pytest.approx(32.2, abs=0.1)


def test_fire_weather_in_two_blocks_is_fire_weather_in_one():
    generator = np.random.default_rng(1)
    times = pd.date_range("2015-07-01", periods=20)
    weather = [generator.uniform(a, b, (20, 2, 2)) for a, b in ((15, 35), (10, 90), (0, 30), (0, 4))]
    whole = FireWeather(38.0).advance(times, *weather)
    codes = FireWeather(38.0)
    first = codes.advance(times[:9], *(w[:9] for w in weather))
    second = codes.advance(times[9:], *(w[9:] for w in weather))
    for name in whole:
        assert np.array_equal(whole[name], np.concatenate([first[name], second[name]]))
