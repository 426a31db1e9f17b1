"""Honest scores: forecasts beside baselines, over the same rows, gaps left out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from deepcube.oblivious.errors import ScoreError

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Score:
    """How well a forecast did.

    Attributes
    ----------
    rmse : float
        Root mean square error, in the unit of the target.
    r2 : float
        Coefficient of determination, ``1 - sum((y - f)^2) / sum((y - mean(y))^2)``, also known as Nash-Sutcliffe
        efficiency (Nash and Sutcliffe, 1970, J. Hydrol. 10, 282-290): 1 is perfect, 0 no better than the mean of the
        truth, negative worse. NaN where the truth does not vary.
    n : int
        Number of values compared.
    """

    rmse: float
    r2: float
    n: int


def score(truth: FloatArray, forecast: FloatArray) -> Score:
    """Score a forecast where the truth was observed.

    Parameters
    ----------
    truth : numpy.ndarray of float, any shape
        Observed values; NaN where nothing was observed.
    forecast : numpy.ndarray of float, same shape
        Forecast values; must be finite wherever the truth is.

    Returns
    -------
    Score
        Over all observed values, pooled.

    Raises
    ------
    ScoreError
        If the shapes differ, nothing was observed, or a forecast is missing where the truth is known.
    """
    truth, forecast = np.asarray(truth, dtype=float), np.asarray(forecast, dtype=float)
    if truth.shape != forecast.shape:
        raise ScoreError(f"Found truth of shape {truth.shape} and forecast of shape {forecast.shape}; expected one.")
    observed = np.isfinite(truth)
    y, f = truth[observed], forecast[observed]
    if y.size == 0:
        raise ScoreError("Found no observed value to score against; expected at least one. Use a longer test period.")
    if not np.isfinite(f).all():
        missing = int((~np.isfinite(f)).sum())
        raise ScoreError(f"Found {missing} of {f.size} forecasts missing where the truth is known; expected none.")
    squares = float(((y - f) ** 2).sum())
    spread_of_truth = float(((y - y.mean()) ** 2).sum())
    r2 = 1.0 - squares / spread_of_truth if spread_of_truth > 0 else float("nan")
    return Score(rmse=float(np.sqrt(squares / y.size)), r2=r2, n=int(y.size))


def score_table(
    truth: FloatArray, forecasts: Mapping[str, FloatArray], outputs: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Score several forecasts of several outputs over the same observed values.

    Parameters
    ----------
    truth : numpy.ndarray of float, shape (rows, outputs)
        Observed values; NaN at gaps.
    forecasts : mapping of str to numpy.ndarray of float, shape (rows, outputs)
        The model and its baselines.
    outputs : sequence of str
        Names of the columns.

    Returns
    -------
    dict
        ``table[forecast]["overall" or output]`` is ``{"rmse", "r2", "n"}``. An output that was never observed is left
        out.

    Raises
    ------
    ScoreError
        As :func:`score`, and if the number of names does not fit.
    """
    truth = np.asarray(truth, dtype=float)
    if truth.ndim != 2 or truth.shape[1] != len(outputs):
        raise ScoreError(f"Found truth of shape {truth.shape}; expected (rows, {len(outputs)}) for {list(outputs)}.")
    seen = [i for i in range(len(outputs)) if np.isfinite(truth[:, i]).any()]
    return {
        name: {
            "overall": asdict(score(truth, forecast)),
            **{outputs[i]: asdict(score(truth[:, i], np.asarray(forecast)[:, i])) for i in seen},
        }
        for name, forecast in forecasts.items()
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Summarise one value over several seeds.

    Parameters
    ----------
    values : sequence of float
        One value per seed; at least one.

    Returns
    -------
    dict of str to float
        ``mean``, ``std`` (sample standard deviation, 0 for a single seed), ``min`` and ``max``.
    """
    array = np.asarray(values, dtype=float)
    deviation = float(array.std(ddof=1)) if array.size > 1 else 0.0
    return {"mean": float(array.mean()), "std": deviation, "min": float(array.min()), "max": float(array.max())}
