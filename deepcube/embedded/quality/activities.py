"""The activity log: who did what to an artifact, and when."""

from __future__ import annotations

from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.keys import OWNER, User
from deepcube.embedded.platform import Platform

ACTIVITY = "activity"
METADATA = "METADATA"
STATISTICS = "STATISTICS"
JOB = "JOB"
VALIDATIONS = "VALIDATIONS"
EXPECTATIONS = "EXPECTATIONS"
COMMIT = "COMMIT"
KEPT = 1000  # of each type and artifact, give or take what is written between two clean-ups
_FORGET_EVERY = 100
TYPES = (METADATA, STATISTICS, JOB, VALIDATIONS, EXPECTATIONS, COMMIT)


def record(
    platform: Platform,
    artifact: Entity,
    activity: str,
    message: str,
    *,
    user: User = OWNER,
    detail: dict[str, Any] | None = None,
) -> Entity:
    """Write an activity; call it inside the transaction of the change it tells of.

    Parameters
    ----------
    platform : Platform
        Shared state.
    artifact : Entity
        What was changed.
    activity : str
        One of :data:`TYPES`.
    message : str
        What was done, for a person to read.
    user : User
        Who did it.
    detail : dict, optional
        Documents that the client attaches to the activity, by their key (``commit``, ``validationReport``, ...).
    """
    catalog = platform.catalog
    with catalog.transaction():
        number = catalog.next_version(artifact.project_id, ACTIVITY, activity, artifact.id)
        if number % _FORGET_EVERY == 0:
            _forget_oldest(platform, artifact, activity)
        body = {"metadata": message, "user": user.document(), "detail": detail or {}}
        return catalog.add(artifact.project_id, ACTIVITY, activity, body, version=number, parent_id=artifact.id)


def _forget_oldest(platform: Platform, artifact: Entity, activity: str) -> None:
    found = platform.catalog.find(
        artifact.project_id, ACTIVITY, name=activity, parent_id=artifact.id, newest_first=True
    )
    for entity in found[KEPT:]:
        platform.catalog.remove(entity)


def history(
    platform: Platform, artifact: Entity, types: list[str] | None = None, *, offset: int = 0, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return the activities of an artifact, newest first, as the REST API writes them.

    Parameters
    ----------
    platform : Platform
        Shared state.
    artifact : Entity
        Whose activities.
    types : list of str, optional
        Only these of :data:`TYPES`.
    offset, limit : int
        Which part of the list.
    """
    found = platform.catalog.find(artifact.project_id, ACTIVITY, parent_id=artifact.id, newest_first=True)
    wanted = [entity for entity in found if not types or entity.name in types]
    end = None if limit is None else offset + limit
    return [_document(entity) for entity in wanted[offset:end]]


def _document(entity: Entity) -> dict[str, Any]:
    return {
        "id": entity.id,
        "type": entity.name,
        "timestamp": entity.created_ms,
        "metadata": entity.body["metadata"],
        "user": entity.body["user"],
        **entity.body["detail"],
    }
