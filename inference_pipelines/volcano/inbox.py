"""Where new interferograms lie: a folder here, a folder of the project's files, or a cube."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepcube.cubes import CubeError, CubeNotFoundError, open_cube
from features import volcano

_PAGE = 1000
_VARIABLES = ("wrapped_phase", "phase")
_PLACED = (".tif", ".tiff")  # files that may tell where they lie


@dataclass(frozen=True)
class Item:
    """One thing in an inbox that should be an interferogram.

    Attributes
    ----------
    name : str
        Its path below the inbox, or its place in the cube; it holds what is known of volcano, frame and dates.
    read : callable
        Returns its phase, checked, or raises :class:`features.volcano.InterferogramError`.
    fetch : callable or None
        Returns where its file lies on this machine; None for a part of a cube.
    locate : callable
        Returns longitude and latitude of a pixel by row and column; None where file or cube do not tell.
    """

    name: str
    read: Callable[[], NDArray[np.float32]]
    fetch: Callable[[], Path] | None
    locate: Callable[[int, int], volcano.Position | None]


def open_inbox(project: Any, source: str, scratch: Path) -> list[Item]:
    """List what lies in an inbox, in alphabetical order; nothing is read yet.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    source : str
        A folder or file here, whose images are taken, in folders below, too; a cube with a wrapped phase; or else a
        folder of the project's files.
    scratch : pathlib.Path
        Where files of the project are downloaded to, one at a time.

    Raises
    ------
    deepcube.cubes.CubeNotFoundError
        If there is nothing of the kind.
    """
    path = Path(source)
    if path.exists():
        return local_items(path)
    datasets = project.get_dataset_api()
    if not datasets.exists(source):
        raise CubeNotFoundError(
            f"Found neither a folder {source} here nor one in the project's files; expected a folder of interferograms."
        )
    return [_remote(datasets, name, source, scratch) for name in _listed(datasets, source)]


def local_items(path: Path) -> list[Item]:
    """List the interferograms of a folder, file or cube on this machine; see :func:`open_inbox`."""
    if path.is_file() and path.suffix.lower() in volcano.IMAGES:
        return [_local(path, path.name)]
    files = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in volcano.IMAGES and file.is_file() and not file.name.startswith(".")
    )
    if files and not any(part.suffix == ".zarr" for part in (path, *path.glob("*.zarr"))):
        return [_local(file, str(file.relative_to(path))) for file in files]
    try:
        return _cube(path)
    except CubeNotFoundError:
        raise
    except CubeError as error:
        raise CubeNotFoundError(
            f"Found neither images ({', '.join(volcano.IMAGES)}) nor a cube of interferograms in {path}: {error}"
        ) from error


def _local(file: Path, name: str) -> Item:
    return Item(name, lambda: volcano.read_interferogram(file), lambda: file, partial(volcano.locate_pixel, file))


def _listed(datasets: Any, source: str) -> list[str]:
    """Return the names of the images of a folder of the project's files."""
    names: list[str] = []
    while True:
        page = datasets.list(source, offset=len(names), limit=_PAGE)
        names += [PurePosixPath(path).name for path in page]
        if len(page) < _PAGE:
            return sorted(name for name in names if PurePosixPath(name).suffix.lower() in volcano.IMAGES)


def _remote(datasets: Any, name: str, source: str, scratch: Path) -> Item:
    def fetch() -> Path:
        return Path(datasets.download(f"{source}/{name}", str(scratch), overwrite=True))

    def locate(row: int, column: int) -> volcano.Position | None:
        return volcano.locate_pixel(fetch(), row, column) if PurePosixPath(name).suffix.lower() in _PLACED else None

    return Item(name, lambda: volcano.read_interferogram(fetch()), fetch, locate)


def _cube(path: Path) -> list[Item]:
    cube = open_cube(path)
    items: list[Item] = []
    for key, variable in cube.variables.items():
        if variable.name not in _VARIABLES or not {"y", "x"} < {*variable.dims}:
            continue
        data = cube[key]
        (number,) = (dim for dim in data.dims if dim not in ("y", "x"))
        for position in range(data.sizes[number]):
            shown = f"{key}/{number}_{position:05d}"
            items.append(_part(data.isel({number: position}), shown, cube.grid_of(key).crs))
    if not items:
        raise CubeNotFoundError(
            f"Cube {cube.name!r} has {', '.join(sorted(cube.variables))}; expected a variable wrapped_phase of "
            "interferograms by pair or patch."
        )
    return items


def _part(data: Any, name: str, crs: Any) -> Item:
    dates = [
        f"{pd.Timestamp(data.coords[date].values):%Y%m%d}"
        for date in ("primary_date", "secondary_date")
        if date in data.coords
    ]
    shown = "_".join([name, *dates])

    def locate(row: int, column: int) -> volcano.Position | None:
        if crs is None or not {"y", "x"} <= set(data.coords):
            return None
        return volcano.locate_coordinates(crs, float(data["x"][column]), float(data["y"][row]))

    return Item(shown, lambda: volcano.check_phase(data.transpose("y", "x").to_numpy(), shown), None, locate)
