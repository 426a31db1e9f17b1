"""Which cell-days a model is trained and scored on: all fires, a stated share of the rest, split by year and by block.

A case of training shares neither its year nor its ground with one of validation or test:

- ``train``: the first years, on blocks dealt to training;
- ``validation``: the year before the last, on other blocks; all choices are made here;
- ``test``: the last year, on blocks that no choice has seen;
- ``test_known``: the last year on the training blocks, which is what a fire service would use the model for.

Fires are rare, so non-fires are thinned out, in training to two for each fire as published (Prapas et al., 2021). The
``weight`` says how many cell-days a case stands for; scores use it, so that they are of all cell-days.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepcube.cubes import NoValidDataError, TimeSplit, time_split
from deepcube.cubes.sampling import Partition
from features.wildfire.layout import LONG, PATCH

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

RATIO = 2
"""Non-fires for each fire in training."""

HELD_OUT = 4000
"""Least number of non-fires in each other part: they cost little there, and few would make noisy scores."""

MOST = 30_000
"""Fires kept of each part at most."""

BLOCK = 21
"""Side of the spatial blocks in pixels, of a cube large enough for three by three of them."""

BUFFER = 1
"""Pixels between the neighbourhoods of two parts, on each side of their border."""

SHARES = (0.5, 0.25, 0.25)
"""Shares of the blocks for training, validation and test."""

_SECOND = pd.Timedelta(seconds=1)
_GROUND = {"train": 0, "validation": 1, "test": 2, "test_known": 0}
_SEEDS = 40


@dataclass(frozen=True, eq=False)
class Cases:
    """Cell-days, each the origin of a forecast for the next day.

    Attributes
    ----------
    day, row, column : numpy.ndarray of int64, shape (n,)
        Day that the forecast is made on, and pixel of the fire grid.
    fire : numpy.ndarray of int64, shape (n,)
        Whether it burns the next day; -1 where that is not known yet.
    weight : numpy.ndarray of float64, shape (n,)
        Cell-days that the case stands for.
    part : numpy.ndarray of str, shape (n,)
        ``train``, ``validation``, ``test``, ``test_known`` or ``map``.
    """

    day: Ints
    row: Ints
    column: Ints
    fire: Ints
    weight: NDArray[np.float64]
    part: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.day)

    def take(self, which: NDArray[np.generic] | slice) -> Cases:
        """Return some of the cases."""
        return Cases(*(getattr(self, name)[which] for name in ("day", "row", "column", "fire", "weight", "part")))


def year_split(times: pd.DatetimeIndex) -> TimeSplit:
    """Split days into calendar years: the last is for test, the one before for validation.

    Parameters
    ----------
    times : pandas.DatetimeIndex
        Days.

    Returns
    -------
    TimeSplit
        Years count from 180 days on. A series of less than three such years is split as
        :func:`deepcube.cubes.time_split` does, by fifths.
    """
    years = pd.Series(1, times).groupby(times.year).sum()
    whole = [int(year) for year in years.index[years >= 180]]
    if len(whole) < 3:
        return time_split(times, embargo=1)
    starts = [pd.Timestamp(year, 1, 1) for year in (whole[-2], whole[-1], whole[-1] + 1)]
    # The day before each boundary belongs to no part: its target is of the next.
    ends = [start - pd.Timedelta(days=1) for start in starts[:2]] + [min(starts[2], times[-1] + _SECOND)]
    return TimeSplit(times[0], ends[0], starts[0], ends[1], starts[1], ends[2])


def deal_ground(land: Mask) -> Ints:
    """Deal spatial blocks to training, validation and test.

    Parameters
    ----------
    land : numpy.ndarray of bool, shape (y, x)
        Where fires can be.

    Returns
    -------
    numpy.ndarray of int64, shape (y, x)
        0 for training, 1 for validation, 2 for test; -1 near borders between them and at the edge of the grid, where
        neighbourhoods would overlap.

    Notes
    -----
    Of the deals of several seeds the one is taken that divides the land most nearly as :data:`SHARES` say; fires have
    no say in it.
    """
    rows, columns = land.shape
    block = max(1, min(BLOCK, rows // 3, columns // 3))
    half = PATCH // 2
    inner = np.stack(np.meshgrid(np.arange(half, rows - half), np.arange(half, columns - half), indexing="ij"), axis=-1)
    corners = inner.reshape(-1, 2) - half
    starts = np.column_stack([np.zeros(len(corners), dtype=np.int64), corners])
    best, least = None, np.inf
    for seed in range(_SEEDS):
        partition = Partition(times=(1, 2), block=block, shares=SHARES, space_buffer=BUFFER, seed=seed)
        ground = np.full(land.shape, -1, dtype=np.int64)
        for part in range(3):  # a patch whose time is of a part is in that part wherever its ground is, too
            starts[:, 0] = part
            found = partition.assign(starts, (1, PATCH, PATCH), (3, rows, columns)) == part
            ground[tuple(inner.reshape(-1, 2)[found].T)] = part
        area = np.array([(land & (ground == part)).sum() for part in range(3)], dtype=float)
        miss = np.abs(area / max(area.sum(), 1) - np.array(SHARES)).max() if area.all() else np.inf
        if miss < least:
            best, least = ground, miss
    if best is None:
        raise NoValidDataError(
            f"A grid of {rows} x {columns} pixels with {int(land.sum())} of land cannot be cut into blocks for "
            "training, validation and test. Use a larger cube."
        )
    return best


def choose_cases(
    burned: Callable[[slice], NDArray[np.generic]],
    times: pd.DatetimeIndex,
    land: Mask,
    split: TimeSplit,
    *,
    danger: NDArray[np.float64] | None = None,
    seed: int = 0,
) -> Cases:
    """Choose the cases of all parts, and whole days to map.

    Parameters
    ----------
    burned : callable
        Returns the burned areas of some days, shape (days, y, x), 1 where a cell burns.
    times : pandas.DatetimeIndex
        Days of the cube.
    land : numpy.ndarray of bool, shape (y, x)
        Where fires can be.
    split : TimeSplit
        Periods of the days that forecasts are made on.
    danger : numpy.ndarray of float64, shape (days,), optional
        An index of danger for each day, such as the mean Fire Weather Index: the test day with most of it is mapped.
    seed : int
        Seed of the thinning.

    Returns
    -------
    Cases
        Ordered by part.

    Raises
    ------
    deepcube.cubes.NoValidDataError
        If a part has no fire.
    """
    ground = deal_ground(land)
    fires = _find_fires(burned, len(times), land)
    random = np.random.default_rng(seed)
    chosen = []
    for part, where in _GROUND.items():
        days = np.flatnonzero(split.select(times, part.removesuffix("_known")))
        days = days[(days >= LONG - 1) & (days < len(times) - 1)]
        chosen.append(_part(part, fires, days, land & (ground == where), random))
    maps = _maps(fires, _days_to_map(fires, times, split, danger), len(times), land & _inside(land.shape))
    taken = np.concatenate([_number(one, land.shape) for one in chosen])
    chosen.append(maps.take(~np.isin(_number(maps, land.shape), taken)))  # a case is in one part only
    names = ("day", "row", "column", "fire", "weight", "part")
    return Cases(*(np.concatenate([getattr(one, name) for one in chosen]) for name in names))


def _number(cases: Cases, shape: tuple[int, ...]) -> Ints:
    """Return one number for each cell-day."""
    return np.asarray((cases.day * shape[0] + cases.row) * shape[1] + cases.column)


def _find_fires(burned: Callable[[slice], NDArray[np.generic]], days: int, land: Mask) -> Ints:
    """Return day before, row and column of every burnt cell-day, shape (n, 3)."""
    found = []
    step = max(1, 20_000_000 // land.size)
    for first in range(0, days, step):
        block = np.asarray(burned(slice(first, first + step))) == 1
        place = np.argwhere(block & land)
        place[:, 0] += first - 1
        found.append(place)
    fires = np.concatenate(found)
    return np.asarray(fires[fires[:, 0] >= 0], dtype=np.int64)


def _part(part: str, fires: Ints, days: Ints, where: Mask, random: np.random.Generator) -> Cases:
    mine = fires[np.isin(fires[:, 0], days) & where[fires[:, 1], fires[:, 2]]]
    if not len(mine):
        raise NoValidDataError(
            f"Found no fire in the part {part!r} of {len(days)} days and {int(where.sum())} cells; expected some. "
            "Use a longer or larger cube."
        )
    kept = mine[np.sort(random.permutation(len(mine))[:MOST])]
    wanted = RATIO * len(kept) if part == "train" else max(RATIO * len(kept), HELD_OUT)
    calm = _draw_calm(mine, days, np.argwhere(where), wanted, random)
    cases = np.concatenate([kept, calm])
    available = len(days) * int(where.sum()) - len(mine)
    return Cases(
        cases[:, 0],
        cases[:, 1],
        cases[:, 2],
        fire=np.repeat([1, 0], [len(kept), len(calm)]),
        weight=np.repeat([len(mine) / len(kept), available / len(calm)], [len(kept), len(calm)]),
        part=np.full(len(cases), part),
    )


def _draw_calm(fires: Ints, days: Ints, cells: Ints, wanted: int, random: np.random.Generator) -> Ints:
    """Draw cell-days without fire, each at most once."""
    burnt = {tuple(one) for one in fires.tolist()}
    total = len(days) * len(cells)
    numbers = random.choice(total, min(total, wanted + len(burnt)), replace=False)
    drawn = np.column_stack([days[numbers // len(cells)], cells[numbers % len(cells)]])
    calm = np.array([tuple(one) not in burnt for one in drawn.tolist()])
    return np.asarray(drawn[calm][:wanted], dtype=np.int64)


def _days_to_map(
    fires: Ints, times: pd.DatetimeIndex, split: TimeSplit, danger: NDArray[np.float64] | None
) -> list[int]:
    """Return the test day with most fire and the one of greatest danger, to look at, and the newest, to act on."""
    tested = np.flatnonzero(split.select(times, "test"))
    tested = tested[(tested >= LONG - 1) & (tested < len(times) - 1)]
    days = [int(tested[np.argmax(np.bincount(fires[:, 0], minlength=len(times))[tested])])]
    if danger is not None and np.isfinite(danger[tested]).any():
        days.append(int(tested[np.nanargmax(danger[tested])]))  # known beforehand, unlike the first
    return sorted({*days, len(times) - 1})


def _maps(fires: Ints, days: list[int], length: int, land: Mask) -> Cases:
    """Return all cells on some days; whether they burn is not known of the last day of the cube."""
    cells = np.argwhere(land)
    parts = []
    for day in days:
        today = fires[fires[:, 0] == day]
        burnt = np.zeros(land.shape, dtype=np.int64)
        burnt[today[:, 1], today[:, 2]] = 1
        known = day < length - 1
        parts.append(
            np.column_stack([np.full(len(cells), day), cells, burnt[tuple(cells.T)] if known else -1 - 0 * cells[:, 0]])
        )
    rows = np.concatenate(parts).astype(np.int64)
    day, row, column, fire = rows.T
    return Cases(day, row, column, fire, np.ones(len(rows)), np.full(len(rows), "map"))


def _inside(shape: tuple[int, ...]) -> Mask:
    """Return the pixels whose neighbourhood lies in the grid."""
    half = PATCH // 2
    inside = np.zeros(shape, dtype=bool)
    inside[half : shape[0] - half, half : shape[1] - half] = True
    return inside
