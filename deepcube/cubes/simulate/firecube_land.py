"""Soil and plants of the FireCube-like cube, and what satellites see of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepcube.cubes.simulate.fields import Floats, Sequence, gaussian_spectrum, stream
from deepcube.cubes.simulate.terrain import Country
from deepcube.cubes.simulate.weather import LAPSE, Bucket, Day, potential_evaporation

LATENT_HEAT = 2.45e6
"""Energy that evaporates a kilogram of water, J (Allen et al., FAO 56, 1998)."""

_GREEN = {
    2: (0.20, 0.15),
    12: (0.18, 0.50),
    17: (0.35, 0.25),
    23: (0.40, 0.45),
    24: (0.50, 0.25),
    26: (0.18, 0.45),
    28: (0.32, 0.30),
    29: (0.35, 0.30),
    44: (0.0, 0.0),
}
"""NDVI of each class when dormant, and what full greenness adds."""

_MEMORY_DAYS = 25.0


class Land:
    """Soil water on the weather grid and greenness at 1 km.

    Parameters
    ----------
    country : Country
        Static fields at 1 km.
    factor : int
        Pixels along a side of a weather pixel.
    capacity : float
        Water that the soil holds, mm.
    """

    def __init__(self, country: Country, factor: int, capacity: float) -> None:
        self.country, self.factor = country, factor
        rows, columns = country.elevation.shape
        self._index = np.ix_(np.arange(rows) // factor, np.arange(columns) // factor)
        self.shape = (-(-rows // factor), -(-columns // factor))
        self._cell = (np.arange(rows) // factor)[:, None] * self.shape[1] + (np.arange(columns) // factor)[None, :]
        self.coarse_height = self.to_coarse(np.maximum(country.elevation, 0))
        self.bucket = Bucket(np.full(self.shape, capacity), np.full(self.shape, 0.6 * capacity))
        base, gain = (
            np.vectorize({code: pair[i] for code, pair in _GREEN.items()}.__getitem__, otypes=[float])(country.cover)
            for i in (0, 1)
        )
        self._base, self._gain = base, gain
        self.green = np.full(country.elevation.shape, 0.5)
        facing = np.sin(np.deg2rad(country.slope)) * np.cos(np.deg2rad(country.aspect - 180))
        self.sunny = 1 + 0.6 * facing
        self.wetness_of_days: list[Floats] = []
        self.evaporation, self.potential = np.zeros(self.shape), np.zeros(self.shape)

    def to_fine(self, field: Floats) -> Floats:
        """Return a field of the weather grid, shape (..., y, x), at 1 km: the value of the pixel around."""
        index: Any = (..., *self._index)
        return np.asarray(field[index])

    def to_coarse(self, field: Floats) -> Floats:
        """Return the means of a 1 km field over the pixels of the weather grid."""
        cell = self._cell.ravel()
        return np.asarray((np.bincount(cell, field.ravel()) / np.bincount(cell)).reshape(self.shape))

    def step(self, today: Day) -> None:
        """Advance soil and plants by a day.

        Greenness follows, with a memory of weeks, what soil water and warmth allow.
        """
        self.potential = potential_evaporation(today)
        self.evaporation, _ = self.bucket.step(today.rain, self.potential)
        warmth = np.clip(((today.maximum + today.minimum) / 2 - 2) / 12, 0.0, 1.0)
        allowed = np.sqrt(self.bucket.wetness) * warmth
        aim = np.clip(self.to_fine(allowed) * self.country.fertility, 0.0, 1.0)
        self.green = self.green + (aim - self.green) / _MEMORY_DAYS
        self.wetness_of_days.append(self.bucket.wetness)

    def scorch(self, burnt: NDArray[np.bool_]) -> None:
        """Take the green off burnt pixels; it grows back at the pace of the plants' memory."""
        self.green = np.where(burnt, 0.0, self.green)

    @property
    def ndvi(self) -> Floats:
        """True NDVI at 1 km; 0 in the sea."""
        return self._base + self._gain * self.green

    def static(self, seed: int) -> dict[str, Floats]:
        """Return the static variables of the cube, with the spread of terrain within a pixel."""
        country = self.country
        height = np.maximum(country.elevation, 0)
        rough = 4 + 5 * country.slope
        values: dict[str, Floats] = {}
        for name, mean, spread, low, high in (
            ("dem", height, rough, 0.0, 1e4),
            ("slope", country.slope, 0.45 * country.slope, 0.0, 90.0),
            ("aspect", country.aspect, np.full(height.shape, 70.0), 0.0, 360.0),
        ):
            values |= {
                f"{name}_mean": mean,
                f"{name}_max": np.minimum(mean + 2 * spread, high),
                f"{name}_min": np.maximum(mean - 2 * spread, low),
                f"{name}_std": spread,
            }
        for year in (2006, 2012, 2018):
            values[f"clc_{year}"] = country.cover.astype(float)
        values["roads_density_2020"] = country.roads
        growth = 0.004 * stream(seed, 6).standard_normal(height.shape)
        for year in range(2009, 2021):
            values[f"population_density_{year}"] = country.population * (1 + growth) ** (year - 2015)
        for name in values:
            if not name.startswith(("clc", "population", "roads")):
                values[name] = np.where(country.sea, np.nan, values[name])
        return values


