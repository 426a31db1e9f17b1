"""Patches out of a chunked cube: ours beside tensorstore one by one, xarray, xbatcher, and the decode-once bound.

Peers read through the interface that they offer for this: tensorstore and xarray a patch at a time with the variables
of a patch together, xbatcher its batch generator. Peers that would take minutes are stopped after a budget of seconds;
their rate is over what they did until then. The bound reads every chunk file that the patches touch once and decodes
it, in as many plain threads, and does nothing with it; once with fresh memory for every chunk, as one does who keeps
the values, and once (without a target) into memory of each thread that stays in its cache.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cubes_data import VARIABLES, make
from benchmarks.measure import Comparison
from deepcube.cubes import open_cube
from deepcube.cubes.sampling import Sampler, every_patch, random_patches

SIZE = (30, 64, 64)
THREADS = 2

FULL = (365, 512, 512)
"""Shape that targets are set for: in smaller cubes fewer patches share an image or a series chunk."""

Patches = Callable[[], Iterator[Any]]

TARGETS: dict[tuple[str, str], dict[str, float | None]] = {
    ("random", "aligned"): {"tensorstore": 8.0, "xarray": None},
    ("epoch", "aligned"): {"tensorstore": 0.9, "xbatcher": 3.0},
    ("epoch", "image"): {"tensorstore": 20.0, "xbatcher": 20.0},
    ("epoch", "series"): {"tensorstore": 8.0, "xbatcher": 8.0},
}
"""Wanted rates relative to peers, by task and layout; ``None`` is shown without a target."""


ROWS = tuple(f"{layout}-{task}" for task, layout in TARGETS)
"""Names of the rows."""


def compare(
    folder: Path, shape: tuple[int, int, int], count: int, runs: int, seconds: float, rows: Sequence[str] = ROWS
) -> list[Comparison]:
    """Measure rows.

    Parameters
    ----------
    folder : pathlib.Path
        Where cubes are generated.
    shape : tuple of int
        Shape of the cube along time, y and x.
    count : int
        Random patches.
    runs : int
        Timed rounds; ours and the peers take turns.
    seconds : float
        Budget of a peer in each round.
    rows : sequence of str
        Rows to measure, of :data:`ROWS`.
    """
    lines: list[Comparison] = []
    for (task, layout), peers in TARGETS.items():
        if f"{layout}-{task}" not in rows:
            continue
        path = make(folder, layout, shape)
        starts = random_patches(shape, SIZE, count, 5) if task == "random" else every_patch(shape, SIZE)
        comparable = shape >= FULL or layout == "aligned"
        wanted = {name: target if comparable else None for name, target in peers.items()}
        lines += _row(path, task, layout, starts, wanted, runs, seconds)
    return lines


def _row(
    path: Path,
    task: str,
    layout: str,
    starts: NDArray[np.int64],
    peers: dict[str, float | None],
    runs: int,
    seconds: float,
) -> list[Comparison]:
    sampler = Sampler(open_cube(path), list(VARIABLES), SIZE, starts, threads=THREADS, limit=1e9)
    ways: dict[str, Patches] = {"ours": lambda: (patch for _, patch in sampler.patches())}
    order = np.random.default_rng(3).permutation(len(starts))
    ways |= {name: _PEERS[name](path, starts[order]) for name in peers}
    rates: dict[str, list[float]] = {name: [] for name in [*ways, *_BOUNDS]}
    files = _touched(path, starts, layout)
    for run in range(runs + 1):
        for name, way in ways.items():
            rate = _rate(way, len(starts), seconds if name != "ours" else 1e9)
            if run:
                rates[name].append(rate)
        for name, bound in _BOUNDS.items():
            elapsed = bound(files)
            if run:
                rates[name].append(len(starts) / elapsed)
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    what = f"{len(starts)} {'random patches' if task == 'random' else 'patches, an epoch'}, {layout} chunks"
    lines = [Comparison(what, medians["ours"], medians[p], p, "patches/s", target) for p, target in peers.items()]
    for name, target in zip(_BOUNDS, (0.6, None), strict=True):
        lines.append(Comparison(what, medians["ours"], medians[name], name, "patches/s", target))
    for line in lines:
        line.runs = rates["ours"]
    return lines


def _rate(way: Patches, total: int, seconds: float) -> float:
    """Return patches a second over all, or over those that came within a budget."""
    began, done, sink = time.perf_counter(), 0, 0.0
    for patch in way():
        sink += float(patch[0, 0, 0, 0])
        done += 1
        if time.perf_counter() - began > seconds:
            break
    return min(done, total) / (time.perf_counter() - began)


def _tensorstore(path: Path, starts: NDArray[np.int64]) -> Patches:
    import tensorstore as ts

    limits = {"data_copy_concurrency": {"limit": THREADS}, "file_io_concurrency": {"limit": THREADS}}
    using = ts.Context({"cache_pool": {"total_bytes_limit": 0}, **limits})
    arrays = [
        ts.open(
            {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path.resolve()}/main/{name}/"}},
            context=using,
            open=True,
            read=True,
        ).result()
        for name in VARIABLES
    ]

    def patches() -> Iterator[NDArray[np.float32]]:
        for start in starts.tolist():
            box = tuple(slice(a, a + n) for a, n in zip(start, SIZE, strict=True))
            out = np.empty((len(arrays), *SIZE), "f4")
            for row, read in enumerate([array[box].read() for array in arrays]):
                out[row] = read.result()
            yield out

    return patches


def _xarray(path: Path, starts: NDArray[np.int64]) -> Patches:
    import xarray as xr

    dataset = xr.open_zarr(path, group="main", chunks=None)[list(VARIABLES)]

    def patches() -> Iterator[NDArray[np.float32]]:
        for start in starts.tolist():
            box = {dim: slice(a, a + n) for dim, a, n in zip(("time", "y", "x"), start, SIZE, strict=True)}
            part = dataset.isel(box)
            yield np.stack([part[name].to_numpy() for name in VARIABLES])

    return patches


def _xbatcher(path: Path, starts: NDArray[np.int64]) -> Patches:
    import xarray as xr
    import xbatcher

    dataset = xr.open_zarr(path, group="main", chunks=None)[list(VARIABLES)]
    generator = xbatcher.BatchGenerator(dataset, input_dims=dict(zip(("time", "y", "x"), SIZE, strict=True)))

    def patches() -> Iterator[NDArray[np.float32]]:
        for part in generator:
            yield np.stack([part[name].to_numpy() for name in VARIABLES])

    return patches


_PEERS: dict[str, Callable[[Path, NDArray[np.int64]], Patches]] = {
    "tensorstore": _tensorstore,
    "xarray": _xarray,
    "xbatcher": _xbatcher,
}


def _touched(path: Path, starts: NDArray[np.int64], layout: str) -> list[Path]:
    """Return the chunk files that patches touch."""
    from benchmarks.cubes_data import LAYOUTS

    cube = open_cube(path)
    chunk = np.array([min(n, size) for n, size in zip(LAYOUTS[layout].values(), cube["ndvi"].shape, strict=True)])
    touched = {
        (t, y, x)
        for low, high in zip((starts // chunk).tolist(), ((starts + SIZE - 1) // chunk).tolist(), strict=True)
        for t in range(low[0], high[0] + 1)
        for y in range(low[1], high[1] + 1)
        for x in range(low[2], high[2] + 1)
    }
    return [path / "main" / name / "c" / f"{t}/{y}/{x}" for name in VARIABLES for t, y, x in sorted(touched)]


def _fresh(files: list[Path]) -> float:
    """Return the seconds that reading and decoding every file once takes, each into memory of its own."""
    import zstandard

    return _threads([zstandard.ZstdDecompressor().decompress for _ in range(THREADS)], files)


def _reused(files: list[Path]) -> float:
    """Return the seconds that it takes where each thread decodes into one piece of memory again and again."""
    from numcodecs import zstd

    size = len(zstd.decompress(files[0].read_bytes()))
    return _threads([partial(zstd.decompress, dest=np.empty(size, "u1")) for _ in range(THREADS)], files)


def _threads(decoders: Sequence[Callable[[bytes], object]], files: list[Path]) -> float:
    paths = iter([str(path) for path in files])  # shared by all threads

    def work(decode: Callable[[bytes], object]) -> None:
        for path in paths:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (twice as fast)
                decode(file.read())

    threads = [threading.Thread(target=work, args=[decode]) for decode in decoders]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


_BOUNDS: dict[str, Callable[[list[Path]], float]] = {
    "decode each touched chunk once": _fresh,
    "the same into reused memory": _reused,
}
