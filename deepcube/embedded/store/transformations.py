"""Transformation functions: the source of users' functions, kept by name and version, and never run by the server."""

from __future__ import annotations

from typing import Any

from deepcube.embedded.catalog import DuplicateEntityError, Entity
from deepcube.embedded.errors import TRANSFORMATION_NOT_FOUND, bad_request, conflict, not_found
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.store.names import check_version

KIND = "transformation_function"
_EXISTS = 270161
_BUILT_IN = ("min_max_scaler", "standard_scaler", "robust_scaler", "label_encoder")

Json = dict[str, Any]


def create_function(platform: Platform, project: Project, document: Json) -> Entity:
    """Keep a transformation function.

    Raises
    ------
    ApiError
        400 if the document is not one, or the version exists.
    """
    function = document.get("hopsworksUdf") or {}
    name = function.get("name")
    if not isinstance(name, str) or not name.isidentifier() or not isinstance(function.get("sourceCode"), str):
        raise bad_request("a transformation function needs the name and the source code of a Python function")
    version = check_version(document.get("version"), "transformation function")
    with platform.catalog.transaction():
        if version is None:
            version = platform.catalog.next_version(project.id, KIND, name)
        try:
            return platform.catalog.add(project.id, KIND, name, {"hopsworksUdf": function}, version=version)
        except DuplicateEntityError:
            raise conflict(f"transformation function {name!r} version {version} exists already", _EXISTS) from None


def find_functions(platform: Platform, project: Project, name: str | None, version: int | None) -> list[Entity]:
    """Return the transformation functions of a name and version, or all.

    Raises
    ------
    ApiError
        404 (270160) if there is none of the name asked for.
    """
    found = platform.catalog.find(project.id, KIND, name=name, version=version)
    if not found and name is not None:
        wanted = f"{name!r}" + (f" version {version}" if version is not None else "")
        raise not_found(
            f"no transformation function {wanted} in project {project.name!r}; those built into the client "
            f"({', '.join(_BUILT_IN)}, ...) are imported from hopsworks.hsfs.builtin_transformations",
            TRANSFORMATION_NOT_FOUND,
        )
    return found


def find_function(platform: Platform, project: Project, identifier: int) -> Entity:
    """Return a transformation function by id.

    Raises
    ------
    ApiError
        404 (270160) if the project has none with this id.
    """
    entity = platform.catalog.get(identifier, KIND)
    if entity is None or entity.project_id != project.id:
        raise not_found(f"no transformation function with id {identifier}", TRANSFORMATION_NOT_FOUND)
    return entity


def function_document(entity: Entity) -> Json:
    """Return a transformation function as the REST API writes one.

    It says nothing of its type: which one it is, on-demand or model-dependent, is decided where it is attached.
    """
    return {**entity.body, "id": entity.id, "version": entity.version, "featurestoreId": entity.project_id}
