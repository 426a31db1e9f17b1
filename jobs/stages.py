"""What a use case runs, and the script side of a Hopsworks job.

A job script names its stages and hands over:

    USE_CASE = UseCase(name="drought", ..., stages={"features": ..., "training": ..., "inference": ...})

    if __name__ == "__main__":
        main(USE_CASE)

Each stage gets the logged-in Hopsworks project, the source asked for, and a progress callback, and returns a
JSON-able summary, which the script leaves in the project's ``Resources`` for whoever started the job.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAGES = ("features", "training", "inference")

Progress = Callable[[float, str], None]
Stage = Callable[[Any, str, Progress], dict[str, Any]]

_PROGRESS_LINE = re.compile(r"^::progress (?P<fraction>[0-9.]+) (?P<message>.*)$")


@dataclass(frozen=True)
class UseCase:
    """A use case as jobs see it.

    Attributes
    ----------
    name : str
        Name of its modules.
    title : str
        What it does, in one line.
    sources : mapping of str to str
        Named sources and what each is; any other source is taken as a path.
    stages : mapping of str to callable
        Function of each of :data:`STAGES`: ``(project, source, progress) -> summary``.
    """

    name: str
    title: str
    sources: Mapping[str, str]
    stages: Mapping[str, Stage]


def progress_line(fraction: float, message: str) -> str:
    """Write progress as a line of a job's log.

    Parameters
    ----------
    fraction : float
        Done so far, from 0 to 1.
    message : str
        What is being done.
    """
    return f"::progress {fraction:.3f} {message}"


def parse_progress(line: str) -> tuple[float, str] | None:
    """Read a line of a job's log as progress, or return None if it is none."""
    match = _PROGRESS_LINE.match(line)
    return (float(match["fraction"]), match["message"]) if match else None


def _print_progress(fraction: float, message: str) -> None:
    print(progress_line(fraction, message), flush=True)


def main(use_case: UseCase) -> None:
    """Run one stage of a use case as the script of a Hopsworks job, then exit.

    The exit status is 0 after success and 1 after an error, whose one-line reason goes to standard error as
    ``error: ...``, below the traceback.
    """
    parser = argparse.ArgumentParser(description=use_case.title)
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--source", default="sample", help="a named source or a path")
    parser.add_argument("--result", required=True, help="folder of the project where the summary is left")
    arguments = parser.parse_args()
    import hopsworks

    try:
        started = time.monotonic()
        project = hopsworks.login()
        summary = use_case.stages[arguments.stage](project, arguments.source, _print_progress)
        summary["seconds"] = round(time.monotonic() - started, 1)
        _leave(project, arguments.result, arguments.stage, summary)
    except Exception as error:
        traceback.print_exc()
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)


def _leave(project: Any, folder: str, stage: str, summary: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / f"{stage}.json"
        file.write_text(json.dumps(summary, indent=1))
        project.get_dataset_api().upload(str(file), folder, overwrite=True)
