"""Deployments in the catalog: what is to be served, in which versions. What runs is in the module ``serving``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from deepcube.embedded.catalog import Entity, iso_time, now_ms
from deepcube.embedded.errors import SERVING_NOT_FOUND, ApiError, bad_request, not_found, unsupported
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime.environment import parse_variables
from deepcube.embedded.runtime.environments import check_environment, serving_environment
from deepcube.embedded.runtime.models import find_model
from deepcube.embedded.runtime.trees import Trees

DEPLOYMENT = "deployment"
VERSION = "deployment_version"
DUPLICATE = 240011
ILLEGAL_ARGUMENT = 240001
SCHEMA_NOT_FOUND = 240037
MAX_INSTANCES = 32

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
# What the server says of a deployment, and no client may set.
_OWN = {
    "id", "version", "created", "creator", "status", "condition", "availableInstances",
    "availableTransformerInstances", "hopsworksInferencePath", "modelServerInferencePath", "internalPort", "revision",
    "deployed", "projectNamespace", "missingMandatoryTags", "href", "tags",
}  # fmt: skip
# What belongs to a version, and comes back with it on a rollback; the rest is the same for all versions.
_VERSIONED = {
    "modelName", "modelVersion", "modelPath", "modelFramework", "modelServer", "predictor", "configFile",
    "predictorResources", "predictorScalingConfig", "predictorEnvVars", "predictorEnvironment", "requestedInstances",
    "transformer", "transformerResources", "transformerScalingConfig", "transformerEnvVars", "transformerEnvironment",
    "requestedTransformerInstances", "tracing", "featureLogging", "environmentDTO",
}  # fmt: skip


def find_deployment(platform: Platform, project: Project, deployment_id: int) -> Entity:
    """Return a deployment.

    Raises
    ------
    ApiError
        404 with code 240000 if the project has none with this id.
    """
    entity = platform.catalog.get(deployment_id, DEPLOYMENT)
    if entity is None or entity.project_id != project.id:
        raise not_found(f"no deployment with id {deployment_id} in project {project.name!r}", SERVING_NOT_FOUND)
    return entity


def deployment_named(platform: Platform, project: Project, name: str) -> Entity:
    """Return a deployment by name.

    Raises
    ------
    ApiError
        404 with code 240000 if there is none.
    """
    entity = platform.catalog.first(project.id, DEPLOYMENT, name=name)
    if entity is None:
        raise not_found(f"no deployment named {name!r} in project {project.name!r}", SERVING_NOT_FOUND)
    return entity


def artifact_folder(platform: Platform, project: Project, name: str, version: int) -> Path:
    """Return the folder of a version's scripts."""
    return platform.files.resolve(project.name, f"Deployments/{name}/{version}")


def instances(config: dict[str, Any], component: str) -> int:
    """Return how many processes of a component are to run; 0, "scale to zero", counts as 1."""
    scaling = config.get(f"{component}ScalingConfig") or {}
    key = "requestedInstances" if component == "predictor" else "requestedTransformerInstances"
    wanted = scaling.get("minInstances", config.get(key))
    return min(max(1, int(wanted or 1)), MAX_INSTANCES)


def save(
    platform: Platform, project: Project, document: dict[str, Any], creator: str, *, new_version: bool = False
) -> Entity:
    """Make a deployment, or change one.

    The scripts are copied below ``Deployments/<name>/<version>``, so what is served does not change with the files
    that it was made from. Scripts and metadata change together: after a crash in between, the next start finishes.

    Parameters
    ----------
    document : dict
        What the client sends; with an ``id`` it is a change.
    creator : str
        Who calls.
    new_version : bool
        Whether a change becomes a version of its own beside the ones there are.

    Raises
    ------
    ApiError
        If a name is taken, a model or script does not exist, or something is asked for that is not offered.
    """
    trees = platform.service(Trees)
    with platform.catalog.transaction():
        entity = _existing(platform, project, document)
        version = 1 if entity is None else entity.body["version"]
        if entity is not None and new_version:
            versions = platform.catalog.find(project.id, VERSION, parent_id=entity.id)
            version = 1 + max(known.version for known in versions)
        name = entity.name if entity is not None else _new_name(document)
        config = {field: value for field, value in document.items() if field not in _OWN and value is not None}
        config["name"] = name
        _check(platform, project, config)
        folder = artifact_folder(platform, project, name, version)
        steps = []
        for field in ("predictor", "transformer", "configFile"):
            if config.get(field):
                source = _script(platform, project, config[field], folder, field)
                target = folder / source.name
                if source != target:
                    steps.append(trees.place_later(trees.stage(source), target))
                config[field] = platform.files.public(target)
        entity = _store(platform, project, entity, config, version, creator)
    for step in steps:
        trees.execute(step)
    return entity


def _existing(platform: Platform, project: Project, document: dict[str, Any]) -> Entity | None:
    if document.get("id") is not None:
        return find_deployment(platform, project, int(document["id"]))
    name = document.get("name")
    if isinstance(name, str) and platform.catalog.first(project.id, DEPLOYMENT, name=name):
        raise ApiError(400, DUPLICATE, f"a deployment named {name!r} exists already; change it, or choose another name")
    return None


def _new_name(document: dict[str, Any]) -> str:
    name = document.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ApiError(400, ILLEGAL_ARGUMENT, f"{name!r} is not a deployment name; use letters and digits, at most 63")
    return name


