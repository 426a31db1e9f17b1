"""What an atlas shows: cubes and tables of predictions as layers, and what a web page is told of them."""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from deepcube.atlas.colours import PALETTES, stops
from deepcube.atlas.errors import AtlasError, ChangingError, NotThereError
from deepcube.atlas.freshness import Watched
from deepcube.atlas.layers import CubeLayer, FrameStore, Layer, title_of
from deepcube.atlas.pictures import Style
from deepcube.atlas.placement import Placement
from deepcube.atlas.points import PointLayer
from deepcube.atlas.styling import default_style
from deepcube.cubes import Cube, CubeError, open_cube, season_count
from deepcube.cubes.levels import open_levels

FRAME_SIDE = 1200
"""Rows and columns up to which a layer is shown as one image a step, and as tiles beyond."""


@dataclass(eq=False)
class Shown:
    """A layer with its default style, which is found when somebody first asks.

    Attributes
    ----------
    layer : Layer
        The layer.
    """

    layer: Layer
    _style: Style | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def style(self) -> Style:
        """Default style; a few images are read to find it."""
        with self._lock:
            if self._style is None:
                self._style = default_style(self.layer)
            return self._style


@dataclass(frozen=True, eq=False)
class Collection:
    """Layers that belong together: those of a cube, or of a table of predictions.

    Attributes
    ----------
    id : str
        Name in addresses.
    title : str
        Name for people.
    shown : mapping of str to Shown
        Layers by name.
    simulated : bool
        Whether the data are simulated, which is said wherever they are shown.
    facts : mapping of str to str
        What else is known: licence, source, model version.
    left_out : tuple of str
        What cannot be drawn, and why.
    kind : {"cube", "predictions"}
        What the layers are.
    truths : mapping of str to str
        Layer of what came true, by the layer that predicted it.
    version : str
        What changes when the data do: pictures of another version are not kept by browsers under the same address.
    """

    id: str
    title: str
    shown: Mapping[str, Shown]
    simulated: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    kind: str = "cube"
    truths: Mapping[str, str] = field(default_factory=dict)
    version: str = field(default_factory=lambda: secrets.token_hex(6))

    def layer(self, name: str) -> Shown:
        """Return a layer.

        Raises
        ------
        NotThereError
            If there is none of this name; the message lists those there are.
        """
        if name not in self.shown:
            raise NotThereError(f"{self.id!r} has no layer {name!r}; it has {', '.join(self.shown)}.")
        return self.shown[name]

    def describe(self) -> dict[str, Any]:
        """Return what a page needs to list the layers; reads no values."""
        return {
            "id": self.id,
            "title": self.title,
            "kind": self.kind,
            "simulated": self.simulated,
            "facts": dict(self.facts),
            "leftOut": list(self.left_out),
            "layers": [
                {
                    "id": name,
                    "title": title_of(shown.layer.variable),
                    "units": shown.layer.variable.units,
                    "kind": shown.layer.variable.kind,
                    "timed": shown.layer.times is not None,
                }
                for name, shown in self.shown.items()
            ],
        }


class Atlas:
    """Collections by name.

    Parameters
    ----------
    cubes : sequence of Cube
        Opened cubes; those of equal names are numbered.

    Attributes
    ----------
    loading : bool
        Whether more is on its way; pages ask again while it is.
    notes : list of str
        What is not shown, and why.
    """

    def __init__(self, cubes: Sequence[Cube] = ()) -> None:
        self.frames = FrameStore()
        self.loading = False
        self.notes: list[str] = []
        self._collections: dict[str, Collection] = {}
        self._lock = threading.Lock()
        self._watched: dict[str, Watched] = {}
        for cube in cubes:
            name = self._free(cube.name)
            watched = Watched(cube)
            self.add(cube_collection(cube, self.frames, name, watched.version))
            self._watched[name] = watched

    def add(self, collection: Collection) -> None:
        """Add a collection, or replace the one of its name."""
        with self._lock:
            self._collections[collection.id] = collection

    @property
    def collections(self) -> list[Collection]:
        """All collections, in the order they came."""
        with self._lock:
            return list(self._collections.values())

    def collection(self, name: str) -> Collection:
        """Return a collection.

        Raises
        ------
        NotThereError
            If there is none of this name.
        """
        with self._lock:
            found = self._collections.get(name)
        if found is None:
            known = ", ".join(collection.id for collection in self.collections) or "nothing"
            raise NotThereError(f"There is no cube {name!r}; the atlas shows {known}.")
        return found

    def steady(self, name: str) -> Callable[[], bool]:
        """Return what tells whether a collection is still what it is now; a cube that was written is opened anew.

        Raises
        ------
        ChangingError
            If it is being written, or cannot be opened any more.
        """
        watched = self._watched.get(name)
        if watched is None:
            return lambda: True
        with watched.lock:
            if watched.settled():
                try:
                    cube = open_cube(watched.source)
                    watched.accept(cube)
                    self.add(cube_collection(cube, self.frames, name, watched.version))
                except (CubeError, AtlasError, OSError, ValueError, KeyError) as error:
                    watched.state = ()
                    raise ChangingError(f"The cube {name} was written again and cannot be opened: {error}") from error
            state = watched.state
        return lambda: watched.now() == state

    def _free(self, name: str) -> str:
        number, free = 1, name
        while free in self._collections:
            number += 1
            free = f"{name}_{number}"
        return free


