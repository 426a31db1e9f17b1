"""The catalog: metadata of everything the platform knows, in one SQLite file.

Every thing (feature group, commit, feature view, model, job, ...) is an *entity*: a row with a kind, a name, a
version, possibly a parent, and a JSON body, which is what the REST API answers. The unique key over
(project, kind, parent, name, version) is what makes "exists already" exact under concurrency, and one transaction
per request is what makes a crash leave the old state or the new.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepcube.embedded.errors import StorageError

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE entity (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    parent_id INTEGER NOT NULL DEFAULT 0,
    name TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (project_id, kind, parent_id, name, version)
);
CREATE INDEX entity_parent ON entity (parent_id, kind);
"""

_COLUMNS = "id, project_id, kind, parent_id, name, version, created_ms, body"


class DuplicateEntityError(StorageError):
    """An entity of this kind, name and version exists already."""


@dataclass(frozen=True)
class Entity:
    """One row of the catalog.

    Attributes
    ----------
    id : int
        Unique over all kinds and projects, never used again after a removal.
    project_id : int
        Owning project; 0 for what belongs to the whole platform.
    kind : str
        ``"feature_group"``, ``"job"``, ...
    parent_id : int
        Id of the entity this one belongs to; 0 for none.
    name, version : str, int
        Unique together within project, kind and parent.
    created_ms : int
        Milliseconds since the epoch, UTC.
    body : dict
        The JSON document.
    """

    id: int
    project_id: int
    kind: str
    parent_id: int
    name: str
    version: int
    created_ms: int
    body: dict[str, Any]

    @property
    def created(self) -> str:
        """Creation time as Hopsworks writes it: ISO 8601, UTC, milliseconds."""
        return iso_time(self.created_ms)


