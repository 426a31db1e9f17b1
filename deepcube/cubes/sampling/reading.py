"""Patches out of the tiles of a plan: parallel reads, each tile once, the next round read while one is delivered."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from deepcube.cubes.arrays import context
from deepcube.cubes.errors import PlanError
from deepcube.cubes.model import Cube, Grid
from deepcube.cubes.sampling.buffers import Buffers
from deepcube.cubes.sampling.planning import Plan, plan_along, plan_reads, tile_shape, tiling
from deepcube.cubes.sampling.sources import DIMS, Job, Source

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Batch:
    """Some patches.

    Attributes
    ----------
    index : numpy.ndarray of int, shape (n,)
        Numbers of the patches in the list that the sampler was given.
    values : numpy.ndarray, shape (n, variable, time, y, x)
        Physical values; gaps are NaN.
    """

    index: NDArray[np.int64]
    values: NDArray[Any]


class Sampler:
    """Reads patches of several variables of one grid, in an order in which each chunk is decoded once.

    Parameters
    ----------
    cube : Cube
        The cube.
    variables : sequence of str
        Variables of one grid. Those without time, or without space, are repeated along what they lack.
    size : tuple of int
        Shape of a patch along time, y and x.
    starts : array-like of int, shape (n, 3)
        First index of every patch along time, y and x; see :mod:`deepcube.cubes.sampling.places`.
    seed : int
        Seed of the shuffle; the order of an epoch follows from it and the number of the epoch.
    shuffle : bool
        Whether to shuffle (a block shuffle, see :mod:`deepcube.cubes.sampling.planning`); else patches come in the
        order in which they are read fastest.
    budget : int
        Bytes of values held at a time.
    dtype : numpy dtype
        Floating type of the patches.
    limit : float
        Refuse to read more than so many values for each one delivered; above a quarter of it there is a warning.
        Infinity for patches that have to be read whatever that takes.
    threads : int, optional
        Threads that read and decode.

    Raises
    ------
    PlanError
        If patches do not fit the cube, variables lie on different grids, or the plan would read more than the limit.
    UnknownVariableError
        If the cube lacks a variable.
    """

    def __init__(
        self,
        cube: Cube,
        variables: Sequence[str],
        size: tuple[int, int, int],
        starts: ArrayLike,
        *,
        seed: int = 0,
        shuffle: bool = True,
        budget: int = 1 << 30,
        dtype: Any = np.float32,
        limit: float = 16.0,
        threads: int | None = None,
    ) -> None:
        self.cube, self.variables, self.size = cube, tuple(variables), size
        self.dtype = np.dtype(dtype)
        self.grid = _common_grid(cube, self.variables)
        self.shape: tuple[int, int, int] = tuple(self.grid.dataset.sizes[dim] for dim in DIMS)  # type: ignore[assignment]
        self.starts = _checked(starts, size, self.shape)
        self.seed, self.shuffle = seed, shuffle
        if self.dtype.kind != "f":
            raise PlanError(f"Found the type {self.dtype} for patches; expected a floating one, as gaps are NaN.")
        names = [cube.variables[name].name for name in self.variables]
        self._full = [i for i, name in enumerate(names) if self.grid.dataset[name].dims == DIMS]
        if not self._full:
            raise PlanError(
                f"Found only {names}, none with time, y and x; expected at least one. Read them as a whole."
            )
        self._threads = threads or len(os.sched_getaffinity(0))
        using = context(self._threads)
        self._sources = [Source(self.grid, names[i], self.dtype, using) for i in self._full]
        self._fixed = {
            i: _broadcast(self.grid.dataset[name], self.dtype, self.shape)
            for i, name in enumerate(names)
            if i not in self._full
        }
        chunks = [source.chunks for source in self._sources]
        tile = tile_shape(chunks, size, self.shape)
        unit = tuple(int(np.lcm.reduce([chunk[axis] for chunk in chunks])) for axis in range(3))
        unit_of = tuple(min(u, t) for u, t in zip(unit, tile, strict=True))
        self._budget = budget // (self.dtype.itemsize * len(self._full))
        self._tiling = tiling(self.starts, size, tile, unit_of, self.shape, self._budget // 4)
        self._buffers = Buffers(self.dtype, budget)
        self._check(limit)

    def __len__(self) -> int:
        return len(self.starts)

    def plan(self, epoch: int = 0) -> Plan:
        """Return the reads and patches of an epoch, in order."""
        return plan_reads(self._tiling, self.size, self._budget, (self.seed, epoch) if self.shuffle else None)

    def plan_like(self, other: Plan) -> Plan:
        """Return the reads for patches in the order of another plan: that of the same places on another grid."""
        return plan_along(self._tiling, self.size, self._budget, [step.patches for step in other.rounds])

    def _check(self, limit: float) -> None:
        if np.isinf(limit):
            return
        plan = self.plan()
        factor = plan.amplification
        if factor <= limit / 4:
            return
        chunks = ",".join(map(str, self.size))
        cure = f"deepcube cubes rechunk {self.cube.source} {self.cube.name}-patches.zarr --chunks {chunks}"
        text = (
            f"{len(self)} patches of {self.size} would read {factor:.1f} values for each one that they use, as chunks "
            f"are {self._sources[0].chunks}. Cut the cube anew: {cure}"
        )
        if factor > limit:
            raise PlanError(f"{text} (the limit is {limit:g}; ask for a higher one to read it nevertheless)")
        _log.warning(text)

    def patches(self, epoch: int = 0) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield every patch once, with its number.

        Yields
        ------
        number : int
            Position in ``starts``.
        patch : numpy.ndarray, shape (variable, time, y, x)
            Contiguous; yours to keep or change.
        """
        run = _Run(self, self.plan(epoch))
        for numbers in run.rounds():
            for number in numbers:
                yield number, run.patch(number)

    def batches(self, size: int, epoch: int = 0, *, drop_last: bool = False) -> Iterator[Batch]:
        """Yield patches in batches; the last one may be smaller.

        Parameters
        ----------
        size : int
            Patches in a batch.
        epoch : int
            Number of the epoch.
        drop_last : bool
            Leave out a last batch that is smaller.
        """
        yield from self.planned(self.plan(epoch), size, drop_last=drop_last)

    def planned(self, plan: Plan, size: int, *, drop_last: bool = False) -> Iterator[Batch]:
        """Yield the patches of a plan of this sampler in batches.

        Parameters
        ----------
        plan : Plan
            One of :meth:`plan` or :meth:`plan_like`.
        size : int
            Patches in a batch.
        drop_last : bool
            Leave out a last batch that is smaller.
        """
        if size < 1:
            raise PlanError(f"Found a batch size of {size}; expected at least 1.")
        run = _Run(self, plan)
        values = index = None
        filled = 0
        for numbers in run.rounds():
            for number in numbers:
                if values is None or index is None:
                    values = self._buffers.take((size, len(self.variables), *self.size))
                    index = np.empty(size, np.int64)
                run.copy(number, values[filled])
                index[filled] = number
                filled += 1
                if filled == size:
                    yield Batch(index, values)
                    values, index, filled = None, None, 0
        if values is not None and index is not None and not drop_last:
            yield Batch(index[:filled], values[:filled])


