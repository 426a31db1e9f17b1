"""What every use case's deployment has in common: the newest model, started, brought up to date, and asked."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from deepcube.oblivious import upload_files

_RESOURCES = {
    "num_instances": 1,
    "requests": {"cores": 0.2, "memory": 1024, "gpus": 0},
    "limits": {"cores": 2, "memory": 4096, "gpus": 0},
}
_START_SECONDS = 300
_ENVIRONMENT = "DEEPCUBE_SERVING_ENVIRONMENT"  # set where `deepcube deploy` shipped the code to one


class NoModelError(LookupError):
    """No model of a use case is registered, or none of that name."""


def deployment_name(use_case: str, cube: str) -> str:
    """Return the name of a cube's deployment; Hopsworks allows letters and digits only."""
    return use_case + re.sub(r"[^a-z0-9]", "", cube.lower())


def newest_model(project: Any, name: str) -> Any:
    """Return the newest version of a registered model.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    name : str
        Name of the model: the use case's, an underscore, the cube's.

    Returns
    -------
    hsml.model.Model
        The model with the highest version.

    Raises
    ------
    NoModelError
        If none is registered.
    """
    models = project.get_model_registry().get_models(name)
    if not models:
        raise NoModelError(
            f"Found no model {name} in the registry; expected one to predict with. "
            f"Run the training stage first: deepcube run {name.partition('_')[0]} --stage training."
        )
    return max(models, key=lambda model: model.version)


def deploy(project: Any, use_case: str, cube: str, *, description: str, script: Path) -> dict[str, Any]:
    """Deploy the newest model of a cube, or bring its deployment up to date, and start it.

    Doing so again changes nothing and restarts nothing.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    use_case, cube : str
        What names the model, the deployment and the folder of its script.
    description : str
        What people read in the list of deployments.
    script : Path
        The predictor.

    Returns
    -------
    dict
        ``name``, ``state``, ``model`` and ``model_version`` of the deployment.

    Raises
    ------
    NoModelError
        If no model of the cube is registered.
    """
    model = newest_model(project, f"{use_case}_{cube}")
    name, environment = deployment_name(use_case, cube), os.environ.get(_ENVIRONMENT)
    deployment = project.get_model_serving().get_deployment(name)
    if deployment is None:
        deployment = model.deploy(
            name=name,
            description=description,
            script_file=_upload(project, script, use_case, cube),
            resources=_RESOURCES,
            environment=environment,
        )
    elif deployment.model_version != model.version or environment not in (None, deployment.predictor.environment):
        deployment.model_version = model.version
        deployment.predictor.environment = environment or deployment.predictor.environment
        deployment.script_file = _upload(project, script, use_case, cube)
        deployment.save(await_update=_START_SECONDS)
    if not deployment.is_running():
        deployment.start(await_running=_START_SECONDS)
    return {
        "name": name,
        "state": deployment.get_state().status,
        "model": model.name,
        "model_version": model.version,
    }


def ask(project: Any, deployment: str, instance: dict[str, Any], explain: Any = True) -> dict[str, Any]:
    """Ask a deployment for one explained prediction.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    deployment : str
        Name of a running deployment.
    instance : dict
        What to predict for; see the predictor of the use case.
    explain : bool or dict
        How to explain; see :class:`deepcube.explain.ExplainOptions`.

    Returns
    -------
    dict
        The deployment's answer.
    """
    served = project.get_model_serving().get_deployment(deployment)
    # Inside the instance, not beside it: there every KServe hands it to the script.
    (answer,) = served.predict(data={"instances": [{**instance, "explain": explain}]})["predictions"]
    return dict(answer)


def _upload(project: Any, script: Path, use_case: str, cube: str) -> str:
    (path,) = upload_files(project, [script], f"Resources/{use_case}/{cube}")
    return f"/Projects/{project.name}/{path}"
