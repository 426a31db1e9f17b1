"""From a job's configuration to the command that runs it."""

from __future__ import annotations

import shutil
from pathlib import Path

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import JOB_START_FAILED, ApiError, bad_request
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime.environment import child_environment, parse_variables, user_of
from deepcube.embedded.runtime.environments import interpreter
from deepcube.embedded.runtime.jobs import split_arguments
from deepcube.embedded.runtime.processes import Task
from deepcube.embedded.runtime.spark import spark_environment


def prepare(
    platform: Platform, project: Project, job: Entity, execution: Entity, folder: Path, stdout: Path, stderr: Path
) -> Task:
    """Prepare the working folder of an execution and return what to run in it.

    Parameters
    ----------
    folder : Path
        Folder of the execution's process; the working folder is made inside and goes with it.
    stdout, stderr : Path
        Log files.

    Raises
    ------
    ApiError
        If the program, an attached file or the environment does not exist, or the job's type cannot run on this
        machine.
    """
    config = job.body["config"]
    program = find_program(platform, project, job)
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    for attached in _attached(config.get("files")):
        source = platform.files.existing(project.name, attached)
        if not source.is_file():
            raise bad_request(f"{attached} in the job's files is a folder; attach files only")
        shutil.copy2(source, work / source.name)
    environment = child_environment(
        platform,
        project,
        user_of(platform, execution.body["user"]["email"]),
        key_label(execution),
        HOPSWORKS_JOB_NAME=job.name,
        HOPSWORKS_JOB_TYPE=job.body["jobType"],
        HOPSWORKS_JOB_EXECUTION_ID=str(execution.id),
        HOPSWORKS_LOGS_PATH=str(stdout.parent),
    )
    runner = interpreter(platform, project, execution.body.get("environmentName"))
    environment = runner.variables(environment)
    if job.body["jobType"] == "PYSPARK":
        environment |= spark_environment(platform, config)
        environment |= {name: str(runner.python) for name in ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")}
    environment |= parse_variables(config.get("envVars")) | parse_variables(execution.body["envVars"])
    command = [str(runner.python), str(program), *split_arguments(execution.body["args"])]
    return Task(command, environment, work, stdout, stderr)


def key_label(execution: Entity) -> str:
    """Return the label of the API key that an execution calls with."""
    return f"execution-{execution.id}"


def find_program(platform: Platform, project: Project, job: Entity) -> Path:
    """Return the place of a job's program.

    Raises
    ------
    ApiError
        If it does not exist.
    """
    path = job.body["config"]["appPath"]
    program = platform.files.resolve(project.name, path)
    if not program.is_file():
        message = f"the program {path} of job {job.name!r} does not exist; upload it, or change the job's appPath"
        raise ApiError(400, JOB_START_FAILED, message)
    return program


def _attached(value: object) -> list[str]:
    """Read the ``files`` of a configuration: a list, or paths with commas between them."""
    if not value:
        return []
    if isinstance(value, str):
        return [path.strip() for path in value.split(",") if path.strip()]
    if isinstance(value, list) and all(isinstance(path, str) for path in value):
        return value
    raise bad_request("the job's files are paths with commas between them")
