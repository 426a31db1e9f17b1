"""Endless training scenes: simulated deformation over simulated or real backgrounds, and views of real patches.

A scene is made of parts that a simulator has made once, drawn anew each time: the deformation of one patch, turned,
mirrored, its sign and strength changed, over the air of a second one, seen through the coherence of a third one; or
over a real interferogram in which nothing deforms. Adding phases is what the ground does to the signal, so nothing has
to be assumed for that.

A network could cheat: deformation that is hidden by noise must not be called one, so positives would be more coherent
than negatives. Therefore a background is chosen, with a deformation that is visible on it, before a coin decides
whether the deformation is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepcube.cubes.simulate.interferograms import InterferogramParameters, make_patch
from features.volcano import KINDS, LOOKS, SIDE

Floats = NDArray[np.float32]

MASK = SIDE // 4
"""Cells along a side of the segmentation."""

UNKNOWN = -1.0
"""Stands for a type or a mask that nobody knows."""

_VISIBLE_SHARE = 0.01
_TRIES = 20
_HIDDEN = 0.15  # share of the backgrounds kept on which a deformation would not be seen
_LOOKS = 4  # independent samples that the noise of a pixel is averaged over; real products are filtered, too


@dataclass(frozen=True, eq=False)
class Bank:
    """Parts of simulated interferograms, in radians, of shape (count, SIDE, SIDE).

    Attributes
    ----------
    deformation, air, noise : numpy.ndarray of float16
        Phase of the deformation; of air, orbits and processing; and standard deviation of the noise.
    kind : numpy.ndarray of int, shape (count,)
        Position in :data:`features.volcano.KINDS`.
    """

    deformation: NDArray[np.float16]
    air: NDArray[np.float16]
    noise: NDArray[np.float16]
    kind: NDArray[np.int_]


@dataclass(frozen=True, eq=False)
class Batch:
    """Scenes with what is true of them.

    Attributes
    ----------
    seen : numpy.ndarray of float32, shape (rows, SIDE, SIDE, 2)
        What the network sees.
    deformation : numpy.ndarray of float32, shape (rows, 1)
        1 or 0.
    kind : numpy.ndarray of float32, shape (rows, 1)
        Position in :data:`features.volcano.KINDS`, or :data:`UNKNOWN`.
    mask : numpy.ndarray of float32, shape (rows, MASK, MASK, 1)
        Share of each cell that deforms visibly, or :data:`UNKNOWN`.
    """

    seen: Floats
    deformation: Floats
    kind: Floats
    mask: Floats


def make_bank(count: int, seed: int) -> Bank:
    """Simulate the parts of ``count`` deforming interferograms (about 3 ms each)."""
    parameters = InterferogramParameters(side=SIDE, pixel=LOOKS * InterferogramParameters.pixel, shares=(0, 1, 1, 1))
    factor = 4 * np.pi / parameters.wavelength
    shape = (count, SIDE, SIDE)
    deformation, phase, noise = (np.zeros(shape, np.float16) for _ in range(3))
    bank = Bank(deformation, phase, noise, np.zeros(count, int))
    for number in range(count):
        layers, record = make_patch(parameters, seed, number)
        air = factor * (layers["turbulent_delay"] + layers["stratified_delay"] + layers["processing_error"])
        bank.deformation[number] = factor * layers["deformation"]
        bank.air[number] = air - air.mean()
        # As in the simulator; more than 8 rad is as incoherent as can be.
        bank.noise[number] = np.minimum(2 * parameters.noise * np.sqrt(1 / layers["coherence"] ** 2 - 0.99), 8)
        bank.kind[number] = KINDS.index(record["kind"])
    return bank


def make_batch(
    rows: int,
    bank: Bank,
    generator: np.random.Generator,
    *,
    quiet: Floats | None = None,
    share: float = 0.0,
    moving: float = 0.5,
) -> Batch:
    """Make scenes.

    Parameters
    ----------
    rows : int
        How many.
    bank : Bank
        Parts of simulated interferograms.
    generator : numpy.random.Generator
        Where the randomness comes from.
    quiet : numpy.ndarray of float32, shape (n, SIDE, SIDE, 2), optional
        Real interferograms in which nothing deforms.
    share : float
        Share of the scenes whose background is one of these.
    moving : float
        Share that deforms of the scenes on which deformation would be visible.
    """
    made = [_scene(bank, generator, quiet if generator.random() < share else None, moving) for _ in range(rows)]
    seen, deformation, kind, mask = zip(*made, strict=True)
    column = (rows, 1)
    return Batch(
        np.stack(seen),
        np.array(deformation, np.float32).reshape(column),
        np.array(kind, np.float32).reshape(column),
        np.stack(mask)[..., None],
    )


def labelled_batch(seen: Floats, deformation: NDArray, kinds: Sequence[str], masks: Sequence[Floats | None]) -> Batch:
    """Return real patches as a batch; types and masks that nobody knows are :data:`UNKNOWN`.

    Where nothing deforms, the mask is known to be empty.
    """
    empty = np.zeros((MASK, MASK), np.float32)
    known = [
        coarse(mask) if mask is not None else (np.full_like(empty, UNKNOWN) if moves else empty)
        for mask, moves in zip(masks, deformation, strict=True)
    ]
    numbers = [KINDS.index(kind) if kind in KINDS else UNKNOWN for kind in kinds]
    column = (len(seen), 1)
    return Batch(
        seen.astype(np.float32),
        np.asarray(deformation, np.float32).reshape(column),
        np.array(numbers, np.float32).reshape(column),
        np.stack(known)[..., None],
    )


def joined(batches: Sequence[Batch]) -> Batch:
    """Return several batches as one."""
    names = ("seen", "deformation", "kind", "mask")
    return Batch(*(np.concatenate([getattr(batch, name) for batch in batches]) for name in names))


def random_views(seen: Floats, generator: np.random.Generator, *, hide: bool = False) -> Floats:
    """Return views of patches that mean the same: turned, mirrored, of the other sign, with another constant phase.

    Parameters
    ----------
    seen : numpy.ndarray of float32, shape (rows, SIDE, SIDE, 2)
        Patches.
    generator : numpy.random.Generator
        Where the randomness comes from.
    hide : bool
        Whether to also tilt the phase by up to half a fringe across the patch and to decorrelate a part of it, as for
        contrastive learning.
    """
    views = []
    for one in seen:
        z = _turned(one[..., 0] + 1j * one[..., 1], int(generator.integers(8)))
        z = z.conj() if generator.random() < 0.5 else z
        if hide:
            y, x = np.meshgrid(*[np.linspace(-0.5, 0.5, SIDE)] * 2, indexing="ij")
            a, b = generator.uniform(-np.pi, np.pi, 2)
            z = z * np.exp(1j * (a * x + b * y))
            row, col = generator.integers(0, SIDE * 3 // 4, 2)
            part = z[row : row + SIDE // 4, col : col + SIDE // 4]
            part[:] = 0.5 * np.exp(1j * generator.uniform(-np.pi, np.pi, part.shape))
        views.append(_parts(z * np.exp(1j * generator.uniform(0, 2 * np.pi))))
    return np.stack(views)


def coarse(mask: NDArray) -> Floats:
    """Return the share of each cell of the segmentation that a mask, shape (SIDE, SIDE), covers."""
    return np.asarray(mask.reshape(MASK, 4, MASK, 4).mean(axis=(1, 3)), np.float32)


def _scene(
    bank: Bank, generator: np.random.Generator, quiet: Floats | None, moving: float
) -> tuple[Floats, float, float, Floats]:
    for _ in range(_TRIES):
        first, second, number = generator.integers(len(bank.kind), size=3)
        if quiet is not None:
            background = _real(quiet, generator)
            coherent = np.abs(background) > 0.7
        else:
            spread = _turned(bank.noise[second], int(generator.integers(8))).astype(np.float32)
            coherent = spread < 1
        strength = np.exp(generator.uniform(-0.5, 0.7)) * generator.choice((-1, 1))
        phase = strength * _turned(bank.deformation[number], int(generator.integers(8))).astype(np.float32)
        visible = ((np.abs(phase) > np.pi) & coherent).mean() > _VISIBLE_SHARE
        if visible or generator.random() < _HIDDEN:
            break
    if quiet is None:
        background = _air(_turned(bank.air[first], int(generator.integers(8))).astype(np.float32), spread, generator)
    mask, moves = np.zeros((MASK, MASK), np.float32), bool(visible and generator.random() < moving)
    if moves:
        background = background * np.exp(1j * phase) * _blurred(phase)
        mask = coarse(np.abs(phase) > np.pi / 2)
    background = background * np.exp(1j * generator.uniform(0, 2 * np.pi))
    return _parts(background), float(moves), float(bank.kind[number]) if moves else UNKNOWN, mask


def _real(quiet: Floats, generator: np.random.Generator) -> NDArray:
    one = random_views(quiet[int(generator.integers(len(quiet)))][None], generator)[0]
    return np.asarray(one[..., 0] + 1j * one[..., 1])


def _air(air: Floats, spread: Floats, generator: np.random.Generator) -> NDArray:
    noise = generator.standard_normal((_LOOKS, SIDE, SIDE), dtype=np.float32) * spread
    return np.asarray(np.exp(1j * (air + noise)).mean(axis=0) * _blurred(air))


def _blurred(phase: Floats) -> Floats:
    """Return by what multilooking shortens the phasor where the phase changes within a pixel."""
    rows, columns = (np.gradient(phase, axis=axis) for axis in (0, 1))
    return np.asarray(np.sinc(np.clip(rows / (2 * np.pi), -1, 1)) * np.sinc(np.clip(columns / (2 * np.pi), -1, 1)))


def _turned(image: NDArray, number: int) -> NDArray:
    turned = np.rot90(image, number % 4)
    return turned[:, ::-1] if number >= 4 else turned


def _parts(z: NDArray) -> Floats:
    return np.stack([z.real, z.imag], axis=-1).astype(np.float32)
