"""Reading the end of log files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tail:
    """The end of a log.

    Attributes
    ----------
    text : str
        Whole lines.
    truncated : bool
        Whether the limit of bytes has cut off lines that were asked for.
    """

    text: str
    truncated: bool


def tail(log: Path, lines: int | None, limit: int) -> Tail:
    """Return the last lines of a log.

    Parameters
    ----------
    log : Path
        File; one that does not exist is empty.
    lines : int or None
        At most so many lines; None for all.
    limit : int
        At most so many bytes.
    """
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - limit))
            data = stream.read(limit)
    except FileNotFoundError:
        return Tail("", False)
    if size > limit:
        data = data.partition(b"\n")[2]
    kept = data.decode(errors="replace").splitlines(keepends=True)
    if lines is not None and len(kept) > lines:
        return Tail("".join(kept[-lines:]), False)
    return Tail("".join(kept), size > limit)
