"""The reference question over cubes on disk, beside the same question over materialised triples in Oxigraph.

``python -m benchmarks.semantics --data FOLDER`` asks 200 million simulated pixels; ``--full`` also 1 billion. The peer
holds 1 million observations (about 5 million triples), since loading all of the 200 million is out of its reach here:
the table compares what each needs for the same question on what it can hold. Every cube is made once in ``--data`` and
asked in a process of its own, whose peak memory is printed.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyoxigraph as ox
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Comparison, show

QUESTION = """PREFIX ex: <http://example.org/>
SELECT ?hospital (COUNT(?o) AS ?pixels) (AVG(?temperature) AS ?mean) WHERE {
  ?o sosa:observedProperty var:ndvi ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ; sosa:hasSimpleResult ?v .
  ?p sosa:observedProperty var:lst ; sosa:hasFeatureOfInterest ?c ; sosa:resultTime ?t ;
    sosa:hasSimpleResult ?temperature .
  ?c geo:hasGeometry/geo:asWKT ?w .
  ex:region geo:hasGeometry/geo:asWKT ?shape .
  ?hospital a ex:Hospital ; geo:hasGeometry/geo:asWKT ?where .
  FILTER(?v < 0.2)
  FILTER(?t >= "2020-07-01T00:00:00Z"^^xsd:dateTime && ?t < "2020-08-01T00:00:00Z"^^xsd:dateTime)
  FILTER(geof:sfWithin(?w, ?shape))
  FILTER(geof:distance(?w, ?where, uom:metre) < 10000)
} GROUP BY ?hospital ORDER BY ?hospital"""
"""Sparse vegetation in July within 10 km of a hospital of a region, with the mean temperature by hospital."""

SIZES = {"1 million": (62, 90, 90), "200 million": (366, 500, 550), "1 billion": (366, 1170, 1170)}
"""Times, rows and columns; two variables each."""


def make_cube(path: Path, shape: tuple[int, int, int]) -> None:
    """Write a simulated cube of two variables, smooth in space with a season and noise."""
    import pandas as pd
    import xarray as xr
    import zarr

    if path.exists():
        return
    times, rows, columns = shape
    start = "2020-06-15" if times < 100 else "2020-01-01"
    axis = pd.date_range(start, periods=times)
    lat, lon = np.linspace(41.79, 34.81, rows), np.linspace(19.31, 28.09, columns)
    base = 0.45 + 0.25 * np.sin(lat[:, None] * 3) * np.cos(lon[None] * 2)
    temporary = path.with_suffix(".part")
    dataset = xr.Dataset(coords={"time": axis, "lat": lat, "lon": lon}, attrs={"simulated": "true"})
    dataset["lat"].attrs["units"], dataset["lon"].attrs["units"] = "degrees_north", "degrees_east"
    dataset.to_zarr(temporary, zarr_format=3, consolidated=False, mode="w")
    group, random = zarr.open_group(temporary, mode="a"), np.random.default_rng(0)
    names = ("time", "lat", "lon")
    arrays = [
        group.create_array(
            name, shape=shape, chunks=(31, 100, 110), dtype="f4", dimension_names=names, fill_value=np.nan
        )
        for name in ("ndvi", "lst")
    ]
    for begin in range(0, times, 31):
        day = axis[begin : begin + 31].dayofyear.to_numpy()
        season = -0.1 * np.cos((day - 15) / 365 * 2 * np.pi + np.pi)
        noise = random.standard_normal((len(day), rows, columns), dtype="f4")
        arrays[0][begin : begin + 31] = np.clip(base[None] + season[:, None, None] + 0.04 * noise, -0.1, 0.95)
        arrays[1][begin : begin + 31] = 290 - 60 * season[:, None, None] + 4 * noise
    temporary.rename(path)


def features() -> bytes:
    """Return the simulated region and hospitals as Turtle."""
    random = np.random.default_rng(1)
    lines = [
        "@prefix ex: <http://example.org/> . @prefix geo: <http://www.opengis.net/ont/geosparql#> .",
        "ex:region geo:hasGeometry ex:rg . ex:rg geo:asWKT "
        '"POLYGON((21 37,24 36.5,24.5 39.5,22 40,21 37))"^^geo:wktLiteral .',
    ]
    for i in range(40):
        x, y = random.uniform(20, 27), random.uniform(35.5, 41)
        lines.append(f"ex:h{i} a ex:Hospital ; geo:hasGeometry ex:hg{i} .")
        lines.append(f'ex:hg{i} geo:asWKT "POINT({x:.5f} {y:.5f})"^^geo:wktLiteral .')
    return "\n".join(lines).encode()


def ask_virtual(path: Path, runs: int) -> dict[str, Any]:
    """Ask a cube: cold once, then warm; return seconds, rows and peak memory."""
    from deepcube.semantics import CubeSource, SemanticCube, VectorStore

    vector = VectorStore()
    vector.store.load(features(), ox.RdfFormat.TURTLE)
    cube = SemanticCube([CubeSource(path)], vector)
    seconds, rows, plan = [], [], None
    for _ in range(runs + 1):
        began = time.perf_counter()
        answer = cube.query(QUESTION)
        rows = [[str(term) for term in row] for row in answer.rows]
        seconds.append(time.perf_counter() - began)
        plan = answer.plan.reads[0]
    assert plan is not None
    peak = _peak()
    return {
        "cold": seconds[0],
        "warm": statistics.median(seconds[1:]),
        "gigabytes": peak,
        "rows": rows,
        "cells": plan.cells,
        "chunks": f"{plan.chunks_read} of {plan.chunks}",
    }


def ask_materialised(path: Path) -> dict[str, Any]:
    """Write out every triple that the question may touch into Oxigraph and ask it."""
    import xarray as xr

    from deepcube.semantics.functions import FUNCTIONS
    from deepcube.semantics.vocabulary import GEO, PREFIXES, SOSA, VARIABLE, XSD

    dataset = xr.open_zarr(path, consolidated=False).load()
    times = [str(np.datetime_as_string(t, "s")) + "Z" for t in dataset["time"].to_numpy()]
    lat, lon = dataset["lat"].to_numpy().tolist(), dataset["lon"].to_numpy().tolist()

    def lines() -> Any:
        for y, north in enumerate(lat):
            for x, east in enumerate(lon):
                yield f"<urn:c/{y}/{x}> <{GEO}hasGeometry> <urn:g/{y}/{x}> .\n"
                yield f'<urn:g/{y}/{x}> <{GEO}asWKT> "POINT({east!r} {north!r})"^^<{GEO}wktLiteral> .\n'
        for name in ("ndvi", "lst"):
            values = dataset[name].to_numpy()
            for t, text in enumerate(times):
                for y in range(len(lat)):
                    for x, value in enumerate(values[t, y].tolist()):
                        s = f"<urn:o/{name}/{t}/{y}/{x}>"
                        yield f"{s} <{SOSA}observedProperty> <{VARIABLE}{name}> .\n"
                        yield f"{s} <{SOSA}hasFeatureOfInterest> <urn:c/{y}/{x}> .\n"
                        yield f'{s} <{SOSA}resultTime> "{text}"^^<{XSD}dateTime> .\n'
                        yield f'{s} <{SOSA}hasSimpleResult> "{value!r}"^^<{XSD}double> .\n'

    class Pipe:
        def __init__(self) -> None:
            self._lines, self._held = lines(), b""

        def read(self, size: int = -1) -> bytes:
            parts, length = [self._held], len(self._held)
            for line in self._lines:
                parts.append(line.encode())
                length += len(parts[-1])
                if length >= max(size, 1 << 20):
                    break
            joined = b"".join(parts)
            self._held = joined[size:] if size > 0 else b""
            return joined[:size] if size > 0 else joined

    store, began = ox.Store(), time.perf_counter()
    store.load(features(), ox.RdfFormat.TURTLE)
    store.bulk_load(Pipe(), ox.RdfFormat.N_TRIPLES)
    loaded = time.perf_counter() - began
    began = time.perf_counter()
    solutions: Any = store.query(QUESTION, prefixes=PREFIXES, custom_functions=FUNCTIONS)
    names = [variable.value for variable in solutions.variables]
    rows = [[str(row[name]) for name in names] for row in solutions]
    peak = _peak()
    return {"load": loaded, "warm": time.perf_counter() - began, "gigabytes": peak, "rows": rows, "triples": len(store)}


def _peak() -> float:
    """Return the most memory that this process held, in GB; the system's own figure begins with the parent's."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found.group(1)) / 1e6 if found else float("nan")


