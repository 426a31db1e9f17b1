"""Reach the platform that the environment names, or the embedded one of the home folder."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepcube.embedded import find, up
from jobs.cli.errors import PlatformError

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_REQUIRED = ("HOPSWORKS_HOST", "HOPSWORKS_PROJECT", "HOPSWORKS_API_KEY")
_REACH_SECONDS = 10.0


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
    return _login()


def connect_remote() -> Connection:
    """Log the client in to the platform that the environment names, and to no other.

    Raises
    ------
    PlatformError
        If variables are missing, the host cannot be reached, or the platform does not let one in.
    """
    missing = [name for name in _REQUIRED if not os.environ.get(name)]
    if missing:
        raise PlatformError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set; name the Hopsworks to deploy to "
            "with HOPSWORKS_HOST, HOPSWORKS_PORT, HOPSWORKS_PROJECT and HOPSWORKS_API_KEY (docs/cluster.md), or the "
            'embedded one with eval "$(deepcube env)"'
        )
    host, port = os.environ["HOPSWORKS_HOST"], os.environ.get("HOPSWORKS_PORT", "443")
    try:
        socket.create_connection((host, int(port)), _REACH_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise PlatformError(
            f"cannot reach Hopsworks at {host}:{port}: {error}; check HOPSWORKS_HOST and HOPSWORKS_PORT"
        ) from error
    return _login()


def _login() -> Connection:
    host = os.environ["HOPSWORKS_HOST"]
    where = f"{host}:{os.environ.get('HOPSWORKS_PORT', '443')}"
    os.environ.setdefault("TQDM_DISABLE", "1")  # the client's own bars would break the command's
    import hopsworks

    logging.getLogger().setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for what the command has to say
            project = hopsworks.login()
    except Exception as error:
        raise PlatformError(
            f"cannot log in to Hopsworks at {where}: {error}; check the HOPSWORKS_* variables, or unset them to use "
            "the embedded platform"
        ) from error
    return Connection(project, f"{where}, project {project.name}", host in _LOOPBACK)
