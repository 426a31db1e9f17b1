"""Online feature store: latency and throughput of feature vectors through the real client, and of writing."""

from __future__ import annotations

import contextlib
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
from benchmarks.replay import replayed

_VIEW = "bench_online"


def prepare(fs: Any, rows: int) -> tuple[float, float]:
    """Write ``rows`` rows of 9 features to an online group behind a feature view.

    Returns
    -------
    (float, float)
        Rows per second, and those that the client's own processor time alone would allow.
    """
    group = feature_group(fs, f"bench_online_{rows}", ["entity_id"], online=True)
    frame = data.wide(rows)
    began, used = time.perf_counter(), time.process_time()
    group.insert(frame, storage="online", write_options={"wait_for_online_ingestion": True})
    seconds, client = time.perf_counter() - began, time.process_time() - used
    fs.get_or_create_feature_view(_VIEW, version=1, query=group.select(["entity_id", *[f"f{i}" for i in range(9)]]))
    return rows / seconds, rows / client


def vectors(fs: Any, rows: int, batch: int, clients: int, seconds: float, replay: str = "") -> dict[str, float]:
    """Ask for vectors from ``clients`` processes at once.

    Parameters
    ----------
    replay : str
        Address of the MySQL wire, to have its answers recorded and replayed: what is left is the client's own time.

    Returns
    -------
    dict
        ``p50_ms`` and ``p99_ms`` of a request, ``vectors_per_s`` over all clients.
    """
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(clients), context.Queue()
    arguments = [(rows, batch, seconds, seed, barrier, results, replay) for seed in range(clients)]
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


def _client(rows: int, batch: int, seconds: float, seed: int, barrier: Barrier, results: Any, replay: str) -> None:
    os.environ["HOPSWORKS_ENGINE"] = "python"
    import hopsworks

    keys = np.random.default_rng(seed).integers(0, rows, (1 if replay else 256, batch)).tolist()
    with replayed(replay) if replay else contextlib.nullcontext():
        results.put(_ask(hopsworks.login().get_feature_store(), keys, seconds, barrier))


def _ask(fs: Any, keys: list[list[int]], seconds: float, barrier: Barrier) -> tuple[list[float], float]:
    """Ask for vectors of one of ``keys`` at a time; return the seconds of each request, and of all."""
    view = fs.get_feature_view(_VIEW, 1)
    view.init_serving(1)
    ask: Callable[[list[int]], Any] = (
        (lambda k: view.get_feature_vector({"entity_id": k[0]}))
        if len(keys[0]) == 1
        else (lambda k: view.get_feature_vectors([{"entity_id": e} for e in k]))
    )
    for _ in range(40):
        ask(random.choice(keys))
    barrier.wait()
    latencies: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        request = random.choice(keys)
        start = time.perf_counter()
        ask(request)
        latencies.append(time.perf_counter() - start)
    return latencies, time.perf_counter() - began


def online(fs: Any, rows: int, seconds: float, feast: dict[str, Any] | None, mysql_host: str) -> list[Comparison]:
    """Compare one client with the wanted latency, four with one, and batches and writing with Feast where it ran."""
    written, ceiling = prepare(fs, rows)
    one = vectors(fs, rows, 1, 1, seconds)
    alone = vectors(fs, rows, 1, 1, seconds, replay=mysql_host)
    four = vectors(fs, rows, 1, 4, seconds)
    batch = vectors(fs, rows, 500, 1, seconds)
    batch_alone = vectors(fs, rows, 500, 1, seconds, replay=mysql_host)
    lines = [
        Comparison("get_feature_vector, p50", one["p50_ms"], 0.5, "the limit set for it", "ms", 1.0),
        Comparison("get_feature_vector, p99", one["p99_ms"], 1.5, "the limit set for it", "ms", 1.0),
        Comparison("get_feature_vector, p50", one["p50_ms"], alone["p50_ms"], "the client with replayed answers", "ms"),
        Comparison(
            "batches of 500",
            batch["vectors_per_s"],
            batch_alone["vectors_per_s"],
            "the client with replayed answers",
            "vectors/s",
        ),
        Comparison("materialise online", written, ceiling, "the client's own processor time alone", "rows/s"),
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
