"""What happens here when a feature group is made, described, shared or written to.

The store does not know of this package; it calls the functions that are registered with it. :func:`register` does so,
once per process.
"""

from __future__ import annotations

from typing import Any, TypeVar

from deepcube.embedded import access
from deepcube.embedded.catalog import Entity
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.quality import activities, expectations, provenance, tagging
from deepcube.embedded.quality.compute import StatisticsService
from deepcube.embedded.store import commits, datasets, group_changes, groups, views

# A place that cannot be made: the client writes Delta tables itself, and must fail where it may not.
READ_ONLY = "/proc/this-feature-group-is-read-only-for-you"

Json = dict[str, Any]
_Function = TypeVar("_Function")


def register() -> None:
    """Register the functions below with the store."""
    _add(group_changes.CREATE_HOOKS, group_created)
    _add(groups.DOCUMENT_PARTS, describe_group)
    _add(groups.GRANTS, may_read_group)
    _add(commits.COMMIT_HOOKS, group_committed)
    _add(views.CREATE_HOOKS, view_created)
    _add(datasets.CREATE_HOOKS, dataset_created)
    _add(datasets.USERS, provenance.users_of)


def _add(functions: list[_Function], function: _Function) -> None:
    if function not in functions:
        functions.append(function)


def group_created(platform: Platform, project: Project, group: Entity, document: Json) -> None:
    """Keep the tags, the parents and the expectation suite that came with a new feature group."""
    provenance.note_group(platform, project, group, document)
    activities.record(platform, group, activities.METADATA, "The feature group was created")
    tagging.set_tags(platform, group, document.get("tags"))
    if document.get("expectationSuite"):
        expectations.create_suite(platform, group, document["expectationSuite"])


def view_created(platform: Platform, project: Project, view: Entity, document: Json) -> None:
    """Keep the tags of a new feature view and the feature groups that it uses."""
    provenance.note_view(platform, project, view, document)
    activities.record(platform, view, activities.METADATA, "The feature view was created")
    tagging.set_tags(platform, view, document.get("tags"))


def dataset_created(platform: Platform, project: Project, dataset: Entity, document: Json) -> None:
    """Keep the tags that came with a new training dataset."""
    activities.record(platform, dataset, activities.METADATA, "The training dataset was created")
    tagging.set_tags(platform, dataset, document.get("tags"))


def describe_group(platform: Platform, group: Entity, document: Json) -> None:
    """Add the expectation suite to the document of a feature group; hide its place from who may only read.

    Tags are not part of it: the client asks for them by themselves, and cannot read them here.
    """
    suite = expectations.find_suite(platform, group)
    if suite is not None:
        document["expectationSuite"] = expectations.suite_document(platform, group, suite)
    if "location" in document and not access.may_write(group):
        place = f"{READ_ONLY}/{group.name}_{group.version}"
        document["location"] = place
        document["dataSource"] = {**document["dataSource"], "path": place}


def may_read_group(platform: Platform, project: Project, group: Entity) -> bool:
    """Tell whether a feature group is shared with a project."""
    return group.kind == groups.KIND and access.shares_group(platform, group, project.id)


def group_committed(platform: Platform, project: Project, group: Entity, commit: Entity) -> None:
    """Write the commit into the activity log and compute its statistics soon."""
    detail = {"commit": {key: commit.body[key] for key in ("commitTime", "rowsInserted", "rowsUpdated", "rowsDeleted")}}
    activities.record(platform, group, activities.COMMIT, "Rows were written to the feature group", detail=detail)
    platform.service(StatisticsService).schedule(group, commit)
