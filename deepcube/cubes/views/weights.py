"""Overlaps of the pixels of two rectilinear grids, and what they make of values.

On rectilinear grids of one coordinate reference system, overlaps factorise into rows and columns. In degrees, lengths
along a meridian count by the sine of latitude, so that products are areas on the sphere; longitudes are periodic. This
is exact where xarray-regrid, an independent check in the tests, normalises cells at the border of the data.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepcube.cubes.views.target import Floats, Raster, edges


@dataclass(frozen=True, eq=False)
class Overlap:
    """Lengths along y and x that source and target pixels share.

    Attributes
    ----------
    y, x : scipy.sparse.csr_array, shape (target, source)
        Shared lengths (sine of latitude and degrees in geographic coordinates).
    target_y, target_x, source_y, source_x : numpy.ndarray of float
        Lengths of whole pixels.
    """

    y: Any
    x: Any
    target_y: Floats
    target_x: Floats
    source_y: Floats
    source_x: Floats

    def spread(self, values: NDArray[Any]) -> Floats:
        """Return sums of ``area shared * value`` over source pixels, shape (..., y, x) of the target."""
        lead = values.shape[:-2]
        rows, columns = self.y.shape[1], self.x.shape[1]
        flat = values.reshape(-1, columns)
        across = np.asarray((self.x @ flat.T).T).reshape(-1, rows, self.x.shape[0])
        turned = np.ascontiguousarray(across.transpose(1, 0, 2)).reshape(rows, -1)
        down = np.asarray(self.y @ turned).reshape(self.y.shape[0], -1, self.x.shape[0])
        return down.transpose(1, 0, 2).reshape(*lead, self.y.shape[0], self.x.shape[0])

    @property
    def target_area(self) -> Floats:
        """Area of the target pixels, shape (y, x)."""
        return np.outer(self.target_y, self.target_x)

    @property
    def source_area(self) -> Floats:
        """Area of the source pixels, shape (y, x)."""
        return np.outer(self.source_y, self.source_x)


def overlap(source: Raster, target: Raster) -> Overlap:
    """Return what the pixels of two grids of one coordinate reference system share."""
    geographic = source.crs is not None and source.crs.is_geographic
    rows = [edges(raster.y) for raster in (source, target)]
    if geographic:
        rows = [np.sin(np.deg2rad(np.clip(row, -90.0, 90.0))) for row in rows]
    columns = [edges(raster.x) for raster in (source, target)]
    period = 360.0 if geographic else None
    return Overlap(
        _shared(rows[0], rows[1], None),
        _shared(columns[0], columns[1], period),
        *(np.abs(np.diff(line)) for line in (rows[1], columns[1], rows[0], columns[0])),
    )


def _shared(source: Floats, target: Floats, period: float | None) -> Any:
    """Return the lengths that intervals share; with a period, those of all turns."""
    from scipy.sparse import coo_array

    low, high = np.minimum(source[:-1], source[1:]), np.maximum(source[:-1], source[1:])
    order = np.argsort(low)
    turns = [0.0]
    if period is not None:
        first = int(np.floor((min(target) - max(source)) / period))
        last = int(np.ceil((max(target) - min(source)) / period))
        turns = [turn * period for turn in range(first, last + 1)]
    rows, columns, lengths = [], [], []
    for number, (a, b) in enumerate(itertools.pairwise(target)):
        begin, end = min(a, b), max(a, b)
        for turn in turns:
            start = np.searchsorted(high[order], begin - turn, side="right")
            stop = np.searchsorted(low[order], end - turn, side="left")
            held = order[start:stop]
            shared = np.minimum(high[held] + turn, end) - np.maximum(low[held] + turn, begin)
            keep = shared > 1e-12 * (end - begin)
            columns.append(held[keep])
            lengths.append(shared[keep])
            rows.append(np.full(int(keep.sum()), number))
    shape = (len(target) - 1, len(source) - 1)
    return coo_array((np.concatenate(lengths), (np.concatenate(rows), np.concatenate(columns))), shape=shape).tocsr()


def mean(values: NDArray[Any], shares: Overlap, least: float) -> Floats:
    """Return area-weighted means of the valid pixels; a gap where less than a share of the area is valid.

    The integral over area is conserved where nothing is missing (first-order conservative remapping: Jones, Monthly
    Weather Review 127, 2204-2210, 1999).
    """
    valid = np.isfinite(values)
    area = shares.spread(valid.astype(float))
    total = shares.spread(np.where(valid, values, 0.0))
    enough = (area > 0) & (area >= least * shares.target_area * (1 - 1e-9))
    return np.where(enough, total / np.where(area > 0, area, 1.0), np.nan)


def total(values: NDArray[Any], shares: Overlap, least: float) -> Floats:
    """Return sums of counts, each pixel's count spread evenly over its area; the overall sum is conserved.

    A gap where less than a share of the area that the source has there is valid.
    """
    valid = np.isfinite(values)
    covered = shares.spread(np.ones(values.shape[-2:]))
    area = shares.spread(valid.astype(float))
    result = shares.spread(np.where(valid, values, 0.0) / shares.source_area)
    return np.where((area > 0) & (area >= least * covered * (1 - 1e-9)), result, np.nan)


def mode(values: NDArray[Any], shares: Overlap, least: float) -> Floats:
    """Return the class of the largest area, the smallest code among equals; no class is ever made up."""
    valid = np.isfinite(values)
    area = shares.spread(valid.astype(float))
    best = np.zeros(area.shape)
    result = np.full(area.shape, np.nan)
    for code in np.unique(values[valid]):
        held = shares.spread((values == code).astype(float))
        larger = held > best * (1 + 1e-9)
        best[larger], result[larger] = held[larger], code
    enough = (area > 0) & (area >= least * shares.target_area * (1 - 1e-9))
    return np.where(enough, result, np.nan)


def linear(values: NDArray[Any], source: Raster, target: Raster, shares: Overlap, least: float) -> Floats:
    """Return bilinear interpolations between centres; beside gaps and borders, the value of the pixel itself."""
    from scipy.interpolate import RegularGridInterpolator

    y, x = source.y, target.x
    if source.crs is not None and source.crs.is_geographic:
        middle = (source.x.min() + source.x.max()) / 2
        x = middle + (target.x - middle + 180.0) % 360.0 - 180.0
    plain = mean(values, shares, least)
    if min(values.shape[-2:]) < 2:
        return plain
    rows = y if y[1] > y[0] else y[::-1]
    columns = source.x if source.x[1] > source.x[0] else source.x[::-1]
    data = values if y[1] > y[0] else values[..., ::-1, :]
    data = data if source.x[1] > source.x[0] else data[..., ::-1]
    places = np.stack(np.meshgrid(target.y, x, indexing="ij"), axis=-1)
    stacked = np.moveaxis(data.reshape(-1, *values.shape[-2:]), 0, -1)
    between = RegularGridInterpolator((rows, columns), stacked, bounds_error=False, fill_value=np.nan)(places)
    smooth = np.moveaxis(between, -1, 0).reshape(*values.shape[:-2], len(target.y), len(target.x))
    return np.where(np.isfinite(smooth) & np.isfinite(plain), smooth, plain)