def _check(platform: Platform, project: Project, config: dict[str, Any]) -> None:
    if config.get("modelServer") == "VLLM":
        raise unsupported("a deployment with vLLM", "serve the model from a predictor script of its own")
    if config.get("apiProtocol", "REST") != "REST":
        raise unsupported("a deployment with gRPC", "requests go over REST here; leave api_protocol at its default")
    if config.get("gitUrl"):
        raise unsupported("a deployment from a git repository", "pass the script as script_file")
    config.setdefault("apiProtocol", "REST")
    config.setdefault("modelServer", "PYTHON")
    config.setdefault("servingTool", "KSERVE")
    config.setdefault("requestedInstances", 1)
    config.setdefault("predictorScalingConfig", {"minInstances": config["requestedInstances"]})
    if config.get("transformer"):
        config.setdefault("requestedTransformerInstances", 1)
        config.setdefault("transformerScalingConfig", {"minInstances": config["requestedTransformerInstances"]})
    for field in ("predictorEnvVars", "transformerEnvVars"):
        parse_variables(config.get(field))
    for component in ("predictor", "transformer"):
        check_environment(platform, project, serving_environment(config, component))
    if config.get("modelName"):
        model = find_model(platform, project, f"{config['modelName']}_{config.get('modelVersion') or 1}")
        config["modelVersion"] = model.version
        config.setdefault("modelFramework", model.body.get("framework", "PYTHON"))
    elif not config.get("predictor"):
        raise ApiError(400, ILLEGAL_ARGUMENT, "a deployment needs a model or a predictor script; it has neither")


def _script(platform: Platform, project: Project, path: str, folder: Path, field: str) -> Path:
    """Return the place of a script: a path in the project, or the name of one that the deployment has already."""
    if "/" not in path and (folder / path).is_file():
        return folder / path
    place = platform.files.resolve(project.name, path)
    if not place.is_file():
        raise ApiError(400, ILLEGAL_ARGUMENT, f"the {field} {path} does not exist in project {project.name!r}")
    if field != "configFile" and place.suffix != ".py":
        raise ApiError(400, ILLEGAL_ARGUMENT, f"the {field} must be a .py file, found {place.name!r}")
    return place


def _store(
    platform: Platform, project: Project, entity: Entity | None, config: dict[str, Any], version: int, creator: str
) -> Entity:
    catalog, time = platform.catalog, iso_time(now_ms())
    if entity is None:
        body = {"config": config, "version": version, "revision": 1, "desired": "CREATED", "creator": creator}
        entity = catalog.add(project.id, DEPLOYMENT, config["name"], body)
    else:
        changed = {"config": config, "version": version, "revision": entity.body["revision"] + 1}
        entity = catalog.update(entity, entity.body | changed)
    kept = {field: value for field, value in config.items() if field in _VERSIONED}
    known = catalog.first(project.id, VERSION, parent_id=entity.id, version=version)
    if known is None:
        body = {"config": kept, "createdBy": creator, "updated": time, "updatedBy": creator}
        catalog.add(project.id, VERSION, entity.name, body, version=version, parent_id=entity.id)
    else:
        catalog.update(known, known.body | {"config": kept, "updated": time, "updatedBy": creator})
    return entity


def rollback(platform: Platform, project: Project, entity: Entity, version: int) -> Entity:
    """Make an earlier version the active one.

    Raises
    ------
    ApiError
        If there is no such version.
    """
    with platform.catalog.transaction():
        entity = find_deployment(platform, project, entity.id)
        known = platform.catalog.first(project.id, VERSION, parent_id=entity.id, version=version)
        if known is None:
            raise bad_request(f"deployment {entity.name!r} has no version {version}", ILLEGAL_ARGUMENT)
        common = {field: value for field, value in entity.body["config"].items() if field not in _VERSIONED}
        changed = {"config": common | known.body["config"], "version": version, "revision": entity.body["revision"] + 1}
        return platform.catalog.update(entity, entity.body | changed)


def version_documents(platform: Platform, entity: Entity) -> list[dict[str, Any]]:
    """Return the versions of a deployment, newest first."""
    versions = platform.catalog.find(entity.project_id, VERSION, parent_id=entity.id, newest_first=True)
    return [
        {
            **version.body["config"],
            "version": version.version,
            "active": version.version == entity.body["version"],
            "created": version.created,
            "createdBy": version.body["createdBy"],
            "updated": version.body["updated"],
            "updatedBy": version.body["updatedBy"],
        }
        for version in versions
    ]


def set_desired(platform: Platform, entity: Entity, desired: str) -> Entity:
    """Write down whether a deployment is to run, so that a restarted server knows."""
    with platform.catalog.transaction():
        current = platform.catalog.get(entity.id, DEPLOYMENT) or entity
        return platform.catalog.update(current, current.body | {"desired": desired})


def remove(platform: Platform, project: Project, entity: Entity) -> None:
    """Remove a stopped deployment with its versions and scripts; its archived logs stay."""
    trees = platform.service(Trees)
    with platform.catalog.transaction():
        platform.catalog.remove(entity)
        step = trees.remove_later(platform.files.resolve(project.name, f"Deployments/{entity.name}"))
    trees.execute(step)


def deployment_document(platform: Platform, entity: Entity, state: dict[str, Any]) -> dict[str, Any]:
    """Return a deployment as the REST API writes one.

    Parameters
    ----------
    state : dict
        Status, condition and instances, from what runs.
    """
    project = platform.project(entity.project_id)
    return {
        **entity.body["config"],
        "id": entity.id,
        "name": entity.name,
        "version": entity.body["version"],
        "created": entity.created,
        "creator": entity.body["creator"],
        "projectNamespace": project.name,
        "hopsworksInferencePath": f"/project/{project.id}/inference/models/{entity.name}:predict",
        "modelServerInferencePath": f"/v1/models/{entity.name}:predict",
        "internalPort": platform.settings.ports["rest"],
        "revision": entity.body["revision"],
        "missingMandatoryTags": [],
        **state,
    }
