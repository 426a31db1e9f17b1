"""Model versions in the catalog, and the best of them by a metric."""

from __future__ import annotations

import math
import re
import secrets
from dataclasses import dataclass
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import MODEL_NOT_FOUND, PATH_NOT_FOUND, ApiError, bad_request, not_found
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime.trees import Trees

MODEL = "model"
FRAMEWORKS = ("TENSORFLOW", "TORCH", "PYTHON", "SKLEARN", "LLM")

_NAME = re.compile(r"[a-zA-Z0-9_]{1,255}")
_KEPT = (
    "description",
    "framework",
    "metrics",
    "environment",
    "program",
    "featureView",
    "trainingDatasetVersion",
    "jobName",
    "experimentId",
    "experimentProjectName",
)


@dataclass(frozen=True)
class Found:
    """Models that a search has found.

    Attributes
    ----------
    count : int
        How many there are in all.
    page : list of Entity
        Those asked for.
    """

    count: int
    page: list[Entity]


def parse_key(key: str) -> tuple[str, int, str]:
    """Split the key of a model version.

    Parameters
    ----------
    key : str
        ``<name>_<version>``, as the client builds it, or ``<name>_<version>-<token>``, the id that it was given.

    Returns
    -------
    name : str
        Name of the model.
    version : int
        Version.
    token : str
        Empty if the key has none.

    Raises
    ------
    ApiError
        If it is neither.
    """
    plain, _, token = key.partition("-")
    name, _, version = plain.rpartition("_")
    if not _NAME.fullmatch(name) or not version.isdecimal() or int(version) < 1:
        raise bad_request(f"{key!r} does not name a model version; expected <name>_<version>, letters, digits and _")
    return name, int(version), token


def find_model(platform: Platform, project: Project, key: str) -> Entity:
    """Return a model version by its key or id.

    Raises
    ------
    ApiError
        404 with code 360000 if there is none (or the id is that of a removed one of the same name and version).
    """
    name, version, token = parse_key(key)
    entity = platform.catalog.first(project.id, MODEL, name=name, version=version)
    if entity is None or token not in ("", entity.body["token"]):
        raise not_found(f"no model {name!r} version {version} in project {project.name!r}", MODEL_NOT_FOUND)
    return entity


def model_document(platform: Platform, entity: Entity) -> dict[str, Any]:
    """Return a model version as the REST API writes one.

    Its id carries a token that no other registration shares: the client caches downloads under the id, so a version
    that was removed and made anew, here or on another platform, is not mistaken for the old one.
    """
    project = platform.project(entity.project_id)
    key = f"{entity.name}_{entity.version}"
    document = {field: value for field, value in entity.body.items() if field in _KEPT and value is not None}
    return {
        **document,
        "id": f"{key}-{entity.body['token']}",
        "href": f"{platform.rest_url}/project/{project.id}/modelregistries/{project.id}/models/{key}",
        "name": entity.name,
        "version": entity.version,
        "created": entity.created_ms,
        "creator": entity.body["creator"]["email"],
        "userFullName": f"{entity.body['creator']['firstName']} {entity.body['creator']['lastName']}",
        "projectName": project.name,
        "modelRegistryId": project.id,
    }


def save(platform: Platform, project: Project, key: str, body: dict[str, Any], creator: dict[str, object]) -> Entity:
    """Register a model version whose files are uploaded, or replace the metadata of one.

    Raises
    ------
    ApiError
        If the name, the framework or a metric is not usable, or the version has no folder in ``Models``.
    """
    name, version, _ = parse_key(key)
    content = {field: body[field] for field in _KEPT if body.get(field) is not None}
    _check(content)
    if "metrics" in content:
        content["metrics"] = {name: _finite(value) for name, value in content["metrics"].items()}
    if not platform.files.resolve(project.name, f"Models/{name}/{version}").is_dir():
        raise not_found(f"Models/{name}/{version} does not exist; upload the model's files first", PATH_NOT_FOUND)
    with platform.catalog.transaction():
        entity = platform.catalog.first(project.id, MODEL, name=name, version=version)
        if entity is not None:
            return platform.catalog.update(entity, entity.body | content)
        content |= {"token": secrets.token_hex(8), "creator": creator}
        return platform.catalog.add(project.id, MODEL, name, content, version=version)


def amend(platform: Platform, entity: Entity, changes: dict[str, Any]) -> Entity:
    """Change what may change after registration: framework and description."""
    allowed: dict[str, Any] = {field: changes[field] for field in ("framework", "description") if field in changes}
    if not allowed or set(changes) - set(allowed):
        raise bad_request(f"of a model version, framework and description can change, found {sorted(changes)}")
    _check(allowed)
    return platform.catalog.update(entity, entity.body | allowed)


def remove(platform: Platform, project: Project, entity: Entity) -> None:
    """Remove a model version with its files; a crash in between is made good at the next start."""
    trees = platform.service(Trees)
    with platform.catalog.transaction():
        platform.catalog.remove(entity)
        step = trees.remove_later(platform.files.resolve(project.name, f"Models/{entity.name}/{entity.version}"))
    trees.execute(step)


def search(
    platform: Platform,
    project: Project,
    *,
    name: str | None = None,
    sort_by: str | None = None,
    offset: int = 0,
    limit: int | None = None,
) -> Found:
    """Find models.

    Parameters
    ----------
    name : str, optional
        Only versions of this model.
    sort_by : str, optional
        ``<metric>:asc`` or ``<metric>:desc``; versions without that metric, or for which it is not a number, are left
        out, so that a missing metric never wins. Equal ones: the newer first.
    offset, limit : int
        The page.
    """
    entities = platform.catalog.find(project.id, MODEL, name=name)
    if sort_by:
        metric, _, direction = sort_by.rpartition(":")
        scored = [(score, entity) for entity in entities if (score := _metric(entity, metric)) is not None]
        sign = -1.0 if direction.lower() == "desc" else 1.0
        scored.sort(key=lambda pair: (sign * pair[0], -pair[1].id))
        entities = [entity for _, entity in scored]
    end = None if limit is None else offset + limit
    return Found(len(entities), entities[offset:end])


def _metric(entity: Entity, name: str) -> float | None:
    try:
        value = float((entity.body.get("metrics") or {})[name])
    except (KeyError, TypeError, ValueError):
        return None
    return None if math.isnan(value) else value


def _finite(value: Any) -> Any:
    """Return a metric as JSON can hold it: what is not finite is no value."""
    try:
        return value if math.isfinite(float(value)) else None
    except (TypeError, ValueError):
        return value


def _check(content: dict[str, Any]) -> None:
    framework = content.get("framework")
    if framework is not None and framework not in FRAMEWORKS:
        raise bad_request(f"unknown framework {framework!r}; known are {', '.join(FRAMEWORKS)}")
    metrics = content.get("metrics")
    if metrics is not None and not isinstance(metrics, dict):
        raise ApiError(400, 120001, f"metrics map names to numbers, found {type(metrics).__name__}")
