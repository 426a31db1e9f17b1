"""Features of a cube: declared and tiled, beside ``to_dataframe`` and pandas; and Spark beside one process.

Run ``python -m benchmarks.cube_features``. Every measurement is a process of its own, so that peak memory is its own.
The cost curve: ``--scales 1 10 100 --pandas-up-to 10``. Spark: ``--engines deepcube spark --scales 100``; from what a
chunk costs there it tells, on paper, how long a cube of 1 TB takes on how many cores.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

STEPS, SIDE = 120, 64
FIT = ("2010-01-01", "2011-06-01")
MEMORY = 64 * 2**20


def make_cube(path: Path, scale: int) -> None:
    """Write a cube of 120 ten-day steps and ``scale`` times 64 x 64 pixels, side by side, a chunk for each."""
    import pandas as pd
    import xarray as xr

    times = pd.date_range("2010-01-10", periods=STEPS, freq="10D")
    generator = np.random.default_rng(0)
    for part in range(scale):
        shape = (STEPS, SIDE, SIDE)
        red, nir = (generator.uniform(low, low + 0.3, shape).astype("float32") for low in (0.02, 0.2))
        axes = {"time": times, "y": 2.0 - 0.001 * np.arange(SIDE), "x": 40 + 0.001 * (np.arange(SIDE) + part * SIDE)}
        dims = ("time", "y", "x")
        block = xr.Dataset({"red": (dims, red), "nir": (dims, nir)}, axes)
        encoding = {name: {"chunks": shape} for name in ("red", "nir")}
        if part == 0:
            block.to_zarr(path, mode="w", zarr_format=3, encoding=encoding, consolidated=False)
        else:
            block.to_zarr(path, mode="a", append_dim="x", consolidated=False)


def declared(path: str) -> Any:
    """Return the extraction: index, two lags, a window's mean, an anomaly."""
    from deepcube.cubes import open_cube
    from deepcube.cubes.features import Anomaly, Lag, Ndvi, Window, declare

    ndvi = Ndvi("red", "nir")
    features = {
        "ndvi": ndvi,
        "lag_1": Lag(ndvi, 1),
        "lag_6": Lag(ndvi, 6),
        "mean_6": Window(ndvi, 6),
        "anomaly": Anomaly(ndvi, FIT, minimum=1),
    }
    return declare(open_cube(path, crs="EPSG:4326").grids[0], features, memory=MEMORY)


def by_declaration(path: str, out: Path) -> int:
    """Extract with deepcube, a Parquet row group per tile."""
    import pyarrow.parquet as pq

    from deepcube.cubes.features import feed

    extraction = declared(path)
    with pq.ParquetWriter(out, extraction.schema, use_dictionary=["cell_id", "time"]) as writer:
        return feed(extraction, writer.write_table)


def by_spark(path: str, out: Path) -> int:
    """Extract with Spark on two local cores."""
    from types import SimpleNamespace

    from pyspark.sql import SparkSession

    from deepcube.cubes.spark import spark_rows
    from deepcube.embedded.runtime.spark import java_home

    run: Any = SimpleNamespace(home=SimpleNamespace(run=out.parent))
    os.environ |= {"JAVA_HOME": str(java_home(run)), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    spark_rows(session, lambda: declared(path)).write.mode("overwrite").parquet(str(out))
    rows = int(session.read.parquet(str(out)).count())
    session.stop()
    return rows


def by_pandas(path: str, out: Path) -> int:
    """Extract the plain way: one data frame of the whole cube, grouped by pixel."""
    import pandas as pd
    import xarray as xr

    from deepcube.cubes import cell_at
    from deepcube.cubes.climatology import season_of

    frame = xr.open_zarr(path, consolidated=False)[["red", "nir"]].to_dataframe().reset_index()
    frame["cell_id"] = cell_at(frame["x"], frame["y"], declared(path).level)
    frame["ndvi"] = (frame["nir"].astype(float) - frame["red"]) / (frame["nir"].astype(float) + frame["red"])
    series = frame.groupby("cell_id", sort=False)["ndvi"]
    frame["lag_1"], frame["lag_6"] = series.shift(1), series.shift(6)
    frame["mean_6"] = series.rolling(6).mean().reset_index(level=0, drop=True)
    frame["season"] = season_of(pd.DatetimeIndex(frame["time"]), 37)
    fitted = frame[(frame["time"] >= FIT[0]) & (frame["time"] < FIT[1])]
    normal = fitted.groupby(["cell_id", "season"])["ndvi"].mean().rename("normal")
    frame = frame.join(normal, on=["cell_id", "season"])
    frame["anomaly"] = frame["ndvi"] - frame["normal"]
    frame[["cell_id", "time", "ndvi", "lag_1", "lag_6", "mean_6", "anomaly"]].to_parquet(out)
    return len(frame)


ENGINES = {"deepcube": by_declaration, "pandas": by_pandas, "spark": by_spark}


def measure(engine: str, path: str) -> dict[str, float]:
    """Run one engine here and return seconds, rows and peak memory in MB (of this process, beyond its imports)."""
    import pyarrow.parquet  # noqa: F401

    declared(path).tile(0)  # all imports are done and the files are in the cache, for every engine alike
    with _Peak() as peak, tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        rows = ENGINES[engine](path, Path(folder) / "rows.parquet")
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "rows": rows, "peak_mb": peak.megabytes}


