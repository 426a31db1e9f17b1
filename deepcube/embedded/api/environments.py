"""Python environments: the names a cluster has, all of them the one interpreter that the server runs with."""

from __future__ import annotations

import platform as machine
from importlib.metadata import distributions
from typing import Any

from deepcube.embedded.errors import not_found, unsupported
from deepcube.embedded.routing import Call, Json, Routes, items

routes = Routes("/project/{project_id:int}/python/environments")

ENVIRONMENT_NOT_FOUND = 300000
LIBRARY_NOT_FOUND = 300003

_NAMES = {
    "python-feature-pipeline": "feature pipelines with pandas or polars",
    "pandas-training-pipeline": "training with scikit-learn",
    "tensorflow-training-pipeline": "training with TensorFlow",
    "torch-training-pipeline": "training with PyTorch",
    "pandas-inference-pipeline": "predictors with scikit-learn",
    "tensorflow-inference-pipeline": "predictors with TensorFlow",
    "torch-inference-pipeline": "predictors with PyTorch",
    "spark-feature-pipeline": "feature pipelines with Spark, in local mode",
    "minimal-inference-pipeline": "predictors without further libraries",
}
_ONE_INTERPRETER = "every job and predictor runs with the server's own Python; install packages into that"


def _libraries() -> list[dict[str, Any]]:
    found = {(item.metadata["Name"], item.version) for item in distributions() if item.metadata["Name"]}
    return [_library(name, version) for name, version in sorted(found)]


def _library(name: str, version: str) -> dict[str, Any]:
    return {
        "channel": "pypi",
        "packageSource": "PIP",
        "library": name,
        "version": version,
        "status": "SUCCESS",
        "preinstalled": True,
    }


def _document(call: Call, name: str) -> dict[str, Any]:
    return {
        "href": f"{call.platform.rest_url}/project/{call.project.id}/python/environments/{name}",
        "name": name,
        "description": _NAMES[name],
        "pythonVersion": machine.python_version(),
        "pythonConflicts": False,
        "pipSearchEnabled": False,
    }


def _named(name: str) -> str:
    if name not in _NAMES:
        raise not_found(f"no environment named {name!r}; there are {', '.join(_NAMES)}", ENVIRONMENT_NOT_FOUND)
    return name


@routes.get("")
def find(call: Call) -> Json:
    """List the environments."""
    return items([_document(call, name) for name in _NAMES])


@routes.get("/{name}")
def read(call: Call) -> Json:
    """Return an environment, with the libraries of the interpreter if asked for."""
    document = _document(call, _named(call.path["name"]))
    return {**document, "libraries": items(_libraries())} if "libraries" in call.query.get("expand", []) else document


@routes.get("/{name}/libraries")
def libraries(call: Call) -> Json:
    """List the installed libraries."""
    _named(call.path["name"])
    return items(_libraries())


@routes.get("/{name}/libraries/{library}")
def library(call: Call) -> Json:
    """Return an installed library."""
    wanted = call.path["library"].lower().replace("_", "-")
    for found in _libraries():
        if found["library"].lower().replace("_", "-") == wanted:
            return found
    raise not_found(f"{call.path['library']!r} is not installed", LIBRARY_NOT_FOUND)


@routes.post("/{name}")
def create(call: Call) -> Json:
    """Refuse to make an environment."""
    raise unsupported("EnvironmentApi.create_environment", _ONE_INTERPRETER)


@routes.delete("/{name}")
def remove(call: Call) -> Json:
    """Refuse to remove an environment."""
    raise unsupported("Environment.delete", _ONE_INTERPRETER)


@routes.post("/{name}/libraries/{library:path}")
def install(call: Call) -> Json:
    """Refuse to install a library."""
    raise unsupported("installing a library", _ONE_INTERPRETER)


@routes.delete("/{name}/libraries/{library:path}")
def uninstall(call: Call) -> Json:
    """Refuse to remove a library."""
    raise unsupported("removing a library", _ONE_INTERPRETER)