def now_ms() -> int:
    """Return the current time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def iso_time(milliseconds: int) -> str:
    """Write a time as Hopsworks does, e.g. ``2026-01-31T09:30:00.000Z``."""
    seconds, rest = divmod(milliseconds, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:03d}Z"


class Catalog:
    """Entities in a SQLite file, safe for many threads; one writer at a time, readers never wait.

    Parameters
    ----------
    path : Path
        Database file; made if absent.

    Raises
    ------
    StorageError
        If the file was written by a newer version of this package or is not a catalog.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._migrate()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=60, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # an answered request survives a power cut
            self._local.connection = connection
            self._local.depth = 0
            with self._guard:
                self._connections.append(connection)
        return connection

    def _migrate(self) -> None:
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=60)) as connection:
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version > SCHEMA_VERSION:
                    raise StorageError(
                        f"{self._path} has catalog schema {version}, this DeepCube reads up to {SCHEMA_VERSION}; "
                        "nothing was changed: install the newer DeepCube that wrote it"
                    )
                if version:
                    connection.execute(f"SELECT {_COLUMNS} FROM entity LIMIT 1").fetchone()
            if version == 0:
                with self.transaction() as connection:
                    for statement in _SCHEMA.split(";"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except sqlite3.DatabaseError as error:
            raise StorageError(f"{self._path} cannot be used as a catalog: {error}") from error

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._guard:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._local = threading.local()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Make what is done inside one change: all of it is kept, or, on an exception, none.

        Transactions nest; the outermost one commits.
        """
        connection = self._connection()
        if self._local.depth == 0:
            connection.execute("BEGIN IMMEDIATE")
        self._local.depth += 1
        try:
            yield connection
            if self._local.depth == 1:
                connection.execute("COMMIT")
        except BaseException:
            # After some errors (a full disk) SQLite has rolled back by itself.
            if self._local.depth == 1 and connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            self._local.depth -= 1

    def add(
        self, project_id: int, kind: str, name: str, body: dict[str, Any], *, version: int = 0, parent_id: int = 0
    ) -> Entity:
        """Add an entity.

        Raises
        ------
        DuplicateEntityError
            If one with the same project, kind, parent, name and version exists.
        """
        created = now_ms()
        try:
            with self.transaction() as connection:
                cursor = connection.execute(
                    "INSERT INTO entity (project_id, kind, parent_id, name, version, created_ms, body) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (project_id, kind, parent_id, name, version, created, json.dumps(body)),
                )
        except sqlite3.IntegrityError as error:
            raise DuplicateEntityError(f"{kind} {name!r} version {version} exists already") from error
        assert cursor.lastrowid is not None
        return Entity(cursor.lastrowid, project_id, kind, parent_id, name, version, created, body)

    def update(self, entity: Entity, body: dict[str, Any]) -> Entity:
        """Replace the body of an entity and return the entity as it now is."""
        with self.transaction() as connection:
            connection.execute("UPDATE entity SET body = ? WHERE id = ?", (json.dumps(body), entity.id))
        return dataclasses.replace(entity, body=body)

    def remove(self, entity: Entity) -> None:
        """Remove an entity with everything below it."""
        with self.transaction() as connection:
            connection.execute(
                "WITH RECURSIVE doomed (id) AS (VALUES (?) UNION SELECT entity.id FROM entity "
                "JOIN doomed ON entity.parent_id = doomed.id) DELETE FROM entity WHERE id IN doomed",
                (entity.id,),
            )

    def get(self, entity_id: int, kind: str | None = None) -> Entity | None:
        """Return the entity with this id, or None if there is none (or it is of another kind)."""
        if not _storable(entity_id):
            return None
        row = self._connection().execute(f"SELECT {_COLUMNS} FROM entity WHERE id = ?", (entity_id,)).fetchone()
        entity = _entity(row) if row else None
        return entity if entity and kind in (None, entity.kind) else None

    def find(
        self,
        project_id: int | None,
        kind: str,
        *,
        name: str | None = None,
        version: int | None = None,
        parent_id: int | None = None,
        newest_first: bool = False,
        limit: int = -1,
    ) -> list[Entity]:
        """Return the entities of a kind, oldest first, that match every given key.

        Parameters
        ----------
        project_id : int or None
            Owning project; None for all projects.
        newest_first : bool
            Turn the order around.
        limit : int
            At most this many; negative for all.
        """
        wanted = {"project_id": project_id, "name": name, "version": version, "parent_id": parent_id}
        given = {key: value for key, value in wanted.items() if value is not None}
        if not all(_storable(value) for value in given.values()):
            return []
        where = " AND ".join(["kind = ?", *(f"{key} = ?" for key in given)])
        order = "DESC" if newest_first else "ASC"
        rows = self._connection().execute(
            f"SELECT {_COLUMNS} FROM entity WHERE {where} ORDER BY id {order} LIMIT ?", (kind, *given.values(), limit)
        )
        return [_entity(row) for row in rows]

    def first(self, project_id: int | None, kind: str, **keys: Any) -> Entity | None:
        """Return the oldest entity that :meth:`find` would return, or None."""
        found = self.find(project_id, kind, limit=1, **keys)
        return found[0] if found else None

    def next_version(self, project_id: int, kind: str, name: str, parent_id: int = 0) -> int:
        """Return one more than the highest version of a name; call it inside the transaction that adds it."""
        (highest,) = (
            self._connection()
            .execute(
                "SELECT coalesce(max(version), 0) FROM entity "
                "WHERE project_id = ? AND kind = ? AND name = ? AND parent_id = ?",
                (project_id, kind, name, parent_id),
            )
            .fetchone()
        )
        return int(highest) + 1


def _storable(value: object) -> bool:
    """Tell whether SQLite can hold a value: integers have 64 bits there, texts are Unicode."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return not isinstance(value, str) or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _entity(row: tuple[Any, ...]) -> Entity:
    entity_id, project_id, kind, parent_id, name, version, created_ms, body = row
    return Entity(entity_id, project_id, kind, parent_id, name, version, created_ms, json.loads(body))
