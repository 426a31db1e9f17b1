"""Agreement: between two methods, and with the truth where it is known."""

import numpy as np
import xarray as xr
from scipy import stats

from deepcube.explain.errors import InputError
from deepcube.explain.models import Array

TOP = 5
"""Elements that count as the most important ones."""


def rank_correlation(first: Array, second: Array) -> Array:
    """Return Spearman's rank correlation along the last axis.

    Parameters
    ----------
    first, second : numpy.ndarray of float, shape (..., elements)
        Attributions.

    Returns
    -------
    numpy.ndarray of float64, shape (...)
        1 for the same order; NaN where either does not vary. Ties share their mean rank.
    """
    a, b = (stats.rankdata(part, axis=-1) for part in (first, second))
    a, b = (part - part.mean(axis=-1, keepdims=True) for part in (a, b))
    norm = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.divide((a * b).sum(axis=-1), norm, out=np.full_like(norm, np.nan), where=norm > 0)


def sign_agreement(first: Array, second: Array, top: int = TOP) -> Array:
    """Return the share of the most important elements that are the same and of the same sign.

    Parameters
    ----------
    first, second : numpy.ndarray of float, shape (..., elements)
        Attributions.
    top : int
        How many elements count, by absolute attribution.

    Returns
    -------
    numpy.ndarray of float64, shape (...)
        From 0 to 1. Signed feature agreement of Krishna et al., 2024, The Disagreement Problem in Explainable Machine
        Learning, TMLR, section 3.
    """
    top = min(top, first.shape[-1])
    chosen = [_top(part, top) for part in (first, second)]
    return (chosen[0] & chosen[1] & (np.sign(first) == np.sign(second))).sum(axis=-1) / top


def top_overlap(first: Array, second: Array, top: int = TOP) -> Array:
    """Return the share of the most important elements that are the same.

    Parameters
    ----------
    first, second, top
        As for :func:`sign_agreement`.

    Returns
    -------
    numpy.ndarray of float64, shape (...)
        From 0 to 1. Feature agreement of Krishna et al., 2024, section 3.
    """
    top = min(top, first.shape[-1])
    return (_top(first, top) & _top(second, top)).sum(axis=-1) / top


def _top(phi: Array, count: int) -> Array:
    order = np.argsort(-np.abs(phi), axis=-1, kind="stable")
    chosen = np.zeros(phi.shape, bool)
    np.put_along_axis(chosen, order[..., :count], True, axis=-1)
    return chosen


def agreement(first: xr.Dataset, second: xr.Dataset, top: int = TOP) -> xr.Dataset:
    """Compare two explanations of the same predictions.

    Parameters
    ----------
    first, second : xarray.Dataset
        As returned by :func:`deepcube.explain.explain`, with attributions of the same dims and sizes.
    top : int
        How many elements count as the most important.

    Returns
    -------
    xarray.Dataset, dims (instance, output)
        ``rank_correlation`` (Spearman), ``sign_agreement`` and ``top_overlap``.

    Raises
    ------
    InputError
        If they are of different shapes.
    """
    a, b = first["attribution"], second["attribution"]
    if dict(a.sizes) != dict(b.sizes):
        raise InputError(f"Found attributions of {dict(a.sizes)} and {dict(b.sizes)}; expected the same sizes.")
    x, y = (part.values.reshape(*a.shape[:2], -1) for part in (a, b.transpose(*a.dims)))
    values = {
        "rank_correlation": rank_correlation(x, y),
        "sign_agreement": sign_agreement(x, y, top),
        "top_overlap": top_overlap(x, y, top),
    }
    methods = f"{first.attrs.get('method')} and {second.attrs.get('method')}"
    return xr.Dataset(
        {name: (a.dims[:2], value, {"units": "1"}) for name, value in values.items()},
        attrs={"methods": methods, "top": top},
    )


def against_truth(explanation: xr.Dataset, truth: xr.DataArray) -> xr.Dataset:
    """Score attributions against what is known to drive a simulated output.

    Parameters
    ----------
    explanation : xarray.Dataset
        As returned by :func:`deepcube.explain.explain`, of a model of **simulated** data.
    truth : xarray.DataArray, bool or float, any of the dims (instance, output, ...) of the attributions
        Either which elements drive the output, or how much each contributes, in units of the output.

    Returns
    -------
    xarray.Dataset, dims (instance, output)
        Of a mask: ``relevance_mass``, the share of the absolute attribution that lies on it, and ``relevance_rank``,
        the share of it among as many largest attributions (Arras, Osman and Samek, 2022, CLEVR-XAI, Information Fusion
        81, equations 1 and 2), and ``auroc``, the chance that an element of it has a larger absolute attribution than
        one outside. Of contributions: ``correlation`` (Pearson), ``rank_correlation`` (Spearman) and ``rmse``.

    Raises
    ------
    InputError
        If the truth does not fit the attributions.
    """
    phi = explanation["attribution"]
    wrong = {d: n for d, n in truth.sizes.items() if phi.sizes.get(d) != n}
    if wrong:
        raise InputError(
            f"Found a truth of {dict(truth.sizes)} for attributions of {dict(phi.sizes)}; expected the same."
        )
    shape = (*phi.shape[:2], -1)
    template = xr.DataArray(np.empty(phi.shape, np.uint8), dims=phi.dims)
    known = truth.drop_vars(list(truth.coords)).broadcast_like(template).transpose(*phi.dims).values.reshape(shape)
    values = phi.values.reshape(shape).astype(np.float64)
    scores = _against_mask(values, known) if truth.dtype.kind == "b" else _against_values(values, known)
    units = {"rmse": phi.attrs.get("units", "1")}
    data = {name: (phi.dims[:2], value, {"units": units.get(name, "1")}) for name, value in scores.items()}
    return xr.Dataset(data, attrs={"method": explanation.attrs.get("method", ""), "truth": "simulated"})


def _against_mask(phi: Array, mask: Array) -> dict[str, Array]:
    size = np.abs(phi)
    total, inside = size.sum(axis=-1), mask.sum(axis=-1)
    if not ((inside > 0) & (inside < mask.shape[-1])).all():
        raise InputError(
            "Found a mask of all elements or of none; expected some that drive the output and some that do not."
        )
    ranks = stats.rankdata(size, axis=-1)
    outside = mask.shape[-1] - inside
    positive = np.where(mask, ranks, 0).sum(axis=-1)
    order = np.argsort(np.argsort(-size, axis=-1, kind="stable"), axis=-1)
    return {
        "relevance_mass": np.where(mask, size, 0).sum(axis=-1) / np.where(total > 0, total, np.nan),
        "relevance_rank": (mask & (order < inside[..., None])).sum(axis=-1) / inside,
        "auroc": (positive - inside * (inside + 1) / 2) / (inside * outside),
    }


def _against_values(phi: Array, truth: Array) -> dict[str, Array]:
    a, b = (part - part.mean(axis=-1, keepdims=True) for part in (phi, truth))
    norm = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return {
        "correlation": np.divide((a * b).sum(axis=-1), norm, out=np.full_like(norm, np.nan), where=norm > 0),
        "rank_correlation": rank_correlation(phi, truth),
        "rmse": np.sqrt(((phi - truth) ** 2).mean(axis=-1)),
    }
