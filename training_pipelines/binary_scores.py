"""How good probabilities of a rare event are: ranking, calibration and false alarms, thin over scikit-learn.

For use cases that say how probable something is (a fire tomorrow, a deformation in an interferogram). One table per
forecast, over the same cases::

    binary_scores(truth, probability)              # AUROC, AUPRC, Brier score and skill, log loss
    operating_point(truth, probability, recall=0.9)  # what catching 90 % of the events costs
    calibration_table(truth, probability)          # is 30 % really 30 %?
    over_seeds([scores_of_seed_0, ...])            # how much of it is luck

``weight`` says how many real cases a case stands for, where cases that were no event have been thinned out: without it
every score that depends on how common the event is (all but AUROC and recall) would be of the thinned sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]


class BinaryScoreError(ValueError):
    """Truth and probabilities do not fit together, or cannot be scored."""


@dataclass(frozen=True)
class OperatingPoint:
    """What it costs to catch a given share of the events.

    Attributes
    ----------
    threshold : float
        The highest probability at which alarms have to start: alarm where ``probability >= threshold``.
    recall : float
        Share of the events that are caught there (hit rate); at least what was asked for.
    false_alarm_rate : float
        Share of the non-events that raise an alarm (probability of false detection).
    precision : float
        Share of the alarms that are events.
    alarms : float
        Share of all cases that raise an alarm.
    false_alarms_per_map : float
        Mean number of false alarms on one map, for example of one day; NaN where no maps were named.
    """

    threshold: float
    recall: float
    false_alarm_rate: float
    precision: float
    alarms: float
    false_alarms_per_map: float = float("nan")


def binary_scores(truth: Any, probability: Any, weight: Any = None) -> dict[str, float]:
    """Score probabilities of an event.

    Parameters
    ----------
    truth : array-like of bool or {0, 1}, shape (n,)
        Whether the event happened. Both must occur.
    probability : array-like of float, shape (n,)
        Its forecast probability, 0 to 1.
    weight : array-like of float, shape (n,), optional
        How many real cases each case stands for.

    Returns
    -------
    dict of str to float
        ``auroc``; ``auprc`` (average precision, which does not interpolate between thresholds: Davis and Goadrich,
        2006, ICML, 233-240); ``brier`` (Brier, 1950, Mon. Weather Rev. 78, 1-3); ``brier_skill``, its share of
        improvement over always forecasting the base rate of these cases; ``log_loss`` (natural logarithm);
        ``base_rate``; ``n``; ``events``.

    Raises
    ------
    BinaryScoreError
        If the lengths differ, a value is missing or no probability, or only one of the outcomes occurs.
    """
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

    y, p, w = checked(truth, probability, weight)
    base_rate = float(np.average(y, weights=w))
    brier = float(brier_score_loss(y, p, sample_weight=w))
    return {
        "auroc": float(roc_auc_score(y, p, sample_weight=w)),
        "auprc": float(average_precision_score(y, p, sample_weight=w)),
        "brier": brier,
        "brier_skill": 1.0 - brier / (base_rate * (1.0 - base_rate)),
        "log_loss": float(log_loss(y, p, sample_weight=w, labels=[0, 1])),
        "base_rate": base_rate,
        "n": float(y.size),
        "events": float(y.sum()),
    }


def ranking_scores(truth: Any, index: Any, weight: Any = None) -> dict[str, float]:
    """Score an index of danger that is no probability, for example a Fire Weather Index.

    Parameters
    ----------
    truth : array-like of bool or {0, 1}, shape (n,)
        Whether the event happened.
    index : array-like of float, shape (n,)
        Any number that is larger where the event is thought more probable.
    weight : array-like of float, shape (n,), optional
        How many real cases each case stands for.

    Returns
    -------
    dict of str to float
        Those of :func:`binary_scores` that need an order only: ``auroc``, ``auprc``, ``base_rate``, ``n``, ``events``.

    Raises
    ------
    BinaryScoreError
        As :func:`binary_scores`, but any finite number will do as an index.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    y, x, w = checked(truth, index, weight, probability=False)
    return {
        "auroc": float(roc_auc_score(y, x, sample_weight=w)),
        "auprc": float(average_precision_score(y, x, sample_weight=w)),
        "base_rate": float(np.average(y, weights=w)),
        "n": float(y.size),
        "events": float(y.sum()),
    }


