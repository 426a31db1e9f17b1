"""A self-describing, analysis-ready copy of a cube: Zarr, a STAC item, checksums, provenance, pictures.

::

    NAME/
    ├── cube.zarr           the cube, Zarr v3, one group per grid, consolidated metadata
    ├── item.json           STAC item with the datacube extension; opens the cube again
    ├── README.md           what is inside, for people
    ├── provenance.json     where it comes from and what was done to it
    ├── quicklook/*.png     a picture of a variable of every grid
    ├── cube.zarr.levels/   coarser copies of large variables, for views of all of it
    └── CHECKSUMS.sha256    of every other file
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepcube import __version__
from deepcube.cubes.copying import Progress, write_cube
from deepcube.cubes.errors import CubeError
from deepcube.cubes.layout import Layout
from deepcube.cubes.levels import build_levels, large
from deepcube.cubes.model import Cube
from deepcube.cubes.opening import open_cube
from deepcube.cubes.publish_folder import whole_folder
from deepcube.cubes.publish_item import DATA, ITEM, QUICKLOOKS, make_item, read_item
from deepcube.cubes.publish_pictures import quick_looks
from deepcube.cubes.publish_text import readme

CHECKSUMS = "CHECKSUMS.sha256"
"""Digests of all other files, in the format of ``sha256sum``."""

PROVENANCE = "provenance.json"
"""Where the cube comes from and what was done to it."""

_BLOCK = 1 << 20


class PublishError(CubeError):
    """A cube that cannot be published as it is, or a published one that is damaged."""


def publish(
    cube: Cube,
    out: str | os.PathLike[str],
    *,
    licence: str | None = None,
    title: str | None = None,
    layout: Layout | Mapping[str, int] = "patch",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write an analysis-ready copy of a cube; it appears once it is complete.

    Parameters
    ----------
    cube : Cube
        Any opened cube.
    out : path
        Folder to make.
    licence : str, optional
        SPDX name of the licence, such as ``CC-BY-4.0``; by default the one that the cube states.
    title : str, optional
        Title; by default the one that the cube states, else its name.
    layout : {"patch", "map", "series"} or mapping of str to int
        How to cut chunks.
    overwrite : bool
        Whether a folder of that name may be replaced.
    progress : callable, optional
        Told the parts written and all parts.

    Returns
    -------
    pathlib.Path
        The STAC item.

    Raises
    ------
    PublishError
        If no licence is stated or given.
    FolderExistsError
        If the folder exists and may not be replaced.
    """
    stated = licence or cube.attrs.get("license") or cube.attrs.get("licence")
    if not stated:
        raise PublishError(
            f"Cube {cube.name!r} states no licence; others could not use it. Give one by its SPDX name, such as "
            "CC-BY-4.0, or other for anything else."
        )
    attrs = {"title": title or str(cube.attrs.get("title", cube.name)), "license": str(stated)}
    with whole_folder(out, overwrite=overwrite) as folder:
        write_cube(cube, folder / DATA, layout=layout, attrs=attrs, progress=progress)
        made = open_cube(folder / DATA, name=cube.name)
        created = datetime.now(UTC).replace(microsecond=0)
        pictures = quick_looks(made, folder / QUICKLOOKS)
        item = make_item(made, attrs["title"], attrs["license"], created, [path.name for path in pictures])
        (folder / ITEM).write_text(json.dumps(item, indent=1) + "\n")
        origin = provenance(cube, created, layout)
        (folder / PROVENANCE).write_text(json.dumps(origin, indent=1, default=str) + "\n")
        (folder / "README.md").write_text(readme(made, attrs["title"], attrs["license"], origin, pictures))
        if wanted := large(made):
            build_levels(made, wanted)
        _write_checksums(folder)
    return Path(out) / ITEM


def provenance(cube: Cube, created: datetime, layout: Layout | Mapping[str, int]) -> dict[str, Any]:
    """Return where a cube comes from and what is done to it, without paths of this machine."""
    return {
        "source": Path(cube.source.split(", ")[0]).name,
        "source_attributes": {str(key): value for key, value in cube.attrs.items()},
        "notes": list(cube.notes),
        "simulated": cube.simulated,
        "created": created.isoformat(),
        "software": f"deepcube {__version__}",
        "steps": [{"step": "copied as Zarr v3", "layout": layout if isinstance(layout, str) else dict(layout)}],
    }


def open_published(place: str | os.PathLike[str], *, check: bool = False) -> Cube:
    """Open a published cube by its STAC item, or by the folder that holds it.

    Parameters
    ----------
    place : path
        The item or its folder.
    check : bool
        Whether to compare all checksums first, which reads every file.

    Returns
    -------
    Cube
        The cube, not read.

    Raises
    ------
    PublishError
        If there is no item, it names no cube, or a checksum does not match.
    """
    path = Path(place)
    path = path / ITEM if path.is_dir() else path
    if not path.is_file():
        raise PublishError(f"There is no STAC item at {path}; expected the {ITEM} of a published cube.")
    name, data = read_item(path)
    if data is None or not data.is_dir():
        raise PublishError(f"{path} names no Zarr store that is there; expected an asset 'data' beside it.")
    if check:
        verify(path.parent)
    return open_cube(data, name=name)


def verify(folder: str | os.PathLike[str]) -> int:
    """Compare the files of a published cube with their checksums and return how many there are.

    Raises
    ------
    PublishError
        If files are missing, changed or not listed; the message names the first ones.
    """
    path = Path(folder)
    listed = path / CHECKSUMS
    if not listed.is_file():
        raise PublishError(f"{path} has no {CHECKSUMS}; expected a published cube.")
    wanted = {}
    for line in listed.read_text().splitlines():
        digest, _, name = line.partition("  ")
        wanted[name] = digest
    found = _files(path)
    problems = [f"{name} is missing" for name in sorted(set(wanted) - set(found))]
    problems += [f"{name} is not listed" for name in sorted(set(found) - set(wanted))]
    problems += [f"{n} has changed" for n in sorted(set(found) & set(wanted)) if _digest(found[n]) != wanted[n]]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise PublishError(f"{path.name} is not as it was published: {'; '.join(problems[:3])}{more}. Fetch it again.")
    return len(wanted)


def _write_checksums(folder: Path) -> None:
    lines = [f"{_digest(path)}  {name}\n" for name, path in sorted(_files(folder).items())]
    (folder / CHECKSUMS).write_text("".join(lines))


def _files(folder: Path) -> dict[str, Path]:
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    found.pop(CHECKSUMS, None)
    return found


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
