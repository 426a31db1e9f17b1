"""Forecasts as distributions: quantiles, from the errors that a forecast made before, and how good they are."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

LEVELS = tuple(round(0.1 * k, 1) for k in range(1, 10))
"""Levels of the quantiles, the first and the last of which bound the central 80 %."""


def error_quantiles(truth: Floats, forecast: Floats) -> Floats:
    """Return the quantiles of the errors of a forecast, at each horizon.

    Parameters
    ----------
    truth, forecast : numpy.ndarray of float, shape (rows, horizons)
        Observed values, NaN at gaps, and forecasts, of a period **that the forecast was not fitted on and that is not
        the test period**.

    Returns
    -------
    numpy.ndarray of float64, shape (horizons, levels)
        To be added to a forecast: it becomes a distribution that was right as often as it says, in that period
        (Vovk et al., 2018, Conformal predictive distributions, section 4, with one calibration set). 0 at a horizon
        that was never observed.
    """
    errors = np.where(np.isfinite(truth), truth - forecast, np.nan).astype(np.float64)
    found = [
        np.nanquantile(column, LEVELS) if np.isfinite(column).any() else np.zeros(len(LEVELS)) for column in errors.T
    ]
    return np.stack(found)


def crps(truth: Floats, quantiles: Floats) -> float:
    """Return the continuous ranked probability score of quantile forecasts, in the unit of the truth.

    Parameters
    ----------
    truth : numpy.ndarray of float, shape (...)
        Observed values; NaN at gaps.
    quantiles : numpy.ndarray of float, shape (..., levels)
        Forecasts at :data:`LEVELS`.

    Returns
    -------
    float
        Twice the mean pinball loss over the levels (Gneiting and Ranjan, 2011, Comparing density forecasts using
        threshold- and quantile-weighted scoring rules, JBES 29, equation 5, as a sum), over all observed values. Less
        is better; of a forecast without spread it is the mean absolute error. NaN if nothing was observed.
    """
    known = np.isfinite(truth)
    if not known.any():
        return float("nan")
    error = truth[known][:, None].astype(np.float64) - quantiles[known]
    levels = np.asarray(LEVELS)
    return float(2 * np.maximum(levels * error, (levels - 1) * error).mean())


def coverage(truth: Floats, quantiles: Floats) -> float:
    """Return the share of observed values between the outer quantiles, 0.8 of a calibrated forecast."""
    known = np.isfinite(truth)
    inside = (truth >= quantiles[..., 0]) & (truth <= quantiles[..., -1])
    return float(inside[known].mean()) if known.any() else float("nan")


def quantile_scores(truth: Floats, quantiles: Floats) -> dict[str, float]:
    """Return ``crps`` and ``coverage_80`` of quantile forecasts; see :func:`crps` and :func:`coverage`."""
    return {"crps": crps(truth, quantiles), "coverage_80": coverage(truth, quantiles)}


def below(threshold: Floats, quantiles: Floats) -> Floats:
    """Return the probability that the outcome lies below a threshold.

    Parameters
    ----------
    threshold : numpy.ndarray of float, shape (...)
        The threshold.
    quantiles : numpy.ndarray of float, shape (..., levels)
        Forecasts at :data:`LEVELS`.

    Returns
    -------
    numpy.ndarray of float64, shape (...)
        By linear interpolation between the quantiles; beyond the outer ones, where they say nothing more, half of
        what lies outside. NaN where the threshold is.
    """
    rank = (quantiles < threshold[..., None]).sum(axis=-1)
    low = np.take_along_axis(quantiles, np.clip(rank - 1, 0, None)[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(quantiles, np.clip(rank, None, len(LEVELS) - 1)[..., None], axis=-1)[..., 0]
    width = np.where(high > low, high - low, 1.0)
    levels = np.asarray(LEVELS)
    start, step = levels[np.clip(rank - 1, 0, None)], levels[1] - levels[0]
    between = start + step * np.clip((threshold - low) / width, 0, 1)
    outside = np.where(rank == 0, levels[0] / 2, 1 - levels[0] / 2)
    chance = np.where((rank > 0) & (rank < len(LEVELS)), between, outside)
    return np.where(np.isfinite(threshold), chance, np.nan)
