"""A daily weather generator on a coarse grid: temperature, humidity, wind and rain that belong together.

In the manner of Richardson (Water Resources Research 17, 182-190, 1981): rain occurs where a correlated Gaussian field
exceeds a seasonal threshold, and the other variables are autoregressive departures from the season that depend on
whether it rains. Fields are correlated in space (see :mod:`deepcube.cubes.simulate.fields`).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincinv, ndtr, ndtri

from deepcube.cubes.simulate.fields import Floats, Sequence, gaussian_spectrum

LAPSE = 0.0065
"""Fall of temperature with height in K per m (International Standard Atmosphere)."""


@dataclass(frozen=True)
class Climate:
    """Seasonal means and spreads of the weather.

    Attributes
    ----------
    mean_temperature, season_amplitude, temperature_spread : float
        Degrees Celsius at sea level: mean of the year, half the range of the season, day-to-day spread.
    warmest_day : int
        Day of the year of the warmest day.
    diurnal_range, dry_season_range : float
        Kelvin: range of a day in the cool season, and what the warm season adds.
    wet_share, wet_share_amplitude : float
        Share of days with rain, and half its range over the season (rain is least on the warmest day).
    rain_peaks : int
        Rainy seasons in a year: 1, or 2 as in East Africa.
    rain_shape, rain_scale : float
        Gamma distribution of the rain of a wet day; the scale is in mm.
    interannual : float
        Spread between years of the latent field that decides about rain.
    wind_mean, wind_spread, wind_summer : float
        Metres per second: mean northerly, day-to-day spread of each component, what the warm season adds.
    dew_depression : float
        Kelvin by which the dew point lies below the daily minimum in the warm season.
    """

    mean_temperature: float = 17.0
    season_amplitude: float = 9.5
    temperature_spread: float = 2.6
    warmest_day: int = 208
    diurnal_range: float = 7.5
    dry_season_range: float = 4.5
    wet_share: float = 0.22
    wet_share_amplitude: float = 0.17
    rain_peaks: int = 1
    rain_shape: float = 0.7
    rain_scale: float = 9.0
    interannual: float = 0.35
    wind_mean: float = 1.2
    wind_spread: float = 2.2
    wind_summer: float = 1.6
    dew_depression: float = 6.0


@dataclass(frozen=True, eq=False)
class Day:
    """Weather of a day; every field has shape (y, x).

    Attributes
    ----------
    maximum, minimum, dew_point : numpy.ndarray
        Degrees Celsius.
    humidity : numpy.ndarray
        Relative humidity at the time of the maximum, per cent.
    eastward, northward : numpy.ndarray
        Wind at noon in m/s.
    rain : numpy.ndarray
        Millimetres in the day.
    radiation : numpy.ndarray
        Extraterrestrial radiation in mm/day of evaporated water (for potential evaporation).
    """

    maximum: Floats
    minimum: Floats
    dew_point: Floats
    humidity: Floats
    eastward: Floats
    northward: Floats
    rain: Floats
    radiation: Floats

    @property
    def wind_speed(self) -> Floats:
        """Wind speed in m/s."""
        return np.asarray(np.hypot(self.eastward, self.northward))


class WeatherGenerator:
    """Weather of one day after the other.

    Parameters
    ----------
    elevation : numpy.ndarray of float64, shape (y, x)
        Height in m; the sea counts as 0.
    latitude : float
        Degrees, for the radiation.
    climate : Climate
        Seasonal means and spreads.
    pixel : float
        Pixel side in km.
    seed : int
        Seed of the simulation.
    """

    def __init__(self, elevation: Floats, latitude: float, climate: Climate, pixel: float, seed: int) -> None:
        self._height = np.maximum(elevation, 0.0)
        self._latitude, self._climate = latitude, climate
        shape = (self._height.shape[0], self._height.shape[1])
        lengths = {"heat": 350, "rain": 120, "east": 250, "north": 250, "dew": 250}
        memory = {"heat": 0.75, "rain": 0.45, "east": 0.5, "north": 0.5, "dew": 0.6}
        self._latent = {
            name: Sequence(gaussian_spectrum(shape, min(km / pixel, 2.0 * max(shape))), memory[name], seed, 100 + i)
            for i, (name, km) in enumerate(lengths.items())
        }
        self._year = Sequence(gaussian_spectrum(shape, min(600 / pixel, 2.0 * max(shape))), 0.0, seed, 110)
        self._of_year: tuple[int, Floats] | None = None

    def next(self, date: pd.Timestamp) -> Day:
        """Return the weather of the next day, which has the given date (dates only set the season)."""
        c, z = self._climate, {name: sequence.next() for name, sequence in self._latent.items()}
        day = date.dayofyear
        warm = np.cos(2 * np.pi * (day - c.warmest_day) / 365.25)
        rain = self._rain(z["rain"] + self._anomaly(date.year), day)
        wet = rain > 0
        mean = c.mean_temperature + c.season_amplitude * warm - LAPSE * self._height
        mean = mean + c.temperature_spread * (z["heat"] - 0.4 * wet)
        spread = (c.diurnal_range + c.dry_season_range * (warm + 1) / 2) * np.where(wet, 0.55, 1.0)
        maximum, minimum = mean + spread / 2, mean - spread / 2
        dew = minimum - np.where(wet, 0.5, c.dew_depression * (0.3 + 0.7 * (warm + 1) / 2)) + 1.8 * z["dew"]
        dew = np.minimum(dew, minimum)
        humidity = np.clip(100 * vapour_pressure(dew) / vapour_pressure(maximum), 3.0, 100.0)
        northward = -c.wind_mean - c.wind_summer * max(warm, 0.0) + c.wind_spread * z["north"]
        radiation = np.full_like(mean, float(extraterrestrial_radiation(day, self._latitude)))
        return Day(maximum, minimum, dew, humidity, c.wind_spread * z["east"], northward, rain, radiation)

    def _anomaly(self, year: int) -> Floats:
        """Return the part of the rain's latent field that a whole year shares: it makes drought years."""
        if self._of_year is None or self._of_year[0] != year:
            self._of_year = (year, self._climate.interannual * self._year.next())
        return self._of_year[1]

    def _rain(self, latent: Floats, day: int) -> Floats:
        """Return rain in mm: a threshold decides whether, the excess decides how much (so heavy rain is inland)."""
        c = self._climate
        season = np.cos(2 * np.pi * c.rain_peaks * (day - c.warmest_day) / 365.25)
        share = np.clip(c.wet_share - c.wet_share_amplitude * season, 0.005, 0.95)
        rank = (ndtr(latent / np.sqrt(1 + c.interannual**2)) - (1 - share)) / share
        amount = c.rain_scale * gammaincinv(c.rain_shape, np.clip(rank, 0.0, 1 - 1e-9))
        return np.where(rank > 0, np.maximum(amount, 0.05), 0.0)


