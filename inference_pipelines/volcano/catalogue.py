"""A catalogue of volcanoes for the map: interferograms that tell no place of their own lie where their volcano does."""

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

CATALOGUE = "Resources/volcano/volcanoes.csv"
"""File of the project that is read where nobody names one."""


def places(project: Project, source: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Write the places of a catalogue of volcanoes to ``volcano_places``; doing so again changes nothing.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    source : str
        A catalogue here, or in the project's files; see :func:`features.volcano.read_catalogue`.
    progress : callable, optional
        Called as ``progress(fraction, message)``.

    Returns
    -------
    dict
        JSON-able summary: ``source``, and ``feature_groups`` with the number of names written.

    Raises
    ------
    features.volcano.CatalogueError
        If it is no catalogue, or there is none.
    """
    tell = progress or (lambda fraction, message: None)
    tell(0.0, f"reading {source}")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(source)
        if not path.is_file():
            datasets = project.get_dataset_api()
            if not datasets.exists(source):
                raise volcano.CatalogueError(
                    f"Found no file {source}, neither here nor in the project's files; expected a catalogue of "
                    "volcanoes as CSV with columns name, latitude and longitude."
                )
            path = Path(datasets.download(source, scratch, overwrite=True))
        table = volcano.read_catalogue(path)
    tell(0.3, f"writing {len(table)} names")
    group = volcano.places_group(project.get_feature_store())
    group.insert(table)
    tell(1.0, f"{len(table)} names of volcanoes have a place")
    return {"cube": "volcanoes", "source": source, "feature_groups": {group.name: len(table)}}
