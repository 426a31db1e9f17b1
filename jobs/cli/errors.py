"""How the command tells of errors: one clear message, never a traceback for what a user can mend."""

from __future__ import annotations

import traceback

import click

from deepcube.embedded import EmbeddedError
from jobs.deploy_package import PackageError
from jobs.runner import JobFailedError
from jobs.usecases import UnknownUseCaseError


class PlatformError(Exception):
    """The platform cannot be reached as asked for."""


_EXPECTED = (EmbeddedError, JobFailedError, UnknownUseCaseError, PlatformError, PackageError)


def report(error: Exception) -> int:
    """Print an error and return the exit status it calls for.

    Returns
    -------
    int
        2 for a wrong command line, 1 for anything else.
    """
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if not isinstance(error, _EXPECTED):
        traceback.print_exception(error)
    click.echo(click.style("error: ", fg="red", bold=True) + str(error), err=True)
    return 1
