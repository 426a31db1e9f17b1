"""Which use cases there are: those with a module of the same name in each of the five folders."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from pathlib import Path

from jobs.stages import PIPELINES, UseCase

FOLDERS = ("features", *PIPELINES.values(), "jobs")


class UnknownUseCaseError(Exception):
    """No use case has this name."""


def names() -> list[str]:
    """Return the names of all use cases, in alphabetical order."""
    modules = []
    for folder in FOLDERS:
        package = importlib.import_module(folder)
        modules.append({module.name for module in pkgutil.iter_modules(package.__path__)})
    return sorted(set.intersection(*modules))


def load(name: str) -> UseCase:
    """Return a use case by name.

    Raises
    ------
    UnknownUseCaseError
        If there is none; the message lists those there are.
    """
    if name not in names():
        raise UnknownUseCaseError(f"no use case named {name!r}; there are: {', '.join(names())}")
    use_case: UseCase = importlib.import_module(f"jobs.{name}").USE_CASE
    return use_case


def script(name: str) -> Path:
    """Return the file that a use case's jobs run."""
    spec = importlib.util.find_spec(f"jobs.{name}")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)
