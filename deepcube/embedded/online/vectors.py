"""Feature vectors by key, as the RonDB REST server of a cluster answers them.

A view's look-ups are prepared once; a vector then is one search by primary key per feature group. What was prepared is
used as long as the catalog did not change.
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import QUERY_FAILED, bad_request
from deepcube.embedded.online.avro import ValueCodec, is_complex
from deepcube.embedded.online.errors import QueryError
from deepcube.embedded.online.reader import Plan, Reader
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.store import serving
from deepcube.embedded.store.types import arrow_type

COMPLETE, MISSING = "COMPLETE", "MISSING"

Json = Any
Convert = Callable[[Any], Json]


@dataclass(frozen=True)
class Vector:
    """A feature vector.

    Attributes
    ----------
    values : list
        One JSON value per feature of the view that is no label, in its order.
    status : str
        ``COMPLETE``, or ``MISSING`` if a feature group has no row of the key.
    details : list of dict
        For each feature group, whether it had a row (as an HTTP status).
    """

    values: list[Json]
    status: str
    details: list[Json]


@dataclass(frozen=True)
class _Lookup:
    """The search in one feature group.

    Attributes
    ----------
    group_id : int
        The feature group.
    statement : str
        SQL with a ``?`` for each part of the key.
    keys : list of tuple of str
        For each part of the key, the names by which an entry may give it, the preferred one first.
    places : list of (int, int, callable or None)
        Column of the result, place in the vector, conversion.
    """

    group_id: int
    statement: str
    keys: list[tuple[str, ...]]
    places: list[tuple[int, int, Convert | None]]


class VectorPlan:
    """How to find the vectors of a feature view.

    Parameters
    ----------
    platform, project : Platform, Project
        Where the view is.
    view : Entity
        The feature view.
    reader : Reader
        Tells the columns of statements.

    Raises
    ------
    ApiError
        400 if a feature group of the view has no online copy.
    """

    def __init__(self, platform: Platform, project: Project, view: Entity, reader: Reader) -> None:
        self._features = [feature for feature in view.body["features"] if not feature["label"]]
        self._places = {feature["name"]: i for i, feature in enumerate(self._features)}
        self._echoed = [(feature["name"], i) for i, feature in enumerate(self._features)]
        self._lookups = [
            self._lookup(view, statement, reader)
            for statement in serving.statements(platform, project, view, serving.BOTH, batch=False)
        ]
        self._known_keys = {name for lookup in self._lookups for names in lookup.keys for name in names}

    def _lookup(self, view: Entity, statement: Json, reader: Reader) -> _Lookup:
        index, prefix = statement["preparedStatementIndex"], statement["prefix"] or ""
        serving_keys = {key["featureName"]: key for key in view.body["servingKeys"] if key["joinIndex"] == index}
        names = [parameter["name"] for parameter in statement["preparedStatementParameters"]]
        kinds = {feature["name"]: feature["type"] for feature in self._features}
        plan = _plan(reader, statement["queryOnline"])
        places = [
            (column, self._places[name], _converter(kinds[name]))
            for column, (name, _) in enumerate(plan.columns)
            if name in self._places
        ]
        keys = [_entry_names(serving_keys.get(name), name, prefix) for name in names]
        return _Lookup(statement["featureGroupId"], statement["queryOnline"], keys, places)

    def metadata(self, names: bool, types: bool) -> list[Json]:
        """Describe the features, in the order of the values."""
        return [
            {
                "featureName": feature["name"] if names else None,
                "featureType": feature["type"] if types else None,
            }
            for feature in self._features
        ]

    def check_entry(self, entry: Any) -> dict[str, Any]:
        """Return an entry if it can be a key.

        Raises
        ------
        ApiError
            400 if it is not an object, or no name in it is that of a key.
        """
        if not isinstance(entry, dict):
            raise bad_request(f"an entry must name the key's parts, found {type(entry).__name__}")
        for name, value in entry.items():
            if isinstance(value, dict | list):
                raise bad_request(f"key {name!r} must be a single value")
        if entry and not self._known_keys & entry.keys():
            expected = ", ".join(sorted(self._known_keys))
            raise bad_request(f"the entry names none of the view's keys: expected {expected}, found {sorted(entry)}")
        return entry

    def vector(self, reader: Reader, entry: dict[str, Any], passed: dict[str, Any] | None) -> Vector:
        """Find a vector.

        Parameters
        ----------
        reader : Reader
            Connection of the project.
        entry : dict
            The key, checked by :meth:`check_entry`.
        passed : dict, optional
            Values that the caller knows better, by feature name.
        """
        values: list[Json] = [None] * len(self._features)
        for name, place in self._echoed:
            if name in entry:
                values[place] = entry[name]
        details, status = [], COMPLETE
        for lookup in self._lookups:
            row = _row(reader, lookup, entry)
            details.append({"featureGroupId": lookup.group_id, "httpStatus": 200 if row else 404})
            if row is None:
                status = MISSING
                continue
            for column, place, convert in lookup.places:
                value = row[column]
                values[place] = value if convert is None or value is None else convert(value)
        for name, value in (passed or {}).items():
            if name in self._places:
                values[self._places[name]] = value
        return Vector(values, status, details)


def _plan(reader: Reader, statement: str) -> Plan:
    try:
        return reader.plan(statement)
    except QueryError as error:
        raise bad_request(f"the view cannot be looked up: {error}", QUERY_FAILED) from None


def _entry_names(key: Json, name: str, prefix: str) -> tuple[str, ...]:
    """Return the names by which an entry may give a part of a key, as the client resolves them."""
    if key is None:
        return (prefix + name, name)
    preferred = key["prefix"] + name if key["required"] else key["joinOn"]
    return (preferred, name) if preferred != name else (name,)


def _row(reader: Reader, lookup: _Lookup, entry: dict[str, Any]) -> tuple[Any, ...] | None:
    parameters = []
    for names in lookup.keys:
        value = next((entry[name] for name in names if entry.get(name) is not None), None)
        if value is None:
            return None
        parameters.append(value)
    try:
        found: tuple[Any, ...] | None = reader.rows(reader.plan(lookup.statement), parameters).fetchone()
    except (QueryError, sqlite3.Error) as error:
        raise bad_request(f"the vector cannot be looked up: {error}", QUERY_FAILED) from None
    return found


def _converter(kind: str) -> Convert | None:
    """Return the function from what is stored to the JSON that the client expects; None if they are the same."""
    arrow = arrow_type(kind)
    if is_complex(arrow):
        codec = ValueCodec(arrow)
        return lambda content: _plain(codec.read(content))
    return _base64 if pa.types.is_binary(arrow) else None


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _plain(value: Any) -> Json:
    """Return a decoded value with everything that JSON lacks written as text."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, bytes):
        return _base64(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
