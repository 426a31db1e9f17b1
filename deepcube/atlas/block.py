"""The faces of a space-time block: one variable over time, latitude and longitude, cut at chosen planes."""

from __future__ import annotations

import numpy as np

from deepcube.atlas.errors import RequestError, StoppedError
from deepcube.atlas.layers import Layer, Stop, nobody_left
from deepcube.atlas.pictures import Style, png

SIDE = 320
"""Most pixels of a face along one axis: longer axes are thinned."""

MOST_STEPS = 240
"""Most steps of a face along time."""


def face(layer: Layer, axis: str, at: float, span: tuple[int, int], style: Style, stop: Stop = nobody_left) -> bytes:
    """Draw a face.

    Parameters
    ----------
    layer : Layer
        A variable that varies in time.
    axis : {"t", "y", "x"}
        Axis that the face is cut across: ``t`` a map, ``y`` time by longitude, ``x`` time by latitude.
    at : float
        Where, from 0 to 1: from the first step, the south and the west.
    span : tuple of int
        First and last step of the block.
    style : Style
        Colours.
    stop : callable
        Tells whether the client has left.

    Returns
    -------
    bytes
        A PNG: north up and east right for ``t``; time down and east right for ``y``; time right and north up for ``x``.

    Raises
    ------
    RequestError
        If the layer does not vary in time, or there is no such axis or position.
    """
    if layer.times is None:
        raise RequestError("This layer does not vary in time; expected one that does.")
    if axis not in ("t", "y", "x") or not 0 <= at <= 1 or span[0] > span[1]:
        raise RequestError(
            f"Found axis={axis[:10]!r} at {at:g} from {span[0]} to {span[1]}; expected t, y or x, 0 to 1."
        )
    rows, columns = layer.placement.shape
    down, across = _thinned(rows), _thinned(columns)
    if layer.placement.falling_x:
        across = across[::-1]
    if not layer.placement.falling_y:
        down = down[::-1]  # the picture begins in the north
    whole = slice(0, rows), slice(0, columns)
    if axis == "t":
        step = span[0] + round(at * (span[1] - span[0]))
        thin = max(1, min(rows, columns) // (2 * SIDE))
        values = layer.read(step, whole, thin, stop)
        picked = values[np.minimum(down // thin, values.shape[0] - 1)][
            :, np.minimum(across // thin, values.shape[1] - 1)
        ]
        return png(style.indices(picked), style.colours())
    steps = np.unique(np.linspace(span[0], span[1], min(MOST_STEPS, span[1] - span[0] + 1)).round().astype(int))
    lines = []
    for step in steps:
        if stop():
            raise StoppedError("the client has left")
        if axis == "y":
            row = int(down[min(len(down) - 1, int((1 - at) * len(down)))])
            lines.append(layer.read(int(step), (slice(row, row + 1), whole[1]), 1, stop)[0][across])
        else:
            column = int(across[min(len(across) - 1, int(at * len(across)))])
            lines.append(layer.read(int(step), (whole[0], slice(column, column + 1)), 1, stop)[:, 0][down])
    values = np.stack(lines)
    return png(style.indices(values if axis == "y" else np.ascontiguousarray(values.T)), style.colours())


def _thinned(size: int) -> np.ndarray:
    return np.linspace(0, size - 1, min(size, SIDE)).round().astype(int)
