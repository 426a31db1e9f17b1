"""Offline feature store: point-in-time training data, first insert, merge and read, beside raw engines."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from benchmarks import data
from benchmarks.measure import Comparison, in_turn

_ENTITIES = 10_000


def point_in_time(fs: Any, rows: int, runs: int) -> list[Comparison]:
    """Join a spine of ``rows`` labels with three feature groups as of each label's time, up to a pandas frame."""
    import polars as pl

    per_entity = 100
    groups = [data.point_in_time_group(g, _ENTITIES, per_entity) for g in range(3)]
    labels = data.spine(rows, _ENTITIES)
    stored = [_store(fs, f"pit_g{g}_{rows}", frame, ["entity_id"]) for g, frame in enumerate(groups)]
    root = _store(fs, f"pit_labels_{rows}", labels, ["row_id"])
    query = root.select_all()
    for g, group in enumerate(stored):
        query = query.join(group.select([f"g{g}_f{i}" for i in range(3)]), on=["entity_id"])
    tables = [str(Path(group.location)) for group in stored]

    def polars() -> pd.DataFrame:
        frame = _scan(pl, root.location).sort("event_time")
        for table in tables:
            right = _scan(pl, table).sort("event_time")
            frame = frame.join_asof(right, on="event_time", by="entity_id", strategy="backward")
        return frame.collect().to_pandas()

    def pandas() -> pd.DataFrame:
        frame = DeltaTable(root.location).to_pandas().sort_values("event_time")
        for table in tables:
            right = DeltaTable(table).to_pandas().sort_values("event_time")
            frame = pd.merge_asof(frame, right, on="event_time", by="entity_id")
        return frame

    ours = query.read()
    reference = pandas()
    columns = [f"g{g}_f{i}" for g in range(3) for i in range(3)]
    same = ours.sort_values("row_id")[columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, reference.sort_values("row_id")[columns].reset_index(drop=True))
    seconds = in_turn({"ours": query.read, "polars": polars, "pandas": pandas}, runs)
    what = f"point-in-time training data, {rows:,} rows, 3 groups"
    return [
        Comparison(what, rows / seconds["ours"], rows / seconds[peer], name, "rows/s", target)
        for peer, name, target in (("polars", "polars join_asof", 0.5), ("pandas", "pandas merge_asof", 0.5))
    ]


def insert_merge_read(fs: Any, rows: int, runs: int, server: psutil.Process) -> list[Comparison]:
    """Insert, merge a tenth, and read a table of 9 features, through the client and with the bare libraries.

    Parameters
    ----------
    server : psutil.Process
        The embedded server: the processor time that it takes for an insert is its share of the whole.
    """
    frame = data.wide(rows)
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    tenth = rows // 10
    changes = data.wide(tenth, seed=8)
    updated = np.linspace(0, rows - 1, tenth // 2).astype(np.int64)
    changes["entity_id"] = np.concatenate([updated, np.arange(rows, rows + tenth - tenth // 2)])
    changes_arrow = pa.Table.from_pandas(changes, preserve_index=False)
    state: dict[str, Any] = {}
    shares: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table"

        def fresh_group() -> None:
            state["group"] = feature_group(fs, f"wide_{uuid.uuid4().hex[:8]}", ["entity_id"])

        def fresh_table() -> None:
            shutil.rmtree(path, ignore_errors=True)

        def insert_ours() -> None:
            began, used = time.perf_counter(), _processor_seconds(server)
            state["group"].insert(frame)
            shares.append((_processor_seconds(server) - used) / (time.perf_counter() - began))

        def filled_group() -> None:
            fresh_group()
            insert_ours()

        def filled_table() -> None:
            fresh_table()
            write_deltalake(str(path), arrow)

        def merge_bare() -> None:
            merger = DeltaTable(str(path)).merge(
                changes_arrow,
                "t.entity_id = s.entity_id AND t.event_time = s.event_time",
                source_alias="s",
                target_alias="t",
            )
            merger.when_matched_update_all().when_not_matched_insert_all().execute()

        insert = in_turn(
            {"ours": insert_ours, "bare": lambda: write_deltalake(str(path), arrow)},
            runs,
            before={"ours": fresh_group, "bare": fresh_table},
        )
        share = statistics.median(shares)
        merge = in_turn(
            {"ours": lambda: state["group"].insert(changes), "bare": merge_bare},
            runs,
            before={"ours": filled_group, "bare": filled_table},
        )
        filled_group()
        location = state["group"].location
        scan = f"SELECT * FROM read_parquet({[str(f) for f in Path(location).glob('*.parquet')]})"
        functions = {"ours": state["group"].read, "bare": lambda: duckdb.connect().execute(scan).df()}
        read = in_turn(functions, runs)
        with without_animation():
            plain = in_turn(functions, runs)
    shape = f"{rows:,} x 9"
    return [
        Comparison(
            f"first insert of {shape}", rows / insert["ours"], rows / insert["bare"], "bare delta write", "rows/s"
        ),
        Comparison(f"our server's share of an insert of {shape}", 100 * share, 20.0, "the limit set for it", "%", 1.0),
        Comparison(
            f"merge of {tenth:,} into {shape}",
            tenth / merge["ours"],
            tenth / merge["bare"],
            "bare delta merge",
            "rows/s",
            0.6,
        ),
        *(
            Comparison(
                f"read of {shape} to pandas{note}",
                rows / seconds["ours"],
                rows / seconds["bare"],
                "DuckDB scan of the same files",
                "rows/s",
                wanted,
            )
            for note, seconds, wanted in (("", read, None), (", without the client's animation", plain, 0.6))
        ),
    ]


@contextlib.contextmanager
def without_animation() -> Iterator[None]:
    """Have the client show no animation in a block.

    It draws one while it reads, in steps of half a second whose last it waits for, so that any read takes a multiple
    of half a second to whoever calls it, however fast the answer came.
    """
    from hopsworks_common import util

    animation = util._loading_animation
    util._loading_animation = lambda message, stop_event: None
    try:
        yield
    finally:
        util._loading_animation = animation


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def feature_group(fs: Any, name: str, keys: list[str], online: bool = False) -> Any:
    return fs.get_or_create_feature_group(
        name=name,
        version=1,
        primary_key=keys,
        event_time="event_time",
        online_enabled=online,
        time_travel_format="DELTA",
        statistics_config=False,
    )


def _store(fs: Any, name: str, frame: pd.DataFrame, keys: list[str]) -> Any:
    group = feature_group(fs, name, keys)
    group.insert(frame)
    return group


def _scan(pl: Any, location: str) -> Any:
    return pl.scan_parquet([str(file) for file in Path(location).rglob("*.parquet")])
