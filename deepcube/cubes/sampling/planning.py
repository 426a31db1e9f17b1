"""From patches to reads: which tiles a set of patches needs, in which order, so that each is decoded once.

A *tile* is a block of whole chunks about as large as a patch. Where patches cross tiles, neighbouring tiles are held in
one piece of memory, so that a patch is cut out of few pieces. Patches that share tiles are visited together. The order
is a **block shuffle**: groups of patches that share no tile with others come in random order, several groups are held
at a time, and the patches of those held are shuffled among each other. Where all patches hang together (random places
in one cube), the cube is swept along one axis, in a random direction, and the patches that begin in the same slab of
tiles are shuffled among each other. The order follows from the seed and the epoch alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

SMALL = 1 << 20
"""Values per variable below which a group of patches is not split further: enough to keep all threads at work."""

_DENSE = 1.25
"""Values that memory holds for each one that is read, at most, where tiles are held together."""


@dataclass(frozen=True)
class Round:
    """Patches that are delivered together, and the tiles that are read before and dropped after.

    Attributes
    ----------
    patches : numpy.ndarray of int
        Numbers of the patches, in the order of delivery.
    load, drop : numpy.ndarray of int
        Numbers of the tiles to read for this round, and of those that no later round finds in memory.
    """

    patches: Ints
    load: Ints
    drop: Ints


@dataclass(frozen=True, eq=False)
class Tiling:
    """Which tiles the patches touch.

    Attributes
    ----------
    origin, stop : numpy.ndarray of int, shape (tiles, 3)
        Part of each tile that memory holds: the smallest block of whole chunks with all that patches need of it.
    read_origin, read_stop : numpy.ndarray of int, shape (reads, 3)
        What is read, by tile: the whole tile, or the parts of a large one that patches touch.
    first_read : numpy.ndarray of int, shape (tiles + 1,)
        Number of the first read of each tile, and of all reads.
    pair_patch, pair_tile : numpy.ndarray of int, shape (pairs,)
        Every patch with every tile that it touches, by patch.
    lowest : numpy.ndarray of int, shape (patches, 3)
        Index of the tile in which each patch begins.
    """

    origin: Ints
    stop: Ints
    read_origin: Ints
    read_stop: Ints
    first_read: Ints
    pair_patch: Ints
    pair_tile: Ints
    lowest: Ints

    @property
    def values(self) -> Ints:
        """Number of values that memory holds of each tile."""
        return np.asarray(np.prod(self.stop - self.origin, axis=1))

    @property
    def read(self) -> Ints:
        """Number of values that are read for each tile."""
        size = np.prod(self.read_stop - self.read_origin, axis=1)
        return np.asarray(np.add.reduceat(size, self.first_read[:-1]))


@dataclass(frozen=True, eq=False)
class Plan:
    """Reads and patches of one epoch, in order.

    Attributes
    ----------
    tiling : Tiling
        Patches and tiles.
    rounds : tuple of Round
        What to read, deliver and drop, in order.
    decoded : int
        Values read from the store per variable, repeated reads included.
    delivered : int
        Values that the patches hold per variable.
    repeated : int
        Tiles that are read more than once, as memory does not hold them until their last use.
    peak : int
        Most values per variable in memory at a time: tiles of a round and those read ahead for the next.
    """

    tiling: Tiling
    rounds: tuple[Round, ...]
    decoded: int
    delivered: int
    repeated: int
    peak: int

    @property
    def amplification(self) -> float:
        """Values read for each value delivered."""
        return self.decoded / max(self.delivered, 1)


def tile_shape(chunks: Sequence[Sequence[int]], size: Sequence[int], shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the shape of tiles: whole chunks of every variable, about as large as a patch.

    Parameters
    ----------
    chunks : sequence of sequence of int
        Chunk shape of every variable.
    size, shape : sequence of int
        Shape of patches and of the cube.
    """
    tile = []
    for axis, (wanted, full) in enumerate(zip(size, shape, strict=True)):
        unit = min(math.lcm(*(int(chunk[axis]) for chunk in chunks)), full)
        tile.append(min(unit * max(1, round(wanted / unit)), math.ceil(full / unit) * unit))
    return tile[0], tile[1], tile[2]


