"""Provenance: what an artifact was made from, and what was made from it.

::

    (source) -> feature group -> feature group -> feature view -> training dataset -> model -> deployment

What a feature group or view was made from is noted at both ends when it is made, so that either end still names the
other after it was deleted. The rest follows from the metadata itself: a training dataset belongs to its view, a model
and a deployment name what they use. A source of data outside the platform, such as a cube, is named by the tag
``source`` of a feature group: its text, or the ``name`` (and ``version``) of an object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.quality import tagging
from deepcube.embedded.runtime import deployments, models
from deepcube.embedded.store import datasets, groups, views

UPSTREAM, DOWNSTREAM = "upstream", "downstream"
SOURCE_TAG = "source"
MAX_LEVELS = 10
_NOTED = {UPSTREAM: "provenance_upstream", DOWNSTREAM: "provenance_downstream"}
_TYPES = {
    groups.KIND: "FEATURE_GROUP",
    views.KIND: "FEATURE_VIEW",
    datasets.KIND: "TRAINING_DATASET",
    models.MODEL: "MODEL",
    deployments.DEPLOYMENT: "DEPLOYMENT",
}

Json = dict[str, Any]


@dataclass(frozen=True)
class Gone:
    """An artifact, or a source outside the platform, of which only the name is known.

    Attributes
    ----------
    artifact_type, project, name : str
        As the REST API writes them.
    version : int or None
        Its version.
    deleted : bool
        False for a source, which this platform never had.
    """

    artifact_type: str
    project: str
    name: str
    version: int | None
    deleted: bool = True


Artifact = Entity | Gone


def note_group(platform: Platform, project: Project, group: Entity, document: Json) -> None:
    """Note from which feature groups the client says a new one was made."""
    for parent in document.get("parents") or []:
        identifier = parent.get("id") if isinstance(parent, dict) else None
        if isinstance(identifier, int):
            _note(platform, groups.find_group(platform, project, identifier), group)


def note_view(platform: Platform, project: Project, view: Entity, document: Json) -> None:
    """Note which feature groups a new feature view uses."""
    for group_id in views.group_ids(view):
        _note(platform, groups.find_group(platform, project, group_id), view)


def _note(platform: Platform, parent: Entity, child: Entity) -> None:
    for direction, holder, other in ((UPSTREAM, child, parent), (DOWNSTREAM, parent, child)):
        body = {
            "artifactType": artifact_type(other),
            "project": platform.project(other.project_id).name,
            "name": other.name,
            "version": other.version,
        }
        if platform.catalog.first(None, _NOTED[direction], name=str(other.id), parent_id=holder.id) is None:
            platform.catalog.add(holder.project_id, _NOTED[direction], str(other.id), body, parent_id=holder.id)


def artifact_type(entity: Entity) -> str:
    """Return the type of an artifact as the REST API names it."""
    if entity.kind == groups.KIND and groups.is_external(entity.body):
        return "EXTERNAL_FEATURE_GROUP"
    return _TYPES[entity.kind]


def links(platform: Platform, project: Project, artifact: Entity, up: int, down: int) -> Json:
    """Return the provenance of an artifact as the REST API writes it.

    Parameters
    ----------
    platform : Platform
        Shared state.
    project : Project
        Which asks; artifacts that it may not read are named, not shown.
    artifact : Entity
        Feature group, feature view, training dataset, model or deployment.
    up, down : int
        How many steps to follow to what it was made from, and to what was made from it.

    Returns
    -------
    dict
        ``{"node", "upstream": [...], "downstream": [...]}``, where each link is such a document again.
    """
    return _Walk(platform, project).link(artifact, min(up, MAX_LEVELS), min(down, MAX_LEVELS))


class _Walk:
    """One walk along the links, on behalf of one project."""

    def __init__(self, platform: Platform, project: Project) -> None:
        self._platform = platform
        self._project = project

    def link(self, artifact: Artifact, up: int, down: int) -> Json:
        above = self._neighbours(artifact, UPSTREAM) if up > 0 else ()
        below = self._neighbours(artifact, DOWNSTREAM) if down > 0 else ()
        return {
            "node": self._node(artifact),
            "upstream": [self.link(other, up - 1, 0) for other in above],
            "downstream": [self.link(other, 0, down - 1) for other in below],
        }

    def _neighbours(self, artifact: Artifact, direction: str) -> list[Artifact]:
        if isinstance(artifact, Gone):
            return []
        found = [*self._noted(artifact, direction)]
        found += self._sources(artifact) if direction == UPSTREAM else self._products(artifact)
        return found

    def _noted(self, artifact: Entity, direction: str) -> Iterator[Artifact]:
        for noted in self._platform.catalog.find(None, _NOTED[direction], parent_id=artifact.id):
            yield self._platform.catalog.get(int(noted.name)) or _gone(noted.body)

    def _sources(self, artifact: Entity) -> list[Artifact]:
        """Return what an artifact's own metadata says it was made from."""
        if artifact.kind == groups.KIND:
            return self._outside(artifact)
        if artifact.kind == datasets.KIND:
            view = self._platform.catalog.get(artifact.parent_id, views.KIND)
            return [view] if view is not None else []
        if artifact.kind == models.MODEL:
            return self._model_sources(artifact)
        if artifact.kind == deployments.DEPLOYMENT:
            config = artifact.body["config"]
            found = self._named(models.MODEL, config.get("modelName"), config.get("modelVersion"))
            return [found] if found is not None else []
        return []

    def _outside(self, group: Entity) -> list[Artifact]:
        """Return the source outside the platform that a feature group's tag names."""
        project = self._platform.project(group.project_id).name
        for tag in tagging.tags(self._platform, group):
            if tag["name"] == SOURCE_TAG:
                value = json.loads(tag["value"])
                name = value.get("name", value) if isinstance(value, dict) else value
                version = value.get("version") if isinstance(value, dict) else None
                return [Gone("SOURCE", project, str(name), version, deleted=False)]
        return []

    def _model_sources(self, model: Entity) -> list[Artifact]:
        wanted, version = model.body.get("featureView") or {}, model.body.get("trainingDatasetVersion")
        if not wanted.get("name"):
            return []
        view = self._named(views.KIND, wanted["name"], wanted.get("version"))
        # One of the same name that is younger than the model is another one.
        if not isinstance(view, Entity) or view.created_ms > model.created_ms:
            project = self._platform.project(model.project_id).name
            return [Gone(_TYPES[views.KIND], project, wanted["name"], wanted.get("version"))]
        if version is None:
            return [view]
        dataset = self._platform.catalog.first(view.project_id, datasets.KIND, parent_id=view.id, version=version)
        return [dataset or Gone(_TYPES[datasets.KIND], self._project.name, view.name, version)]

    def _named(self, kind: str, name: Any, version: Any) -> Artifact | None:
        if not name:
            return None
        found = self._platform.catalog.first(self._project.id, kind, name=name, version=version)
        return found or Gone(_TYPES[kind], self._project.name, name, version)

    def _products(self, artifact: Entity) -> list[Artifact]:
        """Return what other artifacts' metadata says was made from this one."""
        if artifact.kind == views.KIND:
            made: list[Artifact] = list(
                self._platform.catalog.find(artifact.project_id, datasets.KIND, parent_id=artifact.id)
            )
            return made + [model for model in self._models_of(artifact) if not _dataset_version(model)]
        if artifact.kind == datasets.KIND:
            view = self._platform.catalog.get(artifact.parent_id, views.KIND)
            found = self._models_of(view) if view is not None else []
            return [model for model in found if _dataset_version(model) == artifact.version]
        if artifact.kind == models.MODEL:
            running = self._platform.catalog.find(artifact.project_id, deployments.DEPLOYMENT)
            return [found for found in running if _uses(found, artifact)]
        return []

    def _models_of(self, view: Entity) -> list[Entity]:
        found = self._platform.catalog.find(view.project_id, models.MODEL)
        return [model for model in found if _is_of(model, view)]

    def _node(self, artifact: Artifact) -> Json:
        if isinstance(artifact, Gone):
            document = {"project": artifact.project, "name": artifact.name, "version": artifact.version, "href": ""}
            return {
                "artifactType": artifact.artifact_type,
                "accessible": False,
                "deleted": artifact.deleted,
                "artifact": document,
            }
        accessible = groups.may_read(self._platform, self._project, artifact)
        document = self._document(artifact) if accessible else self._reference(artifact)
        return {
            "artifactType": artifact_type(artifact),
            "accessible": accessible,
            "deleted": False,
            "artifact": document,
        }

    def _reference(self, artifact: Entity) -> Json:
        owner = self._platform.project(artifact.project_id).name
        return {"project": owner, "name": artifact.name, "version": artifact.version, "id": artifact.id, "href": ""}

    def _document(self, artifact: Entity) -> Json:
        if artifact.kind == groups.KIND:
            return groups.group_document(self._platform, artifact)
        if artifact.kind == views.KIND and views.is_whole(self._platform, self._project, artifact):
            return views.view_document(self._platform, self._project, artifact)
        if artifact.kind == datasets.KIND:
            view = datasets.views_of(self._platform, artifact)
            return datasets.dataset_document(self._platform, self._project, view, artifact)
        if artifact.kind == models.MODEL:
            return models.model_document(self._platform, artifact)
        return self._reference(artifact)


def _gone(body: Json) -> Gone:
    return Gone(body["artifactType"], body["project"], body["name"], body["version"])


def _dataset_version(model: Entity) -> int | None:
    found = model.body.get("trainingDatasetVersion")
    return int(found) if found else None


def _is_of(model: Entity, view: Entity) -> bool:
    wanted = model.body.get("featureView") or {}
    same = (wanted.get("name"), wanted.get("version")) == (view.name, view.version)
    return same and view.created_ms <= model.created_ms


def _uses(deployment: Entity, model: Entity) -> bool:
    config = deployment.body["config"]
    return (config.get("modelName"), config.get("modelVersion")) == (model.name, model.version)


def users_of(platform: Platform, project: Project, view: Entity) -> list[str]:
    """Return which models and deployments use a feature view, as text for a message."""
    found = [model for model in platform.catalog.find(project.id, models.MODEL) if _is_of(model, view)]
    running = platform.catalog.find(project.id, deployments.DEPLOYMENT)
    used = [f"model {model.name!r} version {model.version}" for model in found]
    return used + [f"deployment {d.name!r}" for d in running if any(_uses(d, model) for model in found)]
