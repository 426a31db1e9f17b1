"""The default style of a layer: colours by what it measures, their range from a sample of its values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepcube.atlas.colours import PALETTES, categories, choose_palette
from deepcube.atlas.layers import FRAME_CELLS, Layer
from deepcube.atlas.pictures import Style

_STEPS = 5  # of the time axis that are looked at
_VALUES = 60_000  # of each of them
_WINDOW = 1024  # rows and columns of images too large to be read for this
_SHARE = (2.0, 98.0)  # percentiles that the colours span: single extreme values would leave no contrast to the others


def default_style(layer: Layer) -> Style:
    """Return how a layer is drawn unless somebody asks for something else.

    Parameters
    ----------
    layer : Layer
        A few of its images are read.
    """
    palette = choose_palette(layer.variable)
    values = sample(layer)
    if PALETTES[palette] == "classes":
        classes = tuple(categories(layer.variable, layer.attrs, np.unique(values)))
        masks = "flag_masks" in layer.attrs and "flag_values" not in layer.attrs
        return Style(palette, 0.0, float(max(len(classes) - 1, 1)), classes, masks)
    low, high = _range(values, layer.variable.valid_range)
    if PALETTES[palette] == "diverging" and low < high:
        reach = max(abs(low), abs(high))
        low, high = -reach, reach
    if PALETTES[palette] == "cyclic":
        low, high = _turn(values, layer.variable.units)
    return Style(palette, low, high)


def sample(layer: Layer) -> NDArray[Any]:
    """Return some values of a layer, spread over time and place, without gaps."""
    count = 1 if layer.times is None else len(layer.times)
    steps = np.unique(np.linspace(0, max(count - 1, 0), min(_STEPS, count)).round().astype(int))
    rows, columns = layer.placement.shape
    window = slice(0, rows), slice(0, columns)
    if rows * columns > FRAME_CELLS:
        window = _middle(rows), _middle(columns)
    cells = (window[0].stop - window[0].start) * (window[1].stop - window[1].start)
    thin = max(1, math.isqrt(cells // _VALUES))
    found = [np.zeros(0, np.float64)]
    for step in steps:
        values = layer.read(int(step), window, thin).ravel()
        found.append(values[np.isfinite(values)].astype(np.float64))
    return np.concatenate(found)


def _middle(size: int) -> slice:
    start = max(0, (size - _WINDOW) // 2)
    return slice(start, min(size, start + _WINDOW))


def _range(values: NDArray[Any], valid: tuple[float, float] | None) -> tuple[float, float]:
    """Return the range of most values, to three digits, within what is valid."""
    if not len(values):
        return (0.0, 1.0) if valid is None or not np.isfinite(valid).all() else valid
    low, high = (float(edge) for edge in np.percentile(values, _SHARE))
    if low == high:
        low, high = float(values.min()), float(values.max())
    if low == high:
        return low, low + (abs(low) or 1.0)
    unit = 10.0 ** (math.floor(math.log10(high - low)) - 2)
    low, high = math.floor(low / unit) * unit, math.ceil(high / unit) * unit
    if valid is not None:
        low, high = max(low, valid[0]), min(high, valid[1])
    return float(f"{low:.6g}"), float(f"{high:.6g}")


def _turn(values: NDArray[Any], units: str) -> tuple[float, float]:
    """Return the full circle that angles are counted in."""
    degrees = units.lower().startswith("deg") or (len(values) > 0 and float(np.abs(values).max()) > 2 * math.pi)
    half = 180.0 if degrees else math.pi
    signed = len(values) > 0 and float(values.min()) < 0
    return (-half, half) if signed else (0.0, 2 * half)