def tiling(
    starts: Ints,
    size: Sequence[int],
    tile: Sequence[int],
    unit: Sequence[int],
    shape: Sequence[int],
    largest: int = 0,
) -> Tiling:
    """Return which tiles patches touch, and how much of each tile they need.

    Parameters
    ----------
    starts : numpy.ndarray of int, shape (patches, 3)
        First index of each patch along time, y and x.
    size, tile, unit, shape : sequence of int
        Shape of patches, of tiles, of the chunks that are read whole, and of the cube.
    largest : int
        Values that neighbouring tiles may have together to be held as one.
    """
    extent = np.asarray(size)
    found = _touched(starts, extent, tile, shape)
    origin, stop = _needed(found, starts, extent, unit, shape)
    corner, steps = found.corner, list(map(int, tile))
    held = _one_to_one(found, origin, stop)
    if len(found.patch) == len(starts):
        return held
    total = int(held.read.sum())
    largest = min(largest, max(total // 8, SMALL))
    for axis in (2, 1):  # as values lie in memory: long rows are copied fastest
        while steps[axis] < shape[axis]:
            steps[axis] *= 2
            wider = _joined(_touched(starts, extent, steps, shape), corner, origin, stop)
            if wider.values.max() > largest or wider.values.sum() > _DENSE * total:
                return held
            held = wider
    return held


@dataclass(frozen=True, eq=False)
class _Touched:
    """Patches with every tile of a regular cut that they touch."""

    steps: Ints
    patch: Ints
    tile: Ints
    corner: Ints
    lowest: Ints


def _touched(starts: Ints, extent: Ints, tile: Sequence[int], shape: Sequence[int]) -> _Touched:
    steps = np.asarray(tile)
    lowest, highest = starts // steps, (starts + extent - 1) // steps
    counts = np.ceil(np.asarray(shape) / steps).astype(np.int64)
    spans = (highest - lowest).max(axis=0) + 1
    patches, tiles = [], []
    for offset in itertools.product(*(range(int(span)) for span in spans)):
        index = lowest + np.asarray(offset)
        touched = np.flatnonzero((index <= highest).all(axis=1))
        patches.append(touched)
        tiles.append(np.ravel_multi_index(tuple(index[touched].T), tuple(counts)))
    patch, flat = np.concatenate(patches), np.concatenate(tiles)
    order = np.lexsort((flat, patch))
    known, number = np.unique(flat[order], return_inverse=True)
    corner = np.stack(np.unravel_index(known, tuple(counts)), axis=1) * steps
    return _Touched(steps, patch[order], number.astype(np.int64), corner, lowest)


def _needed(
    found: _Touched, starts: Ints, extent: Ints, unit: Sequence[int], shape: Sequence[int]
) -> tuple[Ints, Ints]:
    """Return the smallest block of whole chunks of every tile that holds what patches need of it."""
    corner = found.corner[found.tile]
    first = np.full(found.corner.shape, np.iinfo(np.int64).max)
    last = np.zeros_like(found.corner)
    np.minimum.at(first, found.tile, np.maximum(starts[found.patch], corner))
    np.maximum.at(last, found.tile, np.minimum(starts[found.patch] + extent, corner + found.steps))
    whole = np.asarray(unit)
    return first // whole * whole, np.minimum(-(-last // whole) * whole, np.asarray(shape))


def _one_to_one(found: _Touched, origin: Ints, stop: Ints) -> Tiling:
    number = np.arange(len(origin) + 1)
    return Tiling(origin, stop, origin, stop, number, found.patch, found.tile, found.lowest)


def _joined(wide: _Touched, corner: Ints, origin: Ints, stop: Ints) -> Tiling:
    """Return the tiling of larger tiles, each of which holds those of a finer cut that lie in it."""
    place = {tuple(index): number for number, index in enumerate((wide.corner // wide.steps).tolist())}
    owner = np.array([place[tuple(index)] for index in (corner // wide.steps).tolist()])
    order = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[order], np.arange(len(wide.corner) + 1))
    low = np.minimum.reduceat(origin[order], first[:-1])
    high = np.maximum.reduceat(stop[order], first[:-1])
    return Tiling(low, high, origin[order], stop[order], first, wide.patch, wide.tile, wide.lowest)


def plan_reads(found: Tiling, size: Sequence[int], budget: int, seed: Sequence[int] | None) -> Plan:
    """Order patches and reads so that tiles are read once within a memory budget.

    Parameters
    ----------
    found : Tiling
        Patches and tiles.
    size : sequence of int
        Shape of patches.
    budget : int
        Values per variable that memory may hold. Tiles of a single patch are held whatever the budget.
    seed : sequence of int or None
        Seed and epoch of the shuffle; None keeps neighbours together without shuffling.

    Returns
    -------
    Plan
        The order.
    """
    generator = None if seed is None else np.random.default_rng(list(seed))
    return plan_along(found, size, budget, _groups(found, budget // 4, generator))


def plan_along(found: Tiling, size: Sequence[int], budget: int, groups: Sequence[Ints]) -> Plan:
    """Plan the reads for patches in a given order; tiles are read once if memory holds them until their last use.

    Parameters
    ----------
    found : Tiling
        Patches and tiles.
    size : sequence of int
        Shape of patches.
    budget : int
        Values per variable that memory may hold.
    groups : sequence of numpy.ndarray of int
        Numbers of the patches of each round, in the order of delivery.

    Returns
    -------
    Plan
        One round a group.
    """
    rounds, decoded, repeated, peak = _schedule(found, groups, budget)
    delivered = len(found.lowest) * math.prod(size)
    return Plan(found, rounds, decoded, delivered, repeated, peak)


def _groups(found: Tiling, room: int, generator: np.random.Generator | None) -> list[Ints]:
    """Return patches in groups of about the room that memory has for one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    patches, tiles = len(found.lowest), len(found.origin)
    links = coo_array(
        (np.ones(len(found.pair_patch), np.int8), (found.pair_patch, patches + found.pair_tile)),
        shape=(patches + tiles, patches + tiles),
    )
    _, label = connected_components(links, directed=False)
    weight = np.bincount(label[patches:], weights=found.values)
    total = int(found.values.sum())
    room = max(1, min(room, max(total // 32, SMALL, int(weight.max()))))
    members = _split(label[:patches])
    if generator is not None:
        members = [members[i] for i in generator.permutation(len(members))]
    groups: list[Ints] = []
    held: list[Ints] = []
    filled = 0
    for patch in members:
        size = int(weight[label[patch[0]]])
        if size > room:
            groups += _swept(found, patch, room, generator)
            continue
        if filled + size > room and held:
            groups.append(np.concatenate(held))
            held, filled = [], 0
        held.append(patch)
        filled += size
    if held:
        groups.append(np.concatenate(held))
    return groups if generator is None else [generator.permutation(group) for group in groups]


def _split(label: NDArray[np.integer]) -> list[Ints]:
    """Return the positions of every label."""
    order = np.argsort(label, kind="stable")
    return [np.asarray(part, np.int64) for part in np.split(order, np.flatnonzero(np.diff(label[order])) + 1)]


def _swept(found: Tiling, patches: Ints, room: int, generator: np.random.Generator | None) -> list[Ints]:
    """Cut patches that hang together into slabs along an axis, and slabs that are too large along the next."""
    index = found.lowest[patches]
    average = float(found.values.mean())
    spread = [len(np.unique(index[:, axis])) for axis in range(3)]
    axes = sorted(range(3), key=lambda axis: -spread[axis])
    flip = [bool(generator.integers(2)) if generator is not None else False for _ in axes]
    parts = [patches]
    for axis, backwards in zip(axes, flip, strict=True):
        parts = [piece for part in parts for piece in _cut(found, part, axis, backwards, room, average)]
    return parts


def _cut(found: Tiling, patches: Ints, axis: int, backwards: bool, room: int, average: float) -> list[Ints]:
    """Cut patches into runs of slabs along an axis; a run is as long as there is room for."""
    if len(np.unique(found.lowest[patches], axis=0)) * average <= room:
        return [patches]
    slabs = [patches[part] for part in _split(found.lowest[patches, axis])]
    if backwards:
        slabs.reverse()
    parts: list[Ints] = []
    filled = 0.0
    for slab in slabs:
        size = len(np.unique(found.lowest[slab], axis=0)) * average
        if parts and filled + size <= room:
            parts[-1] = np.concatenate([parts[-1], slab])
            filled += size
        else:
            parts.append(slab)
            filled = size
    return parts


def _schedule(found: Tiling, groups: Sequence[Ints], budget: int) -> tuple[tuple[Round, ...], int, int, int]:
    """Decide when tiles are read and dropped: at the last use, or earlier if memory is short, farthest use first."""
    first = np.searchsorted(found.pair_patch, np.arange(len(found.lowest) + 1))
    needs = [
        np.unique(np.concatenate([found.pair_tile[first[p] : first[p + 1]] for p in group.tolist()]))
        for group in groups
    ]
    uses: dict[int, list[int]] = {}
    for number, need in enumerate(needs):
        for tile in need.tolist():
            uses.setdefault(tile, []).append(number)
    values, reads = found.values, found.read
    held: set[int] = set()
    read: set[int] = set()
    rounds, decoded, repeated, peak = [], 0, 0, 0
    for number, (group, need) in enumerate(zip(groups, needs, strict=True)):
        load = [tile for tile in need.tolist() if tile not in held]
        decoded += int(reads[load].sum())
        repeated += sum(1 for tile in load if tile in read)
        read.update(load)
        held.update(load)
        ahead = int(values[needs[number + 1]].sum()) if number + 1 < len(needs) else 0
        peak = max(peak, int(values[list(held)].sum()) + ahead)
        following = {tile: next((use for use in uses[tile] if use > number), None) for tile in held}
        drop = [tile for tile, use in following.items() if use is None]
        kept = sorted((tile for tile in held if following[tile] is not None), key=lambda t: -(following[t] or 0))
        size = int(values[kept].sum()) if kept else 0
        for tile in kept:
            if size + ahead <= budget or following[tile] == number + 1:
                break
            drop.append(tile)
            size -= int(values[tile])
        held.difference_update(drop)
        rounds.append(Round(group, np.asarray(load, np.int64), np.asarray(drop, np.int64)))
    return tuple(rounds), decoded, repeated, peak
