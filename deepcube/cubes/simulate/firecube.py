"""A FireCube-like cube: weather, fuel, fire weather index, ignition and spread, at the resolutions of the sources."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepcube.cubes.features.fireweather import FireWeather, fuel_moisture
from deepcube.cubes.simulate import firecube_variables as tables
from deepcube.cubes.simulate.fields import Floats, stream
from deepcube.cubes.simulate.fire import FireRegime, Landscape, burn, ignition_probability
from deepcube.cubes.simulate.firecube_land import Land, Observer
from deepcube.cubes.simulate.registry import Report, Simulator
from deepcube.cubes.simulate.store import SimulatedStore
from deepcube.cubes.simulate.terrain import make_country
from deepcube.cubes.simulate.weather import Climate, Day, WeatherGenerator

CRS = "EPSG:3035"
"""Equal-area projection for Europe; pixel sides are true metres."""

COARSE = 9
"""Pixels of 1 km along a side of a weather pixel."""


@dataclass(frozen=True)
class FirecubeParameters:
    """Parameters of the FireCube-like cube.

    Attributes
    ----------
    rows, columns : int
        Pixels of 1 km.
    start, days : str, int
        First day and number of days.
    relief, sea_share : float
        Spread of the height in m; share of the area that is sea.
    latitude : float
        Degrees, for day length and radiation.
    soil_capacity : float
        Water that the soil holds, in mm.
    block_days : int
        Days computed and written at once, a multiple of 16; does not change any value.
    chunk : int
        Rows and columns of a chunk at 1 km.
    climate, regime
        Weather and fire; see :class:`Climate` and :class:`FireRegime`.
    """

    rows: int = 126
    columns: int = 126
    start: str = "2009-03-06"
    days: int = 1096
    relief: float = 300.0
    sea_share: float = 0.25
    latitude: float = 38.5
    soil_capacity: float = 140.0
    block_days: int = 16
    chunk: int = 128
    climate: Climate = field(default_factory=Climate)
    regime: FireRegime = field(default_factory=FireRegime)


def run(folder: Path, parameters: FirecubeParameters, seed: int, report: Report) -> dict[str, Any]:
    """Simulate the cube into ``cube.zarr`` and the truth into ``truth.zarr``; see :func:`simulate`."""
    world = _World(parameters, seed)
    times = pd.date_range(parameters.start, periods=parameters.days, freq="D")
    cube, truth = _stores(folder, parameters, times, seed)
    cube.write("static_1km", world.land.static(seed))
    truth.write("static_1km", world.true_static())
    fires = []
    for first in range(0, len(times), parameters.block_days):
        dates = times[first : first + parameters.block_days]
        days = [world.day(date) for date in dates]
        weather, danger = world.weather_block(dates, days)
        for i, date in enumerate(dates):
            fires += world.fires_of(first + i, date, i, days[i], danger, weather)
        _write(cube, truth, world, first, weather, danger)
        report(min(1.0, (first + len(dates)) / len(times)))
    cube.close()
    truth.close()
    return {
        "data": "cube.zarr",
        "truth": "truth.zarr",
        "fires": fires,
        "burnt_ha": float(sum(fire["area_ha"] for fire in fires)),
        "danger": "ignition_probability in truth.zarr is the probability that fires were drawn from",
    }


class _World:
    """State of the simulated world: soil, plants, fuel and what burnt this year."""

    def __init__(self, p: FirecubeParameters, seed: int) -> None:
        self.p, self.seed = p, seed
        shape = (p.rows, p.columns)
        self.country = make_country(shape, 1000.0, p.relief, p.sea_share, seed)
        self.land = Land(self.country, COARSE, p.soil_capacity)
        self.weather = WeatherGenerator(self.land.coarse_height, p.latitude, p.climate, float(COARSE), seed)
        self.codes = FireWeather(p.latitude)
        self.observer = Observer(self.land, seed)
        raw = np.sqrt(self.country.population + 5) * (0.5 + self.country.roads)
        dry_land = ~self.country.sea
        self.human = np.where(dry_land, raw / max(raw[dry_land].mean(), 1e-9), 0.0)
        self.burnt_year = -1
        self.unburnt = np.ones(shape)
        self.fire_maps: dict[str, list[Floats]] = {}

    def day(self, date: pd.Timestamp) -> Day:
        """Advance weather, soil and plants by a day; the observer keeps what satellites would see."""
        today = self.weather.next(date)
        self.land.step(today)
        self.observer.see(today)
        return today

    def weather_block(self, dates: pd.DatetimeIndex, days: list[Day]) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Return the weather and fire codes, and the danger, of a block of days."""
        hot = np.stack([day.maximum for day in days])
        humid = np.stack([day.humidity for day in days])
        wind = np.stack([day.wind_speed for day in days])
        rain = np.stack([day.rain for day in days])
        codes = self.codes.advance(dates, hot, humid, wind * 3.6, rain)
        wetness = np.stack(self.land.wetness_of_days)
        up = self.land.to_fine
        dryness = np.clip(2 * (1 - up(wetness)) * self.land.sunny, 0.0, 2.0)
        danger = ignition_probability(self.p.regime, up(codes["fwi"]), self.human, self.country.fuel, dryness, 1.0)
        gust = np.stack([np.abs(day.maximum - day.minimum) * 0.12 for day in days])
        east, north = np.stack([day.eastward for day in days]), np.stack([day.northward for day in days])
        weather = {
            "era5_max_t2m": hot + 273.15,
            "era5_min_t2m": np.stack([day.minimum for day in days]) + 273.15,
            "era5_max_u10": east + gust,
            "era5_min_u10": east - gust,
            "era5_max_v10": north + gust,
            "era5_min_v10": north - gust,
            "era5_max_tp": rain / 1000,
            "era5_min_tp": rain / 1000 / 24,
            "fwi": codes["fwi"],
            "humidity": humid,
            "fuel_moisture": fuel_moisture(codes["ffmc"]),
            "soil_wetness": wetness,
            **{name: codes[name] for name in ("ffmc", "dmc", "dc", "isi", "bui")},
        }
        self.fire_maps = {field.name: [] for field in tables.FIRES}
        return weather, {"ignition_probability": danger, "live_dryness": dryness}

    def fires_of(
        self, number: int, date: pd.Timestamp, i: int, today: Day, danger: dict[str, Floats], weather: dict[str, Floats]
    ) -> list[dict[str, Any]]:
        """Draw the day's ignitions, let them spread, and draw their maps; what burnt this year cannot burn again.

        The stored danger of pixels that burnt earlier in the year is set to zero before the draw, so that it is the
        probability that ignitions were drawn from.
        """
        if date.year != self.burnt_year:
            self.burnt_year, self.unburnt = date.year, np.ones_like(self.unburnt)
        chance = danger["ignition_probability"][i] = danger["ignition_probability"][i] * self.unburnt
        generator = stream(self.seed, 300, number)
        started = np.argwhere(generator.random(chance.shape) < chance)
        burned, area, count = (np.zeros(chance.shape) for _ in range(3))
        found = []
        for row, column in started.tolist():
            count[row, column] = 1
            if self.unburnt[row, column] == 0:  # an earlier fire of the day has reached it: both burn as one
                continue
            up = self.land.to_fine
            landscape = Landscape(
                self.country.fuel * self.unburnt,
                np.maximum(self.country.elevation, 0),
                up(weather["isi"][i]),
                up(today.eastward),
                up(today.northward),
                1000.0,
            )
            pixels = burn(self.p.regime, (row, column), landscape, generator)
            burned[tuple(pixels.T)] = 1
            self.unburnt[tuple(pixels.T)] = 0
            area[row, column] = 100.0 * len(pixels)
            found.append({"date": str(date.date()), "row": row, "column": column, "area_ha": 100.0 * len(pixels)})
        self.land.scorch(burned > 0)
        for name, values in (("burned_areas", burned), ("ignition_points", area), ("number_of_fires", count)):
            self.fire_maps[name].append(values)
        return found

    def true_static(self) -> dict[str, Floats]:
        """Return the static truth."""
        return {"fuel": self.country.fuel, "human_presence": self.human, "sea": self.country.sea.astype(float)}


