"""Programs that run beside the platform and say in its home folder where: the atlas, to which the console links."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deepcube.embedded.errors import StorageError
from deepcube.embedded.home import write_atomically

_ATLAS = Path("run") / "atlas.json"


def tell_atlas(root: Path, url: str, collections: Iterable[str]) -> None:
    """Say where an atlas of this process runs; where the folder cannot be written, nobody is told.

    Parameters
    ----------
    root : pathlib.Path
        The home folder.
    url : str
        Its address.
    collections : iterable of str
        Names of what it shows.
    """
    path = root / _ATLAS
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"url": url, "pid": os.getpid(), "collections": list(collections)}))
    except (OSError, StorageError):
        return


def running_atlas(root: Path) -> dict[str, Any] | None:
    """Return ``url``, ``pid`` and ``collections`` of the atlas that runs beside; None where none does."""
    try:
        found = json.loads((root / _ATLAS).read_text())
        url, pid, names = str(found["url"]), int(found["pid"]), [str(name) for name in found["collections"]]
        os.kill(pid, 0)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    is_page = urlsplit(url).scheme in ("http", "https")
    return {"url": url, "pid": pid, "collections": names} if is_page and pid > 0 else None


def forget_atlas(root: Path) -> None:
    """Take back what this process has said; what another one has said since stays."""
    running = running_atlas(root)
    if running is not None and running["pid"] == os.getpid():
        (root / _ATLAS).unlink(missing_ok=True)