class _Peak:
    """Largest resident memory above that at the start, sampled a hundred times a second."""

    def __enter__(self) -> _Peak:
        self._process, self._stop = psutil.Process(), threading.Event()
        self._start = self._largest = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self._largest = max(self._largest, self._process.memory_info().rss)

    @property
    def megabytes(self) -> float:
        """Megabytes above the start."""
        return (self._largest - self._start) / 2**20


def agree(path: str) -> None:
    """Check that both ways give the same rows."""
    import pandas as pd

    with tempfile.TemporaryDirectory() as folder:
        frames = []
        for engine in ("deepcube", "pandas"):
            out = Path(folder) / f"{engine}.parquet"
            ENGINES[engine](path, out)
            frames.append(pd.read_parquet(out).sort_values(["cell_id", "time"], ignore_index=True))
    names = ["ndvi", "lag_1", "lag_6", "mean_6", "anomaly"]
    assert frames[0]["cell_id"].equals(frames[1]["cell_id"])
    np.testing.assert_allclose(frames[0][names], frames[1][names], atol=1e-6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scales", type=int, nargs="+", default=[1, 10], help="cube sizes, times 64 x 64 pixels")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["deepcube", "pandas"], help="what to run")
    parser.add_argument("--pandas-up-to", type=int, default=10, help="largest scale for pandas: its memory grows along")
    parser.add_argument("--data", type=Path, help="folder to keep the generated cubes in (default: a temporary one)")
    parser.add_argument("--one", nargs=2, metavar=("ENGINE", "CUBE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one)))
        return
    with tempfile.TemporaryDirectory() as folder:
        place = options.data or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        found: dict[int, dict[str, dict[str, float]]] = {}
        for scale in options.scales:
            cube = place / f"cube_{scale}.zarr"
            if not cube.exists():
                make_cube(partial := cube.with_suffix(".building"), scale)
                partial.rename(cube)
            if scale == min(options.scales) and "pandas" in options.engines:
                agree(str(cube))
            engines = [e for e in options.engines if e != "pandas" or scale <= options.pandas_up_to]
            found[scale] = {engine: _measured(engine, cube) for engine in engines}
    _report(found)


def _report(found: dict[int, dict[str, dict[str, float]]]) -> None:
    """Print the table, the cost curve, the estimate from Spark's run, and the results as JSON."""
    console = Console(width=120)
    table = Table("pixels", "rows", "engine", "seconds", "rows/s", "peak MB", "deepcube is faster by")
    for scale, results in found.items():
        for engine, result in results.items():
            ratio = result["seconds"] / results["deepcube"]["seconds"] if "deepcube" in results else float("nan")
            rate = result["rows"] / result["seconds"]
            row = (engine, f"{result['seconds']:.2f}", f"{rate:,.0f}", f"{result['peak_mb']:.0f}", f"{ratio:.1f} x")
            table.add_row(f"{scale * SIDE * SIDE:,}", f"{result['rows']:,.0f}", *row)
    console.print(table)
    scales = sorted(found)
    for small, large in itertools.pairwise(scales):
        for engine in sorted(set(found[small]) & set(found[large])):
            before, after = found[small][engine], found[large][engine]
            times = ", ".join(f"{name} {after[key] / before[key]:.1f} x" for name, key in _COSTS)
            console.print(f"{engine}: a cube {large / small:g} times as large takes {times}")
    if "spark" in found[scales[-1]]:
        _on_paper(console, scales[-1], found[scales[-1]]["spark"]["seconds"])
    print(json.dumps({str(scale): results for scale, results in found.items()}))


_COSTS = (("the time", "seconds"), ("the memory", "peak_mb"))


def _on_paper(console: Console, scale: int, seconds: float) -> None:
    """Print what Spark's run says about a cube of 1 TB: the cost of a chunk, times chunks, shared among cores."""
    chunk = STEPS * SIDE * SIDE * 4
    each = 2 * seconds / (2 * scale)  # two cores, two variables
    chunks = 1e12 / chunk
    console.print(
        f"Spark local[2]: {each * 1000:.0f} ms of a core for a chunk of {chunk / 1e6:.1f} MB, its start included. "
        f"1 TB is {chunks:,.0f} such chunks, {chunks * each / 3600:,.0f} core hours:"
    )
    for cores in (16, 64, 256, 1024):
        console.print(f"  {cores:>5} cores: {chunks * each / cores / 3600:6.1f} h")
    console.print(
        "On paper: tiles are independent, so that cores share them evenly; the store's network is not counted."
    )


def _measured(engine: str, cube: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.cube_features", "--one", engine, str(cube)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