def operating_point(
    truth: Any, probability: Any, *, recall: float = 0.9, weight: Any = None, maps: Any = None
) -> OperatingPoint:
    """Find the highest threshold that catches a share of the events, and what it costs.

    Parameters
    ----------
    truth : array-like of bool or {0, 1}, shape (n,)
        Whether the event happened.
    probability : array-like of float, shape (n,)
        Its probability, or any index of danger.
    recall : float
        Share of the events to catch, above 0 and at most 1.
    weight : array-like of float, shape (n,), optional
        How many real cases each case stands for.
    maps : array-like, shape (n,), or int; optional
        Which map each case is on, for example its date, or how many maps there are where the cases are a thinned
        sample of them: then false alarms are also counted per map.

    Returns
    -------
    OperatingPoint
        At the threshold. Cases that tie with it raise an alarm, too.

    Raises
    ------
    BinaryScoreError
        As :func:`ranking_scores`, and if ``recall`` is out of range or ``maps`` is of another length.
    """
    y, x, w = checked(truth, probability, weight, probability=False)
    if not 0 < recall <= 1:
        raise BinaryScoreError(f"Found recall {recall}; expected more than 0 and at most 1, for example 0.9.")
    hits = np.where(y, w, 0.0)
    order = np.argsort(-x, kind="stable")
    caught = np.cumsum(hits[order]) / hits.sum()
    # Sums of weights round: a share that is reached up to that counts as reached.
    threshold = float(x[order][np.searchsorted(caught, recall - 1e-12)])
    alarm = x >= threshold
    false = np.where(alarm & ~y, w, 0.0)
    return OperatingPoint(
        threshold=threshold,
        recall=float(hits[alarm].sum() / hits.sum()),
        false_alarm_rate=float(false.sum() / w[~y].sum()),
        precision=float(hits[alarm].sum() / w[alarm].sum()),
        alarms=float(w[alarm].sum() / w.sum()),
        false_alarms_per_map=float(false.sum() / _count_maps(maps, y.size)) if maps is not None else float("nan"),
    )


def calibration_table(truth: Any, probability: Any, *, bins: int = 10, weight: Any = None) -> pd.DataFrame:
    """Compare forecast probabilities with how often the event happened, in bins of equally many cases.

    Parameters
    ----------
    truth : array-like of bool or {0, 1}, shape (n,)
        Whether the event happened.
    probability : array-like of float, shape (n,)
        Its forecast probability, 0 to 1.
    bins : int
        Number of bins; fewer where many probabilities are the same.
    weight : array-like of float, shape (n,), optional
        How many real cases each case stands for.

    Returns
    -------
    pandas.DataFrame
        A row per bin, from low to high: ``forecast`` (mean probability) and ``observed`` (share of events), both
        weighted; ``low`` and ``high``, the 95 % interval of the share (Wilson, 1927, J. Am. Stat. Assoc. 22, 209-212;
        of weighted cases that of their odds, Woolf, 1955, Ann. Hum. Genet. 19, 251-253); ``n`` and ``events``. Its
        ``attrs["ece"]`` is the expected calibration error, the weighted mean of ``|forecast - observed|``.

    Raises
    ------
    BinaryScoreError
        As :func:`binary_scores`, and if there is no bin.
    """
    y, p, w = checked(truth, probability, weight)
    if bins < 1:
        raise BinaryScoreError(f"Found {bins} bins; expected at least 1.")
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)))
    place = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, max(len(edges) - 2, 0))
    rows = []
    for one in np.unique(place):
        inside = place == one
        weights = w[inside]
        share = float(np.average(y[inside], weights=weights))
        interval = _wilson(share, y[inside].size) if np.ptp(weights) == 0 else _woolf(y[inside], weights)
        rows.append(
            {
                "forecast": float(np.average(p[inside], weights=weights)),
                "observed": share,
                **dict(zip(("low", "high"), interval, strict=True)),
                "n": int(inside.sum()),
                "events": int(y[inside].sum()),
                "weight": float(weights.sum()),
            }
        )
    table = pd.DataFrame(rows)
    table.attrs["ece"] = float(np.average((table["forecast"] - table["observed"]).abs(), weights=table["weight"]))
    return table.drop(columns="weight")


