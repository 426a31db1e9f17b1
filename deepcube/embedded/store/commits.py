"""Commits of feature groups, read from the log of the Delta table, which is what really happened.

The client tells of a commit after it wrote it. If it dies between the two, the rows are there and the commit must be
too: so whatever asks for commits first takes over those that the log has and the catalog has not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.store.groups import delta_table

KIND = "commit"

Json = dict[str, Any]

#: Functions called after a commit was recorded, with its feature group and the commit.
COMMIT_HOOKS: list[Callable[[Platform, Project, Entity, Entity], None]] = []

_METRICS = {
    "WRITE": {"rowsInserted": ("num_added_rows", "numOutputRows")},
    "MERGE": {
        "rowsInserted": ("num_target_rows_inserted", "numTargetRowsInserted"),
        "rowsUpdated": ("num_target_rows_updated", "numTargetRowsUpdated"),
        "rowsDeleted": ("num_target_rows_deleted", "numTargetRowsDeleted"),
    },
    "DELETE": {"rowsDeleted": ("num_deleted_rows", "numDeletedRows")},
    "UPDATE": {"rowsUpdated": ("num_updated_rows", "numUpdatedRows")},
}


def record_commit(platform: Platform, project: Project, group: Entity, document: Json | None = None) -> Entity | None:
    """Record what was written to a feature group since the last time.

    Parameters
    ----------
    platform, project : Platform, Project
        Where the group is.
    group : Entity
        The feature group.
    document : dict, optional
        What the client told of its commit; its ``validationId`` is kept with the commit it speaks of.

    Returns
    -------
    Entity or None
        The commit that the document speaks of, or else the newest one; None if there is none.
    """
    told = (document or {}).get("commitTime")
    log = _read_log(platform, group)
    with platform.catalog.transaction():
        newest = _newest(platform, group)
        if newest is not None and newest.body.get("table") != log.table:
            log = _read_log(platform, group, from_the_start=True)  # the group was emptied: its commits ended
        fresh = _take_over(platform, group, log, told)
        spoken_of = None
        if told is not None:
            spoken_of = platform.catalog.first(group.project_id, KIND, parent_id=group.id, name=str(told))
        if spoken_of is not None and document is not None and document.get("validationId") is not None:
            body = {**spoken_of.body, "validationId": document["validationId"]}
            spoken_of = platform.catalog.update(spoken_of, body)
        chosen = spoken_of or _newest(platform, group)
    for commit in fresh:
        for hook in COMMIT_HOOKS:
            hook(platform, project, group, commit)
    return chosen


@dataclass(frozen=True)
class _Log:
    """What the Delta log says since the newest commit that is known.

    Attributes
    ----------
    table : str or None
        Id that the table was given when it was made; None if there is no table.
    entries : tuple of dict
        Entries of the log, oldest first.
    """

    table: str | None = None
    entries: tuple[Json, ...] = ()


def _newest(platform: Platform, group: Entity) -> Entity | None:
    return platform.catalog.first(group.project_id, KIND, parent_id=group.id, newest_first=True)


def _read_log(platform: Platform, group: Entity, *, from_the_start: bool = False) -> _Log:
    table = delta_table(platform, platform.project(group.project_id), group)
    if table is None:
        return _Log()
    identity, newest = str(table.metadata().id), _newest(platform, group)
    known = -1 if newest is None or from_the_start or newest.body.get("table") != identity else newest.version - 1
    if table.version() <= known:
        return _Log(identity)
    entries = sorted(table.history(limit=table.version() - known), key=lambda entry: int(entry["version"]))
    return _Log(identity, tuple(entries))


def _take_over(platform: Platform, group: Entity, log: _Log, told: int | None) -> list[Entity]:
    """Add the commits that the Delta log has and the catalog has not; return them, oldest first."""
    newest = _newest(platform, group)
    if newest is not None and newest.body.get("table") != log.table:
        for commit in platform.catalog.find(group.project_id, KIND, parent_id=group.id):
            platform.catalog.remove(commit)
        newest = None
    known = newest.version - 1 if newest is not None else -1
    oldest = newest.body["lastActiveCommitTime"] if newest is not None else None
    added = []
    for entry in log.entries:
        time, counts = int(entry["timestamp"]), _counts(entry)
        oldest = time if oldest is None else oldest
        if counts is None or int(entry["version"]) <= known:
            continue
        if not any(counts.values()) and time != told:
            continue  # the empty write with which a group's schema is made
        body = {"commitTime": time, "lastActiveCommitTime": oldest, "table": log.table, **counts}
        # The catalog keeps the table's version plus one, since a version of 0 means none there.
        version = int(entry["version"]) + 1
        added.append(platform.catalog.add(group.project_id, KIND, str(time), body, version=version, parent_id=group.id))
    return added


def _counts(entry: Json) -> dict[str, int] | None:
    """Return how many rows an entry of the Delta log touched, or None if it is not about rows."""
    metrics = entry.get("operationMetrics") or {}
    wanted = _METRICS.get(entry.get("operation", ""))
    if wanted is None:
        return None
    counts = {"rowsInserted": 0, "rowsUpdated": 0, "rowsDeleted": 0}
    for name, keys in wanted.items():
        counts[name] = next((int(metrics[key]) for key in keys if metrics.get(key) is not None), 0)
    return counts


def commits(
    platform: Platform, project: Project, group: Entity, until_ms: int | None = None, limit: int | None = None
) -> list[Entity]:
    """Return the commits of a feature group, newest first.

    Parameters
    ----------
    until_ms : int, optional
        Only commits at or before this time, in milliseconds since the epoch.
    limit : int, optional
        At most this many.
    """
    record_commit(platform, project, group)
    found = platform.catalog.find(group.project_id, KIND, parent_id=group.id, newest_first=True)
    wanted = [commit for commit in found if until_ms is None or commit.body["commitTime"] <= until_ms]
    return wanted[:limit]


def commit_document(commit: Entity) -> Json:
    """Return a commit as the REST API writes one."""
    time = commit.body["commitTime"]
    return {
        "href": f"commits/{time}",
        "commitID": time,
        "commitDateString": _date_string(time),
        "commitTime": time,
        "rowsInserted": commit.body["rowsInserted"],
        "rowsUpdated": commit.body["rowsUpdated"],
        "rowsDeleted": commit.body["rowsDeleted"],
        "validationId": commit.body.get("validationId"),
        "lastActiveCommitTime": commit.body["lastActiveCommitTime"],
    }


def _date_string(time_ms: int) -> str:
    """Write a time as Hopsworks writes it for commits: ``yyyyMMddHHmmssSSS``."""
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.strftime("%Y%m%d%H%M%S") + f"{time_ms % 1000:03d}"
