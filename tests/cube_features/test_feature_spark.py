"""Spark computes the same rows as one process, to the last bit."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from deepcube.cubes import open_cube
from deepcube.cubes.features import Anomaly, Lag, Masked, Ndvi, Season, Window, declare, extract
from deepcube.cubes.simulate import simulate


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = simulate("drought", tmp_path_factory.mktemp("spark") / "made", seed=0, size="tiny", side=16, days=400)
    return str(made.data)


def declared(store):
    """Return a function that opens the cube in a worker."""

    def opened():
        ndvi = Masked(Ndvi("s2_B04", "s2_B8A"), "s2_mask", (0,))
        features = {
            "ndvi": ndvi,
            "lag": Lag(ndvi, 1),
            "mean": Window(ndvi, 6, "mean", 1),
            "std": Window(ndvi, 6, "std", 2),
            "anomaly": Anomaly(ndvi, ("2016-01-01", "2017-01-01"), standardised=True),
            "season": Season("cos"),
        }
        return declare(open_cube(store).grid("s2_30m_5day"), features, required=["mean"], tile=(5, 7))

    return opened


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    from pyspark.sql import SparkSession

    from deepcube.embedded.runtime.spark import java_home

    home = SimpleNamespace(home=SimpleNamespace(run=tmp_path_factory.mktemp("java")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_HOME", str(java_home(home)))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        running = builder.config("spark.driver.memory", "1g").getOrCreate()
        yield running
        running.stop()


def test_a_worker_computes_the_tiles_it_is_told(store):
    from deepcube.cubes.spark import _Tiles, spark_schema

    extraction = declared(store)()
    batches = iter([pa.record_batch({"id": [3, 0]}), pa.record_batch({"id": [1]})])
    found = pa.Table.from_batches(_Tiles(declared(store))(batches), extraction.schema)
    assert found.equals(pa.concat_tables([extraction.tile(number) for number in (3, 0, 1)]))
    assert spark_schema(extraction).startswith("`cell_id` bigint, `time` timestamp_ntz, `ndvi` double")


@pytest.mark.slow
def test_spark_and_one_process_agree_to_the_last_bit(session, store):
    from deepcube.cubes.spark import spark_rows

    extraction = declared(store)()
    here = pa.concat_tables(table for _, table in extract(extraction)).to_pandas()
    rows = spark_rows(session, declared(store), partitions=2).toArrow()
    assert rows.schema.names == extraction.schema.names
    assert [str(field.type) for field in rows.schema] == [str(field.type) for field in extraction.schema]
    keys = ["cell_id", "time"]
    there = rows.to_pandas().sort_values(keys, ignore_index=True)
    here = here.sort_values(keys, ignore_index=True)
    assert len(here) > 1000 and here["anomaly"].notna().any()
    pd.testing.assert_frame_equal(here, there.astype(here.dtypes), check_exact=True)
    for name in extraction.features:
        assert np.array_equal(here[name].to_numpy().view(np.int64), there[name].to_numpy().view(np.int64))
    assert spark_rows(session, declared(store), partitions=3).rdd.getNumPartitions() == 3
