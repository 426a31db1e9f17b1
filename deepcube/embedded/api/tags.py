"""Tags of feature groups, feature views, training datasets, models, deployments, jobs and files; tag schemas."""

from __future__ import annotations

from collections.abc import Callable

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request
from deepcube.embedded.quality import activities, tagging
from deepcube.embedded.quality.artifacts import artifact_of
from deepcube.embedded.routing import Call, Json, Routes, items

routes = Routes()

_PROJECT = "/project/{project_id:int}"
_STORE = _PROJECT + "/featurestores/{featurestore_id:int}"
_VIEW = _STORE + "/featureview/{view}/version/{version:int}"
_FILE = _PROJECT + "/dataset/tags/schema/{tag}/{file:path}"

_ARTIFACTS = (
    _STORE + "/featuregroups/{group_id:int}",
    _VIEW,
    _VIEW + "/trainingdatasets/version/{dataset_version:int}",
    _PROJECT + "/modelregistries/{registry_id:int}/models/{model}",
    _PROJECT + "/serving/{deployment_id:int}",
    _PROJECT + "/jobs/{job}",
)


def _artifact(call: Call) -> Entity:
    """Return what the path names."""
    if "file" in call.path:
        files = call.platform.files
        place = files.existing(call.project.name, call.path["file"])
        return tagging.tagged_path(call.platform, call.project.id, files.public(place))
    return artifact_of(call.platform, call.project, call.path)


def list_tags(call: Call) -> Json:
    """List the tags of an artifact."""
    return items(tagging.tags(call.platform, _artifact(call)))


def read_tag(call: Call) -> Json:
    """Return one tag of an artifact."""
    return items(tagging.tags(call.platform, _artifact(call), call.path["tag"]))


def set_tag(call: Call) -> Json:
    """Attach a tag to an artifact."""
    _change(call, lambda artifact, name: tagging.set_tag(call.platform, artifact, name, call.json), "was set")


def delete_tag(call: Call) -> Json:
    """Detach a tag from an artifact."""
    _change(call, lambda artifact, name: tagging.delete_tag(call.platform, artifact, name), "was removed")


def _change(call: Call, change: Callable[[Entity, str], object], outcome: str) -> None:
    """Change a tag and write it into the activity log."""
    with call.platform.catalog.transaction():
        artifact, name = _artifact(call), call.path["tag"]
        change(artifact, name)
        activities.record(call.platform, artifact, activities.METADATA, f"Tag {name!r} {outcome}", user=call.user)


for _base in _ARTIFACTS:
    routes.get(_base + "/tags")(list_tags)
    routes.get(_base + "/tags/{tag}")(read_tag)
    routes.put(_base + "/tags/{tag}")(set_tag)
    routes.delete(_base + "/tags/{tag}")(delete_tag)
routes.get(_PROJECT + "/dataset/tags/all/{file:path}")(list_tags)
routes.get(_FILE)(read_tag)
routes.put(_FILE)(set_tag)
routes.delete(_FILE)(delete_tag)


@routes.get("/tags")
def list_schemas(call: Call) -> Json:
    """List the tag schemas of the installation."""
    found = call.platform.catalog.find(0, tagging.SCHEMA)
    return items([tagging.schema_document(entity) for entity in found])


@routes.post("/tags")
def create_schema(call: Call) -> Json:
    """Register a tag schema."""
    name = call.parameter("name")
    if not name:
        raise bad_request("the query parameter 'name' is missing: the tag's name")
    text = call.body.decode("utf-8", "replace")
    return tagging.schema_document(tagging.create_schema(call.platform, name, text))


@routes.get("/tags/{name}")
def read_schema(call: Call) -> Json:
    """Return a tag schema."""
    return tagging.schema_document(tagging.schema(call.platform, call.path["name"]))


@routes.delete("/tags/{name}")
def delete_schema(call: Call) -> Json:
    """Remove a tag schema; tags that were set under it stay."""
    call.platform.catalog.remove(tagging.schema(call.platform, call.path["name"]))
