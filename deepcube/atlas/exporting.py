"""One step of a layer as a file: a table of cell centres, or features with the outlines of cells."""

from __future__ import annotations

import csv
import io
import json
import math
from itertools import pairwise
from typing import Any

import numpy as np

from deepcube.atlas.atlas import iso
from deepcube.atlas.errors import RequestError, StoppedError
from deepcube.atlas.layers import Layer, Stop, nobody_left
from deepcube.atlas.points import PointLayer

MOST_CELLS = 400_000
"""Cells of one file."""


def write_cells(
    layer: Layer, step: int, form: str, bounds: tuple[float, float, float, float] | None, stop: Stop = nobody_left
) -> tuple[bytes, str, str]:
    """Write the values of one step.

    Parameters
    ----------
    layer : Layer
        What is written.
    step : int
        Position on the time axis.
    form : {"csv", "geojson"}
        A table, or GeoJSON (RFC 7946).
    bounds : tuple of float or None
        West, south, east and north in degrees that cells must lie in; None for all.
    stop : callable
        Tells whether the client has left.

    Returns
    -------
    content : bytes
        The file; cells without a value are left out.
    media : str
        Its media type.
    ending : str
        Its ending.

    Raises
    ------
    RequestError
        If there is no such form, or there are too many cells.
    """
    if form not in ("csv", "geojson"):
        raise RequestError(f"Found as={form[:20]!r}; expected csv or geojson.")
    if isinstance(layer, PointLayer):
        return _points(layer, layer.features(step, bounds), form)
    placement = layer.placement
    rows, columns = placement.shape
    window = placement.window(bounds) if bounds else (slice(0, rows), slice(0, columns))
    count = (window[0].stop - window[0].start) * (window[1].stop - window[1].start)
    if count > MOST_CELLS:
        raise RequestError(f"Found {count:,} cells; expected at most {MOST_CELLS:,}. Zoom in, to write those in view.")
    values = layer.read(step, window, 1, stop) if count else np.zeros((0, 0))
    time = None if layer.times is None else iso(layer.times[step : step + 1])[0]
    found: list[tuple[tuple[int, int], float]] = []
    for row, column in np.argwhere(np.isfinite(values)).tolist():
        if len(found) % 4096 == 0 and stop():
            raise StoppedError("the client has left")
        at = row + window[0].start, column + window[1].start
        found.append((at, float(f"{float(values[row, column]):.7g}")))
    if form == "csv":
        return _csv(layer, time, found), "text/csv; charset=utf-8", "csv"
    return _geojson(layer, time, found), "application/geo+json", "geojson"


def _csv(layer: Layer, time: str | None, found: list[tuple[tuple[int, int], float]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    units = f" ({layer.variable.units})" if layer.variable.units else ""
    writer.writerow(["longitude", "latitude", "time", _plain(layer.variable.name + units)])
    for cell, value in found:
        longitude, latitude = layer.placement.centre(*cell)
        writer.writerow([f"{longitude:.6f}", f"{latitude:.6f}", time or "", value])
    return text.getvalue().encode()


def _points(layer: PointLayer, features: list[dict[str, Any]], form: str) -> tuple[bytes, str, str]:
    """Write points with their own times."""
    if form == "geojson":
        content = json.dumps({"type": "FeatureCollection", "features": features}).encode()
        return content, "application/geo+json", "geojson"
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    units = f" ({layer.variable.units})" if layer.variable.units else ""
    writer.writerow(["longitude", "latitude", "time", "place", _plain(layer.variable.name + units)])
    for each in features:
        longitude, latitude = each["geometry"]["coordinates"]
        about = each["properties"]
        writer.writerow([f"{longitude:.6f}", f"{latitude:.6f}", about["time"], _plain(about["place"]), about["value"]])
    return text.getvalue().encode(), "text/csv; charset=utf-8", "csv"


def _plain(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


def _geojson(layer: Layer, time: str | None, found: list[tuple[tuple[int, int], float]]) -> bytes:
    def feature(cell: tuple[int, int], value: float) -> dict[str, Any]:
        ring = [[round(x, 6), round(y, 6)] for x, y in layer.placement.outline(*cell)]
        area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))
        ring = ring if area >= 0 or math.isnan(area) else ring[::-1]  # exterior rings turn against the clock
        properties = {"variable": layer.variable.name, "units": layer.variable.units, "time": time, "value": value}
        return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}

    return json.dumps({"type": "FeatureCollection", "features": [feature(*each) for each in found]}).encode()
