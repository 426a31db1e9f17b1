"""The shape of the deformation in a wrapped interferogram: what tells a point, a dyke and a sill apart.

Fringes alone hardly tell them apart, because all of them make rings. Unwrapped, they differ: a dyke lifts on both sides
and lowers between, a sill falls off more steeply than a point of the same width. So the phase is unwrapped by weighted
least squares, a plane is taken off, and the surface is described by numbers that no turn or mirror image changes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.volcano.image import SIDE

Floats = NDArray[np.float64]

_LEVELS = (0.8, 0.5, 0.25, 0.1)
_ROUNDS = 12  # of the conjugate gradients; more change the surface by less than the noise does
_ONE_PIXEL = 1 / 12  # variance of the place within a pixel, so that a single one has a width

SHAPE = (
    "log_height",
    "opposite_height",
    *(f"{name}_{level}" for level in _LEVELS for name in ("log_area", "log_width", "log_elongation")),
    "opposite_area",
    "opposite_core",
    "slope",
    "curvature",
    "distance",
)
"""Names of the numbers of :func:`shape_statistics`: height (radians, logarithm) of the highest point after a sign that
makes it positive; depth of the lowest as a share of it; area, width and elongation (pixels and ratio, logarithms) above
each share of it; share of the patch below -0.1 and -0.3 of it; largest slope and curvature (per pixel, as shares of
it); distance from the highest to the lowest point (pixels)."""


def unwrap(seen: NDArray[np.float32]) -> Floats:
    """Unwrap the phase of a patch by weighted least squares.

    Ghiglia and Romero, 1994, Robust two-dimensional weighted and unweighted phase unwrapping that uses fast transforms
    and iterative methods, JOSA A 11, 107-117: conjugate gradients (their algorithm 3), preconditioned by the solution
    without weights, which is one cosine transform (their equation 13). Weights are squared coherence.

    Parameters
    ----------
    seen : numpy.ndarray of float32, shape (SIDE, SIDE, 2)
        As returned by :func:`features.volcano.phasor`.

    Returns
    -------
    numpy.ndarray of float64, shape (SIDE, SIDE)
        Phase in radians, up to a constant; smooth where nothing is coherent.
    """
    from scipy.fft import dctn, idctn

    z, length = seen[..., 0] + 1j * seen[..., 1], np.linalg.norm(seen, axis=-1).astype(float)
    gradients = [np.angle(z[1:] * z[:-1].conj()), np.angle(z[:, 1:] * z[:, :-1].conj())]
    weights = [np.minimum(length[1:], length[:-1]) ** 2, np.minimum(length[:, 1:], length[:, :-1]) ** 2]
    count = len(z)
    one = 2 * np.cos(np.pi * np.arange(count) / count) - 2
    eigenvalues = one[:, None] + one[None, :]
    eigenvalues[0, 0] = 1

    def divergence(down: Floats, across: Floats) -> Floats:
        total = np.zeros((count, count))
        total[:-1] += down
        total[1:] -= down
        total[:, :-1] += across
        total[:, 1:] -= across
        return total

    def without_weights(right: Floats) -> Floats:
        spectrum = dctn(right, norm="ortho") / eigenvalues
        spectrum[0, 0] = 0
        return np.asarray(idctn(spectrum, norm="ortho"))

    rest = divergence(weights[0] * gradients[0], weights[1] * gradients[1])
    phase, direction, before = np.zeros((count, count)), np.zeros((count, count)), np.inf
    for _ in range(_ROUNDS):
        step = without_weights(rest)
        now = float((rest * step).sum())
        if abs(now) < 1e-9:
            break
        direction = step + now / before * direction
        moved = divergence(weights[0] * np.diff(direction, axis=0), weights[1] * np.diff(direction, axis=1))
        share = now / float((direction * moved).sum())
        phase, rest, before = phase + share * direction, rest - share * moved, now
    return phase


def shape_statistics(seen: NDArray[np.float32]) -> Floats:
    """Describe the shape of what deforms in a patch by the numbers :data:`SHAPE`.

    Parameters
    ----------
    seen : numpy.ndarray of float32, shape (SIDE, SIDE, 2)
        As returned by :func:`features.volcano.phasor`.

    Returns
    -------
    numpy.ndarray of float64, shape (len(SHAPE),)
        The numbers. They stay the same, but for rounding, under turns, mirror images, the sign and a constant phase.
    """
    from scipy.ndimage import gaussian_filter

    length = np.linalg.norm(seen, axis=-1).astype(float)
    surface = gaussian_filter(_without_plane(unwrap(seen), length**2), 0.7)
    surface = surface if surface.max() >= -surface.min() else -surface
    height = max(float(surface.max()), 1e-6)
    shape = surface / height
    numbers = [np.log(height), -float(shape.min())]
    for level in _LEVELS:
        numbers += _extent(np.where(shape > level, np.maximum(shape, 0), 0))
    top, bottom = (np.array(np.unravel_index(place, shape.shape)) for place in (shape.argmax(), shape.argmin()))
    steepest = max(float(np.abs(np.diff(shape, axis=axis)).max()) for axis in (0, 1))
    bent = max(float(np.abs(np.diff(shape, 2, axis=axis)).max()) for axis in (0, 1))
    lowered = [float((shape < -share).mean()) for share in (0.1, 0.3)]
    return np.array([*numbers, *lowered, steepest, bent, float(np.hypot(*(top - bottom)))])


def _extent(weight: Floats) -> list[float]:
    """Return the logarithms of area, width and elongation of a weighted area, by its second moments."""
    total = max(float(weight.sum()), 1e-12)
    rows, columns = (places - float((weight * places).sum()) / total for places in np.indices(weight.shape))
    mixed = float((weight * rows * columns).sum()) / total
    spread = [[float((weight * rows**2).sum()) / total, mixed], [mixed, float((weight * columns**2).sum()) / total]]
    small, large = np.maximum(np.linalg.eigvalsh(np.array(spread)), 0) + _ONE_PIXEL
    return [
        float(np.log(max(float((weight > 0).sum()), 1))),
        0.5 * float(np.log(small)),
        0.5 * float(np.log(large / small)),
    ]


def _without_plane(phase: Floats, weight: Floats) -> Floats:
    """Take off the plane of what does not deform: least squares, in which what stands out counts ever less."""
    axis = np.linspace(-1, 1, SIDE)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    terms = np.stack([np.ones(phase.size), y.ravel(), x.ravel()], axis=1)
    counted = weight.ravel() + 1e-6
    flat = phase.ravel()
    for _ in range(5):
        plane = np.linalg.lstsq(terms * counted[:, None], flat * counted, rcond=None)[0]
        rest = flat - terms @ plane
        usual = float(np.median(np.abs(rest))) + 1e-3
        counted = (weight.ravel() + 1e-6) / (1 + (rest / (2 * usual)) ** 2)
    return np.asarray(rest.reshape(phase.shape))
