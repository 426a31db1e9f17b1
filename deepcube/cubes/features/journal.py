"""Which tiles are done: what makes an extraction restartable."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepcube.cubes.features.errors import FeatureError


class Journal:
    """Finished tiles of one extraction, in a folder.

    Parameters
    ----------
    folder : path
        Folder of the journal; made if it does not exist.
    plan : mapping
        JSON-able description of the extraction; a journal of another plan is refused.

    Raises
    ------
    FeatureError
        If the folder holds the journal of another extraction.
    """

    def __init__(self, folder: str | os.PathLike[str], plan: Mapping[str, Any]) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dict(plan), sort_keys=True, indent=1)
        self._mark = hashlib.sha256(text.encode()).hexdigest()
        described = self._folder / "plan.json"
        if not described.exists():
            partial = described.with_suffix(f".partial-{os.getpid()}")
            with partial.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(described)
        elif hashlib.sha256(described.read_bytes()).hexdigest() != self._mark:
            raise FeatureError(
                f"{self._folder} is the journal of another extraction (see its plan.json); expected the same cube, "
                "features, period and tiles. Use another folder, or remove it to start anew."
            )
        self._lines = self._folder / "done.txt"

    def done(self) -> frozenset[int]:
        """Return the numbers of the finished tiles; a line that a crash cut short counts as not written."""
        if not self._lines.exists():
            return frozenset()
        whole = self._lines.read_text().rpartition("\n")[0]
        return frozenset(int(line) for line in whole.splitlines() if line.isdecimal())

    def finish(self, tile: int) -> None:
        """Record a tile as finished; call it once its rows are safe elsewhere."""
        torn = self._lines.exists() and not self._lines.read_bytes().endswith(b"\n") and self._lines.stat().st_size
        with self._lines.open("a") as file:
            file.write(f"{'x' if torn else ''}{chr(10) if torn else ''}{tile}\n")
            file.flush()
            os.fsync(file.fileno())
