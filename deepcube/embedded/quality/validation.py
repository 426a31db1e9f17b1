"""Reports of the validation of feature groups, and the history of each expectation.

A report is written as the client sends it. Under the policy ``STRICT`` a failed validation keeps the data out: the
client stops the insert and says so with the ingestion result ``REJECTED``; under ``ALWAYS`` the data goes in.
"""

from __future__ import annotations

import json
from typing import Any

from deepcube.embedded.catalog import Entity, iso_time
from deepcube.embedded.errors import bad_request, not_found
from deepcube.embedded.keys import User
from deepcube.embedded.platform import Platform
from deepcube.embedded.quality import activities, checks
from deepcube.embedded.quality.filters import Filters
from deepcube.embedded.runtime import alerts

REPORT = "validation_report"
RESULT = "validation_result"
REPORT_NOT_FOUND = 270226
INGESTION_RESULTS = ("INGESTED", "REJECTED", "UNKNOWN", "EXPERIMENT", "FG_DATA")

_REPORT_FIELDS = ("success", "evaluationParameters", "statistics", "meta")
_RESULT_FIELDS = ("success", "exceptionInfo", "expectationConfig", "result", "meta")


def save_report(platform: Platform, group: Entity, document: dict[str, Any], user: User) -> Entity:
    """Keep the report of a validation.

    Raises
    ------
    ApiError
        400 if it is not one.
    """
    ingestion = str(document.get("ingestionResult") or "UNKNOWN").upper()
    if ingestion not in INGESTION_RESULTS:
        raise bad_request(f"ingestionResult is {ingestion!r}; expected one of {', '.join(INGESTION_RESULTS)}")
    results = checks.objects(document.get("results"), "results")
    catalog = platform.catalog
    with catalog.transaction():
        body = {**{field: document.get(field) for field in _REPORT_FIELDS}, "ingestionResult": ingestion}
        number = catalog.next_version(group.project_id, REPORT, "report", group.id)
        report = catalog.add(group.project_id, REPORT, "report", body, version=number, parent_id=group.id)
        for position, result in enumerate(results):
            _save_result(platform, report, position, result)
        outcome = "succeeded" if report.body["success"] else "failed"
        detail = {"validationReport": report_document(platform, report)}
        message = f"Validation {outcome}; the data was {ingestion.lower().replace('_', ' ')}"
        activities.record(platform, group, activities.VALIDATIONS, message, user=user, detail=detail)
        for owner in (group, None):
            status = "VALIDATION_SUCCESS" if report.body["success"] else "VALIDATION_FAILURE"
            alerts.trigger(platform, group.project_id, owner, status, message, featureGroup=group.name)
    return report


def _save_result(platform: Platform, report: Entity, position: int, result: dict[str, Any]) -> None:
    body = {field: result.get(field) for field in _RESULT_FIELDS}
    expectation_id = _expectation_id(body["expectationConfig"])
    platform.catalog.add(report.project_id, RESULT, str(expectation_id), body, version=position, parent_id=report.id)


def _expectation_id(config: Any) -> int:
    """Return the id that the expectation carried in its ``meta``, 0 if it carried none."""
    try:
        content = json.loads(config) if isinstance(config, str) else config
        return int(content["meta"]["expectationId"])
    except (ValueError, TypeError, KeyError):
        return 0


def report_document(platform: Platform, report: Entity) -> dict[str, Any]:
    """Return a report as the REST API writes one."""
    results = platform.catalog.find(report.project_id, RESULT, parent_id=report.id)
    return {
        "id": report.id,
        "featurestoreId": report.project_id,
        "featuregroupId": report.parent_id,
        "validationTime": iso_time(report.created_ms),
        **report.body,
        "results": [_result_document(report, result) for result in results],
    }


def _result_document(report: Entity, result: Entity) -> dict[str, Any]:
    return {
        "id": result.id,
        "expectationId": int(result.name),
        "validationReportId": report.id,
        "validationTime": iso_time(report.created_ms),
        "ingestionResult": report.body["ingestionResult"],
        **result.body,
    }


def reports(platform: Platform, group: Entity, *, offset: int = 0, limit: int | None = None) -> list[Entity]:
    """Return the reports of a feature group, newest first."""
    end = -1 if limit is None else offset + limit
    found = platform.catalog.find(group.project_id, REPORT, parent_id=group.id, newest_first=True, limit=end)
    return found[offset:]


def find_report(platform: Platform, group: Entity, report_id: int) -> Entity:
    """Return a report by id.

    Raises
    ------
    ApiError
        404 if the group has none with this id.
    """
    report = platform.catalog.get(report_id, REPORT)
    if report is None or report.parent_id != group.id:
        raise not_found(f"feature group {group.name!r} has no validation report {report_id}", REPORT_NOT_FOUND)
    return report


def history(platform: Platform, group: Entity, expectation_id: int, filters: Filters) -> list[dict[str, Any]]:
    """Return every result of one expectation, newest first.

    Parameters
    ----------
    platform : Platform
        Shared state.
    group : Entity
        The feature group.
    expectation_id : int
        The expectation.
    filters : Filters
        On ``ingestion_result`` and ``validation_time`` (milliseconds); several ``ingestion_result_eq`` mean any of
        them.
    """
    wanted = {str(value).upper() for value in filters.values("ingestion_result", "eq")}
    documents = []
    for report in reports(platform, group):
        if wanted and report.body["ingestionResult"] not in wanted:
            continue
        if not filters.holds("validation_time", report.created_ms):
            continue
        results = platform.catalog.find(report.project_id, RESULT, name=str(expectation_id), parent_id=report.id)
        documents += [_result_document(report, result) for result in results]
    return documents
