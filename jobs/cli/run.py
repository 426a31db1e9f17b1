"""``deepcube run``: a use case from cube to explained prediction, each step a Hopsworks job."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from jobs import usecases
from jobs.cli.connect import connect
from jobs.cli.errors import PlatformError
from jobs.cli.platform import home_option, resolve_home
from jobs.cli.summary import Summary, show
from jobs.runner import JobRunner
from jobs.stages import STAGES, UseCase


@click.command()
@click.argument("use_case", metavar="USE_CASE", required=False)
@click.option("--source", default=None, help="A named source or the path of a cube (default: the first named source).")
@click.option(
    "--stage",
    default="all",
    show_default=True,
    help="What to run: all, features, training, inference, or a service of the use case, such as alert.",
)
@click.option("--mode", help="How to train, where the use case has several ways, e.g. hpo or minicube.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object of everything created; all else goes to standard error.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("deepcube-output"),
    show_default=True,
    help="Folder that figures are downloaded to.",
)
@home_option
def run(
    use_case: str | None,
    source: str | None,
    stage: str,
    mode: str | None,
    as_json: bool,
    output: Path,
    home: Path | None,
) -> None:
    """Run a use case: features, training and inference, each as a Hopsworks job.

    Uses the platform that the HOPSWORKS_* variables name; without them, the embedded one, started if need be. Without
    USE_CASE it lists those there are, with their sources and services.
    """
    if use_case is None:
        for name in usecases.names():
            _describe(usecases.load(name))
        return
    definition = usecases.load(use_case)
    if stage not in ("all", *definition.stages):
        raise click.BadParameter(f"{stage!r} is none of all, {', '.join(definition.stages)}", param_hint="--stage")
    source = _checked_source(source, stage, definition)
    console = Console(stderr=as_json)
    # What the client prints on its own is for people, too.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        connection = connect(resolve_home(home), home is not None)
        console.print(f"[bold]{use_case}[/] on Hopsworks at {connection.where}")
        runner = JobRunner(connection.project, use_case)
        stages = STAGES if stage == "all" else (stage,)
        environment = runner.register(stages)
        if environment:
            console.print(f"with the code deployed in environment [bold]{environment}[/] (see `deepcube deploy`)")
        known = (*definition.sources, *(service.source for service in definition.services.values()))
        place = _place(source, known, runner, connection.same_machine)
        results: dict[str, dict[str, Any]] = {}
        for name in stages:
            with _follower(console, f"{runner.job_name(name)}") as listener:
                results[name] = runner.run(name, place, listener, mode if name == "training" else None)
        summary = Summary.of(use_case, source, results)
        summary.figures = [str(runner.download(path, output / use_case / summary.cube)) for path in summary.figures]
        show(summary, console)
    if as_json:
        print(json.dumps(summary.document()), flush=True)


def _describe(definition: UseCase) -> None:
    click.echo(f"{definition.name:14} {definition.title}")
    for name, what in definition.sources.items():
        click.echo(f"{'':14}   --source {name}: {what}")
    for name, service in definition.services.items():
        click.echo(f"{'':14}   --stage {name}: {service.title}")


def _checked_source(source: str | None, stage: str, definition: UseCase) -> str:
    """Return the source that is meant, once it is known to be one."""
    default = definition.default_source("features" if stage == "all" else stage)
    if source is None or source == default or source in definition.sources or Path(source).exists():
        return source or default
    raise PlatformError(
        f"source {source!r} is neither a file or folder here nor one of the named sources: "
        f"{', '.join(definition.sources)}"
    )


def _place(source: str, named: Any, runner: JobRunner, same_machine: bool) -> str:
    """Return the source as a job will find it: a name, a path on this machine, or a path in the project."""
    if source in named:
        return source
    local = str(Path(source).expanduser().resolve())
    return local if same_machine else runner.stage_source(local)


@contextlib.contextmanager
def _follower(console: Console, title: str) -> Iterator[Any]:
    """Show a job's progress as a bar and its other lines above it; yield the listener to call."""
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("[bold]{task.fields[title]}[/]"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal and not sys.stderr.isatty()) as progress:
        task = progress.add_task("waiting", total=1.0, title=title)
        last = ""

        def listener(text: str, fraction: float | None) -> None:
            nonlocal last
            if fraction is None:
                progress.console.print(f"  {text}", style="dim", markup=False, highlight=False)
            else:
                progress.update(task, completed=fraction, description=text)
                if progress.disable and text != last:
                    console.print(f"{title}: {fraction:4.0%} {text}", markup=False, highlight=False)
                last = text

        yield listener
        progress.update(task, completed=1.0, description="done")
