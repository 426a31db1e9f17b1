"""What the atmosphere adds to an interferogram: turbulence and layers that follow the terrain."""

from dataclasses import dataclass

import numpy as np

from deepcube.cubes.simulate.fields import Floats, power_law_spectrum


@dataclass(frozen=True)
class Troposphere:
    """Strength of the tropospheric delay.

    Attributes
    ----------
    exponent : float
        Of the two-dimensional power spectrum of turbulence, 8/3 beyond :attr:`inner` and 11/3 below it (Hanssen, Radar
        Interferometry, 2001, section 4.7).
    inner : float
        Length in m, about the depth of the turbulent layer.
    turbulent : float
        Standard deviation of the turbulent delay difference in m, along the line of sight.
    stratified : float
        Delay difference in m per km of height, along the line of sight.
    """

    exponent: float = 8 / 3
    inner: float = 2000.0
    turbulent: float = 0.008
    stratified: float = 0.0


def turbulent_delay(shape: tuple[int, int], pixel: float, air: Troposphere, generator: np.random.Generator) -> Floats:
    """Return the turbulent delay in m, shape (y, x): isotropic, with a power-law spectrum; the pixel side is in m."""
    field = power_law_spectrum(shape, air.exponent, inner=air.inner / pixel).draw(generator)
    return np.asarray(air.turbulent * (field - field.mean()))


def stratified_delay(elevation: Floats, air: Troposphere) -> Floats:
    """Return the delay in m that follows the height (in m): wetter or drier layers between the two dates.

    Linear in height, as Bekaert et al. (Journal of Geophysical Research 120, 1324-1344, 2015) fit it locally.
    """
    return np.asarray(air.stratified * (elevation - elevation.mean()) / 1000)
