"""Complexity: over how many elements an explanation is spread."""

import numpy as np

from deepcube.explain.models import Array


def complexity(phi: Array) -> Array:
    """Return the entropy of the shares of the absolute attributions.

    Parameters
    ----------
    phi : numpy.ndarray of float, shape (..., elements)
        Attributions.

    Returns
    -------
    numpy.ndarray of float64, shape (...)
        ``-sum of p_i ln p_i`` with ``p_i = |phi_i| / sum of |phi|``, in nats: 0 for a single element, ``ln(elements)``
        for equal ones; NaN without any attribution. Definition 6 of Bhatt, Weller and Moura, 2020, Evaluating and
        Aggregating Feature-based Model Explanations, IJCAI.
    """
    shares = _shares(phi)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(shares > 0, shares * np.log(shares), np.where(np.isnan(shares), np.nan, 0.0))
    return -terms.sum(axis=-1)


def sparseness(phi: Array) -> Array:
    """Return the Gini index of the absolute attributions.

    Parameters
    ----------
    phi : numpy.ndarray of float, shape (..., elements)
        Attributions.

    Returns
    -------
    numpy.ndarray of float64, shape (...)
        0 for equal attributions, ``1 - 1/elements`` for a single one; NaN without any. Chalasani et al., 2020, Concise
        Explanations of Neural Networks using Adversarial Training, ICML, section 6; formula of Hurley and Rickard,
        2009, Comparing Measures of Sparsity, IEEE Transactions on Information Theory 55, table I.
    """
    shares = np.sort(_shares(phi), axis=-1)
    count = shares.shape[-1]
    rank = np.arange(1, count + 1)
    return np.asarray(((2 * rank - count - 1) * shares).sum(axis=-1) / count)


def _shares(phi: Array) -> Array:
    size = np.abs(np.asarray(phi, np.float64))
    total = size.sum(axis=-1, keepdims=True)
    return np.divide(size, total, out=np.full_like(size, np.nan), where=total > 0)
