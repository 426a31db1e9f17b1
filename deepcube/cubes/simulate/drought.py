"""An Africa-minicube-like cube: soil water, vegetation with a memory, what Sentinel-2 sees of it, weather, terrain."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepcube.cubes.simulate.drought_view import SATELLITE, STATIC, Camera, static_layers
from deepcube.cubes.simulate.fields import Floats, gaussian_spectrum, power_law_spectrum, stream
from deepcube.cubes.simulate.registry import Report, Simulator
from deepcube.cubes.simulate.store import Field, SimulatedStore
from deepcube.cubes.simulate.weather import Bucket, Climate, WeatherGenerator, potential_evaporation

STEP = 5
"""Days between acquisitions."""

METRES_PER_DEGREE = 111_319.49
"""Length of a degree of longitude on the equator."""

COVERS = {10: "trees", 20: "shrubs", 30: "grass", 40: "crops", 50: "built", 60: "bare", 80: "water"}
"""Classes of ESA WorldCover that occur."""

_PLANT_NAMES = ("cover", "green_up_days", "wither_days", "soil_mm")
# By class: share of the ground that full leaf covers, days to green up, days to wither, depth of soil in mm of water.
_PLANTS = {
    10: (0.85, 45.0, 120.0, 260.0),
    20: (0.60, 25.0, 60.0, 170.0),
    30: (0.70, 12.0, 30.0, 100.0),
    40: (0.80, 15.0, 35.0, 120.0),
    50: (0.15, 20.0, 40.0, 80.0),
    60: (0.08, 12.0, 25.0, 60.0),
    80: (0.0, 10.0, 10.0, 300.0),
}

WEATHER = [
    Field("era5_t2m", "K", "mean 2 m temperature"),
    Field("era5_t2mmax", "K", "maximum 2 m temperature"),
    Field("era5_t2mmin", "K", "minimum 2 m temperature"),
    Field("era5_tp", "mm", "precipitation of the day"),
    Field("era5_pev", "mm", "potential evapotranspiration of the day"),
    Field("era5_e", "mm", "evapotranspiration of the day, mean of the minicube"),
]
"""Daily, 9 km."""

TRUTH = [
    Field("ndvi", "1", "NDVI without clouds and noise"),
    Field("soil_wetness", "1", "soil water as a share of the capacity"),
    Field("vegetation", "1", "greenness of the plants, 0 to 1"),
]
"""Every five days, 30 m."""

TRUE_STATIC = [
    Field("soil_capacity", "mm", "water that the soil holds", dims=("y", "x")),
    Field("green_up_days", "d", "memory of the plants when water is plenty", dims=("y", "x")),
    Field("wither_days", "d", "memory of the plants when water lacks", dims=("y", "x")),
    Field("cover", "1", "share of the ground that full leaf covers", dims=("y", "x")),
]
"""Static, 30 m."""


@dataclass(frozen=True)
class DroughtParameters:
    """Parameters of the drought cube.

    Attributes
    ----------
    side : int
        Pixels along a side.
    pixel : float
        Pixel side in m.
    start, days : str, int
        First day and number of days; acquisitions are every five days.
    longitude, latitude : float
        Centre, degrees.
    relief, elevation : float
        Spread and mean of the height in m.
    cloud_share : float
        Share of the sky that is cloudy on a dry day; rain adds to it.
    missing : float
        Share of acquisitions that failed.
    noise : float
        Standard deviation of the reflectance.
    block_steps : int
        Acquisitions written at once and in a chunk.
    climate : Climate
        Two rainy seasons and strong differences between years, as in East Africa.
    """

    side: int = 64
    pixel: float = 30.0
    start: str = "2016-01-02"
    days: int = 2190
    longitude: float = 42.5
    latitude: float = 2.0
    relief: float = 40.0
    elevation: float = 250.0
    cloud_share: float = 0.25
    missing: float = 0.03
    noise: float = 0.008
    block_steps: int = 20
    climate: Climate = field(
        default_factory=lambda: Climate(
            mean_temperature=27.5,
            season_amplitude=2.0,
            temperature_spread=1.2,
            warmest_day=45,
            diurnal_range=9.0,
            dry_season_range=3.0,
            wet_share=0.17,
            wet_share_amplitude=0.15,
            rain_peaks=2,
            rain_scale=13.0,
            interannual=0.45,
            wind_mean=-1.0,
            wind_summer=0.5,
        )
    )


class Plants:
    """Greenness that follows soil water: quickly up, slowly down, at the pace of the land cover.

    Parameters
    ----------
    green_up, wither : numpy.ndarray of float64, shape (y, x)
        Days of memory when water is more, and less, than the plants are used to.
    """

    def __init__(self, green_up: Floats, wither: Floats) -> None:
        self._green_up, self._wither = green_up, wither
        self.state = np.full(green_up.shape, 0.3)

    def step(self, wetness: Floats) -> Floats:
        """Advance by a day and return the greenness: ``v += (aim(wetness) - v) / memory``, so it stays within 0 to 1.

        The aim is a logistic function of soil water, half of the full greenness at 35 % of the capacity.
        """
        aim = 1 / (1 + np.exp(-(wetness - 0.35) / 0.08))
        days = np.where(aim > self.state, self._green_up, self._wither)
        self.state = self.state + (aim - self.state) / days
        return self.state


def run(folder: Path, parameters: DroughtParameters, seed: int, report: Report) -> dict[str, Any]:
    """Simulate the cube into ``cube.zarr`` and the truth into ``truth.zarr``."""
    p, shape = parameters, (parameters.side, parameters.side)
    height, cover_class = _ground(p, seed)
    cover, green_up, wither, depth = (
        np.vectorize({code: row[i] for code, row in _PLANTS.items()}.__getitem__, otypes=[float])(cover_class)
        for i in range(4)
    )
    cover = np.clip(cover * (1 + 0.12 * gaussian_spectrum(shape, 3).draw(stream(seed, 21))), 0.0, 0.95)
    capacity = depth * np.exp(-(height - height.mean()) / (4 * p.relief))  # valleys hold more
    days = pd.date_range(p.start, periods=p.days, freq="D")
    steps = days[STEP - 1 :: STEP]
    cube, truth = _stores(folder, p, days, steps, seed)
    cube.write("static_30m", static_layers(height, cover_class, capacity, seed))
    static = {"soil_capacity": capacity, "green_up_days": green_up, "wither_days": wither, "cover": cover}
    truth.write("static_30m", static)
    weather = WeatherGenerator(np.full((2, 2), p.elevation), p.latitude, p.climate, 9.0, seed)
    bucket, plants = Bucket(capacity, 0.4 * capacity), Plants(green_up, wither)
    camera = Camera(cover, cover_class == 80, p.cloud_share, p.missing, p.noise, seed)
    daily: list[dict[str, Floats]] = []
    scenes: list[dict[str, Floats]] = []
    for number, date in enumerate(days):
        today = weather.next(date)
        potential = potential_evaporation(today)
        lost, _ = bucket.step(np.full(shape, today.rain.mean()), np.full(shape, potential.mean()))
        plants.step(bucket.wetness)
        daily.append(
            {
                "era5_t2m": (today.maximum + today.minimum) / 2 + 273.15,
                "era5_t2mmax": today.maximum + 273.15,
                "era5_t2mmin": today.minimum + 273.15,
                "era5_tp": today.rain,
                "era5_pev": potential,
                "era5_e": np.full((2, 2), lost.mean()),
            }
        )
        if number % STEP == STEP - 1:
            scenes.append(camera.take(plants.state, bucket.wetness, float((today.rain > 0).mean())))
        if len(daily) == STEP * p.block_steps or number == p.days - 1:
            _write(cube, truth, number + 1 - len(daily), daily, scenes)
            report((number + 1) / p.days)
            daily, scenes = [], []
    cube.close()
    truth.close()
    return {
        "data": "cube.zarr",
        "truth": "truth.zarr",
        "memory": "greenness follows soil water with the days of memory in truth.zarr/static_30m",
        "plants": {COVERS[code]: dict(zip(_PLANT_NAMES, row, strict=True)) for code, row in _PLANTS.items()},
    }


def _ground(p: DroughtParameters, seed: int) -> tuple[Floats, Floats]:
    """Return height and land cover: crops in the valleys, trees along a stream, grass and shrubs elsewhere."""
    shape = (p.side, p.side)
    height = p.elevation + p.relief * power_law_spectrum(shape, 3.6).draw(stream(seed, 20))
    noise = gaussian_spectrum(shape, 4).draw(stream(seed, 22))
    low = (height - height.mean()) / p.relief
    choices = [
        (low < np.quantile(low, 0.02), 80),
        ((low < np.quantile(low, 0.15)) & (noise > -0.6), 10),
        ((low < np.quantile(low, 0.45)) & (noise > 0.2), 40),
        (noise > 2.2, 50),
        ((low > np.quantile(low, 0.8)) & (noise < -0.6), 60),
        (noise > -0.2, 20),
    ]
    return height, np.select([where for where, _ in choices], [code for _, code in choices], default=30)


def _stores(
    folder: Path, p: DroughtParameters, days: pd.DatetimeIndex, steps: pd.DatetimeIndex, seed: int
) -> tuple[SimulatedStore, SimulatedStore]:
    attrs = {
        "title": "Africa-minicube-like drought cube",
        "source": "simulator drought of deepcube",
        "history": f"simulated with seed {seed}",
        "license": "Apache-2.0",
    }
    cube, truth = SimulatedStore(folder / "cube.zarr", attrs), SimulatedStore(folder / "truth.zarr", attrs)
    offset = (np.arange(p.side) + 0.5 - p.side / 2) * p.pixel / METRES_PER_DEGREE
    fine: dict[str, Any] = {"time": steps, "y": p.latitude - offset, "x": p.longitude + offset}
    place = {key: fine[key] for key in ("y", "x")}
    wide = 9000 / METRES_PER_DEGREE * np.array([-0.5, 0.5])
    coarse: dict[str, Any] = {"time": days, "y": p.latitude - wide, "x": p.longitude + wide}
    chunks = {"time": p.block_steps}
    cube.add_grid("s2_30m_5day", fine, SATELLITE, chunks=chunks, crs="EPSG:4326")
    cube.add_grid("era5_9km_daily", coarse, WEATHER, chunks={"time": STEP * p.block_steps}, crs="EPSG:4326")
    cube.add_grid("static_30m", place, STATIC, chunks={}, crs="EPSG:4326")
    truth.add_grid("state_30m_5day", fine, TRUTH, chunks=chunks, crs="EPSG:4326")
    truth.add_grid("static_30m", place, TRUE_STATIC, chunks={}, crs="EPSG:4326")
    return cube, truth


def _write(
    cube: SimulatedStore,
    truth: SimulatedStore,
    first: int,
    daily: list[dict[str, Floats]],
    scenes: list[dict[str, Floats]],
) -> None:
    cube.write("era5_9km_daily", {name: np.stack([day[name] for day in daily]) for name in daily[0]}, first)
    if scenes:
        block = {name: np.stack([scene[name] for scene in scenes]) for name in scenes[0]}
        true = {item.name: block.pop(item.name) for item in TRUTH}
        cube.write("s2_30m_5day", block, first // STEP)
        truth.write("state_30m_5day", true, first // STEP)


SIMULATOR = Simulator(
    name="drought",
    title="Drought cube like the Africa minicubes: Sentinel-2 every 5 days at 30 m, daily weather, terrain, land cover",
    parameters=DroughtParameters(),
    sizes={"tiny": {"side": 24, "days": 730}, "small": {}, "full": {"side": 128}},
    run=run,
)
"""The simulator, as the registry finds it."""
