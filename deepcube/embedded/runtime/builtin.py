"""Jobs that the server itself does, under a name, with executions and logs like any other job.

The owner of a kind registers a function in :data:`BUILTINS`; it runs in a thread of the server with the platform, the
project and the arguments that the job was made with (``args`` among them: what the execution was started with).
"""

from __future__ import annotations

from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime.executions import Executions
from deepcube.embedded.runtime.functions import BUILTINS, say
from deepcube.embedded.runtime.jobs import job_document, save_job

__all__ = ["BUILTINS", "ensure_job", "job_document", "run_job", "say"]


def ensure_job(platform: Platform, project: Project, name: str, *, kind: str, **arguments: Any) -> Entity:
    """Make sure that a built-in job exists.

    Parameters
    ----------
    name : str
        Name of the job.
    kind : str
        Key in :data:`BUILTINS`; looked up when the job runs.
    **arguments
        Handed to the function; JSON values.
    """
    config = {
        "type": "sparkJobConfiguration",
        "jobType": "PYSPARK",
        "appName": name,
        "appPath": f"builtin:{kind}",
        "mainClass": "builtin",
        "defaultArgs": "",
    }
    return save_job(platform, project, name, config, builtin={"kind": kind, "arguments": arguments})


def run_job(platform: Platform, project: Project, job: Entity, arguments: str = "") -> Entity:
    """Start a job and return its execution.

    A short built-in job is over when this returns, so that a client that waits for it need not poll.
    """
    return platform.service(Executions).start(project, job, arguments=arguments)
