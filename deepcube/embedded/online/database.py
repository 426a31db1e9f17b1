"""The online store's file of one project: a SQLite database with a table per feature group, and the log of its topics.

What one request of the broker brings is one transaction over everything it touches: the rows, the log from which the
offline table is written, the offsets, the producer's place, the progress that the client asks for. It is on disk before
the request is acknowledged (WAL with ``synchronous = FULL``), so a crash leaves all of a request or nothing.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import StorageError
from deepcube.embedded.online.columns import Column, prepare_connection, quoted, sql_default

SCHEMA_VERSION = 1

# A group's table is named <name>_<version>, so none of these names can be taken by one.
_SCHEMA = """
CREATE TABLE topic (
    group_id INTEGER PRIMARY KEY,
    table_name TEXT NOT NULL,
    next_offset INTEGER NOT NULL DEFAULT 0,
    materialized INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE log (
    group_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    subject_id INTEGER NOT NULL,
    operation INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (group_id, position)
) WITHOUT ROWID;
CREATE TABLE producer (
    id INTEGER NOT NULL,
    group_id INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    used_ms INTEGER NOT NULL,
    PRIMARY KEY (id, group_id)
) WITHOUT ROWID;
CREATE TABLE ingestion (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id INTEGER NOT NULL,
    entries INTEGER,
    upserted INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    ignored INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX ingestion_group ON ingestion (group_id)
"""

_PER_GROUP = ("topic", "log", "producer", "ingestion")


def table_name(group: Entity) -> str:
    """Return the name of a feature group's table: what ``<project>.<name>_<version>`` is in the client's statements."""
    return f"{group.name}_{group.version}"


class ProjectDatabase:
    """The one writer of a project's file; readers have connections of their own and never wait for it.

    Parameters
    ----------
    path : Path
        The file; made if absent.

    Attributes
    ----------
    schema_changes : int
        How often tables were made, changed or removed; what was found out about statements is void after each.

    Raises
    ------
    StorageError
        If the file is not an online store, or one of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        self._tables: dict[int, tuple[Column, ...]] = {}
        self._schema_touched = False
        self.schema_changes = 0
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
            prepare_connection(self._connection)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")  # acknowledged means on disk
            self._migrate()
        except sqlite3.Error as error:
            raise StorageError(f"{path} cannot be used as an online store: {error}") from error

    def _migrate(self) -> None:
        with self.transaction() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise StorageError(
                    f"{self.path} has schema {version}, this DeepCube reads up to {SCHEMA_VERSION}; nothing was "
                    "changed: install the newer DeepCube that wrote it"
                )
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Make what is done inside one change, on disk when the block ends; on an exception nothing is kept.

        Transactions nest; the outermost one commits.

        Raises
        ------
        StorageError
            If the file cannot be written (full disk, read-only folder).
        """
        with self._lock:
            if self._depth == 0:
                self._execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self._connection
                if self._depth == 1:
                    self._execute("COMMIT")
                    self.schema_changes += self._schema_touched
            except BaseException:
                if self._depth == 1:
                    self._tables.clear()
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1
                self._schema_touched = self._schema_touched and self._depth > 0

    def _execute(self, statement: str) -> None:
        try:
            self._connection.execute(statement)
        except sqlite3.OperationalError as error:
            raise StorageError(f"cannot write {self.path}: {error}; check free space and permissions") from error

    def ensure_table(self, group: Entity, columns: Sequence[Column]) -> None:
        """Make the table of a feature group, or give it the columns that were appended; call it in a transaction.

        Parameters
        ----------
        group : Entity
            The feature group.
        columns : sequence of Column
            Its columns as they are now.
        """
        wanted = tuple(columns)
        if self._tables.get(group.id) == wanted:
            return
        with self.transaction() as connection:
            name = table_name(group)
            for (stale,) in connection.execute(
                "SELECT group_id FROM topic WHERE table_name = ? AND group_id <> ?", (name, group.id)
            ).fetchall():
                self.drop(stale)
            known = {row[1] for row in connection.execute(f"PRAGMA table_info({quoted(name)})")}
            if not known:
                connection.execute(_create_statement(name, wanted))
            for column in wanted:
                if known and column.name not in known:
                    connection.execute(
                        f"ALTER TABLE {quoted(name)} ADD COLUMN {quoted(column.name)} {column.declared}"
                        + sql_default(column)
                    )
            connection.execute("INSERT OR IGNORE INTO topic (group_id, table_name) VALUES (?, ?)", (group.id, name))
            self._schema_touched = True
        self._tables[group.id] = wanted

    def clear(self, group_id: int) -> None:
        """Remove the rows of a feature group, and what is logged of them; offsets go on."""
        with self.transaction() as connection:
            row = connection.execute("SELECT table_name FROM topic WHERE group_id = ?", (group_id,)).fetchone()
            if row is None:
                return
            connection.execute(f"DELETE FROM {quoted(row[0])}")
            connection.execute("DELETE FROM log WHERE group_id = ?", (group_id,))
            connection.execute("UPDATE topic SET materialized = next_offset WHERE group_id = ?", (group_id,))

    def drop(self, group_id: int) -> None:
        """Remove everything of a feature group; nothing happens if there is nothing."""
        with self.transaction() as connection:
            row = connection.execute("SELECT table_name FROM topic WHERE group_id = ?", (group_id,)).fetchone()
            if row is not None:
                connection.execute(f"DROP TABLE IF EXISTS {quoted(row[0])}")
            self._schema_touched = True
            for table in _PER_GROUP:
                connection.execute(f"DELETE FROM {table} WHERE group_id = ?", (group_id,))
        self._tables.pop(group_id, None)

    def group_ids(self) -> list[int]:
        """Return the ids of the feature groups that have a table."""
        with self._lock:
            return [row[0] for row in self._connection.execute("SELECT group_id FROM topic")]

    def oldest_logged(self) -> dict[int, int]:
        """Return, for each feature group of which the log holds records, the offset of the oldest."""
        query = "SELECT group_id, (SELECT min(position) FROM log WHERE log.group_id = topic.group_id) FROM topic"
        with self._lock:
            return {group_id: oldest for group_id, oldest in self._connection.execute(query) if oldest is not None}

    def log_entries(self, group_id: int, until: int, limit: int) -> list[tuple[int, int, int, bytes]]:
        """Return the oldest records of a group's log: offset, subject, operation, Avro bytes.

        Parameters
        ----------
        until : int
            Only records before this offset.
        limit : int
            At most this many.
        """
        with self._lock:
            return self._connection.execute(
                "SELECT position, subject_id, operation, record FROM log WHERE group_id = ? AND position < ? "
                "ORDER BY position LIMIT ?",
                (group_id, until, limit),
            ).fetchall()

    def shorten_log(self, group_id: int, end: int) -> None:
        """Remove the records before an offset from a group's log; they are in the offline table."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM log WHERE group_id = ? AND position < ?", (group_id, end))
            connection.execute(
                "UPDATE topic SET materialized = max(materialized, ?) WHERE group_id = ?", (end, group_id)
            )

    def watermarks(self, group_id: int) -> tuple[int, int]:
        """Return the oldest offset still to be materialised and the offset that the next record gets."""
        with self._lock:
            row = self._connection.execute(
                "SELECT materialized, next_offset FROM topic WHERE group_id = ?", (group_id,)
            ).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)


def _create_statement(name: str, columns: Sequence[Column]) -> str:
    parts = [f"{quoted(column.name)} {column.declared}" for column in columns]
    key = [quoted(column.name) for column in columns if column.primary]
    if not key:
        return f"CREATE TABLE {quoted(name)} ({', '.join(parts)})"
    return f"CREATE TABLE {quoted(name)} ({', '.join(parts)}, PRIMARY KEY ({', '.join(key)})) WITHOUT ROWID"
