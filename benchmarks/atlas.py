"""Tiles of the atlas beside those of titiler.xarray and xpublish-tiles, and steps of a layer in a real browser.

``python -m benchmarks.atlas tiles --data FOLDER --titiler PYTHON --xpublish PYTHON`` asks all servers in turn for the
same 256-pixel tiles of random steps of one cube of daily images (512 x 512 cells, a chunk an image); each PYTHON is the
interpreter of an environment that has the peer (titiler.xarray 2.4 and xpublish-tiles 0.4 do not fit into ours).
``python -m benchmarks.atlas browser --data FOLDER`` times the first map and 15 steps of a layer of 500 x 550 cells in
headless Chromium, drawn in software, beside the same as tiles, and with ``--before STATIC`` beside another build of the
page. ``python -m benchmarks.atlas levels --data FOLDER`` times the
first map of a cube of a billion cells beside that of a small one.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.measure import Comparison, percentile, show

KEY = "benchmark"
TIMES, SIDE, ZOOM = 120, 512, 8
PEERS = Path(__file__).parent / "peers"


def make_cube(path: Path, times: int, rows: int, columns: int, name: str) -> Path:
    """Write a simulated cube of one variable, an image a chunk."""
    import pandas as pd
    import xarray as xr

    if path.exists():
        return path
    generator = np.random.default_rng(7)
    season = np.sin(2 * np.pi * np.arange(times) / 365)[:, None, None]
    terrain = generator.normal(size=(rows, columns)).cumsum(0).cumsum(1)
    values = season + terrain / terrain.std() + np.round(generator.normal(0, 0.2, (times, rows, columns)) * 256) / 256
    height = 10 / rows
    latitude, longitude = 55 - height * (np.arange(rows) + 0.5), 5 + 10 / columns * (np.arange(columns) + 0.5)
    north = {"units": "degrees_north", "standard_name": "latitude", "axis": "Y"}
    east = {"units": "degrees_east", "standard_name": "longitude", "axis": "X"}
    attrs = {"long_name": "simulated index", "valid_min": -6.0, "valid_max": 6.0}
    dataset = xr.Dataset(
        {name: (("time", "lat", "lon"), values.astype(np.float32), attrs)},
        {
            "time": pd.date_range("2024-01-01", periods=times),
            "lat": ("lat", latitude, north),
            "lon": ("lon", longitude, east),
        },
        {"simulated": 1},
    )
    part = path.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    dataset.to_zarr(part, zarr_format=3, encoding={name: {"chunks": (1, rows, columns)}})
    part.rename(path)
    return path


def serve(path: str, port: int, static: str | None = None) -> None:
    """Serve the atlas of a cube until ended, with the page of a folder instead of ours if one is named."""
    import uvicorn

    import deepcube.atlas.server as atlas_server
    from deepcube.atlas import Atlas, AtlasConfig, Sessions, build_app
    from deepcube.cubes import open_cube

    if static is not None:
        atlas_server.STATIC = Path(static)
    app = build_app(AtlasConfig(Atlas([open_cube(path, name="cube")]), Sessions(KEY), port))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """Run a server until it is no longer needed."""
    import socket

    process = subprocess.Popen(command)
    try:
        for _ in range(1200):
            if process.poll() is not None:
                raise RuntimeError(f"{command[1]} ended with {process.returncode}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def inner_tiles(zoom: int) -> list[tuple[int, int]]:
    """Return the tiles that lie wholly on the cube."""

    def at(longitude: float, latitude: float) -> tuple[float, float]:
        n = 2**zoom
        return (longitude + 180) / 360 * n, (1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2 * n

    (left, top), (right, bottom) = at(5, 55), at(15, 45)
    return [(x, y) for x in range(math.ceil(left), int(right)) for y in range(math.ceil(top), int(bottom))]


def fetch(url: str) -> tuple[float, bytes]:
    """Return the seconds that an answer took, and the answer."""
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {KEY}"})
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        content = answer.read()
    return time.perf_counter() - began, content


def tiles(data: Path, peers: dict[str, str], requests: int) -> list[Comparison]:
    """Time tiles of all servers in turn."""
    from deepcube.embedded.server import free_port

    cube = make_cube(data / "tiles.zarr", TIMES, SIDE, SIDE, "ndvi")
    ports = {name: free_port() for name in ("ours", *peers)}
    day = np.datetime64("2024-01-01")
    address: dict[str, Callable[[int, int, int], str]] = {
        "ours": lambda t, x, y: (
            f"http://127.0.0.1:{ports['ours']}/api/tile?in=cube&layer=ndvi&t={t}&z={ZOOM}&x={x}&y={y}&low=-6&high=6"
        ),
        "titiler": lambda t, x, y: (
            f"http://127.0.0.1:{ports['titiler']}/md/tiles/WebMercatorQuad/{ZOOM}/{x}/{y}.png?url={cube}"
            f"&variable=ndvi&sel=time={day + t}&rescale=-6,6&colormap_name=viridis"
        ),
        "xpublish": lambda t, x, y: (
            f"http://127.0.0.1:{ports['xpublish']}/tiles/WebMercatorQuad/{ZOOM}/{y}/{x}?variables=ndvi&time={day + t}"
            "&colorscalerange=-6,6&style=raster/viridis&width=256&height=256&f=image/png"
        ),
    }
    commands = {"ours": [sys.executable, "-m", "benchmarks.atlas", "serve", str(cube), str(ports["ours"])]}
    commands |= {
        name: [python, str(PEERS / f"tiles_{name}.py"), str(ports[name]), str(cube)] for name, python in peers.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    generator, places = np.random.default_rng(0), inner_tiles(ZOOM)
    with ExitStack() as servers:
        for name, command in commands.items():
            servers.enter_context(running(command, ports[name]))
            for x, y in places[:5]:
                content = fetch(address[name](1, x, y))[1]
                assert content[:4] == b"\x89PNG", content[:200]
        for _ in range(requests):
            t, (x, y) = int(generator.integers(2, TIMES)), places[int(generator.integers(len(places)))]
            for name in commands:
                seconds[name].append(fetch(address[name](t, x, y))[0])
    ours = percentile(seconds["ours"], 0.5) * 1e3
    return [
        Comparison("tile of a random step, p50", ours, percentile(seconds[name], 0.5) * 1e3, name, "ms", 2.0)
        for name in peers
    ]


def browser(data: Path, before: Path | None) -> list[Comparison]:
    """Time the first map and steps of a layer: the page as it is, as tiles, and as it was."""
    from playwright.sync_api import sync_playwright

    from deepcube.embedded.server import free_port

    cube = make_cube(data / "steps.zarr", 60, 500, 550, "ndvi")
    pages = {"ours": None, "the same as tiles": None} | ({} if before is None else {"the page before": str(before)})
    found: dict[str, Timings] = {}
    with ExitStack() as servers, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=_program(), args=_ARGUMENTS)
        ports = {name: free_port() for name in pages}
        for name, static in pages.items():
            command = [sys.executable, "-m", "benchmarks.atlas", "serve", str(cube), str(ports[name])]
            servers.enter_context(running([*command, *([] if static is None else [static])], ports[name]))
            fetch(f"http://127.0.0.1:{ports[name]}/api/layer?in=cube&layer=ndvi")
            found[name] = Timings([], [])
        for _ in range(_VISITS):
            for name, port in ports.items():
                _visit(chromium, port, found[name], tiles=name == "the same as tiles")
        chromium.close()
    ours = found.pop("ours")
    print(f"first map: {statistics.median(ours.first):.0f} ms, of {_VISITS} browsers without anything stored")
    return [
        Comparison(f"{what} in the browser, p50", statistics.median(mine), statistics.median(theirs), name, "ms", 1.0)
        for name, other in found.items()
        for what, mine, theirs in (
            ("first map", ours.first, other.first),
            ("next step of 500 x 550 cells", ours.next, other.next),
        )
        if theirs
    ]


_VISITS, _STEPS = 3, 16
_ARGUMENTS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--no-first-run", "--disable-background-networking"]


@dataclass(frozen=True)
class Timings:
    """Milliseconds until the first map of each visit, and of steps."""

    first: list[float]
    next: list[float]


def _program() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _visit(chromium: Any, port: int, found: Timings, tiles: bool = False) -> None:
    """Open the page once in a new browser window; on the first visit also step through the layer."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.request.post(f"http://127.0.0.1:{port}/api/session", data={"key": KEY})
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{port}/#in=cube&layer=ndvi&time=2024-01-05")
    _until(page, "window.atlas && window.atlas.measured.ready !== null")
    if not tiles:
        found.first.append(page.evaluate("window.atlas.measured.ready"))
    if not found.next:
        if tiles:
            page.evaluate("window.atlas.main.mode = 'tiles'")
        for step in range(_STEPS):
            page.evaluate("window.atlas.measured.step = null")
            page.get_by_label("Next step").click()
            _until(page, "window.atlas.measured.step !== null")
            if step:
                found.next.append(page.evaluate("window.atlas.measured.step"))
    context.close()


