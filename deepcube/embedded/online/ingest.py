"""What happens to records that arrive on a feature group's topic: online, into the log for offline, or both.

The headers of a record say so, as on a cluster: ``storage`` names the one store it is for (absent: both), ``operation``
is ``delete`` for a tombstone, ``upsertIfNewer`` keeps a row whose event time is later, ``subjectId`` is the schema,
``onlineIngestionId`` the progress to count it in.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deepcube.embedded.catalog import Entity, now_ms
from deepcube.embedded.online.columns import columns_of, quoted
from deepcube.embedded.online.database import ProjectDatabase, table_name
from deepcube.embedded.online.errors import InvalidRecordError
from deepcube.embedded.online.records import Batch, Headers
from deepcube.embedded.online.subjects import KIND as SUBJECT
from deepcube.embedded.online.subjects import codec_of, current_subject
from deepcube.embedded.platform import Platform
from deepcube.embedded.store.features import EXTERNAL, STREAM
from deepcube.embedded.store.groups import event_time, primary_key

UPSERT, DELETE = 0, 1
_SEQUENCES = 2**31  # a producer's sequence numbers wrap to 0 after this many
_PRODUCER_LIFE_MS = 7 * 24 * 3600 * 1000


class OutOfOrderError(InvalidRecordError):
    """A batch of an idempotent producer is not the one that follows the last."""


@dataclass(frozen=True)
class _Purpose:
    """What the headers of a record say."""

    subject: Entity
    operation: int
    online: bool
    offline: bool
    if_newer: bool
    ingestion: int | None


@dataclass(frozen=True)
class _Run:
    """Consecutive records of one purpose, decoded."""

    purpose: _Purpose
    rows: list[tuple[Any, ...]]
    records: list[bytes]


def accept(platform: Platform, database: ProjectDatabase, group: Entity, batch: Batch) -> int:
    """Take a batch of records for a feature group; when this returns, they are on disk.

    A batch that was taken before (an idempotent producer sends it again when it did not see the answer) is not taken
    twice.

    Returns
    -------
    int
        Offset of the first record.

    Raises
    ------
    InvalidRecordError
        If a record does not fit the feature group; then none of the batch is taken.
    StorageError
        If the file cannot be written.
    """
    runs = _decode(platform, group, batch.records)
    current = current_subject(platform, group)
    with database.transaction() as connection:
        database.ensure_table(group, columns_of(current.body["features"]))
        known = _already_taken(connection, group, batch)
        if known is not None:
            return known
        base = database.watermarks(group.id)[1]
        position = base
        for run in runs:
            if run.purpose.online:
                _apply(connection, group, run)
            if run.purpose.offline:
                _log(connection, group, run, position)
            position += len(run.records)
        connection.execute("UPDATE topic SET next_offset = ? WHERE group_id = ?", (position, group.id))
        _remember_producer(connection, group, batch, position)
    return base


def _decode(platform: Platform, group: Entity, records: Sequence[tuple[bytes, Headers]]) -> list[_Run]:
    purposes: dict[int, _Purpose] = {}
    runs = []
    for identity, chunk in itertools.groupby(records, key=lambda record: id(record[1])):
        pairs = list(chunk)
        values = [value for value, _ in pairs]
        purpose = purposes.get(identity)
        if purpose is None:
            purpose = purposes[identity] = _purpose(platform, group, pairs[0][1])
        codec = codec_of(purpose.subject)
        if purpose.operation == DELETE:
            key = primary_key(purpose.subject.body)
            rows = [tuple(row[name] for name in key) for row in map(codec.stored, values)]
        else:
            rows = [tuple(codec.stored(value).values()) for value in values]
        runs.append(_Run(purpose, rows, values))
    return runs


def _purpose(platform: Platform, group: Entity, headers: Headers) -> _Purpose:
    if _integer(headers, "featureGroupId") != group.id:
        raise InvalidRecordError(f"record is for another feature group than {group.name!r}, whose topic this is")
    subject = platform.catalog.get(_integer(headers, "subjectId") or 0, SUBJECT)
    if subject is None or subject.parent_id != group.id:
        raise InvalidRecordError(f"record names a schema that feature group {group.name!r} does not have")
    operation = headers.get("operation", b"")
    if operation not in (b"", b"delete"):
        raise InvalidRecordError(f"record has an unknown operation {operation!r}; it can be absent or delete")
    if operation and not primary_key(subject.body):
        raise InvalidRecordError(f"feature group {group.name!r} has no primary key to delete by")
    storage, kind = headers.get("storage", b""), group.body.get("type")
    return _Purpose(
        subject=subject,
        operation=DELETE if operation else UPSERT,
        online=bool(group.body.get("onlineEnabled")) and storage not in (b"offline", b"0"),
        # A tombstone is sent for the online store alone, yet it must also stop rows that wait in the log.
        offline=kind != EXTERNAL and (storage != b"online" or (kind == STREAM and bool(operation))),
        if_newer=headers.get("upsertIfNewer") == b"1" and event_time(group.body) is not None,
        ingestion=_integer(headers, "onlineIngestionId"),
    )


def _integer(headers: Headers, name: str) -> int | None:
    value = headers.get(name)
    if value is None:
        return None
    try:
        return int(value[:20])
    except ValueError:
        raise InvalidRecordError(f"header {name} of a record must be a number, found {value[:40]!r}") from None


def _already_taken(connection: sqlite3.Connection, group: Entity, batch: Batch) -> int | None:
    """Return the offset at which a batch was taken before, or None if it is new."""
    if batch.producer_id < 0:
        return None
    row = connection.execute(
        "SELECT epoch, sequence, next_offset FROM producer WHERE id = ? AND group_id = ?",
        (batch.producer_id, group.id),
    ).fetchone()
    if row is None or row[0] != batch.producer_epoch:
        return None
    _, expected, next_offset = row
    behind = (expected - batch.base_sequence) % _SEQUENCES
    if behind == 0:
        return None
    if len(batch.records) <= behind < _SEQUENCES // 2:
        return int(next_offset - behind)
    raise OutOfOrderError(
        f"batch starts at message {batch.base_sequence} of its producer, message {expected} was expected"
    )


def _remember_producer(connection: sqlite3.Connection, group: Entity, batch: Batch, next_offset: int) -> None:
    if batch.producer_id < 0:
        return
    now, sequence = now_ms(), (batch.base_sequence + len(batch.records)) % _SEQUENCES
    connection.execute(
        "INSERT OR REPLACE INTO producer (id, group_id, epoch, sequence, next_offset, used_ms) VALUES (?,?,?,?,?,?)",
        (batch.producer_id, group.id, batch.producer_epoch, sequence, next_offset, now),
    )
    connection.execute("DELETE FROM producer WHERE group_id = ? AND used_ms < ?", (group.id, now - _PRODUCER_LIFE_MS))


def _apply(connection: sqlite3.Connection, group: Entity, run: _Run) -> None:
    """Bring the rows of a run into the online table, and count them."""
    before = connection.total_changes
    try:
        if run.purpose.operation == DELETE:
            connection.executemany(_delete_statement(group, run.purpose.subject), run.rows)
        else:
            statement = _upsert_statement(group, run.purpose.subject, run.purpose.if_newer)
            connection.executemany(statement, run.rows)
    except sqlite3.IntegrityError as error:
        raise InvalidRecordError(f"a row does not fit feature group {group.name!r}: {error}") from None
    except OverflowError as error:
        raise InvalidRecordError(f"a number does not fit feature group {group.name!r}: {error}") from None
    if run.purpose.ingestion is None:
        return
    changed = connection.total_changes - before
    counts = (len(run.rows), 0, 0)
    if run.purpose.operation == DELETE:
        counts = (0, len(run.rows), 0)
    elif run.purpose.if_newer:
        counts = (changed, 0, len(run.rows) - changed)
    connection.execute(
        "UPDATE ingestion SET upserted = upserted + ?, deleted = deleted + ?, ignored = ignored + ? "
        "WHERE id = ? AND group_id = ?",
        (*counts, run.purpose.ingestion, group.id),
    )


def _log(connection: sqlite3.Connection, group: Entity, run: _Run, position: int) -> None:
    subject, operation = run.purpose.subject.id, run.purpose.operation
    connection.executemany(
        "INSERT INTO log (group_id, position, subject_id, operation, record) VALUES (?, ?, ?, ?, ?)",
        [(group.id, position + i, subject, operation, record) for i, record in enumerate(run.records)],
    )


def _upsert_statement(group: Entity, subject: Entity, if_newer: bool) -> str:
    names = [feature["name"] for feature in subject.body["features"]]
    key = primary_key(subject.body)
    table, columns = quoted(table_name(group)), ", ".join(map(quoted, names))
    statement = f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(names))})"
    if not key:
        return statement
    others = [name for name in names if name not in key]
    action = "NOTHING"
    if others:
        action = "UPDATE SET " + ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in others)
    event = quoted(event_time(group.body) or "")
    if others and if_newer and event_time(group.body) in others:
        action += f" WHERE {table}.{event} IS NULL OR excluded.{event} > {table}.{event}"
    return f"{statement} ON CONFLICT ({', '.join(map(quoted, key))}) DO {action}"


def _delete_statement(group: Entity, subject: Entity) -> str:
    condition = " AND ".join(f"{quoted(name)} = ?" for name in primary_key(subject.body))
    return f"DELETE FROM {quoted(table_name(group))} WHERE {condition}"
