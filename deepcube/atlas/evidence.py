"""How far a prediction can be trusted: what came true after predictions like it, and past cases that were similar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepcube.atlas.tables import TableLayer
from deepcube.cubes import cell_centre

MOST_ALIKE = 400
"""Predictions of about the same value that are looked at."""

LEAST_ALIKE = 20
"""Fewer say nothing."""

CASES = 3
"""Similar past cases that are told of."""

_SHARE = 0.9  # of errors, that is told of quantities


def calibration(predicted: TableLayer, truth: TableLayer, value: float) -> dict[str, Any] | None:
    """Tell what came true after the predictions nearest in value.

    Parameters
    ----------
    predicted, truth : TableLayer
        Predictions, and what came true at the same places and times; ``truth.weights`` tells how many cases each stands
        for, where cases were thinned out.
    value : float
        The prediction.

    Returns
    -------
    dict or None
        ``count`` of predictions, their ``low`` and ``high``; of events (a truth of zeros and ones) ``share``, how many
        of them came true, else ``error``, that nine tenths of them were not further off than. None where too few are
        known.
    """
    return calibration_of(*_pairs(predicted, truth), value)


def calibration_of(
    forecast: NDArray[np.float64], came: NDArray[np.float64], weight: NDArray[np.float64], value: float
) -> dict[str, Any] | None:
    """Tell what came true after the predictions nearest in value, of pairs; see :func:`calibration`.

    Parameters
    ----------
    forecast, came, weight : numpy.ndarray of float64, shape (pairs,)
        Predictions, what came true, and how many cases each stands for.
    value : float
        The prediction.
    """
    if len(forecast) < LEAST_ALIKE:
        return None
    events = bool(np.isin(came, (0, 1)).all())
    apart = np.abs(_odds(forecast) - _odds(np.array([value]))) if events else np.abs(forecast - value)
    count = min(MOST_ALIKE, max(LEAST_ALIKE, len(forecast) // 5))
    alike = np.argpartition(apart, count - 1)[:count]
    found = {"count": int(count), "low": float(forecast[alike].min()), "high": float(forecast[alike].max())}
    if events:
        return found | {"share": float(np.average(came[alike], weights=weight[alike])), "error": None}
    error = float(np.quantile(np.abs(forecast[alike] - came[alike]), _SHARE))
    return found | {"share": None, "error": error}


def _pairs(
    predicted: TableLayer, truth: TableLayer
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return predictions, what came true at the same places and times, and the weights of these pairs."""
    assert predicted.times is not None and truth.times is not None
    _, steps, true_steps = np.intersect1d(predicted.times, truth.times, return_indices=True)
    _, places, true_places = np.intersect1d(predicted.places.keys, truth.places.keys, return_indices=True)
    forecast = predicted.values[np.ix_(steps, places)].ravel().astype(float)
    came = truth.values[np.ix_(true_steps, true_places)].ravel().astype(float)
    weights = truth.weights
    weight = np.ones_like(came) if weights is None else weights[np.ix_(true_steps, true_places)].ravel().astype(float)
    known = np.isfinite(forecast) & np.isfinite(came) & (weight > 0)
    return forecast[known], came[known], weight[known]


def _odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log-odds: rare events differ by factors, not by differences."""
    clipped = np.clip(probability, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(clipped / (1 - clipped)))


def similar_cases(
    past: pd.DataFrame,
    columns: Sequence[str],
    inputs: Mapping[str, float | None],
    importance: Mapping[str, float],
    count: int = CASES,
) -> pd.DataFrame:
    """Return the past cases whose inputs were most alike, in what mattered to this prediction.

    The distance is that of the inputs in standard deviations over the past cases, each weighed by its share of the
    absolute attributions; only the nearest case of each time is returned, as neighbours are all alike.

    Parameters
    ----------
    past : pandas.DataFrame
        Inputs of cases before this one, with ``cell_id`` and ``time``.
    columns : sequence of str
        The inputs.
    inputs : mapping of str to float or None
        Those of this prediction; None where nothing was observed.
    importance : mapping of str to float
        Attribution of every input; all inputs count alike where there is none.
    count : int
        Most cases.

    Returns
    -------
    pandas.DataFrame
        ``cell_id``, ``time`` and ``distance`` (unit 1), the most alike first.
    """
    table = past[list(columns)].to_numpy(np.float64)
    mean, spread = np.nanmean(table, axis=0), np.nanstd(table, axis=0)
    here = np.array([np.nan if inputs.get(name) is None else inputs[name] for name in columns], np.float64)
    weight = np.abs([importance.get(name, 0.0) for name in columns])
    weight = weight / weight.sum() if weight.sum() > 0 else np.full(len(columns), 1 / len(columns))
    scale = np.where(spread > 0, spread, np.inf)
    away = np.nan_to_num((table - mean) / scale) - np.nan_to_num((here - mean) / scale)
    found = past[["cell_id", "time"]].assign(distance=np.sqrt((away**2) @ weight))
    return found.sort_values("distance", kind="stable").drop_duplicates("time").head(count)


def tell_cases(cases: pd.DataFrame, predicted: TableLayer, truth: TableLayer | None) -> list[dict[str, Any]]:
    """Return similar cases as the page tells of them: where and when, what was predicted, what came true."""
    told = []
    for _, case in cases.iterrows():
        longitude, latitude = (float(value[0]) for value in cell_centre(np.array([case["cell_id"]], np.int64)))
        told.append(
            {
                "time": str(pd.Timestamp(case["time"]).isoformat()),
                "longitude": longitude,
                "latitude": latitude,
                "distance": float(case["distance"]),
                "predicted": _value(predicted, case),
                "truth": None if truth is None else _value(truth, case),
            }
        )
    return told


def _value(layer: TableLayer, case: pd.Series) -> float | None:
    assert layer.times is not None
    step = int(layer.times.get_indexer(pd.DatetimeIndex([case["time"]]))[0])
    place = int(np.searchsorted(layer.places.keys, case["cell_id"]))
    if step < 0 or place >= len(layer.places.keys) or layer.places.keys[place] != case["cell_id"]:
        return None
    value = float(layer.values[step, place])
    return value if np.isfinite(value) else None
