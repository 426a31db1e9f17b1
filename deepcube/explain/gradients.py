"""Attributions from gradients: of the input itself, and along a path from a baseline."""

import numpy as np

from deepcube.explain.models import Array, ModelAdapter


def gradient_times_input(model: ModelAdapter, inputs: Array, baseline: Array, outputs: int) -> Array:
    """Multiply the gradient at the input by the distance to the baseline.

    Parameters
    ----------
    model : ModelAdapter
        A model with gradients.
    inputs, baseline : numpy.ndarray of float, shape (n, ...)
        What to explain, and what to compare with.
    outputs : int
        Number of outputs.

    Returns
    -------
    numpy.ndarray of float64, shape (n, outputs, ...)
        First-order Taylor terms of the output around the input (Shrikumar et al., 2016, Not Just a Black Box,
        arXiv:1605.01713, section 2; with a baseline: Ancona et al., 2018, Towards better understanding of
        gradient-based attribution methods, ICLR). Exact for linear models only.
    """
    distance = (inputs - baseline).astype(np.float64)
    return np.stack([model.gradient(inputs, output) * distance for output in range(outputs)], axis=1)


def path_integral(model: ModelAdapter, inputs: Array, baseline: Array, outputs: int, steps: int) -> Array:
    """Integrate gradients along the straight line from the baseline to the input, by Gauss-Legendre quadrature.

    Parameters
    ----------
    model : ModelAdapter
        A model with gradients.
    inputs, baseline : numpy.ndarray of float, shape (n, ...)
        What to explain, and what to compare with.
    outputs : int
        Number of outputs.
    steps : int
        Points of the quadrature.

    Returns
    -------
    numpy.ndarray of float64, shape (n, outputs, ...)
        Integrated Gradients (Sundararajan, Taly and Yan, 2017, Axiomatic Attribution for Deep Networks, ICML,
        equation 1), for torch where captum is not installed.
    """
    points, weights = np.polynomial.legendre.leggauss(steps)
    distance = (inputs - baseline).astype(np.float64)
    total = np.zeros((len(inputs), outputs, *inputs.shape[1:]))
    for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
        there = baseline + point * distance
        for output in range(outputs):
            total[:, output] += weight * model.gradient(there, output)
    return total * distance[:, None]
