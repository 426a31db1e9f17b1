"""Rows of embedding feature groups as OpenSearch documents: its filters as SQL, its values as JSON.

Only what the client asks for is understood (``term``, ``terms``, ``match``, ``range``, ``wildcard``, ``exists``,
``bool``); anything else is an error that names it. Missing fields count as in OpenSearch: they match no condition, so
they match the negation of every condition.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from deepcube.embedded.online.columns import Column, Stored, quoted, time_text
from deepcube.embedded.online.errors import QueryError

_RANGES = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_MAX_DEPTH = 40

Json = Any
Columns = Mapping[str, Column]


def condition(query: Json, columns: Columns, depth: int = 0) -> tuple[str, list[Stored]]:
    """Return a query as an SQL condition with its parameters.

    Parameters
    ----------
    query : dict
        A query of OpenSearch's query language.
    columns : mapping of str to Column
        The fields there are.

    Raises
    ------
    QueryError
        If the query is not understood, or names a field that is not there.
    """
    if not isinstance(query, dict) or len(query) != 1 or depth > _MAX_DEPTH:
        raise QueryError("a query must be an object with one kind of condition")
    ((kind, body),) = query.items()
    if kind == "match_all":
        return "1", []
    if kind == "bool":
        return _bool(body, columns, depth + 1)
    if kind == "exists":
        return f"{quoted(_column(columns, _field(body)).name)} IS NOT NULL", []
    if not isinstance(body, dict) or len(body) != 1:
        raise QueryError(f"[{kind}] must name one field")
    ((name, wanted),) = body.items()
    column = _column(columns, name)
    if kind == "terms":
        return _any_of(column, wanted)
    if kind in ("term", "match"):
        value = wanted.get("value", wanted.get("query")) if isinstance(wanted, dict) else wanted
        return f"{quoted(column.name)} = ?", [stored(column, value)]
    if kind == "range":
        return _range(column, wanted)
    if kind == "wildcard":
        pattern = wanted.get("value") if isinstance(wanted, dict) else wanted
        return f"{quoted(column.name)} LIKE ? ESCAPE '\\'", [_like(str(pattern))]
    raise QueryError(f"unknown query [{kind}]")


def _field(body: Json) -> str:
    if not isinstance(body, dict) or not isinstance(body.get("field"), str):
        raise QueryError("[exists] must be provided with a [field]")
    return str(body["field"])


def _column(columns: Columns, name: str) -> Column:
    if name not in columns:
        raise QueryError(f"no field [{name}] in the index")
    return columns[name]


def _bool(body: Json, columns: Columns, depth: int) -> tuple[str, list[Stored]]:
    if not isinstance(body, dict):
        raise QueryError("[bool] must be an object")
    parts, parameters = [], []
    for clause in ("must", "filter"):
        for query in _listed(body.get(clause)):
            text, values = condition(query, columns, depth)
            parts.append(text)
            parameters += values
    should = [condition(query, columns, depth) for query in _listed(body.get("should"))]
    needed = body.get("minimum_should_match", 0 if parts else 1)
    if should and needed:
        parts.append("(" + " OR ".join(text for text, _ in should) + ")")
        parameters += [value for _, values in should for value in values]
    for query in _listed(body.get("must_not")):
        text, values = condition(query, columns, depth)
        parts.append(f"NOT coalesce(({text}), 0)")
        parameters += values
    return "(" + " AND ".join(parts or ["1"]) + ")", parameters


def _listed(queries: Json) -> list[Json]:
    if queries is None:
        return []
    return queries if isinstance(queries, list) else [queries]


def _any_of(column: Column, wanted: Json) -> tuple[str, list[Stored]]:
    if not isinstance(wanted, list):
        raise QueryError("[terms] must be given a list")
    values = [stored(column, value) for value in wanted]
    return f"{quoted(column.name)} IN ({', '.join('?' * len(values))})", values


def _range(column: Column, wanted: Json) -> tuple[str, list[Stored]]:
    if not isinstance(wanted, dict) or not wanted or not wanted.keys() <= _RANGES.keys():
        raise QueryError(f"[range] takes {', '.join(_RANGES)}")
    parts = [f"{quoted(column.name)} {_RANGES[limit]} ?" for limit in wanted]
    return "(" + " AND ".join(parts) + ")", [stored(column, value) for value in wanted.values()]


def _like(pattern: str) -> str:
    """Return a pattern of ``*`` and ``?`` as one of SQL's LIKE."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


def stored(column: Column, value: Json) -> Stored:
    """Return a JSON value as the column keeps it; times and dates may be milliseconds since the epoch.

    Raises
    ------
    QueryError
        If the column cannot hold such a value.
    """
    try:
        if value is None or isinstance(value, dict | list):
            raise ValueError("a single value is needed")
        if pa.types.is_timestamp(column.type):
            return _time(value)
        if pa.types.is_date(column.type):
            return (_time(value) or "")[:10]
        if pa.types.is_decimal(column.type):
            return str(value)
        if pa.types.is_boolean(column.type):
            return int(str(value).lower() in ("1", "true"))
        if column.declared == "BLOB":
            raise ValueError("values of this type are not compared")
    except (ValueError, OverflowError) as error:
        raise QueryError(f"failed to parse field [{column.name}]: {error}") from None
    return str(value) if pa.types.is_string(column.type) else value


def _time(value: Json) -> str | None:
    if isinstance(value, int | float):
        return time_text(round(value * 1000))
    moment = datetime.fromisoformat(str(value))
    return str(moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment)


def document(columns: list[Column], row: tuple[Stored, ...], decoders: Mapping[str, Any]) -> dict[str, Json]:
    """Return a row as a document.

    Parameters
    ----------
    columns : list of Column
        What the row's values are of.
    row : tuple
        The values as they are kept.
    decoders : mapping of str to callable
        For fields that are embeddings, what reads their bytes.
    """
    return {
        column.name: _json(column, value, decoders.get(column.name))
        for column, value in zip(columns, row, strict=True)
        if value is not None
    }


def _json(column: Column, value: Stored, decode: Any) -> Json:
    if decode is not None:
        return decode(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if pa.types.is_timestamp(column.type):
        moment = datetime.fromisoformat(str(value)).replace(tzinfo=UTC)
        milliseconds = moment.timestamp() * 1000
        return int(milliseconds) if moment.microsecond % 1000 == 0 else milliseconds
    if pa.types.is_date(column.type):
        return (date.fromisoformat(str(value)) - date(1970, 1, 1)).days * 86_400_000
    return value
