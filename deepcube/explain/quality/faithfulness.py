"""Faithfulness: whether the model reacts to the elements that an explanation points at as the explanation says."""

import numpy as np

from deepcube.explain.models import Array, ModelAdapter
from deepcube.explain.quality.flat import Flat

CURVE_STEPS = 20
"""Steps of a deletion or insertion curve."""

SUBSETS = 128
"""Random subsets of elements per instance."""


def deletion_curve(flat: Flat, model: ModelAdapter, steps: int = CURVE_STEPS) -> Array:
    """Follow the output while elements are replaced by their baseline, the most positive attribution first.

    Parameters
    ----------
    flat : Flat
        The explanation.
    model : ModelAdapter
        The explained model.
    steps : int
        Steps of the curve; as many as there are elements, if those are fewer.

    Returns
    -------
    numpy.ndarray of float64, shape (n, outputs, steps + 1)
        Output after each step, from the prediction to the output at the baseline: pixel flipping of Bach et al., 2015,
        On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation, PLoS ONE 10;
        deletion of Petsiuk et al., 2018, RISE, BMVC.
    """
    return _curves(flat, model, steps, flat.x, flat.x0)


def insertion_curve(flat: Flat, model: ModelAdapter, steps: int = CURVE_STEPS) -> Array:
    """Follow the output while elements of the input replace those of the baseline, the most positive first.

    Parameters
    ----------
    flat, model, steps
        As for :func:`deletion_curve`.

    Returns
    -------
    numpy.ndarray of float64, shape (n, outputs, steps + 1)
        Output after each step, from the output at the baseline to the prediction: insertion of Petsiuk et al., 2018,
        RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC.
    """
    return _curves(flat, model, steps, flat.x0, flat.x)


def _curves(flat: Flat, model: ModelAdapter, steps: int, start: Array, end: Array) -> Array:
    elements = flat.x.shape[1]
    steps = min(steps, elements)
    cuts = np.round(np.linspace(0, elements, steps + 1)).astype(int)
    curves = np.empty((*flat.phi.shape[:2], steps + 1))
    for i in range(len(flat.x)):
        rows = []
        for phi in flat.phi[i]:
            rank = np.empty(elements, int)
            rank[np.argsort(-phi, kind="stable")] = np.arange(elements)
            rows.append(np.where(rank[None] < cuts[:, None], end[i], start[i]))
        values = flat.predict(model, np.concatenate(rows)).reshape(len(rows), steps + 1, -1)
        for k in range(len(rows)):
            curves[i, k] = values[k, :, k]
    return curves


def area(curve: Array) -> Array:
    """Return the mean height of curves over the share of elements, by the trapezoidal rule.

    Parameters
    ----------
    curve : numpy.ndarray of float64, shape (..., steps + 1)
        Outputs at equal steps from no element to all.

    Returns
    -------
    numpy.ndarray of float64, shape (...)
        Area below each curve, the share running from 0 to 1.
    """
    return np.asarray(np.trapezoid(curve, dx=1 / (curve.shape[-1] - 1), axis=-1))


def random_subsets(flat: Flat, samples: int, seed: int, labels: Array | None = None) -> Array:
    """Draw random subsets of elements, or of their groups.

    Parameters
    ----------
    flat : Flat
        The explanation.
    samples : int
        How many subsets.
    seed : int
        Seed of the draw.
    labels : numpy.ndarray of int, optional
        Group of every element; groups are in or out as a whole.

    Returns
    -------
    numpy.ndarray of bool, shape (samples, elements)
        Every element, or group, is in each subset with probability one half.
    """
    numbers = np.arange(flat.x.shape[1]) if labels is None else np.ravel(labels)
    return np.random.default_rng(seed).random((samples, int(numbers.max()) + 1))[:, numbers] < 0.5


def _drops(flat: Flat, model: ModelAdapter, subsets: Array, i: int) -> Array:
    """Return how much each output falls when a subset of an instance's elements is replaced by the baseline."""
    rows = np.where(subsets, flat.x0[i], flat.x[i])
    return flat.predictions[i] - flat.predict(model, rows)


def infidelity(flat: Flat, model: ModelAdapter, subsets: Array) -> Array:
    """Return the mean squared difference between what subsets of elements are said to contribute and do contribute.

    Parameters
    ----------
    flat : Flat
        The explanation.
    model : ModelAdapter
        The explained model.
    subsets : numpy.ndarray of bool, shape (samples, elements)
        Elements that are replaced by their baseline together.

    Returns
    -------
    numpy.ndarray of float64, shape (n, outputs)
        ``mean over S of (sum of phi_i over S - (f(x) - f(x with S at the baseline)))**2``, in squared units of the
        output; zero is best. Equation 1 of Yeh et al., 2019, On the (In)fidelity and Sensitivity of Explanations,
        NeurIPS, with the perturbation "difference to baseline" on random subsets (section 3.1): an attribution is there
        the sensitivity times the perturbation.
    """
    result = np.empty(flat.phi.shape[:2])
    for i in range(len(flat.x)):
        said = subsets @ flat.phi[i].T
        result[i] = ((said - _drops(flat, model, subsets, i)) ** 2).mean(axis=0)
    return result


def faithfulness_correlation(flat: Flat, model: ModelAdapter, subsets: Array) -> Array:
    """Return the correlation between what subsets of elements are said to contribute and do contribute.

    Parameters
    ----------
    flat, model, subsets
        As for :func:`infidelity`.

    Returns
    -------
    numpy.ndarray of float64, shape (n, outputs)
        Pearson correlation over the subsets, 1 at best; NaN where either does not vary. Definition 4 of Bhatt, Weller
        and Moura, 2020, Evaluating and Aggregating Feature-based Model Explanations, IJCAI.
    """
    result = np.empty(flat.phi.shape[:2])
    for i in range(len(flat.x)):
        said, done = subsets @ flat.phi[i].T, _drops(flat, model, subsets, i)
        for k in range(flat.phi.shape[1]):
            varies = said[:, k].std() > 1e-12 and done[:, k].std() > 1e-12
            result[i, k] = np.corrcoef(said[:, k], done[:, k])[0, 1] if varies else np.nan
    return result
