"""The model registry: the metadata of model versions; their files are in the ``Models`` dataset."""

from __future__ import annotations

from deepcube.embedded.errors import bad_request
from deepcube.embedded.quality import tagging
from deepcube.embedded.routing import Call, Json, items
from deepcube.embedded.runtime import models
from deepcube.embedded.runtime.streaming import StreamRoutes

routes = StreamRoutes("/project/{project_id:int}/modelregistries")


@routes.get("")
def registries(call: Call) -> Json:
    """List the registries that the project may use: its own."""
    return items([{"id": call.project.id, "name": call.project.name, "parentProjectId": call.project.id}])


def _registry(call: Call) -> None:
    if call.path["registry_id"] != call.project.id:
        raise bad_request(f"model registry {call.path['registry_id']} does not belong to project {call.project.name!r}")


@routes.get("/{registry_id:int}/models")
def find(call: Call) -> Json:
    """List models by name, optionally the best by a metric."""
    _registry(call)
    found = models.search(
        call.platform,
        call.project,
        name=_filter(call, "name_eq"),
        sort_by=call.parameter("sort_by"),
        offset=call.integer("offset", 0) or 0,
        limit=call.integer("limit"),
    )
    return {"count": found.count, "items": [models.model_document(call.platform, entity) for entity in found.page]}


def _filter(call: Call, key: str) -> str | None:
    for condition in call.query.get("filter_by", []):
        name, _, value = condition.partition(":")
        if name.lower() == key:
            return value
    return None


@routes.put("/{registry_id:int}/models/{key}")
def save(call: Call) -> Json:
    """Register a model version, or replace its metadata."""
    _registry(call)
    with call.platform.catalog.transaction():
        entity = models.save(call.platform, call.project, call.path["key"], call.document, call.user.document())
        tagging.set_tags(call.platform, entity, call.document.get("tags"))
    return models.model_document(call.platform, entity)


@routes.get("/{registry_id:int}/models/{key}")
def read(call: Call) -> Json:
    """Return a model version."""
    _registry(call)
    return models.model_document(call.platform, models.find_model(call.platform, call.project, call.path["key"]))


@routes.patch("/{registry_id:int}/models/{key}")
def amend(call: Call) -> Json:
    """Change the framework or the description of a model version."""
    _registry(call)
    entity = models.find_model(call.platform, call.project, call.path["key"])
    return models.model_document(call.platform, models.amend(call.platform, entity, call.document))


@routes.delete("/{registry_id:int}/models/{key}")
def remove(call: Call) -> None:
    """Remove a model version with its files."""
    _registry(call)
    models.remove(call.platform, call.project, models.find_model(call.platform, call.project, call.path["key"]))
