"""Making, changing and removing feature groups, with all that a group has beside its table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from deepcube.embedded.catalog import DuplicateEntityError, Entity
from deepcube.embedded.errors import FEATURE_GROUP_EXISTS, conflict
from deepcube.embedded.keys import OWNER
from deepcube.embedded.online.store import OnlineStore
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime.builtin import ensure_job
from deepcube.embedded.store.connectors import source_path
from deepcube.embedded.store.features import BATCH, STREAM, check_body, feature_document, merged_features
from deepcube.embedded.store.groups import KIND, has_log, is_external, location, materialization_job
from deepcube.embedded.store.names import check_name, check_version

_CLEARING = "feature_group_clearing"  # an intention, below the group until it is carried out

Json = dict[str, Any]

#: Functions called, inside the transaction, with the entity and the request's document when a group is made.
CREATE_HOOKS: list[Callable[[Platform, Project, Entity, Json], None]] = []

_KEPT = (
    "description",
    "type",
    "onlineEnabled",
    "timeTravelFormat",
    "statisticsConfig",
    "eventTime",
    "parents",
    "topicName",
    "notificationTopicName",
    "deprecated",
    "transformationFunctions",
    "ttl",
    "ttlEnabled",
    "sinkEnabled",
    "onlinePartitionColumns",
    "partitionedBy",
    "zorderBy",
    "clusteredBy",
    "sortOrder",
    "onlineConfig",
    "embeddingIndex",
    "deltaStreamerJobConf",
    "dataSource",
    "dataFormat",
    "options",
    "spine",
)
_UPDATABLE = (
    "description",
    "statisticsConfig",
    "topicName",
    "notificationTopicName",
    "deprecated",
    "ttl",
    "ttlEnabled",
    "partitionedBy",
    "clusteredBy",
)


def create_group(platform: Platform, project: Project, document: Json) -> Entity:
    """Make a feature group from the client's document.

    Raises
    ------
    ApiError
        400 if the document is not valid, 270089 if the version exists.
    """
    name = check_name(document.get("name"), "feature group")
    version = check_version(document.get("version"), "feature group")
    body = {key: document[key] for key in _KEPT if document.get(key) is not None}
    body["features"] = [feature_document(feature) for feature in document.get("features") or []]
    body.setdefault("type", BATCH)
    body["creator"] = OWNER.document()
    check_body(name, body)
    if is_external(body):
        _find_outside(platform, project, body)
    with platform.catalog.transaction():
        if version is None:
            version = platform.catalog.next_version(project.id, KIND, name)
        # A crash while an older group of this name was deleted may have left its files.
        if not platform.catalog.find(project.id, KIND, name=name, version=version):
            platform.files.remove(location(platform, project, name, version))
        try:
            entity = platform.catalog.add(project.id, KIND, name, body, version=version)
        except DuplicateEntityError:
            raise conflict(
                f"feature group {name!r} version {version} exists already; get it, or name another version",
                FEATURE_GROUP_EXISTS,
            ) from None
        if body.get("embeddingIndex") is not None:
            index = body["embeddingIndex"]
            index["indexName"] = index.get("indexName") or f"{project.name}__embedding_{entity.id}"
            index["colPrefix"] = index.get("colPrefix") or ""
            entity = platform.catalog.update(entity, body)
        for hook in CREATE_HOOKS:
            hook(platform, project, entity, document)
        _follow_up(platform, project, entity)
    return entity


def update_group(platform: Platform, entity: Entity, document: Json) -> Entity:
    """Change the description, the features or another changeable part of a feature group.

    Features keep their type, and none may vanish; new ones are appended, in the Delta table too.

    Raises
    ------
    ApiError
        400 if a feature would change its type or vanish.
    """
    body = {**entity.body, **{key: document[key] for key in _UPDATABLE if document.get(key) is not None}}
    if document.get("features"):
        body["features"] = merged_features(entity, [feature_document(feature) for feature in document["features"]])
    with platform.catalog.transaction():
        entity = platform.catalog.update(entity, body)
        if has_log(body):
            _online(platform).create(entity)
    return entity


def delete_group(platform: Platform, entity: Entity) -> None:
    """Remove a feature group with its data and its job.

    The metadata goes first, so that a crash never leaves a group without data; what data it leaves is removed when a
    group of that name is made, or at the next start.
    """
    project = platform.project(entity.project_id)
    with platform.catalog.transaction():
        platform.catalog.remove(entity)
        for job in platform.catalog.find(project.id, "job", name=materialization_job(entity)):
            platform.catalog.remove(job)
    platform.files.remove(location(platform, project, entity.name, entity.version))
    if has_log(entity.body):
        _online(platform).drop(entity)


def clear_group(platform: Platform, entity: Entity) -> None:
    """Remove the rows of a feature group, offline and online, and keep the rest.

    Commits are those of the table: they end with it. A crash leaves the rows in both stores or in none: the intention
    is written first, and :func:`recover` carries out what was intended.
    """
    with _alone(platform, entity):
        intention = platform.catalog.first(entity.project_id, _CLEARING, parent_id=entity.id)
        if intention is None:
            intention = platform.catalog.add(entity.project_id, _CLEARING, entity.name, {}, parent_id=entity.id)
        _clear(platform, entity)
        platform.catalog.remove(intention)


def recover(platform: Platform) -> None:
    """Finish, at the start of a server, the clearing of feature groups that a crash cut short."""
    for intention in platform.catalog.find(None, _CLEARING):
        entity = platform.catalog.get(intention.parent_id, KIND)
        assert entity is not None  # the removal of a group removes what is below it
        clear_group(platform, entity)


def _follow_up(platform: Platform, project: Project, entity: Entity) -> None:
    """Make what a group has beside its table: the online table, and the job of a stream group."""
    if has_log(entity.body):
        _online(platform).create(entity)
    if entity.body["type"] == STREAM:
        ensure_job(platform, project, materialization_job(entity), kind="materialize", target=entity.id)


def _find_outside(platform: Platform, project: Project, body: Json) -> None:
    """Keep, of the data source of an external group, the place that it names."""
    source = body.pop("dataSource", {})
    if not body.get("spine"):
        body["dataSource"] = {"path": source_path(platform, project, source)}


def _clear(platform: Platform, entity: Entity) -> None:
    project = platform.project(entity.project_id)
    if has_log(entity.body):
        _online(platform).clear(entity)
    platform.files.remove(location(platform, project, entity.name, entity.version))


def _alone(platform: Platform, entity: Entity) -> AbstractContextManager[None]:
    return _online(platform).alone(entity.id) if has_log(entity.body) else nullcontext()


def _online(platform: Platform) -> OnlineStore:
    return platform.service(OnlineStore)
