"""Feature pipeline of the volcano use case: interferograms become rows of two feature groups, and a view over them.

The same source written twice leaves the same rows. Nothing is written before everything has been read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features import volcano

if TYPE_CHECKING:
    from hopsworks.project import Project

Progress = Callable[[float, str], None]
"""Told how much is done, from 0 to 1, and what is being done."""


def run(project: Project, source: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Read interferograms and write what is known of them to the feature store.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    source : str
        See :func:`features.volcano.open_source`.
    progress : callable, optional
        Called as ``progress(fraction, message)``.

    Returns
    -------
    dict
        JSON-able summary: cube, source, simulated flag, feature view, feature groups with rows written, number of
        patches, of deforming ones, of regions and of each split, and the files that were refused, with the reasons.

    Raises
    ------
    deepcube.cubes.CubeError
        If the source is none; nothing has been written then.
    features.volcano.InterferogramError
        If not one interferogram can be read; nothing has been written then.
    """
    tell = progress or (lambda fraction, message: None)
    tell(0.0, f"opening {source}")
    with tempfile.TemporaryDirectory() as scratch:
        opened = volcano.open_source(source, Path(scratch))
        patches = []
        for patch in opened.read():
            patches.append(patch)
            if len(patches) % 32 == 1:
                tell(0.6 * len(patches) / opened.length, f"read {len(patches)} of {opened.length} interferograms")
    if not patches:
        reason = opened.refused[0]["reason"] if opened.refused else "it is empty"
        raise volcano.InterferogramError(f"Found no interferogram that can be read in {source}: {reason}")
    tables = volcano.compute_tables(opened.cube, patches)
    fs = project.get_feature_store()
    rows = {}
    written = [(volcano.patches_group(fs), tables.patches), (volcano.labels_group(fs), tables.labels)]
    if len(tables.places):
        written.append((volcano.places_group(fs), tables.places))
    for done, (group, table) in enumerate(written):
        tell(0.6 + 0.1 * done, f"writing {group.name}")
        group.insert(table)
        rows[group.name] = len(table)
        if opened.simulated:
            volcano.label_simulated(group)
    view = volcano.feature_view(fs, opened.cube, simulated=opened.simulated)
    tell(1.0, f"wrote {len(patches)} interferograms of {opened.cube}")
    return {
        "cube": opened.cube,
        "source": source,
        "simulated": opened.simulated,
        "feature_view": {"name": view.name, "version": view.version},
        "feature_groups": rows,
        "patches": len(patches),
        "deforming": int(tables.labels["deformation"].sum()),
        "regions": int(tables.patches["region"].nunique()),
        "splits": {str(name): int(count) for name, count in tables.patches["split"].value_counts().items()},
        "refused": opened.refused,
    }
