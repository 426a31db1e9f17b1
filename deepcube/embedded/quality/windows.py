"""The windows that feature monitoring looks at: which rows are in one, and their descriptive statistics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import QUERY_FAILED, ApiError, bad_request
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.quality.profile import ProfileConfig, profile
from deepcube.embedded.query.engine import connect
from deepcube.embedded.query.execute import run
from deepcube.embedded.query.resolve import resolve
from deepcube.embedded.store import datasets, groups, views
from deepcube.embedded.store.selection import Selection, batch_query

ALL_TIME, ROLLING_TIME, TRAINING_DATASET = "ALL_TIME", "ROLLING_TIME", "TRAINING_DATASET"
TYPES = (ALL_TIME, ROLLING_TIME, TRAINING_DATASET)
_DURATION = re.compile(r"^(\d+[wdh])+$")
_MAX_DURATION = 12  # as the client allows
_HOURS = {"w": 7 * 24, "d": 24, "h": 1}
_SAMPLE_SEED = 42
_SECONDS = 9_999_999_999  # smaller whole numbers are seconds, others milliseconds, as the client reads event times

Json = dict[str, Any]


@dataclass(frozen=True)
class Window:
    """Rows of a feature group or view.

    Attributes
    ----------
    start_ms, end_ms : int or None
        From (inclusive) and to (exclusive for event times), in milliseconds since the epoch; None for no bound.
    event_time : str or None
        Feature that the bounds are about; None for the time of the commits.
    fraction : float
        Part of the rows, sampled.
    model : tuple of (name, version) or None
        Only rows that this model logged.
    """

    start_ms: int | None
    end_ms: int | None
    event_time: str | None = None
    fraction: float = 1.0
    model: tuple[str, int] | None = None

    def document(self) -> Json:
        """Return the window as statistics carry it."""
        if self.event_time is not None:
            bounds = {"windowStartEventTime": self.start_ms, "windowEndEventTime": self.end_ms}
            return {**bounds, "eventTime": self.event_time, "rowPercentage": self.fraction}
        bounds = {"windowStartCommitTime": self.start_ms, "windowEndCommitTime": self.end_ms}
        return {**bounds, "rowPercentage": self.fraction}


def hours(duration: str) -> int:
    """Return the length of a duration such as ``1w2d3h`` in hours.

    Raises
    ------
    ApiError
        400 if it is none.
    """
    if not _DURATION.match(duration) or len(duration) > _MAX_DURATION:
        raise bad_request(f"{duration!r} is not a duration; write weeks, days and hours, such as 1w2d3h")
    return sum(int(part[:-1]) * _HOURS[part[-1]] for part in re.findall(r"\d+[wdh]", duration))


def bounds(document: Json, now_ms: int) -> tuple[int | None, int]:
    """Return start and end of a window at a moment.

    Parameters
    ----------
    document : dict
        The window's configuration: ``timeOffset`` (how long ago it starts) and ``windowLength``.
    now_ms : int
        The moment.
    """
    offset, length = document.get("timeOffset"), document.get("windowLength")
    if offset is None:
        return None, now_ms
    start = now_ms - hours(offset) * 3_600_000
    return start, now_ms if length is None else min(now_ms, start + hours(length) * 3_600_000)


def statistics_of(
    platform: Platform, project: Project, artifact: Entity, window: Window, config: ProfileConfig
) -> list[Json]:
    """Return the descriptive statistics of the rows of a feature group or view in a window.

    Parameters
    ----------
    platform, project : Platform, Project
        Where.
    artifact : Entity
        Feature group or feature view.
    window : Window
        Which rows.
    config : ProfileConfig
        Which features, and what to compute.
    """
    if artifact.kind == groups.KIND:
        query = _group_query(artifact, window, config)
    else:
        query = _view_query(platform, project, artifact, window)
    if window.event_time is None:
        query = _as_of(query, window.start_ms, window.end_ms)
    conditions = _conditions(artifact, window)
    return _profile(platform, project, query, conditions, window.fraction, config)


def statistics_of_dataset(platform: Platform, project: Project, dataset: Entity, config: ProfileConfig) -> list[Json]:
    """Return the descriptive statistics of the rows of a training dataset, before any transformation.

    The rows are those of the feature view's query at the time when the dataset was made; of a dataset split by time,
    those of its training split.
    """
    view, body = datasets.views_of(platform, dataset), dataset.body
    start, end = body.get("eventStartTime"), body.get("eventEndTime")
    train: Json = next((split for split in body["splits"] if split.get("name") == "train"), {})
    if train.get("startTime") is not None or train.get("endTime") is not None:
        start, end = train.get("startTime", start), train.get("endTime", end)
    selection = Selection(labels=True, start_ms=start, end_ms=end, extra_filter=body.get("extraFilter"))
    query = _as_of(batch_query(platform, project, view, selection), None, dataset.created_ms)
    return _profile(platform, project, query, [], 1.0, config)


def _group_query(group: Entity, window: Window, config: ProfileConfig) -> Json:
    needed = {*config.columns, window.event_time, *(("model_name", "model_version") if window.model else ())}
    features = [{"name": f["name"]} for f in group.body["features"] if f["name"] in needed or not config.columns]
    return {"leftFeatureGroup": {"id": group.id}, "leftFeatures": features, "joins": []}


def _view_query(platform: Platform, project: Project, view: Entity, window: Window) -> Json:
    selection = Selection(labels=True, inference_helpers=True, training_helpers=True)
    if window.event_time is not None:
        selection = replace(selection, start_ms=window.start_ms, end_ms=window.end_ms)
    return batch_query(platform, project, view, selection)


def _as_of(query: Json, start_ms: int | None, end_ms: int | None) -> Json:
    """Read every feature group of a query as of a time, or what changed after another time."""
    times = {"leftFeatureGroupStartTime": start_ms, "leftFeatureGroupEndTime": end_ms}
    joins = [{**join, "query": _as_of(join["query"], start_ms, end_ms)} for join in query["joins"]]
    return {**query, **{key: time for key, time in times.items() if time is not None}, "joins": joins}


def _conditions(artifact: Entity, window: Window) -> list[str]:
    """Return SQL conditions on the rows of a feature group; a view's query has its own filter."""
    found = []
    if window.model is not None:
        name, version = window.model
        text = name.replace("'", "''")
        found.append(f"model_name = '{text}' AND CAST(model_version AS VARCHAR) = '{int(version)}'")
    if window.event_time is None or artifact.kind != groups.KIND:
        return found
    moment = _moment(artifact, window.event_time)
    found += [f"{moment} >= {window.start_ms}"] if window.start_ms is not None else []
    return found + ([f"{moment} < {window.end_ms}"] if window.end_ms is not None else [])


