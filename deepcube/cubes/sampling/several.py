"""Patches of one piece of ground from several grids, every variable at its own resolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from deepcube.cubes.errors import PlanError
from deepcube.cubes.model import Cube, Grid
from deepcube.cubes.sampling.places import patches_at
from deepcube.cubes.sampling.reading import Sampler


@dataclass(frozen=True, eq=False)
class GridBatch:
    """Patches around some points.

    Attributes
    ----------
    index : numpy.ndarray of int, shape (n,)
        Numbers of the points in the list that the sampler was given.
    values : dict of str to numpy.ndarray, each of shape (n, variable, time, y, x)
        Physical values by grid, with the rows, columns and steps of that grid; gaps are NaN.
    """

    index: NDArray[np.int64]
    values: dict[str, NDArray[Any]]


class GridsSampler:
    """Reads the same ground and period around points from every grid that the variables lie on; nothing is resampled.

    The grid with the most values in a patch leads: its patches come in the order in which each of its chunks is decoded
    once. The other grids are read batch by batch in that order, each of their chunks once a batch.

    Parameters
    ----------
    cube : Cube
        The cube.
    variables : sequence of str
        Variables of any grids with time, y and x.
    extent : tuple of float
        Height and width of a patch in units of the coordinate reference systems, which must be the same for all grids.
    period : pandas.Timedelta or str
        Length of a patch, which ends at the time of its point, such as ``"30D"``.
    times : array-like of datetime64, shape (n,)
        Times of the points.
    longitude, latitude : array-like of float, shape (n,)
        WGS84 degrees of the points, the centres of the patches to within a pixel.
    **options
        Those of :class:`deepcube.cubes.sampling.Sampler`: ``seed``, ``shuffle``, ``budget``, ``dtype``, ``limit``,
        ``threads``.

    Attributes
    ----------
    sizes : dict of str to tuple of int
        Shape of a patch along time, y and x by grid.
    kept : numpy.ndarray of int
        Numbers of the points whose patches lie in all grids as a whole; the others are left out.

    Raises
    ------
    PlanError
        If grids differ in their units, or no patch lies in all of them.
    """

    def __init__(
        self,
        cube: Cube,
        variables: Sequence[str],
        extent: tuple[float, float],
        period: pd.Timedelta | str,
        times: ArrayLike,
        longitude: ArrayLike,
        latitude: ArrayLike,
        **options: Any,
    ) -> None:
        self.cube = cube
        self.variables: dict[str, list[str]] = {}
        for name in variables:
            self.variables.setdefault(cube.grid_of(name).name, []).append(name)
        grids = [cube.grid(name) for name in self.variables]
        units = {grid.name: _unit(grid) for grid in grids}
        if len(set(units.values())) != 1:
            raise PlanError(f"Found grids in the units {units}; expected one unit. Bring them to one by cube.view().")
        self.sizes = {grid.name: _size(grid, extent, pd.Timedelta(period)) for grid in grids}
        starts = {g.name: patches_at(g, times, longitude, latitude, self.sizes[g.name]) for g in grids}
        inside = np.all([(start >= 0).all(axis=1) for start in starts.values()], axis=0)
        self.kept: NDArray[np.int64] = np.flatnonzero(inside)
        if not len(self.kept):
            raise PlanError(f"None of {len(inside)} points has a patch of {extent} that lies in all of {list(starts)}.")
        self._starts = {name: start[self.kept] for name, start in starts.items()}
        self._options = options
        self._leader = max(self.sizes, key=lambda name: int(np.prod(self.sizes[name])) * len(self.variables[name]))
        self._lead = self._sampler(self._leader, slice(None))

    def __len__(self) -> int:
        return len(self.kept)

    def batches(self, size: int, epoch: int = 0, *, drop_last: bool = False) -> Iterator[GridBatch]:
        """Yield patches in batches; the last one may be smaller.

        Parameters
        ----------
        size : int
            Points in a batch.
        epoch : int
            Number of the epoch, which the order follows from.
        drop_last : bool
            Leave out a last batch that is smaller.
        """
        for batch in self._lead.batches(size, epoch, drop_last=drop_last):
            values = {self._leader: batch.values}
            for name in self.variables:
                if name != self._leader:
                    values[name] = self._read(name, batch.index)
            yield GridBatch(self.kept[batch.index], {name: values[name] for name in self.variables})

    def _sampler(self, grid: str, which: Any, **changes: Any) -> Sampler:
        options = self._options | changes
        return Sampler(self.cube, self.variables[grid], self.sizes[grid], self._starts[grid][which], **options)

    def _read(self, grid: str, which: NDArray[np.int64]) -> NDArray[Any]:
        # A coarse chunk holds far more than the few pixels of one batch; that is the price of keeping resolutions.
        (batch,) = self._sampler(grid, which, shuffle=False, limit=np.inf).batches(len(which))
        ordered = np.empty_like(batch.values)
        ordered[batch.index] = batch.values
        return ordered


def _unit(grid: Grid) -> str:
    if grid.crs is None or grid.resolution is None or "time" not in grid.dataset.dims:
        raise PlanError(f"Grid {grid.name!r} needs a time axis, rows, columns and a CRS to be sampled in map units.")
    return str(grid.crs.axis_info[0].unit_name)


def _size(grid: Grid, extent: tuple[float, float], period: pd.Timedelta) -> tuple[int, int, int]:
    assert grid.resolution is not None
    times = grid.times
    step = pd.Timedelta(np.median(np.diff(times.to_numpy()))) if len(times) > 1 else period
    rows, columns = (max(1, round(wanted / pixel)) for wanted, pixel in zip(extent, grid.resolution, strict=True))
    return max(1, round(period / step)), rows, columns