def levels(data: Path) -> list[Comparison]:
    """Time the first map of a cube of a billion cells, whose coarser copies publishing wrote, beside a small one's."""
    from playwright.sync_api import sync_playwright

    from deepcube.embedded.server import free_port

    small = make_cube(data / "steps.zarr", 60, 500, 550, "ndvi")
    large = make_large(data / "large.zarr")
    first: dict[str, list[float]] = {}
    with ExitStack() as servers, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=_program(), args=_ARGUMENTS)
        ports = {str(cube): free_port() for cube in (small, large)}
        for cube, port in ports.items():
            command = [sys.executable, "-m", "benchmarks.atlas", "serve", cube, str(port)]
            servers.enter_context(running(command, port))
            first[cube] = []
        for _ in range(_VISITS):
            for cube, port in ports.items():
                timings = Timings([], [0.0])
                _visit(chromium, port, timings)
                first[cube] += timings.first
        chromium.close()
    ours, theirs = (statistics.median(first[str(cube)]) for cube in (large, small))
    print(f"the very first visits, nothing read before: {first[str(large)][0]:.0f} and {first[str(small)][0]:.0f} ms")
    return [Comparison("first map of a cube of 1.02 billion cells, p50", ours, theirs, "of 17 million", "ms", 0.7)]


