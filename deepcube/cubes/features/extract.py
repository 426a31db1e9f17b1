"""From a grid and declared features to Arrow rows, tile by tile."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyproj
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from deepcube.cubes.cells import cell_at, grid_level
from deepcube.cubes.features.errors import FeatureError
from deepcube.cubes.features.journal import Journal
from deepcube.cubes.features.specs import Feature, Operand, feature_of
from deepcube.cubes.features.tile import Floats, Tile
from deepcube.cubes.model import Grid

MEMORY = 256 * 2**20
"""Bytes that the arrays of a tile may take, unless told otherwise."""

KEYS = ("cell_id", "time")
"""Columns that identify a row."""

_COPIES = 3  # of every variable and feature, while a window or an anomaly is computed


@dataclass(frozen=True)
class Extraction:
    """What is to be extracted from a grid, and how it is cut into tiles.

    Attributes
    ----------
    grid : Grid
        The cube's variables on one grid, with dimensions ``(time, y, x)``.
    features : mapping of str to Feature
        Features by column name.
    level : int
        Level of the cell identifiers.
    rows, columns : int
        Rows and columns of a tile.
    period : (str, str) or None
        Times to return, the end excluded; features still look at what is before.
    required : tuple of str
        Features that must be known for a row to be returned.
    """

    grid: Grid
    features: Mapping[str, Feature]
    level: int
    rows: int
    columns: int
    period: tuple[str, str] | None
    required: tuple[str, ...]

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        height, width = self.grid.shape
        return math.ceil(height / self.rows) * math.ceil(width / self.columns)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the rows: the keys and a float64 per feature."""
        keys = [pa.field("cell_id", pa.int64(), False), pa.field("time", pa.timestamp("us"), False)]
        return pa.schema([*keys, *(pa.field(name, pa.float64()) for name in self.features)])

    def plan(self) -> dict[str, Any]:
        """Return what identifies the extraction, for a journal."""
        times = self.grid.times
        axes = {axis: self.grid.dataset[axis].to_numpy().astype(float) for axis in ("y", "x")}
        return {
            "features": {name: repr(feature) for name, feature in self.features.items()},
            "times": [len(times), str(times[0]), str(times[-1])],
            **{axis: [len(values), values[0], values[-1]] for axis, values in axes.items()},
            "level": self.level,
            "tile": [self.rows, self.columns],
            "period": list(self.period) if self.period else None,
            "required": list(self.required),
            "source": str(self.grid.dataset.encoding.get("source", "")),
        }

    def tile(self, number: int) -> pa.Table:
        """Return the rows of a tile: times slowest, then rows, then columns.

        Parameters
        ----------
        number : int
            Number of the tile, 0 to below :attr:`tiles`.

        Returns
        -------
        pyarrow.Table
            ``cell_id`` (int64), ``time`` (timestamp in microseconds, UTC without zone) and a float64 column per
            feature, null where unknown.
        """
        tile = self._cut(number)
        times = tile.times
        kept = np.ones(len(times), dtype=bool)
        if self.period:
            kept = np.asarray((times >= pd.Timestamp(self.period[0])) & (times < pd.Timestamp(self.period[1])))
        columns = {name: feature.over_time(tile)[kept].reshape(-1) for name, feature in self.features.items()}
        rows = np.ones(int(kept.sum()) * tile.shape[0] * tile.shape[1], dtype=bool)
        for name in self.required:
            rows &= np.isfinite(columns[name])
        longitude, latitude = tile.place()
        cells = cell_at(longitude, latitude, self.level).reshape(-1)
        stamps = times[kept].to_numpy("datetime64[us]")
        arrays = [
            pa.array(np.tile(cells, len(stamps))[rows]),
            pa.array(np.repeat(stamps, len(cells))[rows]),
            *(pa.array(values[rows], from_pandas=True) for values in columns.values()),
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _cut(self, number: int) -> Tile:
        across = math.ceil(self.grid.shape[1] / self.columns)
        first = (number // across * self.rows, number % across * self.columns)
        last = (min(first[0] + self.rows, self.grid.shape[0]), min(first[1] + self.columns, self.grid.shape[1]))
        halo = max(feature.halo for feature in self.features.values())
        low = [max(0, a - halo) for a in first]
        high = [min(b + halo, size) for b, size in zip(last, self.grid.shape, strict=True)]
        names = sorted(set().union(*(feature.inputs for feature in self.features.values())))
        held = self.grid.dataset[names].assign_coords({axis: self.grid.dataset[axis] for axis in ("time", "y", "x")})
        inner = replace(self.grid, dataset=held.isel(y=slice(first[0], last[0]), x=slice(first[1], last[1])))
        y, x = (self.grid.dataset[axis].to_numpy().astype(float) for axis in ("y", "x"))
        return Tile(
            dataset=held.isel(y=slice(low[0], high[0]), x=slice(low[1], high[1])),
            rows=slice(first[0] - low[0], last[0] - low[0]),
            columns=slice(first[1] - low[1], last[1] - low[1]),
            geographic=_geographic(self.grid),
            steps=(float(np.diff(y).mean()) if len(y) > 1 else -1.0, float(np.diff(x).mean()) if len(x) > 1 else 1.0),
            middle=float((y[0] + y[-1]) / 2),
            place=inner.longitude_latitude,
        )


def declare(
    grid: Grid,
    features: Mapping[str, Operand],
    *,
    period: tuple[str, str] | None = None,
    required: Sequence[str] = (),
    level: int | None = None,
    tile: tuple[int, int] | None = None,
    memory: int = MEMORY,
) -> Extraction:
    """Declare an extraction and check it before anything is read.

    Parameters
    ----------
    grid : Grid
        Variables on one grid; bring others to it first.
    features : mapping of str to Feature or str
        Features by column name; a text means the variable of that name.
    period : (str, str), optional
        Times to return, the end excluded.
    required : sequence of str
        Features that must be known for a row to be returned.
    level : int, optional
        Level of the cell identifiers; without it the coarsest one that tells all pixels apart.
    tile : (int, int), optional
        Rows and columns of a tile; without it whole chunks of the store, as many as fit into the memory.
    memory : int
        Bytes that the arrays of a tile may take.

    Returns
    -------
    Extraction
        The plan.

    Raises
    ------
    FeatureError
        If there is no feature, a variable does not exist, a required feature is not declared, or the grid is static.
    """
    wanted = {name: feature_of(operand) for name, operand in features.items()}
    if not wanted or set(wanted) & set(KEYS):
        named = ", ".join(wanted) or "none"
        raise FeatureError(f"Found the features {named}; expected at least one, and none named {' or '.join(KEYS)}.")
    missing = sorted(set().union(*(f.inputs for f in wanted.values())) - set(map(str, grid.dataset.data_vars)))
    if missing:
        raise FeatureError(
            f"Grid {grid.name!r} has no variable {', '.join(missing)}; it has "
            f"{', '.join(sorted(map(str, grid.dataset.data_vars)))}."
        )
    absent = sorted(set(required) - set(wanted))
    if absent:
        raise FeatureError(f"Required are {', '.join(absent)}, which are not among the features {', '.join(wanted)}.")
    steps = len(grid.times)
    if level is None:
        level = grid_level(*_strips(grid))
    rows, columns = tile or _tile_size(grid, wanted, steps, memory)
    return Extraction(grid, wanted, level, rows, columns, period, tuple(required))


def extract(
    extraction: Extraction,
    *,
    skip: frozenset[int] = frozenset(),
    workers: int = 2,
    progress: bool = False,
) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of one tile after the other, in order; at most ``workers + 1`` tiles are in memory.

    Parameters
    ----------
    extraction : Extraction
        What to extract.
    skip : frozenset of int
        Tiles to leave out.
    workers : int
        Threads; the rows do not depend on it.
    progress : bool
        Whether to show a bar.

    Yields
    ------
    number : int
        Number of the tile.
    rows : pyarrow.Table
        See :meth:`Extraction.tile`.
    """
    numbers = [number for number in range(extraction.tiles) if number not in skip]
    columns = (TextColumn("features"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, disable=not progress) as bar,
        ThreadPoolExecutor(workers, thread_name_prefix="features") as pool,
    ):
        task = bar.add_task("", total=extraction.tiles, completed=extraction.tiles - len(numbers))
        waiting = deque((number, pool.submit(extraction.tile, number)) for number in numbers[:workers])
        try:
            for following in [*numbers[workers:], *[None] * len(waiting)]:
                number, future = waiting.popleft()
                table = future.result()
                if following is not None:
                    waiting.append((following, pool.submit(extraction.tile, following)))
                yield number, table
                bar.advance(task)
        finally:
            for _, future in waiting:
                future.cancel()


def feed(
    extraction: Extraction,
    write: Callable[[pa.Table], None],
    *,
    journal: str | PathLike[str] | None = None,
    workers: int = 2,
    progress: bool = False,
) -> int:
    """Write the rows of every tile, and go on where an earlier run stopped.

    A tile is noted in the journal once ``write`` has returned. A crash between the two writes the tile again, so
    ``write`` should replace rows of the same keys, as a feature group with a primary key and an event time does.

    Parameters
    ----------
    extraction : Extraction
        What to extract.
    write : callable
        Takes the rows of a tile, for example ``lambda rows: group.insert(rows.to_pandas())``.
    journal : path, optional
        Folder that remembers the finished tiles.
    workers, progress
        As in :func:`extract`.

    Returns
    -------
    int
        Rows written by this call.

    Raises
    ------
    FeatureError
        If the journal belongs to another extraction.
    """
    book = Journal(journal, extraction.plan()) if journal is not None else None
    written = 0
    for number, table in extract(
        extraction, skip=book.done() if book else frozenset(), workers=workers, progress=progress
    ):
        if table.num_rows:
            write(table)
        if book:
            book.finish(number)
        written += table.num_rows
    return written


def _geographic(grid: Grid) -> bool:
    return grid.crs is not None and pyproj.CRS.from_user_input(grid.crs).is_geographic


def _strips(grid: Grid) -> tuple[Floats, Floats]:
    """Return longitude and latitude of rows at the top, in the middle and at the bottom: extremes are there."""
    height = grid.shape[0]
    wanted = [0, 1, height // 2, height // 2 + 1, height - 2, height - 1]
    rows: NDArray[np.int64] = np.unique(np.clip(wanted, 0, height - 1))
    return replace(grid, dataset=grid.dataset.isel(y=rows)).longitude_latitude()


def _tile_size(grid: Grid, features: Mapping[str, Feature], steps: int, memory: int) -> tuple[int, int]:
    """Return whole chunks, as many as fit, or a part of one where even one does not fit."""
    names = set().union(*(feature.inputs for feature in features.values()))
    pixels = max(1, memory // (8 * _COPIES * steps * (len(names) + len(features))))
    height, width = grid.shape
    chunk = [height, width]
    for name in names:
        sizes = dict(grid.dataset[name].encoding.get("preferred_chunks", {}))
        for place, axis in enumerate(("y", "x")):
            if axis in sizes and "time" in grid.dataset[name].dims:
                chunk[place] = min(chunk[place], int(sizes[axis]))
    if chunk[0] * chunk[1] > pixels:
        columns = _even(chunk[1], pixels)
        return _even(chunk[0], max(1, pixels // columns)), columns
    across = min(math.ceil(width / chunk[1]), pixels // (chunk[0] * chunk[1]))
    down = max(1, min(math.ceil(height / chunk[0]), pixels // (chunk[0] * chunk[1] * across)))
    return min(height, down * chunk[0]), min(width, across * chunk[1])


def _even(size: int, largest: int) -> int:
    """Return the length of equal parts of at most a length, so that a chunk is not cut into a large and a small one."""
    return math.ceil(size / math.ceil(size / largest))
