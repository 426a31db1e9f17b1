"""Environment variables of jobs and predictors, as they find them on a cluster."""

from __future__ import annotations

import os
from typing import Any

from deepcube.embedded.errors import FORBIDDEN, ApiError, bad_request
from deepcube.embedded.keys import OWNER, User
from deepcube.embedded.platform import Platform, Project, client_environment
from deepcube.embedded.runtime.vault import Vault

_OWN_PREFIXES = ("HOPSWORKS_", "DEEPCUBE_", "SERVING_")
# REST_ENDPOINT makes the client believe that it runs inside a cluster.
_OWN = ("REST_ENDPOINT", "MODEL_FILES_PATH", "ARTIFACT_FILES_PATH", "MODEL_NAME", "MODEL_VERSION", "DEPLOYMENT_NAME")


def child_environment(platform: Platform, project: Project, user: User, label: str, **more: str) -> dict[str, str]:
    """Return the environment of a child: the server's, the client's way to this platform, the user's, and more.

    No folder for certificates is set: the client then makes one per login, and processes that a job starts
    and that log in as well cannot remove each other's.

    Parameters
    ----------
    project : Project
        Project that a bare ``hopsworks.login()`` reaches.
    user : User
        In whose name the child calls: with a key of its own, valid until :func:`forget_key`.
    label : str
        Names the key.
    **more : str
        Further variables.
    """
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(_OWN_PREFIXES) and name not in _OWN
    }
    if user == OWNER:
        key = platform.keys.owner_key(platform.home)
    else:
        forget_key(platform, user, label)
        key = platform.keys.create(label, user)
    client = client_environment(platform.home, platform.settings, key) | {"HOPSWORKS_PROJECT": project.name}
    own = platform.service(Vault).environment(user)
    client["DEEPCUBE_HOME"] = str(
        platform.home.root
    )  # where pipelines keep what is not the platform's, e.g. MLflow runs
    return {**inherited, **own, **client, "HOPSWORKS_PROJECT_ID": str(project.id), "PYTHONUNBUFFERED": "1", **more}


def forget_key(platform: Platform, user: User, label: str) -> None:
    """Make the key of a child invalid, once the child is over; the owner's stays."""
    if user != OWNER:
        platform.keys.revoke(label, user)


def user_of(platform: Platform, email: str) -> User:
    """Return the user who started something.

    Raises
    ------
    ApiError
        403 if that user is gone.
    """
    user = platform.keys.find_user(email)
    if user is None:
        raise ApiError(403, FORBIDDEN, f"{email}, who started this, is no user any more; start it as somebody else")
    return user


def parse_variables(value: Any) -> dict[str, str]:
    """Read variables as a job or deployment carries them.

    Parameters
    ----------
    value : dict, list of str, or None
        ``{"NAME": "value"}`` or ``["NAME=value"]``.

    Raises
    ------
    ApiError
        If it is something else, or a name or value cannot be an environment variable.
    """
    if value is None:
        return {}
    if isinstance(value, list) and all(isinstance(entry, str) and "=" in entry for entry in value):
        pairs = dict(entry.split("=", 1) for entry in value)
    elif isinstance(value, dict):
        pairs = {str(name): str(content) for name, content in value.items()}
    else:
        raise bad_request('environment variables are {"NAME": "value"} or ["NAME=value"]')
    for name, content in pairs.items():
        if not name or "=" in name or "\0" in name + content:
            raise bad_request(f"{name!r} cannot be an environment variable")
    return pairs
