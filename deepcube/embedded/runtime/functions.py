"""What built-in jobs do, by kind, and where what they say goes."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from deepcube.embedded.platform import Platform, Project

BUILTINS: dict[str, Callable[[Platform, Project, dict[str, Any]], None]] = {}

OUTPUT: ContextVar[Callable[[str], None] | None] = ContextVar("OUTPUT", default=None)


def say(text: str) -> None:
    """Write a line to the log of the built-in job that runs in this thread; elsewhere do nothing."""
    write = OUTPUT.get()
    if write is not None:
        write(text + "\n")
