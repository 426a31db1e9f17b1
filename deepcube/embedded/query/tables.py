"""The rows of a feature group in DuckDB: as they are now, as they were, or as they changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from deepcube.embedded.errors import PATH_OUTSIDE_PROJECT, QUERY_FAILED, ApiError, bad_request, unsupported
from deepcube.embedded.platform import Platform
from deepcube.embedded.query import literals
from deepcube.embedded.query.external import rows_of
from deepcube.embedded.query.resolve import Source
from deepcube.embedded.query.sql import DUCKDB
from deepcube.embedded.store import groups
from deepcube.embedded.store.types import arrow_type

MAX_FILE_ROWS = 1_000_000
_CHANGE = "_change_type"
_COMMIT = "_commit_version"


def attach(connection: duckdb.DuckDBPyConnection, platform: Platform, source: Source) -> None:
    """Make a source readable under its alias, with exactly the features of its group.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Where to.
    platform : Platform
        The platform.
    source : Source
        The source, with its times of time travel.

    Raises
    ------
    ApiError
        400 if there was no commit at the time asked for, 501 if the group has no rows of its own.
    """
    if source.file is not None:
        connection.register(source.alias, _file_rows(source.file, groups.arrow_schema(source.body)))
        return
    if source.body.get("spine"):
        raise unsupported("reading a spine group", "its rows come with a call; pass them as spine_df")
    if groups.is_external(source.body):
        connection.execute(_view(source, _present(connection, source, rows_of(platform, source))))
        return
    table = groups.delta_table(platform, source.project, source.group)
    if table is not None and source.since_ms is not None:
        origin = f"{source.alias}_changes"
        connection.register(origin, _changed(table, source))
        text = _changes(source, [_column(feature, True) for feature in source.body["features"]], DUCKDB.name(origin))
    else:
        text = _snapshot(connection, platform, source, table)
    connection.execute(_view(source, text))


def _view(source: Source, text: str) -> str:
    return f"CREATE TEMP VIEW {DUCKDB.name(source.alias)} AS {text}"


def _present(
    connection: duckdb.DuckDBPyConnection, source: Source, rows: str, cast: Callable[[dict[str, Any]], bool] = bool
) -> str:
    """Write the query for the features of a group, of which the rows may lack some.

    Parameters
    ----------
    rows : str
        DuckDB expression of the rows.
    cast : callable
        Tells of which features the values come in another type.
    """
    present = {name for name, *_ in connection.execute(f"SELECT * FROM {rows} LIMIT 0").description}
    columns = [_column(feature, feature["name"] in present, cast(feature)) for feature in source.body["features"]]
    return f"SELECT {', '.join(columns)} FROM {rows}"


def _snapshot(
    connection: duckdb.DuckDBPyConnection, platform: Platform, source: Source, table: DeltaTable | None
) -> str:
    """Write the query for a table's rows as they are, or were at the time that the source names."""
    if table is not None and source.until_ms is not None:
        table.load_as_version(_version_at(table, source))
    files = [] if table is None else _files(table, groups.delta_location(platform, source.project, source.group))
    if table is None or not files:
        return "SELECT " + ", ".join(_column(feature, False) for feature in source.body["features"]) + " WHERE FALSE"
    partitions = set(table.metadata().partition_columns)
    listed = ", ".join(literals.offline(file) for file in files)
    options = "union_by_name = true, hive_partitioning = " + (
        "true, hive_types_autocast = false" if partitions else "false"
    )
    rows = f"read_parquet([{listed}], {options})"
    return _present(connection, source, rows, lambda feature: feature["name"] in partitions)


def _files(table: DeltaTable, folder: Path) -> list[str]:
    """Return the data files of a table.

    The log of a table is written by clients: a file that it names outside the table's folder is not read.

    Raises
    ------
    ApiError
        403 if there is such a file.
    """
    inside = os.path.realpath(folder) + os.sep
    files = table.file_uris()
    for file in files:
        if not os.path.realpath(file).startswith(inside):
            raise ApiError(403, PATH_OUTSIDE_PROJECT, f"the table {folder.name} names a file outside of it: {file}")
    return files


