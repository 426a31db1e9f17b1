"""Lookback windows: bounds on the rows of each feature group that a read of a view may use."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from deepcube.embedded.errors import QUERY_FAILED, bad_request
from deepcube.embedded.query.predicates import Column, Combination, Condition, Predicate
from deepcube.embedded.query.resolve import Node, Query, Source

Json = dict[str, Any]

EVENT_TIME, PARTITION_KEY = "EVENT_TIME", "PARTITION_KEY"
_EPOCH = datetime(1970, 1, 1)


def bounded(query: Query, document: Json) -> Query:
    """Return a query whose groups are bounded by the client's lookback windows.

    Parameters
    ----------
    query : Query
        The query.
    document : dict
        A default window, and windows of groups by name and, where given, version.

    Raises
    ------
    ApiError
        400 if a window names a column that its group does not have.
    """
    return replace(query, root=_bounded(query.root, document))


def _bounded(node: Node, document: Json) -> Node:
    joins = tuple(replace(join, node=_bounded(join.node, document)) for join in node.joins)
    own = _window_of(node.source, document)
    window = own or document.get("defaultLookback")
    predicate = node.filter
    if window is not None:
        column = _column(node.source, window, required=own is not None)
        if column is not None:
            predicate = _and(predicate, _conditions(column, window))
    return replace(node, joins=joins, filter=predicate)


def _window_of(source: Source, document: Json) -> Json | None:
    """Return the window of a group: one for its version before one for its name."""
    named = [entry for entry in document.get("featureGroupLookbacks") or [] if entry.get("name") == source.group.name]
    exact = [entry for entry in named if entry.get("version") == source.group.version]
    general = [entry for entry in named if entry.get("version") is None]
    chosen = (exact or general or [{}])[0].get("lookback")
    return dict(chosen) if chosen else None


def _column(source: Source, window: Json, required: bool) -> Column | None:
    """Return the column that a window bounds; a group that lacks it is not bounded by the default window."""
    key = window.get("lookbackKey")
    if key == EVENT_TIME:
        column = source.event_time
    else:
        partitions = [f["name"] for f in source.body["features"] if f["partition"]]
        dates = [name for name in partitions if (source.column(name) or _none()).kind.lower() in ("date", "timestamp")]
        column = source.column(dates[0]) if dates else None
    if column is None and required:
        wanted = "event time" if key == EVENT_TIME else "partition key of type date or timestamp"
        raise bad_request(
            f"feature group {source.group.name!r} has no {wanted}, so its lookback cannot bound it", QUERY_FAILED
        )
    return column


def _none() -> Column:
    return Column("", "", "")


def _conditions(column: Column, window: Json) -> Predicate:
    bounds = [(">=", window.get("start")), ("<=", window.get("end"))]
    return Combination(
        "AND", tuple(Condition(column, sign, _value(column, ms)) for sign, ms in bounds if ms is not None)
    )


def _value(column: Column, milliseconds: Any) -> Any:
    if not isinstance(milliseconds, int):
        raise bad_request(f"a bound of a lookback must be milliseconds since the epoch, found {milliseconds!r}")
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    if column.kind.lower() == "date":
        return moment.date()
    return milliseconds if column.kind.lower() in ("int", "bigint") else moment


def _and(left: Predicate | None, right: Predicate) -> Predicate:
    return right if left is None else Combination("AND", (left, right))
