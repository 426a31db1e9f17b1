"""Feature groups: their metadata in the catalog and their Delta tables on disk.

The client writes the Delta table of a feature group itself, at the place that :func:`group_document` names, so the
catalog holds no data and no path: a home folder can be moved.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.exceptions import TableNotFoundError

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import (
    FEATURE_GROUP_NOT_FOUND,
    not_found,
)
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.store.features import EXTERNAL, STREAM
from deepcube.embedded.store.types import arrow_type

KIND = "feature_group"

Json = dict[str, Any]

#: Functions that add parts of other modules (tags, expectation suite, ...) to a group's document.
DOCUMENT_PARTS: list[Callable[[Platform, Entity, Json], None]] = []
#: Functions that say whether a project may read an entity of another project.
GRANTS: list[Callable[[Platform, Project, Entity], bool]] = []


def find_group(platform: Platform, project: Project, group_id: object) -> Entity:
    """Return a feature group that a project may read.

    Raises
    ------
    ApiError
        404 (270009) if there is none with this id, or it belongs to a project that does not share it.
    """
    entity = platform.catalog.get(group_id, KIND) if isinstance(group_id, int) else None
    if entity is None or not may_read(platform, project, entity):
        raise not_found(
            f"no feature group with id {group_id} in project {project.name!r}; it may have been deleted",
            FEATURE_GROUP_NOT_FOUND,
        )
    return entity


def own_group(platform: Platform, project: Project, group_id: int) -> Entity:
    """Return a feature group of the project itself, which alone may change it.

    Raises
    ------
    ApiError
        404 (270009) if the project has none with this id.
    """
    entity = find_group(platform, project, group_id)
    if entity.project_id != project.id:
        raise not_found(
            f"feature group {entity.name!r} belongs to another project and is shared read-only", FEATURE_GROUP_NOT_FOUND
        )
    return entity


def may_read(platform: Platform, project: Project, entity: Entity) -> bool:
    """Tell whether a project may read an entity: its own, or one that a grant shares with it."""
    return entity.project_id == project.id or any(grant(platform, project, entity) for grant in GRANTS)


def named_groups(platform: Platform, project: Project, name: str, version: int | None = None) -> list[Entity]:
    """Return the versions of a feature group.

    Raises
    ------
    ApiError
        404 (270009) if there is none.
    """
    found = platform.catalog.find(project.id, KIND, name=name, version=version)
    if not found:
        wanted = f"{name!r}" if version is None else f"{name!r} version {version}"
        raise not_found(f"no feature group named {wanted} in project {project.name!r}", FEATURE_GROUP_NOT_FOUND)
    return found


def materialization_job(entity: Entity) -> str:
    """Return the name of the job that writes a stream group's rows into its Delta table."""
    return f"{entity.name}_{entity.version}_offline_fg_materialization"


def has_log(body: Json) -> bool:
    """Tell whether a group's rows come over its topic: to its online table, or as a stream group."""
    return bool(body.get("onlineEnabled")) or body["type"] == STREAM


def append_columns(platform: Platform, project: Project, entity: Entity) -> list[str]:
    """Give the Delta table the columns that it lacks; rows that are there have no value in them.

    Returns
    -------
    list of str
        Names of the new columns.
    """
    table = delta_table(platform, project, entity)
    if table is None:
        return []
    present = {field.name for field in table.schema().fields}
    missing = [f for f in entity.body["features"] if f["name"] not in present]
    if missing:
        schema = pa.schema([pa.field(f["name"], arrow_type(f["type"])) for f in missing])
        table.alter.add_columns(list(Schema.from_arrow(schema).fields))
    return [f["name"] for f in missing]


def location(platform: Platform, project: Project, name: str, version: int) -> Path:
    """Return the folder of a feature group's Delta table."""
    return platform.files.project_folder(project.name) / f"{project.name}_featurestore.db" / f"{name}_{version}"


def delta_location(platform: Platform, project: Project, entity: Entity) -> Path:
    """Return the folder of a feature group's Delta table.

    Parameters
    ----------
    platform : Platform
        The platform.
    project : Project
        Project that asks; a shared group lies in the folder of the project that owns it.
    entity : Entity
        The feature group.
    """
    owner = project if project.id == entity.project_id else platform.project(entity.project_id)
    return location(platform, owner, entity.name, entity.version)


def delta_table(platform: Platform, project: Project, entity: Entity, version: int | None = None) -> DeltaTable | None:
    """Open the Delta table of a feature group, or return None if nothing was written yet.

    Parameters
    ----------
    version : int, optional
        Version of the table; the newest by default.
    """
    try:
        return DeltaTable(delta_location(platform, project, entity), version=version)
    except TableNotFoundError:
        return None


def arrow_schema(body: Json) -> pa.Schema:
    """Return the schema of a feature group's rows."""
    return pa.schema([pa.field(feature["name"], arrow_type(feature["type"])) for feature in body["features"]])


def primary_key(body: Json) -> list[str]:
    """Return the names of the primary key features."""
    return [feature["name"] for feature in body["features"] if feature["primary"]]


def event_time(body: Json) -> str | None:
    """Return the name of the event time feature, or None."""
    return body.get("eventTime")


def is_external(body: Json) -> bool:
    """Tell whether a group has no Delta table: its rows lie outside, or come with each call (a spine)."""
    return bool(body["type"] == EXTERNAL)


def topic(entity: Entity) -> str:
    """Return the topic on which the client sends rows of a group to the online store."""
    return f"{entity.project_id}_{entity.id}_{entity.name}_{entity.version}_onlinefs"


def group_document(platform: Platform, entity: Entity) -> Json:
    """Return a feature group as the REST API writes one.

    Tables and external files are described as lying in an S3 store without credentials: that is the one connector with
    which the client takes the location as it stands, a path on this machine, and leaves reading to the query service.
    """
    project = platform.project(entity.project_id)
    document = {
        **entity.body,
        "id": entity.id,
        "name": entity.name,
        "version": entity.version,
        "created": entity.created,
        "featurestoreId": project.id,
        "featurestoreName": project.featurestore_name,
        "onlineTopicName": topic(entity),
        "topicName": entity.body.get("topicName") or f"{project.name}_onlinefs",
        "features": [{**feature, "featureGroupId": entity.id} for feature in entity.body["features"]],
    }
    if not is_external(entity.body):
        path = str(location(platform, project, entity.name, entity.version))
        document["location"] = path
        document["dataSource"] = {"storageConnector": local_store(project), "path": path}
    elif "dataSource" in entity.body:
        document["dataSource"] = {**entity.body["dataSource"], "storageConnector": local_store(project)}
    for part in DOCUMENT_PARTS:
        part(platform, entity, document)
    return document


def local_store(project: Project) -> Json:
    """Return the connector document of the place where Delta tables lie."""
    return {
        "type": "featurestoreS3ConnectorDTO",
        "storageConnectorType": "S3",
        "id": project.id,
        "name": "embedded_store",
        "featurestoreId": project.id,
        "description": "folder of the embedded platform",
        "bucket": "",
        "arguments": [],
    }
