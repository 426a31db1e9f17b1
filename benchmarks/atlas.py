"""Tiles of the atlas beside those of titiler.xarray and xpublish-tiles, and steps of a layer in a real browser.

``python -m benchmarks.atlas tiles --data FOLDER --titiler PYTHON --xpublish PYTHON`` asks all servers in turn for the
same 256-pixel tiles of random steps of one cube of daily images (512 x 512 cells, a chunk an image); each PYTHON is the
interpreter of an environment that has the peer (titiler.xarray 2.4 and xpublish-tiles 0.4 do not fit into ours).
``python -m benchmarks.atlas browser --data FOLDER`` times the first map and 20 steps of a layer of 500 x 550 cells in
headless Chromium, drawn in software, beside the same steps as tiles.
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
from pathlib import Path

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


def serve(path: str, port: int) -> None:
    """Serve the atlas of a cube until ended."""
    import uvicorn

    from deepcube.atlas import Atlas, AtlasConfig, Sessions, build_app
    from deepcube.cubes import open_cube

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


def browser(data: Path) -> list[Comparison]:
    """Time the first map and steps of a layer, as whole images and as tiles."""
    from playwright.sync_api import sync_playwright

    from deepcube.embedded.server import free_port

    cube = make_cube(data / "steps.zarr", 60, 500, 550, "ndvi")
    port = free_port()
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    arguments = ["--no-sandbox", "--enable-unsafe-swiftshader", "--no-first-run", "--disable-background-networking"]
    found: dict[str, list[float]] = {"first": [], "frame": [], "tiles": []}
    with running([sys.executable, "-m", "benchmarks.atlas", "serve", str(cube), str(port)], port):
        fetch(f"http://127.0.0.1:{port}/api/layer?in=cube&layer=ndvi")
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=program, args=arguments)
            for mode in ("frame", "tiles"):
                context = chromium.new_context(viewport={"width": 1280, "height": 800})
                context.request.post(f"http://127.0.0.1:{port}/api/session", data={"key": KEY})
                page = context.new_page()
                page.goto(f"http://127.0.0.1:{port}/#in=cube&layer=ndvi&time=2024-01-05&mode={mode}")
                _until(page, "window.atlas && window.atlas.measured.ready !== null")
                found["first"].append(page.evaluate("window.atlas.measured.ready"))
                if mode == "tiles":
                    page.evaluate("window.atlas.main.mode = 'tiles'; window.atlas.map.clear()")
                for _ in range(21):
                    page.evaluate("window.atlas.measured.step = null")
                    page.get_by_label("Next step").click()
                    _until(page, "window.atlas.measured.step !== null")
                    found[mode].append(page.evaluate("window.atlas.measured.step"))
                context.close()
            chromium.close()
    print(f"first map: {min(found['first']):.0f} ms, the page's files not yet stored: {found['first'][0]:.0f} ms")
    step, tiled = (statistics.median(found[mode][1:]) for mode in ("frame", "tiles"))
    return [Comparison("step of 500 x 550 cells in the browser, p50", step, tiled, "the same as tiles", "ms", 1.0)]


def _until(page: object, expression: str) -> None:
    for _ in range(3000):
        if page.evaluate(expression):  # type: ignore[attr-defined]
            return
        time.sleep(0.01)
    raise RuntimeError(f"never true: {expression}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["tiles", "browser", "serve"])
    parser.add_argument("arguments", nargs="*")
    parser.add_argument("--data", type=Path, default=Path("benchmark-data"))
    parser.add_argument("--titiler", help="Python that has titiler.xarray")
    parser.add_argument("--xpublish", help="Python that has xpublish-tiles")
    parser.add_argument("--requests", type=int, default=100)
    options = parser.parse_args()
    if options.what == "serve":
        serve(options.arguments[0], int(options.arguments[1]))
        return
    options.data.mkdir(parents=True, exist_ok=True)
    data = options.data.resolve()
    if options.what == "browser":
        show(browser(data), Console())
        return
    named = {"titiler": options.titiler, "xpublish": options.xpublish}
    show(tiles(data, {name: python for name, python in named.items() if python}, options.requests), Console())


if __name__ == "__main__":
    main()
