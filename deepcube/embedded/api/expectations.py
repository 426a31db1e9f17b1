"""Expectation suites, validation reports and the history of an expectation, below a feature group."""

from __future__ import annotations

from deepcube.embedded.catalog import Entity
from deepcube.embedded.quality import expectations, validation
from deepcube.embedded.quality.artifacts import artifact_of
from deepcube.embedded.quality.filters import Filters
from deepcube.embedded.routing import Call, Json, Routes, items

routes = Routes("/project/{project_id:int}/featurestores/{featurestore_id:int}/featuregroups/{group_id:int}")

_SUITE = "/expectationsuite/{suite_id:int}"


def _group(call: Call) -> Entity:
    return artifact_of(call.platform, call.project, call.path)


def _suite(call: Call) -> Entity:
    return expectations.suite(call.platform, _group(call), call.path["suite_id"])


@routes.get("/expectationsuite")
def read_suite(call: Call) -> Json:
    """Return the suite of a feature group; an empty list where there is none, as on every insert."""
    group = _group(call)
    found = expectations.find_suite(call.platform, group)
    return items([]) if found is None else expectations.suite_document(call.platform, group, found)


@routes.post("/expectationsuite")
def create_suite(call: Call) -> Json:
    """Attach a suite."""
    group = _group(call)
    created = expectations.create_suite(call.platform, group, call.document, call.user)
    return expectations.suite_document(call.platform, group, created)


@routes.put(_SUITE)
def update_suite(call: Call) -> Json:
    """Replace a suite with its expectations."""
    return _update(call, metadata_only=False)


@routes.put(_SUITE + "/metadata")
def update_suite_metadata(call: Call) -> Json:
    """Replace a suite's name, policy and meta, not its expectations."""
    return _update(call, metadata_only=True)


def _update(call: Call, metadata_only: bool) -> Json:
    group = _group(call)
    suite = expectations.update_suite(
        call.platform, group, call.path["suite_id"], call.document, metadata_only=metadata_only, user=call.user
    )
    return expectations.suite_document(call.platform, group, suite)


@routes.delete(_SUITE)
def delete_suite(call: Call) -> Json:
    """Detach a suite."""
    expectations.delete_suite(call.platform, _group(call), call.path["suite_id"], call.user)


@routes.get(_SUITE + "/expectations")
def list_expectations(call: Call) -> Json:
    """List the expectations of a suite."""
    found = expectations.expectations(call.platform, _suite(call))
    return items([expectations.expectation_document(entity) for entity in found])


@routes.post(_SUITE + "/expectations")
def add_expectation(call: Call) -> Json:
    """Add an expectation."""
    return expectations.expectation_document(expectations.add_expectation(call.platform, _suite(call), call.document))


@routes.get(_SUITE + "/expectations/{expectation_id:int}")
def read_expectation(call: Call) -> Json:
    """Return an expectation."""
    found = expectations.expectation(call.platform, _suite(call), call.path["expectation_id"])
    return expectations.expectation_document(found)


@routes.put(_SUITE + "/expectations/{expectation_id:int}")
def update_expectation(call: Call) -> Json:
    """Replace an expectation."""
    updated = expectations.update_expectation(call.platform, _suite(call), call.path["expectation_id"], call.document)
    return expectations.expectation_document(updated)


@routes.delete(_SUITE + "/expectations/{expectation_id:int}")
def delete_expectation(call: Call) -> Json:
    """Remove an expectation."""
    found = expectations.expectation(call.platform, _suite(call), call.path["expectation_id"])
    call.platform.catalog.remove(found)


@routes.put("/validationreport")
def save_report(call: Call) -> Json:
    """Keep the report of a validation."""
    report = validation.save_report(call.platform, _group(call), call.document, call.user)
    return validation.report_document(call.platform, report)


@routes.get("/validationreport")
def list_reports(call: Call) -> Json:
    """List the reports of a feature group, newest first."""
    offset, limit = call.integer("offset", 0) or 0, call.integer("limit")
    found = validation.reports(call.platform, _group(call), offset=offset, limit=limit)
    return items([validation.report_document(call.platform, report) for report in found])


@routes.delete("/validationreport/{report_id:int}")
def delete_report(call: Call) -> Json:
    """Remove a report."""
    call.platform.catalog.remove(validation.find_report(call.platform, _group(call), call.path["report_id"]))


@routes.get("/validationresult/history/{expectation_id:int}")
def validation_history(call: Call) -> Json:
    """List the results of one expectation, newest first."""
    filters = Filters.parse(call.query.get("filter_by", []))
    return items(validation.history(call.platform, _group(call), call.path["expectation_id"], filters))
