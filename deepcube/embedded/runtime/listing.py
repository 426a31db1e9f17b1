"""Files and folders as the client's dataset API sees them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from deepcube.embedded.catalog import iso_time
from deepcube.embedded.errors import bad_request
from deepcube.embedded.platform import Platform, Project

HIDDEN_PREFIXES = (".removed-", ".staging")
MAX_PAGE = 10_000


def document(platform: Platform, project: Project, place: Path) -> dict[str, Any]:
    """Return a file or folder as the REST API writes one.

    A dataset (a folder right below the project) carries ``datasetType``; the client refuses to overwrite those.
    """
    status = place.lstat()
    path = platform.files.public(place)
    attributes = {
        "name": place.name,
        "path": path,
        "parentId": 0,
        "dir": stat.S_ISDIR(status.st_mode),
        "owner": "deepcube",
        "group": project.name,
        "permission": stat.filemode(status.st_mode)[1:],
        "size": status.st_size if stat.S_ISREG(status.st_mode) else 0,
        "modificationTime": iso_time(status.st_mtime_ns // 1_000_000),
        "accessTime": iso_time(status.st_atime_ns // 1_000_000),
        "underConstruction": False,
        "id": status.st_ino,
    }
    result: dict[str, Any] = {
        "href": f"{platform.rest_url}/project/{project.id}/dataset{path}",
        "type": "inodeDTO",
        "attributes": attributes,
        "zipState": "NONE",
    }
    if is_dataset(platform, project, place):
        result |= {"id": status.st_ino, "name": place.name, "description": "", "datasetType": "DATASET"}
        result |= {"publicDataset": "NOT_PUBLIC", "shared": False, "accepted": True, "permission": "EDITABLE"}
    return result


def is_dataset(platform: Platform, project: Project, place: Path) -> bool:
    """Tell whether a place is a top-level folder of the project."""
    return place.parent == platform.files.project_folder(project.name)


def listing(
    platform: Platform, project: Project, folder: Path, *, offset: int, limit: int, sort_by: str
) -> dict[str, Any]:
    """List a folder, a page at a time.

    Parameters
    ----------
    folder : Path
        Folder to list.
    offset, limit : int
        The page.
    sort_by : str
        ``NAME``, ``ID``, ``SIZE`` or ``MODIFICATION_TIME``, then ``:asc`` or ``:desc``.

    Returns
    -------
    dict
        ``count`` of all entries and the ``items`` of the page.

    Raises
    ------
    ApiError
        If the place is a file, or the order is unknown.
    """
    if not folder.is_dir():
        raise bad_request(f"{platform.files.public(folder)} is a file, only a folder can be listed")
    key, _, direction = sort_by.partition(":")
    keys = {
        "NAME": lambda entry: entry.name,
        "ID": lambda entry: entry.inode(),
        "SIZE": lambda entry: entry.stat(follow_symlinks=False).st_size,
        "MODIFICATION_TIME": lambda entry: entry.stat(follow_symlinks=False).st_mtime_ns,
    }
    if key.upper() not in keys:
        raise bad_request(f"cannot sort by {key!r}; use one of {', '.join(keys)}")
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(HIDDEN_PREFIXES)]
    visible.sort(key=keys[key.upper()], reverse=direction.lower() == "desc")
    page = visible[offset : offset + min(limit, MAX_PAGE)]
    items = []
    for entry in page:
        try:
            items.append(document(platform, project, Path(entry.path)))
        except FileNotFoundError:  # removed since it was listed
            continue
    return {"count": len(visible), "items": items}
