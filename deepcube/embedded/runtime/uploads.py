"""Files sent in chunks (flow.js, as the client does): bounded, in any order, visible only when complete.

Every chunk is kept as a file of its own in staging and flushed before it is acknowledged, so an upload goes on after a
restart of the server. When the last chunk is there, the file is put together in staging and renamed into place.

The form carries nothing that tells a second attempt from the first, so chunks that a failed attempt left behind can
complete the second one too early. An upload is therefore remembered for a while after it was published: a late chunk
that differs from the one used replaces it and the file is published anew, so that the file ends as what the last
client to finish has sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deepcube.embedded.errors import GENERIC_ILLEGAL_ARGUMENT, PATH_NOT_FOUND, ApiError, bad_request, not_found
from deepcube.embedded.home import sync_folder, write_atomically
from deepcube.embedded.platform import Platform
from deepcube.embedded.runtime.trees import DISK_FULL, Trees, flush, remove_tree, storage_error

MAX_CHUNK_BYTES = 256 * 1024 * 1024
QUIET_SECONDS = 3600.0
_DISK_RESERVE_BYTES = 64 * 1024 * 1024
_MAX_CHUNKS = 1_000_000
_BLOCK = 1 << 20
_LOCKS = 64  # uploads share locks; two that do wait for each other at times, and no more
_NAME = re.compile(r"[^/\0]{1,255}")


def max_upload_bytes() -> int:
    """Return the largest file that may be uploaded: ``$DEEPCUBE_MAX_UPLOAD_BYTES``, or 64 GiB."""
    return int(os.environ.get("DEEPCUBE_MAX_UPLOAD_BYTES", 64 * 1024**3))


@dataclass(frozen=True)
class Chunk:
    """What the form says of one chunk.

    Attributes
    ----------
    name : str
        Name of the file.
    identifier : str
        Chosen by the client, the same for all chunks of a file.
    number, total : int
        Number of this chunk, from 1, and of all.
    chunk_bytes, total_bytes : int
        Size of every chunk but the last, and of the file.
    """

    name: str
    identifier: str
    number: int
    total: int
    chunk_bytes: int
    total_bytes: int

    @classmethod
    def read(cls, fields: dict[str, str]) -> Chunk:
        """Read the fields of the form.

        Raises
        ------
        ApiError
            If one is missing or they contradict each other.
        """
        try:
            chunk = cls(
                fields["flowFilename"],
                fields["flowIdentifier"],
                int(fields["flowChunkNumber"]),
                max(1, int(fields["flowTotalChunks"])),
                int(fields["flowChunkSize"]),
                int(fields["flowTotalSize"]),
            )
        except (KeyError, ValueError) as error:
            raise bad_request(f"the upload's form lacks a usable field: {error}") from None
        if not _NAME.fullmatch(chunk.name) or chunk.name in (".", ".."):
            raise bad_request(f"{chunk.name!r} is not a file name; name the folder in the path")
        if not (1 <= chunk.number <= chunk.total <= _MAX_CHUNKS) or chunk.chunk_bytes < 1 or chunk.total_bytes < 0:
            raise bad_request(f"chunk {chunk.number} of {chunk.total} with {chunk.chunk_bytes} bytes makes no sense")
        if chunk.total_bytes > max_upload_bytes():
            raise ApiError(
                413,
                GENERIC_ILLEGAL_ARGUMENT,
                f"{chunk.name!r} has {chunk.total_bytes} bytes, uploads may have {max_upload_bytes()}; "
                "raise DEEPCUBE_MAX_UPLOAD_BYTES of the server to allow more",
            )
        return chunk

    @property
    def expected_bytes(self) -> int:
        """Size that this chunk must have."""
        full = (self.total - 1) * self.chunk_bytes
        return self.chunk_bytes if self.number < self.total else self.total_bytes - full


class Uploads:
    """Uploads under way.

    Parameters
    ----------
    platform : Platform
        Whose files.
    """

    def __init__(self, platform: Platform) -> None:
        self._trees = platform.service(Trees)
        self._root = self._trees.staging / "uploads"
        self._root.mkdir(exist_ok=True)
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def check_space(self, expected_bytes: int) -> None:
        """Refuse what would fill the disk.

        Raises
        ------
        ApiError
            With the code that the client reports as "storage is full".
        """
        free = shutil.disk_usage(self._root).free
        if expected_bytes + _DISK_RESERVE_BYTES > free:
            raise ApiError(500, DISK_FULL, f"the upload needs {expected_bytes} bytes, the disk has {free} left")

    def add(self, folder: Path, chunk: Chunk, received: Path) -> bool:
        """Take one received chunk, and publish the file if it was the last one missing.

        Parameters
        ----------
        folder : Path
            Folder of the target; must exist.
        chunk : Chunk
            What the form says.
        received : Path
            Content of the chunk, in staging; it is moved away.

        Returns
        -------
        bool
            Whether the file is complete.

        Raises
        ------
        ApiError
            If the folder does not exist, or the chunk has not the size that the form says.
        """
        if not folder.is_dir():
            raise not_found(f"the folder {folder.name!r} to upload to does not exist; make it first", PATH_NOT_FOUND)
        size = received.stat().st_size
        if size != chunk.expected_bytes:
            raise bad_request(f"chunk {chunk.number} has {size} bytes, {chunk.expected_bytes} expected; send it again")
        target = folder / chunk.name
        if chunk.number == 1 and chunk.total > 1:
            self.check_space(chunk.total_bytes)
        try:
            flush(received)
            if chunk.total == 1:
                self._trees.publish(received, _plain(target), replace=True)
                return True
            with self._lock(target, chunk) as place:
                return self._add(place, target, chunk, received)
        except OSError as error:
            raise storage_error(error) from error

    def _add(self, place: Path, target: Path, chunk: Chunk, received: Path) -> bool:
        if _is_published(place, target):
            return self._amend(place, target, chunk, received)
        received.replace(place / str(chunk.number))
        sync_folder(place)
        with os.scandir(place) as entries:
            present = sum(entry.name.isdecimal() for entry in entries)
        if present < chunk.total:
            return False
        parts = [place / str(number) for number in range(1, chunk.total + 1)]
        with self._trees.scratch() as whole:
            _join(parts, whole)
            self._publish(place, whole, target)
        for part in parts:
            part.unlink()
        return True

    def _amend(self, place: Path, target: Path, chunk: Chunk, received: Path) -> bool:
        """Put a late chunk into a file that was published without it, unless it is the same."""
        offset = (chunk.number - 1) * chunk.chunk_bytes
        if _holds(target, offset, received):
            return True
        with self._trees.scratch() as whole:
            shutil.copyfile(target, whole)
            with whole.open("r+b") as out, received.open("rb") as stream:
                out.seek(offset)
                shutil.copyfileobj(stream, out, _BLOCK)
                out.flush()
                os.fsync(out.fileno())
            self._publish(place, whole, target)
        return True

    def _publish(self, place: Path, whole: Path, target: Path) -> None:
        inode = whole.stat().st_ino
        self._trees.publish(whole, _plain(target), replace=True)
        write_atomically(place / "published", str(inode))

    def forget(self, place: Path) -> None:
        """Drop what is staged for a path or below it; called when the path is removed or moved."""
        for staged in self._staged():
            with contextlib.suppress(OSError):
                target = Path((staged / "target").read_text())
                if target.is_relative_to(place):
                    remove_tree(staged)

    def sweep(self) -> None:
        """Drop what has been quiet for long."""
        for staged in self._staged():
            with contextlib.suppress(OSError):
                if time.time() - staged.stat().st_mtime > QUIET_SECONDS:
                    remove_tree(staged)

    def _staged(self) -> list[Path]:
        return list(self._root.iterdir())

    @contextlib.contextmanager
    def _lock(self, target: Path, chunk: Chunk) -> Iterator[Path]:
        """Hold the staging folder of one upload; a folder is found again by what names the upload."""
        key = hashlib.sha256(
            f"{target}\0{chunk.identifier}\0{chunk.total}\0{chunk.chunk_bytes}\0{chunk.total_bytes}".encode()
        ).hexdigest()[:32]
        with self._locks[int(key, 16) % _LOCKS]:
            place = self._root / key
            if not place.exists():
                self.sweep()
                place.mkdir()
                (place / "target").write_text(str(target))
            yield place


def _plain(target: Path) -> Path:
    """Return the target if it is a file or nothing yet."""
    if target.is_dir():
        raise bad_request(f"{target.name!r} is a folder; remove it first or choose another name")
    return target


def _is_published(place: Path, target: Path) -> bool:
    """Tell whether the target is still the very file that this upload has published."""
    try:
        return int((place / "published").read_text()) == target.stat().st_ino
    except (OSError, ValueError):
        return False


def _holds(target: Path, offset: int, content: Path) -> bool:
    """Tell whether a file has the content of another one at an offset."""
    with target.open("rb") as whole, content.open("rb") as part:
        whole.seek(offset)
        while expected := part.read(_BLOCK):
            if whole.read(len(expected)) != expected:
                return False
    return True


def _join(parts: list[Path], whole: Path) -> None:
    with whole.open("wb") as out:
        for part in parts:
            with part.open("rb") as stream:
                shutil.copyfileobj(stream, out, _BLOCK)
        out.flush()
        os.fsync(out.fileno())
