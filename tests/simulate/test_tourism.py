"""The tourism cube: visitors that add up, laws that hold, a best price that is best."""

import numpy as np
import pytest
import xarray as xr

from deepcube.cubes import open_cube
from deepcube.cubes.simulate import simulate
from deepcube.cubes.simulate.tourism import TourismParameters, TourismWorld, best_constant_price, long_run_reward


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return simulate("tourism", tmp_path_factory.mktemp("simulate") / "tourism", seed=0, size="tiny")


def group(store, name):
    return xr.open_zarr(store, group=name).load()


def test_it_opens_as_a_cube(made):
    cube = open_cube(made.data)
    assert cube.simulated
    assert {"visitors", "chlorophyll", "LC100", "CAMS_no2"} <= set(cube.variables)
    assert cube.variables["LC100"].kind == "categorical" and cube.variables["visitors"].kind == "count"


def test_visitors_add_up_and_strain_follows_its_law(made):
    nature, market, strain = group(made.data, "nature_1km"), group(made.data, "market"), group(made.truth, "strain_1km")
    assert np.array_equal(nature.visitors.sum(("y", "x")), market.arrivals)
    assert np.allclose(market.revenue, market.arrivals * market.price_coefficient, rtol=1e-6)
    p = made.document["parameters"]
    added = strain.strain.to_numpy()[1:] - (1 - p["decay"]) * strain.strain.to_numpy()[:-1]
    share = nature.visitors.to_numpy()[1:]
    seen = share > 0
    assert np.allclose(added[seen] / share[seen], (added[seen] / share[seen])[0], rtol=1e-2)
    assert (np.abs(added[~seen]) < 1e-6).all()


def test_demand_has_the_stated_elasticity():
    p = TourismParameters(noise=0.3, aversion=0.0, season=0.0)
    world, generator = TourismWorld(p, seed=1), np.random.default_rng(0)
    prices = generator.uniform(0.6, 1.9, 1500)
    arrivals = np.array([world.step(float(price), 100)["arrivals"] for price in prices])
    slope = np.polyfit(np.log(prices), np.log(arrivals), 1)[0]
    assert slope == pytest.approx(-p.elasticity, abs=0.08)


def test_the_best_constant_price_beats_others_in_the_world_itself():
    p = TourismParameters(season=0.0)
    best = best_constant_price(p)
    assert 0.5 < best < 4.0

    def reward(price):
        world = TourismWorld(p, seed=3)
        days = [world.step(price, 1)["reward"] for _ in range(900)]
        return np.mean(days[400:])

    assert reward(best) == pytest.approx(long_run_reward(p, best), abs=0.02)
    assert reward(best) > max(reward(0.75 * best), reward(1.35 * best))
