"""Reach the platform that the environment names, or the embedded one of the home folder."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepcube.embedded import find, up
from jobs.cli.errors import PlatformError

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Connection:
    """A logged-in client.

    Attributes
    ----------
    project : hopsworks.project.Project
        The project.
    where : str
        What the client is connected to, for people.
    same_machine : bool
        Whether jobs see this machine's files under the same paths.
    """

    project: Any
    where: str
    same_machine: bool


def connect(home: Path, home_was_named: bool) -> Connection:
    """Log the client in.

    ``HOPSWORKS_HOST`` in the environment decides, unless a home folder was named on the command line; else the
    embedded platform of the home folder is used, and started if it does not run.

    Parameters
    ----------
    home : Path
        Home folder of the embedded platform.
    home_was_named : bool
        Whether the user asked for it.

    Raises
    ------
    PlatformError
        If the platform does not let one in.
    """
    if home_was_named or "HOPSWORKS_HOST" not in os.environ:
        running = find(home) or up(home)[0]
        os.environ.update(running.environment())
    host = os.environ["HOPSWORKS_HOST"]
    where = f"{host}:{os.environ.get('HOPSWORKS_PORT', '443')}"
    os.environ.setdefault("TQDM_DISABLE", "1")  # the client's own bars would break the command's
    import hopsworks

    logging.getLogger().setLevel(logging.WARNING)
    try:
        project = hopsworks.login()
    except Exception as error:
        raise PlatformError(
            f"cannot log in to Hopsworks at {where}: {error}; check the HOPSWORKS_* variables, or unset them to use "
            "the embedded platform"
        ) from error
    return Connection(project, f"{where}, project {project.name}", host in _LOOPBACK)
