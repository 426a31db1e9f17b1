"""``python -m benchmarks.embedded``: the embedded Hopsworks beside raw engines and Feast, in one run."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from benchmarks import data
from benchmarks.embedded_offline import insert_merge_read, point_in_time
from benchmarks.embedded_online import online
from benchmarks.measure import Comparison, show
from deepcube.embedded import Running, down, find, up

_PARTS = ("start", "offline", "pit", "online")


def main() -> None:
    """Run the parts asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the offline tables (default: %(default)s)")
    parser.add_argument("--online-rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3, help="timed rounds of each measure")
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of each online measure")
    parser.add_argument("--only", choices=_PARTS, action="append", help="a part; may be repeated (default: all)")
    parser.add_argument("--feast", metavar="UV", help="path of the uv program, to measure Feast in its own environment")
    arguments = parser.parse_args()
    parts = arguments.only or _PARTS
    console = Console()
    lines: list[Comparison] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        running, _ = up(home, port=0)
        try:
            os.environ.update(running.environment())
            feast = _feast(arguments, Path(folder)) if arguments.feast else None
            if "start" in parts:
                lines += _start(home)
            lines += _through_the_client(parts, arguments, feast, home)
        finally:
            down(home)
    show(lines, console)


def _through_the_client(
    parts: Any, arguments: argparse.Namespace, feast: dict[str, Any] | None, home: Path
) -> list[Comparison]:
    import hopsworks

    began = time.perf_counter()
    project = hopsworks.login()
    lines = []
    if "start" in parts:
        lines.append(Comparison("login", time.perf_counter() - began, 2.0, "the limit set for it", "s", 1.0))
    fs = project.get_feature_store()
    if "offline" in parts:
        lines += insert_merge_read(fs, arguments.rows, arguments.runs, _server(home))
    if "pit" in parts:
        measured = point_in_time(fs, arguments.rows, arguments.runs)
        lines += measured
        if feast is not None:
            rate = feast["pit_rows_per_s"]
            lines.append(Comparison(measured[0].what, measured[0].ours, rate, "Feast, DuckDB store", "rows/s", 50.0))
    if "online" in parts:
        lines += online(fs, arguments.online_rows, arguments.seconds, feast, _mysql_host(home))
    return lines


def _server(home: Path) -> psutil.Process:
    running = find(home)
    assert running is not None
    return psutil.Process(running.pid)


def _mysql_host(home: Path) -> str:
    return str(json.loads((home / "settings.json").read_text())["mysql_host"])


def _start(home: Path) -> list[Comparison]:
    """Time a warm start, and weigh the idle server."""
    down(home)
    began = time.perf_counter()
    running, _ = up(home)
    seconds = time.perf_counter() - began
    return [
        Comparison("start of the server, warm", seconds, 2.0, "the limit set for it", "s", 1.0),
        Comparison("memory of the idle server", _megabytes(running), 250.0, "the limit set for it", "MB", 1.0),
    ]


def _megabytes(running: Running) -> float:
    return psutil.Process(running.pid).memory_info().rss / 1e6


def _feast(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    for g in range(3):
        data.point_in_time_group(g, 10_000, 100).to_parquet(folder / f"g{g}.parquet")
    data.spine(min(arguments.rows, 1_000_000), 10_000).to_parquet(folder / "spine.parquet")
    data.wide(arguments.online_rows).to_parquet(folder / "wide.parquet")
    script = Path(__file__).parent / "peers" / "feast_local.py"
    command = [arguments.feast, "run", "--quiet", "--script", str(script), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    if done.returncode:
        sys.exit(f"the Feast peer failed:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