def vapour_pressure(temperature: ArrayLike) -> Floats:
    """Return the saturation vapour pressure in kPa at degrees Celsius (Allen et al., FAO 56, 1998, eq. 11)."""
    t = np.asarray(temperature, dtype=float)
    return np.asarray(0.6108 * np.exp(17.27 * t / (t + 237.3)))


def extraterrestrial_radiation(day: ArrayLike, latitude: float) -> NDArray[np.float64]:
    """Return daily extraterrestrial radiation in mm of evaporated water (Allen et al., FAO 56, 1998, eq. 21-25, 20).

    Parameters
    ----------
    day : array-like of int
        Day of the year.
    latitude : float
        Degrees, north positive, within the polar circles.
    """
    angle = 2 * np.pi * np.asarray(day) / 365
    declination, phi = 0.409 * np.sin(angle - 1.39), np.deg2rad(latitude)
    sunset = np.arccos(-np.tan(phi) * np.tan(declination))
    shape = sunset * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(sunset)
    return np.asarray(0.408 * 37.586 * (1 + 0.033 * np.cos(angle)) * shape)


def potential_evaporation(day: Day) -> Floats:
    """Return potential evapotranspiration in mm/day (Hargreaves and Samani, Applied Eng. in Agric. 1, 96-99, 1985).

    ``0.0023 * Ra * (mean + 17.8) * sqrt(maximum - minimum)`` with the radiation ``Ra`` in mm/day.
    """
    mean = (day.maximum + day.minimum) / 2
    return 0.0023 * day.radiation * np.maximum(mean + 17.8, 0) * np.sqrt(np.maximum(day.maximum - day.minimum, 0))


@dataclass(eq=False)
class Bucket:
    """Soil water as one bucket that rain fills and plants empty (Manabe, Monthly Weather Review 97, 739-774, 1969).

    Every millimetre is accounted for: the change of storage is rain less evaporation less runoff.

    Attributes
    ----------
    capacity : numpy.ndarray
        Largest storage in mm.
    storage : numpy.ndarray
        Storage in mm.
    critical : float
        Share of the capacity below which evaporation falls off.
    """

    capacity: Floats
    storage: Floats
    critical: float = 0.6

    def step(self, rain: Floats, potential: Floats) -> tuple[Floats, Floats]:
        """Advance by a day and return actual evapotranspiration and runoff in mm."""
        wetness = np.clip(self.storage / (self.critical * self.capacity), 0.0, 1.0)
        filled = self.storage + rain
        actual = np.minimum(potential * wetness, filled)
        runoff = np.maximum(filled - actual - self.capacity, 0.0)
        self.storage = filled - actual - runoff
        return actual, runoff

    @property
    def wetness(self) -> Floats:
        """Storage as a share of the capacity, 0 to 1."""
        return self.storage / self.capacity


def threshold(share: float) -> float:
    """Return the value that a standard Gaussian exceeds with a probability."""
    return float(ndtri(1 - share))
