"""The client's query syntax: ``filter_by=<field>_<operator>:<value>`` and ``sort_by=<field>:<direction>``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from deepcube.embedded.errors import bad_request

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda found, wanted: bool(found == wanted),
    "neq": lambda found, wanted: bool(found != wanted),
    "lt": lambda found, wanted: bool(found < wanted),
    "lte": lambda found, wanted: bool(found <= wanted),
    "ltoeq": lambda found, wanted: bool(found <= wanted),
    "gt": lambda found, wanted: bool(found > wanted),
    "gte": lambda found, wanted: bool(found >= wanted),
    "gtoeq": lambda found, wanted: bool(found >= wanted),
}
_FILTER = re.compile(r"^([a-z_]+?)_(eq|neq|ltoeq|lte|lt|gtoeq|gte|gt):(.*)$", re.IGNORECASE | re.DOTALL)


def _value(text: str) -> Any:
    """Read a filter's value: a truth value, a number, or else text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@dataclass(frozen=True)
class Filters:
    """Conditions on the fields of a document.

    Attributes
    ----------
    conditions : tuple of (field, operator, value)
        All must hold.
    """

    conditions: tuple[tuple[str, str, Any], ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Filters:
        """Read the values of ``filter_by``.

        Raises
        ------
        ApiError
            400 if one is not ``<field>_<operator>:<value>``.

        Examples
        --------
        >>> Filters.parse(["computation_time_ltoeq:5", "before_transformation_eq:True"]).conditions
        (('computation_time', 'ltoeq', 5), ('before_transformation', 'eq', True))
        """
        conditions = []
        for text in texts:
            match = _FILTER.match(text)
            if match is None:
                operators = ", ".join(_COMPARISONS)
                raise bad_request(
                    f"filter_by={text!r}: expected <field>_<operator>:<value>, operator one of {operators}"
                )
            conditions.append((match[1].lower(), match[2].lower(), _value(match[3])))
        return cls(tuple(conditions))

    def values(self, field: str, operator: str) -> list[Any]:
        """Return the values of every condition on a field with an operator."""
        return [value for name, found, value in self.conditions if name == field and found == operator]

    def holds(self, field: str, found: Any) -> bool:
        """Tell whether a field's value meets every condition on that field; None meets none."""
        for name, operator, wanted in self.conditions:
            if name != field:
                continue
            try:
                if found is None or not _COMPARISONS[operator](found, wanted):
                    return False
            except TypeError:
                return False
        return True

    def unknown(self, fields: Iterable[str]) -> list[str]:
        """Return the fields that conditions name and that are not among these."""
        return sorted({name for name, _, _ in self.conditions} - set(fields))
