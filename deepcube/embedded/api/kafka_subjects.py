"""Subjects: the Avro schemas with which the client encodes rows for the broker."""

from __future__ import annotations

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request, not_found
from deepcube.embedded.online import subjects
from deepcube.embedded.routing import Call, Json, Routes
from deepcube.embedded.store.groups import named_groups

routes = Routes("/project/{project_id:int}/featurestores/{featurestore_id:int}/kafka/subjects/{subject}")

SUBJECT_NOT_FOUND = 190020


def _group(call: Call) -> Entity:
    """Return the feature group of a subject, which is named ``<name>_<version>``."""
    name, _, version = call.path["subject"].rpartition("_")
    if not name or not version.isdigit():
        raise bad_request(f"subject {call.path['subject']!r} must be the name and version of a feature group")
    return named_groups(call.platform, call.project, name, int(version))[0]


@routes.get("/versions/latest")
def latest(call: Call) -> Json:
    """Return the schema of the feature group's features as they are now."""
    return subjects.subject_document(call.platform, subjects.current_subject(call.platform, _group(call)))


@routes.get("/versions/{version:int}")
def by_version(call: Call) -> Json:
    """Return an older schema."""
    group, version = _group(call), call.path["version"]
    found = call.platform.catalog.first(group.project_id, subjects.KIND, parent_id=group.id, version=version)
    if found is None:
        raise not_found(f"subject {call.path['subject']!r} has no version {version}", SUBJECT_NOT_FOUND)
    return subjects.subject_document(call.platform, found)


@routes.get("/versions")
def versions(call: Call) -> Json:
    """List the numbers of the versions."""
    group = _group(call)
    subjects.current_subject(call.platform, group)
    found = call.platform.catalog.find(group.project_id, subjects.KIND, parent_id=group.id)
    return [subject.version for subject in found]
