"""What a place was like: the values of one cell over time, with gaps, and what is normal for the season."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepcube.atlas.atlas import Collection, iso, seasons_of
from deepcube.atlas.errors import RequestError, StoppedError
from deepcube.atlas.layers import Layer, Stop, nobody_left
from deepcube.atlas.points import PointLayer
from deepcube.cubes import fit_climatology, season_of

MOST_VARIABLES = 12
"""Variables of one request."""

_BLOCK = 256  # steps that are read between two looks whether the client is still there
_MOST_STEPS = 20_000
_LEAST_YEARS = 2.0  # of data that a climatology needs


def series_at(
    collection: Collection, names: Iterable[str], longitude: float, latitude: float, stop: Stop = nobody_left
) -> dict[str, Any]:
    """Return the series of several variables at a place.

    Parameters
    ----------
    collection : Collection
        A cube.
    names : iterable of str
        Its variables.
    longitude, latitude : float
        The place, in degrees.
    stop : callable
        Tells whether the client has left.

    Returns
    -------
    dict
        ``series``: for each variable its ``times``, its ``values`` (null at gaps), the centre and the outline of the
        cell, and for quantities of two years or more ``normal``: mean and standard deviation of the season at every
        time, from all of the series that is shown. ``beyond`` lists variables whose grid does not reach the place.

    Raises
    ------
    RequestError
        If there are too many variables.
    NotThereError
        If one does not exist.
    StoppedError
        If the client has left.
    """
    wanted = list(dict.fromkeys(names))
    if not 1 <= len(wanted) <= MOST_VARIABLES:
        raise RequestError(f"Found {len(wanted)} variables; expected 1 to {MOST_VARIABLES}.")
    found, beyond = [], []
    for name in wanted:
        layer = collection.layer(name).layer
        cell = layer.placement.cell(longitude, latitude)
        if cell is None:
            beyond.append(name)
            continue
        found.append(_series(name, layer, cell, stop))
    return {"longitude": longitude, "latitude": latitude, "series": found, "beyond": beyond}


def _series(name: str, layer: Layer, cell: tuple[int, int], stop: Stop) -> dict[str, Any]:
    longitude, latitude = layer.placement.centre(*cell)
    described: dict[str, Any] = {
        "id": name,
        "units": layer.variable.units,
        "kind": layer.variable.kind,
        "row": cell[0],
        "column": cell[1],
        "longitude": longitude,
        "latitude": latitude,
        "outline": layer.placement.outline(*cell),
    }
    times = layer.times
    if times is None:
        values = layer.series(*cell, slice(0, 1), stop)
        return described | {"times": None, "values": numbers(values), "normal": None}
    every = max(1, math.ceil(len(times) / _MOST_STEPS))
    read = [
        layer.series(*cell, slice(start, min(start + _BLOCK * every, len(times)), every), _checked(stop))
        for start in range(0, len(times), _BLOCK * every)
    ]
    values = np.concatenate(read) if read else np.zeros(0)
    shown = times[::every]
    if isinstance(layer, PointLayer):  # each place has times of its own: the others are no gaps
        shown, values = shown[np.isfinite(values)], values[np.isfinite(values)]
    normal = None if layer.variable.kind == "categorical" else _normal(shown, values)
    return described | {"times": iso(shown), "every": every, "values": numbers(values), "normal": normal}


def _checked(stop: Stop) -> Stop:
    if stop():
        raise StoppedError("the client has left")
    return stop


def _normal(times: pd.DatetimeIndex, values: NDArray[Any]) -> dict[str, Any] | None:
    """Return mean and spread of the season of every time; None for a series too short to know seasons."""
    if len(times) < 8 or (times[-1] - times[0]) < pd.Timedelta(days=365.25 * _LEAST_YEARS):
        return None
    seasons = seasons_of(times)
    season = season_of(times, seasons)
    fitted = fit_climatology(values[:, None], season, seasons)
    mean, spread = fitted.mean[season, 0], fitted.std[season, 0]
    return {"mean": numbers(mean), "std": numbers(spread)}


def numbers(values: NDArray[Any]) -> list[float | None]:
    """Return values as JSON has them: six significant digits, null for what is no number."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]
