"""Deployments: make, start, stop, change, watch."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request, not_found, unsupported
from deepcube.embedded.quality import tagging
from deepcube.embedded.routing import Call, Json, Routes
from deepcube.embedded.runtime import deployments
from deepcube.embedded.runtime.deployments import DEPLOYMENT, SCHEMA_NOT_FOUND, deployment_document, find_deployment
from deepcube.embedded.runtime.logs import stamped_tail
from deepcube.embedded.runtime.serving import Serving

routes = Routes("/project/{project_id:int}/serving")

_LOG_BYTES = 1024 * 1024


def _document(call: Call, entity: Entity) -> Json:
    return deployment_document(call.platform, entity, call.platform.service(Serving).state(entity))


def _deployment(call: Call) -> Entity:
    return find_deployment(call.platform, call.project, call.path["id"])


@routes.get("")
def find(call: Call) -> Json:
    """Return the deployment of a name, or list all, by model and status if asked."""
    name = call.parameter("name")
    if name is not None:
        return _document(call, deployments.deployment_named(call.platform, call.project, name))
    found = [_document(call, entity) for entity in call.platform.catalog.find(call.project.id, DEPLOYMENT)]
    model, status = call.parameter("model"), call.parameter("status")
    if model not in (None, "None"):
        found = [document for document in found if document.get("modelName") == model]
    if status not in (None, "None"):
        found = [document for document in found if document["status"].lower() == str(status).lower()]
    return found


@routes.put("")
def save(call: Call) -> Json:
    """Make a deployment, or change one; a running one takes the change over."""
    new_version = call.flag("newVersion")
    entity = deployments.save(call.platform, call.project, call.document, call.user.email, new_version=new_version)
    with call.platform.catalog.transaction():
        tagging.set_tags(call.platform, entity, call.document.get("tags"))
    call.platform.service(Serving).update(call.project, entity)
    return _document(call, entity)


@routes.get("/vllmImageTags")
def vllm_images(call: Call) -> Json:
    """Refuse: there is no vLLM here."""
    raise unsupported(
        "ModelServing.get_vllm_image_tags", "there is no vLLM; serve the model from a predictor script of its own"
    )


@routes.get("/{id:int}")
def read(call: Call) -> Json:
    """Return a deployment with its state."""
    return _document(call, _deployment(call))


@routes.post("/{id:int}")
def act(call: Call) -> None:
    """Start or stop a deployment."""
    action, entity = (call.parameter("action") or "").upper(), _deployment(call)
    serving = call.platform.service(Serving)
    if action == "START":
        serving.start(call.project, entity)
    elif action == "STOP":
        serving.stop(entity)
    else:
        raise bad_request(f"a deployment can START or STOP, found action {action!r}")


@routes.delete("/{id:int}")
def remove(call: Call) -> None:
    """Remove a deployment, stopping it if it runs."""
    call.platform.service(Serving).remove(call.project, _deployment(call))


@routes.get("/{id:int}/versions")
def versions(call: Call) -> Json:
    """List the versions of a deployment, newest first."""
    documents = deployments.version_documents(call.platform, _deployment(call))
    offset = call.integer("offset", 0) or 0
    limit = call.integer("limit") or len(documents)
    return {"count": len(documents), "items": documents[offset : offset + limit]}


@routes.post("/{id:int}/rollback")
def rollback(call: Call) -> Json:
    """Make an earlier version the active one."""
    version = call.document.get("version")
    if not isinstance(version, int):
        raise bad_request(f"a rollback names a version, found {version!r}")
    entity = deployments.rollback(call.platform, call.project, _deployment(call), version)
    call.platform.service(Serving).update(call.project, entity)
    return _document(call, entity)


@routes.get("/{id:int}/logs")
def logs(call: Call) -> Json:
    """Return the end of the live logs of a component, per instance."""
    component = (call.parameter("component") or "predictor").lower()
    if component not in ("predictor", "transformer"):
        raise bad_request(f"the components of a deployment are predictor and transformer, found {component!r}")
    lines, only, since = call.integer("tail"), call.parameter("pod"), _moment(call.parameter("since"))
    found = []
    for instance in call.platform.service(Serving).live_instances(_deployment(call), component):
        if only in (None, instance.name):
            end = stamped_tail(instance.log, lines, _LOG_BYTES, since, with_times=call.flag("timestamps"))
            document = {"instanceName": instance.name, "content": end.text, "truncated": end.truncated}
            found.append({**document, "podUid": instance.identity, "restartCount": 0})
    return found


def _moment(text: str | None) -> float | None:
    """Read a time in ISO 8601, UTC unless it says otherwise."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise bad_request(f"{text!r} is not a time in ISO 8601") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@routes.get("/{id:int}/schema")
def schema(call: Call) -> Json:
    """Return a schema of a deployment's requests, as the client has published it beside the scripts."""
    entity = _deployment(call)
    wanted = call.parameter("schemaId")
    if wanted in (None, "None"):
        wanted = _configured_schema(entity.body["config"])
    form = call.parameter("format") or "schema"
    ending = {"schema": ".json", "jsonschema": ".jsonschema.json", "openapi": ".openapi.json"}.get(form)
    if ending is None:
        raise bad_request(f"the forms of a schema are schema, jsonschema and openapi, found {form!r}")
    name = f"{wanted}{ending}"
    folder = f"Deployments/{entity.name}/resources/schema"
    place = call.platform.files.resolve(call.project.name, f"{folder}/{name}")
    if wanted is None or Path(name).name != name or not place.is_file():
        raise not_found(f"deployment {entity.name!r} has no schema {wanted}", SCHEMA_NOT_FOUND)
    return json.loads(place.read_text())


def _configured_schema(config: dict[str, Any]) -> str | None:
    for variable in config.get("predictorEnvVars") or []:
        name, _, value = variable.partition("=")
        if name == "SERVING_SCHEMA_ID":
            return str(value)
    return None
