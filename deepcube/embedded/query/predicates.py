"""Filters of a query: comparisons of columns, joined by AND and OR, read from the client's document and checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deepcube.embedded.errors import bad_request
from deepcube.embedded.query.literals import parse

Json = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of one source.

    Attributes
    ----------
    source : str
        Alias of the source.
    name : str
        Name in the source.
    kind : str
        Feature type.
    """

    source: str
    name: str
    kind: str


@dataclass(frozen=True)
class Condition:
    """One comparison: a column with a value, a list of values, another column, or None."""

    column: Column
    operator: str
    value: Any


@dataclass(frozen=True)
class Combination:
    """Conditions joined by ``AND`` or ``OR``."""

    operator: str
    parts: tuple[Condition | Combination, ...]


Predicate = Condition | Combination

_OPERATORS = {
    "GREATER_THAN_OR_EQUAL": ">=",
    "GREATER_THAN": ">",
    "NOT_EQUALS": "<>",
    "EQUALS": "=",
    "LESS_THAN_OR_EQUAL": "<=",
    "LESS_THAN": "<",
    "IN": "IN",
    "LIKE": "LIKE",
}


def logic(document: Json | None, locate: Callable[[Json], Column]) -> Predicate | None:
    """Turn a filter document into a predicate.

    Parameters
    ----------
    document : dict or None
        A ``Filter`` or ``Logic`` of the client.
    locate : callable
        Returns the column that a feature of the filter means.
    """
    if not document:
        return None
    if document.get("condition"):
        return _condition(document, locate)
    parts = [
        logic(document[side], locate)
        for side in ("leftFilter", "leftLogic", "rightFilter", "rightLogic")
        if document.get(side)
    ]
    found = tuple(part for part in parts if part is not None)
    if len(found) < 2:
        return found[0] if found else None
    return Combination("OR" if document.get("type") == "OR" else "AND", found)


def _condition(document: Json, locate: Callable[[Json], Column]) -> Condition:
    operator = _OPERATORS.get(document["condition"])
    if operator is None:
        raise bad_request(f"unknown comparison {document['condition']!r}; there are {', '.join(_OPERATORS)}")
    column, value = locate(document.get("feature") or {}), document.get("value")
    return Condition(column, operator, _operand(value, column, operator, locate))


def _operand(value: Any, column: Column, operator: str, locate: Callable[[Json], Column]) -> Any:
    if value is None:
        if operator not in ("=", "<>"):
            raise bad_request(f"feature {column.name!r} can only be compared with None by == and !=")
        return None
    if operator == "IN":
        try:
            listed = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            listed = value
        listed = listed if isinstance(listed, list) else [listed]
        return tuple(None if item is None else parse(item, column.kind, column.name) for item in listed)
    other = _as_feature(value)
    if other is not None:
        return locate(other)
    return parse(value, "string" if operator == "LIKE" else column.kind, column.name)


def _as_feature(value: Any) -> Json | None:
    """Return the feature that a filter compares with, where the client sent one as text."""
    if not (isinstance(value, str) and value.startswith("{") and '"featureGroupId"' in value):
        return None
    try:
        document = json.loads(value)
    except ValueError:
        return None
    return document if isinstance(document, dict) and "name" in document else None


def conjuncts(predicate: Predicate | None) -> list[Predicate]:
    """Part a filter into conditions that must all hold."""
    if predicate is None:
        return []
    if isinstance(predicate, Combination) and predicate.operator == "AND":
        return [part for piece in predicate.parts for part in conjuncts(piece)]
    return [predicate]


def columns(predicate: Predicate) -> set[Column]:
    """Return the columns that a filter names."""
    if isinstance(predicate, Combination):
        return {column for part in predicate.parts for column in columns(part)}
    assert isinstance(predicate, Condition)
    return {predicate.column} | ({predicate.value} if isinstance(predicate.value, Column) else set())


def sources(predicate: Predicate) -> set[str]:
    """Return the aliases of the sources that a filter names."""
    return {column.source for column in columns(predicate)}
