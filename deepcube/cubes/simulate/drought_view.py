"""What Sentinel-2 sees of plants and soil, through clouds; and the layers of the ground."""

import numpy as np
from numpy.typing import NDArray

from deepcube.cubes.simulate.fields import Floats, Sequence, gaussian_spectrum, stream
from deepcube.cubes.simulate.store import Field
from deepcube.cubes.simulate.weather import threshold

# Reflectance of leaves, dry soil and water by band (typical spectra of the USGS library, rounded).
ENDMEMBERS = {
    "s2_B02": (0.030, 0.100, 0.060),
    "s2_B03": (0.060, 0.150, 0.055),
    "s2_B04": (0.035, 0.210, 0.040),
    "s2_B05": (0.110, 0.250, 0.035),
    "s2_B06": (0.300, 0.280, 0.030),
    "s2_B07": (0.380, 0.300, 0.025),
    "s2_B8A": (0.440, 0.330, 0.020),
}
"""Reflectance of leaves, of dry soil and of water."""

_MASK = {"flag_values": [0, 1, 2, 4], "flag_meanings": "clear cloud shadow no_data"}
_SCL = {
    "flag_values": [0, 3, 4, 5, 6, 8],
    "flag_meanings": "no_data shadow vegetation bare_soil water cloud_medium_probability",
}

SATELLITE = [
    *(Field(name, "1", f"surface reflectance of band {name[3:]}") for name in ENDMEMBERS),
    Field("s2_mask", "1", "cloud mask", dtype="uint8", kind="categorical", attrs=_MASK),
    Field("s2_SCL", "1", "scene classification", dtype="uint8", kind="categorical", attrs=_SCL),
]
"""Every five days, 30 m."""

STATIC = [
    Field("cop_dem", "m", "height", dims=("y", "x")),
    Field("esawc_lc", "1", "ESA WorldCover class", dims=("y", "x"), dtype="uint8", kind="categorical"),
    Field("sg_clay_0-5cm_mean", "g kg-1", "clay content of the top soil", dims=("y", "x")),
    Field("sg_sand_0-5cm_mean", "g kg-1", "sand content of the top soil", dims=("y", "x")),
]
"""Static, 30 m."""


def static_layers(height: Floats, cover: Floats, capacity: Floats, seed: int) -> dict[str, Floats]:
    """Return the layers of :data:`STATIC`; clay goes with the water that soil holds, sand against it."""
    shape = (height.shape[0], height.shape[1])
    share = np.clip((capacity - 50) / 300 + 0.05 * gaussian_spectrum(shape, 5).draw(stream(seed, 23)), 0, 1)
    return {
        "cop_dem": height,
        "esawc_lc": np.asarray(cover, dtype=float),
        "sg_clay_0-5cm_mean": 80 + 420 * share,
        "sg_sand_0-5cm_mean": 700 - 450 * share,
    }


def reflectance(leaf: Floats, wetness: Floats, water: NDArray[np.bool_]) -> dict[str, Floats]:
    """Return the reflectance of every band without clouds and noise: a linear mixture of leaves, soil and water.

    Parameters
    ----------
    leaf : numpy.ndarray
        Share of the ground under green leaves, 0 to 1.
    wetness : numpy.ndarray
        Soil water as a share of the capacity; wet soil is darker.
    water : numpy.ndarray of bool
        Open water.
    """
    dark = 1 - 0.35 * wetness
    return {
        band: np.where(water, lake, leaf * green + (1 - leaf) * soil * dark)
        for band, (green, soil, lake) in ENDMEMBERS.items()
    }


class Camera:
    """Images of the minicube, one after the other.

    Parameters
    ----------
    cover : numpy.ndarray of float64, shape (y, x)
        Share of the ground that full leaf covers.
    water : numpy.ndarray of bool, shape (y, x)
        Open water.
    cloud_share, missing, noise : float
        See :class:`~deepcube.cubes.simulate.drought.DroughtParameters`.
    seed : int
        Seed of the simulation.
    """

    def __init__(
        self, cover: Floats, water: NDArray[np.bool_], cloud_share: float, missing: float, noise: float, seed: int
    ) -> None:
        self._cover, self._water, self._seed = cover, water, seed
        self._share, self._missing, self._noise, self._number = cloud_share, missing, noise, 0
        shape = (cover.shape[0], cover.shape[1])
        self._clouds = Sequence(gaussian_spectrum(shape, max(3.0, shape[0] / 8)), 0.0, seed, 30)

    def take(self, vegetation: Floats, wetness: Floats, rainy: float) -> dict[str, Floats]:
        """Return the layers of :data:`SATELLITE` for today, and the true ``ndvi``, ``soil_wetness``, ``vegetation``.

        Under cloud and shadow the bands hold what the satellite sees there, as in the published minicubes; a failed
        acquisition holds NaN.
        """
        noise = stream(self._seed, 31, self._number)
        self._number += 1
        true = reflectance(vegetation * self._cover, wetness, self._water)
        red, nir = true["s2_B04"], true["s2_B8A"]
        overcast = noise.normal(0.0, 0.9) + 1.2 * rainy
        field = self._clouds.next() + overcast
        limit = 1.35 * threshold(self._share)  # 1.35: spread of two independent parts, of the sky and of the day
        cloud = field > limit
        shift = max(1, cloud.shape[0] // 16)
        shadow = np.roll(cloud, (shift, shift), axis=(0, 1)) & ~cloud
        failed = noise.random() < self._missing
        seen = {}
        for band, values in true.items():
            value = np.where(cloud, 0.35 + 0.1 * np.tanh(field - limit), np.where(shadow, 0.45 * values, values))
            value = np.clip(value + noise.normal(0, self._noise, value.shape), 0.0001, 1.0)
            seen[band] = np.full_like(value, np.nan) if failed else value
        ndvi = (nir - red) / (nir + red)
        ground = np.where(self._water, 6, np.where(ndvi > 0.3, 4, 5))
        mask = np.where(cloud, 1, np.where(shadow, 2, 0))
        scl = np.where(cloud, 8, np.where(shadow, 3, ground))
        return {
            **seen,
            "s2_mask": np.full(mask.shape, 4.0) if failed else mask.astype(float),
            "s2_SCL": np.zeros(mask.shape) if failed else scl.astype(float),
            "ndvi": ndvi,
            "soil_wetness": wetness,
            "vegetation": vegetation,
        }
