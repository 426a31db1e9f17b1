"""Places that a fire would threaten, and which of them are most at risk tomorrow.

Places come from linked data (RDF with a geometry of GeoSPARQL and a label), from GeoJSON, or, where neither is given,
from the cube's own population: the densest cell of every settlement. Their risk joins three things: the probability
that fire comes near, the people who live there, and the roads on which they would leave.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepcube.cubes import CubeError
from features.wildfire.firecube import FireCube
from features.wildfire.schema import PLACE_COLUMNS

RADIUS = 2
"""Pixels around a place, in each direction, from which a fire would reach it within the day."""

BESIDE = ("places.ttl", "places.nt", "places.geojson")
"""Files beside a cube that name its places, the preferred first."""

_SETTLED = 25.0  # persons per square kilometre from which cells count as settled
_MOST = 200
_QUERY = """
PREFIX geo: <http://www.opengis.net/ont/geosparql#>
PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
PREFIX wgs: <http://www.w3.org/2003/01/geo/wgs84_pos#>
SELECT ?place ?label ?wkt ?lat ?lon ?people ?kind WHERE {
  ?place rdfs:label ?label .
  OPTIONAL { ?place geo:hasGeometry/geo:asWKT ?wkt }
  OPTIONAL { ?place geo:asWKT ?wkt }
  OPTIONAL { ?place wgs:lat ?lat ; wgs:long ?lon }
  OPTIONAL { ?place ?p ?people FILTER(STRENDS(LCASE(STR(?p)), "population")) }
  OPTIONAL { ?place a ?kind }
}
"""


class PlacesError(CubeError):
    """A file of places that cannot be used."""


def find_places(fires: FireCube, beside: str | None = None) -> pd.DataFrame:
    """Return the places of a cube.

    Parameters
    ----------
    fires : FireCube
        The cube.
    beside : str, optional
        Path of the cube: one of the files :data:`BESIDE` in its folder, or next to the folder, names the places.

    Returns
    -------
    pandas.DataFrame
        ``cube`` and :data:`PLACE_COLUMNS`, only places inside the grid; empty where the cube knows of no people and no
        file is given.

    Raises
    ------
    PlacesError
        If a file is there and cannot be used.
    """
    file = _beside(beside)
    listed = read_places(file) if file else _settlements(fires)
    if listed.empty:
        return pd.DataFrame(columns=["cube", *(name for name, _, _ in PLACE_COLUMNS)])
    row, column = _pixel(fires, listed["longitude"].to_numpy(float), listed["latitude"].to_numpy(float))
    inside = (row >= 0) & (column >= 0)
    listed, row, column = listed[inside].reset_index(drop=True), row[inside], column[inside]
    side = fires.grid.resolution or (1000.0, 1000.0)
    area = abs(side[0] * side[1]) / 1e6 if not _geographic(fires) else 1.0  # of a pixel; geographic grids are of 1 km
    people = np.array([_around(fires.land.fields["population"], r, c) for r, c in zip(row, column, strict=True)]) * area
    roads = np.array([_around(fires.land.fields["roads"], r, c) for r, c in zip(row, column, strict=True)]) * area
    return pd.DataFrame(
        {
            "cube": fires.name,
            "place": listed["place"],
            "name": listed["name"],
            "kind": listed["kind"],
            "longitude": listed["longitude"].astype(float),
            "latitude": listed["latitude"].astype(float),
            "cell_id": fires.cells[row, column],
            "people": np.where(listed["people"].notna(), listed["people"].astype(float), people),
            "road_km": roads,
        }
    )


def read_places(path: Path) -> pd.DataFrame:
    """Read places from linked data or GeoJSON.

    Parameters
    ----------
    path : pathlib.Path
        Turtle or N-Triples with ``rdfs:label`` and a WKT point of GeoSPARQL or ``wgs84_pos`` coordinates, a property
        whose name ends with ``population`` being the people; or a GeoJSON collection of points with ``name`` and,
        optionally, ``population`` and ``kind``.

    Returns
    -------
    pandas.DataFrame
        ``place``, ``name``, ``kind``, ``longitude``, ``latitude``, ``people`` (NaN where unknown); distinct places.

    Raises
    ------
    PlacesError
        If the file is unreadable or names no place.
    """
    try:
        rows = _geojson(path) if path.suffix == ".geojson" else _linked(path)
    except (OSError, ValueError, SyntaxError, KeyError, TypeError) as error:
        raise PlacesError(f"{path} cannot be read as places: {error}. Expected points with names.") from error
    frame = pd.DataFrame(rows, columns=["place", "name", "kind", "longitude", "latitude", "people"])
    frame = frame.dropna(subset=["longitude", "latitude"]).drop_duplicates("place")
    if frame.empty:
        raise PlacesError(f"{path} names no place with a label and a point; expected at least one.")
    return frame.reset_index(drop=True)


def rank_places(places: pd.DataFrame, danger: NDArray[np.float64], cells: NDArray[np.int64]) -> pd.DataFrame:
    """Rank places by how many people may have fire near them.

    Parameters
    ----------
    places : pandas.DataFrame
        Rows of ``wildfire_places``.
    danger : numpy.ndarray of float64, shape (y, x)
        Probability that each cell burns; NaN where there is none.
    cells : numpy.ndarray of int64, shape (y, x)
        Cells of the grid.

    Returns
    -------
    pandas.DataFrame
        The places with ``rank`` (1 is most at risk), ``probability`` (that a cell within :data:`RADIUS` burns, taking
        cells as independent: ``1 - prod(1 - p)``), ``people_at_risk`` and ``road_km_at_risk`` (each times that
        probability), most at risk first; places without danger are left out.
    """
    where = {int(cell): divmod(position, cells.shape[1]) for position, cell in enumerate(cells.ravel())}
    probability = np.array(
        [_near(danger, *where[int(cell)]) if int(cell) in where else np.nan for cell in places["cell_id"]]
    )
    ranked = places.assign(
        probability=probability,
        people_at_risk=probability * places["people"].to_numpy(float),
        road_km_at_risk=probability * places["road_km"].fillna(0).to_numpy(float),
    )
    ranked = ranked[np.isfinite(ranked["probability"])]
    ranked = ranked.sort_values(["people_at_risk", "probability", "place"], ascending=[False, False, True])
    ranked.insert(0, "rank", np.arange(1, len(ranked) + 1))
    return ranked.reset_index(drop=True)


def _near(danger: NDArray[np.float64], row: int, column: int) -> float:
    near = _cut(danger, row, column)
    known = near[np.isfinite(near)]
    return float(-np.expm1(np.log1p(-np.clip(known, 0, 1 - 1e-12)).sum())) if known.size else float("nan")


def _around(field: NDArray[np.float64], row: int, column: int) -> float:
    return float(np.nansum(_cut(field, row, column)))


def _cut(field: NDArray[np.float64], row: int, column: int) -> NDArray[np.float64]:
    return field[max(0, row - RADIUS) : row + RADIUS + 1, max(0, column - RADIUS) : column + RADIUS + 1]


def _beside(path: str | None) -> Path | None:
    if path is None:
        return None
    folders = [Path(path), Path(path).parent] if Path(path).is_dir() else [Path(path).parent]
    return next((folder / name for folder in folders for name in BESIDE if (folder / name).is_file()), None)


def _geographic(fires: FireCube) -> bool:
    return fires.grid.crs is not None and fires.grid.crs.is_geographic


def _pixel(fires: FireCube, longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> tuple[Any, Any]:
    """Return row and column of the pixel that each point lies in, -1 outside the grid."""
    from deepcube.cubes.sampling import patches_at

    starts = patches_at(fires.grid, np.full(len(longitude), fires.weather.times[-1]), longitude, latitude, (1, 1, 1))
    return starts[:, 1], starts[:, 2]


def _settlements(fires: FireCube) -> pd.DataFrame:
    """Return the densest cell of every group of settled cells."""
    from scipy.ndimage import label, maximum_position

    people = np.nan_to_num(fires.land.fields["population"])
    groups, count = label(people >= max(_SETTLED, float(np.quantile(people, 0.9))))
    peaks = maximum_position(people, groups, range(1, count + 1)) if count else []
    peaks = sorted(peaks, key=lambda place: -people[place])[:_MOST]
    longitude, latitude = fires.grid.longitude_latitude()
    rows: list[Mapping[str, Any]] = [
        {
            "place": f"settlement-{row}-{column}",
            "name": f"Settlement {number} (row {row}, column {column})",
            "kind": "settlement",
            "longitude": longitude[row, column],
            "latitude": latitude[row, column],
            "people": np.nan,
        }
        for number, (row, column) in enumerate(peaks, start=1)
    ]
    return pd.DataFrame(rows)


def _geojson(path: Path) -> list[tuple[Any, ...]]:
    rows = []
    for number, feature in enumerate(json.loads(path.read_text(encoding="utf-8"))["features"]):
        properties = feature.get("properties") or {}
        longitude, latitude = feature["geometry"]["coordinates"][:2]
        name = str(properties.get("name") or f"Place {number + 1}")
        rows.append(
            (
                str(feature.get("id") or properties.get("id") or name),
                name,
                str(properties.get("kind") or properties.get("featurecla") or properties.get("place") or "place"),
                float(longitude),
                float(latitude),
                _number(properties.get("population") or properties.get("POP_MAX") or properties.get("pop_max")),
            )
        )
    return rows


def _linked(path: Path) -> list[tuple[Any, ...]]:
    import pyoxigraph

    store = pyoxigraph.Store()
    store.load(path=str(path), format=pyoxigraph.RdfFormat.from_extension(path.suffix[1:]))
    rows = []
    answer = store.query(_QUERY)
    assert isinstance(answer, pyoxigraph.QuerySolutions)
    for found in answer:
        point = _point(found["wkt"].value) if found["wkt"] is not None else (None, None)
        if found["lat"] is not None and found["lon"] is not None:
            point = float(found["lon"].value), float(found["lat"].value)
        kind = found["kind"].value.rstrip("/").replace("#", "/").rsplit("/", 1)[-1] if found["kind"] else "place"
        people = _number(found["people"].value if found["people"] is not None else None)
        rows.append((found["place"].value, found["label"].value, kind, *point, people))
    return rows


def _point(wkt: str) -> tuple[float | None, float | None]:
    """Return longitude and latitude of a WKT point, or of the centre of another geometry."""
    from shapely import from_wkt

    text = wkt.split(">", 1)[1] if wkt.startswith("<") else wkt
    centre = from_wkt(text.strip()).centroid
    return (centre.x, centre.y) if not centre.is_empty else (None, None)


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return float("nan")
    return number if number >= 0 else float("nan")
