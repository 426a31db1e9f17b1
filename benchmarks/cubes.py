"""``python -m benchmarks.cubes``: sampling patches of a cube beside its peers, in one run."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.cubes_sampling import FULL, ROWS, compare
from benchmarks.measure import show


def main() -> None:
    """Generate the cube, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="365x512x512 and 2,000 random patches (2.3 GB a layout)")
    parser.add_argument("--runs", type=int, default=3, help="timed rounds of each measure")
    parser.add_argument("--seconds", type=float, default=5.0, help="budget of a peer in each round")
    parser.add_argument("--data", type=Path, help="folder to keep the generated cubes in (default: a temporary one)")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, help="rows to measure (default: all)")
    arguments = parser.parse_args()
    shape, count = (FULL, 2000) if arguments.full else ((180, 256, 256), 400)
    with tempfile.TemporaryDirectory() as folder:
        place = arguments.data or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        show(compare(place, shape, count, arguments.runs, arguments.seconds, arguments.rows), Console())


if __name__ == "__main__":
    main()
