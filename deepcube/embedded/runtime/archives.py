"""Zip archives in the project files: made from, and unpacked to, what is beside them."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path, PurePosixPath

from deepcube.embedded.errors import ApiError, bad_request
from deepcube.embedded.runtime.trees import Trees, exists_error
from deepcube.embedded.runtime.uploads import Uploads, max_upload_bytes

MAX_ENTRIES = 200_000
_BLOCK = 1 << 20


def pack(trees: Trees, source: Path, target: Path) -> None:
    """Make a zip archive of a file or folder; symbolic links are left out.

    Raises
    ------
    ApiError
        If the target exists.
    """
    if target.exists():
        raise exists_error(target)
    with trees.scratch() as place:
        with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
            if source.is_dir():
                for folder, _, names in os.walk(source):
                    inside = Path(folder)
                    archive.write(inside, inside.relative_to(source.parent))
                    for name in sorted(names):
                        if not (inside / name).is_symlink():
                            archive.write(inside / name, (inside / name).relative_to(source.parent))
            else:
                archive.write(source, source.name)
        trees.publish(place, target)


def unpack(trees: Trees, uploads: Uploads, source: Path) -> Path:
    """Unpack an archive into a folder beside it that has its name without the ending.

    Nothing of it is visible before all of it is there.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ApiError
        If it is no zip archive, is damaged, holds a path that leads out of it, or unpacks to more than may be uploaded.
    """
    stem = source.name.partition(".")[0]
    if not source.is_file() or stem in ("", source.name):
        raise bad_request(f"{source.name!r} is not the name of an archive; expected a file such as name.zip")
    target = source.with_name(stem)
    if target.exists():
        raise exists_error(target)
    try:
        with zipfile.ZipFile(source) as archive, trees.scratch() as place:
            entries = archive.infolist()
            _check(entries, uploads)
            folders = {PurePosixPath(entry.filename).parts[0] for entry in entries if entry.filename}
            place.mkdir()
            left = max_upload_bytes()
            for entry in entries:
                left -= _unpack_entry(archive, entry, place, left)
            whole = place / target.name if folders == {target.name} and (place / target.name).is_dir() else place
            trees.publish(whole, target)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise bad_request(f"{source.name} cannot be unpacked: {error}") from None
    return target


def _check(entries: list[zipfile.ZipInfo], uploads: Uploads) -> None:
    if len(entries) > MAX_ENTRIES:
        raise bad_request(f"the archive has {len(entries)} entries, at most {MAX_ENTRIES} can be unpacked")
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or "\0" in entry.filename:
            raise bad_request(f"the archive holds the path {entry.filename!r}, which leads out of it")
    total = sum(entry.file_size for entry in entries)
    if total > max_upload_bytes():
        raise ApiError(413, 120001, f"the archive unpacks to {total} bytes, at most {max_upload_bytes()} can be")
    uploads.check_space(total)


def _unpack_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, limit: int) -> int:
    """Unpack one entry, never more than it says it has; return its size."""
    place = folder / entry.filename
    if entry.is_dir():
        place.mkdir(parents=True, exist_ok=True)
        return 0
    place.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as stream, place.open("wb") as out:
        shutil.copyfileobj(stream, out, _BLOCK)
        size = out.tell()
    if size > min(limit, entry.file_size):
        raise bad_request(f"the archive's entry {entry.filename!r} is larger than it says")
    return size
