"""Reading the end of log files."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deepcube.embedded.runtime.supervisor import STAMP


@dataclass(frozen=True)
class Tail:
    """The end of a log.

    Attributes
    ----------
    text : str
        Lines; all are whole but perhaps the last, which may still be written.
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
    _, kept, cut = _last_lines(log, limit)
    if lines is not None and len(kept) > lines:
        return Tail(_text(kept[-lines:] if lines > 0 else []), False)
    return Tail(_text(kept), cut)


def stamped_tail(log: Path, lines: int | None, limit: int, since: float | None, *, with_times: bool) -> Tail:
    """Return the last lines of a log whose supervisor has kept their times.

    Parameters
    ----------
    log, lines, limit
        As in :func:`tail`.
    since : float or None
        Only what was written from then on, seconds since the epoch; whole seconds count.
    with_times : bool
        Whether every line starts with its time, as Kubernetes writes it.
    """
    start, kept, cut = _last_lines(log, limit)
    offsets, times = _stamps(log)
    dated: list[tuple[float, bytes]] = []
    for line in kept:
        position = bisect_right(offsets, start) - 1
        dated.append((times[position] if position >= 0 else 0.0, line))
        start += len(line)
    if since is not None:
        count = len(dated)
        dated = [(time, line) for time, line in dated if time >= int(since)]
        cut = cut and len(dated) == count
    if lines is not None and len(dated) > lines:
        dated, cut = dated[-lines:] if lines > 0 else [], False
    if with_times:
        return Tail(_text([f"{_rfc3339(time)} ".encode() + line for time, line in dated]), cut)
    return Tail(_text([line for _, line in dated]), cut)


def _last_lines(log: Path, limit: int) -> tuple[int, list[bytes], bool]:
    """Return where the last lines start, the lines, and whether earlier ones were cut off."""
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, 2)
            start = stream.seek(max(0, size - limit))
            data = stream.read(limit)
    except FileNotFoundError:
        return 0, [], False
    if start > 0:
        partial, _, data = data.partition(b"\n")
        start += len(partial) + 1
    return start, data.splitlines(keepends=True), start > 0


def _stamps(log: Path) -> tuple[list[int], list[float]]:
    try:
        data = log.with_name(f"{log.name}.times").read_bytes()
    except FileNotFoundError:
        return [], []
    pairs = list(STAMP.iter_unpack(data[: len(data) // STAMP.size * STAMP.size]))
    return [offset for offset, _ in pairs], [time for _, time in pairs]


def _rfc3339(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def _text(lines: list[bytes]) -> str:
    return b"".join(lines).decode(errors="replace")