class Observer:
    """What the satellites see, day by day, under clouds and with noise.

    Parameters
    ----------
    land : Land
        The true state.
    seed : int
        Seed of the simulation.
    """

    def __init__(self, land: Land, seed: int) -> None:
        self._land, self._seed, self._day = land, seed, 0
        shape = land.country.elevation.shape
        self._clouds = Sequence(gaussian_spectrum((shape[0], shape[1]), 12), 0.3, seed, 200)
        half = (2 * shape[0], 2 * shape[1])
        texture = 1 + 0.06 * gaussian_spectrum(half, 2).draw(stream(seed, 201))
        self._texture = np.clip(texture, 0.7, 1.3)
        self._daily: dict[str, list[Floats]] = {}
        self._best: list[Floats] = []
        self._window: list[tuple[Floats, Floats, Floats, Floats]] = []
        self._eight: list[dict[str, Floats]] = []
        self._sixteen: list[dict[str, Floats]] = []

    def see(self, today: Day) -> None:
        """Take the images of a day."""
        land, noise = self._land, stream(self._seed, 202, self._day)
        self._day += 1
        sea = land.country.sea
        share = np.where(land.to_fine(today.rain) > 0, 0.85, -0.55)
        cloud = self._clouds.next() < share
        hidden = cloud | sea
        relief = LAPSE * (land.to_fine(land.coarse_height) - np.maximum(land.country.elevation, 0))
        ndvi = land.ndvi
        day = land.to_fine(today.maximum) + relief + 273.15 + 11 * (1 - ndvi) * land.sunny
        night = land.to_fine(today.minimum) + relief + 272.0
        self._add("LST_Day_1km", np.where(hidden, np.nan, day + noise.normal(0, 0.8, day.shape)))
        self._add("LST_Night_1km", np.where(hidden, np.nan, night + noise.normal(0, 0.8, day.shape)))
        self._add("QC_Day", np.where(hidden, 2.0, 0.0))
        self._add("QC_Night", np.where(hidden, 2.0, 0.0))
        seen = np.where(hidden, np.nan, ndvi + noise.normal(0, 0.012, ndvi.shape))
        self._best.append(seen)
        self._window.append((ndvi, hidden.astype(float), land.evaporation, land.potential))
        if len(self._window) == 8:
            self._eight.append(self._composite())
            self._window.clear()
        if len(self._best) == 16:
            self._sixteen.append(self._indices())
            self._best.clear()

    def collect(self) -> tuple[dict[str, Floats], dict[str, Floats], dict[str, Floats]]:
        """Return, and forget, the daily, 8-day and 16-day products since the last call."""
        daily = {name: np.stack(maps) for name, maps in self._daily.items()}
        eight, sixteen = (
            {name: np.stack([product[name] for product in products]) for name in products[0]} if products else {}
            for products in (self._eight, self._sixteen)
        )
        self._daily, self._eight, self._sixteen = {}, [], []
        return daily, eight, sixteen

    def _add(self, name: str, values: Floats) -> None:
        self._daily.setdefault(name, []).append(values)

    def _indices(self) -> dict[str, Floats]:
        best = np.fmax.reduce(self._best)
        evi = np.where(best > 0, 0.62 * best + 0.02, 0.9 * best)
        quality = np.where(np.isfinite(best), 0.0, 2.0)
        return {"1 km 16 days NDVI": best, "1 km 16 days EVI": evi, "1 km 16 days VI Quality": quality}

    def _composite(self) -> dict[str, Floats]:
        """Return the 500 m products of eight days; greener pixels lose more of the water of their weather pixel."""
        land = self._land
        ndvi, hidden, evaporation, potential = (np.stack(part) for part in zip(*self._window, strict=True))
        fine = _double(ndvi.mean(axis=0)) * self._texture
        absent = _double(hidden.min(axis=0)) > 0
        fpar = np.clip(1.24 * fine - 0.168, 0.0, 0.95)  # Sims et al., Remote Sens. Environ. 103, 289-303, 2006
        lai = -np.log1p(-fpar) / 0.5  # Beer's law with an extinction of 0.5
        water, possible = evaporation.sum(axis=0), potential.sum(axis=0)
        weight = np.where(land.country.sea, 1.0, 0.5 + ndvi.mean(axis=0))
        weight = weight / land.to_fine(land.to_coarse(weight))
        largest = land.to_fine(possible)
        actual, largest = _double(np.minimum(land.to_fine(water) * weight, largest)), _double(largest)
        at_sea = _double(land.country.sea.astype(float)) > 0
        products = {
            "Fpar_500m": np.where(absent, np.nan, fpar),
            "FparStdDev_500m": np.where(absent, np.nan, 0.03 + 0.08 * fpar),
            "Lai_500m": np.where(absent, np.nan, lai),
            "LaiStdDev_500m": np.where(absent, np.nan, 0.05 + 0.1 * lai),
            "ET_500m": np.where(at_sea, np.nan, actual),
            "PET_500m": np.where(at_sea, np.nan, largest),
        }
        products["LE_500m"] = products["ET_500m"] * LATENT_HEAT / 8
        products["PLE_500m"] = products["PET_500m"] * LATENT_HEAT / 8
        products["FparLai_QC"] = np.where(absent, 2.0, 0.0)
        products["FparExtra_QC"] = np.where(absent, 2.0, 0.0)
        products["ET_QC_500m"] = np.where(at_sea, 2.0, 0.0)
        return products


def _double(field: Floats) -> Floats:
    return np.asarray(np.repeat(np.repeat(field, 2, axis=0), 2, axis=1))
