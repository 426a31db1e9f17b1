"""The ``deepcube`` command."""

from __future__ import annotations

import sys

import click

from deepcube import __version__
from jobs.cli.cubes import cubes
from jobs.cli.deploy import deploy
from jobs.cli.errors import report
from jobs.cli.keys import keys
from jobs.cli.open import open_atlas
from jobs.cli.platform import down, env, status, up
from jobs.cli.run import run
from jobs.cli.score import score
from jobs.cli.semantics import query, semantics
from jobs.cli.simulate import simulate


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="deepcube")
def command() -> None:
    """Earth system data cubes to features, models, explained predictions and maps, on Hopsworks.

    A first run: `deepcube up`, then `deepcube run drought`.
    """


for subcommand in (up, down, status, env, open_atlas, run, score, deploy, keys, cubes, simulate, query, semantics):
    command.add_command(subcommand)


def main() -> None:
    """Run the command; every expected error is one message and a non-zero exit status."""
    try:
        sys.exit(command(standalone_mode=False) or 0)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except Exception as error:
        sys.exit(report(error))
