"""Checks of documents that a client sends: each returns the value as it must be, or says what is wrong."""

from __future__ import annotations

import math
from typing import Any

from deepcube.embedded.errors import bad_request

Json = dict[str, Any]


def objects(value: Any, field: str) -> list[Json]:
    """Return a list of JSON objects; an absent value is an empty list.

    Raises
    ------
    ApiError
        400 if it is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise bad_request(f"{field} must be a list of JSON objects")
    return value


def mapping(value: Any, field: str) -> Json:
    """Return a JSON object; an absent value is an empty one.

    Raises
    ------
    ApiError
        400 if it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_request(f"{field} must be a JSON object, found {type(value).__name__}")
    return value


def number(value: Any, field: str) -> float | int | None:
    """Return a finite number, or None for an absent value.

    Raises
    ------
    ApiError
        400 if it is something else.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise bad_request(f"{field} must be a number, found {value!r}")
    return value


def integer(value: Any, field: str) -> int | None:
    """Return a whole number below 2**63, or None for an absent value.

    Raises
    ------
    ApiError
        400 if it is something else.
    """
    found = number(value, field)
    if found is None:
        return None
    if found != int(found) or abs(found) >= 2**63:
        raise bad_request(f"{field} must be a whole number of 64 bits, found {value!r}")
    return int(found)


def text(value: Any, field: str, most: int = 10_000) -> str | None:
    """Return a text, or None for an absent value.

    Raises
    ------
    ApiError
        400 if it is something else, or longer than it may be.
    """
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > most:
        raise bad_request(f"{field} must be text of at most {most} characters")
    return value


def name(value: Any, field: str, most: int = 255) -> str:
    """Return a text that names something: present and not empty.

    Raises
    ------
    ApiError
        400 if it is something else.
    """
    found = text(value, field, most)
    # JSON can carry half of a surrogate pair, which no database takes.
    if not found or "\0" in found or any("\ud800" <= character <= "\udfff" for character in found):
        raise bad_request(f"{field} must be text of 1 to {most} characters")
    return found


def names(value: Any, field: str) -> list[str]:
    """Return a list of texts that name something; an absent value is an empty list.

    Raises
    ------
    ApiError
        400 if it is something else.
    """
    if value is not None and not isinstance(value, list):
        raise bad_request(f"{field} must be a list of texts")
    return [name(each, f"each of {field}") for each in value or []]
