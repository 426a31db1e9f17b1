"""How an interferogram is drawn, with what a model sees in it; shared by training and inference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.volcano.image import PIXELS

_EXTENT = (0, PIXELS, PIXELS, 0)


def draw_phase(axes: Any, seen: NDArray[np.float32]) -> None:
    """Draw phasors, shape (SIDE, SIDE, 2), on Matplotlib axes: phase as a cyclic colour, dark where incoherent."""
    from matplotlib import colormaps

    phase, length = np.arctan2(seen[..., 1], seen[..., 0]), np.linalg.norm(seen, axis=-1)
    colours = colormaps["twilight_shifted"]((phase + np.pi) / (2 * np.pi))[..., :3]
    axes.imshow(colours * np.clip(length, 0.15, 1)[..., None], extent=_EXTENT)
    axes.tick_params(labelsize=7)


def draw_support(axes: Any, support: NDArray[np.float32], mask: NDArray[np.float32]) -> None:
    """Draw over an interferogram where a model finds support, the more the brighter, and what it outlines.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where :func:`draw_phase` has drawn.
    support : numpy.ndarray of float32, shape (rows, columns)
        Support by activations, never negative.
    mask : numpy.ndarray of float32, shape (cells, cells)
        Probability that each cell deforms; outlined at one half.
    """
    share = np.clip(support / max(float(support.max()), 1e-12), 0, 1)
    axes.imshow(share, cmap="Wistia", alpha=0.85 * share, vmin=0, vmax=1, extent=_EXTENT)
    if mask.max() > 0.5 > mask.min():
        axes.contour(mask, levels=[0.5], colors="cyan", extent=_EXTENT, origin="upper")
