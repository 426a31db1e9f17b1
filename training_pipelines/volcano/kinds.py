"""The type of a source from the shape of its deformation: a small network over a few numbers of the unwrapped phase.

The network that finds deformation hardly learns the type from wrapped phase in the time that it has, though from the
noise-free surface it could be told almost always; see ``docs/volcano.md``. Types are learnt from simulation only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from features.volcano import KINDS, SHAPE, shape_statistics
from training_pipelines.volcano.scenes import Bank, Floats, make_batch

if TYPE_CHECKING:
    import keras

KINDS_FILE = "kinds.keras"
"""File of the network that gives the types, beside the model's own."""

SCENES = 3000
"""Scenes with deformation that it learns from."""

_EPOCHS, _BATCH, _CHUNK = 60, 64, 256


def train_kinds(bank: Bank, quiet: Floats | None, share: float, *, scenes: int = SCENES, seed: int = 11) -> keras.Model:
    """Train the network that tells the type of a source.

    Parameters
    ----------
    bank : Bank
        Parts of simulated scenes.
    quiet : numpy.ndarray of float32, shape (n, SIDE, SIDE, 2), or None
        Interferograms in which nothing deforms, to lay sources over.
    share : float
        Share of the scenes over one of these.
    scenes : int
        How many scenes with deformation.
    seed : int
        Of the scenes and of the weights.

    Returns
    -------
    keras.Model
        From :data:`features.volcano.SHAPE`, shape (rows, numbers), to the probability of each of
        :data:`features.volcano.KINDS`, shape (rows, types).
    """
    import keras

    generator = np.random.default_rng([seed, 2])
    shapes: list[NDArray[np.float64]] = []
    truth: list[NDArray[np.int_]] = []
    while sum(len(part) for part in truth) < scenes:
        batch = make_batch(_CHUNK, bank, generator, quiet=quiet, share=share, moving=1.0)
        moves = batch.deformation[:, 0] == 1
        shapes.append(shapes_of(batch.seen[moves]))
        truth.append(batch.kind[moves, 0].astype(int))
    x, y = np.concatenate(shapes)[:scenes], np.concatenate(truth)[:scenes]
    keras.utils.set_random_seed(seed)
    normalisation = keras.layers.Normalization()
    normalisation.adapt(x)
    layers = [keras.layers.Dense(32, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(len(KINDS), "softmax")]
    network = keras.Sequential([keras.Input((len(SHAPE),)), normalisation, *layers], name="kinds")
    schedule = keras.optimizers.schedules.CosineDecay(5e-3, _EPOCHS * -(-len(x) // _BATCH))
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-2)
    network.compile(optimizer, loss="sparse_categorical_crossentropy", jit_compile=False)
    network.fit(x, y, batch_size=_BATCH, epochs=_EPOCHS, verbose=0)
    return network


def shapes_of(seen: Floats) -> NDArray[np.float64]:
    """Return the numbers :data:`features.volcano.SHAPE` of patches, shape (rows, numbers)."""
    return np.array([shape_statistics(one) for one in seen]).reshape(len(seen), len(SHAPE))


def save_kinds(network: keras.Model, folder: Path) -> Path:
    """Write the network beside a model's other files and return its path."""
    path = folder / KINDS_FILE
    network.save(path, include_optimizer=False)
    return path
