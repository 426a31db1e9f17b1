"""Online feature store: latency and throughput of feature vectors through the real client, and of writing."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.embedded_offline import feature_group
from benchmarks.measure import Comparison, percentile

_VIEW = "bench_online"


def prepare(fs: Any, rows: int) -> float:
    """Write ``rows`` rows of 9 features to an online group behind a feature view; return rows per second."""
    group = feature_group(fs, f"bench_online_{rows}", ["entity_id"], online=True)
    frame = data.wide(rows)
    began = time.perf_counter()
    group.insert(frame, storage="online", write_options={"wait_for_online_ingestion": True})
    seconds = time.perf_counter() - began
    fs.get_or_create_feature_view(_VIEW, version=1, query=group.select(["entity_id", *[f"f{i}" for i in range(9)]]))
    return rows / seconds


def vectors(fs: Any, rows: int, batch: int, clients: int, seconds: float) -> dict[str, float]:
    """Ask for vectors from ``clients`` processes at once.

    Returns
    -------
    dict
        ``p50_ms`` and ``p99_ms`` of a request, ``vectors_per_s`` over all clients.
    """
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(clients), context.Queue()
    arguments = [(rows, batch, seconds, seed, barrier, results) for seed in range(clients)]
    processes = [context.Process(target=_client, args=a) for a in arguments]
    for process in processes:
        process.start()
    got = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    latencies = [value for values, _ in got for value in values]
    rate = sum(len(values) * batch / elapsed for values, elapsed in got)
    return {
        "p50_ms": percentile(latencies, 0.5) * 1e3,
        "p99_ms": percentile(latencies, 0.99) * 1e3,
        "vectors_per_s": rate,
    }


def _client(rows: int, batch: int, seconds: float, seed: int, barrier: Barrier, results: Any) -> None:
    os.environ["HOPSWORKS_ENGINE"] = "python"
    import hopsworks

    view = hopsworks.login().get_feature_store().get_feature_view(_VIEW, 1)
    view.init_serving(1)
    keys = np.random.default_rng(seed).integers(0, rows, (256, batch)).tolist()
    ask: Callable[[list[int]], Any] = (
        (lambda k: view.get_feature_vector({"entity_id": k[0]}))
        if batch == 1
        else (lambda k: view.get_feature_vectors([{"entity_id": e} for e in k]))
    )
    for request in keys[:5]:
        ask(request)
    barrier.wait()
    latencies: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        request = random.choice(keys)
        start = time.perf_counter()
        ask(request)
        latencies.append(time.perf_counter() - start)
    results.put((latencies, time.perf_counter() - began))


def online(fs: Any, rows: int, seconds: float, feast: dict[str, Any] | None) -> list[Comparison]:
    """Compare one client with the wanted latency, four with one, and batches and writing with Feast where it ran."""
    written = prepare(fs, rows)
    one = vectors(fs, rows, 1, 1, seconds)
    four = vectors(fs, rows, 1, 4, seconds)
    batch = vectors(fs, rows, 500, 1, seconds)
    lines = [
        Comparison("get_feature_vector, p50", one["p50_ms"], 0.5, "the limit set for it", "ms", 1.0),
        Comparison("get_feature_vector, p99", one["p99_ms"], 1.5, "the limit set for it", "ms", 1.0),
        Comparison("4 clients", four["vectors_per_s"], one["vectors_per_s"], "1 client", "vectors/s", 1.7),
    ]
    if feast is not None:
        rate = feast["batch_vectors_per_s"]
        lines += [
            Comparison("get_feature_vector, p50", one["p50_ms"], feast["http_p50_ms"], "Feast feature server", "ms"),
            Comparison("batches of 500", batch["vectors_per_s"], rate, "Feast, sqlite online store", "vectors/s", 3.0),
            Comparison(
                "batches of 500",
                batch["vectors_per_s"],
                feast["http_batch_vectors_per_s"],
                "Feast feature server",
                "vectors/s",
            ),
            Comparison(
                "materialise online", written, feast["materialize_rows_per_s"], "Feast materialize", "rows/s", 10.0
            ),
        ]
    return lines
