"""From the log of a topic to the feature group's Delta table: one writer per group, every record exactly once.

Each Delta commit carries, as an application transaction (Delta protocol, "Transaction Identifiers"), the offset up to
which the log is in it. A crash between that commit and the shortening of the log is seen by comparing the two, so no
record is written twice; the log is shortened only afterwards, so none is lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError, SchemaMismatchError

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import EmbeddedError
from deepcube.embedded.online.avro import ValueCodec, is_complex
from deepcube.embedded.online.columns import columns_of
from deepcube.embedded.online.errors import OnlineError
from deepcube.embedded.online.ingest import DELETE
from deepcube.embedded.online.store import OnlineStore
from deepcube.embedded.online.subjects import KIND as SUBJECT
from deepcube.embedded.online.subjects import codec_of
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.store.commits import record_commit
from deepcube.embedded.store.groups import KIND as FEATURE_GROUP
from deepcube.embedded.store.groups import (
    append_columns,
    arrow_schema,
    delta_location,
    delta_table,
    event_time,
    primary_key,
)

JOB_KIND = "materialize"
OVERDUE_SECONDS = 10.0
_CHUNK = 200_000
_ATTEMPTS = 10
_FEED = {"delta.enableChangeDataFeed": "true"}  # as the client makes its tables

Row = dict[str, Any]

_log = logging.getLogger(__name__)


class Materializer:
    """Writes the logs of stream feature groups to their Delta tables; ``platform.service(Materializer)``.

    Parameters
    ----------
    platform : Platform
        Shared state.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._store = platform.service(OnlineStore)
        self._stopping = threading.Event()
        self._recovery: threading.Thread | None = None

    def recover(self) -> None:
        """Write, in a thread of its own, what a server that was killed had accepted, and later what no job comes for.

        A client sends rows and then starts the job that writes them; if it is killed in between, or the job fails on a
        full disk, the rows would wait for somebody's next insert.
        """
        self._recovery = threading.Thread(target=self._follow, name="materialize", daemon=True)
        self._recovery.start()

    def _follow(self) -> None:
        known = overdue = self._oldest_logged()
        while True:
            for project_id, group_id in overdue:
                if self._stopping.is_set():
                    return
                try:
                    self.materialize(self._platform.project(project_id), group_id)
                except Exception:
                    _log.exception("feature group %d could not be materialised; it is tried again", group_id)
            if self._stopping.wait(OVERDUE_SECONDS):
                return
            before, known = known, self._oldest_logged()
            overdue = {group: oldest for group, oldest in known.items() if before.get(group) == oldest}

    def _oldest_logged(self) -> dict[tuple[int, int], int]:
        """Return the offset of the oldest record that is not written, by project and feature group."""
        return {
            (project.id, group_id): oldest
            for project in self._platform.projects()
            for group_id, oldest in self._store.database(project.id).oldest_logged().items()
        }

    def close(self) -> None:
        """Stop after the chunk under way."""
        self._stopping.set()
        if self._recovery is not None:
            self._recovery.join()

    def materialize(self, project: Project, group_id: int) -> int:
        """Write to the Delta table everything that was accepted before this call.

        Parameters
        ----------
        project : Project
            Project of the feature group.
        group_id : int
            Its id; a group that is gone has nothing to write.

        Returns
        -------
        int
            How many records were taken from the log.

        Raises
        ------
        OnlineError
            If other writers of the table were in the way at every attempt.
        """
        taken = 0
        with self._store.alone(group_id):
            _, until = self._store.database(project.id).watermarks(group_id)
            while not self._stopping.is_set():
                group = self._platform.catalog.get(group_id, FEATURE_GROUP)
                if group is None:
                    break
                count = self._write_chunk(project, group, until)
                taken += count
                if count == 0:
                    break
        return taken

    def _write_chunk(self, project: Project, group: Entity, until: int) -> int:
        database = self._store.database(project.id)
        entries = database.log_entries(group.id, until, _CHUNK)
        if not entries:
            return 0
        end = entries[-1][0] + 1
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._commit(project, group, entries, end)
                break
            except (DeltaError, SchemaMismatchError) as error:
                if attempt == _ATTEMPTS:
                    raise OnlineError(
                        f"feature group {group.name!r} version {group.version} could not be materialised: {error}; "
                        "its records are kept, run the job again"
                    ) from error
                _log.info("materialisation of %s met another writer, attempt %d: %s", group.name, attempt, error)
                time.sleep(0.05 * attempt)
        database.shorten_log(group.id, end)
        record_commit(self._platform, project, group)
        return len(entries)

    def _commit(self, project: Project, group: Entity, entries: Sequence[tuple[Any, ...]], end: int) -> None:
        """Write the entries that the table does not have yet, and with them the offset behind the last."""
        table = delta_table(self._platform, project, group)
        application = f"deepcube-topic-{group.id}"
        done = (table.transaction_version(application) if table is not None else None) or 0
        rows = self._rows(group, [entry for entry in entries if entry[0] >= done])
        if end <= done or not rows:
            return
        properties = CommitProperties(app_transactions=[Transaction(application, end)])
        data = _arrow(group, rows)
        if table is None:
            place = delta_location(self._platform, project, group)
            partition = [feature["name"] for feature in group.body["features"] if feature["partition"]]
            write_deltalake(
                place, data, partition_by=partition or None, configuration=_FEED, commit_properties=properties
            )
            return
        append_columns(self._platform, project, group)
        table = delta_table(self._platform, project, group)
        assert table is not None
        _merge(table, group, data, properties)

    def _rows(self, group: Entity, entries: Iterable[tuple[Any, ...]]) -> list[Row]:
        """Decode entries and keep what stands at their end: the last row of each key, none of deleted keys."""
        key, identity = primary_key(group.body), _identity(group)
        rows: dict[Any, Row] = {}
        codecs: dict[int, Any] = {}
        by_key: dict[Any, set[Any]] = {}
        for position, subject_id, operation, record in entries:
            if subject_id not in codecs:
                subject = self._platform.catalog.get(subject_id, SUBJECT)
                assert subject is not None, "a subject lives as long as its feature group"
                codecs[subject_id] = codec_of(subject)
            row = codecs[subject_id].read(record)
            deleted_by = tuple(row.get(name) for name in key)
            if operation == DELETE:
                for written in by_key.pop(deleted_by, ()):
                    rows.pop(written, None)
                continue
            written = tuple(row.get(name) for name in identity) if key else position
            rows[written] = row
            by_key.setdefault(deleted_by, set()).add(written)
        return list(rows.values())


