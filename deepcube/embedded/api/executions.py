"""Executions of jobs: start, state, logs, stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request, unsupported
from deepcube.embedded.routing import Call, Json, Routes
from deepcube.embedded.runtime.environment import parse_variables
from deepcube.embedded.runtime.executions import Executions
from deepcube.embedded.runtime.jobs import find_job
from deepcube.embedded.runtime.logs import tail
from deepcube.embedded.runtime.records import EXECUTION, FINAL_STATES, execution_document

routes = Routes("/project/{project_id:int}/jobs/{name}/executions")

_DEFAULT_LINES = 1000
_DEFAULT_BYTES = 1024 * 1024


def _job(call: Call) -> Entity:
    return find_job(call.platform, call.project, call.path["name"])


def _execution(call: Call) -> Entity:
    return call.platform.service(Executions).find(call.project, _job(call), call.path["id"])


@routes.post("")
def start(call: Call) -> Json:
    """Start a job: arguments as plain text, or as JSON with environment variables of this execution."""
    arguments, variables, extra = _request(call)
    execution = call.platform.service(Executions).start(
        call.project,
        _job(call),
        arguments=arguments,
        variables=variables,
        user=call.user.document(),
        extra=extra,
    )
    return execution_document(call.platform, execution)


def _request(call: Call) -> tuple[str | None, dict[str, str], dict[str, Any]]:
    if "json" not in call.headers.get("content-type", ""):
        try:
            return call.body.decode() or None, {}, {}
        except UnicodeDecodeError:
            raise bad_request("the job's arguments are not UTF-8 text") from None
    document = call.document
    arguments = document.get("args")
    if arguments is not None and not isinstance(arguments, str):
        raise bad_request(f"args is the text of a command line, found {type(arguments).__name__}")
    extra = {field: document[field] for field in ("logicalDate", "dataIntervalEnd") if document.get(field)}
    return arguments, parse_variables(document.get("envVars")), extra


@routes.get("")
def find(call: Call) -> Json:
    """List the executions of a job, newest first unless asked otherwise."""
    ascending = (call.parameter("sort_by") or "").lower().endswith(":asc")
    executions = call.platform.catalog.find(
        call.project.id, EXECUTION, parent_id=_job(call).id, newest_first=not ascending
    )
    offset = call.integer("offset", 0) or 0
    limit = call.integer("limit")
    page = executions[offset:] if limit is None else executions[offset : offset + limit]
    return {"count": len(executions), "items": [execution_document(call.platform, entity) for entity in page]}


@routes.get("/{id:int}")
def read(call: Call) -> Json:
    """Return an execution."""
    return execution_document(call.platform, _execution(call))


@routes.delete("/{id:int}")
def remove(call: Call) -> None:
    """Remove an execution with its logs; it is stopped if it runs."""
    call.platform.service(Executions).remove(call.project, _job(call), call.path["id"])


@routes.put("/{id:int}/status")
def stop(call: Call) -> Json:
    """Stop an execution; the only state that can be set. The client sends a form and says that it is JSON."""
    if b"stopped" not in call.body.lower():
        raise bad_request("the state of an execution can be set to 'stopped' only")
    execution = call.platform.service(Executions).stop(call.project, _job(call), call.path["id"])
    return execution_document(call.platform, execution)


@routes.post("/{id:int}/rerun")
def rerun(call: Call) -> Json:
    """Run a failed execution again, in place."""
    execution = call.platform.service(Executions).rerun(call.project, _job(call), call.path["id"])
    return execution_document(call.platform, execution)


@routes.put("/{id:int}/tables/{table}/status")
def stop_table(call: Call) -> Json:
    """Refuse: there are no ingestion jobs."""
    raise unsupported("Execution.stop_table", "there are no ingestion jobs here")


@routes.get("/{id:int}/pod-logs")
def live_log(call: Call) -> Json:
    """Return the end of what a running execution has written so far, both streams."""
    execution = _execution(call)
    lines = call.integer("lines", _DEFAULT_LINES) or _DEFAULT_LINES
    limit = call.integer("limitBytes", _DEFAULT_BYTES) or _DEFAULT_BYTES
    texts = [tail(_log(call, execution, stream), lines, limit).text for stream in ("stdout", "stderr")]
    return {
        "status": "AVAILABLE",
        "available": True,
        "log": "".join(texts),
        "podName": f"{execution.name}-{execution.id}",
        "containerName": "job",
        "message": None if execution.body["state"] not in FINAL_STATES else "the execution is over",
    }


@routes.get("/{id:int}/log/{stream}")
def log(call: Call) -> Json:
    """Return one stream of an execution's log, ``out`` or ``err``, as far as it is written."""
    stream = call.path["stream"].lower()
    if stream not in ("out", "err"):
        raise bad_request(f"the logs of an execution are out and err, found {stream!r}")
    execution = _execution(call)
    path = execution.body[f"std{stream}Path"]
    text = tail(_log(call, execution, f"std{stream}"), None, _DEFAULT_BYTES).text
    return {"type": stream.upper(), "path": path, "log": text or "No log available"}


def _log(call: Call, execution: Entity, stream: str) -> Path:
    return call.platform.files.resolve(call.project.name, execution.body[f"{stream}Path"])
