"""What a use case runs, and the script side of a Hopsworks job.

A use case is found by its name, by convention:

- ``features.<name>.cube_name(source)`` names the cube that a source becomes;
- ``feature_pipelines.<name>.run(project, source, progress=...)`` writes its features;
- ``training_pipelines.<name>.run(project, cube, progress=...)`` trains and registers its model; one that can train in
  several ways also has ``MODES``, their names, and takes ``mode=...``;
- ``inference_pipelines.<name>.run(project, cube, progress=...)`` predicts, deploys and explains.

What a use case offers beyond that it says in its :class:`UseCase`:

- for each of its ``services``, ``inference_pipelines.<name>.<service>(project, source, progress=...)``, a stage that
  runs on demand or by a schedule, such as an alert service;
- where ``scores`` is set, ``inference_pipelines.<name>.score(project, folder, model=..., progress=...)``, which
  ``deepcube score`` calls;
- where predictions are points on the map, ``inference_pipelines.<name>.instance_of(project, row)``, what the deployment
  explains again for a row of predictions, and ``picture_of(row)``, where its picture lies in the project's files.

Each ``run`` returns a JSON-able summary, which the job leaves in the project's ``Resources`` for whoever started it.
Summaries share these keys, each where it applies: ``cube``, ``simulated``, ``feature_groups`` (rows written, by name),
``feature_view``, ``model``, ``deployment``, ``example``, ``findings`` and ``figures`` (paths in the project); see
:class:`jobs.cli.summary.Summary`. The module ``jobs.<name>`` says what the use case is and is itself the job's script:

    USE_CASE = UseCase(name="drought", title="...", sources={"sample": "..."})

    if __name__ == "__main__":
        main(USE_CASE)
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PIPELINES = {
    "features": "feature_pipelines",
    "training": "training_pipelines",
    "inference": "inference_pipelines",
}
STAGES = tuple(PIPELINES)

_PROGRESS_LINE = re.compile(r"::progress (?P<fraction>[0-9.]+) (?P<message>.*)$")


class ModeError(Exception):
    """A stage has no mode of this name."""


@dataclass(frozen=True)
class Service:
    """A stage beyond the three that every use case has; it runs on demand or by a schedule.

    Attributes
    ----------
    title : str
        What it does, in one line.
    source : str
        What it reads when nothing else is said, for example a folder of the project's files.
    """

    title: str
    source: str


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
    schedule : mapping of str to str
        When each stage runs again once it is deployed: Quartz cron expressions (UTC) by stage; a stage that is not
        named runs on demand.
    validates : bool
        Whether its feature groups have Great Expectations suites. The client imports that library wherever it is
        installed, which takes longer than most stages; a use case that does not need it is spared.
    services : mapping of str to Service
        Further stages, by the name of their function in the inference pipeline.
    scores : str
        What ``deepcube score`` tells of each file of a folder; empty if the use case does not offer it.
    """

    name: str
    title: str
    sources: Mapping[str, str]
    schedule: Mapping[str, str] = field(default_factory=dict)
    validates: bool = False
    services: Mapping[str, Service] = field(default_factory=dict)
    scores: str = ""

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of all its stages: those that every use case has, then its services."""
        return (*STAGES, *self.services)

    def default_source(self, stage: str) -> str:
        """Return what a stage reads when nothing else is said: for the three stages its first named source."""
        return self.services[stage].source if stage in self.services else next(iter(self.sources))

    def run(self, stage: str, project: Any, source: str, mode: str | None = None) -> dict[str, Any]:
        """Run one stage in this process, with progress on standard output.

        Parameters
        ----------
        stage : str
            One of :attr:`stages`.
        project : hopsworks.project.Project
            A logged-in project.
        source : str
            A named source or a path.
        mode : str, optional
            How to train; the pipeline's own default without.

        Returns
        -------
        dict
            The summary of the stage.

        Raises
        ------
        ModeError
            If the stage has no such mode.
        """
        if stage in self.services:
            service = getattr(importlib.import_module(f"{PIPELINES['inference']}.{self.name}"), stage)
            return dict(service(project, source, progress=_print_progress))
        pipeline = importlib.import_module(f"{PIPELINES[stage]}.{self.name}")
        if stage != "features":
            source = importlib.import_module(f"features.{self.name}").cube_name(source)
        options = {}
        if mode is not None:
            modes = getattr(pipeline, "MODES", ())
            if mode not in modes:
                there_are = ", ".join(modes) or "none"
                raise ModeError(f"stage {stage} of {self.name} has no mode {mode!r}; there are: {there_are}")
            options["mode"] = mode
        summary: dict[str, Any] = pipeline.run(project, source, progress=_print_progress, **options)
        return summary


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
    """Read a line of a job's log as progress, or return None if it is none.

    Something that the client printed without ending its line may stand before it.
    """
    match = _PROGRESS_LINE.search(line)
    return (float(match["fraction"]), match["message"]) if match else None


def _print_progress(fraction: float, message: str) -> None:
    print(progress_line(fraction, message), flush=True)


def main(use_case: UseCase) -> None:
    """Run one stage of a use case as the script of a Hopsworks job, then exit.

    The exit status is 0 after success and 1 after an error, whose one-line reason goes to standard error as
    ``error: ...``, below the traceback.
    """
    parser = argparse.ArgumentParser(description=use_case.title)
    parser.add_argument("--stage", choices=use_case.stages, required=True)
    parser.add_argument("--source", help="a named source or a path")
    parser.add_argument("--mode", help="how to train, where the use case has several ways")
    parser.add_argument("--result", required=True, help="folder of the project where the summary is left")
    arguments = parser.parse_args()
    if not use_case.validates:
        sys.modules["great_expectations"] = None  # type: ignore[assignment]  # to the client, it is not installed
    import hopsworks

    try:
        started = time.monotonic()
        project = hopsworks.login()
        with tempfile.TemporaryDirectory() as scratch:
            source = arguments.source or use_case.default_source(arguments.stage)
            source = _fetch(project, source, scratch) if arguments.stage == "features" else source
            summary = use_case.run(arguments.stage, project, source, arguments.mode)
        summary["seconds"] = round(time.monotonic() - started, 1)
        _leave(project, arguments.result, arguments.stage, summary)
    except Exception as error:
        traceback.print_exc()
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)


def _fetch(project: Any, source: str, scratch: str) -> str:
    """Return a source as the stage can open it: one that lies in the project's files is downloaded first."""
    if not source.startswith(f"/Projects/{project.name}/"):
        return source
    return str(project.get_dataset_api().download(source, scratch, overwrite=True))


def _leave(project: Any, folder: str, stage: str, summary: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / f"{stage}.json"
        file.write_text(json.dumps(summary, indent=1))
        project.get_dataset_api().upload(str(file), folder, overwrite=True)
