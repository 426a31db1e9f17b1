"""Scores of vegetation forecasts as the EarthNet challenges publish them: pixel by pixel, then over pixels."""

from typing import Any

import numpy as np
import numpy.typing as npt

LEAST = 3
"""Observed values that the series of a pixel needs to be scored."""

_LEAST_VARIANCE = 1e-6  # of NDVI: a series that does not vary has no efficiency


def vegetation_scores(
    truth: npt.ArrayLike, forecast: npt.ArrayLike, climatology: npt.ArrayLike, series: npt.ArrayLike
) -> dict[str, float]:
    """Score a forecast pixel by pixel.

    Parameters
    ----------
    truth : array of float, shape (values,)
        Observed NDVI; NaN where nothing was observed.
    forecast, climatology : array of float, shape (values,)
        Forecasts of the model and of the seasonal climatology.
    series : array of int, shape (values,)
        Which series each value belongs to: a pixel at one horizon, or a pixel in one forecast.

    Returns
    -------
    dict
        ``nse``, the median over series of the Nash-Sutcliffe efficiency ``1 - MSE / variance`` (Nash and Sutcliffe,
        1970, Journal of Hydrology 10); ``nnse``, the mean of ``1 / (2 - NSE)`` (Nossent and Bauwens, 2012), from 0 to
        1; ``veg_score``, ``2 - 1 / nnse``; ``beats_climatology``, the share of series whose mean squared error is below
        that of the climatology; ``series``, how many were scored. Benson et al., 2024, Multi-modal Learning for
        Geospatial Vegetation Forecasting, CVPR, section 5. NaN where no series has :data:`LEAST` observed values.
    """
    y, f, c = (np.ravel(np.asarray(part, np.float64)) for part in (truth, forecast, climatology))
    known = np.isfinite(y)
    _, group = np.unique(np.ravel(series)[known], return_inverse=True)
    y, f, c = y[known], f[known], c[known]

    def per_series(values: npt.NDArray[np.float64]) -> Any:
        return np.bincount(group, values) / np.bincount(group)

    if not y.size:
        return _nothing()
    count = np.bincount(group)
    mean = per_series(y)
    variance = per_series((y - mean[group]) ** 2)
    error, reference = per_series((y - f) ** 2), per_series((y - c) ** 2)
    scored = (count >= LEAST) & (variance > _LEAST_VARIANCE)
    if not scored.any():
        return _nothing()
    nse = 1 - error[scored] / variance[scored]
    nnse = float((1 / (2 - nse)).mean())
    return {
        "nse": float(np.median(nse)),
        "nnse": nnse,
        "veg_score": 2 - 1 / nnse,
        "beats_climatology": float((error[scored] < reference[scored]).mean()),
        "series": int(scored.sum()),
    }


def _nothing() -> dict[str, float]:
    return dict.fromkeys(("nse", "nnse", "veg_score", "beats_climatology"), float("nan")) | {"series": 0}
