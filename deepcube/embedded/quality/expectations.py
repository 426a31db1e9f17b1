"""Great Expectations suites of feature groups, and the reports of their validation.

The client runs the validation; here the suite, its ingestion policy, and every report are kept. Each expectation
carries its own id in its ``meta``, so that a report's results can be told apart and listed over time.
"""

from __future__ import annotations

import json
from typing import Any

from deepcube.embedded.catalog import DuplicateEntityError, Entity
from deepcube.embedded.errors import bad_request, conflict, not_found
from deepcube.embedded.keys import OWNER, User
from deepcube.embedded.platform import Platform
from deepcube.embedded.quality import activities, checks

SUITE = "expectation_suite"
EXPECTATION = "expectation"
SUITE_EXISTS = 270224
SUITE_NOT_FOUND = 270223
EXPECTATION_NOT_FOUND = 270225
POLICIES = ("ALWAYS", "STRICT")

_SUITE_FIELDS = ("expectationSuiteName", "meta", "geCloudId", "dataAssetType", "runValidation")


def _suite_body(document: dict[str, Any]) -> dict[str, Any]:
    policy = str(document.get("validationIngestionPolicy") or "ALWAYS").upper()
    if policy not in POLICIES:
        raise bad_request(f"validationIngestionPolicy is {policy!r}; expected one of {', '.join(POLICIES)}")
    body = {field: document.get(field) for field in _SUITE_FIELDS}
    checks.name(body["expectationSuiteName"], "expectationSuiteName")
    body["runValidation"] = document.get("runValidation") is not False
    return {**body, "meta": _json_text(body["meta"], "meta"), "validationIngestionPolicy": policy}


def _json_text(value: Any, field: str) -> str:
    """Return a JSON object as text, in which form the client exchanges it, so that its keys are left alone."""
    try:
        content = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise bad_request(f"{field} is not JSON: {error}") from None
    if content is not None and not isinstance(content, dict):
        raise bad_request(f"{field} must be a JSON object, found {type(content).__name__}")
    return json.dumps(content or {})


def find_suite(platform: Platform, group: Entity) -> Entity | None:
    """Return the suite of a feature group, or None."""
    return platform.catalog.first(group.project_id, SUITE, parent_id=group.id)


def suite(platform: Platform, group: Entity, suite_id: int) -> Entity:
    """Return the suite of a feature group by id.

    Raises
    ------
    ApiError
        404 if the group has no suite with this id.
    """
    found = platform.catalog.get(suite_id, SUITE)
    if found is None or found.parent_id != group.id:
        raise not_found(f"feature group {group.name!r} has no expectation suite with id {suite_id}", SUITE_NOT_FOUND)
    return found


def create_suite(platform: Platform, group: Entity, document: dict[str, Any], user: User = OWNER) -> Entity:
    """Attach a suite to a feature group.

    Raises
    ------
    ApiError
        400 if it has one already, or the document is wrong.
    """
    with platform.catalog.transaction():
        try:
            created = platform.catalog.add(group.project_id, SUITE, "suite", _suite_body(document), parent_id=group.id)
        except DuplicateEntityError:
            raise conflict(
                f"feature group {group.name!r} has an expectation suite already; pass overwrite=True to replace it",
                SUITE_EXISTS,
            ) from None
        _set_expectations(platform, created, checks.objects(document.get("expectations"), "expectations"))
        _tell(platform, group, created, "An expectation suite was attached to the feature group", user)
    return created


def update_suite(
    platform: Platform, group: Entity, suite_id: int, document: dict[str, Any], *, metadata_only: bool, user: User
) -> Entity:
    """Replace a suite, or only what is not its expectations.

    Expectations that carry a known id keep it, and so their history; those that are no longer named are removed.
    """
    with platform.catalog.transaction():
        updated = platform.catalog.update(suite(platform, group, suite_id), _suite_body(document))
        if not metadata_only:
            _set_expectations(platform, updated, checks.objects(document.get("expectations"), "expectations"))
        _tell(platform, group, updated, "The expectation suite of the feature group was changed", user)
    return updated