def _apart(what: str, path: Path, runs: int) -> dict[str, Any]:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.semantics", "--one", what, "--data", str(path), "--runs", str(runs)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]))


def main() -> None:
    """Make the cubes, ask, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Folder of the cubes; made once.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="Also 1 billion pixels (4 GB on disk).")
    parser.add_argument("--peer-only", action="store_true", help="The materialised side and what it is compared with.")
    parser.add_argument("--no-peer", action="store_true", help="Leave out the materialised side.")
    parser.add_argument("--one", choices=["virtual", "materialised"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        asked = ask_virtual(options.data, options.runs) if options.one == "virtual" else ask_materialised(options.data)
        print(json.dumps(asked))
        return
    options.data.mkdir(parents=True, exist_ok=True)
    sizes = [size for size in SIZES if options.full or size != "1 billion"][: 1 if options.peer_only else None]
    found: dict[str, dict[str, Any]] = {}
    for size in sizes:
        path = options.data / f"{size.replace(' ', '-')}.zarr"
        make_cube(path, SIZES[size])
        found[size] = _apart("virtual", path, options.runs)
    table = Table("pixels", "cold s", "warm s", "peak GB", "values read", "chunks read", "rows")
    for size, line in found.items():
        numbers = (f"{line['cold']:.3f}", f"{line['warm']:.3f}", f"{line['gigabytes']:.2f}", f"{line['cells']:,}")
        table.add_row(size, *numbers, line["chunks"], str(len(line["rows"])))
    console = Console()
    console.print(table)
    if not options.no_peer:
        peer = _apart("materialised", options.data / "1-million.zarr", 1)
        same = _close(peer["rows"], found["1 million"]["rows"])
        console.print(f"materialised: {peer['triples']:,} triples, loaded in {peer['load']:.1f} s; same rows: {same}")
        lines = [
            Comparison(f"reference question, {size} against 1 million", line["warm"], peer["warm"], "Oxigraph", "s")
            for size, line in found.items()
        ]
        show(lines, console)


def _close(a: list[list[str]], b: list[list[str]]) -> bool:
    """Return whether two answers are the same but for the rounding of sums in another order."""

    def rounded(rows: list[list[str]]) -> list[Any]:
        return [(row[0], row[1], f"{float(row[2].split('^^')[0].strip(chr(34))):.9g}") for row in rows]

    return rounded(a) == rounded(b)


if __name__ == "__main__":
    main()