def over_seeds(scores: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Summarise the scores of models that differ in their seed only.

    Parameters
    ----------
    scores : sequence of mapping of str to float
        One table of scores per seed, with the same names.

    Returns
    -------
    dict of str to dict of str to float
        For each name ``mean``, ``std`` (of the sample), ``min``, ``max``, and ``low`` and ``high``: the 95 % interval
        of the mean by Student's t distribution. A single seed has no spread: 0, and NaN as interval.

    Raises
    ------
    BinaryScoreError
        If there is no seed, or their names differ.
    """
    from scipy.stats import t

    if not scores:
        raise BinaryScoreError("Found no seed; expected the scores of at least one.")
    names = list(scores[0])
    if any(set(one) != set(names) for one in scores):
        raise BinaryScoreError(f"Found seeds with different scores; expected {names} of each.")
    summary = {}
    for name in names:
        values = np.array([one[name] for one in scores], dtype=float)
        deviation = float(values.std(ddof=1)) if values.size > 1 else 0.0
        freedom = values.size - 1
        half = float(t.ppf(0.975, freedom)) * deviation / values.size**0.5 if freedom else float("nan")
        mean = float(values.mean())
        summary[name] = {
            "mean": mean,
            "std": deviation,
            "min": float(values.min()),
            "max": float(values.max()),
            "low": mean - half,
            "high": mean + half,
        }
    return summary


def probability_spread(probabilities: Sequence[Any]) -> Floats:
    """Return how far the models of several seeds disagree on each case.

    Parameters
    ----------
    probabilities : sequence of array-like of float, shape (n,)
        Forecast of each seed.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
        Standard deviation of the sample over the seeds; 0 for a single one.

    Raises
    ------
    BinaryScoreError
        If there is no seed, or they are of different lengths.
    """
    arrays = [np.asarray(one, dtype=float) for one in probabilities]
    if not arrays or len({one.shape for one in arrays}) != 1:
        raise BinaryScoreError(f"Found seeds of shapes {[one.shape for one in arrays]}; expected one or more alike.")
    return np.stack(arrays).std(axis=0, ddof=1) if len(arrays) > 1 else np.zeros_like(arrays[0])


def flat_point(point: OperatingPoint, recall: float) -> dict[str, float]:
    """Return an operating point as names of metrics, for example ``false_alarm_rate_at_recall_90``; NaN is left out."""
    named = {f"{name}_at_recall_{round(100 * recall)}": value for name, value in asdict(point).items()}
    return {name: value for name, value in named.items() if np.isfinite(value)}


def checked(
    truth: Any, forecast: Any, weight: Any, *, probability: bool = True
) -> tuple[npt.NDArray[np.bool_], Floats, Floats]:
    """Return truth, forecast and weights as arrays that can be scored.

    Parameters
    ----------
    truth : array-like of bool or {0, 1}, shape (n,)
        Whether the event happened.
    forecast : array-like of float, shape (n,)
        Its probability, or any index of danger.
    weight : array-like of float, shape (n,), or None
        How many real cases each case stands for; 1 without.
    probability : bool
        Whether forecasts must lie within 0 and 1.

    Returns
    -------
    tuple of numpy.ndarray, shape (n,) each
        Truth (bool), forecast and weight (float64).

    Raises
    ------
    BinaryScoreError
        If the lengths differ, a value is missing or impossible, or only one of the outcomes occurs.
    """
    outcome, x = np.asarray(truth, dtype=float), np.asarray(forecast, dtype=float)
    w = np.ones(outcome.shape) if weight is None else np.asarray(weight, dtype=float)
    if outcome.ndim != 1 or x.shape != outcome.shape or w.shape != outcome.shape:
        raise BinaryScoreError(
            f"Found truth of shape {outcome.shape}, forecast of shape {x.shape} and weight of shape {w.shape}; "
            "expected one dimension and one length."
        )
    if not np.isin(outcome, (0.0, 1.0)).all():
        raise BinaryScoreError("Found outcomes other than 0 and 1; expected whether the event happened, none missing.")
    if not np.isfinite(x).all():
        raise BinaryScoreError(f"Found {int((~np.isfinite(x)).sum())} of {x.size} forecasts missing; expected none.")
    if probability and ((x < 0) | (x > 1)).any():
        raise BinaryScoreError(f"Found forecasts from {x.min():g} to {x.max():g}; expected probabilities, 0 to 1.")
    if not (np.isfinite(w) & (w > 0)).all():
        raise BinaryScoreError("Found a weight that is not a positive number; expected how many cases each stands for.")
    events = int(outcome.sum())
    if events in (0, outcome.size):
        raise BinaryScoreError(
            f"Found {events} events among {outcome.size} cases; expected some of both. Use a longer period."
        )
    return outcome.astype(bool), x, w


def _count_maps(maps: Any, length: int) -> int:
    names = np.asarray(maps)
    if names.ndim == 0 and names > 0:
        return int(names)
    if names.shape != (length,):
        raise BinaryScoreError(f"Found maps of shape {names.shape} for {length} cases; expected one map per case.")
    return len(np.unique(names))


def _wilson(share: float, n: float) -> tuple[float, float]:
    z = 1.959963984540054  # of the standard normal distribution, 97.5 %
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def _woolf(outcome: npt.NDArray[np.bool_], weight: Floats) -> tuple[float, float]:
    """Return the interval of a weighted share by the variance of its log-odds, half a case added to each outcome."""
    odds, variance = 0.0, 0.0
    for sign, side in ((1, weight[outcome]), (-1, weight[~outcome])):
        mean = side.mean() if side.size else weight.mean()
        effective = side.sum() ** 2 / (side**2).sum() if side.size else 0.0  # Kish, 1965
        odds += sign * np.log(mean * (side.size + 0.5))
        variance += 1 / (effective + 0.5)
    low, high = (1 / (1 + np.exp(-(odds + z * variance**0.5))) for z in (-1.959963984540054, 1.959963984540054))
    return float(low), float(high)