def delete_suite(platform: Platform, group: Entity, suite_id: int, user: User) -> None:
    """Detach a suite; the reports of earlier validations stay."""
    with platform.catalog.transaction():
        platform.catalog.remove(suite(platform, group, suite_id))
        activities.record(
            platform,
            group,
            activities.EXPECTATIONS,
            "The expectation suite of the feature group was removed",
            user=user,
        )


def _tell(platform: Platform, group: Entity, attached: Entity, message: str, user: User) -> None:
    detail = {"expectationSuite": suite_document(platform, group, attached)}
    activities.record(platform, group, activities.EXPECTATIONS, message, user=user, detail=detail)


def _set_expectations(platform: Platform, attached: Entity, documents: list[dict[str, Any]]) -> None:
    known = {entity.id: entity for entity in expectations(platform, attached)}
    for document in documents:
        current = known.pop(_expectation_id(document), None)
        if current is None:
            add_expectation(platform, attached, document)
        else:
            _write_expectation(platform, current, document)
    for entity in known.values():
        platform.catalog.remove(entity)


def _expectation_id(document: dict[str, Any]) -> int:
    meta = json.loads(_json_text(document.get("meta"), "meta"))
    found = document.get("id") or meta.get("expectationId") or 0
    return found if isinstance(found, int) else 0


def expectations(platform: Platform, attached: Entity) -> list[Entity]:
    """Return the expectations of a suite, oldest first."""
    return platform.catalog.find(attached.project_id, EXPECTATION, parent_id=attached.id)


def expectation(platform: Platform, attached: Entity, expectation_id: int) -> Entity:
    """Return an expectation of a suite by id.

    Raises
    ------
    ApiError
        404 if the suite has none with this id.
    """
    found = platform.catalog.get(expectation_id, EXPECTATION)
    if found is None or found.parent_id != attached.id:
        raise not_found(f"the suite has no expectation with id {expectation_id}", EXPECTATION_NOT_FOUND)
    return found


def add_expectation(platform: Platform, attached: Entity, document: dict[str, Any]) -> Entity:
    """Add an expectation to a suite.

    Raises
    ------
    ApiError
        400 if the document names no type.
    """
    catalog, kind = platform.catalog, checks.name(document.get("expectationType"), "expectationType")
    with catalog.transaction():
        number = catalog.next_version(attached.project_id, EXPECTATION, kind, attached.id)
        added = catalog.add(attached.project_id, EXPECTATION, kind, {}, version=number, parent_id=attached.id)
        return _write_expectation(platform, added, document)


def update_expectation(platform: Platform, attached: Entity, expectation_id: int, document: dict[str, Any]) -> Entity:
    """Replace what an expectation demands; its id stays."""
    return _write_expectation(platform, expectation(platform, attached, expectation_id), document)


def _write_expectation(platform: Platform, entity: Entity, document: dict[str, Any]) -> Entity:
    meta = json.loads(_json_text(document.get("meta"), "meta"))
    body = {
        "expectationType": checks.name(document.get("expectationType") or entity.name, "expectationType"),
        "kwargs": _json_text(document.get("kwargs"), "kwargs"),
        "meta": json.dumps({**meta, "expectationId": entity.id}),
    }
    return platform.catalog.update(entity, body)


def expectation_document(entity: Entity) -> dict[str, Any]:
    """Return an expectation as the REST API writes one."""
    return {"id": entity.id, **entity.body}


def suite_document(platform: Platform, group: Entity, attached: Entity) -> dict[str, Any]:
    """Return a suite as the REST API writes one."""
    return {
        "id": attached.id,
        "featureStoreId": group.project_id,
        "featureGroupId": group.id,
        **attached.body,
        "expectations": [expectation_document(entity) for entity in expectations(platform, attached)],
    }
