"""Rows of the volcano feature groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.volcano.image import pack, statistics
from features.volcano.places import georeferenced_rows
from features.volcano.source import Patch, regions


@dataclass(frozen=True)
class Tables:
    """Rows to write.

    Attributes
    ----------
    patches, labels : pandas.DataFrame
        Columns as the groups of these names; labels only of patches that somebody has labelled.
    places : pandas.DataFrame
        Where those patches lie whose files tell it.
    """

    patches: pd.DataFrame
    labels: pd.DataFrame
    places: pd.DataFrame


def compute_tables(cube: str, patches: Sequence[Patch]) -> Tables:
    """Turn patches into rows of the feature groups.

    Parameters
    ----------
    cube : str
        Name of the set.
    patches : sequence of Patch
        All patches of the set: the regions of some depend on the others.

    Returns
    -------
    Tables
        One row a patch.
    """
    places = regions([patch.volcano for patch in patches], [patch.frame for patch in patches])
    rows = [
        {
            "cube": cube,
            "patch_id": patch.patch_id,
            "time": patch.second,
            "file": patch.file,
            "volcano": patch.volcano,
            "frame": patch.frame,
            "first_date": patch.first,
            "region": region,
            "split": patch.split,
            **statistics(patch.seen),
            "seen": pack(patch.seen),
        }
        for patch, region in zip(patches, places, strict=True)
    ]
    labels = [
        {
            "cube": cube,
            "patch_id": patch.patch_id,
            "time": patch.second,
            "deformation": np.int32(bool(patch.deformation)),
            "kind": patch.kind,
            "mask": None if patch.mask is None else pack(patch.mask),
        }
        for patch in patches
        if patch.deformation is not None
    ]
    found = georeferenced_rows((patch.patch_id, patch.file, patch.position) for patch in patches)
    return Tables(_dated(rows), _dated(labels), found)


def _dated(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    for name in {"time", "first_date"} & {*table.columns}:
        table[name] = table[name].astype("datetime64[us]")
    return table