class _Run:
    """One epoch: the tiles in memory, and the patches cut out of them."""

    def __init__(self, sampler: Sampler, plan: Plan) -> None:
        self._sampler, self._plan = sampler, plan
        found = plan.tiling
        self._first = np.searchsorted(found.pair_patch, np.arange(len(sampler) + 1)).tolist()
        self._tiles = found.pair_tile.tolist()
        self._starts = sampler.starts.tolist()
        self._origin, self._stop = found.origin.tolist(), found.stop.tolist()
        self._uses = np.bincount(found.pair_tile, minlength=len(found.origin)).tolist()
        self._held: dict[int, NDArray[Any]] = {}
        full = len(sampler._full) == len(sampler.variables)
        self._rows: Any = slice(None) if full else sampler._full

    def rounds(self) -> Iterator[list[int]]:
        """Yield the patches of every round once their tiles are in memory; the next round is being read meanwhile."""
        jobs: deque[Job] = deque()
        with ThreadPoolExecutor(self._sampler._threads, thread_name_prefix="patches") as pool:
            try:
                waiting = self._load(0, jobs, pool)
                for number, current in enumerate(self._plan.rounds):
                    for future in waiting:
                        future.result()
                    waiting = self._load(number + 1, jobs, pool)
                    yield current.patches.tolist()
                    for tile in current.drop.tolist():
                        self._held.pop(tile, None)
            finally:
                jobs.clear()

    def _load(self, number: int, jobs: deque[Job], pool: ThreadPoolExecutor) -> list[Future[None]]:
        if number >= len(self._plan.rounds):
            return []
        found, sources = self._plan.tiling, self._sampler._sources
        for tile in self._plan.rounds[number].load.tolist():
            low = self._origin[tile]
            shape = (len(sources), *(b - a for a, b in zip(low, self._stop[tile], strict=True)))
            values = self._sampler._buffers.take(shape)
            self._held[tile] = values
            part = slice(found.first_read[tile], found.first_read[tile + 1])
            for first, last in zip(found.read_origin[part].tolist(), found.read_stop[part].tolist(), strict=True):
                box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
                place = tuple(slice(a - o, b - o) for a, b, o in zip(first, last, low, strict=True))
                for source, out in zip(sources, values, strict=True):
                    jobs.extend(source.jobs(box, out[place]))
        return [pool.submit(_work, jobs) for _ in range(self._sampler._threads)]

    def patch(self, number: int) -> NDArray[Any]:
        """Return one patch; a tile that is just this patch is handed over instead of copied."""
        if self._first[number + 1] - self._first[number] == 1 and self._rows == slice(None):
            tile = self._tiles[self._first[number]]
            values = self._held[tile]
            if self._uses[tile] == 1 and values.shape[1:] == self._sampler.size:
                return values
        out = self._sampler._buffers.take((len(self._sampler.variables), *self._sampler.size))
        self.copy(number, out)
        return out

    def copy(self, number: int, out: NDArray[Any]) -> None:
        """Write one patch into an array of shape (variable, time, y, x)."""
        start = self._starts[number]
        size = self._sampler.size
        for pair in range(self._first[number], self._first[number + 1]):
            tile = self._tiles[pair]
            low, high, values = self._origin[tile], self._stop[tile], self._held[tile]
            source: list[Any] = [slice(None)]
            target: list[Any] = [self._rows]
            for a, n, lower, upper in zip(start, size, low, high, strict=True):
                begin, end = max(a, lower), min(a + n, upper)
                source.append(slice(begin - lower, end - lower))
                target.append(slice(begin - a, end - a))
            out[tuple(target)] = values[tuple(source)]
        box = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        for row, fixed in self._sampler._fixed.items():
            out[row] = fixed[box]


