"""Part of a grid over its whole time axis: what features are computed on."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from deepcube.cubes.features.errors import FeatureError
from deepcube.cubes.steps import regular_step

Floats = NDArray[np.float64]
"""Values of shape (time, y, x) or, where static, (y, x)."""

METRES_PER_DEGREE = 111_319.49
"""Length of a degree of longitude on the equator and, to half a per cent, of latitude."""


@dataclass(eq=False)
class Tile:
    """A rectangle of pixels with all their times.

    Attributes
    ----------
    dataset : xarray.Dataset
        The pixels and a margin around them, dimensions ``(time, y, x)``; read when first asked for.
    rows, columns : slice
        The pixels within the dataset, without the margin.
    geographic : bool
        Whether ``y`` and ``x`` are degrees; else they are metres.
    steps : (float, float)
        Mean step of ``y`` and ``x`` over the whole cube, with their signs.
    middle : float
        The ``y`` in the middle of the whole cube, so that a distance does not depend on the tile.
    place : callable
        Returns longitude and latitude of the pixels without the margin, degrees, each of shape (y, x).
    """

    dataset: xr.Dataset
    rows: slice
    columns: slice
    geographic: bool
    steps: tuple[float, float]
    middle: float
    place: Callable[[], tuple[Floats, Floats]]
    _kept: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def times(self) -> pd.DatetimeIndex:
        """Times of the tile."""
        return pd.DatetimeIndex(self.dataset["time"].to_index())

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns without the margin."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def once(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """Return what ``compute`` returned when first called with this key."""
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]

    def variable(self, name: str) -> xr.DataArray:
        """Return a variable, with the margin, not read.

        Raises
        ------
        FeatureError
            If there is none of that name.
        """
        if name not in self.dataset:
            raise FeatureError(
                f"There is no variable {name!r}; there are {', '.join(sorted(map(str, self.dataset.data_vars)))}."
            )
        return self.dataset[name]

    def series(self, name: str) -> Floats:
        """Return a variable over time, float64 of shape (time, y, x); static ones repeat."""
        return np.asarray(self.once(("series", name), lambda: self._series(name)))

    def _series(self, name: str) -> Floats:
        data = self.variable(name).isel(y=self.rows, x=self.columns)
        values = data.to_numpy().astype(np.float64)
        return values if "time" in data.dims else np.broadcast_to(values, (len(self.times), *values.shape))

    def ground(self, name: str) -> Floats:
        """Return a static variable with the margin, float64 of shape (y, x).

        Raises
        ------
        FeatureError
            If it varies in time.
        """
        data = self.variable(name)
        if set(data.dims) != {"y", "x"}:
            raise FeatureError(f"Variable {name!r} has dimensions {data.dims}; expected y and x only.")
        return np.asarray(self.once(("ground", name), lambda: data.to_numpy().astype(np.float64)))

    def inner(self, values: Floats) -> Floats:
        """Cut the margin off a field of shape (y, x)."""
        return values[self.rows, self.columns]

    def spacing(self) -> tuple[float, Floats]:
        """Return the distance between rows in m, and between columns in m for every row (with the margin)."""
        y = self.dataset["y"].to_numpy().astype(float)
        down, across = abs(self.steps[0]), abs(self.steps[1])
        if not self.geographic:
            return down, np.full(len(y), across)
        return down * METRES_PER_DEGREE, across * METRES_PER_DEGREE * np.cos(np.deg2rad(y))

    def southward(self) -> bool:
        """Return whether rows go from north to south."""
        return self.steps[0] < 0

    def step(self, what: str) -> pd.Timedelta:
        """Return the step of the time axis.

        Raises
        ------
        FeatureError
            If it is not regular.
        """
        found = regular_step(self.times)
        if found is None:
            raise FeatureError(
                f"{what} counts steps, but the {len(self.times)} times are not a regular axis. Aggregate the cube to "
                "regular steps first."
            )
        return found

    def period(self, fit: tuple[str, str], what: str) -> NDArray[np.bool_]:
        """Return which times lie in the half-open period ``[start, end)``.

        Raises
        ------
        FeatureError
            If none does.
        """
        inside = np.asarray((self.times >= pd.Timestamp(fit[0])) & (self.times < pd.Timestamp(fit[1])))
        if not inside.any():
            raise FeatureError(
                f"{what} is to be fitted on {fit[0]} to {fit[1]} (end excluded), but the times run from "
                f"{self.times[0]:%Y-%m-%d} to {self.times[-1]:%Y-%m-%d}. Choose a period within them."
            )
        return inside
