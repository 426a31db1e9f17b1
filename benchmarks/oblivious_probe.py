"""What pre-training without labels is worth on real interferogram patches.

Run ``python -m benchmarks.oblivious_probe FOLDER``; needs torch.

An encoder is pre-trained on patches of the ``train`` part without their labels, then a linear classifier on its frozen
features is judged on volcanoes that neither the encoder nor the classifier has seen; beside it, the same encoder with
random weights. Everything is repeated for several seeds: of the weights, and of the split by volcano.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SIZE = 32
"""Height and width of the averaged patches, pixels."""

_CROP = 224


def read_patches(folder: Path) -> tuple[Any, Any, list[str]]:
    """Read wrapped phase as cosine and sine, averaged over blocks of 7 by 7 pixels.

    Returns
    -------
    tuple of numpy.ndarray of float32, shape (rows, 2, 32, 32); of int, 1 for deformation; and list of str, volcanoes
    """
    from PIL import Image

    images, classes, places = [], [], []
    for label, name in enumerate(("none", "deformation")):
        for path in sorted((folder / "train" / name).iterdir()):
            grey = np.asarray(Image.open(path).convert("L"), dtype=np.float32)[:_CROP, :_CROP]
            if grey.shape != (_CROP, _CROP):
                continue
            phase = grey / 255 * 2 * np.pi - np.pi
            both = np.stack([np.cos(phase), np.sin(phase)])
            images.append(both.reshape(2, SIZE, _CROP // SIZE, SIZE, _CROP // SIZE).mean((2, 4)))
            classes.append(label)
            places.append("_".join(path.stem.split("_")[:3]))
    return np.stack(images).astype(np.float32), np.array(classes), places


def split_by_volcano(places: Sequence[str], seed: int) -> tuple[Any, Any]:
    """Return masks of two halves without a volcano in common."""
    names = sorted(set(places))
    chosen = set(np.random.default_rng(seed).permutation(names)[: len(names) // 2])
    first = np.array([place in chosen for place in places])
    return first, ~first


def probe(folder: Path, seeds: Sequence[int], epochs: int, into: Path) -> dict[str, dict[str, float]]:
    """Return the balanced accuracy of the linear probe after each kind of pre-training, over seeds.

    Parameters
    ----------
    folder : pathlib.Path
        The patches.
    seeds : sequence of int
        One repetition each.
    epochs : int
        Of pre-training.
    into : pathlib.Path
        Where runs are recorded.

    Returns
    -------
    dict
        ``found[kind]`` is the mean, std, min and max for ``random``, ``contrastive`` and ``masked``.
    """
    import torch
    from maggy.experiment import experiment

    from deepcube.oblivious import SingleRunConfig, networks, selfsupervised, spread

    images, classes, places = read_patches(folder)
    accuracy: dict[str, list[float]] = {"random": [], "contrastive": [], "masked": []}
    kinds: dict[str, Any] = {
        "contrastive": (selfsupervised.contrastive_train_fn, _contrastive, {"temperature": 0.3}),
        "masked": (selfsupervised.masked_train_fn, _restoring, {"block": 4, "share": 0.5}),
    }
    for seed in seeds:
        train, test = split_by_volcano(places, seed)
        known = (torch.tensor(images[train]), classes[train])
        unseen = (torch.tensor(images[test]), classes[test])
        torch.manual_seed(seed)
        accuracy["random"].append(selfsupervised.linear_probe(networks.Encoder(2), known, unseen))
        for kind, (train_fn, model, more) in kinds.items():
            hparams = {"epochs": epochs, "batch_size": 64, "learning_rate": 2e-3, **more}
            config = SingleRunConfig(model, known[0], hparams, optimization_key="loss", seed=seed, directory=into)
            result = experiment.lagom(train_fn, config)
            encoder = networks.Encoder(2)
            weights = Path(result["directory"]) / selfsupervised.WEIGHTS_FILE
            encoder.load_state_dict(torch.load(weights, weights_only=True))
            accuracy[kind].append(selfsupervised.linear_probe(encoder, known, unseen))
    return {kind: spread(values) for kind, values in accuracy.items()}


def _contrastive() -> Any:
    from deepcube.oblivious.networks import Contrastive

    return Contrastive(channels=2)


def _restoring() -> Any:
    from deepcube.oblivious.networks import Restoring

    return Restoring(channels=2)


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the patches, with train/deformation and train/none")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as into:
        found = probe(arguments.folder, range(arguments.seeds), arguments.epochs, Path(into))
    json.dump({"bench": "linear probe, balanced accuracy", "seeds": arguments.seeds, **found}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
