"""Names of feature groups, views and features: the rules of Hopsworks, so that what runs here runs on a cluster."""

from __future__ import annotations

import re

from deepcube.embedded.errors import bad_request

MAX_NAME = 63
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_name(name: object, what: str, limit: int = MAX_NAME) -> str:
    """Return a name if it is one that Hopsworks accepts.

    Such a name is also safe as a folder and as an SQL identifier.

    Parameters
    ----------
    name : object
        What the request names.
    what : str
        For the message, e.g. ``"feature group"``.
    limit : int
        Greatest number of characters.

    Raises
    ------
    ApiError
        400 if it is not a valid name.
    """
    if isinstance(name, str) and len(name) <= limit and _NAME.fullmatch(name):
        return name
    raise bad_request(
        f"{what} name {name!r} is not valid: it must start with a lower-case letter, contain only lower-case letters, "
        f"digits and underscores, and have at most {limit} characters"
    )


def check_version(version: object, what: str) -> int | None:
    """Return a version number, or None where the request leaves it to the server.

    Raises
    ------
    ApiError
        400 if it is not a positive integer.
    """
    if version is None:
        return None
    if isinstance(version, int) and not isinstance(version, bool) and 0 < version < 2**31:
        return version
    raise bad_request(f"version of a {what} must be a positive integer, found {version!r}")