def cube_collection(cube: Cube, frames: FrameStore, name: str, version: str = "") -> Collection:
    """Return the variables of a cube that can be drawn.

    Parameters
    ----------
    cube : Cube
        An opened cube.
    frames : FrameStore
        Where images are kept.
    name : str
        Name in addresses.
    version : str
        What changes when the cube is written again.
    """
    placements: dict[str, Placement] = {}
    shown: dict[str, Shown] = {}
    left_out = []
    for key, variable in cube.variables.items():
        try:
            if variable.grid not in placements:
                placements[variable.grid] = Placement.of(cube.grid_of(key))
            layer = CubeLayer(cube, key, frames, placements[variable.grid])
            layer.levels = open_levels(cube, key)
            shown[key] = Shown(layer)
        except (NotThereError, CubeError) as error:
            left_out.append(f"{key}: {error}")
    facts = {
        fact: str(cube.attrs[key])
        for fact, keys in _FACTS.items()
        for key in keys
        if key in cube.attrs and str(cube.attrs[key]).strip()
    }
    title = str(cube.attrs.get("title", "")).strip() or cube.name
    return Collection(name, title, shown, cube.simulated, facts, tuple(left_out), version=version)


_FACTS = {
    "licence": ("licence", "license"),
    "institution": ("institution",),
    "source": ("source",),
    "references": ("references",),
}


def describe_layer(collection: Collection, name: str) -> dict[str, Any]:
    """Return all that a page needs to draw a layer and its legend; reads a few images.

    Raises
    ------
    NotThereError
        If there is no such layer.
    """
    shown = collection.layer(name)
    layer, style = shown.layer, shown.style
    west, south, east, north = layer.placement.bounds
    rows, columns = layer.placement.shape
    points = isinstance(layer, PointLayer)
    box = None if points else layer.placement.full_box()
    times = layer.times
    return {
        "collection": collection.id,
        "version": collection.version,
        "id": name,
        "name": layer.variable.name,
        "title": title_of(layer.variable),
        "units": layer.variable.units,
        "kind": layer.variable.kind,
        "simulated": collection.simulated,
        "bounds": [west, south, east, north],
        "rows": rows,
        "columns": columns,
        "mode": "points" if points else "frame" if max(rows, columns) <= FRAME_SIDE else "tiles",
        "frame": [0, 0] if box is None else [box.width, box.height],
        "maxzoom": 0 if points else deepest_zoom(layer.placement),
        "times": None if times is None else iso(times),
        "step": None if times is None or len(times) < 2 else step_days(times),
        "style": describe_style(style),
        "others": getattr(layer, "others", {}),
        "truth": collection.truths.get(name),
    }


def describe_style(style: Style) -> dict[str, Any]:
    """Return a style as a page needs it for a legend."""
    return {
        "palette": style.palette,
        "scheme": PALETTES[style.palette],
        "low": style.low,
        "high": style.high,
        "stops": stops(style.palette),
        "masks": style.masks,
        "classes": [{"value": c.value, "label": c.label, "colour": c.colour} for c in style.classes],
    }


def deepest_zoom(placement: Placement) -> int:
    """Return the zoom from which on tiles show nothing new: a pixel is smaller than half a cell."""
    west, _, east, _ = placement.bounds
    cell = (east - west) / 360 / max(1, placement.shape[1])
    return min(22, max(0, math.ceil(-math.log2(max(cell, 1e-9) / 2 * 256))))


def iso(times: pd.DatetimeIndex) -> list[str]:
    """Return times as dates where all are at midnight, else with the time of day, in UTC."""
    daily = bool((times == times.normalize()).all())
    return [str(text) for text in times.strftime("%Y-%m-%d" if daily else "%Y-%m-%dT%H:%M")]


def step_days(times: pd.DatetimeIndex) -> float:
    """Return the median step in days."""
    return float(pd.Series(times).diff().median() / pd.Timedelta(days=1))


def seasons_of(times: pd.DatetimeIndex) -> int:
    """Return how many seasons of the length of a step a year has, at most one a day."""
    return min(366, season_count(pd.Timedelta(days=max(1.0, step_days(times)))))
