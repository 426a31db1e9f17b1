"""Whether an opened cube is still the one that was opened: a cube that is written again is never shown half.

A writer changes files of metadata and folders before, while and after it writes values. Every answer from a cube looks
at these before and after it reads. While they change, and until the metadata are whole again, requests are refused;
then the cube is opened anew. Values that are changed in place, without any change of metadata or of a folder, are not
noticed.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepcube.atlas.errors import ChangingError
from deepcube.cubes import Cube

QUIET_SECONDS = 1.5
"""How long nothing has to change until a cube that was written counts as complete."""

_META = ("zarr.json", ".zmetadata", ".zgroup", ".zattrs")
_MOST_FILES = 200  # of a folder of images

State = tuple[tuple[int, int, int], ...]
"""Inode, size and time of change of every file that is looked at."""


class Watched:
    """A cube of this machine's disk.

    Parameters
    ----------
    cube : Cube
        An opened cube.
    """

    def __init__(self, cube: Cube) -> None:
        self.source = cube.source
        self.lock = threading.Lock()
        self._begun: tuple[State, float] | None = None
        self.accept(cube)

    def accept(self, cube: Cube) -> None:
        """Take a cube for the one that is watched from now on."""
        self._paths = tuple(_paths(cube))
        self._consolidated = _is_consolidated(Path(cube.source))
        self.state = self.now()
        self._begun = None

    @property
    def version(self) -> str:
        """What changes when the cube does, short enough for addresses."""
        return hashlib.sha256(repr(self.state).encode()).hexdigest()[:12]

    def now(self) -> State:
        """Return the state of the files."""
        return tuple(_state(path) for path in self._paths)

    def settled(self) -> bool:
        """Tell whether the cube was written again and is complete; False where it is what it was.

        Raises
        ------
        ChangingError
            If it is being written.
        """
        now = self.now()
        if now == self.state:
            self._begun = None
            return False
        if self._begun is None or self._begun[0] != now:
            self._begun = (now, time.monotonic())
        whole = not self._consolidated or _is_consolidated(Path(self.source))
        if not whole or time.monotonic() - self._begun[1] < QUIET_SECONDS:
            raise ChangingError.of(Path(self.source).name)
        return True


def _paths(cube: Cube) -> Iterator[Path]:
    """Return what a writer of a cube changes."""
    root = Path(cube.source)
    if not root.exists():
        return
    yield root
    if root.is_file():
        return
    yield from (root / name for name in _META)
    stored = [grid.stored for grid in cube.grids if grid.stored is not None]
    for source in stored:
        inside = ("zarr.json", "c") if source.version == 3 else (".zarray",)
        yield source.group
        for variable in source.axes:
            yield source.group / variable
            yield from (source.group / variable / name for name in inside)
    if not stored:
        yield from sorted(path for path in root.iterdir() if path.is_file())[:_MOST_FILES]


def _state(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return found.st_ino, found.st_size, found.st_mtime_ns


def _is_consolidated(root: Path) -> bool:
    """Tell whether a Zarr store has its metadata in one place, which writers do last."""
    if (root / ".zmetadata").is_file():
        return True
    try:
        found: Any = json.loads((root / "zarr.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and bool(found.get("consolidated_metadata"))
