"""Random fields in space that follow each other in time, reproducible whatever the order they are drawn in."""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""Field of shape (y, x)."""


def stream(seed: int, *path: int) -> np.random.Generator:
    """Return the generator of one purpose and one step.

    Parameters
    ----------
    seed : int
        Seed of the simulation.
    *path : int
        What the numbers are for, and for which step; every path has numbers of its own, so that neither the order of
        drawing nor the size of a block changes any of them.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=path)))


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Filter that turns white noise into a field of unit variance with a given spectrum.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of the fields.
    padded : tuple of int
        Rows and columns that are computed: the transform makes opposite edges alike, so a margin is cut off.
    amplitude : numpy.ndarray of float64
        Amplitude by wave number, in the layout of ``scipy.fft.rfft2``.
    """

    shape: tuple[int, int]
    padded: tuple[int, int]
    amplitude: Floats

    def draw(self, generator: np.random.Generator) -> Floats:
        """Return one field of the spectrum with mean 0 and variance 1 (in expectation)."""
        white = scipy.fft.rfft2(generator.standard_normal(self.padded))
        field = scipy.fft.irfft2(white * self.amplitude, s=self.padded)
        return np.asarray(field[: self.shape[0], : self.shape[1]])


def gaussian_spectrum(shape: tuple[int, int], length: float) -> Spectrum:
    """Return the spectrum of a field with covariance ``exp(-d**2 / (2 * length**2))``.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    length : float
        Correlation length in pixels.
    """
    padded = _padded(shape, 3 * length)
    wave = _wave_number(padded)
    return _normalised(shape, padded, np.exp(-((2 * np.pi * wave * length) ** 2) / 4))


def power_law_spectrum(
    shape: tuple[int, int], exponent: float, outer: float | None = None, inner: float | None = None
) -> Spectrum:
    """Return the spectrum of a field whose power falls off as ``k ** -exponent``.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    exponent : float
        Of the two-dimensional power spectrum: 8/3 for two-dimensional and 11/3 for three-dimensional turbulence
        (Hanssen, Radar Interferometry, 2001, chapter 4); about 3.6 to 4 for terrain.
    outer : float, optional
        Length in pixels beyond which the power is flat; the size of the field by default.
    inner : float, optional
        Length in pixels below which the exponent is larger by one.
    """
    padded = _padded(shape, max(shape) / 2)
    wave = _wave_number(padded)
    knee = 1 / (outer or max(shape))
    amplitude = (wave**2 + knee**2) ** (-exponent / 4)
    if inner is not None:
        amplitude = amplitude * (1 + (wave * inner) ** 2) ** -0.25
    amplitude[0, 0] = 0
    return _normalised(shape, padded, amplitude)


def _padded(shape: tuple[int, int], margin: float) -> tuple[int, int]:
    rows, columns = (int(scipy.fft.next_fast_len(int(size + np.ceil(margin)), real=True)) for size in shape)
    return rows, columns


def _wave_number(shape: tuple[int, int]) -> Floats:
    y, x = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    return np.asarray(np.hypot(y, x))


def _normalised(shape: tuple[int, int], padded: tuple[int, int], amplitude: Floats) -> Spectrum:
    """Scale an amplitude so that the variance of the field is one (Parseval; inner columns count twice)."""
    power = amplitude**2
    twice = power[:, 1:-1] if padded[1] % 2 == 0 else power[:, 1:]
    variance = (power.sum() + twice.sum()) / (padded[0] * padded[1])
    return Spectrum(shape, padded, amplitude / np.sqrt(variance))


@dataclass(eq=False)
class Sequence:
    """Fields that follow each other as a first-order autoregression of unit variance.

    Attributes
    ----------
    spectrum : Spectrum
        Spectrum of every field.
    memory : float
        Correlation from one step to the next, 0 to below 1.
    seed : int
        Seed of the simulation.
    purpose : int
        Number that tells this sequence from the others of the simulation.
    """

    spectrum: Spectrum
    memory: float
    seed: int
    purpose: int
    step: int = 0
    last: Floats | None = None

    def next(self) -> Floats:
        """Return the field of the next step."""
        fresh = self.spectrum.draw(stream(self.seed, self.purpose, self.step))
        if self.last is None:
            self.last = fresh
        else:
            self.last = self.memory * self.last + np.sqrt(1 - self.memory**2) * fresh
        self.step += 1
        return self.last