def _column(feature: dict[str, Any], present: bool, cast: bool = False) -> str:
    """Write a feature for the view; one that the table does not have yet is missing in every row."""
    name = DUCKDB.name(feature["name"])
    if present and not cast:
        return name
    return f"CAST({name if present else 'NULL'} AS {duckdb_type(arrow_type(feature['type']))}) AS {name}"


def _file_rows(file: Path, schema: pa.Schema) -> pa.Table:
    """Read the caller's rows, which must be what the call says that they are."""
    try:
        if pq.read_metadata(file).num_rows > MAX_FILE_ROWS:
            raise bad_request(f"the rows of a query can be at most {MAX_FILE_ROWS}; read in parts", QUERY_FAILED)
        table = pq.read_table(file, columns=schema.names)
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError, ValueError, OSError) as error:
        raise bad_request(f"the rows of the query cannot be read: {error}", QUERY_FAILED) from None


def _history(table: DeltaTable) -> list[tuple[int, int]]:
    """Return version and time (ms) of each commit that the log still has, oldest first."""
    return sorted((int(entry["version"]), int(entry["timestamp"])) for entry in table.history())


def _version_at(table: DeltaTable, source: Source) -> int:
    history = _history(table)
    found = [version for version, time in history if time <= (source.until_ms or 0)]
    if not found:
        raise bad_request(
            f"No commits found for feature group {source.group.name!r} version {source.group.version} at or before "
            f"{source.until_ms}; the first one that is kept is at {history[0][1]} (milliseconds since the epoch)",
            QUERY_FAILED,
        )
    return max(found)


def _changed(table: DeltaTable, source: Source) -> pa.Table:
    """Return what the commits between two times wrote, with how and by which commit."""
    until = source.until_ms if source.until_ms is not None else 2**62
    versions = [version for version, time in _history(table) if (source.since_ms or 0) < time <= until]
    fields = [*groups.arrow_schema(source.body), pa.field(_CHANGE, pa.string()), pa.field(_COMMIT, pa.int64())]
    if not versions:
        return pa.schema(fields).empty_table()
    changes = pa.table(table.load_cdf(starting_version=min(versions), ending_version=max(versions)).read_all())
    missing = [field for field in fields if field.name not in changes.schema.names]
    for field in missing:
        changes = changes.append_column(field, pa.nulls(len(changes), field.type))
    return changes


def _changes(source: Source, columns: list[str], origin: str) -> str:
    """Write the query for changed rows: of each key the last state, unless that is its deletion."""
    body = source.body
    keys = groups.primary_key(body)
    keys += [f["name"] for f in body["features"] if f["partition"] and f["name"] not in keys]
    if (time := groups.event_time(body)) is not None and time not in keys:
        keys.append(time)
    text = f"SELECT {', '.join(columns)} FROM {origin} WHERE {_CHANGE} <> 'update_preimage'"
    if not groups.primary_key(body):
        return f"{text} AND {_CHANGE} <> 'delete'"
    by = ", ".join(DUCKDB.name(key) for key in keys)
    # A merge that replaces a row writes its deletion first: of one commit, what is written counts.
    last = f"row_number() OVER (PARTITION BY {by} ORDER BY {_COMMIT} DESC, {_CHANGE} = 'delete')"
    return f"SELECT {', '.join(columns)} FROM (SELECT * FROM {origin} WHERE {_CHANGE} <> 'update_preimage' " + (
        f"QUALIFY {last} = 1) WHERE {_CHANGE} <> 'delete'"
    )


def duckdb_type(kind: pa.DataType) -> str:
    """Return the DuckDB name of an Arrow type of a feature."""
    if pa.types.is_list(kind):
        return f"{duckdb_type(kind.value_type)}[]"
    if pa.types.is_map(kind):
        return f"MAP({duckdb_type(kind.key_type)}, {duckdb_type(kind.item_type)})"
    if pa.types.is_struct(kind):
        return "STRUCT(" + ", ".join(f"{DUCKDB.name(field.name)} {duckdb_type(field.type)}" for field in kind) + ")"
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    return _DUCKDB[kind]


_DUCKDB = {
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.string(): "VARCHAR",
    pa.timestamp("us"): "TIMESTAMP",
    pa.date32(): "DATE",
    pa.binary(): "BLOB",
}
