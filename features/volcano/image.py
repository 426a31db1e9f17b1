"""One wrapped interferogram: read, checked, reduced to what the network sees, and described by a few statistics.

The network sees the complex mean of ``exp(i phase)`` over :data:`LOOKS` by :data:`LOOKS` pixels (Hanssen, Radar
Interferometry, 2001, section 4.2.4: multilooking), as its real and imaginary part. That keeps the wrapping exact,
halves the noise and more, and its length from 0 to 1 is itself an estimate of coherence: nothing else has to be known.
"""

from __future__ import annotations

import hashlib
import warnings
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LOOKS = 3
"""Pixels of an interferogram along a side of one pixel of the network's."""

SIDE = 72
"""Pixels along a side of what the network sees."""

PIXELS = LOOKS * SIDE
"""Pixels along a side of an interferogram that are looked at: its top left corner."""

IMAGES = (".png", ".tif", ".tiff", ".npy")
"""Suffixes of files that hold an interferogram."""

STATISTICS = {
    "coherence": "Mean length of the multilooked phasor (unit 1, 0 to 1): a measure of coherence",
    "coherent_share": "Share of pixels whose multilooked phasor is longer than 0.7 (unit 1, 0 to 1)",
    "gradient_energy": "Mean squared phase gradient where coherent (square radians per square pixel of 3 x 3)",
    "fringe_count": "Mean fringes crossed along the rows and columns of the patch where coherent (count)",
    "fringe_turning": "Mean change of the phase gradient from one pixel to the next where coherent (radians per pixel)",
}
"""Names and meanings of :func:`statistics`."""

_COHERENT = 0.7
_LEAST_FINITE = 0.05
_SLACK = 0.02  # radians: what rounding may add to pi


class InterferogramError(ValueError):
    """What should be a wrapped interferogram is none, or not one that can be judged."""


def read_interferogram(path: Path) -> NDArray[np.float32]:
    """Read the phase of an image.

    Parameters
    ----------
    path : pathlib.Path
        A PNG or TIFF of bytes, whose grey 0 to 255 is -pi to pi (of a colour image, the first band), a TIFF of floats
        in radians, or a ``.npy`` array in radians.

    Returns
    -------
    numpy.ndarray of float32, shape (rows, columns)
        Wrapped phase in radians, NaN where there is none.

    Raises
    ------
    InterferogramError
        If the file cannot be read, or does not hold one; see :func:`check_phase`.
    """
    try:
        if path.suffix.lower() == ".npy":
            stored = np.load(path, allow_pickle=False)
        else:
            import rasterio
            from rasterio.errors import NotGeoreferencedWarning

            if path.suffix.lower() == ".png":
                _verify_png(path)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with rasterio.open(path) as file:
                    stored = file.read(1)
                    if file.nodata is not None and stored.dtype.kind == "f":
                        stored = np.where(stored == file.nodata, np.nan, stored)
    except (OSError, ValueError, EOFError) as error:
        raise InterferogramError(
            f"{path.name} cannot be read ({error}); expected an image of an interferogram. Check that it is complete."
        ) from error
    return check_phase(from_grey(stored) if stored.dtype == np.uint8 else stored, path.name)


