"""The online store: the newest row of each key, for every project, and the log of what came on the topics."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.online.columns import columns_of
from deepcube.embedded.online.database import ProjectDatabase
from deepcube.embedded.online.ingest import accept
from deepcube.embedded.online.reader import Readers
from deepcube.embedded.online.records import Batch
from deepcube.embedded.online.subjects import current_subject
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.store.groups import KIND as FEATURE_GROUP

KEPT_INGESTIONS = 100

Json = dict[str, Any]


class OnlineStore:
    """Online tables of feature groups; reached as ``platform.service(OnlineStore)``.

    At the start, tables whose feature group is gone (a crash between the two) are removed.

    Parameters
    ----------
    platform : Platform
        Its home folder holds one file per project.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._databases: dict[int, ProjectDatabase] = {}
        self._readers: dict[int, Readers] = {}
        self._guard = threading.Lock()
        self._generations: dict[int, int] = {}
        self._locks: dict[int, threading.RLock] = {}
        for project in platform.projects():
            if (platform.home.online / f"{project.id}.db").exists():
                self._remove_orphans(project.id)

    def _remove_orphans(self, project_id: int) -> None:
        database = self.database(project_id)
        for group_id in database.group_ids():
            if self._platform.catalog.get(group_id, FEATURE_GROUP) is None:
                database.drop(group_id)

    def database(self, project_id: int) -> ProjectDatabase:
        """Return the file of a project; made at first use."""
        with self._guard:
            if project_id not in self._databases:
                self._databases[project_id] = ProjectDatabase(self._platform.home.online / f"{project_id}.db")
            return self._databases[project_id]

    def readers(self, project: Project) -> Readers:
        """Return the readers of a project's tables."""
        database = self.database(project.id)
        with self._guard:
            if project.id not in self._readers:
                self._readers[project.id] = Readers(database.path, project.name, lambda: database.schema_changes)
            return self._readers[project.id]

    def stop_reading(self) -> None:
        """Have every statement under way end soon."""
        with self._guard:
            for readers in self._readers.values():
                readers.stop()

    def close(self) -> None:
        """Close the files."""
        with self._guard:
            for readers in self._readers.values():
                readers.close()
            self._readers.clear()
            for database in self._databases.values():
                database.close()
            self._databases.clear()

    @contextmanager
    def alone(self, group_id: int) -> Iterator[None]:
        """Keep others from writing the offline table of a feature group from its log, for a block."""
        with self._guard:
            lock = self._locks.setdefault(group_id, threading.RLock())
        with lock:
            yield

    def create(self, group: Entity) -> None:
        """Make the online table of a feature group, or give it the columns of features that were appended.

        Parameters
        ----------
        group : Entity
            The feature group as it now is; nothing happens if it has no features yet.
        """
        if not group.body["features"]:
            return
        subject = current_subject(self._platform, group)
        database = self.database(group.project_id)
        with database.transaction():
            database.ensure_table(group, columns_of(subject.body["features"]))

    def drop(self, group: Entity) -> None:
        """Remove everything of a feature group that is deleted."""
        self.database(group.project_id).drop(group.id)
        self._changed(group.id)

    def clear(self, group: Entity) -> None:
        """Remove the rows of a feature group and what is logged of them."""
        self.database(group.project_id).clear(group.id)
        self._changed(group.id)

    def accept(self, group: Entity, batch: Batch) -> int:
        """Take a batch of records; see :func:`deepcube.embedded.online.ingest.accept`."""
        offset = accept(self._platform, self.database(group.project_id), group, batch)
        self._changed(group.id)
        return offset

    def generation(self, group_id: int) -> int:
        """Return a number that is another one after every change of a feature group's rows."""
        with self._guard:
            return self._generations.get(group_id, 0)

    def _changed(self, group_id: int) -> None:
        with self._guard:
            self._generations[group_id] = self._generations.get(group_id, 0) + 1

    def watermarks(self, group: Entity) -> tuple[int, int]:
        """Return the oldest offset still to be materialised and the offset that the next record gets."""
        return self.database(group.project_id).watermarks(group.id)

    def begin_ingestion(self, group: Entity, entries: int | None) -> Json:
        """Start to count what an insert of the client brings.

        Parameters
        ----------
        entries : int or None
            How many rows the client is going to send, if it knows.

        Returns
        -------
        dict
            The ingestion as the REST API writes one.
        """
        database = self.database(group.project_id)
        with database.transaction() as connection:
            cursor = connection.execute("INSERT INTO ingestion (group_id, entries) VALUES (?, ?)", (group.id, entries))
            connection.execute(
                "DELETE FROM ingestion WHERE group_id = ? AND id NOT IN "
                "(SELECT id FROM ingestion WHERE group_id = ? ORDER BY id DESC LIMIT ?)",
                (group.id, group.id, KEPT_INGESTIONS),
            )
        return {"id": cursor.lastrowid, "numEntries": entries, "results": []}

    def ingestions(self, group: Entity, ingestion_id: int | None = None) -> list[Json]:
        """Return the ingestions of a feature group, newest first, as the REST API writes them.

        Parameters
        ----------
        ingestion_id : int, optional
            Only this one.
        """
        with self.database(group.project_id).transaction() as connection:
            rows = connection.execute(
                "SELECT id, entries, upserted, deleted, ignored FROM ingestion "
                "WHERE group_id = ? AND (? IS NULL OR id = ?) ORDER BY id DESC",
                (group.id, ingestion_id, ingestion_id),
            ).fetchall()
        return [_ingestion_document(*row) for row in rows]


def _ingestion_document(number: int, entries: int | None, upserted: int, deleted: int, ignored: int) -> Json:
    counts = {"UPSERTED": upserted, "DELETED": deleted, "IGNORED": ignored}
    results = [{"onlineIngestionId": number, "status": status, "rows": rows} for status, rows in counts.items() if rows]
    return {"id": number, "numEntries": entries, "results": results}
