# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["feast[duckdb]==0.67.0", "numpy", "pandas<3", "pyarrow"]
# ///
"""Feast's local provider on the same tables: one JSON line of rows per second.

Runs in an environment of its own: its pins do not go together with ours. Called by ``benchmarks.embedded`` with a
folder of parquet files.
"""

import datetime as dt
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import pandas as pd  # noqa: E402
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType  # noqa: E402
from feast.types import Float64  # noqa: E402


def main(folder: Path) -> None:
    """Measure point-in-time joins, materialisation and batches of online vectors."""
    with tempfile.TemporaryDirectory() as scratch:
        store = FeatureStore(
            config=RepoConfig(
                project="peer",
                provider="local",
                registry=f"{scratch}/registry.db",
                offline_store={"type": "duckdb"},
                online_store={"type": "sqlite", "path": f"{scratch}/online.db"},
                entity_key_serialization_version=3,
            )
        )
        entity = Entity(name="entity", join_keys=["entity_id"], value_type=ValueType.INT64)
        groups = [_view(entity, f"g{g}", folder / f"g{g}.parquet", [f"g{g}_f{i}" for i in range(3)]) for g in range(3)]
        wide = _view(entity, "wide", folder / "wide.parquet", [f"f{i}" for i in range(9)])
        store.apply([entity, *groups, wide])
        labels = pd.read_parquet(folder / "spine.parquet").rename(columns={"event_time": "event_timestamp"})
        labels["event_timestamp"] = labels["event_timestamp"].dt.tz_localize("UTC")
        names = [f"g{g}:g{g}_f{i}" for g in range(3) for i in range(3)]
        began = time.perf_counter()
        rows = len(store.get_historical_features(entity_df=labels, features=names).to_df())
        joined = rows / (time.perf_counter() - began)
        count = len(pd.read_parquet(folder / "wide.parquet", columns=["entity_id"]))
        began = time.perf_counter()
        store.materialize(
            dt.datetime(2023, 12, 31, tzinfo=dt.UTC), dt.datetime(2025, 1, 1, tzinfo=dt.UTC), feature_views=["wide"]
        )
        written = count / (time.perf_counter() - began)
        features = [f"wide:f{i}" for i in range(9)]
        asked, began = 0, time.perf_counter()
        while time.perf_counter() - began < 5:
            keys = [{"entity_id": (asked * 7919 + k * 31) % count} for k in range(500)]
            store.get_online_features(features=features, entity_rows=keys).to_dict()
            asked += 500
        online = asked / (time.perf_counter() - began)
    print(
        json.dumps({"pit_rows_per_s": joined, "materialize_rows_per_s": written, "batch_vectors_per_s": online}),
        flush=True,
    )


def _view(entity: Entity, name: str, file: Path, features: list[str]) -> FeatureView:
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=dt.timedelta(0),
        schema=[Field(name=feature, dtype=Float64) for feature in features],
        source=FileSource(path=str(file), timestamp_field="event_time"),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
