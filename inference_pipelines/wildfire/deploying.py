"""Deployment of the wildfire model: one per source, serving the newest version of its model."""

import os
import re
from pathlib import Path
from typing import Any

from deepcube.oblivious import upload_files
from features import wildfire

_RESOURCES = {
    "num_instances": 1,
    "requests": {"cores": 0.2, "memory": 1024, "gpus": 0},
    "limits": {"cores": 2, "memory": 4096, "gpus": 0},
}
_START_SECONDS = 300
_ENVIRONMENT = "DEEPCUBE_SERVING_ENVIRONMENT"  # set where `deepcube deploy` shipped the code to one


class NoModelError(LookupError):
    """No wildfire model of the cube is registered."""


def deployment_name(cube: str) -> str:
    """Return the name of a cube's deployment; Hopsworks allows letters and digits only."""
    return "wildfire" + re.sub(r"[^a-z0-9]", "", cube.lower())


def newest_model(project: Any, cube: str) -> Any:
    """Return the newest registered wildfire model of a cube.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    cube : str
        Name of the cube.

    Returns
    -------
    hsml.model.Model
        The model with the highest version.

    Raises
    ------
    NoModelError
        If none is registered.
    """
    models = project.get_model_registry().get_models(f"wildfire_{cube}")
    if not models:
        raise NoModelError(
            f"Found no model wildfire_{cube} in the registry; expected one to predict with. "
            "Run the training stage first: deepcube run wildfire --stage training."
        )
    return max(models, key=lambda model: model.version)


def deploy(project: Any, cube: str) -> dict[str, Any]:
    """Deploy the newest model of a cube, or bring its existing deployment up to date, and start it.

    Doing so again changes nothing and restarts nothing.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    cube : str
        Name of the cube.

    Returns
    -------
    dict
        ``name``, ``state``, ``model`` and ``model_version`` of the deployment.

    Raises
    ------
    NoModelError
        If no model of the cube is registered.
    """
    model, name = newest_model(project, cube), deployment_name(cube)
    environment = os.environ.get(_ENVIRONMENT)
    deployment = project.get_model_serving().get_deployment(name)
    if deployment is None:
        deployment = model.deploy(
            name=name,
            description=_description(project, cube),
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


def _description(project: Any, cube: str) -> str:
    view = project.get_feature_store().get_feature_view(f"wildfire_{cube}", wildfire.VERSION)
    label = f"{wildfire.SIMULATED_LABEL}: " if view is not None and wildfire.is_simulated(view) else ""
    return f"{label}danger of fire in cells of {cube}, with explanations"


def _upload_script(project: Any, cube: str) -> str:
    script = Path(__file__).with_name("predictor.py")
    (path,) = upload_files(project, [script], f"Resources/wildfire/{cube}")
    return f"/Projects/{project.name}/{path}"
