"""Values to colours to PNG: images of a layer for tiles, for whole frames and for the faces of a block."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepcube.atlas.colours import LEVELS, Category, palette_table
from deepcube.atlas.errors import StoppedError
from deepcube.atlas.layers import Floats, Layer, Stop, nobody_left
from deepcube.atlas.mercator import Box

_RAREST_STEP = 1 << 14


@dataclass(frozen=True)
class Style:
    """How values become colours.

    Attributes
    ----------
    palette : str
        Name of the colour map.
    low, high : float
        Values of its first and last colour; values beyond take these.
    classes : tuple of Category
        Classes and their colours, for categorical variables; empty for all others.
    masks : bool
        Whether the values of classes are bits, of which a value may have several; the first one listed is drawn.
    """

    palette: str
    low: float
    high: float
    classes: tuple[Category, ...] = ()
    masks: bool = False

    def indices(self, values: Floats) -> NDArray[np.uint8]:
        """Return the colour number of every value: 0 for gaps, else from 1.

        Parameters
        ----------
        values : numpy.ndarray of float
            Values of any shape.
        """
        if self.classes:
            return self._class_numbers(values)
        scale = (LEVELS - 1) / (self.high - self.low) if self.high > self.low else 0.0
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = (values - values.dtype.type(self.low)) * values.dtype.type(scale)
            scaled += values.dtype.type(1.5)
            np.clip(scaled, 1, LEVELS, out=scaled)
            numbers = np.where(np.isnan(scaled), 0, scaled).astype(np.uint8)
        return np.asarray(numbers)

    def _class_numbers(self, values: Floats) -> NDArray[np.uint8]:
        if self.masks:
            bits = np.nan_to_num(values, posinf=0, neginf=0).astype(np.int64)
            numbers = np.zeros(values.shape, np.uint8)
            for rank, category in reversed(list(enumerate(self.classes, 1))):
                numbers[(bits & int(category.value)) != 0] = rank
            return numbers
        known = np.array([category.value for category in self.classes])
        order = np.argsort(known)
        place = np.clip(np.searchsorted(known[order], values), 0, len(known) - 1)
        number = order[place].astype(np.uint8) + 1
        return np.where(known[order[place]] == values, number, 0).astype(np.uint8)

    def colours(self) -> bytes:
        """Return red, green and blue of every colour number, for a picture; the first is that of gaps."""
        table = palette_table(self.palette)
        if self.classes:
            listed = [bytes.fromhex(category.colour[1:]) for category in self.classes]
            return b"\0\0\0" + b"".join(listed)
        return b"\0\0\0" + table.tobytes()


def png(indices: NDArray[np.uint8], colours: bytes) -> bytes:
    """Return a picture of indexed colours (ISO/IEC 15948), of which colour 0 is transparent.

    Filters do not help indexed colours, and runs of equal ones are all that is worth finding: this is several times
    faster than a general encoder.

    Parameters
    ----------
    indices : numpy.ndarray of uint8, shape (height, width)
        Number of the colour of every pixel.
    colours : bytes
        Red, green and blue of every number.
    """
    height, width = indices.shape
    lines = np.zeros((height, width + 1), np.uint8)  # each line begins with its filter: none
    lines[:, 1:] = indices
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    data = packer.compress(lines.data) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", colours), (b"tRNS", b"\0"), (b"IDAT", data), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
        for kind, content in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def draw(layer: Layer, step: int, box: Box, style: Style, stop: Stop = nobody_left) -> bytes:
    """Draw a part of the map.

    Parameters
    ----------
    layer : Layer
        What is drawn.
    step : int
        Position on its time axis.
    box : Box
        Part of the map, and pixels.
    style : Style
        Colours.
    stop : callable
        Tells whether the client has left.

    Returns
    -------
    bytes
        A PNG; each pixel shows the cell that its centre lies in, and is transparent at gaps and beyond the grid.

    Raises
    ------
    StoppedError
        If the client has left.
    """
    pixels = layer.placement.pixels(box)
    if pixels.empty:
        return png(np.zeros((box.height, box.width), np.uint8), b"\0\0\0")
    window = pixels.window()
    tall, wide = (part.stop - part.start for part in window)
    thin = max(1, min(tall // (2 * box.height), wide // (2 * box.width), _RAREST_STEP))
    thin = 1 << (thin.bit_length() - 1)  # coarser copies are by powers of two, from the first row and column
    rows, columns = (slice(part.start // thin * thin, part.stop) for part in window)
    window = rows, columns
    values = layer.read(step, window, thin, stop)
    if stop():
        raise StoppedError("the client has left")
    return png(pixels.pick(style.indices(values), window, thin), style.colours())
