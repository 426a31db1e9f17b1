"""Register and run the jobs of a use case through the Hopsworks job API, and follow them.

The same calls reach the embedded platform and a cluster; only the ``HOPSWORKS_*`` variables differ.
"""

from __future__ import annotations

import json
import shlex
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs import definitions
from jobs.stages import parse_progress

_SOURCES = "Resources/deepcube/sources"
_POLL_SECONDS = 0.5

Listener = Callable[[str, float | None], None]
"""Called with each new line of a job's log and, where the line tells progress, the fraction done."""


class JobFailedError(Exception):
    """A job did not succeed; the message carries the job's own reason and where its logs are."""


def _tell(line: str, listener: Listener) -> None:
    """Pass a line on as a terminal would show it in the end: what a carriage return overwrote is left out."""
    progress = parse_progress(line)
    text = line.rstrip("\r").rpartition("\r")[2].strip()
    if progress:
        listener(progress[1], progress[0])
    elif text:
        listener(text, None)


class JobRunner:
    """The jobs of one use case on the platform that the client is logged in to.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    name : str
        Name of the use case.
    """

    def __init__(self, project: Any, name: str) -> None:
        self._project = project
        self._name = name
        self._datasets = project.get_dataset_api()
        self._run = f"{definitions.RESULTS}/{name}-{uuid.uuid4().hex[:12]}"

    def job_name(self, stage: str) -> str:
        """Return the name of the job that runs a stage."""
        return definitions.job_name(self._name, stage)

    def register(self, stages: tuple[str, ...]) -> str | None:
        """Make sure that there is one job per stage.

        Jobs that ``deepcube deploy`` made stay as they are, with the code that it shipped. Else the use case's script
        is uploaded and the jobs are made, or changed, to run it where the platform has the code already.

        Returns
        -------
        str or None
            Environment of the deployed jobs; None if they are not deployed.
        """
        jobs = [definitions.find_job(self._project, self.job_name(stage)) for stage in stages]
        deployed = [str(job.config["environmentName"]) for job in jobs if job and definitions.is_deployed(job)]
        if len(deployed) == len(jobs):
            return deployed[0]
        definitions.upload_script(self._project, self._name)
        for stage in stages:
            config = definitions.wanted(self._project, self._name, stage)
            definitions.save_job(self._project, self.job_name(stage), config)
        return None

    def stage_source(self, source: str) -> str:
        """Upload a local source for a platform on another machine, and return its path there.

        Parameters
        ----------
        source : str
            Path of a file or folder.
        """
        definitions.make_folder(self._project, _SOURCES)
        return definitions.absolute(self._project, self._datasets.upload(source, _SOURCES, overwrite=True))

    def run(self, stage: str, source: str, listener: Listener, mode: str | None = None) -> dict[str, Any]:
        """Run one stage and follow its log to the end.

        Parameters
        ----------
        stage : str
            One of the use case's stages.
        source : str
            What the stage reads.
        listener : callable
            Told every new line of the log.
        mode : str, optional
            How to train; only for the training stage.

        Returns
        -------
        dict
            The summary that the stage returned.

        Raises
        ------
        JobFailedError
            If the job fails. On Ctrl-C the job is stopped before the exception goes on.
        """
        definitions.make_folder(self._project, self._run)
        job = self._project.get_job_api().get_job(self.job_name(stage))
        arguments = ["--stage", stage, "--source", source, "--result", self._run, *(["--mode", mode] if mode else [])]
        execution = job.run(args=shlex.join(arguments), await_termination=False)
        try:
            execution = self._follow(job, execution, listener)
        except KeyboardInterrupt:
            execution.stop()
            raise
        if not execution.success:
            raise JobFailedError(self._failure(stage, execution))
        content = self._datasets.read_content(definitions.absolute(self._project, f"{self._run}/{stage}.json"))
        summary: dict[str, Any] = json.loads(content.content)
        return summary

    def download(self, path: str, folder: Path) -> Path:
        """Download a file of the project into a local folder, replacing one of the same name."""
        folder.mkdir(parents=True, exist_ok=True)
        return Path(self._datasets.download(path, str(folder), overwrite=True))

    def _follow(self, job: Any, execution: Any, listener: Listener) -> Any:
        seen = 0
        while True:
            execution = next(e for e in job.get_executions() if e.id == execution.id)
            finished = execution.success is not None
            text = self._read(execution.stdout_path)
            lines = text[seen:].split("\n")
            rest = "" if finished else lines.pop()
            for line in lines:
                _tell(line, listener)
            seen = len(text) - len(rest)
            if finished:
                return execution
            time.sleep(_POLL_SECONDS)

    def _failure(self, stage: str, execution: Any) -> str:
        lines = [line for line in self._read(execution.stderr_path).splitlines() if line.strip()]
        reasons = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        reason = reasons[-1] if reasons else "\n".join(lines[-5:]) or "it wrote nothing to its error log"
        return (
            f"job {self.job_name(stage)} ended as {execution.final_status}: {reason}\n"
            f"(execution {execution.id}; full log in the project at {execution.stderr_path})"
        )

    def _read(self, path: str | None) -> str:
        """Read a log as far as it is there; on a cluster it may come only after the end."""
        if path is None or not self._datasets.exists(path):
            return ""
        content = self._datasets.read_content(definitions.absolute(self._project, path))
        return content.content.decode(errors="replace") if content is not None else ""
