"""Jobs: what there is to run, running it, following it, stopping it."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.responses import Response

from deepcube.embedded.console.pages import Page, Pages
from deepcube.embedded.console.render import duration
from deepcube.embedded.errors import ApiError

pages = Pages("/{project_id:int}/jobs", "jobs")

MAX_EXECUTIONS = 50
MAX_LOG_BYTES = 256 * 1024
_OVER = ("FINISHED", "FAILED", "KILLED", "INITIALIZATION_FAILED", "FRAMEWORK_FAILURE", "APP_MASTER_START_FAILED")
_STREAMS = {"out": "stdoutPath", "err": "stderrPath"}
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


@pages.get()
def jobs(page: Page) -> Response:
    """List the jobs with their last execution."""
    rows = [(job, _last_execution(page, job["name"])) for job in page.items("jobs")]
    rows.sort(key=lambda row: (row[1] or {}).get("submissionTime") or row[0].get("creationTime") or "", reverse=True)
    return page.html("jobs.html", rows=rows)


def _last_execution(page: Page, name: str) -> dict[str, Any] | None:
    found = page.items("jobs", name, "executions", sort_by="submissiontime:desc", limit=1)
    return found[0] if found else None


@pages.get("/{name}")
def job(page: Page) -> Response:
    """Show a job: its configuration, a form to run it, its executions."""
    name = page.path["name"]
    document = page.get("jobs", name)
    executions = page.items("jobs", name, "executions", sort_by="submissiontime:desc", limit=MAX_EXECUTIONS)
    return page.html(
        "job.html", job=document, config=document.get("config") or {}, executions=executions, limit=MAX_EXECUTIONS
    )


@pages.post("/{name}/run")
def run(page: Page) -> Response:
    """Start a job with the arguments of the form and show the execution."""
    name = page.path["name"]
    arguments = page.form.get("arguments", "").strip()
    page.get("jobs", name)
    execution = page.rest.post("project", page.project.id, "jobs", name, "executions", content=arguments.encode())
    return page.redirect(f"{page.base}/jobs/{name}/executions/{execution['id']}", f"Started {name}.")


@pages.get("/{name}/executions/{id:int}")
def execution(page: Page) -> Response:
    """Show an execution with its logs, which the page's script keeps following."""
    name = page.path["name"]
    document = _execution(page)
    logs = {stream: _log(page, document, stream, 0) for stream in _STREAMS}
    return page.html("execution.html", name=name, execution=document, logs=logs, is_over=_is_over(document))


@pages.get("/{name}/executions/{id:int}/log")
def follow(page: Page) -> Response:
    """Return what the logs gained since the page's script asked last, and the state."""
    document = _execution(page)
    logs = {stream: _log(page, document, stream, page.number(stream, 0)) for stream in _STREAMS}
    return page.json(
        {
            "logs": {stream: {"text": log.text, "offset": log.offset} for stream, log in logs.items()},
            "state": document.get("state"),
            "duration": duration(document.get("duration")),
            # The log is complete only if it was read after the end, so the script asks once more.
            "over": _is_over(document),
        }
    )


@pages.post("/{name}/executions/{id:int}/stop")
def stop(page: Page) -> Response:
    """Stop an execution."""
    name, number = page.path["name"], page.path["id"]
    page.rest.put(
        "project", page.project.id, "jobs", name, "executions", number, "status", document={"state": "stopped"}
    )
    return page.redirect(f"{page.base}/jobs/{name}/executions/{number}", "Asked the execution to stop.")


def _execution(page: Page) -> dict[str, Any]:
    document: dict[str, Any] = page.get("jobs", page.path["name"], "executions", page.path["id"])
    return document


def _is_over(document: dict[str, Any]) -> bool:
    return document.get("state") in _OVER


@dataclass(frozen=True)
class LogPart:
    """A part of a log.

    Attributes
    ----------
    text : str
        What it says, without the control codes of terminals.
    offset : int
        Bytes of the file up to the end of this part; the next part starts there.
    is_cut : bool
        Whether earlier lines were left out.
    path : str
        Path of the file in the project.
    """

    text: str
    offset: int
    is_cut: bool
    path: str


def _log(page: Page, document: dict[str, Any], stream: str, offset: int) -> LogPart:
    path = document.get(_STREAMS[stream]) or ""
    try:
        place = page.platform.files.existing(page.project.name, path) if path else None
    except ApiError:  # nothing written yet
        place = None
    if place is None or not place.is_file():
        return LogPart("", 0, False, path)
    return read_log(place, offset, path)


def read_log(place: Path, offset: int, path: str = "", limit: int = MAX_LOG_BYTES) -> LogPart:
    """Read a log from an offset to its end, whole characters only.

    Parameters
    ----------
    place : Path
        The file.
    offset : int
        Where to start, in bytes; beyond the end (a log that was written anew) means from the beginning.
    path : str
        Path of the file in the project.
    limit : int
        At most so many bytes, the last ones.
    """
    with place.open("rb") as stream:
        end = stream.seek(0, 2)
        start = offset if offset <= end else 0
        is_cut = end - start > limit
        stream.seek(end - limit if is_cut else start)
        data = stream.read(limit)
    if is_cut:
        data = data[data.find(b"\n") + 1 :]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    unfinished = len(decoder.getstate()[0])
    text = _TERMINAL_CODES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return LogPart(text, end - unfinished, is_cut, path)
