"""The log of a feature view: what its deployments saw and predicted, kept in a feature group of its own.

``realtime`` logs go through the broker into a stream group with an online copy; ``job`` logs are staged by the client
and committed by a job of its own into a group that has the offline table only.
"""

from __future__ import annotations

from typing import Any

from deltalake import write_deltalake

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import LOGGING_NOT_ENABLED, bad_request, not_found
from deepcube.embedded.online.store import OnlineStore
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.store import group_changes, groups, views
from deepcube.embedded.store.features import BATCH, STREAM

KIND = "feature_logging"
REALTIME, JOB = "realtime", "job"
LABEL_PREFIX = "predicted_"  # by which the client names logged predictions
_MAX_NAME = 63

_METADATA = {
    "log_id": "string",
    "log_time": "timestamp",
    "td_version": "int",
    "model_name": "string",
    "model_version": "string",
    "request_id": "string",
    "request_parameters": "string",
}

Json = dict[str, Any]


def enable(platform: Platform, project: Project, view: Entity, document: Json) -> Entity:
    """Give a feature view a log; one that has it keeps it.

    Parameters
    ----------
    platform, project : Platform, Project
        Where the view is.
    view : Entity
        The feature view.
    document : dict
        What the client asks for: ``extraLoggingColumns``, ``transport``.

    Raises
    ------
    ApiError
        400 if the transport is unknown or a further column is not valid.
    """
    transport = document.get("transport") or REALTIME
    if transport not in (REALTIME, JOB):
        raise bad_request(f"transport must be {REALTIME} or {JOB}, found {transport!r}")
    extra = document.get("extraLoggingColumns") or []
    if not isinstance(extra, list) or not all(isinstance(column, dict) for column in extra):
        raise bad_request("extraLoggingColumns must be a list of features")
    with platform.catalog.transaction():
        known = _logging(platform, view)
        if known is not None:
            return known
        group = group_changes.create_group(
            platform, project, _group_document(platform, project, view, extra, transport)
        )
        if transport == JOB:  # the client appends to it, also rows of which whole columns are null
            place = groups.delta_location(platform, project, group)
            write_deltalake(place, groups.arrow_schema(group.body).empty_table(), mode="overwrite")
        platform.catalog.update(view, {**view.body, "loggingEnabled": True})
        body = {"group": group.id, "extra": extra, "paused": False}
        return platform.catalog.add(project.id, KIND, view.name, body, parent_id=view.id)


def _logging(platform: Platform, view: Entity) -> Entity | None:
    found = platform.catalog.first(view.project_id, KIND, parent_id=view.id)
    if found is None or platform.catalog.get(found.body["group"], groups.KIND) is not None:
        return found
    platform.catalog.remove(found)  # its feature group was deleted
    return None


def logging_of(platform: Platform, view: Entity) -> Entity:
    """Return the log of a feature view.

    Raises
    ------
    ApiError
        404 (270248) if it has none.
    """
    found = _logging(platform, view)
    if found is None:
        raise not_found(
            f"feature view {view.name!r} version {view.version} keeps no log; call enable_logging() on it",
            LOGGING_NOT_ENABLED,
        )
    return found


def group_of(platform: Platform, logging: Entity) -> Entity:
    """Return the feature group of a log."""
    group = platform.catalog.get(logging.body["group"], groups.KIND)
    assert group is not None, "checked when the log was found"
    return group


def logging_document(platform: Platform, logging: Entity) -> Json:
    """Return a log as the REST API writes one."""
    return {
        "id": logging.id,
        "untransformedLogFg": groups.group_document(platform, group_of(platform, logging)),
        "transformedLogFg": None,
        "extraLoggingColumns": logging.body["extra"],
    }


def pause(platform: Platform, logging: Entity, paused: bool) -> None:
    """Remember whether the scheduled materialisation of a log is paused."""
    platform.catalog.update(logging, {**logging.body, "paused": paused})


def delete(platform: Platform, project: Project, view: Entity, transport: str | None) -> None:
    """Empty the log of a feature view; with a transport, make it anew for that one."""
    logging = logging_of(platform, view)
    group = group_of(platform, logging)
    if transport is None:
        with platform.service(OnlineStore).alone(group.id):
            group_changes.clear_group(platform, group)
        return
    if transport not in (REALTIME, JOB):
        raise bad_request(f"transport must be {REALTIME} or {JOB}, found {transport!r}")
    extra = logging.body["extra"]
    with platform.service(OnlineStore).alone(group.id):
        platform.catalog.remove(logging)
        group_changes.delete_group(platform, group)
    enable(platform, project, view, {"extraLoggingColumns": extra, "transport": transport})


def _group_document(platform: Platform, project: Project, view: Entity, extra: list[Json], transport: str) -> Json:
    suffix = f"_{view.version}_log"
    kinds = _columns(platform, project, view, extra)
    features = [{"name": name, "type": kind, "primary": name == "log_id"} for name, kind in kinds.items()]
    return {
        "name": view.name[: _MAX_NAME - len(suffix)] + suffix,
        "description": f"log of feature view {view.name} version {view.version}",
        "type": STREAM if transport == REALTIME else BATCH,
        "onlineEnabled": transport == REALTIME,
        "timeTravelFormat": "DELTA",
        "eventTime": "log_time",
        "statisticsConfig": {"enabled": False},
        "features": features,
    }


def _columns(platform: Platform, project: Project, view: Entity, extra: list[Json]) -> dict[str, str]:
    """Return names and types of what is logged: features before and after transformation, predictions, keys, times."""
    columns = dict(_METADATA)
    for feature in view.body["features"]:
        name = LABEL_PREFIX + feature["name"] if feature["label"] else feature["name"]
        columns.setdefault(name, feature["type"])
    for function in view.body["transformationFunctions"]:
        udf = function.get("hopsworksUdf") or {}
        for name, kind in zip(udf.get("outputColumnNames") or [], udf.get("outputTypes") or [], strict=False):
            columns.setdefault(name, kind)
    for key in view.body["servingKeys"]:
        if key["required"]:
            group = groups.find_group(platform, project, key["groupId"])
            kind = next(f["type"] for f in group.body["features"] if f["name"] == key["featureName"])
            columns.setdefault(key["prefix"] + key["featureName"], kind)
    root = groups.find_group(platform, project, view.body["query"]["leftFeatureGroup"]["id"])
    event = groups.event_time(root.body)
    if event is not None:
        columns.setdefault(event, next(f["type"] for f in root.body["features"] if f["name"] == event))
    for column in extra:
        if isinstance(column.get("name"), str) and isinstance(column.get("type"), str):
            columns.setdefault(column["name"], column["type"])
    return columns


def view_created(platform: Platform, project: Project, view: Entity, document: Json) -> None:
    """Give a feature view that is made with ``logging_enabled=True`` its log."""
    if view.body.get("loggingEnabled"):
        enable(platform, project, view, {"extraLoggingColumns": view.body.get("extraLogColumns")})


def register() -> None:
    """Register with the making of feature views."""
    if view_created not in views.CREATE_HOOKS:
        views.CREATE_HOOKS.append(view_created)
