"""Alerts of feature groups and feature views: on validation, and on what monitoring finds."""

from __future__ import annotations

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import not_found
from deepcube.embedded.quality.artifacts import artifact_of
from deepcube.embedded.routing import Call, Json, Routes, items
from deepcube.embedded.runtime import alerts
from deepcube.embedded.store import groups

routes = Routes("/project/{project_id:int}/featurestores/{featurestore_id:int}")

NOT_FOUND = 270155
_BASES = ("/featuregroups/{group_id:int}/alerts", "/featureview/{view}/version/{version:int}/alerts")
_MONITORING = ("MONITORING_SHIFT_UNDETECTED", "MONITORING_SHIFT_DETECTED", "MONITORING_EMPTY_DETECTION_WINDOW")
_VALIDATION = ("VALIDATION_SUCCESS", "VALIDATION_WARNING", "VALIDATION_FAILURE")


def _artifact(call: Call) -> Entity:
    return artifact_of(call.platform, call.project, call.path)


def _alert(call: Call) -> Entity:
    artifact = _artifact(call)
    found = alerts.find_alert(call.platform, call.project, call.path["alert_id"], NOT_FOUND)
    if found.parent_id != artifact.id:
        raise not_found(f"{artifact.name!r} has no alert with id {found.id}", NOT_FOUND)
    return found


def list_alerts(call: Call) -> Json:
    """List the alerts of an artifact."""
    found = alerts.alerts(call.platform, call.project, _artifact(call))
    return items([alerts.alert_document(alert) for alert in found])


def read_alert(call: Call) -> Json:
    """Return an alert."""
    return alerts.alert_document(_alert(call))


def create_alert(call: Call) -> Json:
    """Make an alert for an artifact."""
    artifact, document = _artifact(call), dict(call.document)
    status = str(document.get("status")).upper()
    document["status"] = status.replace("FEATURE_MONITOR_", "MONITORING_").replace("FEATURE_VALIDATION_", "VALIDATION_")
    shown: dict[str, object] = {"featureStoreName": call.project.featurestore_name}
    if artifact.kind == groups.KIND:
        statuses: tuple[str, ...] = (*_VALIDATION, *_MONITORING)
        shown |= {"featureGroupId": artifact.id, "featureGroupName": artifact.name}
    else:
        statuses = _MONITORING
        shown |= {
            "featureViewId": artifact.id,
            "featureViewName": artifact.name,
            "featureViewVersion": artifact.version,
        }
    made = alerts.create_alert(call.platform, call.project, artifact, document, statuses, **shown)
    return alerts.alert_document(made)


def delete_alert(call: Call) -> Json:
    """Remove an alert."""
    call.platform.catalog.remove(_alert(call))


for _base in _BASES:
    routes.get(_base)(list_alerts)
    routes.post(_base)(create_alert)
    routes.get(_base + "/{alert_id:int}")(read_alert)
    routes.delete(_base + "/{alert_id:int}")(delete_alert)
