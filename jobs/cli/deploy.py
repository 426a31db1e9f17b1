"""``deepcube deploy``: the code, its environment, jobs and schedules to a Hopsworks."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import click
from rich.console import Console

from jobs import deploy_package, usecases
from jobs.cli.connect import connect_remote
from jobs.cli.errors import PlatformError
from jobs.deploy import UNCHANGED, Deployer, Outcome

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,50}")
_SAID = {"create": "created", "replace": "replaced", "unchanged": "unchanged"}


def _check_name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise click.BadParameter("use small letters, digits, _ and -, at most 51")
    return value


@click.command()
@click.argument("use_cases", metavar="[USE_CASE]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Tell what would change, and change nothing.")
@click.option(
    "--environment",
    default="deepcube",
    show_default=True,
    callback=_check_name,
    help="Environment of the jobs, made if need be; predictors get one named NAME-inference.",
    metavar="NAME",
)
@click.option(
    "--source",
    default=None,
    help="What scheduled jobs read: a named source, or a path as the platform has it (default: each use case's own).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def deploy(use_cases: tuple[str, ...], dry_run: bool, environment: str, source: str | None, as_json: bool) -> None:
    """Ship this code to the Hopsworks that the HOPSWORKS_* variables name: all use cases, or those given.

    It gets two environments with this code as a wheel and what it requires, the jobs of the use cases and their
    schedules. What is there already stays: doing it again changes nothing, after an interruption it goes on. After
    that, `deepcube run` with the same variables runs what was deployed.
    """
    names = list(dict.fromkeys(use_cases)) or usecases.names()
    for name in names:
        usecases.load(name)
    console = Console(stderr=as_json)
    connection = connect_remote()
    console.print(f"deploying {', '.join(names)} to Hopsworks at {connection.where}", highlight=False)
    with console.status("packing the code"):
        package = deploy_package.build()
    deployer = Deployer(connection.project, package, environment, source)
    with console.status("looking") as status:

        def tell(outcome: Outcome, done: bool) -> None:
            title = f"{outcome.kind} {outcome.name}"
            if not done:
                status.update(f"{outcome.kind}: {outcome.name}")
                if not console.is_terminal:
                    console.print(f"  {title} ...", highlight=False, markup=False, soft_wrap=True)
                return
            said = f"to {outcome.change}" if dry_run and outcome.change != UNCHANGED else _SAID[outcome.change]
            style = "dim" if outcome.change == UNCHANGED else None
            console.print(f"  {title}: {said}", style=style, highlight=False, markup=False, soft_wrap=True)

        try:
            outcomes = deployer.deploy(names, tell, dry_run=dry_run)
        except Exception as error:
            raise PlatformError(_reason(error)) from error
    changes = sum(outcome.change != UNCHANGED for outcome in outcomes)
    console.print(_summary(changes, dry_run), highlight=False)
    if as_json:
        content = {
            "target": connection.where,
            "environment": environment,
            "version": package.version,
            "use_cases": names,
            "dry_run": dry_run,
            "changes": changes,
            "steps": [asdict(outcome) for outcome in outcomes],
        }
        click.echo(json.dumps(content))


def _summary(changes: int, dry_run: bool) -> str:
    if not changes:
        return "nothing to change: everything is deployed already"
    if dry_run:
        return f"{changes} to change; nothing was changed"
    return f"{changes} changed; run it with `deepcube run USE_CASE`"


def _reason(error: Exception) -> str:
    """Say in a line or two why a step failed, and that what was done stays done."""
    said = getattr(error, "user_message", "") or str(error)
    return f"the deployment stopped: {said}\nwhat is done stays; deploy again to go on from there"
