"""The durable record of one run: a folder of its own with a ``record.json`` that is never half-written."""

import json
import os
import platform
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepcube.oblivious.reporter import Step

State = Literal["RUNNING", "FINISHED", "EARLY_STOPPED", "FAILED", "KILLED"]
"""Where a run stands."""

_READABLE = 500
_PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "torch", "numpy", "maggy")


@dataclass
class RunRecord:
    """Everything that is known of one run of a training function.

    Attributes
    ----------
    mode : str
        Kind of experiment, for example ``"single"``.
    name, description : str
        What the experiment is called and for.
    directory : str
        Folder of the run, with the files that the training function left.
    train_fn : str
        Qualified name of the training function.
    train_fn_sha256 : str or None
        Hash of its source.
    hparams : dict
        Hyperparameters it was called with.
    seed : int
        Seed of the random generators.
    metric_name, metric, metrics
        Name and final value of the metric that the experiment watches, and all final values.
    history : list of Step
        All reported steps.
    state : State
        Where the run stands.
    error : str or None
        Traceback of a failed run.
    started : str
        Time of the start, ISO 8601, UTC.
    seconds : float
        Wall time.
    tracking : dict of str to str
        Where the tracker keeps this run, for example its MLflow run id.
    environment : dict of str to str
        Versions of Python and of the frameworks.
    """

    mode: str
    name: str
    description: str
    directory: str
    train_fn: str
    train_fn_sha256: str | None
    hparams: dict[str, Any]
    seed: int
    metric_name: str
    metric: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[Step] = field(default_factory=list)
    state: State = "RUNNING"
    error: str | None = None
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    seconds: float = 0.0
    tracking: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: _environment())

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, the steps of the history as dictionaries; for reading only, nothing is copied."""
        return {**vars(self), "history": [vars(step) for step in self.history]}

    def write(self) -> Path:
        """Write ``record.json`` into the folder of the run, whole or not at all, and return its path."""
        path = Path(self.directory) / "record.json"
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            indent = 1 if len(self.history) < _READABLE else None  # json indents without its C encoder
            file.write(json.dumps(self.as_dict(), indent=indent, default=jsonable))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        return path


def working_folder() -> Path:
    """Return the folder for runs and tracking: ``$DEEPCUBE_HOME``, by default ``~/.deepcube``."""
    return Path(os.environ.get("DEEPCUBE_HOME") or Path.home() / ".deepcube")


def create_run_directory(root: Path | None, name: str) -> Path:
    """Create a new folder for one run.

    Parameters
    ----------
    root : pathlib.Path, optional
        Folder of all runs; ``runs`` in :func:`working_folder` by default.
    name : str
        Name of the experiment; characters unfit for a file name become dashes.

    Returns
    -------
    pathlib.Path
        The new folder, absolute and empty; its name holds the time and is unique.
    """
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
    folder = f"{slug}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    directory = (root or working_folder() / "runs").expanduser().resolve() / folder
    directory.mkdir(parents=True)
    return directory


def _environment() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def jsonable(value: Any) -> Any:
    """Return a value that JSON has, for one that it lacks: NumPy's as Python's, anything else as its description."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return repr(value)
