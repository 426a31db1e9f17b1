"""What is written reaches the disk."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder.

    Parameters
    ----------
    path : pathlib.Path
        The file or folder.

    Raises
    ------
    OSError
        If it cannot be opened, or the disk refuses it.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
