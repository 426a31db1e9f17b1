"""Vegetation indices from reflectance, and masks from scene classifications."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

SCL_CLEAR = (4, 5, 6, 7)
"""Sentinel-2 scene classes that show the ground: vegetation, bare soil, water, unclassified.

The other classes of the Level-2A scene classification (Sentinel-2 Products Specification Document, table of SCL codes)
are no data (0), saturated (1), dark or topographic shadow (2), cloud shadow (3), clouds of medium (8) and high (9)
probability, thin cirrus (10) and snow or ice (11).
"""


SCL_LAND = (4, 5)
"""The classes that are clear land for certain: vegetation and bare soil. Thin cloud hides among the unclassified."""


def scl_clear(scl: ArrayLike, classes: Sequence[int] = SCL_CLEAR) -> NDArray[np.bool_]:
    """Return where a Sentinel-2 scene classification shows clear ground.

    Parameters
    ----------
    scl : array-like
        Scene classification codes 0 to 11; NaN counts as no data.
    classes : sequence of int
        Codes that count as clear.

    Returns
    -------
    numpy.ndarray of bool, the shape of the input
        True where the code is one of the classes.
    """
    return np.isin(np.asarray(scl), classes)


def ndvi(red: ArrayLike, nir: ArrayLike) -> NDArray[np.float64]:
    """Return the normalised difference vegetation index, ``(nir - red) / (nir + red)``.

    After Tucker, Remote Sensing of Environment 8, 127-150, 1979. A common scale factor of both bands cancels; a common
    offset does not, so offsets must be applied before.

    Parameters
    ----------
    red, nir : array-like of float, same shape
        Reflectance in the red and the near infrared (unit 1 or any common scale); NaN where unknown.

    Returns
    -------
    numpy.ndarray of float64, the shape of the input
        NDVI (unit 1) from -1 to 1; NaN where a band is unknown or negative, or both are zero.
    """
    red, nir = np.asarray(red, dtype=float), np.asarray(nir, dtype=float)
    total = red + nir
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((red >= 0) & (nir >= 0) & (total > 0), (nir - red) / total, np.nan)
