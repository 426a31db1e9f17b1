"""Where interferograms lie: by their own georeference, or by a catalogue of volcanoes that somebody names.

Patches that are cut out and stored as pictures have lost their place; their file names tell a volcano. A place is never
guessed: a name that several volcanoes far from each other have stays without one.
"""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from deepcube.cubes.names import plain_name

if TYPE_CHECKING:
    from hsfs.feature_group import FeatureGroup
    from hsfs.feature_store import FeatureStore

Position = tuple[float, float]
"""Longitude and latitude in degrees."""

PLACE_COLUMNS = {
    "place": ("string", "Hash of an interferogram as in patch_id, or name of a volcano: small letters and digits only"),
    "name": ("string", "Name for people: of the volcano, or of the file"),
    "longitude": ("double", "Longitude (degrees east)"),
    "latitude": ("double", "Latitude (degrees north)"),
    "known_from": ("string", "How the place is known: the georeference of a file, or the catalogue"),
}
"""Types and meanings of the columns of ``volcano_places``."""

_NAMES = ("name", "volcano name", "volcano", "volcano_name")
_ONE_PLACE = 0.3  # degrees: entries of one name that are nearer to each other than this are one volcano
_TITLE_LINES = 5  # that may stand before the names of the columns


class CatalogueError(ValueError):
    """What should be a catalogue of volcanoes is none."""


def locate_pixel(path: Path, row: int, column: int) -> Position | None:
    """Return where the centre of a pixel of an image lies; None where the file does not say.

    Parameters
    ----------
    path : pathlib.Path
        An image; GeoTIFF, and whatever else has a reference system and a transform.
    row, column : int
        Pixel, from the top left.
    """
    if path.suffix.lower() == ".npy":
        return None
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                if file.crs is None or file.transform.is_identity:
                    return None
                return _in_degrees(file.crs.to_wkt(), *file.xy(row, column))
    except (RasterioError, OSError, ValueError):
        return None


def locate_coordinates(crs: Any, x: float, y: float) -> Position | None:
    """Return where coordinates of a reference system lie; None where there is no system, or no such place."""
    return None if crs is None else _in_degrees(crs, x, y)


def _in_degrees(crs: Any, x: float, y: float) -> Position | None:
    import pyproj

    try:
        to_degrees = pyproj.Transformer.from_crs(pyproj.CRS.from_user_input(crs), "EPSG:4326", always_xy=True)
        longitude, latitude = to_degrees.transform(x, y)
    except pyproj.exceptions.ProjError:
        return None
    if not (math.isfinite(longitude) and abs(latitude) <= 90):
        return None
    return _turned(longitude), float(latitude)


def _turned(longitude: float) -> float:
    return longitude if -180 <= longitude <= 180 else (longitude + 180) % 360 - 180


def read_catalogue(path: Path) -> pd.DataFrame:
    """Read a catalogue of volcanoes, such as that of the Smithsonian Global Volcanism Program.

    Parameters
    ----------
    path : pathlib.Path
        Table of comma-separated values with columns for the name, the latitude and the longitude in degrees.

    Returns
    -------
    pandas.DataFrame
        Columns as :data:`PLACE_COLUMNS`, one row for each way to write the name of a volcano. ``Azul, Cerro`` is also
        ``Cerro Azul``, and ``Azul`` where nothing else is called so. Names of several volcanoes that lie apart are left
        out.

    Raises
    ------
    CatalogueError
        If there are no such columns, or no row with a place.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        text = path.read_bytes().decode("latin-1")
    except OSError as error:
        raise CatalogueError(f"{path} cannot be read ({error}); expected a catalogue of volcanoes as CSV.") from error
    lines = list(csv.reader(text.splitlines()))
    head = next((number for number, line in enumerate(lines[:_TITLE_LINES]) if _columns(line)), None)
    if head is None:
        found = ", ".join(lines[0][:12]) if lines else "nothing"
        raise CatalogueError(
            f"{path.name} begins with the columns {found}; expected columns name, latitude and longitude."
        )
    columns = _columns(lines[head])
    named: dict[str, list[tuple[str, float, float]]] = {}
    shortened: dict[str, list[tuple[str, float, float]]] = {}
    for line in lines[head + 1 :]:
        entry = _entry(line, columns)
        if entry is None:
            continue
        for key in _keys(entry[0]):
            named.setdefault(key, []).append(entry)
        shortened.setdefault(plain_name(entry[0].partition(",")[0]), []).append(entry)
    if not named:
        raise CatalogueError(f"{path.name} holds no row with a name, a latitude and a longitude.")
    shortened = {key: entries for key, entries in shortened.items() if key not in named}
    rows = [
        {
            "place": key,
            "name": entries[0][0],
            "longitude": entries[0][1],
            "latitude": entries[0][2],
            "known_from": f"catalogue {path.name}",
        }
        for key, entries in (named | shortened).items()
        if key and _one_place(entries)
    ]
    return pd.DataFrame(rows, columns=list(PLACE_COLUMNS))


def _columns(line: Sequence[str]) -> dict[str, int]:
    """Return where name, latitude and longitude stand, if a line names them."""
    names = [cell.strip().lower() for cell in line]
    name = next((each for each in _NAMES if each in names), None)
    if name is None or not {"latitude", "longitude"} <= set(names):
        return {}
    return {"name": names.index(name), "latitude": names.index("latitude"), "longitude": names.index("longitude")}


def _entry(line: Sequence[str], columns: Mapping[str, int]) -> tuple[str, float, float] | None:
    """Return name, longitude and latitude of a line; None where it does not have them."""
    try:
        name = line[columns["name"]].strip()
        longitude, latitude = float(line[columns["longitude"]]), float(line[columns["latitude"]])
    except (IndexError, ValueError):
        return None
    held = bool(name) and abs(longitude) <= 360 and abs(latitude) <= 90
    return (name, _turned(longitude), latitude) if held else None


def _keys(name: str) -> set[str]:
    first, _, rest = name.partition(",")
    return {plain_name(name), plain_name(f"{rest} {first}")}


def _one_place(entries: Sequence[tuple[str, float, float]]) -> bool:
    first = entries[0]
    return all(abs(each[1] - first[1]) < _ONE_PLACE and abs(each[2] - first[2]) < _ONE_PLACE for each in entries)


def georeferenced_rows(found: Iterable[tuple[str, str, Position | None]]) -> pd.DataFrame:
    """Return rows of ``volcano_places`` for interferograms whose files tell where they lie.

    Parameters
    ----------
    found : iterable of (str, str, Position or None)
        Hash, file and place of each.
    """
    rows = [
        {
            "place": identity,
            "name": file,
            "longitude": position[0],
            "latitude": position[1],
            "known_from": "georeference of the file",
        }
        for identity, file, position in found
        if position is not None
    ]
    return pd.DataFrame(rows, columns=list(PLACE_COLUMNS))


def places_group(fs: FeatureStore) -> FeatureGroup:
    """Get or create ``volcano_places``: where interferograms and volcanoes lie."""
    from hsfs.feature import Feature

    return fs.get_or_create_feature_group(
        name="volcano_places",
        version=1,
        description="Where interferograms and volcanoes lie, by the georeference of files or by a catalogue",
        primary_key=["place"],
        time_travel_format="DELTA",
        features=[Feature(name, *about) for name, about in PLACE_COLUMNS.items()],
    )
