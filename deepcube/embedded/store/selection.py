"""Reading a feature view: its query, narrowed to the columns and rows that a call asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.store.views import Expander

NO_EVENT_TIME = 270172
MAX_SECONDS = 9_999_999_999

Json = dict[str, Any]


@dataclass(frozen=True)
class Selection:
    """Which columns and rows of a view a call asks for.

    Attributes
    ----------
    labels, inference_helpers, training_helpers : bool
        Columns with that role.
    primary_keys, event_times : bool
        Those of every feature group, where the view does not select them anyway.
    start_ms, end_ms : int or None
        Event time of the root, from (inclusive) and to (exclusive), in milliseconds since the epoch.
    extra_filter : dict or None
        A further filter of the client.
    """

    labels: bool = False
    primary_keys: bool = False
    event_times: bool = False
    inference_helpers: bool = False
    training_helpers: bool = False
    start_ms: int | None = None
    end_ms: int | None = None
    extra_filter: Json | None = None


def batch_query(platform: Platform, project: Project, view: Entity, selection: Selection) -> Json:
    """Return the query that reads a view, as a whole document.

    Raises
    ------
    ApiError
        400 (270172) if times are given and the root has no event time; 404 if a feature group is gone.
    """
    expanded = Expander(platform, project)
    columns = iter(view.body["features"])
    query = _narrowed(expanded.query(view.body["query"]), columns, selection)
    query["filter"] = _both(query.get("filter"), _window(query["leftFeatureGroup"], selection))
    query["filter"] = _both(query["filter"], selection.extra_filter)
    return query


def _narrowed(query: Json, columns: Iterator[Json], selection: Selection) -> Json:
    """Select the features that a call asks for, here and in joined queries; columns run in the same order."""
    group = query["leftFeatureGroup"]
    chosen = [feature for feature in query["leftFeatures"] if _wanted(next(columns), selection)]
    names = {feature["name"] for feature in query["leftFeatures"]}
    more = [f["name"] for f in group["features"] if f["primary"]] if selection.primary_keys else []
    if selection.event_times and group.get("eventTime"):
        more.append(group["eventTime"])
    added = [f for name in dict.fromkeys(more) if name not in names for f in group["features"] if f["name"] == name]
    chosen += [{**feature, "useFullyQualifiedName": True} for feature in added]
    joins = [{**join, "query": _narrowed(join["query"], columns, selection)} for join in query["joins"]]
    return {**query, "leftFeatures": chosen, "joins": joins}


def _wanted(column: Json, selection: Selection) -> bool:
    return not (
        (column["label"] and not selection.labels)
        or (column["inferenceHelperColumn"] and not selection.inference_helpers)
        or (column["trainingHelperColumn"] and not selection.training_helpers)
    )


def _both(left: Json | None, right: Json | None) -> Json | None:
    if not left or not right:
        return left or right or None
    return {"type": "AND", "leftLogic": _logic(left), "rightLogic": _logic(right)}


def _logic(document: Json) -> Json:
    return {"type": "SINGLE", "leftFilter": document} if document.get("condition") else document


def _window(group: Json, selection: Selection) -> Json | None:
    """Return the filter on the root's event time."""
    start, end = selection.start_ms, selection.end_ms
    if start is None and end is None:
        return None
    name = group.get("eventTime")
    if name is None:
        raise bad_request(
            f"feature group {group['name']!r} has no event time, so its rows have no start or end time", NO_EVENT_TIME
        )
    feature = next(f for f in group["features"] if f["name"] == name)
    if feature["type"].lower() not in ("int", "bigint"):
        return _range(feature, start, end)
    # Whole numbers are milliseconds, or seconds where they have at most ten digits, as the client reads them.
    small, large = {"condition": "LESS_THAN_OR_EQUAL"}, {"condition": "GREATER_THAN"}
    limit = {"feature": feature, "value": str(MAX_SECONDS)}
    seconds = _range(feature, _ceil(start), _ceil(end))
    return {
        "type": "OR",
        "leftLogic": _both(_logic({**limit, **small}), seconds),
        "rightLogic": _both(_logic({**limit, **large}), _range(feature, start, end)),
    }


def _range(feature: Json, start: int | None, end: int | None) -> Json | None:
    low = {"feature": feature, "condition": "GREATER_THAN_OR_EQUAL", "value": str(start)} if start is not None else None
    high = {"feature": feature, "condition": "LESS_THAN", "value": str(end)} if end is not None else None
    return _both(_logic(low) if low else None, _logic(high) if high else None)


def _ceil(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else -(-milliseconds // 1000)
