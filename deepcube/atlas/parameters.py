"""The parameters of a request, checked: what is wrong with one is said, never guessed at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import QueryParams

from deepcube.atlas.atlas import Collection, Shown
from deepcube.atlas.colours import PALETTES
from deepcube.atlas.errors import RequestError
from deepcube.atlas.pictures import Style

_LONGEST_NUMBER = 32


@dataclass(frozen=True)
class Parameters:
    """Parameters after the question mark.

    Attributes
    ----------
    given : mapping of str to str
        Names and values.
    """

    given: Mapping[str, str] | QueryParams

    def text(self, name: str) -> str:
        """Return a parameter.

        Raises
        ------
        RequestError
            If it is missing.
        """
        value = self.given.get(name)
        if value is None:
            raise RequestError(f"The parameter {name!r} is missing.")
        return value

    def integer(self, name: str, default: int | None = None, *, low: int = 0, high: int = 1 << 40) -> int:
        """Return a whole number.

        Raises
        ------
        RequestError
            If it is missing, none, or not between the limits.
        """
        text = self.given.get(name)
        if text is None and default is not None:
            return default
        text = self.text(name)
        digits = text.removeprefix("-")
        if not digits.isascii() or not digits.isdecimal() or len(digits) > _LONGEST_NUMBER:
            raise RequestError(f"Found {name}={text[:40]!r}; expected a whole number.")
        if not low <= int(text) <= high:
            raise RequestError(f"Found {name}={text[:40]}; expected {low} to {high}.")
        return int(text)

    def number(self, name: str, default: float | None = None) -> float:
        """Return a finite number.

        Raises
        ------
        RequestError
            If it is missing or none.
        """
        text = self.given.get(name)
        if text is None and default is not None:
            return default
        text = self.text(name)
        try:
            value = float(text) if len(text) <= _LONGEST_NUMBER and text.isascii() and "_" not in text else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or abs(value) > 1e30:
            raise RequestError(f"Found {name}={text[:40]!r}; expected a number.")
        return value

    def place(self) -> tuple[float, float]:
        """Return the longitude, from -180 to 180, and the latitude.

        Raises
        ------
        RequestError
            If they are missing or no place on Earth.
        """
        longitude, latitude = self.number("lon"), self.number("lat")
        if abs(longitude) > 540 or abs(latitude) > 90:
            raise RequestError(f"Found lon={longitude:g}, lat={latitude:g}; expected a place in degrees.")
        return (longitude + 180) % 360 - 180, latitude

    def bounds(self) -> tuple[float, float, float, float] | None:
        """Return west, south, east and north of ``bounds``; None without.

        Raises
        ------
        RequestError
            If they are no bounds.
        """
        text = self.given.get("bounds")
        if not text:
            return None
        parts = [Parameters({"bounds": part}).number("bounds") for part in text[:200].split(",")]
        if len(parts) != 4 or parts[0] >= parts[2] or parts[1] >= parts[3]:
            raise RequestError(f"Found bounds={text[:80]!r}; expected west,south,east,north in degrees.")
        return parts[0], parts[1], parts[2], parts[3]

    def step(self, shown: Shown, name: str = "t") -> int:
        """Return a position on the time axis of a layer; 0 for one that does not vary in time.

        Raises
        ------
        RequestError
            If there is no such step.
        """
        times = shown.layer.times
        if times is None:
            return 0
        return self.integer(name, low=0, high=max(0, len(times) - 1))

    def style(self, shown: Shown) -> Style:
        """Return the style of a layer, changed as asked for by ``palette``, ``low`` and ``high``.

        Raises
        ------
        RequestError
            If there is no such colour map, or the range is empty.
        """
        default = shown.style
        if default.classes:
            return default
        palette = self.given.get("palette") or default.palette
        if palette not in PALETTES or PALETTES[palette] == "classes":
            known = ", ".join(name for name, scheme in PALETTES.items() if scheme != "classes")
            raise RequestError(f"Found palette={palette[:40]!r}; expected one of {known}.")
        low, high = self.number("low", default.low), self.number("high", default.high)
        if not low < high:
            raise RequestError(f"Found low={low:g} and high={high:g}; expected low below high.")
        return Style(palette, low, high)

    def shown(self, collection: Collection, name: str = "layer") -> Shown:
        """Return the layer that a parameter names."""
        return collection.layer(self.text(name))
