"""Job definitions in the catalog: what to run, with which defaults."""

from __future__ import annotations

import copy
import re
import shlex
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import JOB_NOT_FOUND, ApiError, bad_request, not_found, unsupported
from deepcube.embedded.keys import OWNER
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime.environment import parse_variables
from deepcube.embedded.runtime.environments import check_environment

JOB = "job"
SCHEDULE = "job_schedule"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\- ]{0,199}")
_BUILTIN_TYPE = "PYSPARK"  # what these jobs are on a cluster

_PYTHON: dict[str, Any] = {
    "type": "pythonJobConfiguration",
    "jobType": "PYTHON",
    "appName": None,
    "appPath": "",
    "defaultArgs": None,
    "envVars": None,
    "files": None,
    "environmentName": "python-feature-pipeline",
    "logRedirection": True,
    "resourceConfig": {"type": "dockerResourceConfiguration", "cores": 1.0, "memory": 2048, "gpus": 0},
}
_SPARK: dict[str, Any] = {
    "type": "sparkJobConfiguration",
    "jobType": "PYSPARK",
    "appName": None,
    "appPath": "",
    "mainClass": "org.apache.spark.deploy.PythonRunner",
    "defaultArgs": None,
    "envVars": None,
    "files": None,
    "environmentName": "spark-feature-pipeline",
    "properties": None,
    "spark.driver.cores": 1,
    "spark.driver.memory": 2048,
    "spark.executor.cores": 1,
    "spark.executor.memory": 4096,
    "spark.executor.instances": 1,
    "spark.dynamicAllocation.enabled": False,
}
_TEMPLATES = {"PYTHON": _PYTHON, "PYSPARK": _SPARK}
_UNSUPPORTED = {
    "SPARK": "it needs a Java program; write it as PYSPARK",
    "PYTHON_APP": "run the app with its own command, it reaches the platform with the variables of `deepcube env`",
    "DOCKER": "there are no containers here; write it as PYTHON",
    "AGENT": "there is no agent service here",
    "FLINK": "there is no Flink here",
    "INGESTION": "there is no ingestion service here; write it as PYTHON",
}


def job_template(job_type: str) -> dict[str, Any]:
    """Return the default configuration of a job type.

    Raises
    ------
    ApiError
        If the type is not offered.
    """
    template = _TEMPLATES.get(job_type.upper())
    if template is None:
        reason = _UNSUPPORTED.get(job_type.upper(), "the job types are PYTHON and PYSPARK")
        raise unsupported(f"a job of type {job_type.upper()}", reason)
    return copy.deepcopy(template)


def find_job(platform: Platform, project: Project, name: str) -> Entity:
    """Return a job by name.

    Raises
    ------
    ApiError
        404 with code 130009 if there is none.
    """
    entity = platform.catalog.first(project.id, JOB, name=name)
    if entity is None:
        raise not_found(f"no job named {name!r} in project {project.name!r}", JOB_NOT_FOUND)
    return entity


def job_document(platform: Platform, entity: Entity) -> dict[str, Any]:
    """Return a job as the REST API writes one."""
    document = {
        "href": f"{platform.rest_url}/project/{entity.project_id}/jobs/{entity.name}",
        "id": entity.id,
        "name": entity.name,
        "creationTime": entity.created,
        "config": entity.body["config"],
        "jobType": entity.body["jobType"],
        "creator": entity.body["creator"],
        "description": entity.body["config"].get("description"),
    }
    schedule = platform.catalog.first(entity.project_id, SCHEDULE, parent_id=entity.id)
    return document if schedule is None else {**document, "jobSchedule": schedule_document(schedule)}


def schedule_document(schedule: Entity) -> dict[str, Any]:
    """Return a schedule as the REST API writes one."""
    hidden = ("cursor", "user")
    return {"id": schedule.id, **{field: value for field, value in schedule.body.items() if field not in hidden}}