def _identity(group: Entity) -> list[str]:
    """Return the features that tell rows of the offline table apart, as the client's own writes do."""
    event = event_time(group.body)
    partition = [feature["name"] for feature in group.body["features"] if feature["partition"]]
    names = [*primary_key(group.body), *([event] if event else []), *partition]
    return list(dict.fromkeys(names))


def _arrow(group: Entity, rows: list[Row]) -> pa.Table:
    """Return decoded rows as a table with the group's types; features a row does not know are null."""
    schema = arrow_schema(group.body)
    arrays = []
    for column in columns_of(group.body["features"]):
        values = [row.get(column.name) for row in rows]
        if is_complex(column.type):
            codec = ValueCodec(column.type)
            values = [None if value is None else codec.read(value) for value in values]
            if pa.types.is_map(column.type):
                values = [None if value is None else list(value.items()) for value in values]
        if pa.types.is_timestamp(column.type):
            arrays.append(pa.array(values, pa.int64()).cast(column.type))
        elif pa.types.is_date(column.type):
            arrays.append(pa.array(values, pa.int32()).cast(column.type))
        else:
            arrays.append(pa.array(values, column.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _merge(table: DeltaTable, group: Entity, data: pa.Table, properties: CommitProperties) -> None:
    identity = _identity(group)
    if not primary_key(group.body):
        write_deltalake(table, data, mode="append", commit_properties=properties)
        return
    # Null equals nothing in SQL, so a row with a null event time would be inserted again and again.
    conditions = [
        f"new.`{name}` IS NOT DISTINCT FROM old.`{name}`" if data[name].null_count else f"new.`{name}` = old.`{name}`"
        for name in identity
    ]
    merger = table.merge(
        data, " AND ".join(conditions), source_alias="new", target_alias="old", commit_properties=properties
    )
    merger.when_matched_update_all().when_not_matched_insert_all().execute()


def run_job(platform: Platform, project: Project, arguments: dict[str, Any]) -> None:
    """Run a materialisation job: a built-in job of kind ``materialize`` whose target is a feature group's id.

    Raises
    ------
    EmbeddedError
        If the job has no target, or its feature group is gone.
    """
    from deepcube.embedded.runtime.builtin import say

    group = platform.catalog.get(int(arguments.get("target") or 0), FEATURE_GROUP)
    if group is None or group.project_id != project.id:
        raise EmbeddedError("the feature group of this materialisation job does not exist any more; remove the job")
    taken = platform.service(Materializer).materialize(project, group.id)
    say(f"{taken} records of the topic are in the offline table of {group.name} version {group.version}")
