"""What ``deepcube cubes info`` shows: a heading a grid, and a table of what its variables do not have in common."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_HEADINGS = ("title", "licence", "license", "institution")
_LONGEST = 40
"""Widest column of names; longer ones go on in the next line."""


def show_cube(found: dict[str, Any], console: Console) -> None:
    """Print a cube.

    Parameters
    ----------
    found : dict
        What :func:`deepcube.cubes.describe_cube` returns, and ``truth``, the path of the truth behind simulated data.
    console : rich.console.Console
        Where to; nothing is cut in narrow ones, long names go on in the next line.
    """
    simulated = "  [bold red]simulated[/]" if found["simulated"] else ""
    console.print(f"[bold]{found['name']}[/]{simulated}  {found['source']}", soft_wrap=True)
    for key in _HEADINGS:
        if found["attrs"].get(key):
            console.print(f"  {key}: {found['attrs'][key]}", markup=False, highlight=False)
    if found.get("truth"):
        console.print(f"  truth: {found['truth']}", markup=False, highlight=False, soft_wrap=True)
    for note in found["notes"]:
        console.print(f"  note: {note}", style="yellow", markup=False, highlight=False)
    for grid in found["grids"]:
        _show_grid(grid, console)


def show_problems(problems: list[dict[str, Any]], name: str, console: Console) -> None:
    """Print what is wrong with a cube, errors first; what is found at several places is said once.

    Parameters
    ----------
    problems : list of dict
        Documents of :class:`deepcube.cubes.Problem`.
    name : str
        Name of the cube.
    console : rich.console.Console
        Where to; nothing is cut in narrow ones.
    """
    if not problems:
        console.print(f"no problems found in {name}", markup=False, highlight=False)
    groups: dict[tuple[str, str, str], list[str]] = {}
    for problem in sorted(problems, key=lambda problem: str(problem["severity"])):
        groups.setdefault((problem["severity"], problem["what"], problem["todo"]), []).append(problem["where"])
    for (severity, what, todo), places in groups.items():
        console.print(
            Text(severity, "red" if severity == "error" else "yellow") + Text(f"  {what}", ""), highlight=False
        )
        for place in places:
            console.print(f"    in {place}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"    {todo[:1].upper()}{todo[1:]}.", markup=False, highlight=False, style="dim")


def _show_grid(grid: dict[str, Any], console: Console) -> None:
    sizes = " ".join(f"{dim}={size}" for dim, size in grid["sizes"].items())
    spacing = "" if grid["resolution"] is None else ", pixels of " + " x ".join(f"{s:.6g}" for s in grid["resolution"])
    west, south, east, north = grid["extent"]
    console.print(f"\n[bold]{grid['name']}[/]  {sizes}", highlight=False)
    console.print(f"  {grid['crs'] or 'no coordinate reference system'}{spacing}", highlight=False)
    console.print(f"  x {west:.8g} to {east:.8g}, y {south:.8g} to {north:.8g}", highlight=False)
    if grid["times"] == 1:
        console.print(f"  one time: {_day(grid['first'])}", highlight=False)
    elif grid["times"]:
        period = f"{_day(grid['first'])} to {_day(grid['last'])}"
        console.print(f"  {grid['times']} times, {grid['step']}: {period}", highlight=False)
    for name, (first, last) in grid["dates"].items():
        console.print(f"  {name}: {_day(first)} to {_day(last)}", highlight=False)
    rows = [_row(variable) for variable in grid["variables"]]
    if rows:
        shared, columns = _columns(rows)
        if shared:
            console.print(f"  {'all: ' * (len(rows) > 1)}{', '.join(shared)}", markup=False, highlight=False)
        console.print(_table(rows, columns))


def _day(stamp: str) -> str:
    return stamp.removesuffix("T00:00:00")


def _row(variable: dict[str, Any]) -> dict[str, str]:
    """Return the cells of a variable by column."""
    limits = variable["valid_range"]
    return {
        "variable": variable["name"].rpartition("/")[2],
        "dimensions": " ".join(variable["dims"]),
        "type": variable["dtype"],
        "units": variable["units"] or "none",
        "kind": variable["kind"],
        "over time": variable["time"],
        "chunks": f"{variable['chunk_count']} of {'x'.join(map(str, variable['chunks']))}",
        "gap": "" if variable["fill"] is None else f"{variable['fill']:g}",
        "range": "" if limits is None else f"{limits[0]:g}..{limits[1]:g}",
        "long name": variable["long_name"] if variable["long_name"] != variable["name"] else "",
    }


def _columns(rows: list[dict[str, str]]) -> tuple[list[str], list[str]]:
    """Return what all variables have in common, in words, and the columns in which they differ."""
    shared, columns = [], []
    own = ("variable", "units", "long name") if len(rows) == 1 else ("variable",)
    for column in rows[0]:
        held = {row[column] for row in rows}
        if len(held) > 1 or (column in own and held != {""}):
            columns.append(column)
        elif held != {""}:
            shared.append(f"{column} {held.pop()}")
    return shared, columns


def _table(rows: list[dict[str, str]], columns: list[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=True, padding=(0, 1, 0, 0), show_edge=False)
    for column in columns:
        width = min(_LONGEST, max(len(row[column]) for row in rows)) if column == "variable" else None
        table.add_column(column, overflow="fold", width=None if width is None else max(width, len(column)))
    for row in rows:
        table.add_row(*(_styled(column, row[column]) for column in columns))
    return table


def _styled(column: str, text: str) -> Text:
    # Names of variables may hold brackets, which are no markup.
    return Text(text, style="yellow" if (column, text) == ("units", "none") else "")
