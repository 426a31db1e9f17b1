"""What the catalog says of executions: made, changed, ended, and written as the REST API writes them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepcube.embedded.catalog import Entity, iso_time, now_ms
from deepcube.embedded.errors import EXECUTION_NOT_FOUND, bad_request, not_found
from deepcube.embedded.keys import OWNER
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime.jobs import JOB, split_arguments
from deepcube.embedded.runtime.trees import remove_tree

EXECUTION = "execution"
FINAL_STATES = ("FINISHED", "FAILED", "KILLED")
FINISH_HOOKS: list[Callable[[Platform, Entity, Entity], None]] = []
"""Called with the platform, the job and the execution, in the transaction that writes down its end."""

_FINAL_STATUS = {"FINISHED": "SUCCEEDED", "FAILED": "FAILED", "KILLED": "KILLED"}
_MAX_KEPT = 1000
_FORGET_EVERY = 50

_log = logging.getLogger(__name__)


class Records:
    """The executions in the catalog.

    Parameters
    ----------
    platform : Platform
        Whose executions.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._catalog = platform.catalog

    def add(
        self,
        project: Project,
        job: Entity,
        *,
        arguments: str | None = None,
        variables: dict[str, str] | None = None,
        user: dict[str, object] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Entity:
        """Write down an execution that is to be launched. Fit for the caller's transaction.

        Parameters
        ----------
        arguments : str, optional
            Arguments; the job's defaults if None or empty.
        variables : dict, optional
            Environment variables of this execution alone.
        user : dict, optional
            User document of who starts it.
        extra : dict, optional
            More for the execution's document (the interval of a schedule).

        Raises
        ------
        ApiError
            If the arguments are malformed.
        """
        chosen = arguments or job.body["config"].get("defaultArgs") or ""
        if not job.body.get("builtin"):
            split_arguments(chosen)
        body = {
            "state": "INITIALIZING",
            "finalStatus": "UNDEFINED",
            "progress": 0.0,
            "duration": 0,
            "args": chosen,
            "envVars": variables or {},
            "environmentName": job.body["config"].get("environmentName"),
            "user": user or OWNER.document(),
            "rerunCount": 0,
            **(extra or {}),
        }
        with self._catalog.transaction():
            number = self._catalog.next_version(project.id, EXECUTION, job.name, job.id)
            execution = self._catalog.add(project.id, EXECUTION, job.name, body, version=number, parent_id=job.id)
            logs = f"/Projects/{project.name}/Logs/{job.body['jobType'].capitalize()}/{job.name}/{execution.id}"
            body |= {"stdoutPath": f"{logs}/stdout.log", "stderrPath": f"{logs}/stderr.log"}
            body["submissionTime"] = execution.created
            execution = self._catalog.update(execution, body)
            if number % _FORGET_EVERY == 0:
                self._forget_oldest(job)
        return execution

    def read(self, project: Project, job: Entity, execution_id: int) -> Entity:
        """Return an execution of a job.

        Raises
        ------
        ApiError
            If the job has no such execution.
        """
        execution = self._catalog.get(execution_id, EXECUTION)
        if execution is None or execution.parent_id != job.id or execution.project_id != project.id:
            raise not_found(f"job {job.name!r} has no execution {execution_id}", EXECUTION_NOT_FOUND)
        return execution

    def update(self, execution_id: int, **changes: Any) -> None:
        """Change an execution, unless it is over."""
        with self._catalog.transaction():
            execution = self._catalog.get(execution_id, EXECUTION)
            if execution is not None and execution.body["state"] not in FINAL_STATES:
                self._catalog.update(execution, execution.body | changes)

    def finish(
        self,
        execution_id: int,
        state: str,
        reason: str | None,
        duration: int | None = None,
        exit_code: int | None = None,
    ) -> None:
        """Write down the end of an execution, once.

        Parameters
        ----------
        state : str
            One of :data:`FINAL_STATES`.
        reason : str or None
            Why it has not succeeded.
        duration : int, optional
            Milliseconds; from its start to now if not given.
        exit_code : int, optional
            Exit status of its process.
        """
        with self._catalog.transaction():
            execution = self._catalog.get(execution_id, EXECUTION)
            if execution is None or execution.body["state"] in FINAL_STATES:
                return
            ended = now_ms()
            started = execution.body.get("startedMs", ended)
            end = {
                "state": state,
                "finalStatus": _FINAL_STATUS[state],
                "progress": 1.0,
                "duration": ended - started if duration is None else duration,
                "finishedTime": iso_time(ended),
                "reason": reason,
                "exitCode": exit_code,
            }
            execution = self._catalog.update(execution, execution.body | end)
            job = self._catalog.get(execution.parent_id, JOB)
            if job is not None:
                for hook in FINISH_HOOKS:
                    hook(self._platform, job, execution)

    def renew(self, project: Project, job: Entity, execution_id: int) -> Entity:
        """Make a failed execution one that is to be launched again; its logs are put aside.

        Raises
        ------
        ApiError
            If it has not failed.
        """
        with self._catalog.transaction():
            execution = self.read(project, job, execution_id)
            if execution.body["state"] not in ("FAILED", "KILLED"):
                raise bad_request(f"execution {execution_id} is {execution.body['state']}; only a failed one can rerun")
            attempt = execution.body["rerunCount"] + 1
            fresh = {"state": "INITIALIZING", "finalStatus": "UNDEFINED", "rerunCount": attempt, "duration": 0}
            execution = self._catalog.update(execution, execution.body | fresh | {"reason": None})
        for log in self.logs(execution):
            if log.exists():
                aside = log.parent / f"attempt-{attempt}"
                aside.mkdir(exist_ok=True)
                log.replace(aside / log.name)
        return execution

    def active(self, job: Entity) -> int:
        """Return how many executions of a job are not over."""
        executions = self._catalog.find(job.project_id, EXECUTION, parent_id=job.id)
        return sum(execution.body["state"] not in FINAL_STATES for execution in executions)

    def logs(self, execution: Entity) -> tuple[Path, Path]:
        """Return the places of the two logs of an execution."""
        root = self._platform.files.root
        return root / execution.body["stdoutPath"].lstrip("/"), root / execution.body["stderrPath"].lstrip("/")

    def write_error(self, execution: Entity, text: str) -> None:
        """Add to the error log of an execution; a disk that cannot take it is noted and no more."""
        try:
            log = self.logs(execution)[1]
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a") as stream:
                stream.write(text)
        except OSError as error:
            _log.warning("cannot write the log of execution %d: %s", execution.id, error)

    def _forget_oldest(self, job: Entity) -> None:
        """Keep the newest executions of a job only, so that a schedule cannot fill the catalog."""
        executions = self._catalog.find(job.project_id, EXECUTION, parent_id=job.id)
        for execution in executions[:-_MAX_KEPT]:
            if execution.body["state"] in FINAL_STATES:
                self._catalog.remove(execution)
                remove_tree(self.logs(execution)[0].parent)


def execution_document(platform: Platform, execution: Entity) -> dict[str, Any]:
    """Return an execution as the REST API writes one."""
    body = execution.body
    duration = body["duration"]
    if body["state"] not in FINAL_STATES and "startedMs" in body:
        duration = now_ms() - body["startedMs"]
    hidden = ("envVars", "startedMs")
    return {
        **{field: value for field, value in body.items() if field not in hidden},
        "duration": duration,
        "id": execution.id,
        "href": f"{platform.rest_url}/project/{execution.project_id}/jobs/{execution.name}/executions/{execution.id}",
        "hdfsUser": "deepcube",
        "appId": f"deepcube-{execution.id}",
        "filesToRemove": [],
        "monitoring": {},
    }
