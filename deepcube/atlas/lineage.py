"""What a prediction came from, the nearest first: model, data, jobs, and the chunks of the cube that were read.

The registry, the provenance and the jobs of the platform tell it, through the ``hopsworks`` client. The chunks are
those of the cube of that name that this atlas has open, where it has one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlencode

import pandas as pd

from deepcube.atlas.atlas import Collection
from deepcube.atlas.layers import CubeLayer
from deepcube.atlas.predictions import PredictionTable
from deepcube.cubes import slug

_STAGES = ("inference", "training", "features")
_DIMS = {"y": "rows", "x": "columns", "time": "steps"}
_MOST_CHUNKS = 6  # variables whose chunk is listed
_log = logging.getLogger(__name__)
_Found = TypeVar("_Found")

Artifact = dict[str, str]
"""``kind``, ``name`` and ``url``: an address of the platform's pages, one of the atlas that begins with #, or empty."""


def lineage(project: Any, table: PredictionTable, model: Any) -> list[Artifact]:
    """Return what the predictions of a table came from.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    table : PredictionTable
        The predictions.
    model : hsml.model.Model or None
        The model that made them.
    """
    found = [] if model is None else [artifact("Model", f"{model.name} {model.version}", model.get_url())]
    base = _base(model.get_url()) if model is not None else None
    store = f"{base}/fs/{table.group.feature_store_id}" if base else ""
    data = tried(model.get_training_dataset_provenance) if model is not None else None
    view = tried(model.get_feature_view) if model is not None else None
    address = f"{store}/fv/{view.name}/version/{view.version}" if view is not None and base else ""
    for each in getattr(data, "accessible", None) or []:
        found.append(artifact("Training dataset", f"{each.name} version {each.version}", address))
    if view is not None:
        found.append(artifact("Feature view", f"{view.name} {view.version}", address))
        parents = tried(view.get_parent_feature_groups)
        for parent in getattr(parents, "accessible", None) or []:
            url = f"{store}/fg/{parent.id}" if base else ""
            found.append(artifact("Feature group", f"{parent.name} {parent.version}", url))
    for stage in _STAGES:
        found += executions(project, f"{table.use_case}_{stage}", table.cube)
    return found


def executions(project: Any, name: str, cube: str | None) -> list[Artifact]:
    """Return the last execution of a job, of those on this cube where there are any, and the source that it read.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    name : str
        Name of the job.
    cube : str or None
        Name of the cube.
    """
    job = tried(lambda: project.get_job_api().get_job(name))
    if job is None:
        return []
    executions = sorted(tried(job.get_executions) or [], key=lambda one: -one.id)
    about = [one for one in executions if cube is not None and cube in slug(_source(one))]
    latest = next(iter(about or executions), None)
    if latest is None:
        return [artifact("Job", name, job.get_url())]
    found = [artifact("Job", f"{name}, execution {latest.id} of {latest.submission_time}", job.get_url())]
    if name.endswith("_features") and _source(latest):
        found.append(artifact("Source", _source(latest), ""))
    return found


def _source(execution: Any) -> str:
    """Return what an execution was told to read; empty where its arguments do not tell."""
    told = re.search(r"--source[ =](\S+)", str(getattr(execution, "args", "") or ""))
    return "" if told is None else told[1].strip("'\"")


def chunks(
    collections: Iterable[Collection], cube: str | None, longitude: float, latitude: float, time: pd.Timestamp
) -> list[Artifact]:
    """Return the chunks of an opened cube that hold a place and time, one for each of some variables.

    Parameters
    ----------
    collections : iterable of Collection
        What the atlas shows.
    cube : str or None
        Name of the cube that predictions were made from.
    longitude, latitude : float
        The place.
    time : pandas.Timestamp
        The last time that the prediction knew; the chunk is that of the last step until then.
    """
    opened = next((each for each in collections if each.kind == "cube" and slug(each.id) == cube), None)
    if opened is None:
        return []
    found = []
    for name, shown in opened.shown.items():
        layer = shown.layer
        cell = layer.placement.cell(longitude, latitude)
        if not isinstance(layer, CubeLayer) or cell is None or not layer.chunks:
            continue
        at = {"y": cell[0], "x": cell[1]}
        query: dict[str, Any] = {"in": opened.id, "layer": name, "place": f"{longitude:.5f},{latitude:.5f}"}
        if layer.times is not None:
            at["time"] = max(int(layer.times.searchsorted(time, side="right")) - 1, 0)
            query["time"] = str(layer.times[at["time"]].isoformat())
        numbers = "/".join(str(at.get(dim, 0) // size) for dim, size in layer.chunks.items())
        extent = ", ".join(_extent(dim, at[dim], size, layer) for dim, size in layer.chunks.items() if dim in at)
        found.append(artifact("Chunk", f"{name} {numbers}: {extent}", f"#{urlencode(query)}"))
    left = len(found) - _MOST_CHUNKS
    return found if left <= 1 else [*found[:_MOST_CHUNKS], artifact("Chunk", f"and those of {left} more variables", "")]


def _extent(dim: str, position: int, size: int, layer: CubeLayer) -> str:
    first = position // size * size
    return f"{_DIMS.get(dim, dim)} {first} to {min(first + size, layer.sizes[dim]) - 1}"


def artifact(kind: str, name: str, url: str) -> Artifact:
    """Return a part of a lineage; an address that is no page of the web is left out."""
    return {"kind": kind, "name": name, "url": url if url.startswith(("https://", "http://", "#")) else ""}


def _base(url: str) -> str | None:
    """Return the part of an address of the platform's pages that ends with the project."""
    found = re.match(r"https?://[^/]+/p/\d+", url)
    return None if found is None else found[0]


def tried(ask: Callable[[], _Found]) -> _Found | None:
    """Return what the client answers, or None where it raises: it has many kinds of errors for what is not there."""
    try:
        return ask()
    except Exception:
        _log.debug("the platform did not answer", exc_info=True)
        return None
