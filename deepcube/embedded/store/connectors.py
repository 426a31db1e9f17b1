"""Storage connectors: names for folders of the project's own file system, from which external feature groups are read.

A connector to another system (a database, a bucket) needs a way to it and keeps its secrets; a cluster has both.
"""

from __future__ import annotations

from typing import Any

from deepcube.embedded.catalog import DuplicateEntityError, Entity
from deepcube.embedded.errors import CONNECTOR_NOT_FOUND, bad_request, conflict, not_found, unsupported
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.store.datasets import training_store

KIND = "storage_connector"
HOPSFS = "HOPSFS"
_EXISTS = 270035

Json = dict[str, Any]


def all_connectors(platform: Platform, project: Project) -> list[Json]:
    """Return the connectors of a project: the one of its training datasets and those that users made."""
    made = platform.catalog.find(project.id, KIND)
    return [training_store(project), *(connector_document(entity) for entity in made)]


def find_connector(platform: Platform, project: Project, name: str) -> Json:
    """Return a connector by name.

    Raises
    ------
    ApiError
        404 (270042) if there is none.
    """
    for connector in all_connectors(platform, project):
        if connector["name"] == name:
            return connector
    raise not_found(f"project {project.name!r} has no storage connector {name!r}", CONNECTOR_NOT_FOUND)


def create_connector(platform: Platform, project: Project, document: Json) -> Json:
    """Make a connector from the client's document.

    Raises
    ------
    ApiError
        400 if it is not valid or the name is taken, 501 if it leads out of the project.
    """
    body = _checked(platform, project, document)
    name = document.get("name")
    if not isinstance(name, str) or not name.isidentifier() or name == training_store(project)["name"]:
        raise bad_request(f"{name!r} cannot be the name of a storage connector; use letters, digits, underscores")
    try:
        return connector_document(platform.catalog.add(project.id, KIND, name, body))
    except DuplicateEntityError:
        raise conflict(f"there is a storage connector {name!r} already", _EXISTS) from None


def update_connector(platform: Platform, project: Project, name: str, document: Json) -> Json:
    """Change a connector that a user made.

    Raises
    ------
    ApiError
        404 if there is none, 400 if the document is not valid.
    """
    body = _checked(platform, project, document)
    return connector_document(platform.catalog.update(_made(platform, project, name), body))


def delete_connector(platform: Platform, project: Project, name: str) -> None:
    """Remove a connector that a user made; the files stay.

    Raises
    ------
    ApiError
        404 if there is none.
    """
    platform.catalog.remove(_made(platform, project, name))


def _made(platform: Platform, project: Project, name: str) -> Entity:
    entity = platform.catalog.first(project.id, KIND, name=name)
    if entity is None:
        raise not_found(f"project {project.name!r} has no storage connector {name!r} of a user", CONNECTOR_NOT_FOUND)
    return entity


def _checked(platform: Platform, project: Project, document: Json) -> Json:
    kind = document.get("storageConnectorType")
    if kind != HOPSFS:
        raise unsupported(
            f"a storage connector of type {kind}", f"here they lead to the project's own files only; use {HOPSFS}"
        )
    path = document.get("hopsfsPath") or document.get("datasetName")
    if not isinstance(path, str) or not path:
        raise bad_request("a HOPSFS storage connector needs hopsfs_path, a folder of the project")
    place = platform.files.existing(project.name, path)
    return {"description": document.get("description") or "", "hopsfsPath": platform.files.public(place)}


def connector_document(entity: Entity) -> Json:
    """Return a connector as the REST API writes one."""
    return {
        **entity.body,
        "type": "featurestoreHopsfsConnectorDTO",
        "storageConnectorType": HOPSFS,
        "id": entity.id,
        "name": entity.name,
        "featurestoreId": entity.project_id,
        "datasetName": entity.body["hopsfsPath"].split("/")[3] if entity.body["hopsfsPath"].count("/") > 2 else "",
    }


def source_path(platform: Platform, project: Project, source: Json) -> str:
    """Return the place that a data source of an external feature group names, as the client names places.

    Raises
    ------
    ApiError
        404 if connector or place is missing, 501 if the connector leads out of the project.
    """
    named = source.get("storageConnector") or {}
    if named.get("storageConnectorType") != HOPSFS:
        raise unsupported(
            f"an external feature group of a {named.get('storageConnectorType')} connector",
            f"files of the project can be read as one; use a {HOPSFS} connector",
        )
    base = find_connector(platform, project, str(named.get("name")))["hopsfsPath"]
    path = source.get("path") or ""
    whole = path if path.startswith(("/", "hopsfs:", "hdfs:")) else f"{base}/{path}"
    return platform.files.public(platform.files.existing(project.name, whole))
