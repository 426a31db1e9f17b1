"""Which colours a variable is drawn in, told from what it measures, and colours as tables for indexed pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deepcube.cubes import Variable

Scheme = Literal["sequential", "diverging", "cyclic", "classes"]
"""How colours follow values: from low to high, from a middle both ways, around a circle, or one for each class."""

LEVELS = 255
"""Colours of a picture, beside the transparent one of gaps."""

PALETTES: dict[str, Scheme] = {
    "viridis": "sequential",
    "cividis": "sequential",
    "YlGn": "sequential",
    "YlGnBu": "sequential",
    "YlOrRd": "sequential",
    "inferno": "sequential",
    "terrain": "sequential",
    "RdBu_r": "diverging",
    "BrBG": "diverging",
    "PiYG": "diverging",
    "twilight": "cyclic",
    "tab20": "classes",
}
"""Colour maps that can be chosen, by matplotlib's names."""


@dataclass(frozen=True)
class Rule:
    """Words in a variable's names or units, and the colour map that suits what they speak of."""

    pattern: re.Pattern[str]
    palette: str


def _rule(pattern: str, palette: str) -> Rule:
    return Rule(re.compile(rf"(^|[^a-z])({pattern})"), palette)


# The first that matches decides. Anomalies come first: an anomaly of anything has a middle.
_RULES = (
    _rule(r"wrapped|phase|aspect|wind_dir|direction", "twilight"),
    _rule(r"anomal|departure|spei|spi\d*([^a-z]|$)|standardi[sz]ed|pdsi|drought_index", "BrBG"),
    _rule(r"probab", "YlOrRd"),  # of whatever: it begins at nothing
    _rule(r"deformation|displacement|velocity|trend|unwrapped|line_of_sight|los([^a-z]|$)|difference|error", "RdBu_r"),
    _rule(r"fwi|danger|fire|risk|hazard|alert|severity|burn|ffmc|dmc|isi|bui|unrest", "YlOrRd"),
    _rule(r"ndvi|evi|lai|fpar|fapar|gpp|vegetation|chlor|biomass|greenness|kndvi|savi|nirv", "YlGn"),
    _rule(r"precip|rain|tp([^a-z]|$)|humid|rh([^a-z]|$)|moist|water|snow|evapo|swvl|sm([^a-z]|$)|depth", "YlGnBu"),
    _rule(r"temp|t2m|lst|heat|skt|tas|tmax|tmin", "inferno"),
    _rule(r"elev|dem([^a-z]|$)|altitude|height|topograph", "terrain"),
)


def choose_palette(variable: Variable) -> str:
    """Return the colour map for a variable: by its kind, then by the words of its name, title and units.

    Parameters
    ----------
    variable : Variable
        Described by :func:`deepcube.cubes.variables.describe`.

    Returns
    -------
    str
        A key of :data:`PALETTES`.
    """
    if variable.kind == "categorical":
        return "tab20"
    for text in (variable.name.lower(), variable.long_name.lower()):
        for rule in _RULES:
            if rule.pattern.search(text):
                return rule.palette
    return "cividis" if variable.kind == "count" else "viridis"


@lru_cache(len(PALETTES))
def palette_table(name: str) -> NDArray[np.uint8]:
    """Return the colours of a map.

    Parameters
    ----------
    name : str
        A key of :data:`PALETTES`.

    Returns
    -------
    numpy.ndarray of uint8, shape (LEVELS, 3)
        Red, green and blue, from the lowest value to the highest; of ``tab20`` its colours one after the other.
    """
    from matplotlib import colormaps

    if PALETTES[name] == "classes":
        colours = np.asarray(colormaps[name](np.arange(LEVELS) % 20))
    else:
        colours = np.asarray(colormaps[name](np.linspace(0, 1, LEVELS)))
    return (colours[:, :3] * 255).round().astype(np.uint8)


def stops(name: str, count: int = 17) -> list[str]:
    """Return colours spread evenly over a map, as a web page writes them."""
    table = palette_table(name)
    return [hex_colour(table[i]) for i in np.linspace(0, LEVELS - 1, count).round().astype(int)]


def hex_colour(colour: Any) -> str:
    """Return red, green and blue as ``#rrggbb``."""
    red, green, blue = (int(part) for part in colour)
    return f"#{red:02x}{green:02x}{blue:02x}"


_SCL = {  # Sentinel-2 Level-2A algorithm theoretical basis document, scene classification
    0: ("no data", "#000000"),
    1: ("saturated or defective", "#ff0000"),
    2: ("dark area", "#2f2f2f"),
    3: ("cloud shadow", "#643200"),
    4: ("vegetation", "#00a000"),
    5: ("bare soil", "#ffe65a"),
    6: ("water", "#0000ff"),
    7: ("unclassified", "#808080"),
    8: ("cloud, medium probability", "#c0c0c0"),
    9: ("cloud, high probability", "#ffffff"),
    10: ("thin cirrus", "#64c8ff"),
    11: ("snow or ice", "#ff96ff"),
}

MOST_CLASSES = 64
"""Classes that a legend lists."""


@dataclass(frozen=True)
class Category:
    """One class of a categorical variable: its stored value, what it means and its colour."""

    value: float
    label: str
    colour: str


def categories(variable: Variable, attrs: dict[Any, Any], found: NDArray[Any]) -> list[Category]:
    """Return the classes of a categorical variable.

    Parameters
    ----------
    variable : Variable
        The variable.
    attrs : dict
        Its attributes: CF ``flag_values`` and ``flag_meanings``, and ``flag_colors``, as far as they are there.
    found : numpy.ndarray
        Values seen in a sample, for variables that state no classes.
    """
    if variable.name.upper() == "SCL":
        return [Category(value, label, colour) for value, (label, colour) in _SCL.items()]
    values, meanings = attrs.get("flag_values"), str(attrs.get("flag_meanings", "")).split()
    if isinstance(values, str):
        values = re.findall(r"[-+\d.]+", values)
    if values is None and meanings and "flag_masks" in attrs:
        values = attrs["flag_masks"]
    numbers = [float(value) for value in np.ravel(values)] if values is not None else sorted({float(v) for v in found})
    colours = re.findall(r"#[0-9a-fA-F]{6}", str(attrs.get("flag_colors", attrs.get("flag_colours", ""))))
    table = palette_table("tab20")
    return [
        Category(
            number,
            meanings[i].replace("_", " ") if i < len(meanings) else f"{number:g}",
            colours[i].lower() if i < len(colours) else hex_colour(table[i % 20]),
        )
        for i, number in enumerate(numbers[:MOST_CLASSES])
    ]
