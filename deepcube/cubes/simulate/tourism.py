"""A protected landscape with visitors: price moves demand, demand strains nature, nature moves demand."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepcube.cubes.simulate.fields import Floats, gaussian_spectrum, power_law_spectrum, stream
from deepcube.cubes.simulate.registry import Report, Simulator
from deepcube.cubes.simulate.store import Field, SimulatedStore
from deepcube.cubes.simulate.weather import Bucket, Climate, WeatherGenerator, potential_evaporation

_STATIC = ("y", "x")
DAILY = [
    Field("visitors", "1", "visitors of the day", dtype="int32", kind="count"),
    Field("chlorophyll", "mg m-3", "chlorophyll concentration of the lagoons"),
    Field("NDVI", "1", "normalised difference vegetation index"),
    Field("SWI_010", "%", "soil water index"),
]
"""Daily, 1 km."""

AIR = [
    Field("CAMS_no2", "kg m-2", "total column of nitrogen dioxide"),
    Field("THERMAL_UTCI", "K", "universal thermal climate index"),
    Field("t2m", "K", "mean 2 m temperature"),
    Field("tp", "mm", "precipitation of the day"),
]
"""Daily, 40 km."""

MARKET = [
    Field("price_coefficient", "1", "factor on the usual price of a stay", dims=("time",)),
    Field("arrivals", "1", "visitors of the whole region", dims=("time",), dtype="int32", kind="count"),
    Field("revenue", "1", "price coefficient times arrivals", dims=("time",)),
]
"""Daily, without place."""

STATIC = [
    Field("LC100", "1", "land cover class", dims=_STATIC, dtype="uint8", kind="categorical"),
    Field("ASTER_GDEM_DEM", "m", "height", dims=_STATIC),
]
"""Static, 1 km."""

TRUTH = [
    Field("strain", "1", "strain on nature, decaying sum of visitors per place"),
]
"""Daily, 1 km."""


@dataclass(frozen=True)
class TourismParameters:
    """Parameters of the tourism cube.

    Attributes
    ----------
    side, days, start : int, int, str
        Pixels of 1 km along a side, days, first day.
    visitors : float
        Visitors of a usual day at the usual price.
    elasticity : float
        Demand is proportional to ``price ** -elasticity``.
    season : float
        Share by which demand swings with the season (lagoons are full in July).
    decay : float
        Share of the strain that nature overcomes in a day.
    load : float
        Strain that a usual day adds.
    aversion : float
        Demand falls with strain by ``exp(-aversion * strain)``.
    damage : float
        Cost of a unit of strain and day, in usual daily revenues.
    noise : float
        Standard deviation of the logarithm of daily demand.
    block_days : int
        Days written at once.
    """

    side: int = 60
    days: int = 1096
    start: str = "2017-01-01"
    visitors: float = 2400.0
    elasticity: float = 1.3
    season: float = 0.45
    decay: float = 0.03
    load: float = 0.012
    aversion: float = 0.9
    damage: float = 0.8
    noise: float = 0.12
    block_days: int = 32


class TourismWorld:
    """Demand and strain of the whole region, a day after the other: a world to learn prices in.

    Parameters
    ----------
    parameters : TourismParameters
        Its laws.
    seed : int
        Seed of the demand's noise.
    """

    def __init__(self, parameters: TourismParameters, seed: int) -> None:
        self.parameters, self._seed, self._day, self.strain = parameters, seed, 0, 0.0

    def expected(self, price: float, day_of_year: int) -> float:
        """Return the visitors to be expected today at a price coefficient."""
        p = self.parameters
        season = 1 + p.season * np.cos(2 * np.pi * (day_of_year - 196) / 365.25)
        return float(p.visitors * price**-p.elasticity * season * np.exp(-p.aversion * self.strain))

    def step(self, price: float, day_of_year: int) -> dict[str, float]:
        """Advance by a day at a price coefficient.

        Returns
        -------
        dict
            ``arrivals``, ``strain`` (after the day), ``revenue`` and ``reward``: revenue less damage, in usual daily
            revenues.
        """
        p = self.parameters
        noise = stream(self._seed, 700, self._day).normal(-(p.noise**2) / 2, p.noise)
        arrivals = round(self.expected(price, day_of_year) * float(np.exp(noise)))
        self._day += 1
        self.strain = (1 - p.decay) * self.strain + p.load * arrivals / p.visitors
        revenue = price * arrivals / p.visitors
        return {
            "arrivals": float(arrivals),
            "strain": self.strain,
            "revenue": revenue,
            "reward": revenue - p.damage * self.strain,
        }


def long_run_reward(p: TourismParameters, price: float) -> float:
    """Return the reward per day of a constant price in the long run, without noise and season.

    The strain settles where ``decay * strain = load * price**-elasticity * exp(-aversion * strain)``.
    """
    strain = 0.0
    for _ in range(200):  # Newton's steps on a convex function
        gain = p.load * price**-p.elasticity * np.exp(-p.aversion * strain)
        strain -= (p.decay * strain - gain) / (p.decay + p.aversion * gain)
    return float(price * price**-p.elasticity * np.exp(-p.aversion * strain) - p.damage * strain)


def best_constant_price(p: TourismParameters, low: float = 0.5, high: float = 4.0) -> float:
    """Return the constant price coefficient with the best long-run reward, to about a thousandth."""
    prices = np.linspace(low, high, 3501)
    return float(prices[int(np.argmax([long_run_reward(p, float(price)) for price in prices]))])


def run(folder: Path, parameters: TourismParameters, seed: int, report: Report) -> dict[str, Any]:
    """Simulate the cube into ``cube.zarr`` and the strain of every place into ``truth.zarr``."""
    p = parameters
    times = pd.date_range(p.start, periods=p.days, freq="D")
    cube, truth = _stores(folder, p, times, seed)
    place = _Place(p, seed)
    cube.write("static_1km", {"LC100": place.cover, "ASTER_GDEM_DEM": place.height})
    world = TourismWorld(p, seed)
    price, explore = 1.0, stream(seed, 701)
    for first in range(0, p.days, p.block_days):
        block: dict[str, list[Any]] = {}
        for date in times[first : first + p.block_days]:
            if date.dayofweek == 0:  # the seller tries another price every Monday
                price = float(np.clip(price * np.exp(explore.normal(0, 0.15)), 0.6, 1.9))
            day = world.step(price, date.dayofyear)
            layers: dict[str, Any] = {**place.step(date, day["arrivals"], p)}
            layers |= {"price_coefficient": price, "arrivals": day["arrivals"], "revenue": price * day["arrivals"]}
            for name, values in layers.items():
                block.setdefault(name, []).append(values)
        stacked = {name: np.stack([np.asarray(v) for v in values]) for name, values in block.items()}
        for store, grid, fields in (
            (cube, "nature_1km", DAILY), (cube, "air_40km", AIR), (cube, "market", MARKET), (truth, "strain_1km", TRUTH)
        ):  # fmt: skip
            store.write(grid, {field.name: stacked[field.name] for field in fields}, first)
        report(min(1.0, (first + p.block_days) / p.days))
    cube.close()
    truth.close()
    best = best_constant_price(p)
    return {
        "data": "cube.zarr",
        "truth": "truth.zarr",
        "best_constant_price": best,
        "best_long_run_reward": long_run_reward(p, best),
        "usual_long_run_reward": long_run_reward(p, 1.0),
    }


class _Place:
    """Dunes, lagoons, shrubs and the strain on them."""

    def __init__(self, p: TourismParameters, seed: int) -> None:
        shape = (p.side, p.side)
        self._seed, self._number = seed, 0
        self.height = np.maximum(0.0, 30 + 18 * power_law_spectrum(shape, 3.2).draw(stream(seed, 702)))
        low = self.height < np.quantile(self.height, 0.25)
        shrubs = gaussian_spectrum(shape, 5).draw(stream(seed, 703)) > 0.6
        self.cover = np.where(low, 80.0, np.where(shrubs, 20.0, 60.0))
        appeal = np.where(low, 1.0, 0.05) * np.exp(1.2 * gaussian_spectrum(shape, 4).draw(stream(seed, 704)))
        self._share = appeal / appeal.sum()
        self.strain = np.zeros(shape)
        climate = Climate(
            mean_temperature=27.0, season_amplitude=1.0, temperature_spread=0.7, warmest_day=300, wet_share=0.38,
            wet_share_amplitude=0.33, rain_scale=14.0, diurnal_range=7.0, dry_season_range=1.5, interannual=0.3,
        )  # fmt: skip
        self._weather = WeatherGenerator(np.full((2, 2), 20.0), -2.6, climate, 40.0, seed)
        self._bucket = Bucket(np.full((1, 1), 160.0), np.full((1, 1), 90.0))

    def step(self, date: pd.Timestamp, arrivals: float, p: TourismParameters) -> dict[str, Floats]:
        """Spread the day's visitors over the land and return all maps."""
        noise = stream(self._seed, 705, self._number)
        self._number += 1
        today = self._weather.next(date)
        self._bucket.step(today.rain.mean(keepdims=True), potential_evaporation(today).mean(keepdims=True))
        wet = float(self._bucket.wetness[0, 0])
        visitors = noise.multinomial(int(arrivals), self._share.ravel()).reshape(self._share.shape)
        usual = p.visitors * self._share.max()
        self.strain = (1 - p.decay) * self.strain + p.load * visitors / usual
        water = self.cover == 80
        chlorophyll = np.where(water, (2.0 + 9.0 * self.strain) * (1.4 - 0.6 * wet), np.nan)
        green = np.where(self.cover == 20, 0.30 + 0.35 * wet, np.where(water, 0.02, 0.08 + 0.05 * wet))
        mean = (today.maximum + today.minimum) / 2
        shape = self.cover.shape
        return {
            "visitors": visitors.astype(float),
            "chlorophyll": chlorophyll * np.exp(noise.normal(0, 0.1, shape)),
            "NDVI": green * (1 - 0.25 * np.minimum(self.strain, 1)) + noise.normal(0, 0.01, shape),
            "SWI_010": np.clip(100 * wet + noise.normal(0, 2, shape), 0, 100),
            "CAMS_no2": 1.2e-6 * (1 + 0.5 * arrivals / p.visitors + noise.normal(0, 0.05, (2, 2))),
            "THERMAL_UTCI": mean + 273.15 + 0.04 * (today.humidity - 50) - 0.4 * today.wind_speed,
            "t2m": mean + 273.15,
            "tp": today.rain,
            "strain": self.strain,
        }


