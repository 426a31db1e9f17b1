"""How a training function, its model, its dataset and its options reach the worker processes.

They are pickled by cloudpickle into the run's own folder, which only its user can read, or travel inside a launcher's
own closure (Spark, Ray). They never pass the message channel: what comes over a network is never unpickled.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from deepcube.oblivious.calling import TrainFn, name_of
from deepcube.oblivious.errors import ExperimentConfigError, TrainFunctionError

PAYLOAD_FILE = "payload.pkl"
"""Pickled training function, model, dataset and strategy."""

JOB_FILE = "job.json"
"""Where the experiment listens, and the secret."""


@dataclass(frozen=True)
class Job:
    """What every worker of an experiment needs.

    Attributes
    ----------
    payload : bytes
        Pickled by :func:`pack`.
    host, port, secret
        Where the experiment listens, and what a worker must know.
    environment : dict of str to str
        Environment variables of all workers.
    revive : bool
        Whether a worker that died is to be started again by whoever started it, as a search wants.
    """

    payload: bytes
    host: str
    port: int
    secret: bytes
    environment: dict[str, str] = field(default_factory=dict)
    revive: bool = False

    def write(self, folder: Path) -> Path:
        """Write the job into a folder that nobody else may read, and return the folder."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        where = {"host": self.host, "port": self.port, "secret": self.secret.hex()}
        for name, content in ((PAYLOAD_FILE, self.payload), (JOB_FILE, json.dumps(where).encode())):
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
        return folder

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a job that :meth:`write` wrote."""
        where = json.loads((folder / JOB_FILE).read_text())
        payload = (folder / PAYLOAD_FILE).read_bytes()
        return cls(payload, where["host"], int(where["port"]), bytes.fromhex(where["secret"]))


def pack(train_fn: TrainFn, parts: Mapping[str, Any]) -> bytes:
    """Pickle what the workers need, or say what cannot be shipped.

    Parameters
    ----------
    train_fn : callable
        The training function.
    parts : mapping of str to Any
        Further objects by name, for example ``model`` and ``dataset``.

    Returns
    -------
    bytes
        For :func:`unpack`, in a process of the same user.

    Raises
    ------
    TrainFunctionError
        If the training function, for example one that closes over an open file or a lock, cannot be sent to another
        process.
    ExperimentConfigError
        If another part cannot.
    """
    import cloudpickle  # type: ignore[import-untyped]

    try:
        return bytes(cloudpickle.dumps({"train_fn": train_fn, **parts}))
    except Exception:
        _blame(cloudpickle, train_fn, parts)
        raise


def unpack(payload: bytes) -> dict[str, Any]:
    """Return what :func:`pack` packed: read from the run's own folder or a launcher's closure, never from a network."""
    import cloudpickle

    parts: dict[str, Any] = cloudpickle.loads(payload)
    return parts


def _blame(cloudpickle: Any, train_fn: TrainFn, parts: Mapping[str, Any]) -> None:
    for name, value in (("train_fn", train_fn), *parts.items()):
        try:
            cloudpickle.dumps(value)
        except Exception as error:
            reason = str(error).strip() or type(error).__name__
            if name == "train_fn":
                raise TrainFunctionError(
                    f"{name_of(train_fn)} cannot be sent to another process ({reason}). Open files, locks, connections "
                    f"and sessions inside the function{_culprit(cloudpickle, train_fn)}, instead of closing over them."
                ) from error
            raise ExperimentConfigError(
                f"Found a {name} of type {type(value).__name__} that cannot be sent to another process ({reason}); "
                "expected one that can be pickled. Pass a function that makes it instead."
            ) from error


def _culprit(cloudpickle: Any, train_fn: TrainFn) -> str:
    cells = getattr(train_fn, "__closure__", None) or ()
    names = getattr(getattr(train_fn, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, cells, strict=False):
        try:
            cloudpickle.dumps(cell.cell_contents)
        except Exception:
            return f" (here the variable {name!r})"
    return ""
