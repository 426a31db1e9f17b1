"""Where patches begin: everywhere, at random, around points, or as many of each label."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyproj
from numpy.typing import ArrayLike, NDArray

from deepcube.cubes.errors import MissingCrsError, PlanError
from deepcube.cubes.model import WGS84, Grid

Ints = NDArray[np.int64]


def every_patch(shape: Sequence[int], size: Sequence[int], stride: Sequence[int] | None = None) -> Ints:
    """Return the starts of patches side by side; what is left at the ends is left out.

    Parameters
    ----------
    shape, size : sequence of int
        Shape of the cube and of a patch along time, y and x.
    stride : sequence of int, optional
        Distance of the starts; by default the size, so that patches do not overlap.

    Returns
    -------
    numpy.ndarray of int, shape (n, 3)
        First indices along time, y and x.
    """
    steps = size if stride is None else stride
    axes = [range(0, full - part + 1, step) for full, part, step in zip(shape, size, steps, strict=True)]
    return np.array(list(itertools.product(*axes)), dtype=np.int64).reshape(-1, 3)


def random_patches(shape: Sequence[int], size: Sequence[int], count: int, seed: int = 0) -> Ints:
    """Return the starts of patches anywhere in the cube, drawn with replacement.

    Parameters
    ----------
    shape, size : sequence of int
        Shape of the cube and of a patch along time, y and x.
    count : int
        Number of patches.
    seed : int
        Seed of the draw.
    """
    generator = np.random.default_rng(seed)
    axes = [generator.integers(0, full - part + 1, count) for full, part in zip(shape, size, strict=True)]
    return np.stack(axes, axis=1)


def patches_at(grid: Grid, times: ArrayLike, longitude: ArrayLike, latitude: ArrayLike, size: Sequence[int]) -> Ints:
    """Return the starts of patches around points that end at their times.

    Parameters
    ----------
    grid : Grid
        The grid that is sampled.
    times : array-like of datetime64, shape (n,)
        Times of the points; the last step of a patch is the last one that is not later.
    longitude, latitude : array-like of float, shape (n,)
        WGS84 degrees.
    size : sequence of int
        Shape of a patch along time, y and x.

    Returns
    -------
    numpy.ndarray of int, shape (n, 3)
        First indices; the row is -1 for points whose patch does not lie in the cube as a whole.

    Raises
    ------
    MissingCrsError
        If the place of the grid on Earth is unknown.
    """
    if grid.crs is None:
        raise MissingCrsError(f"Grid {grid.name!r} has no coordinate reference system; pass crs= to open_cube().")
    east, north = pyproj.Transformer.from_crs(WGS84, grid.crs, always_xy=True).transform(
        np.asarray(longitude, dtype=float), np.asarray(latitude, dtype=float)
    )
    stamps = pd.DatetimeIndex(np.asarray(times))
    last = grid.times.searchsorted(stamps, side="right") - 1
    row, column = _nearest(grid, "y", north), _nearest(grid, "x", east)
    starts = np.stack([last - size[0] + 1, row - size[1] // 2, column - size[2] // 2], axis=1).astype(np.int64)
    shape = np.array([grid.dataset.sizes[dim] for dim in ("time", "y", "x")])
    inside = (starts >= 0).all(axis=1) & (starts + np.asarray(size) <= shape).all(axis=1) & (row >= 0) & (column >= 0)
    starts[~inside] = -1
    return starts


def _nearest(grid: Grid, axis: str, places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the nearest pixel along an axis, ascending or descending; -1 beyond the edges of the outer pixels."""
    values = grid.dataset[axis].to_numpy().astype(float)
    spacing = np.abs(np.diff(values)).max() if len(values) > 1 else np.inf
    if axis == "x" and grid.crs is not None and grid.crs.is_geographic:
        places = values.min() - spacing / 2 + (places - values.min() + spacing / 2) % 360.0
    order = np.argsort(values)
    ordered = values[order]
    right = np.clip(np.searchsorted(ordered, places), 1, max(len(values) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(values) - 1)
    best = np.where(np.abs(places - ordered[left]) <= np.abs(ordered[right] - places), left, right)
    near = np.abs(ordered[best] - places) <= spacing / 2 * (1 + 1e-9)
    return np.where(near, order[best], -1)


def stratified(labels: ArrayLike, count: int, shares: dict[int, float] | None = None, seed: int = 0) -> Ints:
    """Draw patches so that labels have given shares, without replacement.

    Parameters
    ----------
    labels : array-like of int, shape (n,)
        Label of every candidate, for example whether the patch burned.
    count : int
        Patches wanted; fewer are returned if a label has too few candidates to keep the shares.
    shares : dict of int to float, optional
        Share by label, such as ``{0: 2, 1: 1}`` for two negatives per positive; by default equal shares of all labels.
    seed : int
        Seed of the draw.

    Returns
    -------
    numpy.ndarray of int, shape (m,)
        Positions of the patches drawn, ascending.

    Raises
    ------
    PlanError
        If a label that has a share has no candidate.
    """
    held = np.asarray(labels)
    wanted = shares or {int(label): 1.0 for label in np.unique(held)}
    total = sum(wanted.values())
    members = {label: np.flatnonzero(held == label) for label in wanted}
    missing = [label for label, found in members.items() if len(found) == 0]
    if missing:
        raise PlanError(f"Found no candidate with the labels {missing}; expected some of each of {sorted(wanted)}.")
    scale = min(count / total, *(len(members[label]) / share for label, share in wanted.items() if share > 0))
    generator = np.random.default_rng(seed)
    drawn = [
        generator.choice(members[label], round(scale * share), replace=False) for label, share in sorted(wanted.items())
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)