def _stores(
    folder: Path, p: FirecubeParameters, times: pd.DatetimeIndex, seed: int
) -> tuple[SimulatedStore, SimulatedStore]:
    attrs = {
        "title": "FireCube-like wildfire cube",
        "source": "simulator firecube of deepcube",
        "history": f"simulated with seed {seed}",
        "license": "Apache-2.0",
        "regime": {key: float(value) for key, value in asdict(p.regime).items()},
    }
    cube = SimulatedStore(folder / "cube.zarr", attrs)
    truth = SimulatedStore(folder / "truth.zarr", {**attrs, "title": "Truth behind a FireCube-like cube"})
    fine: dict[str, Any] = {"time": times, **_axes(p, 1000.0)}
    coarse = {"time": times, **_axes(p, 1000.0 * COARSE)}
    static = {key: fine[key] for key in ("y", "x")}
    chunk = {"time": p.block_days, "y": p.chunk, "x": p.chunk}
    wide = {"time": p.block_days * 8, "y": p.chunk, "x": p.chunk}
    cube.add_grid("weather_9km", coarse, tables.WEATHER, chunks={**wide, "time": p.block_days}, crs=CRS)
    cube.add_grid("modis_1km_daily", fine, tables.LST, chunks=chunk, crs=CRS)
    sixteen = {"time": times[15::16], **static}
    cube.add_grid("modis_1km_16day", sixteen, tables.INDICES, chunks={**chunk, "time": p.block_days // 16}, crs=CRS)
    half = {"time": times[7::8], **_axes(p, 500.0)}
    cube.add_grid("modis_500m_8day", half, tables.VEGETATION, chunks={**chunk, "time": p.block_days // 8}, crs=CRS)
    cube.add_grid("static_1km", static, [*tables.TERRAIN, *tables.SURFACE], chunks=chunk, crs=CRS)
    cube.add_grid("fires_1km", fine, tables.FIRES, chunks=chunk, crs=CRS)
    truth.add_grid("weather_9km", coarse, tables.TRUE_WEATHER, chunks=chunk, crs=CRS)
    truth.add_grid("danger_1km", fine, tables.TRUE_DANGER, chunks=chunk, crs=CRS)
    truth.add_grid("static_1km", static, tables.TRUE_STATIC, chunks=chunk, crs=CRS)
    return cube, truth


def _axes(p: FirecubeParameters, pixel: float) -> dict[str, Any]:
    """Return pixel centres from the common north-west corner; the last weather pixels may reach over the edge."""
    rows, columns = (int(np.ceil(size * 1000 / pixel)) for size in (p.rows, p.columns))
    return {
        "y": 2_100_000.0 - pixel * (np.arange(rows) + 0.5),
        "x": 5_150_000.0 + pixel * (np.arange(columns) + 0.5),
    }


def _write(
    cube: SimulatedStore,
    truth: SimulatedStore,
    world: _World,
    first: int,
    weather: dict[str, Floats],
    danger: dict[str, Floats],
) -> None:
    cube.write("weather_9km", {field.name: weather[field.name] for field in tables.WEATHER}, first)
    truth.write("weather_9km", {field.name: weather[field.name] for field in tables.TRUE_WEATHER}, first)
    truth.write("danger_1km", danger, first)
    cube.write("fires_1km", {name: np.stack(maps) for name, maps in world.fire_maps.items()}, first)
    daily, eight, sixteen = world.observer.collect()
    cube.write("modis_1km_daily", daily, first)
    if eight:
        cube.write("modis_500m_8day", eight, first // 8)
    if sixteen:
        cube.write("modis_1km_16day", sixteen, first // 16)
    world.land.wetness_of_days.clear()


SIMULATOR = Simulator(
    name="firecube",
    title="Daily wildfire cube like the FireCube of Greece: 58 variables at 500 m, 1 km and 9 km",
    parameters=FirecubeParameters(),
    sizes={
        "tiny": {"rows": 36, "columns": 45, "days": 96, "start": "2010-06-01", "sea_share": 0.1},
        "small": {},
        "medium": {"rows": 252, "columns": 306, "days": 2192},
        "full": {"rows": 562, "columns": 700, "days": 4314},
    },
    run=run,
)
"""The simulator, as the registry finds it."""