def make_large(path: Path) -> Path:
    """Write a simulated cube of 4 images of 16,000 x 16,000 cells with its coarser copies, as publishing does."""
    import xarray as xr

    from deepcube.cubes import open_cube
    from deepcube.cubes.arrays import create_array
    from deepcube.cubes.levels import build_levels, large, open_levels

    side, steps = 16_000, 4
    if not path.exists():
        part = path.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        degrees = 10 / side
        axes = {
            "time": ("time", np.datetime64("2024-01-01", "ns") + np.arange(steps) * np.timedelta64(1, "D")),
            "lat": ("lat", 55 - degrees * (np.arange(side) + 0.5), {"units": "degrees_north", "axis": "Y"}),
            "lon": ("lon", 5 + degrees * (np.arange(side) + 0.5), {"units": "degrees_east", "axis": "X"}),
        }
        xr.Dataset(coords=axes, attrs={"simulated": 1}).to_zarr(part, zarr_format=3, consolidated=False)
        attrs = {"long_name": "simulated index", "valid_min": 0, "valid_max": 250}
        array = create_array(
            part / "ndvi",
            (steps, side, side),
            (1, 1000, 1000),
            None,
            np.dtype(np.uint8),
            ("time", "lat", "lon"),
            None,
            attrs,
        )
        across = np.arange(side, dtype=np.float32) / 900
        for step in range(steps):
            for top in range(0, side, 1000):
                down = np.arange(top, top + 1000, dtype=np.float32)[:, None] / 700
                array[step, top : top + 1000].write(
                    (125 + 60 * np.sin(across + step) + 60 * np.cos(down)).astype(np.uint8)
                ).result()
        part.rename(path)
    cube = open_cube(path)
    if not all(open_levels(cube, key) for key in large(cube)):
        build_levels(cube, large(cube))
    return path


def _until(page: object, expression: str) -> None:
    for _ in range(3000):
        if page.evaluate(expression):  # type: ignore[attr-defined]
            return
        time.sleep(0.01)
    raise RuntimeError(f"never true: {expression}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["tiles", "browser", "levels", "serve"])
    parser.add_argument("arguments", nargs="*")
    parser.add_argument("--data", type=Path, default=Path("benchmark-data"))
    parser.add_argument("--titiler", help="Python that has titiler.xarray")
    parser.add_argument("--xpublish", help="Python that has xpublish-tiles")
    parser.add_argument("--before", type=Path, help="static files of another build of the page")
    parser.add_argument("--requests", type=int, default=100)
    options = parser.parse_args()
    if options.what == "serve":
        serve(options.arguments[0], int(options.arguments[1]), *options.arguments[2:])
        return
    options.data.mkdir(parents=True, exist_ok=True)
    data = options.data.resolve()
    if options.what == "browser":
        show(browser(data, options.before), Console())
        return
    if options.what == "levels":
        show(levels(data), Console())
        return
    named = {"titiler": options.titiler, "xpublish": options.xpublish}
    show(tiles(data, {name: python for name, python in named.items() if python}, options.requests), Console())


if __name__ == "__main__":
    main()