def _verify_png(path: Path) -> None:
    """Check the sums of a PNG's chunks, up to its last one: GDAL reads what is cut off as if it were there."""
    with path.open("rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            raise ValueError("it is no PNG")
        kind = b""
        while kind != b"IEND":
            head = file.read(8)
            kind, content = head[4:], file.read(int.from_bytes(head[:4]))
            if len(head) < 8 or zlib.crc32(kind + content).to_bytes(4) != file.read(4):
                raise ValueError("it is cut off or damaged")


def from_grey(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the phase in radians that grey levels stand for: 0 is -pi, 255 is pi."""
    return (grey.astype(np.float32) / np.float32(255) * 2 - 1) * np.float32(np.pi)


def check_phase(phase: NDArray, name: str) -> NDArray[np.float32]:
    """Check that an array can be a wrapped interferogram.

    Parameters
    ----------
    phase : numpy.ndarray, shape (rows, columns)
        Phase in radians, NaN where there is none.
    name : str
        What it is called in messages.

    Returns
    -------
    numpy.ndarray of float32, shape (rows, columns)
        The phase, from -pi to pi.

    Raises
    ------
    InterferogramError
        If it is no table of numbers, smaller than :data:`PIXELS` along a side, almost without values, without any
        change, or out of range.
    """
    if phase.ndim != 2 or phase.dtype.kind not in "fiu":
        raise InterferogramError(
            f"{name} holds {phase.dtype} of shape {phase.shape}; expected rows and columns of phase in radians."
        )
    if min(phase.shape) < PIXELS:
        raise InterferogramError(
            f"{name} has {phase.shape[0]} x {phase.shape[1]} pixels; expected at least {PIXELS} x {PIXELS}. "
            "Cut a larger patch around the volcano."
        )
    values = phase.astype(np.float32)
    seen = values[:PIXELS, :PIXELS]
    finite = np.isfinite(seen)
    if finite.mean() < _LEAST_FINITE:
        raise InterferogramError(
            f"{name} has values in {finite.mean():.0%} of its pixels; expected at least {_LEAST_FINITE:.0%}."
        )
    low, high = float(np.nanmin(seen[finite])), float(np.nanmax(seen[finite]))
    if low < -np.pi - _SLACK or high > np.pi + _SLACK:
        raise InterferogramError(
            f"{name} has values from {low:.4g} to {high:.4g}; expected wrapped phase in radians, -pi to pi. "
            "Wrap an unwrapped interferogram, or store grey levels as bytes."
        )
    if low == high:
        raise InterferogramError(f"{name} is {low:.4g} throughout; expected phase that varies.")
    return np.clip(values, -np.pi, np.pi)


def phasor(phase: NDArray[np.float32]) -> Floats:
    """Reduce an interferogram to what the network sees.

    Parameters
    ----------
    phase : numpy.ndarray of float32, shape (at least PIXELS, at least PIXELS)
        Wrapped phase in radians; NaN counts as incoherent.

    Returns
    -------
    numpy.ndarray of float32, shape (SIDE, SIDE, 2)
        Real and imaginary part of the multilooked phasor of the top left corner.
    """
    seen = phase[:PIXELS, :PIXELS]
    known = np.isfinite(seen)
    parts = np.stack([np.cos(seen), np.sin(seen)], axis=-1)
    parts = np.where(known[..., None], parts, 0.0)
    return parts.reshape(SIDE, LOOKS, SIDE, LOOKS, 2).mean(axis=(1, 3)).astype(np.float32)


def incoherent() -> Floats:
    """Return what the network sees where there is nothing to be seen: noise, always the same.

    Returns
    -------
    numpy.ndarray of float32, shape (SIDE, SIDE, 2)
        Multilooked phasors of independent phases. Explanations compare with it: all zeros would do for people, but
        networks that normalise their activations are not smooth there.
    """
    noise = np.random.default_rng(0).uniform(-np.pi, np.pi, (PIXELS, PIXELS))
    return phasor(noise.astype(np.float32))


def expand(seen: Floats) -> NDArray[np.float32]:
    """Return an interferogram that :func:`phasor` reduces to this.

    Parameters
    ----------
    seen : numpy.ndarray of float32, shape (SIDE, SIDE, 2)
        Phasors, none longer than 1.

    Returns
    -------
    numpy.ndarray of float32, shape (PIXELS, PIXELS)
        Phase in radians. The three columns of a pixel have its phase minus ``a``, its phase, and its phase plus ``a``,
        whose mean phasor has the length ``(1 + 2 cos a) / 3``.
    """
    phase, length = np.arctan2(seen[..., 1], seen[..., 0]), np.linalg.norm(seen, axis=-1)
    apart = np.arccos(np.clip((LOOKS * length - 1) / 2, -1, 1))
    columns = np.stack([phase - apart, phase, phase + apart], axis=-1).reshape(SIDE, PIXELS)
    wrapped = np.clip((columns + np.pi) % (2 * np.pi) - np.pi, -np.pi, np.pi)
    return wrapped.repeat(LOOKS, axis=0).astype(np.float32)


def windows(phase: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Return where to look at an interferogram: the row and column of the corner of every window.

    An image of less than two windows along both sides is a patch, of which the top left is looked at, as in the
    published work on these patches; a larger one is covered, the last windows reaching its edge.
    """
    rows, columns = phase.shape
    if max(rows, columns) < 2 * PIXELS:
        return [(0, 0)]
    return [(row, column) for row in _starts(rows) for column in _starts(columns)]


def _starts(length: int) -> list[int]:
    count = -(-length // PIXELS)
    return [round(i * (length - PIXELS) / max(count - 1, 1)) for i in range(count)]


def content_hash(phase: NDArray[np.float32]) -> str:
    """Return what identifies an interferogram whatever file holds it: a SHA-256 of its phase in 256 levels."""
    levels = np.nan_to_num(np.rint((phase / np.pi + 1) / 2 * 255), nan=256).astype(np.uint16)
    return hashlib.sha256(str(levels.shape).encode() + levels.tobytes()).hexdigest()


def pack(values: NDArray[np.float32]) -> bytes:
    """Return numbers from -1 to 1 as bytes for a feature group: 255 levels, compressed."""
    return zlib.compress(np.rint(np.asarray(values) * 127).astype(np.int8).tobytes(), 6)


def unpack(stored: bytes, *shape: int) -> Floats:
    """Return what :func:`pack` has packed, of a shape."""
    return np.frombuffer(zlib.decompress(stored), np.int8).reshape(shape).astype(np.float32) / np.float32(127)


def statistics(seen: Floats) -> dict[str, float]:
    """Describe an interferogram by numbers that need no learning, as a baseline.

    Parameters
    ----------
    seen : numpy.ndarray of float32, shape (SIDE, SIDE, 2)
        As returned by :func:`phasor`.

    Returns
    -------
    dict of str to float
        See :data:`STATISTICS`; gradients are 0 where nothing is coherent.
    """
    z = seen[..., 0] + 1j * seen[..., 1]
    length = np.abs(z)
    gradients = [np.angle(z[:, 1:] * z[:, :-1].conj()), np.angle(z[1:] * z[:-1].conj())]
    sure = [np.minimum(length[:, 1:], length[:, :-1]) > _COHERENT, np.minimum(length[1:], length[:-1]) > _COHERENT]
    flat = np.concatenate([gradient[known] for gradient, known in zip(gradients, sure, strict=True)])
    turning = np.concatenate([_turning(g, s, axis) for g, s, axis in zip(gradients, sure, (1, 0), strict=True)])
    return {
        "coherence": float(length.mean()),
        "coherent_share": float((length > _COHERENT).mean()),
        "gradient_energy": float((flat**2).mean()) if flat.size else 0.0,
        "fringe_count": float(np.abs(flat).sum() / (2 * SIDE) / (2 * np.pi)),
        "fringe_turning": float(turning.mean()) if turning.size else 0.0,
    }


def _turning(gradient: NDArray, known: NDArray[np.bool_], axis: int) -> NDArray:
    """Return the change of a gradient from one pixel to the next, where both are known."""
    later, earlier = np.moveaxis(gradient, axis, 0)[1:], np.moveaxis(gradient, axis, 0)[:-1]
    both = np.moveaxis(known, axis, 0)
    return np.asarray(np.abs(later - earlier)[both[1:] & both[:-1]])
