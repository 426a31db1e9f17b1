"""By how much one forecast of a rare event ranks better than another, and how much of that is luck.

Cases of one day or place have their causes in common, so the spread over seeds says little: groups of cases are drawn
again instead, and both forecasts are scored on the same draw.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from training_pipelines.binary_scores import checked

_DRAWS = 1000

Floats = npt.NDArray[np.float64]


def lead(truth: Any, forecast: Any, other: Any, groups: Any, weight: Any = None) -> dict[str, dict[str, float]]:
    """Return how far a forecast is ahead of another one, with groups of cases drawn with replacement.

    Parameters
    ----------
    truth : array-like of bool or {0, 1}, shape (n,)
        Whether the event happened.
    forecast, other : array-like of float, shape (n,)
        Probabilities or indices of danger.
    groups : array-like, shape (n,)
        What belongs together, for example the day of each case.
    weight : array-like of float, shape (n,), optional
        How many real cases each case stands for.

    Returns
    -------
    dict of str to dict of str to float
        For ``auroc`` and ``auprc`` the ``difference``, above 0 where the forecast is better, and ``low`` and ``high``,
        its 95 % interval by the percentiles of a bootstrap over groups (Davison and Hinkley, 1997, Bootstrap Methods
        and their Application, sections 3.8 and 5.3).

    Raises
    ------
    BinaryScoreError
        As :func:`training_pipelines.binary_scores.ranking_scores`.
    """
    _, place = np.unique(np.asarray(groups), return_inverse=True)
    count, random = int(place.max()) + 1, np.random.default_rng(0)
    curves = []
    for one in (forecast, other):
        y, x, w = checked(truth, one, weight, probability=False)
        curves.append(_Ranking(y, x, w, place))
    observed = curves[0].scores(np.ones(count)) - curves[1].scores(np.ones(count))
    drawn = random.multinomial(count, np.full(count, 1 / count), size=_DRAWS).astype(float)
    found = np.array([curves[0].scores(one) - curves[1].scores(one) for one in drawn])
    low, high = np.nanquantile(found, [0.025, 0.975], axis=0)  # draws without event or without calm have no score
    return {
        name: {"difference": float(observed[i]), "low": float(low[i]), "high": float(high[i])}
        for i, name in enumerate(("auroc", "auprc"))
    }


class _Ranking:
    """Cases in the order of a forecast, to be scored again and again with other weights."""

    def __init__(self, y: npt.NDArray[np.bool_], x: Floats, w: Floats, place: npt.NDArray[np.int64]) -> None:
        order = np.argsort(-x, kind="stable")
        self._event, self._weight, self._place = y[order], w[order], place[order]
        # Cases that tie raise their alarms together.
        self._ends = np.append(np.flatnonzero(np.diff(x[order])), len(x) - 1)

    def scores(self, times: Floats) -> Floats:
        """Return AUROC and average precision if each group is there so many times, shape (2,); NaN if undefined."""
        weight = self._weight * times[self._place]
        hits = np.cumsum(np.where(self._event, weight, 0.0))[self._ends]
        false = np.cumsum(np.where(self._event, 0.0, weight))[self._ends]
        if hits[-1] == 0 or false[-1] == 0:
            return np.full(2, np.nan)
        recall, rate = (np.concatenate([[0.0], part / part[-1]]) for part in (hits, false))
        alarms = hits + false
        precision = np.divide(hits, alarms, out=np.zeros_like(hits), where=alarms > 0)
        return np.array([np.trapezoid(recall, rate), (np.diff(recall) * precision).sum()])
