"""Features of a cube computed by Spark, into a feature group: the program of a PYSPARK job.

The features are declared in a Python file that travels with the job (``files`` of its configuration) and defines
``declared(cube)``, which returns an :class:`deepcube.cubes.features.Extraction`. The session is the one that the job
has: local on one machine, executors on a cluster. Rows replace those of the same cell and time, so that a job that was
cut short is simply run again.
"""

from __future__ import annotations

import argparse
import os
import runpy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from deepcube.cubes.features import Extraction

BATCH_ROWS = 500_000
"""Rows inserted at a time where the client has no Spark."""


def main(arguments: list[str] | None = None) -> None:
    """Compute and insert; the last line says how many rows there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cube", required=True, help="path on which driver and executors see the cube")
    parser.add_argument("--declaration", required=True, help="Python file that defines declared(cube)")
    parser.add_argument("--group", required=True, help="name of the feature group; it is made if there is none")
    parser.add_argument("--version", type=int, default=1, help="version of the feature group")
    parser.add_argument("--master", help="a Spark master other than the job's, such as local[2]")
    parser.add_argument("--partitions", type=int, help="number of tasks; by default four a core")
    options = parser.parse_args(arguments)

    import hopsworks
    from pyspark.sql import SparkSession

    from deepcube.cubes.spark import spark_rows

    builder = SparkSession.builder.appName(f"features of {Path(options.cube).name}")
    session = (builder.master(options.master) if options.master else builder).getOrCreate()
    rows = spark_rows(session, opener(options.cube, options.declaration), partitions=options.partitions)
    store = hopsworks.login().get_feature_store()
    group = store.get_or_create_feature_group(
        name=options.group,
        version=options.version,
        primary_key=["cell_id"],
        event_time="time",
        description=f"features of the cube {Path(options.cube).name}, computed by Spark",
        time_travel_format="DELTA",
    )
    count = insert(group, rows)
    master = session.sparkContext.master
    session.stop()
    print(f"{count} rows in {options.group} version {options.version}, by Spark on {master}")


def opener(cube: str, declaration: str) -> Callable[[], Extraction]:
    """Return a function that opens a cube and declares its features, here and in Spark's workers.

    Parameters
    ----------
    cube : str
        Path of the cube.
    declaration : str
        Python file with ``declared(cube)``; it is read here, and its function travels to the workers.
    """
    declared = runpy.run_path(declaration)["declared"]

    def opened() -> Extraction:
        from deepcube.cubes import open_cube

        found: Extraction = declared(open_cube(cube))
        return found

    return opened


def insert(group: Any, rows: DataFrame) -> int:
    """Insert rows into a feature group and return how many there are.

    The client takes a Spark DataFrame where it works with Spark, as on a cluster. On one machine it does not; rows then
    go through Parquet files, a batch at a time.
    """
    if os.environ.get("HOPSWORKS_ENGINE", "spark").startswith("spark"):  # what the client goes by in a PYSPARK job
        group.insert(rows)
        return int(rows.count())
    import pyarrow.dataset as arrow

    count = 0
    with tempfile.TemporaryDirectory() as folder:
        rows.write.mode("overwrite").parquet(folder)
        stored = arrow.dataset(folder, format="parquet")
        for batch in stored.to_batches(batch_size=BATCH_ROWS):
            if batch.num_rows:
                group.insert(batch.to_pandas())
                count += batch.num_rows
    return count


if __name__ == "__main__":
    main()
