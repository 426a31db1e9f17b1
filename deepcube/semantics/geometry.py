"""Geometry literals to shapely and back, the topological relations, and one distance for the whole project.

Every geometry is brought to WGS84 longitude and latitude (OGC CRS84). Relations are planar in degrees, as OGC Simple
Features has them. Distances are great-circle distances in metres on the sphere of radius
:data:`deepcube.semantics.vocabulary.EARTH_RADIUS`.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pyoxigraph as ox
import pyproj
import shapely
from numpy.typing import NDArray

from deepcube.semantics import vocabulary as v
from deepcube.semantics.errors import GeometryError

Geometry = Any
"""A ``shapely.Geometry``; the stubs know its parts only by its subclasses."""
_SRS = re.compile(r"\s*<([^>]*)>\s*", re.S)
_GML_POINTS = ("pos", "posList", "coordinates")


def parse_geometry(literal: ox.Literal) -> Geometry:
    """Return the geometry of a WKT, GML or GeoJSON literal, in longitude and latitude.

    Raises
    ------
    GeometryError
        If the literal is no valid geometry of a known reference system.
    """
    return _parse(literal.value, literal.datatype.value)[0]


def reference_system(literal: ox.Literal) -> str:
    """Return the IRI of the coordinate reference system that a geometry literal is written in.

    Raises
    ------
    GeometryError
        If the literal is no geometry.
    """
    return _parse(literal.value, literal.datatype.value)[1]


@lru_cache(maxsize=4096)
def _parse(text: str, datatype: str) -> tuple[Geometry, str]:
    try:
        if datatype == v.WKT_LITERAL:
            match = _SRS.match(text)
            srs, body = (match.group(1), text[match.end() :]) if match else (v.CRS84, text)
            geometry = shapely.from_wkt(body.strip()) if body.strip() else shapely.GeometryCollection()
        elif datatype == v.GML_LITERAL:
            geometry, srs = _parse_gml(text)
        elif datatype == v.GEOJSON_LITERAL:
            geometry, srs = shapely.from_geojson(text), v.CRS84
        else:
            raise GeometryError(f"Found a literal of type <{datatype}>; expected geo:wktLiteral or geo:gmlLiteral.")
        return _to_crs84(geometry, srs), srs
    except (shapely.errors.ShapelyError, ValueError, IndexError, ElementTree.ParseError) as error:
        shown = text if len(text) < 80 else text[:77] + "..."
        raise GeometryError(f"Found the geometry {shown!r}, which is invalid: {error}.") from error


def _to_crs84(geometry: Geometry, srs: str) -> Geometry:
    if srs.endswith("CRS84"):
        return geometry
    transform = _transformer(srs)
    return shapely.transform(geometry, lambda points: np.column_stack(transform.transform(points[:, 0], points[:, 1])))


@lru_cache(maxsize=64)
def _transformer(srs: str) -> pyproj.Transformer:
    """Return the way to CRS84, which honours the axis order of the authority."""
    code = re.search(r"(\d+)$", srs)
    if code is None:
        raise GeometryError(f"Found the reference system <{srs}>; expected CRS84 or one that ends in an EPSG code.")
    try:
        return pyproj.Transformer.from_crs(int(code.group(1)), "OGC:CRS84")
    except pyproj.exceptions.CRSError as error:
        raise GeometryError(f"Found the reference system <{srs}>, which PROJ does not know.") from error


def _parse_gml(text: str) -> tuple[Geometry, str]:
    if not text.strip():
        return shapely.GeometryCollection(), v.CRS84
    if "<!" in text:
        raise GeometryError("Found a declaration in a GML literal; expected one geometry element.")
    if "xmlns:gml" not in text:
        text = re.sub(r"<((\w+:)?\w+)", r'<\1 xmlns:gml="http://www.opengis.net/ont/gml"', text, count=1)
    root = ElementTree.fromstring(text)
    return _gml_geometry(root), root.get("srsName") or v.CRS84


def _local(element: Any) -> str:
    return str(element.tag).rsplit("}", maxsplit=1)[-1]


def _gml_geometry(element: Any) -> Geometry:
    name = _local(element)
    if name == "Point":
        points = _gml_points(element)
        return shapely.Point(points[0]) if points else shapely.Point()
    if name in ("LineString", "LineStringSegment"):
        return shapely.LineString(_gml_points(element))
    if name in ("Polygon", "PolygonPatch"):
        shells = [item for item in element.iter() if _local(item) in ("exterior", "outerBoundaryIs")]
        holes = [item for item in element.iter() if _local(item) in ("interior", "innerBoundaryIs")]
        return shapely.Polygon(_gml_points(shells[0]), [_gml_points(hole) for hole in holes])
    parts = [
        _gml_geometry(item) for member in element if _local(member).endswith(("ember", "embers")) for item in member
    ]
    kinds: dict[str, Callable[[Any], Geometry]] = {
        "MultiPoint": shapely.MultiPoint,
        "MultiCurve": shapely.MultiLineString,
        "MultiLineString": shapely.MultiLineString,
        "MultiSurface": shapely.MultiPolygon,
        "MultiPolygon": shapely.MultiPolygon,
        "MultiGeometry": shapely.GeometryCollection,
    }
    if name not in kinds:
        raise GeometryError(f"Found the GML element {name}; expected one of {', '.join(kinds)}, Point, Polygon.")
    return kinds[name](parts)


def _gml_points(element: Any) -> list[tuple[float, ...]]:
    for item in element.iter():
        text = item.text or ""
        if _local(item) == "coordinates":
            return [tuple(map(float, pair.split(","))) for pair in text.split()]
        if _local(item) in _GML_POINTS:
            numbers = [float(number) for number in text.split()]
            return list(zip(numbers[::2], numbers[1::2], strict=True))
    return []


def to_literal(geometry: Geometry, datatype: str = v.WKT_LITERAL) -> ox.Literal:
    """Return a geometry as a literal in longitude and latitude.

    Parameters
    ----------
    geometry : shapely.Geometry
        Longitude and latitude in degrees.
    datatype : str
        IRI of ``geo:wktLiteral``, ``geo:gmlLiteral`` or ``geo:geoJSONLiteral``.
    """
    if datatype == v.GML_LITERAL:
        text = _to_gml(geometry, f' xmlns:gml="http://www.opengis.net/ont/gml" srsName="{v.CRS84}"')
    elif datatype == v.GEOJSON_LITERAL:
        text = json.dumps(shapely.geometry.mapping(geometry))
    else:
        text = geometry.wkt
    return ox.Literal(text, datatype=ox.NamedNode(datatype))


def _to_gml(geometry: Geometry, attributes: str = "") -> str:
    def positions(ring: Any) -> str:
        return " ".join(f"{x!r} {y!r}" for x, y, *_ in ring.coords)

    kind = geometry.geom_type
    if kind == "Point":
        return f"<gml:Point{attributes}><gml:pos>{positions(geometry)}</gml:pos></gml:Point>"
    if kind in ("LineString", "LinearRing"):
        body = f"<gml:posList>{positions(geometry)}</gml:posList>"
        return f"<gml:LineString{attributes}>{body}</gml:LineString>"
    if kind == "Polygon":
        rings = [("exterior", geometry.exterior), *(("interior", ring) for ring in geometry.interiors)]
        body = "".join(
            f"<gml:{side}><gml:LinearRing><gml:posList>{positions(ring)}</gml:posList></gml:LinearRing></gml:{side}>"
            for side, ring in rings
        )
        return f"<gml:Polygon{attributes}>{body}</gml:Polygon>"
    names = {
        "MultiPoint": ("MultiPoint", "pointMember"),
        "MultiLineString": ("MultiCurve", "curveMember"),
        "MultiPolygon": ("MultiSurface", "surfaceMember"),
        "GeometryCollection": ("MultiGeometry", "geometryMember"),
    }
    name, member = names[kind]
    body = "".join(f"<gml:{member}>{_to_gml(part)}</gml:{member}>" for part in geometry.geoms)
    return f"<gml:{name}{attributes}>{body}</gml:{name}>"


def _matches(*patterns: str) -> Callable[[Any, Any], Any]:
    def relation(a: Any, b: Any) -> Any:
        result = shapely.relate_pattern(a, b, patterns[0])
        for pattern in patterns[1:]:
            result = result | shapely.relate_pattern(a, b, pattern)
        return result

    return relation


def _equal(a: Any, b: Any) -> Any:
    return shapely.equals(a, b) | (shapely.is_empty(a) & shapely.is_empty(b))


RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sfEquals": _equal,
    "sfDisjoint": shapely.disjoint,
    "sfIntersects": shapely.intersects,
    "sfTouches": shapely.touches,
    "sfCrosses": shapely.crosses,
    "sfWithin": shapely.within,
    "sfContains": shapely.contains,
    "sfOverlaps": shapely.overlaps,
    "ehEquals": _matches("TFFFTFFFT"),
    "ehDisjoint": _matches("FF*FF****"),
    "ehMeet": _matches("FT*******", "F**T*****", "F***T****"),
    "ehOverlap": _matches("T*T***T**"),
    "ehCovers": _matches("T*TFT*FF*"),
    "ehCoveredBy": _matches("TFF*TFT**"),
    "ehInside": _matches("TFF*FFT**"),
    "ehContains": _matches("T*TFF*FF*"),
    "rcc8eq": _matches("TFFFTFFFT"),
    "rcc8dc": _matches("FFTFFTTTT"),
    "rcc8ec": _matches("FFTFTTTTT"),
    "rcc8po": _matches("TTTTTTTTT"),
    "rcc8tppi": _matches("TTTFTTFFT"),
    "rcc8tpp": _matches("TFFTTFTTT"),
    "rcc8ntpp": _matches("TFFTFFTTT"),
    "rcc8ntppi": _matches("TTTFFTFFT"),
}
"""Topological relations by the local name of their GeoSPARQL function; they take arrays (OGC 22-047r1, tables 6-8)."""

FAR_RELATIONS = frozenset({"sfDisjoint", "ehDisjoint", "rcc8dc"})
"""Relations that hold between geometries that do not meet."""

RELATION_WORDS = frozenset(v.GEO + name for name in RELATIONS)
"""The same relations as predicates between features or geometries."""

SWAPPED = {"sfWithin": "sfContains", "ehInside": "ehContains", "ehCoveredBy": "ehCovers"}
SWAPPED |= {"rcc8tpp": "rcc8tppi", "rcc8ntpp": "rcc8ntppi"}
SWAPPED |= {there: back for back, there in SWAPPED.items()}
SWAPPED |= {name: name for name in ("sfEquals", "sfDisjoint", "sfIntersects", "sfTouches", "sfOverlaps")}
"""The relation that holds between b and a where one holds between a and b."""


def great_circle(lon1: Any, lat1: Any, lon2: Any, lat2: Any) -> NDArray[np.float64]:
    """Return great-circle distances in metres (haversine formula).

    Parameters
    ----------
    lon1, lat1, lon2, lat2 : array_like of float64
        Degrees; broadcast against each other.
    """
    lam1, phi1, lam2, phi2 = (np.radians(np.asarray(value, dtype=np.float64)) for value in (lon1, lat1, lon2, lat2))
    half = np.sin((phi2 - phi1) / 2) ** 2 + np.cos(phi1) * np.cos(phi2) * np.sin((lam2 - lam1) / 2) ** 2
    return np.asarray(2 * v.EARTH_RADIUS * np.arcsin(np.sqrt(np.minimum(half, 1.0))))


def distances(geometry: Geometry, longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of a geometry from each of many points.

    Parameters
    ----------
    geometry : shapely.Geometry
        Longitude and latitude in degrees.
    longitude, latitude : numpy.ndarray of float64, shape (n,)
        Degrees.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
        Metres; 0 where the point lies in the geometry. The nearest point of the geometry is found in the plane of
        longitudes scaled by the cosine of the point's latitude, and the distance to it is the great-circle one.
    """
    if geometry.geom_type == "Point":
        return great_circle(longitude, latitude, geometry.x, geometry.y)
    result = np.empty(len(longitude))
    order, starts = np.unique(latitude, return_inverse=True)
    for i, parallel in enumerate(order.tolist()):
        chosen = np.flatnonzero(starts == i)
        scale = np.array([max(np.cos(np.radians(parallel)), 1e-12), 1.0])
        scaled = shapely.transform(geometry, partial(np.multiply, scale))
        shapely.prepare(scaled)
        points = shapely.points(longitude[chosen] * scale[0], np.full(len(chosen), parallel))
        nearest = shapely.get_coordinates(shapely.shortest_line(points, scaled)).reshape(-1, 2, 2)[:, 1]
        metres = great_circle(longitude[chosen], latitude[chosen], nearest[:, 0] / scale[0], nearest[:, 1])
        result[chosen] = np.where(shapely.intersects(scaled, points), 0.0, metres)
    return result


def distance(a: Geometry, b: Geometry) -> float:
    """Return the distance of two geometries in metres; see :func:`distances`.

    Raises
    ------
    GeometryError
        If one is empty.
    """
    if a.is_empty or b.is_empty:
        raise GeometryError("Found an empty geometry, which is at no distance from anything.")
    if a.geom_type != "Point" and b.geom_type == "Point":
        a, b = b, a
    if a.geom_type == "Point":
        return float(distances(b, np.array([a.x]), np.array([a.y]))[0])
    if a.intersects(b):
        return 0.0
    start = shapely.get_coordinates(shapely.shortest_line(a, b))
    scale = np.array([max(np.cos(np.radians(start[:, 1].mean())), 1e-12), 1.0])
    line = shapely.shortest_line(*(shapely.transform(item, lambda points: points * scale) for item in (a, b)))
    ends = shapely.get_coordinates(line) / scale
    return float(great_circle(*ends[0], *ends[1]))
