"""Files and folders changed so that a crash leaves the old state or the new.

Everything is prepared in a staging folder beside the projects, on the same disk but out of reach of every path of the
client, and moved into place by one rename. What a crash leaves in staging is swept at the next start.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import PATH_EXISTS, PATH_NOT_FOUND, ApiError, bad_request, conflict, not_found
from deepcube.embedded.home import sync_folder
from deepcube.embedded.platform import Platform

DISK_FULL = 110055
STAGING = ".staging"
_STEP = "file_step"
_REFUSED_SECONDS = 10.0


class Trees:
    """Atomic changes of the project files.

    Parameters
    ----------
    platform : Platform
        Whose files; the staging folder is swept when the service is made, at the start of the server.
    """

    def __init__(self, platform: Platform) -> None:
        self.staging = platform.files.root / STAGING
        self._catalog = platform.catalog
        self._refused: dict[Path, float] = {}
        self._scratch = self.staging / "scratch"
        self.staging.mkdir(mode=0o700, exist_ok=True)
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        self._pending = self.staging / "pending"
        self._pending.mkdir(exist_ok=True)
        for step in self._catalog.find(0, _STEP):
            self.execute(step)
        for left in self._pending.iterdir():  # staged for a transaction that was not committed
            remove_tree(left)

    def refuse_folder(self, place: Path) -> ApiError:
        """Build the error for a folder that is to be made and exists, and note that it was asked for.

        A client that cannot make the folder of a model version removes that folder before it reports the error; were
        it to, it would remove what another client is just uploading there. See :meth:`was_refused`.
        """
        self._refused[place] = time.monotonic()
        return exists_error(place)

    def was_refused(self, place: Path) -> bool:
        """Tell, once, whether the removal of a folder is the answer to a refusal to make it, a moment ago."""
        now = time.monotonic()
        at = self._refused.pop(place, None)
        self._refused = {other: then for other, then in self._refused.items() if now - then < _REFUSED_SECONDS}
        return at is not None and now - at < _REFUSED_SECONDS

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a path in staging that nobody else uses; whatever is still there afterwards is removed."""
        place = self._scratch / uuid.uuid4().hex
        try:
            yield place
        except OSError as error:
            raise storage_error(error) from error
        finally:
            remove_tree(place)

    def publish(self, prepared: Path, target: Path, *, replace: bool = False) -> None:
        """Move something prepared in staging into place.

        Parameters
        ----------
        prepared : Path
            File or folder; flushed to disk by the caller where that matters.
        target : Path
            Where it belongs; its folder must exist.
        replace : bool
            Whether a file that is there already is replaced.

        Raises
        ------
        ApiError
            If the target exists and is not to be replaced, or its folder does not exist.
        """
        if not replace and (target.exists() or target.is_symlink()):
            raise exists_error(target)
        try:
            prepared.replace(target)
        except FileNotFoundError:
            raise not_found(f"the folder of {target.name!r} does not exist", PATH_NOT_FOUND) from None
        except (NotADirectoryError, IsADirectoryError):
            raise exists_error(target) from None
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise exists_error(target) from None
            raise storage_error(error) from error
        sync_folder(target.parent)

    def copy(self, source: Path, target: Path) -> None:
        """Copy a file or a folder; symbolic links are copied as links, never followed."""
        with self.scratch() as place:
            if source.is_dir():
                shutil.copytree(source, place, symlinks=True)
            else:
                shutil.copy2(source, place)
            self.publish(place, target)

    def move(self, source: Path, target: Path) -> None:
        """Move a file or a folder.

        Raises
        ------
        ApiError
            If the target lies inside the source or exists.
        """
        if target.is_relative_to(source):
            raise bad_request(f"cannot move {source.name!r} into itself")
        self.publish(source, target)
        sync_folder(source.parent)

    def remove(self, place: Path) -> None:
        """Remove a file or a folder with everything in it: it disappears at once, the space is freed after that."""
        with self.scratch() as doomed, contextlib.suppress(FileNotFoundError):
            place.rename(doomed)
            sync_folder(place.parent)

    def stage(self, source: Path) -> Path:
        """Copy a file into staging, durably, for :meth:`place_later`."""
        staged = self._pending / uuid.uuid4().hex
        try:
            shutil.copyfile(source, staged)
            flush(staged)
        except OSError as error:
            remove_tree(staged)
            raise storage_error(error) from error
        return staged

    def place_later(self, staged: Path, target: Path) -> Entity:
        """Note, in the caller's transaction, that a staged file belongs somewhere once the transaction is done.

        Returns
        -------
        Entity
            To hand to :meth:`execute` after the transaction; after a crash in between, the next start does it.
        """
        return self._catalog.add(0, _STEP, uuid.uuid4().hex, {"source": str(staged), "target": str(target)})

    def remove_later(self, place: Path) -> Entity:
        """Note, in the caller's transaction, that something is to be removed; see :meth:`place_later`."""
        return self._catalog.add(0, _STEP, uuid.uuid4().hex, {"source": str(place), "target": None})

    def execute(self, step: Entity) -> None:
        """Do what :meth:`place_later` or :meth:`remove_later` has noted."""
        source, target = Path(step.body["source"]), step.body["target"]
        if target is None:
            self.remove(source)
        elif source.exists():
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            self.publish(source, Path(target), replace=True)
        self._catalog.remove(step)

    def close(self) -> None:
        """Remove what is left in staging of this run."""
        shutil.rmtree(self._scratch, ignore_errors=True)


def remove_tree(place: Path) -> None:
    """Remove a file or folder, present or not."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def flush(place: Path) -> None:
    """Make the content of a file durable (fsync)."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exists_error(target: Path) -> ApiError:
    """Build the error for a target that exists already."""
    return conflict(f"{target.name!r} exists already; remove it first or choose another name", PATH_EXISTS)


def storage_error(error: OSError) -> ApiError:
    """Build the error for a disk that is full, read-only or broken."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "the disk is full: free some space" if full else "check the home folder's disk and permissions"
    return ApiError(500, DISK_FULL if full else 120000, f"cannot write the project files ({error.strerror}); {advice}")
