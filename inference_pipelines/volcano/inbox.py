"""Where new interferograms lie: a folder here, a folder of the project's files, or a cube."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepcube.cubes import CubeError, CubeNotFoundError, open_cube
from features import volcano

_PAGE = 1000
_VARIABLES = ("wrapped_phase", "phase")


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
    """

    name: str
    read: Callable[[], NDArray[np.float32]]
    fetch: Callable[[], Path] | None


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
    return Item(name, lambda: volcano.read_interferogram(file), lambda: file)


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

    return Item(name, lambda: volcano.read_interferogram(fetch()), fetch)


def _cube(path: Path) -> list[Item]:
    cube = open_cube(path)
    items: list[Item] = []
    for key, variable in cube.variables.items():
        if variable.name not in _VARIABLES or not {"y", "x"} < {*variable.dims}:
            continue
        data = cube[key]
        (number,) = (dim for dim in data.dims if dim not in ("y", "x"))
        for position in range(data.sizes[number]):
            items.append(_part(data.isel({number: position}), f"{key}/{number}_{position:05d}"))
    if not items:
        raise CubeNotFoundError(
            f"Cube {cube.name!r} has {', '.join(sorted(cube.variables))}; expected a variable wrapped_phase of "
            "interferograms by pair or patch."
        )
    return items


def _part(data: Any, name: str) -> Item:
    dates = [
        f"{pd.Timestamp(data.coords[date].values):%Y%m%d}"
        for date in ("primary_date", "secondary_date")
        if date in data.coords
    ]
    shown = "_".join([name, *dates])
    return Item(shown, lambda: volcano.check_phase(data.transpose("y", "x").to_numpy(), shown), None)
