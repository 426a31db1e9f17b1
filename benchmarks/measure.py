"""Timing in turn, and a table of the results."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass
class Comparison:
    """One line of the table: ours beside a peer.

    Attributes
    ----------
    what : str
        What is compared.
    ours, peer : float
        Median of each, in ``unit``.
    peer_name : str
        Who the peer is.
    unit : str
        ``"s"``, ``"ms"`` (less is better) or ``"rows/s"``, ``"vectors/s"`` (more is better).
    target : float or None
        Wanted speed of ours relative to the peer's (1 is as fast).
    """

    what: str
    ours: float
    peer: float
    peer_name: str
    unit: str
    target: float | None = None
    runs: list[float] = field(default_factory=list)

    @property
    def speed(self) -> float:
        """Speed of ours relative to the peer's; above 1 is faster."""
        return self.ours / self.peer if self.unit.endswith("/s") else self.peer / self.ours


def in_turn(
    functions: Mapping[str, Callable[[], object]], runs: int, before: Mapping[str, Callable[[], object]] | None = None
) -> dict[str, float]:
    """Time functions in turn (A B A B ...) and return the median seconds of each.

    Parameters
    ----------
    functions : mapping of str to callable
        What to time.
    runs : int
        Timed rounds; one untimed round goes before.
    before : mapping of str to callable, optional
        Untimed preparation of a function, by its name, before each call.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for run in range(runs + 1):
        for name, function in functions.items():
            if before and name in before:
                before[name]()
            began = time.perf_counter()
            function()
            if run:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def percentile(values: list[float], fraction: float) -> float:
    """Return the value below which a fraction of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


def show(comparisons: list[Comparison], console: Console) -> None:
    """Print the table, then one JSON line per comparison."""
    table = Table("what", "ours", "peer", "unit", "speed (ours / peer)", "wanted", "peer is")
    for line in comparisons:
        met = line.target is None or line.speed >= line.target
        table.add_row(
            line.what,
            _number(line.ours),
            _number(line.peer),
            line.unit,
            f"[{'green' if met else 'red'}]{line.speed:.2f}[/]",
            "" if line.target is None else f">= {line.target:g}",
            line.peer_name,
        )
    console.print(table)
    for line in comparisons:
        print(json.dumps({**asdict(line), "speed": round(line.speed, 3)}))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
