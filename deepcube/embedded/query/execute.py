"""Run a resolved query: record batches, as they come.

A query without point-in-time joins is DuckDB's. With one, the root's rows come in chunks; for each chunk every joined
group contributes a vector of row positions, found by :mod:`deepcube.embedded.query.pit` or, for an ordinary join, by
DuckDB, and columns are looked up last. Only the joined groups' needed columns and one chunk are held in memory, unless
a right or full join needs all of the root at once.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

import duckdb
import pyarrow as pa

from deepcube.embedded.platform import Platform
from deepcube.embedded.query import sql
from deepcube.embedded.query.engine import BATCH_ROWS, connect
from deepcube.embedded.query.frames import Frames
from deepcube.embedded.query.resolve import Query
from deepcube.embedded.query.tables import attach


def run(platform: Platform, query: Query) -> pa.RecordBatchReader:
    """Run a query.

    Parameters
    ----------
    platform : Platform
        The platform.
    query : Query
        What to run.

    Returns
    -------
    pa.RecordBatchReader
        The rows; the work is done as batches are read, and stops when the reader is dropped.

    Raises
    ------
    ApiError
        400 if the query cannot be run.
    """
    batches = _batches(platform, query)
    first = next(batches)
    assert isinstance(first, pa.Schema)
    return pa.RecordBatchReader.from_batches(first, batches)


def _batches(platform: Platform, query: Query) -> Generator[pa.Schema | pa.RecordBatch]:
    """Yield the schema of the result, then its batches."""
    with connect(platform) as connection:
        rows = (_point_in_time if query.point_in_time else _plain)(connection, platform, query)
        with closing(rows):
            yield from rows


def _plain(
    connection: duckdb.DuckDBPyConnection, platform: Platform, query: Query
) -> Generator[pa.Schema | pa.RecordBatch]:
    for source in query.sources.values():
        attach(connection, platform, source)
    reader = connection.execute(sql.offline_sql(query)).to_arrow_reader(BATCH_ROWS)
    yield reader.schema
    yield from reader


def _point_in_time(
    connection: duckdb.DuckDBPyConnection, platform: Platform, query: Query
) -> Generator[pa.Schema | pa.RecordBatch]:
    frames = Frames(connection, query, lambda cursor, source: attach(cursor, platform, source))
    yield frames.schema
    left = query.limit
    for batch in frames.batches():
        if left is not None:
            batch = batch.slice(0, left)
            left -= len(batch)
        if len(batch):
            yield batch
        if left == 0:
            return
