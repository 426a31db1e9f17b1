"""A probability for every interferogram of a folder, by the registered model, without writing anything."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features import volcano
from inference_pipelines.deployments import newest_model
from inference_pipelines.volcano.detector import Detector
from inference_pipelines.volcano.inbox import local_items
from inference_pipelines.volcano.models import best_model

if TYPE_CHECKING:
    from hopsworks.project import Project

Progress = Callable[[float, str], None]
"""Told how much is done, from 0 to 1, and what is being done."""


def score(
    project: Project, folder: Path, *, model: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Score the interferograms of a folder or cube on this machine.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    folder : pathlib.Path
        Folder of images, in folders below, too; one image; or a cube with a wrapped phase.
    model : str, optional
        Name of the registered model; by default the newest that was scored on real interferograms, if any.
    progress : callable, optional
        Called as ``progress(fraction, message)``.

    Returns
    -------
    dict
        JSON-able: ``model`` (name, version, simulated, threshold); ``scores``, for each interferogram ``file``,
        ``probability`` of deformation, ``alert``, ``kind``, ``row`` and ``column`` of most support,
        ``deforming_share``; ``refused``, with ``file`` and ``reason`` of what cannot be scored.

    Raises
    ------
    NoModelError
        If there is no model to score with.
    deepcube.cubes.CubeError
        If the folder holds nothing that could be scored.
    """
    tell = progress or (lambda fraction, message: None)
    tell(0.0, "loading the model")
    items = local_items(folder)
    registered = best_model(project) if model is None else newest_model(project, model)
    scores: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        detector = Detector.load(Path(registered.download(scratch)))
    for number, item in enumerate(items):
        tell(number / len(items), item.name)
        try:
            found = detector.judge(item.read()).document
        except volcano.InterferogramError as error:
            refused.append({"file": item.name, "reason": str(error)})
            continue
        scores.append(
            {
                "file": item.name,
                "probability": found["probability"],
                "alert": found["probability"] >= detector.threshold,
                "kind": found["kind"],
                "row": found["row"],
                "column": found["column"],
                "deforming_share": found["deforming_share"],
            }
        )
    tell(1.0, f"{len(scores)} scored")
    return {
        "model": {
            "name": registered.name,
            "version": registered.version,
            "simulated": detector.simulated,
            "threshold": detector.threshold,
        },
        "scores": scores,
        "refused": refused,
    }
