"""The registered volcano models, and the deployment of one of them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from deepcube.oblivious import upload_files
from features import volcano

_PREFIX = "volcano_"
_RESOURCES = {
    "num_instances": 1,
    "requests": {"cores": 0.2, "memory": 1024, "gpus": 0},
    "limits": {"cores": 2, "memory": 4096, "gpus": 0},
}
_START_SECONDS = 300
_ENVIRONMENT = "DEEPCUBE_SERVING_ENVIRONMENT"  # set where `deepcube deploy` shipped the code to one


class NoModelError(LookupError):
    """No volcano model is registered, or none of that name."""


def deployment_name(cube: str) -> str:
    """Return the name of a set's deployment; Hopsworks allows letters and digits only."""
    return "volcano" + re.sub(r"[^a-z0-9]", "", cube.lower())


def newest_model(project: Any, cube: str) -> Any:
    """Return the newest registered model of a set of interferograms.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    cube : str
        Name of the set.

    Returns
    -------
    hsml.model.Model
        The model with the highest version.

    Raises
    ------
    NoModelError
        If none is registered.
    """
    return named_model(project, f"{_PREFIX}{cube}")


def named_model(project: Any, name: str) -> Any:
    """Return the newest version of a registered model.

    Raises
    ------
    NoModelError
        If there is none of that name.
    """
    models = project.get_model_registry().get_models(name)
    if not models:
        raise NoModelError(
            f"Found no model {name} in the registry; expected one to score with. "
            "Train it first: deepcube run volcano --source FOLDER."
        )
    return max(models, key=lambda model: model.version)


def best_model(project: Any) -> Any:
    """Return the model to use where nobody names one: the newest that was scored on real interferograms, if any.

    Sets are known by their feature views.

    Raises
    ------
    NoModelError
        If no volcano model is registered at all.
    """
    fs = project.get_feature_store()
    found = []
    for cube in _cubes(fs):
        view = fs.get_feature_view(f"{_PREFIX}{cube}", volcano.VERSION)
        if view is None:
            continue
        try:
            model = newest_model(project, cube)
        except NoModelError:
            continue
        found.append((not volcano.is_simulated(view), str(model.created), model))
    if not found:
        raise NoModelError(
            "Found no volcano model in the registry; expected one to score with. "
            "Train one first: deepcube run volcano --source FOLDER."
        )
    return max(found, key=lambda each: each[:2])[2]


def _cubes(fs: Any) -> list[str]:
    group = volcano.labels_group(fs)
    return [] if group.id is None else sorted(group.select(["cube"]).read()["cube"].unique())


def deploy(project: Any, cube: str) -> dict[str, Any]:
    """Deploy the newest model of a set, or bring its deployment up to date, and start it.

    Doing so again changes nothing and restarts nothing.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    cube : str
        Name of the set.

    Returns
    -------
    dict
        ``name``, ``state``, ``model`` and ``model_version`` of the deployment.

    Raises
    ------
    NoModelError
        If no model of the set is registered.
    """
    model, name = newest_model(project, cube), deployment_name(cube)
    environment = os.environ.get(_ENVIRONMENT)
    deployment = project.get_model_serving().get_deployment(name)
    if deployment is None:
        view = project.get_feature_store().get_feature_view(f"{_PREFIX}{cube}", volcano.VERSION)
        label = f"{volcano.SIMULATED_LABEL}: " if view is not None and volcano.is_simulated(view) else ""
        deployment = model.deploy(
            name=name,
            description=f"{label}Deformation in wrapped interferograms, with explanations; scored on {cube}",
            script_file=_upload_script(project, cube),
            resources=_RESOURCES,
            environment=environment,
        )
    elif deployment.model_version != model.version or environment not in (None, deployment.predictor.environment):
        deployment.model_version = model.version
        deployment.predictor.environment = environment or deployment.predictor.environment
        deployment.script_file = _upload_script(project, cube)
        deployment.save(await_update=_START_SECONDS)
    if not deployment.is_running():
        deployment.start(await_running=_START_SECONDS)
    return {
        "name": name,
        "state": deployment.get_state().status,
        "model": model.name,
        "model_version": model.version,
    }


def _upload_script(project: Any, cube: str) -> str:
    script = Path(__file__).with_name("predictor.py")
    (path,) = upload_files(project, [script], f"Resources/volcano/{cube}")
    return f"/Projects/{project.name}/{path}"
