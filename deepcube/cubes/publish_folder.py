"""A folder that appears whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from deepcube.cubes.durable import sync
from deepcube.cubes.errors import CubeError


class FolderExistsError(CubeError):
    """Something is already where a folder is to be written."""


@contextlib.contextmanager
def whole_folder(out: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder to fill, which takes the name ``out`` once the block ends without an error.

    Everything is flushed to the disk before the name is given, so neither a crash nor a full disk leaves a folder that
    looks complete. After an error or Ctrl-C the partial folder is removed and what was at ``out`` before is untouched.

    Parameters
    ----------
    out : path
        Name of the finished folder; missing parents are made.
    overwrite : bool
        Whether a folder of that name may be replaced.

    Yields
    ------
    pathlib.Path
        The folder to fill, beside ``out``.

    Raises
    ------
    FolderExistsError
        If ``out`` exists and may not be replaced.
    """
    path = Path(out).expanduser().absolute()
    if path.exists() and not overwrite:
        raise FolderExistsError(f"{path} exists already; expected a new name. Choose another, or ask to overwrite it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (path.with_name(f".{path.name}.{word}-{os.getpid()}") for word in ("partial", "old"))
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        _flush(partial)
        if path.exists():
            path.replace(old)
        partial.replace(path)
        sync(path.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists() and not path.exists():
            old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _flush(folder: Path) -> None:
    for root, _, files in os.walk(folder):
        for name in files:
            sync(Path(root) / name)
        sync(Path(root))
