"""Python environments of a project: listed, made, changed and removed."""

from __future__ import annotations

import platform as machine
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request, not_found, unsupported
from deepcube.embedded.routing import Call, Json, Routes, items
from deepcube.embedded.runtime.environments import BASES, ENVIRONMENT, find_environment
from deepcube.embedded.runtime.environments_overlay import Installed, canonical, packages
from deepcube.embedded.runtime.environments_service import ONGOING, SUCCESS, Environments

routes = Routes("/project/{project_id:int}/python/environments")

LIBRARY_NOT_FOUND = 300003

_CHANNELS = {"WHEEL": "wheel", "REQUIREMENTS_TXT": "requirements_txt", "PIP": "pypi"}


def _service(call: Call) -> Environments:
    return call.platform.service(Environments)


def _document(call: Call, name: str, entity: Entity | None) -> dict[str, Any]:
    return {
        "href": f"{call.platform.rest_url}/project/{call.project.id}/python/environments/{name}",
        "name": name,
        "description": entity.body["description"] if entity else BASES[name],
        "pythonVersion": machine.python_version(),
        "pythonConflicts": False,
        "pipSearchEnabled": False,
    }


def _packages(call: Call, entity: Entity | None) -> list[dict[str, Any]]:
    return [_package(item) for item in packages(_service(call).overlay(entity) if entity else None)]


def _package(item: Installed) -> dict[str, Any]:
    return {
        "channel": "pypi",
        "packageSource": "PIP",
        "library": item.name,
        "version": item.version,
        "status": SUCCESS,
        "preinstalled": item.preinstalled,
    }


def _in_progress(command: dict[str, Any]) -> dict[str, Any]:
    """Return a library as it is while, and after, a command works on it."""
    return {
        "channel": _CHANNELS[command["packageSource"]],
        "packageSource": command["packageSource"],
        "library": command["library"],
        "version": None,
        "status": command["status"],
        "preinstalled": False,
        "commands": items([_command(command)]),
    }


def _command(command: dict[str, Any]) -> dict[str, Any]:
    return {**command, "installType": command["packageSource"]}


@routes.get("")
def find(call: Call) -> Json:
    """List the environments: the project's own, then those that a cluster comes with."""
    own = call.platform.catalog.find(call.project.id, ENVIRONMENT)
    documents = [_document(call, entity.name, entity) for entity in own]
    return items([*documents, *(_document(call, name, None) for name in BASES)])


@routes.get("/{name}")
def read(call: Call) -> Json:
    """Return an environment; its libraries, and the commands that are at work on it, if asked for."""
    entity = find_environment(call.platform, call.project, call.path["name"])
    document = _document(call, call.path["name"], entity)
    expand = call.query.get("expand", [])
    if "libraries" in expand:
        document["libraries"] = items(_packages(call, entity))
    if "commands" in expand:
        commands = entity.body["commands"] if entity else []
        document["commands"] = items([_command(each) for each in commands if each["status"] == ONGOING])
    return document


@routes.post("/{name}")
def create(call: Call) -> Json:
    """Make an environment."""
    base = call.document.get("baseImage")
    if not isinstance(base, dict):
        raise bad_request("an environment is made from another one; name that one in baseImage.name")
    name, based_on = call.path["name"], str(base.get("name"))
    entity = _service(call).create(call.project, name, based_on, base.get("description"), call.user.email)
    return _document(call, entity.name, entity)


@routes.delete("/{name}")
def remove(call: Call) -> None:
    """Remove an environment."""
    _service(call).remove(call.project, call.path["name"])


@routes.get("/{name}/libraries")
def libraries(call: Call) -> Json:
    """List the libraries that programs see in an environment."""
    return items(_packages(call, find_environment(call.platform, call.project, call.path["name"])))


@routes.get("/{name}/libraries/{library}")
def library(call: Call) -> Json:
    """Return a library, or, by the name of a file or library, what the newest command about it has come to."""
    entity, wanted = find_environment(call.platform, call.project, call.path["name"]), call.path["library"]
    commands = [each for each in (entity.body["commands"] if entity else []) if each["library"] == wanted]
    if commands and (commands[-1]["op"], commands[-1]["status"]) != ("UNINSTALL", SUCCESS):
        return _in_progress(commands[-1])
    for found in _packages(call, entity):
        if canonical(found["library"]) == canonical(wanted):
            return found
    raise not_found(f"{wanted!r} is not installed", LIBRARY_NOT_FOUND)


@routes.post("/{name}/libraries/{library}")
def install(call: Call) -> Json:
    """Start to install a wheel or a requirements file."""
    command = _service(call).install(call.project, call.path["name"], call.path["library"], call.document)
    return _in_progress(command)


@routes.delete("/{name}/libraries/{library}")
def uninstall(call: Call) -> None:
    """Start to remove a library."""
    _service(call).uninstall(call.project, call.path["name"], call.path["library"])


@routes.post("/{name}/libraries/{library:path}")
def install_elsewhere(call: Call) -> Json:
    """Refuse what is no Python package."""
    raise unsupported("installing npm packages", "environments here are for Python; install a wheel")