def _work(jobs: deque[Job]) -> None:
    """Do jobs until none is left."""
    while True:
        try:
            job = jobs.popleft()
        except IndexError:
            return
        job()


def _common_grid(cube: Cube, variables: Sequence[str]) -> Grid:
    if not variables:
        raise PlanError(f"Found no variables to sample; expected some of {', '.join(sorted(cube.variables))}.")
    grids = {cube.grid_of(name).name: cube.grid_of(name) for name in variables}
    if len(grids) > 1:
        raise PlanError(
            f"Found variables of the grids {', '.join(grids)}; expected one grid. Bring them to one first, by "
            "view(cube, grid=...), or sample each grid by itself."
        )
    (grid,) = grids.values()
    others = {str(dim) for name in variables for dim in grid.dataset[cube.variables[name].name].dims} - set(DIMS)
    if others or not set(DIMS) <= set(map(str, grid.dataset.dims)):
        raise PlanError(f"Grid {grid.name!r} has the dimensions {dict(grid.dataset.sizes)}; expected time, y and x.")
    return grid


def _checked(starts: ArrayLike, size: Sequence[int], shape: Sequence[int]) -> NDArray[np.int64]:
    given = np.asarray(starts)
    if given.ndim != 2 or given.shape[1] != 3 or given.shape[0] == 0 or given.dtype.kind not in "iu":
        raise PlanError(
            f"Found starts of shape {given.shape} and type {given.dtype}; expected whole numbers (n, 3), n > 0."
        )
    result: NDArray[np.int64] = given.astype(np.int64)
    if min(size) < 1 or len(size) != 3:
        raise PlanError(f"Found a patch of {size}; expected three sizes from 1.")
    outside = np.flatnonzero(((result < 0) | (result + np.asarray(size) > np.asarray(shape))).any(axis=1))
    if len(outside):
        raise PlanError(
            f"{len(outside)} of {len(result)} patches of {tuple(size)} do not lie in the cube of {tuple(shape)}, the "
            f"first at {result[outside[0]].tolist()}. Drop them."
        )
    return result


def _broadcast(data: xr.DataArray, dtype: np.dtype[Any], sizes: Sequence[int]) -> NDArray[Any]:
    """Return a variable without time or without space as a view with all three dimensions."""
    shape = [slice(None) if dim in data.dims else np.newaxis for dim in DIMS]
    values = np.asarray(data.transpose(*(dim for dim in DIMS if dim in data.dims)).to_numpy(), dtype)[tuple(shape)]
    return np.broadcast_to(values, tuple(sizes))
