"""The shape of a query document: checked before it is read, so that whatever comes over a network gets an answer."""

from __future__ import annotations

from typing import Any

from deepcube.embedded.errors import QUERY_FAILED, ApiError, bad_request

MAX_DEPTH = 20


def check_query(document: Any, depth: int = 0) -> None:
    """Check that a query, and every query it joins, has the shape that the client writes.

    Parameters
    ----------
    document : object
        What came.
    depth : int
        How many queries are around it.

    Raises
    ------
    ApiError
        400 if something is not of the type that it must have, or joins are nested too deeply.
    """
    if depth > MAX_DEPTH:
        raise bad_request(f"a query can be nested {MAX_DEPTH} levels deep; join fewer queries", QUERY_FAILED)
    _check(document, dict, "a query")
    for key in ("leftFeatureGroup", "filter", "spine", "lookback"):
        _check(document.get(key), dict | None, key)
    _check_features(document.get("leftFeatures"), "leftFeatures", names=False)
    joins = document.get("joins")
    _check(joins, list | None, "joins")
    for join in joins or []:
        _check(join, dict, "a join")
        for key in ("on", "leftOn", "rightOn"):
            _check_features(join.get(key), key, names=True)
        for key in ("type", "prefix"):
            _check(join.get(key), str | None, key)
        check_query(join.get("query"), depth + 1)


def _check_features(features: Any, what: str, *, names: bool) -> None:
    """Check a list of features, each an object with a name or, where the client may write that, the name alone."""
    _check(features, list | None, what)
    for feature in features or []:
        if names and isinstance(feature, str):
            continue
        if not isinstance(feature, dict) or not isinstance(feature.get("name"), str):
            raise _wrong(f"each of {what}", "an object with a name", feature)


def _check(value: Any, expected: Any, what: str) -> None:
    if not isinstance(value, expected):
        name = {dict: "an object", list: "a list", str: "a text"}
        wanted = next(
            text for kind, text in name.items() if kind is expected or kind in getattr(expected, "__args__", ())
        )
        raise _wrong(what, wanted, value)


def _wrong(what: str, wanted: str, value: Any) -> ApiError:
    return bad_request(f"{what} must be {wanted}, found {str(value)[:80]!r}", QUERY_FAILED)
