"""Alerts of jobs and of the project, their receivers, and those that were triggered."""

from __future__ import annotations

import uuid
from typing import Any

from deepcube.embedded.errors import ApiError, bad_request
from deepcube.embedded.routing import Call, Json, Routes, items
from deepcube.embedded.runtime import alerts
from deepcube.embedded.runtime.jobs import find_job

routes = Routes("/project/{project_id:int}")

JOB_ALERT_NOT_FOUND = 130034
PROJECT_ALERT_NOT_FOUND = 150078
_PROJECT_STATUSES = (
    *(f"JOB_{status}" for status in alerts.JOB_STATUSES),
    "VALIDATION_SUCCESS",
    "VALIDATION_WARNING",
    "VALIDATION_FAILURE",
    "MONITORING_SHIFT_UNDETECTED",
    "MONITORING_SHIFT_DETECTED",
    "MONITORING_EMPTY_DETECTION_WINDOW",
)


@routes.get("/jobs/{name}/alerts")
def job_alerts(call: Call) -> Json:
    """List the alerts of a job."""
    job = find_job(call.platform, call.project, call.path["name"])
    return items([alerts.alert_document(entity) for entity in alerts.alerts(call.platform, call.project, job)])


@routes.post("/jobs/{name}/alerts")
def create_job_alert(call: Call) -> Json:
    """Make an alert for a job."""
    job = find_job(call.platform, call.project, call.path["name"])
    entity = alerts.create_alert(call.platform, call.project, job, call.document, alerts.JOB_STATUSES, jobName=job.name)
    return alerts.alert_document(entity)


@routes.get("/jobs/{name}/alerts/{id:int}")
def job_alert(call: Call) -> Json:
    """Return an alert of a job."""
    job = find_job(call.platform, call.project, call.path["name"])
    entity = alerts.find_alert(call.platform, call.project, call.path["id"], JOB_ALERT_NOT_FOUND)
    if entity.parent_id != job.id:
        raise ApiError(404, JOB_ALERT_NOT_FOUND, f"job {job.name!r} has no alert {entity.id}")
    return alerts.alert_document(entity)


@routes.delete("/jobs/{name}/alerts/{id:int}")
def remove_job_alert(call: Call) -> None:
    """Remove an alert of a job."""
    find_job(call.platform, call.project, call.path["name"])
    entity = alerts.find_alert(call.platform, call.project, call.path["id"], JOB_ALERT_NOT_FOUND)
    call.platform.catalog.remove(entity)


@routes.get("/service/alerts")
def project_alerts(call: Call) -> Json:
    """List the alerts of the project."""
    found = alerts.alerts(call.platform, call.project, None)
    return items([alerts.alert_document(entity) for entity in found])


@routes.post("/service/alerts")
def create_project_alert(call: Call) -> Json:
    """Make an alert for everything of a kind in the project."""
    entity = alerts.create_alert(
        call.platform, call.project, None, call.document, _PROJECT_STATUSES, projectName=call.project.name
    )
    return alerts.alert_document(entity)


@routes.get("/service/alerts/{id:int}")
def project_alert(call: Call) -> Json:
    """Return an alert of the project."""
    entity = alerts.find_alert(call.platform, call.project, call.path["id"], PROJECT_ALERT_NOT_FOUND)
    return alerts.alert_document(entity)


@routes.delete("/service/alerts/{id:int}")
def remove_alert(call: Call) -> None:
    """Remove an alert, of the project or of a job."""
    entity = alerts.find_alert(call.platform, call.project, call.path["id"], PROJECT_ALERT_NOT_FOUND)
    call.platform.catalog.remove(entity)


@routes.get("/alerts/receivers")
def receivers(call: Call) -> Json:
    """List the receivers."""
    found = call.platform.catalog.find(call.project.id, alerts.RECEIVER)
    return items([alerts.receiver_document(entity) for entity in found])


@routes.get("/alerts/receivers/default")
def channels(call: Call) -> Json:
    """Say which channels there are: all may be named, as alerts are kept and not sent."""
    return {"emailConfigured": True, "slackConfigured": True, "pagerDutyConfigured": True}


@routes.post("/alerts/receivers")
def create_receiver(call: Call) -> Json:
    """Make a receiver."""
    return alerts.receiver_document(alerts.save_receiver(call.platform, call.project, call.document))


@routes.get("/alerts/receivers/{name}")
def receiver(call: Call) -> Json:
    """Return a receiver."""
    return alerts.receiver_document(alerts.find_receiver(call.platform, call.project, call.path["name"]))


@routes.delete("/alerts/receivers/{name}")
def remove_receiver(call: Call) -> None:
    """Remove a receiver."""
    call.platform.catalog.remove(alerts.find_receiver(call.platform, call.project, call.path["name"]))


@routes.get("/alerts/routes")
def alert_routes(call: Call) -> Json:
    """List the routes from alerts to receivers."""
    return items([entity.body for entity in call.platform.catalog.find(call.project.id, alerts.ROUTE)])


@routes.post("/alerts/routes")
def create_route(call: Call) -> Json:
    """Make a route."""
    document = call.document
    match = _pairs(document.get("match"))
    receiver_name = alerts.find_receiver(call.platform, call.project, str(document.get("receiver"))).name
    body = {"receiver": receiver_name, "groupBy": document.get("groupBy"), "match": match}
    with call.platform.catalog.transaction():
        known = call.platform.catalog.find(call.project.id, alerts.ROUTE)
        if any(entity.body["receiver"] == receiver_name and entity.body["match"] == match for entity in known):
            raise ApiError(400, alerts.ROUTE_EXISTS, f"a route of {receiver_name} for {match} already exists")
        call.platform.catalog.add(call.project.id, alerts.ROUTE, uuid.uuid4().hex, body)
    return body


def _pairs(value: Any) -> dict[str, str]:
    """Read labels, which the client sends as a list of pairs."""
    if isinstance(value, dict):
        return {str(key): str(content) for key, content in value.items()}
    if not isinstance(value, list) or not all(isinstance(entry, dict) and "key" in entry for entry in value):
        raise bad_request('labels are a list of {"key": ..., "value": ...}')
    return {str(entry["key"]): str(entry.get("value")) for entry in value}


@routes.get("/alerts")
def triggered(call: Call) -> Json:
    """List what was triggered, newest first."""
    if (call.parameter("active") or "true").lower() == "false":
        return items([])
    found = call.platform.catalog.find(call.project.id, alerts.TRIGGERED, newest_first=True)
    return items([alerts.triggered_document(entity) for entity in found])


@routes.post("/alerts")
def trigger(call: Call) -> None:
    """Trigger alerts by hand."""
    wanted = call.document.get("alerts")
    if not isinstance(wanted, list):
        raise bad_request("alerts is a list")
    for alert in wanted:
        if not isinstance(alert, dict):
            raise bad_request("an alert has labels and annotations")
        labels, annotations = _pairs(alert.get("labels")), _pairs(alert.get("annotations") or [])
        alerts.keep(call.platform, call.project.id, labels, annotations, None)
