"""Templates, and how the console writes times, sizes and numbers. Everything is escaped; nothing is marked safe."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined

STATIC = Path(__file__).parent / "static"
_MAX_TEXT = 200_000
_TEMPLATES = Path(__file__).parent / "templates"
# Executions have states in capitals, deployments not: a running execution is under way, a running deployment is well.
_STATES = {
    "good": ("FINISHED", "SUCCEEDED", "Running"),
    "bad": ("FAILED", "INITIALIZATION_FAILED", "FRAMEWORK_FAILURE", "APP_MASTER_START_FAILED", "Failed"),
    "idle": ("KILLED", "Stopped", "Created"),
}


def when(value: object) -> str:
    """Write a time, given in ISO 8601 or in milliseconds since the epoch, in UTC."""
    if value in (None, "", 0):
        return "–"
    try:
        if isinstance(value, int | float):
            moment = datetime.fromtimestamp(value / 1000, UTC)
        else:
            moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except (ValueError, OverflowError, OSError):
        return str(value)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def size(value: int | float) -> str:
    """Write a number of bytes with a binary unit."""
    if value < 1024:
        return f"{value:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def duration(milliseconds: object) -> str:
    """Write a duration."""
    if not isinstance(milliseconds, int | float) or milliseconds < 0:
        return "–"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def number(value: object) -> str:
    """Write a number with at most six significant digits; anything else as it is."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.6g}" if math.isfinite(value) else str(value)


def cell(value: object) -> str:
    """Write a value of a table row: null is told apart from an empty text, a long list is shortened."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.8g}"
    if isinstance(value, bytes):
        return f"0x{value[:16].hex()}{'…' if len(value) > 16 else ''}"
    text = value.isoformat(" ") if isinstance(value, datetime) else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def pretty(value: object) -> str:
    """Write a JSON document for a person to read; of a very long one, the beginning."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}\n… ({len(text) - _MAX_TEXT} more characters)"


def tone(state: object) -> str:
    """Return how a state is shown: good, bad, idle or busy."""
    return next((kind for kind, names in _STATES.items() if state in names), "busy")


class _Environment(Environment):
    """Templates to which a key that a document does not have is null, while a name that a page forgot is an error."""

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Look up ``obj[argument]``."""
        found = super().getitem(obj, argument)
        return None if isinstance(obj, dict) and isinstance(found, Undefined) else found

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look up ``obj.attribute``."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        found = super().getattr(obj, attribute)
        return None if isinstance(obj, dict) and isinstance(found, Undefined) else found


def _environment() -> Environment:
    environment = _Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "when": when,
        "size": size,
        "duration": duration,
        "number": number,
        "cell": cell,
        "pretty": pretty,
        "tone": tone,
    }
    return environment


_TEMPLATE_ENVIRONMENT = _environment()


def render(template: str, context: Mapping[str, Any]) -> str:
    """Return the text of a page.

    Parameters
    ----------
    template : str
        Name of a file in ``templates/``.
    context : mapping
        What the template shows.
    """
    return _TEMPLATE_ENVIRONMENT.get_template(template).render(context)
