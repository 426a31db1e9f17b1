"""Features by Spark: the same rows as in one process, tile by tile, on as many cores or machines as there are.

Tiles are numbered rows of a DataFrame; ``mapInArrow`` hands their numbers to Python workers, each of which opens the
cube itself and computes its tiles with the very code of :mod:`deepcube.cubes.features.extract`. No value passes through
another implementation, so the rows agree to the last bit. The session comes from the caller: in a PySpark job of
Hopsworks it is ``SparkSession.builder.getOrCreate()``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from deepcube.cubes.features.extract import Extraction

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_TYPES = {pa.int64(): "bigint", pa.float64(): "double", pa.timestamp("us"): "timestamp_ntz"}


def spark_rows(
    session: SparkSession, declared: Callable[[], Extraction], *, partitions: int | None = None
) -> DataFrame:
    """Return the rows of an extraction as a Spark DataFrame, not computed until they are asked for.

    Parameters
    ----------
    session : SparkSession
        Session to run in; its workers need this package and a path on which they see the cube.
    declared : callable
        Opens the cube and declares the extraction, such as
        ``lambda: declare(open_cube(path).grid("main"), features)``. Called here once and once per task in the workers.
    partitions : int, optional
        Number of tasks; by default four per core, so that slow tiles even out, but no more than tiles.

    Returns
    -------
    DataFrame
        ``cell_id`` (bigint), ``time`` (timestamp_ntz) and a double per feature; rows in no order.
    """
    extraction = declared()
    wanted = partitions or 4 * session.sparkContext.defaultParallelism
    numbers = session.range(0, extraction.tiles, 1, max(1, min(wanted, extraction.tiles)))
    return numbers.mapInArrow(_Tiles(declared), spark_schema(extraction))


def spark_schema(extraction: Extraction) -> str:
    """Return the columns of an extraction as Spark writes them."""
    return ", ".join(f"`{field.name}` {_TYPES[field.type]}" for field in extraction.schema)


class _Tiles:
    """Computes tiles by their numbers in a worker."""

    def __init__(self, declared: Callable[[], Extraction]) -> None:
        self._declared = declared

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        extraction = None
        for batch in batches:
            for number in batch.column("id").to_pylist():
                extraction = extraction or self._declared()
                yield from extraction.tile(number).combine_chunks().to_batches()
