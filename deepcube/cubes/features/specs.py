"""Features as declarations: what is to be computed, from which variables, fitted on which period.

A feature looks at the past only: a value at a time depends on nothing after it. What is fitted (climatologies,
distributions) is fitted on a period that the declaration states. Declarations are plain values: equal ones are computed
once, and they say in a log or a file exactly what was done.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepcube.cubes.climatology import (
    Climatology,
    crossfit_climatology,
    fit_climatology,
    season_count,
    season_of,
    year_fraction,
)
from deepcube.cubes.features.errors import FeatureError
from deepcube.cubes.features.tile import Floats, Tile
from deepcube.cubes.series import lagged
from deepcube.cubes.spectral import ndvi

Period = tuple[str, str]
"""First date and the date after the last one."""

Statistic = Literal["mean", "sum", "min", "max", "std"]
"""How the values of a window become one."""


class Feature(ABC):
    """A declaration of a feature.

    Sub-classes are frozen dataclasses. ``inputs`` names the variables read, ``halo`` the pixels needed around a tile.
    """

    @property
    @abstractmethod
    def inputs(self) -> frozenset[str]:
        """Variables that the feature reads."""

    @property
    def halo(self) -> int:
        """Pixels needed around a tile."""
        return 0

    @abstractmethod
    def compute(self, tile: Tile) -> Floats:
        """Return the feature, float64 of shape (time, y, x), or (y, x) where it is static."""

    def of(self, tile: Tile) -> Floats:
        """Return the feature on a tile; computed once however many features use it."""
        return np.asarray(tile.once(self, lambda: self.compute(tile)))

    def over_time(self, tile: Tile) -> Floats:
        """Return the feature with a time axis, repeated where it is static."""
        values = self.of(tile)
        return values if values.ndim == 3 else np.broadcast_to(values, (len(tile.times), *values.shape))


Operand = Feature | str
"""A feature, or the name of a variable."""


def feature_of(operand: Operand) -> Feature:
    """Return the feature that an operand means: a name means the variable itself."""
    return Value(operand) if isinstance(operand, str) else operand


@dataclass(frozen=True)
class Value(Feature):
    """A variable as it is.

    Attributes
    ----------
    variable : str
        Its name.
    """

    variable: str

    @property
    def inputs(self) -> frozenset[str]:
        """Variables that the feature reads."""
        return frozenset({self.variable})

    def compute(self, tile: Tile) -> Floats:
        """Return the variable."""
        if "time" not in tile.variable(self.variable).dims:
            return tile.inner(tile.ground(self.variable))
        return tile.series(self.variable)


class _Derived(Feature):
    """A feature of another one, its attribute ``operand``."""

    operand: Operand

    @property
    def inputs(self) -> frozenset[str]:
        """Variables that the feature reads."""
        return feature_of(self.operand).inputs

    @property
    def halo(self) -> int:
        """Pixels needed around a tile."""
        return feature_of(self.operand).halo


@dataclass(frozen=True)
class Lag(_Derived):
    """The value a number of steps earlier; missing before the series starts.

    Attributes
    ----------
    operand : Feature or str
        What to look back at.
    steps : int
        Steps of the time axis, not negative: features never look ahead.
    """

    operand: Operand
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise FeatureError(f"Found a lag of {self.steps} steps; expected 0 or more: features never look ahead.")

    def compute(self, tile: Tile) -> Floats:
        """Return ``x[t - steps]``."""
        tile.step("A lag")
        return lagged(feature_of(self.operand).over_time(tile), self.steps)


@dataclass(frozen=True)
class Window(_Derived):
    """A statistic of the last steps, the present one included.

    Attributes
    ----------
    operand : Feature or str
        What to summarise.
    steps : int
        Length of the window in steps of the time axis.
    statistic : {"mean", "sum", "min", "max", "std"}
        The statistic of the valid values; ``std`` divides by their number.
    minimum : int, optional
        Fewest valid values; all of the window by default, so that a sum is a sum.
    """

    operand: Operand
    steps: int
    statistic: Statistic = "mean"
    minimum: int | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise FeatureError(f"Found a window of {self.steps} steps; expected at least 1.")

    def compute(self, tile: Tile) -> Floats:
        """Return the statistic of ``x[t - steps + 1 : t + 1]``."""
        tile.step("A window")
        values = feature_of(self.operand).over_time(tile)
        parts = [lagged(values, k) for k in range(self.steps)]
        count = sum((np.isfinite(part).astype(float) for part in parts), np.zeros(values.shape))
        enough = count >= (self.steps if self.minimum is None else max(1, self.minimum))
        if self.statistic in ("min", "max"):
            reduce = np.fmin if self.statistic == "min" else np.fmax
            result = parts[0]
            for part in parts[1:]:
                result = reduce(result, part)
        else:
            total = sum((np.nan_to_num(part) for part in parts), np.zeros(values.shape))
            with np.errstate(invalid="ignore", divide="ignore"):
                result = total if self.statistic == "sum" else total / count
                if self.statistic == "std":
                    squares = sum((np.nan_to_num(part - result) ** 2 for part in parts), np.zeros(values.shape))
                    result = np.sqrt(squares / count)
        return np.where(enough, result, np.nan)


@dataclass(frozen=True)
class Anomaly(_Derived):
    """Departure from what is normal for the season.

    Attributes
    ----------
    operand : Feature or str
        What departs.
    fit : (str, str)
        Period that the climatology is fitted on, its end excluded: the training period.
    standardised : bool
        Whether to divide by the standard deviation of the season.
    crossfit : bool
        Whether values within the period are compared with the climatology of the rest of it, which a model that is
        trained on them needs (see :func:`deepcube.cubes.climatology.crossfit_climatology`).
    half_width, minimum : int
        Pooling of neighbouring seasons (see :func:`deepcube.cubes.climatology.fit_climatology`).
    """

    operand: Operand
    fit: Period
    standardised: bool = False
    crossfit: bool = False
    half_width: int = 0
    minimum: int = 5

    def compute(self, tile: Tile) -> Floats:
        """Return ``x - mean(season)``, or that divided by ``std(season)``."""
        seasons = season_count(tile.step("An anomaly"))
        season = season_of(tile.times, seasons)
        inside = tile.period(self.fit, "An anomaly")
        cube = feature_of(self.operand).over_time(tile)
        values = cube.reshape(len(cube), -1)
        normal = seasonal(values[inside], season[inside], seasons, self.half_width, self.minimum)
        mean = normal.mean[season]
        if self.crossfit:
            mean[inside] = crossfit_climatology(
                values[inside],
                tile.times[inside],
                season[inside],
                seasons,
                half_width=self.half_width,
                minimum=self.minimum,
            )
        result = values - mean
        if self.standardised:
            spread = normal.std[season]
            result = np.where(spread > 0, result / np.where(spread > 0, spread, 1.0), np.nan)
        return result.reshape(cube.shape)


def seasonal(values: Floats, season: NDArray[np.int64], seasons: int, half_width: int, minimum: int) -> Climatology:
    """Return what :func:`deepcube.cubes.climatology.fit_climatology` returns, at once where no season is pooled.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (times, pixels)
        Observations; NaN at gaps.
    season : numpy.ndarray of int64, shape (times,)
        Season of each time.
    seasons, half_width, minimum : int
        As there. Pooling is idle where the half width is 0 and every pixel has enough observations in every season.
    """
    order = np.argsort(season, kind="stable")
    found, starts = np.unique(season[order], return_index=True)
    if half_width == 0 and len(found) == seasons:
        sorted_values = values[order]
        valid = np.isfinite(sorted_values)
        count = np.add.reduceat(valid, starts, axis=0, dtype=np.int64)
        if (count >= minimum).all():
            filled = np.where(valid, sorted_values, 0.0)
            centre = filled.sum(axis=0) / count.sum(axis=0)
            departure = np.where(valid, sorted_values - centre, 0.0)
            offset = np.add.reduceat(departure, starts, axis=0) / count
            squares = np.add.reduceat(departure**2, starts, axis=0) / count
            return Climatology(centre + offset, np.sqrt(np.maximum(squares - offset**2, 0.0)), count)
    return fit_climatology(values, season, seasons, half_width=half_width, minimum=minimum)


@dataclass(frozen=True)
class Ndvi(Feature):
    """Normalised difference vegetation index (see :func:`deepcube.cubes.spectral.ndvi`).

    Attributes
    ----------
    red, nir : str
        Reflectance in the red and in the near infrared.
    """

    red: str
    nir: str

    @property
    def inputs(self) -> frozenset[str]:
        """Variables that the feature reads."""
        return frozenset({self.red, self.nir})

    def compute(self, tile: Tile) -> Floats:
        """Return ``(nir - red) / (nir + red)``."""
        return ndvi(tile.series(self.red), tile.series(self.nir))


@dataclass(frozen=True)
class Kndvi(Ndvi):
    """Kernel NDVI, ``tanh(ndvi ** 2)`` (Camps-Valls et al., Science Advances 7, eabc7447, 2021, eq. 2)."""

    def compute(self, tile: Tile) -> Floats:
        """Return ``tanh(ndvi ** 2)``."""
        return np.tanh(Ndvi(self.red, self.nir).of(tile) ** 2)


@dataclass(frozen=True)
class Masked(Feature):
    """A feature where a categorical variable has one of some values; missing elsewhere.

    Attributes
    ----------
    operand : Feature or str
        What to keep.
    variable : str
        The categorical variable, such as a cloud mask.
    keep : tuple of int
        Values that are good.
    """

    operand: Operand
    variable: str
    keep: tuple[int, ...]

    @property
    def inputs(self) -> frozenset[str]:
        """Variables that the feature reads."""
        return feature_of(self.operand).inputs | {self.variable}

    @property
    def halo(self) -> int:
        """Pixels needed around a tile."""
        return feature_of(self.operand).halo

    def compute(self, tile: Tile) -> Floats:
        """Return the feature or NaN."""
        values = feature_of(self.operand).over_time(tile)
        return np.where(np.isin(tile.series(self.variable), self.keep), values, np.nan)


@dataclass(frozen=True)
class Season(Feature):
    """Position in the year as a point on a circle.

    Attributes
    ----------
    part : {"sin", "cos"}
        Which coordinate.
    """

    part: Literal["sin", "cos"]

    @property
    def inputs(self) -> frozenset[str]:
        """Variables that the feature reads: none."""
        return frozenset()

    def compute(self, tile: Tile) -> Floats:
        """Return the sine or cosine of ``2 pi`` times the share of the year that has passed."""
        angle = 2 * np.pi * year_fraction(tile.times)
        values = np.sin(angle) if self.part == "sin" else np.cos(angle)
        return np.broadcast_to(values[:, None, None], (len(values), *tile.shape))
