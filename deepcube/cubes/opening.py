"""The one call that opens a cube whatever its format."""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

from deepcube.cubes.conventions import scaled
from deepcube.cubes.eopatch import is_eopatch, open_eopatch
from deepcube.cubes.errors import CubeNotFoundError, NotACubeError, TimeAxisError
from deepcube.cubes.geotiff import SUFFIXES, open_geotiffs
from deepcube.cubes.model import Cube, Grid, slug
from deepcube.cubes.stores import open_store

Format = Literal["geotiff", "netcdf4", "h5netcdf"]
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
    "a GeoTIFF (a band per date, or a folder or list of files of one date), a NetCDF file, a Zarr v2 or v3 store, or "
    "an eo-learn patch"
)

Source = str | PathLike[str] | Sequence[str | PathLike[str]]
"""A path, or a list of the paths of GeoTIFF files."""


def open_cube(
    source: Source, *, name: str | None = None, crs: Any = None, scale: Mapping[str, float] | None = None
) -> Cube:
    """Open a data cube lazily; no values are read until they are asked for.

    The format is told from the content, not from the name.

    Parameters
    ----------
    source : path or sequence of paths
        A GeoTIFF with a band per date, a folder or list of GeoTIFF files of one date each, a NetCDF file, a Zarr
        store, or the folder of an eo-learn patch.
    name : str, optional
        Name of the cube; by default the file name without its suffix. Turned into a valid one by
        :func:`deepcube.cubes.model.slug`.
    crs : any that pyproj understands, optional
        Coordinate reference system, for files that state none or a wrong one.
    scale : mapping of str to float, optional
        Factor from stored to physical values by variable, for files that do not state it (those that do are scaled
        already), such as ``{"ndvi": 1e-4}``.

    Returns
    -------
    Cube
        The checked cube, with at least one grid that has a time axis.

    Raises
    ------
    CubeNotFoundError
        If there is nothing at a path.
    NotACubeError
        If what is there is no cube.
    TimeAxisError
        If no variable varies in time, or times are unreadable, unsorted or duplicated.
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
    title = slug(name or (paths[0].stem if len(paths) == 1 else paths[0].resolve().parent.name))
    grids, simulated = _open(paths, title, crs)
    if not any("time" in grid.dataset.dims for grid in grids):
        found = ", ".join(f"{v}{data.dims}" for grid in grids for v, data in grid.dataset.data_vars.items())
        raise TimeAxisError(f"{paths[0]} has no time axis; found {found}. A cube needs a variable that varies in time.")
    where = str(paths[0]) if isinstance(source, str | PathLike) else ", ".join(map(fspath, paths))
    return scaled(Cube(title, tuple(grids), where, simulated), scale or {})


def _open(paths: list[Path], title: str, crs: Any) -> tuple[list[Grid], bool]:
    path = paths[0]
    if len(paths) > 1:
        return open_geotiffs(paths, title, crs)
    if not path.is_dir():
        engine = _format(path)
        return open_geotiffs(paths, title, crs) if engine == "geotiff" else open_store(path, engine, crs)
    if any((path / marker).exists() for marker in ("zarr.json", ".zgroup", ".zmetadata")):
        return open_store(path, "zarr", crs)
    if is_eopatch(path):
        return open_eopatch(path, crs), False
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        held = sorted(file.name for file in path.iterdir())
        shown = ", ".join(held[:5]) + (", ..." if len(held) > 5 else "")
        raise NotACubeError(f"The folder {path} holds {shown or 'nothing'}; expected {_EXPECTED}.")
    return open_geotiffs(files, title, crs)


def _format(path: Path) -> Format:
    """Return the engine for a file, from its first bytes."""
    with path.open("rb") as file:
        head = file.read(8)
    for magic, engine in _MAGIC:
        if head.startswith(magic):
            return engine
    raise NotACubeError(f"{path} starts with {head!r}, which no supported format does; expected {_EXPECTED}.")
