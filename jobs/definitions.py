"""What the jobs of a use case are on the platform, written once for ``deepcube run`` and ``deepcube deploy``."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from jobs import usecases

SCRIPTS = "Resources/deepcube/jobs"
RESULTS = "Resources/deepcube/runs"
BASE_ENVIRONMENT = "python-feature-pipeline"

_SCHEME = re.compile(r"^(hdfs|hopsfs)://[^/]*")
# Results of oneDNN's kernels depend on the processor, and TensorFlow says at every start that it uses them.
_VARIABLES = {"TF_ENABLE_ONEDNN_OPTS": "0"}
#: Tells a job in which environment to deploy a predictor; set by ``deepcube deploy`` alone.
SERVING_VARIABLE = "DEEPCUBE_SERVING_ENVIRONMENT"


@dataclass(frozen=True)
class Environments:
    """The environments that a use case's code was shipped to.

    Attributes
    ----------
    jobs : str
        The one that its jobs run in.
    serving : str
        The one that its deployments run in.
    """

    jobs: str
    serving: str


def job_name(use_case: str, stage: str) -> str:
    """Return the name of the job that runs a stage."""
    return f"{use_case}_{stage}"


def absolute(project: Any, path: str) -> str:
    """Return a path in the project's files as jobs and the REST API take it."""
    if path.startswith(("/", "hdfs:", "hopsfs:")):
        return path
    return f"/Projects/{project.name}/{path}"


def make_folder(project: Any, path: str) -> None:
    """Make a folder in the project's files, with those that it lies in."""
    datasets = project.get_dataset_api()
    for folder in [*reversed(PurePosixPath(path).parents[:-2]), PurePosixPath(path)]:
        if not datasets.exists(str(folder)):
            datasets.mkdir(str(folder))


def script_path(project: Any, use_case: str) -> str:
    """Return where the script of a use case's jobs lies in the project."""
    return absolute(project, f"{SCRIPTS}/{usecases.script(use_case).name}")


def read_file(project: Any, path: str) -> bytes | None:
    """Return the content of a file of the project, None if there is none."""
    datasets = project.get_dataset_api()
    if not datasets.exists(path):
        return None
    answer = datasets.read_content(path)
    return bytes(answer.content) if answer is not None else None


def upload_script(project: Any, use_case: str) -> None:
    """Upload the script of a use case's jobs, in place of another one that is there.

    The same one stays: the client removes a file before it writes it again, and a job may be starting from it.
    """
    script = usecases.script(use_case)
    if read_file(project, script_path(project, use_case)) != script.read_bytes():
        make_folder(project, SCRIPTS)
        project.get_dataset_api().upload(str(script), SCRIPTS, overwrite=True)


def wanted(
    project: Any, use_case: str, stage: str, source: str | None = None, environments: Environments | None = None
) -> dict[str, Any]:
    """Return what a job's configuration is to say, where it differs from the platform's default.

    Parameters
    ----------
    source : str, optional
        What the job reads when nothing else is said, e.g. by its schedule; the use case's own default without.
    environments : Environments, optional
        Where its code was shipped to; by default the code is there without that.
    """
    result = absolute(project, f"{RESULTS}/{use_case}-scheduled")
    source = source or usecases.load(use_case).default_source(stage)
    variables = dict(_VARIABLES)
    if environments is not None:
        variables[SERVING_VARIABLE] = environments.serving
    return {
        "appPath": script_path(project, use_case),
        "defaultArgs": shlex.join(["--stage", stage, "--source", source, "--result", result]),
        "envVars": variables,
        "environmentName": BASE_ENVIRONMENT if environments is None else environments.jobs,
    }


def find_job(project: Any, name: str) -> Any | None:
    """Return a job, or None if there is none."""
    return project.get_job_api().get_job(name)


def is_deployed(job: Any) -> bool:
    """Tell whether a job is one that ``deepcube deploy`` made."""
    return SERVING_VARIABLE in _as_mapping(job.config.get("envVars") or {})


def differs(job: Any | None, config: dict[str, Any]) -> bool:
    """Tell whether a job is absent or says something else than it is to say."""
    if job is None:
        return True
    present = {
        **job.config,
        "envVars": _as_mapping(job.config.get("envVars") or {}),
        "appPath": _SCHEME.sub("", str(job.config.get("appPath"))),  # the client adds it on the way
    }
    return any(present.get(key) != value for key, value in config.items())


def _as_mapping(variables: Any) -> dict[str, str]:
    """Read variables in either form that a platform gives them: by name, or as ``NAME=value``."""
    if isinstance(variables, list):
        return dict(each.split("=", 1) for each in variables if isinstance(each, str) and "=" in each)
    return dict(variables)


def save_job(project: Any, name: str, config: dict[str, Any]) -> Any:
    """Make a job, or change one; what a configuration does not say stays as it is, or as the platform has it."""
    api = project.get_job_api()
    job = find_job(project, name)
    with contextlib.redirect_stdout(io.StringIO()):  # the client tells an address of every job
        return api.create_job(name, {**(job.config if job is not None else api.get_configuration("PYTHON")), **config})
