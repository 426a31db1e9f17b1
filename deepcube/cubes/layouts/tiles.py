"""SRTM height tiles: ``N40E014.hgt``, big-endian 16-bit metres, gzipped or not, named by the south-west corner."""

from __future__ import annotations

import gzip
import math
import re
from pathlib import Path

import numpy as np
import xarray as xr

from deepcube.cubes.errors import NotACubeError
from deepcube.cubes.model import WGS84, Grid, Opened

_NAME = re.compile(r"^([NS])(\d{2})([EW])(\d{3})\.hgt(\.gz)?$", re.IGNORECASE)
VOID = -32768
"""Height that marks a gap."""


def is_tile(path: Path) -> bool:
    """Return True for a file that is named like an SRTM tile."""
    return _NAME.match(path.name) is not None


def open_tile(path: Path) -> Opened:
    """Open an SRTM tile as a static cube: ``elevation`` in m at the nodes of a grid, north first.

    Raises
    ------
    NotACubeError
        If the file is damaged or no square of 16-bit values.
    """
    match = _NAME.match(path.name)
    assert match is not None
    try:
        raw = gzip.decompress(path.read_bytes()) if match.group(5) else path.read_bytes()
    except (OSError, EOFError) as error:
        raise NotACubeError(f"{path} cannot be unpacked ({error}). Check that it is complete.") from error
    side = math.isqrt(len(raw) // 2)
    if side < 2 or side * side * 2 != len(raw):
        raise NotACubeError(f"{path} holds {len(raw)} bytes; expected a square of 16-bit heights, such as 1201 x 1201.")
    south = int(match.group(2)) * (1 if match.group(1).upper() == "N" else -1)
    west = int(match.group(4)) * (1 if match.group(3).upper() == "E" else -1)
    heights = np.frombuffer(raw, dtype=">i2").reshape(side, side).astype("float32")
    heights[heights == VOID] = np.nan
    attrs = {"units": "m", "long_name": "elevation", "standard_name": "height_above_geopotential_datum"}
    dataset = xr.Dataset(
        {"elevation": (("y", "x"), heights, attrs)},
        {"y": np.linspace(south + 1, south, side), "x": np.linspace(west, west + 1, side)},
    )
    dataset["elevation"].encoding = {"dtype": "int16", "_FillValue": VOID}
    return Opened([Grid("main", dataset, WGS84)])
