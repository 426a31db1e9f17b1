# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = ["feast[duckdb]==0.67.0", "httpx", "numpy", "pandas<3", "pyarrow"]
# ///
"""Feast's local provider on the same tables, in process and behind its HTTP feature server: one JSON line.

Runs in an environment of its own: its pins do not go together with ours. Called by ``benchmarks.embedded`` with a
folder of parquet files.
"""

import datetime as dt
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

warnings.filterwarnings("ignore")

import httpx  # noqa: E402
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
        batches = _timed(
            lambda keys: store.get_online_features(
                features=features, entity_rows=[{"entity_id": key} for key in keys]
            ).to_dict(),
            count,
            500,
        )
        with _server(store, Path(scratch)) as address, httpx.Client(timeout=60) as client:

            def ask(keys: list[int]) -> None:
                body = {"features": features, "entities": {"entity_id": keys}}
                client.post(f"{address}/get-online-features", json=body).raise_for_status()

            single, served = _timed(ask, count, 1), _timed(ask, count, 500)
    result = {
        "pit_rows_per_s": joined,
        "materialize_rows_per_s": written,
        "batch_vectors_per_s": 500 / statistics.mean(batches),
        "http_p50_ms": statistics.median(single) * 1e3,
        "http_batch_vectors_per_s": 500 / statistics.mean(served),
    }
    print(json.dumps(result), flush=True)


def _timed(ask: Callable[[list[int]], object], count: int, batch: int) -> list[float]:
    """Ask for vectors of keys spread over the table for some seconds; return the seconds of each request."""
    seconds: list[float] = []
    while sum(seconds) < 5:
        keys = [(len(seconds) * 7919 + k * 31) % count for k in range(batch)]
        began = time.perf_counter()
        ask(keys)
        seconds.append(time.perf_counter() - began)
    return seconds


@contextmanager
def _server(store: FeatureStore, folder: Path) -> Iterator[str]:
    """Run Feast's feature server on a store, in a process of its own."""
    (folder / "feature_store.yaml").write_text(
        f"project: {store.project}\nprovider: local\nregistry: {folder}/registry.db\n"
        f"online_store:\n  type: sqlite\n  path: {folder}/online.db\nentity_key_serialization_version: 3\n"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = str(Path(sys.executable).with_name("feast"))
    command = [program, "--chdir", str(folder), "serve", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
    with (folder / "server.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(600):
                with suppress(httpx.HTTPError):
                    httpx.get(f"{address}/health", timeout=1).raise_for_status()
                    break
                if process.poll() is not None:
                    sys.exit((folder / "server.log").read_text()[-2000:])
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()


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
