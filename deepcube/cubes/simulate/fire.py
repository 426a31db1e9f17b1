"""Where fires start and how far they go, given the day's fuel and weather."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepcube.cubes.simulate.fields import Floats

NEIGHBOURS = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]
"""Rows and columns to the eight neighbours; row -1 is north."""


@dataclass(frozen=True)
class FireRegime:
    """How fires start and spread.

    Attributes
    ----------
    rate : float
        Ignitions per square kilometre and day at a fire weather index of 20 where people, fuel and dryness are average.
    index_power, human_power, live_power : float
        Powers by which the rate grows with the fire weather index, with human presence and with the dryness of live
        fuel.
    spread : float
        Chance that a burning pixel sets fire to a neighbour in a step, at full fuel and an initial spread index of 10
        without wind or slope.
    wind_gain, slope_gain : float
        Growth of the logarithm of that chance per m/s of tail wind and per degree of upslope.
    steps : int
        Steps that a fire lives at most.
    quench : float
        Chance that a burning pixel goes out in a step.
    """

    rate: float = 2e-5
    index_power: float = 1.6
    human_power: float = 0.5
    live_power: float = 2.0
    spread: float = 0.07
    wind_gain: float = 0.10
    slope_gain: float = 0.02
    steps: int = 10
    quench: float = 0.55


def ignition_probability(
    regime: FireRegime, index: Floats, human: Floats, fuel: Floats, dryness: Floats, area: float
) -> Floats:
    """Return the probability that at least one fire starts in a pixel on a day.

    A Poisson process: ``p = 1 - exp(-rate * area * fuel * (index / 20)**a * human**b * dryness**c)``.

    Parameters
    ----------
    index : numpy.ndarray
        Canadian fire weather index of the day.
    human : numpy.ndarray
        Human presence, 1 on average.
    fuel : numpy.ndarray
        How readily the land cover burns; 0 where nothing can.
    dryness : numpy.ndarray
        Dryness of live fuel, 0 to 2, 1 on average.
    area : float
        Pixel area in square kilometres.
    """
    intensity = regime.rate * area * fuel * (np.maximum(index, 0) / 20) ** regime.index_power
    intensity = intensity * human**regime.human_power * dryness**regime.live_power
    return np.asarray(-np.expm1(-intensity))


@dataclass(frozen=True, eq=False)
class Landscape:
    """What a fire meets on a day; every field has shape (y, x).

    Attributes
    ----------
    fuel : numpy.ndarray
        How readily each pixel burns; 0 where nothing can, burnt pixels of the year included.
    elevation : numpy.ndarray
        Height in m.
    spread_index : numpy.ndarray
        Canadian initial spread index, which grows with wind and dryness of fine fuel.
    eastward, northward : numpy.ndarray
        Wind in m/s.
    pixel : float
        Pixel side in m.
    """

    fuel: Floats
    elevation: Floats
    spread_index: Floats
    eastward: Floats
    northward: Floats
    pixel: float


def burn(
    regime: FireRegime, start: tuple[int, int], land: Landscape, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return the pixels that a fire burns: a stochastic cellular automaton.

    After Alexandridis et al. (Applied Mathematics and Computation 204, 191-201, 2008): in every step a burning pixel
    sets fire to each neighbour with ``p = spread * fuel * (isi / 10) * exp(gain_w * tail wind + gain_s * upslope)``.

    Parameters
    ----------
    start : (int, int)
        Row and column where it starts; must have fuel.
    land : Landscape
        Fuel and weather.
    generator : numpy.random.Generator
        Random numbers of this fire.

    Returns
    -------
    numpy.ndarray of int64, shape (n, 2)
        Rows and columns, the start first; connected through neighbours, each with fuel.
    """
    rows, columns = land.fuel.shape
    burnt = {start}
    front = [start]
    for _ in range(regime.steps):
        ahead = []
        for row, column in front:
            for down, right in NEIGHBOURS:
                place = (row + down, column + right)
                if not (0 <= place[0] < rows and 0 <= place[1] < columns) or place in burnt or land.fuel[place] <= 0:
                    continue
                if generator.random() < _chance(regime, land, (row, column), place):
                    burnt.add(place)
                    ahead.append(place)
        front = [place for place in front if generator.random() >= regime.quench] + ahead
        if not front:
            break
    return np.array([start, *sorted(burnt - {start})], dtype=np.int64)


def _chance(regime: FireRegime, land: Landscape, here: tuple[int, int], there: tuple[int, int]) -> float:
    down, right = there[0] - here[0], there[1] - here[1]
    length = float(np.hypot(down, right))
    tail = (land.eastward[here] * right - land.northward[here] * down) / length
    upslope = np.degrees(np.arctan((land.elevation[there] - land.elevation[here]) / (land.pixel * length)))
    gain = np.exp(regime.wind_gain * tail + regime.slope_gain * upslope) / length
    return float(min(0.9, regime.spread * land.fuel[there] * land.spread_index[here] / 10 * gain))
