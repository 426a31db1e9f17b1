"""The durable record of the trials of an experiment: one line of JSON per event, appended, never rewritten.

A line reaches the operating system before the event is acted upon, so a killed experiment loses nothing. A thread of
its own asks the disk to keep the lines (``fsync``), one request for all lines that came meanwhile; what a failing
machine can lose is therefore the few trials of the last milliseconds, which are then run again. A line that was cut off
by such a failure is dropped when the journal is opened to continue.
"""

import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deepcube.oblivious.errors import RecordError
from deepcube.oblivious.record import jsonable

JOURNAL_FILE = "trials.jsonl"
"""Name of the journal in the folder of an experiment."""

_ENCODER = json.JSONEncoder(separators=(",", ":"), default=jsonable)
_PAUSE_S = 0.005

Entry = dict[str, Any]
"""One event: ``event`` is ``experiment``, ``start`` or ``end``."""


class Journal:
    """Appends events; a context manager, whose end waits for the disk.

    Parameters
    ----------
    path : pathlib.Path
        The file; created if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._wanted = threading.Event()
        self._closing = False
        self._failure: OSError | None = None
        self._keeper = threading.Thread(target=self._keep, name="journal", daemon=True)
        self._keeper.start()

    def append(self, *entries: Mapping[str, Any]) -> None:
        """Append events.

        Raises
        ------
        OSError
            If the disk refuses these lines or an earlier one, for example because it is full.
        """
        if self._failure:
            raise self._failure
        lines = memoryview("".join(f"{_ENCODER.encode(entry)}\n" for entry in entries).encode())
        while lines:
            lines = lines[os.write(self._file, lines) :]
        self._wanted.set()

    def close(self) -> None:
        """Wait until everything is on the disk, and close the file."""
        if self._file < 0:
            return
        self._closing = True
        self._wanted.set()
        self._keeper.join()
        try:
            os.fsync(self._file)
        finally:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _keep(self) -> None:
        while not self._closing:
            self._wanted.wait()
            if not self._closing:
                time.sleep(_PAUSE_S)  # what comes meanwhile is kept by the same request
            self._wanted.clear()
            try:
                os.fsync(self._file)
            except OSError as error:
                self._failure = error
                return


def read_journal(path: Path) -> list[Entry]:
    """Read a journal and cut off a last line that was never finished.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    list of dict
        The events in order; the first describes the experiment.

    Raises
    ------
    RecordError
        If there is no journal, or a line other than the last is damaged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise RecordError(
            f"Found no {path.name} in {path.parent}; expected the folder of an earlier search."
        ) from error
    whole = content[: content.rfind(b"\n") + 1]
    entries: list[Entry] = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            entry = json.loads(line)
            entry["event"]
        except (ValueError, TypeError, KeyError) as error:
            raise RecordError(f"Found line {number} of {path} damaged ({error}); expected a JSON object.") from error
        entries.append(entry)
    if not entries or entries[0]["event"] != "experiment":
        raise RecordError(f"Found no description of an experiment at the head of {path}; it cannot be continued.")
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return entries
