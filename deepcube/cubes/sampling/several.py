"""Patches of one piece of ground from several grids, every variable at its own resolution."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from deepcube.cubes.errors import PlanError
from deepcube.cubes.model import Cube, Grid
from deepcube.cubes.sampling.places import patches_at
from deepcube.cubes.sampling.planning import Plan
from deepcube.cubes.sampling.reading import Sampler

_log = logging.getLogger(__name__)


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
    once. The other grids follow that order and hold their chunks until the last patch that needs them, so that they,
    too, are decoded once, as long as memory lasts.

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
        ``threads``. Memory is shared out evenly among the grids, and the limit holds for all of them together.

    Attributes
    ----------
    sizes : dict of str to tuple of int
        Shape of a patch along time, y and x by grid.
    kept : numpy.ndarray of int
        Numbers of the points whose patches lie in all grids as a whole; the others are left out.

    Raises
    ------
    PlanError
        If grids differ in their units, no patch lies in all of them, or the plan would read more than the limit.
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
            raise PlanError(
                f"Found grids in the units {units}; expected one unit. Bring them to one by deepcube.cubes.views.view."
            )
        self.sizes = {grid.name: _size(grid, extent, pd.Timedelta(period)) for grid in grids}
        starts = {g.name: patches_at(g, times, longitude, latitude, self.sizes[g.name]) for g in grids}
        inside = np.all([(start >= 0).all(axis=1) for start in starts.values()], axis=0)
        self.kept: NDArray[np.int64] = np.flatnonzero(inside)
        if not len(self.kept):
            raise PlanError(f"None of {len(inside)} points has a patch of {extent} that lies in all of {list(starts)}.")
        budget, limit = int(options.pop("budget", 1 << 30)) // len(grids), float(options.pop("limit", 16.0))
        self._samplers = {
            grid.name: Sampler(
                cube,
                self.variables[grid.name],
                self.sizes[grid.name],
                starts[grid.name][self.kept],
                budget=budget,
                limit=np.inf,
                **options,
            )
            for grid in grids
        }
        self._leader = max(self.sizes, key=lambda name: int(np.prod(self.sizes[name])) * len(self.variables[name]))
        self.dtype = self._samplers[self._leader].dtype
        self._check(limit)

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
        plans = self.plans(epoch)
        parts = (s.planned(plans[name], size, drop_last=drop_last) for name, s in self._samplers.items())
        for batches in zip(*parts, strict=True):
            values = {name: batch.values for name, batch in zip(self._samplers, batches, strict=True)}
            yield GridBatch(self.kept[batches[0].index], values)

    def plans(self, epoch: int = 0) -> dict[str, Plan]:
        """Return the reads and patches of an epoch by grid; the order of the patches is that of the leading grid."""
        lead = self._samplers[self._leader].plan(epoch)
        return {n: lead if n == self._leader else s.plan_like(lead) for n, s in self._samplers.items()}

    def _check(self, limit: float) -> None:
        plans = self.plans()
        read = {name: plan.decoded * len(self.variables[name]) for name, plan in plans.items()}
        used = sum(plan.delivered * len(self.variables[name]) for name, plan in plans.items())
        factor = sum(read.values()) / used
        if factor <= limit / 4:
            return
        worst = max(read, key=lambda name: read[name])
        chunks = ",".join(map(str, self.sizes[worst]))
        text = (
            f"{len(self)} patches would read {factor:.1f} values for each one that they use, most of them of the grid "
            f"{worst!r}. Cut the cube anew: deepcube cubes rechunk {self.cube.source} {self.cube.name}-patches.zarr "
            f"--chunks {chunks}"
        )
        if factor > limit:
            raise PlanError(f"{text} (the limit is {limit:g}; ask for a higher one to read it nevertheless)")
        _log.warning(text)


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
