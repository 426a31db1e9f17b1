"""Feature groups: make, find, change, empty and remove them."""

from __future__ import annotations

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import unsupported
from deepcube.embedded.platform import Project
from deepcube.embedded.routing import Call, Json, Routes, items
from deepcube.embedded.runtime.builtin import job_document
from deepcube.embedded.store import group_changes, groups, removal, schemas

routes = Routes("/project/{project_id:int}/featurestores/{featurestore_id:int}/featuregroups")


def group_of(call: Call) -> Entity:
    """Return the feature group that a path names by id, which must belong to the project."""
    return groups.own_group(call.platform, call.project, call.path["group_id"])


def _store(call: Call) -> Project:
    """Return the project whose feature store a path names: the caller's, or one that shares with it."""
    return call.platform.project(call.path["featurestore_id"])


@routes.get()
def all_groups(call: Call) -> Json:
    """List the feature groups of a feature store that the caller's project may read."""
    found = call.platform.catalog.find(_store(call).id, groups.KIND)
    readable = [group for group in found if groups.may_read(call.platform, call.project, group)]
    return items([groups.group_document(call.platform, group) for group in readable])


@routes.post()
def create(call: Call) -> Json:
    """Make a feature group."""
    group = group_changes.create_group(call.platform, call.project, call.document)
    return groups.group_document(call.platform, group)


@routes.get("/{group_id:int}")
def by_id(call: Call) -> Json:
    """Return a feature group by id."""
    group = groups.find_group(call.platform, call.project, call.path["group_id"])
    return groups.group_document(call.platform, group)


@routes.get("/{name}")
def by_name(call: Call) -> Json:
    """Return the versions of a feature group, or the one asked for, as a list."""
    found = groups.named_groups(call.platform, _store(call), call.path["name"], call.integer("version"))
    return [groups.group_document(call.platform, group) for group in found]


@routes.put("/{group_id:int}")
def update(call: Call) -> Json:
    """Change what can be changed of a feature group."""
    document = call.document
    if call.parameter("deprecate") is not None:
        document = {"deprecated": call.flag("deprecate")}
    group = group_changes.update_group(call.platform, group_of(call), document)
    return groups.group_document(call.platform, group)


@routes.delete("/{group_id:int}")
def delete(call: Call) -> Json:
    """Remove a feature group with its data."""
    removal.remove_group(
        call.platform, group_of(call), force=call.flag("force"), with_views=call.flag("deleteFeatureViews")
    )


@routes.post("/{group_id:int}/clear")
def clear(call: Call) -> Json:
    """Remove the rows of a feature group; the client overwrites with it."""
    group_changes.clear_group(call.platform, group_of(call))


@routes.post("/{group_id:int}/updatetableschema")
def update_table_schema(call: Call) -> Json:
    """Give the Delta table the features that were appended, and return the job that does so."""
    return job_document(call.platform, schemas.start_job(call.platform, call.project, group_of(call)))


@routes.post("/{group_id:int}/ingestion")
def ingestion(call: Call) -> Json:
    """Refuse ingestion by a Spark job."""
    raise unsupported("ingestion by a Spark job", "create the feature group with time_travel_format='DELTA'")
