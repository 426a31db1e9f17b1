"""A made-up country: relief, coast, land cover, roads and people that depend on each other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from deepcube.cubes.simulate.fields import Floats, gaussian_spectrum, power_law_spectrum, stream

CLC_NAMES = {
    112: "discontinuous urban fabric",
    211: "non-irrigated arable land",
    223: "olive groves",
    311: "broad-leaved forest",
    312: "coniferous forest",
    321: "natural grasslands",
    323: "sclerophyllous vegetation",
    324: "transitional woodland-shrub",
    523: "sea and ocean",
}
"""CORINE land cover classes that occur, by three-digit code."""

CLC_INDEX = {112: 2, 211: 12, 223: 17, 311: 23, 312: 24, 321: 26, 323: 28, 324: 29, 523: 44}
"""Number of each class in the 44 classes of the CORINE raster, which the FireCube stores."""

FUEL = {2: 0.05, 12: 0.35, 17: 0.45, 23: 0.5, 24: 1.0, 26: 0.7, 28: 1.1, 29: 0.9, 44: 0.0}
"""How readily each class burns, relative to coniferous forest."""


@dataclass(frozen=True, eq=False)
class Country:
    """Static fields of shape (y, x).

    Attributes
    ----------
    elevation : numpy.ndarray of float64
        Height in m, negative in the sea.
    sea : numpy.ndarray of bool
        True in the sea.
    slope, aspect : numpy.ndarray of float64
        Degrees; aspect clockwise from north, the direction that the slope faces.
    cover : numpy.ndarray of int64
        Class number of the CORINE raster.
    population : numpy.ndarray of float64
        Persons per square kilometre.
    roads : numpy.ndarray of float64
        Road density in km per square kilometre.
    fuel : numpy.ndarray of float64
        How readily the land cover burns.
    fertility : numpy.ndarray of float64
        Site quality for plants, about 1.
    """

    elevation: Floats
    sea: NDArray[np.bool_]
    slope: Floats
    aspect: Floats
    cover: NDArray[np.int64]
    population: Floats
    roads: Floats
    fuel: Floats
    fertility: Floats


def make_country(shape: tuple[int, int], pixel: float, relief: float, sea_share: float, seed: int) -> Country:
    """Return a country of fractal relief.

    Parameters
    ----------
    shape : (int, int)
        Rows (from north to south) and columns.
    pixel : float
        Pixel side in m.
    relief : float
        Spread of the height in m.
    sea_share : float
        Share of the area that is sea, 0 to below 1.
    seed : int
        Seed of the simulation.
    """
    raw = power_law_spectrum(shape, 3.7).draw(stream(seed, 1))
    level = np.quantile(raw, sea_share) if sea_share > 0 else raw.min() - 0.1
    height = relief * (raw - level)
    height = np.where(height > 0, height * (0.4 + 0.6 * height / max(height.max(), 1.0)) * 1.6, height)
    sea = height <= 0
    slope, aspect = slope_aspect(np.maximum(height, 0), pixel)
    population, roads = _people(shape, pixel, slope, sea, seed)
    cover = _cover(shape, height, slope, population, sea, seed)
    fuel = np.vectorize(FUEL.__getitem__, otypes=[float])(cover)
    fertility = np.exp(0.15 * gaussian_spectrum(shape, 6).draw(stream(seed, 4)))
    return Country(height, sea, slope, aspect, cover, population, roads, fuel, fertility)


def slope_aspect(height: Floats, pixel: float) -> tuple[Floats, Floats]:
    """Return slope and aspect in degrees from a height in m, rows from north to south, by central differences."""
    south, east = np.gradient(height, pixel)
    slope = np.degrees(np.arctan(np.hypot(south, east)))
    aspect = np.degrees(np.arctan2(-east, south)) % 360
    return slope, aspect


def _people(
    shape: tuple[int, int], pixel: float, slope: Floats, sea: NDArray[np.bool_], seed: int
) -> tuple[Floats, Floats]:
    """Place towns on gentle land; people thin out and roads too with the distance from them."""
    generator = stream(seed, 2)
    area = sea.size * (pixel / 1000) ** 2
    suited = np.where(sea, 0.0, np.exp(-slope / 5) + 1e-6)
    towns = max(2, round(area / 400))
    places = generator.choice(sea.size, size=towns, p=(suited / suited.sum()).ravel())
    persons = generator.lognormal(8.5, 1.2, towns)
    density = np.zeros(sea.size)
    np.add.at(density, places, persons / (pixel / 1000) ** 2)
    blurred = gaussian_filter(density.reshape(shape), 2500 / pixel)
    country_side = 6 * np.exp(gaussian_spectrum(shape, 8000 / pixel).draw(stream(seed, 3)))
    population = np.where(sea, 0.0, blurred + country_side)
    near = distance_transform_edt(blurred < 20) * pixel / 1000 if (blurred >= 20).any() else np.full(shape, 20.0)
    roads = np.where(sea, 0.0, 0.4 + 4 * np.exp(-near / 4))
    return population, roads


def _cover(
    shape: tuple[int, int], height: Floats, slope: Floats, population: Floats, sea: NDArray[np.bool_], seed: int
) -> NDArray[np.int64]:
    noise = gaussian_spectrum(shape, 4).draw(stream(seed, 5))
    high = height / 800 + 0.5 * noise
    choices = [
        (sea, 523),
        (population > 400, 112),
        ((slope < 4) & (noise > -0.2), 211),
        ((slope < 8) & (noise > -0.6) & (high < 0.7), 223),
        (high > 1.6, 312),
        ((high > 1.0) & (noise > 0), 311),
        (high > 0.8, 324),
        (noise > 0.8, 321),
    ]
    codes = np.select([where for where, _ in choices], [code for _, code in choices], default=323)
    return np.asarray(np.vectorize(CLC_INDEX.__getitem__, otypes=[np.int64])(codes))
