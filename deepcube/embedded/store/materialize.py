"""Writing training datasets: straight from a query, or by a job that splits and transforms as the client does.

A dataset without splits and transformations is a query's rows, streamed into Parquet. The others need the client's own
code (its splits, and the users' transformation functions), which runs in a process of its own, never in the server.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import EmbeddedError
from deepcube.embedded.keys import User
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.query.execute import run
from deepcube.embedded.query.resolve import Query
from deepcube.embedded.runtime.builtin import BUILTINS, ensure_job, run_job, say
from deepcube.embedded.runtime.environment import child_environment, forget_key, user_of
from deepcube.embedded.store import datasets, views

JOB = "training_dataset"
FILE_ROWS = 5_000_000

Json = dict[str, Any]


def write_rows(platform: Platform, project: Project, view: Entity, dataset: Entity, query: Query) -> str:
    """Write a query's rows as a training dataset.

    Returns
    -------
    str
        Where it is, as the client names places.
    """
    target = datasets.place(platform, project, view, dataset)
    with datasets.replaced(target) as folder:
        inside = folder / dataset.body["name"]
        inside.mkdir()
        write_files(run(platform, query), inside)
    return platform.files.public(target)


def write_files(rows: pa.RecordBatchReader, folder: Path) -> None:
    """Write rows into Parquet files of a bounded number of rows; at least one file, so that the schema is kept."""
    number, count = 0, 0
    writer = pq.ParquetWriter(folder / f"part-{number:05d}.parquet", rows.schema, compression="zstd")
    try:
        for batch in rows:
            if count >= FILE_ROWS:
                writer.close()
                number, count = number + 1, 0
                writer = pq.ParquetWriter(folder / f"part-{number:05d}.parquet", rows.schema, compression="zstd")
            writer.write_batch(batch)
            count += len(batch)
    finally:
        writer.close()


def start_job(platform: Platform, project: Project, view: Entity, dataset: Entity, user: User, options: Json) -> Entity:
    """Start the job that writes a training dataset, and return it.

    Parameters
    ----------
    user : User
        In whose name the rows are read.
    options : dict
        What the client says of the columns: ``primary_keys``, ``event_time``, ``training_helper_columns``.
    """
    arguments = {"view": view.id, "version": dataset.version, "user": user.email, "options": options}
    job = ensure_job(platform, project, datasets.job_name(view, dataset), kind=JOB, **arguments)
    run_job(platform, project, job)
    return job


def _work(platform: Platform, project: Project, arguments: Json) -> None:
    """Write a training dataset in a process that uses the client; the job's log is what it prints."""
    view = platform.catalog.get(arguments["view"], views.KIND)
    if view is None:
        raise EmbeddedError("the feature view of this training dataset was deleted")
    dataset = datasets.find_dataset(platform, view, arguments["version"])
    command = [sys.executable, "-m", "deepcube.embedded.store.training_job", view.name, str(view.version)]
    user, label = user_of(platform, arguments["user"]), f"training-dataset-{dataset.id}"
    try:
        with datasets.replaced(datasets.place(platform, project, view, dataset)) as folder:
            command += [str(dataset.version), str(folder), json.dumps(arguments["options"])]
            _follow(command, platform.home.run, child_environment(platform, project, user, label))
    finally:
        forget_key(platform, user, label)


def _follow(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run a program to its end and write what it prints to the job's log."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=environment,
    )
    assert process.stdout is not None
    for line in process.stdout:
        say(line.rstrip("\n"))
    if process.wait() != 0:
        raise EmbeddedError(f"the training dataset was not written: exit status {process.returncode}")


BUILTINS[JOB] = _work
