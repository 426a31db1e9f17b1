"""The pages of cubes: those published into the project's files, and those that jobs have read.

A published cube is a folder with a STAC item (``item.json``, with the datacube extension), a Zarr store and pictures,
as ``deepcube cubes publish`` writes it. What jobs read is told by the arguments of their executions. Content of files
is checked like anybody's: what does not have the expected form is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from deepcube.embedded.console.atlas import atlas_link
from deepcube.embedded.console.files import is_image, list_folder, read_document
from deepcube.embedded.console.pages import Page, Pages
from deepcube.embedded.errors import GENERIC_ILLEGAL_ARGUMENT, ApiError, not_found

pages = Pages("/{project_id:int}/cubes", "cubes")

ITEM = "item.json"
"""Name of the STAC item."""

MOST_FOLDERS = 200
"""Folders of the project that are looked into."""

_DEEPEST = 4
_NOT_CUBES = {"Models", "Logs", "Jupyter", "Statistics"}
_SOURCE = re.compile(r"--source[ =](\"[^\"]+\"|'[^']+'|\S+)")
_MOST_EXECUTIONS = 50


@dataclass(frozen=True)
class Variable:
    """A variable of a published cube.

    Attributes
    ----------
    name, grid, units, about : str
        Its name, that of its grid, its units and what it is.
    dims : list of str
        Dimensions.
    shape, chunk, shard : list of int
        Lengths of the dimensions, of a chunk and of a shard of the stored array; empty where not known.
    """

    name: str
    grid: str
    units: str
    about: str
    dims: list[str]
    shape: list[int]
    chunk: list[int]
    shard: list[int]


@dataclass(frozen=True)
class Cube:
    """A published cube.

    Attributes
    ----------
    name, title, licence, created : str
        As its item says.
    simulated : bool
        Whether it is simulated.
    start, end : str
        First and last time.
    box : list of float
        West, south, east and north in degrees; empty where it has no place.
    folder : str
        Where it lies among the project's files.
    pictures : list of str
        Paths of its pictures.
    grids : list of (str, str, list of str)
        Grid, store, and its variables.
    described : mapping of str to mapping
        What the item says of the variables of each store, by name.
    """

    name: str
    title: str
    licence: str
    created: str
    simulated: bool
    start: str
    end: str
    box: list[float]
    folder: str
    pictures: list[str]
    grids: list[tuple[str, str, list[str]]]
    described: Mapping[str, Mapping[str, Any]]

    @property
    def link(self) -> str:
        """Its folder as part of an address."""
        return quote(self.folder)

    @property
    def variables(self) -> list[str]:
        """Names of the variables of all grids."""
        return [name for _, _, names in self.grids for name in names]


@dataclass(frozen=True)
class Reading:
    """A cube that jobs have read.

    Attributes
    ----------
    source : str
        What the job was told to read.
    job : str
        Name of the job.
    execution : int
        Its last execution on this source.
    state, when : str
        How that went, and when it was started.
    """

    source: str
    job: str
    execution: int
    state: str
    when: str


@pages.get()
def cubes(page: Page) -> Response:
    """List the published cubes, and what jobs have read."""
    found = sorted(published(page), key=lambda cube: cube.name)
    atlas = {cube.folder: atlas_link(page, {"in": cube.name}) for cube in found}
    return page.html("cubes.html", cubes=found, readings=readings(page), atlas=atlas, limit=MOST_FOLDERS)


@pages.get("/at/{path:path}")
def cube(page: Page) -> Response:
    """Show one published cube: where and when it is, its variables and how they are stored, its pictures."""
    folder = page.path["path"].strip("/")
    found = read_item(page, folder)
    if found is None:
        raise not_found(f"there is no published cube in {folder}", GENERIC_ILLEGAL_ARGUMENT)
    variables = [variable for grid in found.grids for variable in _variables(page, found, *grid)]
    return page.html(
        "cube.html",
        cube=found,
        variables=variables,
        levels=read_document(page, f"{folder}/cube.zarr.levels/levels.json") is not None,
        provenance=read_document(page, f"{folder}/provenance.json"),
        atlas=atlas_link(page, {"in": found.name}),
        extent=_extent(found.box),
    )


def published(page: Page) -> Iterator[Cube]:
    """Return the cubes that lie in the project's files, each a folder with a STAC item."""
    waiting, looked = [("", 0)], 0
    while waiting and looked < MOST_FOLDERS:
        folder, depth = waiting.pop(0)
        looked += 1
        try:
            rows = list_folder(page, folder)
        except ApiError:  # gone in the meantime, or not for this session
            continue
        if any(row.name == ITEM and not row.is_folder for row in rows):
            found = read_item(page, folder)
            if found is not None:
                yield found
            continue
        if depth < _DEEPEST:
            inner = [row for row in rows if row.is_folder and row.name not in _NOT_CUBES and ".zarr" not in row.name]
            waiting += [(row.path, depth + 1) for row in inner]


