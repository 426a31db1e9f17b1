"""``deepcube score``: what the registered model of a use case says of every file of a folder."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from jobs import usecases
from jobs.cli.connect import connect
from jobs.cli.errors import PlatformError
from jobs.cli.platform import home_option, resolve_home
from jobs.stages import PIPELINES


@click.command()
@click.argument("use_case", metavar="USE_CASE")
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--model", default=None, help="Name of the registered model (default: the newest on real data, if any).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@home_option
def score(use_case: str, folder: Path, model: str | None, as_json: bool, home: Path | None) -> None:
    """Score every file of FOLDER with the registered model of a use case, here and now, without a job.

    Nothing is written. A file that cannot be scored is told with the reason; if none can be, the exit status is 1.
    """
    definition = usecases.load(use_case)
    if not definition.scores:
        able = [name for name in usecases.names() if usecases.load(name).scores]
        raise PlatformError(f"{use_case} scores no folders; those that do: {', '.join(able) or 'none'}")
    console = Console(stderr=True)
    project = connect(resolve_home(home), home is not None).project
    pipeline = importlib.import_module(f"{PIPELINES['inference']}.{use_case}")
    columns = (TextColumn("scoring"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    # What the client prints on its own must not come before the answer.
    with contextlib.redirect_stdout(sys.stderr), Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=1.0)
        try:
            found = pipeline.score(
                project,
                folder,
                model=model,
                progress=lambda fraction, text: bar.update(task, completed=fraction, description=text),
            )
        except (ValueError, LookupError) as error:
            raise PlatformError(str(error)) from error
    if as_json:
        click.echo(json.dumps({"use_case": use_case, "folder": str(folder), **found}, allow_nan=False))
    else:
        _show(definition.scores, found, Console())
    if not found["scores"]:
        raise click.exceptions.Exit(1)


def _show(title: str, found: Mapping[str, Any], console: Console) -> None:
    """Print the scores as a table, the highest probability first where there is one, and what could not be scored."""
    rows = sorted(found["scores"], key=lambda row: -row.get("probability", 0.0))
    model = found["model"]
    console.print(f"{title}, by [bold]{model['name']}[/] version {model['version']}", highlight=False)
    columns = list(rows[0]) if rows else []
    table = Table(*columns, box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(f"{row[name]:.3f}" if isinstance(row[name], float) else str(row[name]) for name in columns))
    if rows:
        console.print(table)
    for refused in found["refused"]:
        console.print(f"not scored: {refused['file']}: {refused['reason']}", style="yellow", markup=False)