def _moment(group: Entity, feature: str) -> str:
    """Return SQL of a feature's time in milliseconds since the epoch."""
    kind = next((f["type"].lower() for f in group.body["features"] if f["name"] == feature), None)
    column = '"' + feature.replace('"', '""') + '"'
    if kind in ("timestamp", "date"):
        return f"epoch_ms(CAST({column} AS TIMESTAMP))"
    if kind in ("int", "bigint"):
        return f"CASE WHEN {column} <= {_SECONDS} THEN {column} * 1000 ELSE {column} END"
    raise bad_request(f"feature {feature!r} of feature group {group.name!r} is no event time")


def _profile(
    platform: Platform, project: Project, query: Json, conditions: list[str], fraction: float, config: ProfileConfig
) -> list[Json]:
    with connect(platform) as connection:
        with _rows(platform, project, query, connection) as found:
            if not found:
                return [{"featureName": name, "count": 0} for name in config.columns]
            where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
            sample = f" USING SAMPLE {fraction * 100} PERCENT (bernoulli, {_SAMPLE_SEED})" if fraction < 1 else ""
            # A table, not a view: the rows come once, and are looked at several times. It spills to disk.
            connection.execute(f"CREATE TEMP TABLE window_rows AS SELECT * FROM incoming{where}{sample}")
        return profile(connection, "window_rows", config)


@contextmanager
def _rows(platform: Platform, project: Project, query: Json, connection: duckdb.DuckDBPyConnection) -> Iterator[bool]:
    """Give the rows of a query as the table ``incoming``; False if the groups had none at that time."""
    try:
        reader = run(platform, resolve(platform, project, query))
    except ApiError as error:
        if error.code == QUERY_FAILED and error.message.startswith("No commits found"):
            yield False
            return
        raise
    connection.register("incoming", reader)
    yield True
    connection.unregister("incoming")


def check_event_time(platform: Platform, artifact: Entity, feature: Any) -> str | None:
    """Return the feature that a window's bounds are about, if a window can have it.

    Raises
    ------
    ApiError
        400 if the artifact has no such feature; of a feature view, only the event time of its first group can be it.
    """
    if feature is None:
        return None
    if artifact.kind == groups.KIND:
        _moment(artifact, str(feature))
        return str(feature)
    root = platform.catalog.get(views.group_ids(artifact)[0], groups.KIND)
    if root is None or groups.event_time(root.body) != feature:
        raise bad_request(f"{feature!r} is not the event time of the first feature group of view {artifact.name!r}")
    return str(feature)
