"""``deepcube keys``: API keys of other people on the embedded platform."""

from __future__ import annotations

import json
from pathlib import Path

import click

from deepcube.embedded import Running
from deepcube.embedded import find as find_server
from jobs.cli.errors import PlatformError
from jobs.cli.platform import home_option, resolve_home

_ROLES = {"owner": "Data owner", "scientist": "Data scientist", "observer": "Observer"}
_OWN_LABEL = "owner"


@click.group()
def keys() -> None:
    """Let other people use the embedded Hopsworks: users, their roles, their API keys.

    A key is shown once, when it is made; only a hash of it is stored.
    """


@keys.command()
@click.argument("email")
@click.option("--label", default="key", show_default=True, help="What the key is for.")
@click.option("--role", type=click.Choice(list(_ROLES)), default=None, help="Make the user a member of the project.")
@click.option("--project", default=None, help="Project of --role (default: the server's).")
@click.option("--json", "as_json", is_flag=True, help="Print the HOPSWORKS_* variables that the user needs, as JSON.")
@home_option
def add(email: str, label: str, role: str | None, project: str | None, as_json: bool, home: Path | None) -> None:
    """Make a key for the user EMAIL, who is added to the platform if need be, and print it.

    Without --role, a new user is a member of no project and can do nothing yet.
    """
    running = _running(home)
    name = project or running.project
    project_id = running.call("GET", f"/project/getProjectInfo/{name}")["projectId"]
    if email.lower() not in _emails(running):
        running.call("POST", "/admin/users", email=email, givenName=email.partition("@")[0], surname="")
    if role is not None:
        member = {"projectTeamPK": {"projectId": project_id, "teamMember": email}, "teamRole": _ROLES[role]}
        running.call("POST", f"/project/{project_id}/projectMembers", {"projectTeam": [member]})
    key = str(running.call("POST", "/users/apiKey", name=label, user=email)["key"])
    if as_json:
        click.echo(json.dumps(running.environment() | {"HOPSWORKS_PROJECT": name, "HOPSWORKS_API_KEY": key}))
    else:
        click.echo(key)


@keys.command(name="list")
@click.argument("email", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: labels by address.")
@home_option
def list_keys(email: str | None, as_json: bool, home: Path | None) -> None:
    """List what keys there are and what they are for: of the user EMAIL, or of all."""
    running = _running(home)
    emails = [email] if email is not None else _emails(running)
    found = {each: _labels(running, each) for each in emails}
    if as_json:
        click.echo(json.dumps(found))
        return
    for each, labels in found.items():
        click.echo(f"{each}: {', '.join(labels) or 'no key'}")


@keys.command()
@click.argument("email")
@click.argument("label")
@home_option
def remove(email: str, label: str, home: Path | None) -> None:
    """Make the keys of the user EMAIL with a LABEL invalid, at once."""
    running = _running(home)
    if label == _OWN_LABEL and email.lower() == _emails(running)[0]:
        raise PlatformError("that is the key this command itself works with; the owner's stays")
    running.call("DELETE", f"/users/apiKey/{label}", user=email)
    click.echo(f"removed: {label} of {email}")


def _running(home: Path | None) -> Running:
    root = resolve_home(home)
    running = find_server(root)
    if running is None:
        raise PlatformError(f"no server runs for {root}; start it with `deepcube up`")
    return running


def _emails(running: Running) -> list[str]:
    return [str(user["email"]).lower() for user in running.call("GET", "/admin/users")["items"]]


def _labels(running: Running, email: str) -> list[str]:
    return [str(item["name"]) for item in running.call("GET", "/users/apiKey", user=email)["items"]]
