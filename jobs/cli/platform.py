"""``deepcube up | down | status | env``: the embedded platform as a background process."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from deepcube.embedded import Running, default_home
from deepcube.embedded import down as stop_server
from deepcube.embedded import find as find_server
from deepcube.embedded import up as start_server
from jobs.cli.errors import PlatformError

_NOT_RUNNING = 3  # as init scripts have it
_Function = TypeVar("_Function", bound=Callable[..., object])


def home_option(function: _Function) -> _Function:
    """Add ``--home`` to a command."""
    option = click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        help="Folder of the embedded platform (default: $DEEPCUBE_HOME or ~/.deepcube).",
    )
    return option(function)


def resolve_home(home: Path | None) -> Path:
    """Return the home folder a command means."""
    return default_home() if home is None else home.expanduser().resolve()


@click.command()
@home_option
@click.option("--port", type=click.IntRange(0, 65535), default=None, help="Port of the REST API; 0 chooses a free one.")
@click.option("--project", default=None, help="Name of the default project (default: deepcube).")
def up(home: Path | None, port: int | None, project: str | None) -> None:
    """Start the embedded Hopsworks in the background and wait until it is healthy."""
    running, started = start_server(resolve_home(home), port, project)
    click.echo(f"{'started' if started else 'already running'}: {_describe(running)}")
    suffix = "" if home is None else f" --home {shlex.quote(str(home))}"
    click.echo(f'use it from a shell or notebook:  eval "$(deepcube env{suffix})"')


@click.command()
@home_option
def down(home: Path | None) -> None:
    """Stop the embedded Hopsworks with its jobs and deployments; everything stored stays."""
    root = resolve_home(home)
    click.echo("stopped" if stop_server(root) else f"no server runs for {root}")


@click.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def status(context: click.Context, home: Path | None, as_json: bool) -> None:
    """Tell whether the embedded Hopsworks runs, and where; exit status 3 if it does not."""
    root = resolve_home(home)
    running = find_server(root)
    healthy = running is not None and running.healthy()
    if as_json:
        content = {"running": running is not None, "healthy": healthy, "home": str(root)}
        if running is not None:
            content |= {
                "url": running.url,
                "pid": running.pid,
                "project": running.project,
                "started": running.started,
            }
        click.echo(json.dumps(content))
    elif running is None:
        click.echo(f"not running (home folder {root}); start it with `deepcube up`")
    else:
        click.echo(f"{'healthy' if healthy else 'NOT ANSWERING'}: {_describe(running)}")
    context.exit(0 if healthy else _NOT_RUNNING)


@click.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of shell exports.")
def env(home: Path | None, as_json: bool) -> None:
    """Print the HOPSWORKS_* variables with which a bare `hopsworks.login()` reaches the embedded platform.

    Use it as:  eval "$(deepcube env)"
    """
    running = find_server(resolve_home(home))
    if running is None:
        raise PlatformError(f"no server runs for {resolve_home(home)}; start it with `deepcube up`")
    variables = running.environment()
    if as_json:
        click.echo(json.dumps(variables))
    else:
        for name, value in variables.items():
            click.echo(f"export {name}={shlex.quote(value)}")


def _describe(running: Running) -> str:
    return f"{running.url}, project {running.project}, home {running.home.root}, pid {running.pid}"