def save_job(
    platform: Platform,
    project: Project,
    name: str,
    config: dict[str, Any],
    *,
    creator: dict[str, object] | None = None,
    builtin: dict[str, Any] | None = None,
) -> Entity:
    """Make a job, or replace the configuration of one.

    Parameters
    ----------
    config : dict
        Configuration as the client sends it; what it leaves out comes from the template of its type.
    creator : dict, optional
        User document.
    builtin : dict, optional
        ``kind`` and ``arguments`` of a job that the server itself does.

    Raises
    ------
    ApiError
        If the name or the configuration is not usable, or the job is one of the server's own.
    """
    if not _NAME.fullmatch(name):
        raise bad_request(f"{name!r} is not a job name; use letters, digits, space and _ . - (at most 200)")
    if builtin is None:
        job_type = check_config(platform, project, config)
        config = job_template(job_type) | config
    else:
        job_type = _BUILTIN_TYPE
    body = {"config": config, "jobType": job_type, "builtin": builtin}
    with platform.catalog.transaction():
        entity = platform.catalog.first(project.id, JOB, name=name)
        if entity is None:
            return platform.catalog.add(project.id, JOB, name, {**body, "creator": creator or OWNER.document()})
        if entity.body.get("builtin") and builtin is None:
            # The client may save such a job (its schedule, its memory); what it does stays.
            own = {"appPath": entity.body["config"]["appPath"]}
            return platform.catalog.update(entity, entity.body | {"config": entity.body["config"] | config | own})
        return platform.catalog.update(entity, {**entity.body, **body})


def check_config(platform: Platform, project: Project, config: dict[str, Any]) -> str:
    """Check a configuration and return the type of job.

    Raises
    ------
    ApiError
        If the type is not offered, the program is missing or a notebook, arguments or variables are malformed, or there
        is no such environment.
    """
    path = config.get("appPath")
    job_type = _type_of(config, str(path or ""))
    job_template(job_type)
    if not isinstance(path, str) or not path:
        raise bad_request("the job's configuration has no appPath; name the program to run, a .py file in the project")
    if path.startswith("builtin:") or "/builtin:" in path:
        return job_type
    if path.endswith(".ipynb"):
        raise unsupported("a notebook as a job", f"convert {path.rpartition('/')[2]} to a .py file first")
    if not path.endswith(".py"):
        raise bad_request(f"appPath must be a .py file, found {path!r}")
    platform.files.resolve(project.name, path)
    split_arguments(config.get("defaultArgs"))
    parse_variables(config.get("envVars"))
    check_environment(platform, project, config.get("environmentName"))
    return job_type


def _type_of(config: dict[str, Any], path: str) -> str:
    kind = config.get("type")
    if kind == "sparkJobConfiguration":
        return "PYSPARK" if path.endswith((".py", ".ipynb")) or path.startswith("builtin:") else "SPARK"
    by_kind = {"pythonJobConfiguration": "PYTHON", "dockerJobConfiguration": "DOCKER"}
    by_kind |= {"agentJobConfiguration": "AGENT", "pythonAppJobConfiguration": "PYTHON_APP"}
    by_kind |= {"ingestionJobConfiguration": "INGESTION"}
    job_type = by_kind.get(str(kind)) or config.get("jobType")
    if job_type is None:
        raise bad_request(f"unknown kind of job configuration {kind!r}; start from JobApi.get_configuration")
    return str(job_type)


def split_arguments(text: str | None) -> list[str]:
    """Split arguments as a shell would.

    Raises
    ------
    ApiError
        If they are no text, or a quotation is not closed.
    """
    if text is not None and not isinstance(text, str):
        raise ApiError(400, 120001, f"the job's arguments must be a text, found {str(text)[:80]!r}")
    try:
        return shlex.split(text or "")
    except ValueError as error:
        raise ApiError(400, 120001, f"the job's arguments {text!r} cannot be split: {error}") from None
