"""Training data of the volcano model: one training dataset of the feature view, split by region."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features import volcano
from training_pipelines.studies import TrainingDataError
from training_pipelines.volcano.scenes import Batch, Floats, labelled_batch

if TYPE_CHECKING:
    import pandas as pd

_VALIDATION_SHARE = 5  # one region of so many is for validation


@dataclass(frozen=True, eq=False)
class Patches:
    """Some labelled patches of one set.

    Attributes
    ----------
    seen : numpy.ndarray of float32, shape (n, SIDE, SIDE, 2)
        What the network sees.
    deformation : numpy.ndarray of bool, shape (n,)
        Whether the ground deforms.
    table : pandas.DataFrame
        Everything else that is known of them; one row a patch.
    """

    seen: Floats
    deformation: NDArray[np.bool_]
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.seen)

    def take(self, chosen: NDArray[np.bool_]) -> Patches:
        """Return some of the patches."""
        return Patches(self.seen[chosen], self.deformation[chosen], self.table[chosen].reset_index(drop=True))

    def batch(self) -> Batch:
        """Return the patches as the network is trained on them."""
        masks = [
            None if mask is None else volcano.unpack(mask, volcano.SIDE, volcano.SIDE) for mask in self.table["mask"]
        ]
        return labelled_batch(self.seen, self.deformation, list(self.table["kind"]), masks)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """A set of patches, split by region.

    Attributes
    ----------
    fit, validation : Patches
        What the network learns from, and what is looked at on the way; no region of the test is among them.
    test : Patches
        The part that the set declares its test.
    neighbours : Patches
        Further patches of the test's regions, which nothing is trained or chosen on either; may be empty.
    version : int
        Version of the training dataset in the feature store.
    """

    fit: Patches
    validation: Patches
    test: Patches
    neighbours: Patches
    version: int

    @property
    def rows(self) -> dict[str, dict[str, int]]:
        """Number of patches, and of deforming ones, of each part."""
        parts = {name: getattr(self, name) for name in ("fit", "validation", "test", "neighbours")}
        return {name: {"patches": len(part), "deforming": int(part.deformation.sum())} for name, part in parts.items()}


def read_training_data(view: Any, cube: str) -> TrainingData:
    """Create a training dataset of the feature view and split it.

    Parameters
    ----------
    view : hsfs.feature_view.FeatureView
        The volcano feature view of one set.
    cube : str
        Name of the set, for messages.

    Returns
    -------
    TrainingData
        A set without a test part of its own gets one: every fifth region, by a hash of its name.

    Raises
    ------
    TrainingDataError
        If the set is empty, or the test or the rest has only one of the two classes.
    """
    table, labels = view.training_data(description="volcano, split by region")
    if not len(table):
        raise TrainingDataError(
            f"Found no labelled interferograms of {cube!r} in the feature store; expected some. "
            "Run the feature stage first: deepcube run volcano --stage features."
        )
    seen = np.stack([volcano.unpack(packed, volcano.SIDE, volcano.SIDE, 2) for packed in table["seen"]])
    every = Patches(seen, labels["deformation"].to_numpy() == 1, table.drop(columns="seen"))
    return split(every, cube, int(view.get_last_accessed_training_dataset()))


def split(every: Patches, cube: str, version: int) -> TrainingData:
    """Split patches by region; see :func:`read_training_data`."""
    region, part = every.table["region"].to_numpy(), every.table["split"].to_numpy()
    fifth = np.array([_number(name) % _VALIDATION_SHARE for name in region])
    test = part == "test" if (part == "test").any() else fifth == 0
    near = np.isin(region, region[test]) & ~test
    validation = part == "validation" if (part == "validation").any() else fifth == 1
    validation = validation & ~test & ~near
    parts = {
        "fit": every.take(~test & ~near & ~validation),
        "validation": every.take(validation),
        "test": every.take(test),
        "neighbours": every.take(near),
    }
    for name in ("fit", "test"):
        moves = parts[name].deformation
        if not moves.any() or moves.all():
            raise TrainingDataError(
                f"Found {len(moves)} interferograms of {cube!r}, {int(moves.sum())} of them deforming, in the part "
                f"{name!r}, which no region of another part reaches into; expected some that deform and some that "
                "do not."
            )
    return TrainingData(version=version, **parts)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