def readings(page: Page) -> list[Reading]:
    """Return what the last executions of the jobs were told to read, the newest first, each source and job once."""
    found: dict[tuple[str, str], Reading] = {}
    for job in page.items("jobs"):
        name = job["name"]
        executions = page.items("jobs", name, "executions", sort_by="submissiontime:desc", limit=_MOST_EXECUTIONS)
        for each in executions:
            source = source_of(str(each.get("args") or ""))
            if source and (source, name) not in found:
                when = str(each.get("submissionTime") or "")
                found[source, name] = Reading(source, name, int(each["id"]), str(each.get("state") or ""), when)
    return sorted(found.values(), key=lambda reading: reading.when, reverse=True)


def source_of(arguments: str) -> str:
    """Return what the arguments of an execution name as the source; empty where they name none."""
    found = _SOURCE.search(arguments)
    return found[1].strip("'\"") if found else ""


def read_item(page: Page, folder: str) -> Cube | None:
    """Read the STAC item in a folder; None where there is none, or one of another form."""
    item = read_document(page, f"{folder}/{ITEM}" if folder else ITEM)
    return None if item is None else parse_item(item, folder)


def parse_item(item: Mapping[str, Any], folder: str) -> Cube | None:
    """Return the cube that a STAC item describes; None if it is no item of a cube.

    Parameters
    ----------
    item : mapping
        The item.
    folder : str
        Where it lies.
    """
    properties, assets = item.get("properties"), item.get("assets")
    if item.get("type") != "Feature" or not isinstance(properties, dict) or not isinstance(assets, dict):
        return None
    pictures, grids, described = [], [], {}
    for asset in assets.values():
        if not isinstance(asset, dict):
            continue
        place = _inside(folder, asset.get("href"))
        if place is None:
            continue
        if is_image(place):
            pictures.append(place)
        variables = asset.get("cube:variables")
        if isinstance(variables, dict):
            grids.append((PurePosixPath(place).name, place, [str(name) for name in variables]))
            described[place] = variables
    box = item.get("bbox")
    numbers = isinstance(box, list) and len(box) == 4 and all(_finite(edge) for edge in box)
    return Cube(
        name=str(item.get("id") or PurePosixPath(folder).name),
        title=str(properties.get("title") or ""),
        licence=str(properties.get("license") or ""),
        created=str(properties.get("created") or ""),
        simulated=properties.get("simulated") is True,
        start=str(properties.get("start_datetime") or ""),
        end=str(properties.get("end_datetime") or ""),
        box=[float(edge) for edge in box] if isinstance(box, list) and numbers else [],
        folder=folder,
        pictures=pictures,
        grids=grids,
        described=described,
    )


def _variables(page: Page, cube: Cube, grid: str, store: str, names: list[str]) -> Iterator[Variable]:
    """Return the variables of a grid with the facts of their stored arrays."""
    for name in names:
        about = cube.described[store].get(name)
        about = about if isinstance(about, dict) else {}
        dims = about.get("dimensions")
        shape, chunk, shard = stored_lengths(read_document(page, f"{store}/{name}/zarr.json") or {})
        yield Variable(
            name,
            grid,
            str(about.get("unit") or ""),
            str(about.get("description") or ""),
            [str(dim) for dim in dims] if isinstance(dims, list) else [],
            shape,
            chunk,
            shard,
        )


def stored_lengths(array: Mapping[str, Any]) -> tuple[list[int], list[int], list[int]]:
    """Return the shape of a Zarr v3 array, of its chunks and of its shards; empty where the metadata do not tell."""

    def lengths(value: Any) -> list[int]:
        known = isinstance(value, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in value)
        return list(value) if known else []

    def inside(value: Any, *names: str) -> Any:
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    outer = lengths(inside(array, "chunk_grid", "configuration", "chunk_shape"))
    codecs = array.get("codecs")
    first = codecs[0] if isinstance(codecs, list) and codecs else None
    if inside(first, "name") == "sharding_indexed":
        return lengths(array.get("shape")), lengths(inside(first, "configuration", "chunk_shape")), outer
    return lengths(array.get("shape")), outer, []


def _inside(folder: str, href: object) -> str | None:
    """Return the path that an asset leads to, if it lies in the folder of its item."""
    if not isinstance(href, str) or "://" in href or href.startswith("/"):
        return None
    parts = [part for part in PurePosixPath(href).parts if part != "."]
    return None if ".." in parts or not parts else str(PurePosixPath(folder, *parts))


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _extent(box: list[float]) -> str:
    """Write an extent for people."""
    if not box:
        return ""
    west, south, east, north = box

    def degrees(value: float, positive: str, negative: str) -> str:
        return f"{abs(value):.3f}° {positive if value >= 0 else negative}"

    across = f"{degrees(west, 'E', 'W')} to {degrees(east, 'E', 'W')}"
    return f"{across}, {degrees(south, 'N', 'S')} to {degrees(north, 'N', 'S')}"