def _stores(
    folder: Path, p: TourismParameters, times: pd.DatetimeIndex, seed: int
) -> tuple[SimulatedStore, SimulatedStore]:
    attrs = {
        "title": "Tourism cube like that of the Lençóis Maranhenses",
        "source": "simulator tourism of deepcube",
        "history": f"simulated with seed {seed}",
        "license": "Apache-2.0",
    }
    cube, truth = SimulatedStore(folder / "cube.zarr", attrs), SimulatedStore(folder / "truth.zarr", attrs)
    offset = (np.arange(p.side) + 0.5 - p.side / 2) * 0.009
    fine: dict[str, Any] = {"time": times, "y": -2.6 - offset, "x": -43.0 + offset}
    coarse: dict[str, Any] = {"time": times, "y": -2.6 - np.array([-0.2, 0.2]), "x": -43.0 + np.array([-0.2, 0.2])}
    chunks = {"time": p.block_days}
    cube.add_grid("nature_1km", fine, DAILY, chunks=chunks, crs="EPSG:4326")
    cube.add_grid("air_40km", coarse, AIR, chunks=chunks, crs="EPSG:4326")
    cube.add_grid("market", {"time": times}, MARKET, chunks={})
    cube.add_grid("static_1km", {key: fine[key] for key in ("y", "x")}, STATIC, chunks={}, crs="EPSG:4326")
    truth.add_grid("strain_1km", fine, TRUTH, chunks=chunks, crs="EPSG:4326")
    return cube, truth


SIMULATOR = Simulator(
    name="tourism",
    title="Tourism cube: visitors and prices, lagoons, plants and air, with a best price that is known",
    parameters=TourismParameters(),
    sizes={"tiny": {"side": 20, "days": 200}, "small": {}, "full": {"side": 300, "days": 1827}},
    run=run,
)
"""The simulator, as the registry finds it."""
