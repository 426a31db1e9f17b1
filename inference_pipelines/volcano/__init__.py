"""Inference pipeline of the volcano use case: a registered model looks at interferograms, in batch, live and on watch.

:func:`run` scores a set, makes it searchable for similar interferograms and deploys the model; :func:`alert` is the
service that looks at what is new; :func:`score` tells a probability for every interferogram of a folder, and
:func:`places` reads a catalogue of volcanoes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepcube.oblivious import upload_files
from features import volcano
from inference_pipelines import deployments
from inference_pipelines.deployments import NoModelError, newest_model
from inference_pipelines.volcano.again import instance_of, picture_of
from inference_pipelines.volcano.alerts import AlertError, alert
from inference_pipelines.volcano.batch import embedding_rows, prediction_rows, read_patches, similar_past, surest
from inference_pipelines.volcano.catalogue import places
from inference_pipelines.volcano.detector import Detector
from inference_pipelines.volcano.figures import draw_surest
from inference_pipelines.volcano.scoring import score

if TYPE_CHECKING:
    from hopsworks.project import Project

__all__ = [
    "AlertError",
    "Detector",
    "NoModelError",
    "alert",
    "instance_of",
    "picture_of",
    "places",
    "run",
    "run_batch",
    "score",
]

Progress = Callable[[float, str], None]
"""Told how much is done, from 0 to 1, and what is being done."""


def run(project: Project, cube: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Score a set in batch, deploy its model, and ask the deployment for one explained answer.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    cube : str
        Name of a set that a model has been trained on.
    progress : callable, optional
        Called as ``progress(fraction, message)``.

    Returns
    -------
    dict
        JSON-able summary: cube, feature groups with rows written, deployment and its state, one example with
        prediction, explanation and similar past interferograms, figures in the project.

    Raises
    ------
    NoModelError
        If no model of the set is registered.
    """
    tell = progress or (lambda fraction, message: None)
    batch = run_batch(project, cube, progress=lambda fraction, message: tell(0.5 * fraction, message))
    example = batch.pop("example")
    tell(0.5, "deploying the model")
    label = f"{volcano.SIMULATED_LABEL}: " if batch["simulated"] else ""
    deployment = deployments.deploy(
        project,
        "volcano",
        cube,
        description=f"{label}deformation in wrapped interferograms, with explanations; scored on {cube}",
        script=Path(__file__).with_name("predictor.py"),
    )
    tell(0.9, f"asking {deployment['name']} for an explained answer")
    instance = {"phase": np.round(batch.pop("phase").astype(float), 4).tolist()}
    explain = {"scores": ["completeness_error", "complexity"], "budget_seconds": 20}
    answer = deployments.ask(project, deployment["name"], instance, explain)
    tell(1.0, f"{deployment['name']} is {deployment['state'].lower()}")
    explanation, where = answer.pop("explanation"), answer.pop("where")
    return batch | {
        "deployment": deployment,
        "example": {
            "inputs": {name: example[name] for name in ("file", "volcano")},
            "prediction": answer,
            "explanation": explanation,
            "where": where,
            "similar": example["similar"],
        },
    }


def run_batch(project: Project, cube: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Score all interferograms of a set, write what the model sees, and draw the surest.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    cube : str
        Name of a set that a model has been trained on.
    progress : callable, optional
        Called as ``progress(fraction, message)``.

    Returns
    -------
    dict
        JSON-able summary, but for ``phase``: an interferogram that looks to the model like the surest one.

    Raises
    ------
    NoModelError
        If no model of the set is registered.
    """
    tell = progress or (lambda fraction, message: None)
    model = newest_model(project, f"volcano_{cube}")
    tell(0.0, f"loading {model.name} version {model.version}")
    fs = project.get_feature_store()
    with tempfile.TemporaryDirectory() as scratch:
        detector = Detector.load(Path(model.download(scratch)))
        table = read_patches(fs, cube)
        tell(0.2, f"looking at {len(table)} interferograms")
        found = detector.look(np.stack(list(table["seen"])))
        tell(0.6, "writing predictions and embeddings")
        predictions, embeddings = volcano.predictions_group(fs), volcano.embeddings_group(fs)
        predictions.insert(prediction_rows(table, found, model.version))
        embeddings.insert(embedding_rows(table, found), write_options={"wait_for_online_ingestion": True})
        if detector.simulated:
            for group in (predictions, embeddings):
                volcano.label_simulated(group)
        first = int(found.probabilities[:, 0].argmax())
        tell(0.8, "looking for similar interferograms and drawing")
        similar = similar_past(embeddings, found, first, str(table["patch_id"][first]))
        shown = f"{cube} (simulated)" if detector.simulated else cube
        figure = draw_surest(
            *surest(table, found),
            Path(scratch) / "surest.png",
            title=f"{shown}: surest of each volcano; support of deformation (bright), outline (cyan)",
        )
        uploaded = upload_files(project, [figure], f"Resources/volcano/{cube}")
    tell(1.0, f"{len(table)} interferograms scored")
    return {
        "cube": cube,
        "simulated": detector.simulated,
        "model_version": model.version,
        "feature_groups": {predictions.name: len(table), embeddings.name: len(table)},
        "figures": uploaded,
        "example": {"file": str(table["file"][first]), "volcano": str(table["volcano"][first]), "similar": similar},
        "phase": volcano.expand(table["seen"][first]),
    }
