"""Statistics over polygons, weighted by the share of every pixel that lies within."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import xarray as xr
from numpy.typing import NDArray

from deepcube.cubes.features.errors import FeatureError
from deepcube.cubes.model import Grid

Zonal = Literal["mean", "sum", "min", "max", "majority"]
"""Statistics over a zone: by weight; of pixels at least half within; the value with most weight."""


@dataclass(frozen=True, eq=False)
class ZoneWeights:
    """Pixels of each zone.

    Attributes
    ----------
    names : tuple of str
        Names of the zones.
    pixels : tuple of numpy.ndarray of int64
        Flat indices (row times columns plus column) of the pixels of each zone.
    weights : tuple of numpy.ndarray of float64
        Share of each of these pixels within the zone, above 0 to 1.
    """

    names: tuple[str, ...]
    pixels: tuple[NDArray[np.int64], ...]
    weights: tuple[NDArray[np.float64], ...]


def zone_weights(grid: Grid, polygons: Mapping[str, Any], *, parts: int = 10) -> ZoneWeights:
    """Return which pixels each polygon covers, and how much of them.

    Parameters
    ----------
    grid : Grid
        Grid with evenly spaced axes.
    polygons : mapping of str to shapely geometry
        Polygons in the coordinates of the grid.
    parts : int
        Every pixel is cut into ``parts x parts``; shares are exact to about ``1 / parts`` of a pixel's edge.

    Returns
    -------
    ZoneWeights
        Zones in the order given; a polygon off the grid has no pixels.

    Raises
    ------
    FeatureError
        If the axes are not evenly spaced.
    """
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    y, x = (grid.dataset[axis].to_numpy().astype(float) for axis in ("y", "x"))
    down, across = _spacing(y, "y"), _spacing(x, "x")
    left, top = x[0] - across / 2, y[0] - down / 2
    pixels, weights = [], []
    for shape in polygons.values():
        bounds = shape.bounds
        columns = sorted(((bounds[0] - left) / across, (bounds[2] - left) / across))
        rows = sorted(((bounds[1] - top) / down, (bounds[3] - top) / down))
        first = [max(0, int(np.floor(low))) for low, _ in (rows, columns)]
        last = [
            min(size, int(np.ceil(high))) for (_, high), size in zip((rows, columns), (len(y), len(x)), strict=True)
        ]
        if shape.is_empty or last[0] <= first[0] or last[1] <= first[1]:
            pixels.append(np.zeros(0, dtype=np.int64))
            weights.append(np.zeros(0))
            continue
        size = (last[0] - first[0], last[1] - first[1])
        transform = Affine(across / parts, 0, left + first[1] * across, 0, down / parts, top + first[0] * down)
        fine = rasterize([(shape, 1)], out_shape=(size[0] * parts, size[1] * parts), transform=transform, dtype="uint8")
        share = fine.reshape(size[0], parts, size[1], parts).mean(axis=(1, 3))
        row, column = np.nonzero(share)
        pixels.append(((row + first[0]) * len(x) + column + first[1]).astype(np.int64))
        weights.append(share[row, column])
    return ZoneWeights(tuple(polygons), tuple(pixels), tuple(weights))


def zonal_rows(
    data: xr.DataArray, zones: ZoneWeights, statistic: Zonal = "mean", *, block: int = 32
) -> Iterator[pa.Table]:
    """Yield a statistic of a variable over every zone, a block of times after the other.

    Parameters
    ----------
    data : xarray.DataArray
        Variable with dimensions (time, y, x), read block by block.
    zones : ZoneWeights
        Pixels of the zones.
    statistic : {"mean", "sum", "min", "max", "majority"}
        ``mean`` and ``sum`` weight by the share of the pixel; ``min`` and ``max`` take pixels at least half within;
        ``majority`` returns the value with the largest share, for categorical variables. Missing pixels are left out.
    block : int
        Times read at once.

    Yields
    ------
    pyarrow.Table
        ``zone`` (text), ``time`` (timestamp in microseconds), ``value`` (float64, null without a valid pixel) and
        ``valid_share`` (float64, share of the zone's area with a valid value).
    """
    times = data["time"].to_numpy().astype("datetime64[us]")
    for first in range(0, len(times), block):
        values = data.isel(time=slice(first, first + block)).to_numpy().astype(float)
        flat = values.reshape(len(values), -1)
        found = [_zone(flat[:, p], w, statistic) for p, w in zip(zones.pixels, zones.weights, strict=True)]
        stamps = times[first : first + block]
        yield pa.table(
            {
                "zone": pa.array(np.repeat(np.array(zones.names, dtype=object), len(stamps)).tolist(), pa.string()),
                "time": pa.array(np.tile(stamps, len(zones.names))),
                "value": pa.array(np.concatenate([value for value, _ in found]), from_pandas=True),
                "valid_share": pa.array(np.concatenate([share for _, share in found])),
            }
        )


def _zone(
    values: NDArray[np.float64], weights: NDArray[np.float64], statistic: Zonal
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the statistic and the valid share of a zone for every time; values have shape (time, pixel)."""
    known = np.isfinite(values)
    weight = np.where(known, weights, 0.0)
    total = weight.sum(axis=1)
    share = total / weights.sum() if weights.sum() > 0 else np.zeros(len(values))
    with np.errstate(invalid="ignore", divide="ignore"):
        if statistic in ("mean", "sum"):
            result = (np.nan_to_num(values) * weight).sum(axis=1)
            result = result / total if statistic == "mean" else result
        elif statistic == "majority":
            result = np.array([_majority(row[k], weights[k]) for row, k in zip(values, known, strict=True)])
        else:
            inside = known & (weights >= 0.5)
            empty = np.inf if statistic == "min" else -np.inf
            filled = np.where(inside, values, empty)
            start = np.full((len(values), 1), empty)
            reduce = np.min if statistic == "min" else np.max
            result = reduce(np.concatenate([filled, start], axis=1), axis=1)
            result = np.where(inside.any(axis=1), result, np.nan)
    return np.where(total > 0, result, np.nan), share


def _majority(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    if not len(values):
        return float("nan")
    codes, place = np.unique(values, return_inverse=True)
    return float(codes[np.bincount(place, weights).argmax()])


def _spacing(values: NDArray[np.float64], axis: str) -> float:
    steps = np.diff(values)
    if len(steps) == 0 or not np.allclose(steps, steps[0], rtol=1e-3):
        raise FeatureError(f"The {axis} axis is not evenly spaced; zonal statistics need pixels of one size.")
    return float(steps.mean())
