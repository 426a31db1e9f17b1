"""The one call that opens a cube whatever its format."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

from deepcube.cubes.conventions import is_simulated, scaled
from deepcube.cubes.eopatch import is_eopatch, open_eopatch
from deepcube.cubes.errors import CubeNotFoundError, NotACubeError
from deepcube.cubes.geotiff import open_geotiffs
from deepcube.cubes.layouts import (
    find_patches,
    is_hephaestus,
    is_point_table,
    is_tile,
    open_hephaestus,
    open_interferograms,
    open_patches,
    open_points,
    open_tile,
    pair_of,
)
from deepcube.cubes.model import Cube, Opened, slug
from deepcube.cubes.netcdfs import open_netcdfs
from deepcube.cubes.stores import open_store
from deepcube.cubes.writing import BUILDING

Format = Literal["geotiff", "netcdf4", "h5netcdf", "points", "tile"]
"""What a file is read with."""

_MAGIC: tuple[tuple[bytes, Format], ...] = (
    (b"II*\x00", "geotiff"),
    (b"MM\x00*", "geotiff"),
    (b"II+\x00", "geotiff"),
    (b"MM\x00+", "geotiff"),
    (b"CDF", "netcdf4"),
    (b"\x89HDF\r\n\x1a\n", "h5netcdf"),
)
_EXPECTED = (
    "a GeoTIFF (a band per date, or a folder or list of files of one date or of pairs of dates), NetCDF files, a Zarr "
    "v2 or v3 store, an eo-learn patch, a table of points with columns such as D20180102, folders of labelled patches, "
    "or an SRTM tile"
)
_log = logging.getLogger(__name__)

Source = str | PathLike[str] | Sequence[str | PathLike[str]]
"""A path, or a list of the paths of files of one format."""


def open_cube(
    source: Source, *, name: str | None = None, crs: Any = None, scale: Mapping[str, float] | None = None
) -> Cube:
    """Open a data cube lazily; no values are read until they are asked for.

    The format is told from the content, not from the name.

    Parameters
    ----------
    source : path or sequence of paths
        A GeoTIFF with a band per date, a folder or list of GeoTIFF files of one date each, NetCDF files, a Zarr
        store, the folder of an eo-learn patch, a simulation, a published cube or its STAC item, annotated
        interferograms, or a folder that holds just one of these.
    name : str, optional
        Name of the cube; by default the one that a cube built by DeepCube states, else the file name without its
        suffix. Turned into a valid one by :func:`deepcube.cubes.model.slug`. Two files of the same name in different
        folders need names of their own to live in one feature store.
    crs : any that pyproj understands, optional
        Coordinate reference system, for files that state none or a wrong one.
    scale : mapping of str to float, optional
        Factor from stored to physical values by variable, for files that do not state it (those that do are scaled
        already), such as ``{"ndvi": 1e-4}``.

    Returns
    -------
    Cube
        The checked cube. What was repaired or assumed is in its ``notes`` and is logged as a warning.

    Raises
    ------
    CubeNotFoundError
        If there is nothing at a path.
    NotACubeError
        If what is there is no cube, or a cube whose build was interrupted.
    TimeAxisError
        If times are unreadable, unsorted or duplicated.
    UnknownVariableError
        If a variable to scale does not exist.
    MissingCrsError
        If the given CRS is not one.
    """
    paths = [Path(source)] if isinstance(source, str | PathLike) else [Path(path) for path in source]
    if not paths:
        raise NotACubeError(f"Found an empty list of files; expected {_EXPECTED}.")
    for path in paths:
        if not path.exists():
            raise CubeNotFoundError(f"There is nothing at {path}; expected {_EXPECTED}. Check the path.")
    opened = _open(paths, slug(name or _stem(paths)), crs)
    for note in opened.notes:
        _log.warning("%s: %s", paths[0].name, note)
    if opened.attrs.get("deepcube_cube") and not name:
        name = opened.name or str(opened.attrs.get("name", "")) or None
    where = str(paths[0]) if isinstance(source, str | PathLike) else ", ".join(map(fspath, paths))
    cube = Cube(
        slug(name or _stem(paths)),
        tuple(opened.grids),
        where,
        is_simulated(opened.attrs),
        opened.attrs,
        tuple(opened.notes),
    )
    return scaled(cube, scale or {})


def _stem(paths: list[Path]) -> str:
    return paths[0].stem if len(paths) == 1 else paths[0].resolve().parent.name


def _open(paths: list[Path], title: str, crs: Any) -> Opened:
    path = paths[0]
    if len(paths) > 1:
        return _open_files(paths, title, crs)
    if path.name == "item.json":
        path = path.parent
    if not path.is_dir():
        return _open_files(paths, title, crs)
    if path.name.endswith(BUILDING) or (path / "journal.jsonl").exists():
        raise NotACubeError(
            f"{path} is a cube whose build was interrupted; it is not complete. Build it again: what is written "
            "already is kept. Or remove the folder."
        )
    if any((path / marker).exists() for marker in ("zarr.json", ".zgroup", ".zmetadata")):
        return open_store(path, "zarr", crs)
    if (path / "simulation.json").is_file():
        return _open([_simulated(path)], title, crs)
    if (path / "item.json").is_file():
        name, published = _published(path)
        return replace(_open([published], title, crs), name=name)
    if is_eopatch(path):
        return Opened(open_eopatch(path, crs))
    if is_hephaestus(path):
        return open_hephaestus(path, crs)
    if find_patches(path):
        return open_patches(path, crs)
    files = [file for file in sorted(path.iterdir()) if file.is_file() and _format(file) is not None]
    if files:
        return _open_files(files, title, crs)
    folders = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and not folder.name.endswith(BUILDING)]
    held_by = [folder for folder in folders if any(_format(file) for file in folder.iterdir() if file.is_file())]
    if len(folders) == 1 or len(held_by) == 1:
        return _open(folders if len(folders) == 1 else held_by, title, crs)
    held = sorted(file.name for file in path.iterdir())
    shown = ", ".join(held[:5]) + (", ..." if len(held) > 5 else "")
    raise NotACubeError(f"The folder {path} holds {shown or 'nothing'}; expected {_EXPECTED}.")


def _simulated(folder: Path) -> Path:
    """Return the cube of a folder that a simulator made."""
    description = folder / "simulation.json"
    try:
        named = str(json.loads(description.read_text())["data"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotACubeError(f"{description} is damaged ({error}); expected what a simulator wrote.") from error
    if named.endswith(".parquet"):
        raise NotACubeError(f"{folder} holds a simulated table, {named}; expected a cube. Read it as a table.")
    return _beside(folder, folder / named)


def _published(folder: Path) -> tuple[str, Path]:
    """Return the name of a published cube, and its store."""
    from deepcube.cubes.publish_item import read_item  # pystac is needed for nothing else here

    name, store = read_item(folder / "item.json")
    if store is None:
        raise NotACubeError(f"The STAC item of {folder} names no cube beside it; expected an asset 'data' of Zarr.")
    return name, _beside(folder, store)


def _beside(folder: Path, named: Path) -> Path:
    if not named.exists() or not named.resolve().is_relative_to(folder.resolve()):
        raise NotACubeError(f"{folder} names {named.name} as its cube, which is not there. Make or fetch it again.")
    return named


def _open_files(paths: list[Path], title: str, crs: Any) -> Opened:
    """Open files of one format."""
    formats = {path: _format(path) for path in paths}
    for path, found in formats.items():
        if found is None:
            with path.open("rb") as file:
                head = file.read(8)
            raise NotACubeError(f"{path} starts with {head!r}, which no supported format does; expected {_EXPECTED}.")
    kinds = {"netcdf" if str(found).endswith(("netcdf4", "h5netcdf")) else str(found) for found in formats.values()}
    if len(kinds) > 1:
        raise NotACubeError(
            f"{paths[0].parent} holds files of different formats: {', '.join(p.name for p in paths[:5])}; expected "
            "files of one. Name those that make the cube."
        )
    if kinds == {"geotiff"}:
        pairs = sum(pair_of(path) is not None for path in paths)
        return open_interferograms(paths, crs) if pairs > 1 else open_geotiffs(paths, title, crs)
    if kinds & {"points", "tile"}:
        if len(paths) > 1:
            raise NotACubeError(
                f"Found {len(paths)} files such as {paths[0].name}; expected one. Name the one to open."
            )
        return open_points(paths[0], crs) if kinds == {"points"} else open_tile(paths[0])
    if len(paths) == 1:
        engine = formats[paths[0]]
        return open_store(paths[0], "netcdf4" if engine == "netcdf4" else "h5netcdf", crs)
    return open_netcdfs({path: "netcdf4" if found == "netcdf4" else "h5netcdf" for path, found in formats.items()}, crs)


def _format(path: Path) -> Format | None:
    """Return what a file is read with, from its first bytes; None for a file of no supported format."""
    if is_tile(path):
        return "tile"
    if is_point_table(path):
        return "points"
    with path.open("rb") as file:
        head = file.read(8)
    return next((engine for magic, engine in _MAGIC if head.startswith(magic)), None)
