"""Alerts: who is to be told of what, and what there was to tell. Nothing is sent: triggered alerts are kept and listed.

An alert belongs to something (a job, a feature group, a feature view) or to the project, and names a status. When that
status comes up, :func:`trigger` keeps a triggered alert in the shape that Prometheus' alert manager gives them.
"""

from __future__ import annotations

import uuid
from typing import Any

from deepcube.embedded.catalog import Entity, iso_time
from deepcube.embedded.errors import ApiError, bad_request, not_found
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime.records import FINISH_HOOKS

ALERT = "alert"
RECEIVER = "alert_receiver"
ROUTE = "alert_route"
TRIGGERED = "triggered_alert"
RECEIVER_NOT_FOUND = 390003
ROUTE_EXISTS = 390002
SEVERITIES = ("CRITICAL", "WARNING", "INFO")
JOB_STATUSES = ("FINISHED", "FAILED", "KILLED", "LONG_RUNNING")
MAX_TRIGGERED = 1000


def create_alert(
    platform: Platform,
    project: Project,
    owner: Entity | None,
    document: dict[str, Any],
    statuses: tuple[str, ...],
    **shown: Any,
) -> Entity:
    """Make an alert.

    Parameters
    ----------
    owner : Entity or None
        What it belongs to; None for the project.
    document : dict
        ``status``, ``severity``, ``receiver``, and ``service`` and ``threshold`` for a project's.
    statuses : tuple of str
        Those that are possible.
    **shown
        More for its document, such as ``jobName``.

    Raises
    ------
    ApiError
        If a value is unknown, or the same alert exists.
    """
    status, severity = str(document.get("status")).upper(), str(document.get("severity")).upper()
    receiver = document.get("receiver")
    if status not in statuses:
        raise bad_request(f"unknown status {status!r} of an alert; there are {', '.join(statuses)}")
    if severity not in SEVERITIES:
        raise bad_request(f"unknown severity {severity!r} of an alert; there are {', '.join(SEVERITIES)}")
    find_receiver(platform, project, str(receiver))
    body = {"status": status, "severity": severity, "receiver": receiver, "alertType": "PROJECT_ALERT", **shown}
    body |= {field: document[field] for field in ("service", "threshold") if field in document}
    with platform.catalog.transaction():
        for known in alerts(platform, project, owner):
            if known.body["status"] == status and known.body["receiver"] == receiver:
                raise bad_request(f"there is an alert for status {status} and receiver {receiver!r} already")
        parent = 0 if owner is None else owner.id
        return platform.catalog.add(project.id, ALERT, uuid.uuid4().hex, body, parent_id=parent)


def alerts(platform: Platform, project: Project, owner: Entity | None) -> list[Entity]:
    """Return the alerts of something, or those of the project."""
    return platform.catalog.find(project.id, ALERT, parent_id=0 if owner is None else owner.id)


def find_alert(platform: Platform, project: Project, alert_id: int, code: int) -> Entity:
    """Return an alert.

    Raises
    ------
    ApiError
        404 with the given code if there is none.
    """
    entity = platform.catalog.get(alert_id, ALERT)
    if entity is None or entity.project_id != project.id:
        raise not_found(f"no alert with id {alert_id} in project {project.name!r}", code)
    return entity


def alert_document(entity: Entity) -> dict[str, Any]:
    """Return an alert as the REST API writes one."""
    return {**entity.body, "id": entity.id, "created": entity.created}


def save_receiver(platform: Platform, project: Project, document: dict[str, Any]) -> Entity:
    """Make a receiver; its name gets the project's as a prefix.

    Raises
    ------
    ApiError
        If it has no name or exists.
    """
    name = document.get("name")
    if not isinstance(name, str) or not name or "/" in name:
        raise bad_request(f"{name!r} is not the name of an alert receiver")
    full = name if name.startswith(f"{project.name}__") else f"{project.name}__{name}"
    kinds = ("emailConfigs", "slackConfigs", "pagerDutyConfigs", "webhookConfigs")
    with platform.catalog.transaction():
        if platform.catalog.first(project.id, RECEIVER, name=full):
            raise ApiError(400, ROUTE_EXISTS, f"an alert receiver named {name!r} already exists")
        return platform.catalog.add(project.id, RECEIVER, full, {kind: document.get(kind) for kind in kinds})


def find_receiver(platform: Platform, project: Project, name: str) -> Entity:
    """Return a receiver by its name, with or without the project's as a prefix.

    Raises
    ------
    ApiError
        404 with code 390003 if there is none.
    """
    for full in (name, f"{project.name}__{name}"):
        entity = platform.catalog.first(project.id, RECEIVER, name=full)
        if entity is not None:
            return entity
    raise not_found(f"no alert receiver named {name!r} in project {project.name!r}; make it first", RECEIVER_NOT_FOUND)


def receiver_document(entity: Entity) -> dict[str, Any]:
    """Return a receiver as the REST API writes one."""
    return {"name": entity.name, **{kind: value for kind, value in entity.body.items() if value}}


def trigger(
    platform: Platform, project_id: int, owner: Entity | None, status: str, summary: str, **labels: str
) -> None:
    """Keep a triggered alert for every alert that waits for a status; fit for the caller's transaction.

    Parameters
    ----------
    owner : Entity or None
        To whom it happened; None for the project's own alerts.
    status : str
        What came up, as the alerts name it.
    summary : str
        In words.
    **labels : str
        More labels, such as ``job``.
    """
    parent = 0 if owner is None else owner.id
    for entity in platform.catalog.find(project_id, ALERT, parent_id=parent):
        if entity.body["status"] == status:
            keep(
                platform,
                project_id,
                {
                    "alertname": entity.body["status"],
                    "severity": entity.body["severity"].lower(),
                    "status": status,
                    **labels,
                },
                {"summary": summary, "title": summary},
                entity.body["receiver"],
            )


def keep(
    platform: Platform, project_id: int, labels: dict[str, str], annotations: dict[str, str], receiver: str | None
) -> Entity:
    """Keep one triggered alert; the oldest beyond a thousand are forgotten."""
    body = {"labels": labels, "annotations": annotations, "receiver": receiver}
    with platform.catalog.transaction():
        entity = platform.catalog.add(project_id, TRIGGERED, uuid.uuid4().hex, body)
        for old in platform.catalog.find(project_id, TRIGGERED, newest_first=True)[MAX_TRIGGERED:]:
            platform.catalog.remove(old)
    return entity


def triggered_document(entity: Entity) -> dict[str, Any]:
    """Return a triggered alert as the REST API writes one."""
    time = iso_time(entity.created_ms)
    return {
        "labels": entity.body["labels"],
        "annotations": entity.body["annotations"],
        "receivers": [{"name": entity.body["receiver"]}] if entity.body["receiver"] else [],
        "status": {"state": "active", "inhibitedBy": [], "silencedBy": []},
        "fingerprint": entity.name,
        "startsAt": time,
        "updatedAt": time,
    }


def _on_finish(platform: Platform, job: Entity, execution: Entity) -> None:
    """Trigger the alerts of a job, and the project's for jobs, when an execution is over."""
    state = execution.body["state"]
    reason = execution.body.get("reason")
    summary = f"execution {execution.id} of job {job.name} is {state}" + (f": {reason}" if reason else "")
    labels = {"job": job.name, "executionId": str(execution.id)}
    trigger(platform, job.project_id, job, state, summary, **labels)
    trigger(platform, job.project_id, None, f"JOB_{state}", summary, **labels)


FINISH_HOOKS.append(_on_finish)
