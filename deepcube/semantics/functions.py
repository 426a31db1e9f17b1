"""The GeoSPARQL functions, as pyoxigraph calls them: terms in, a term out, None for an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyoxigraph as ox
import pyproj
import shapely

from deepcube.semantics import vocabulary as v
from deepcube.semantics.errors import GeometryError
from deepcube.semantics.geometry import (
    RELATIONS,
    Geometry,
    distance,
    parse_geometry,
    reference_system,
    to_literal,
)

Function = Callable[..., ox.Literal | ox.NamedNode | None]

METRES_PER_UNIT = {
    "metre": 1.0,
    "meter": 1.0,
    "M": 1.0,
    "kilometre": 1000.0,
    "KiloM": 1000.0,
}
"""Length units by the last part of their IRI (OGC ``uom`` and QUDT ``unit``)."""

_ANY_URI = ox.NamedNode(v.XSD + "anyURI")
_GEOD = pyproj.Geod(a=v.EARTH_RADIUS, b=v.EARTH_RADIUS)


def unit_in_metres(unit: ox.NamedNode | ox.Literal) -> float | None:
    """Return the length of a unit in metres; None for degrees.

    Raises
    ------
    GeometryError
        If the unit is not known.
    """
    name = unit.value.replace("#", "/").rsplit("/", maxsplit=1)[-1]
    if name in ("degree", "DEG"):
        return None
    if name not in METRES_PER_UNIT:
        raise GeometryError(f"Found the unit <{unit.value}>; expected uom:metre or uom:degree.")
    return METRES_PER_UNIT[name]


def _distance(a: ox.Literal, b: ox.Literal, unit: ox.NamedNode) -> ox.Literal:
    first, second, metres = parse_geometry(a), parse_geometry(b), unit_in_metres(unit)
    return ox.Literal(float(first.distance(second)) if metres is None else distance(first, second) / metres)


def _buffer(a: ox.Literal, radius: ox.Literal, unit: ox.NamedNode) -> ox.Literal:
    geometry, metres = parse_geometry(a), unit_in_metres(unit)
    if metres is None:
        return to_literal(geometry.buffer(float(radius.value)), a.datatype.value)
    centre = geometry.centroid
    plane = f"+proj=aeqd +lat_0={centre.y} +lon_0={centre.x} +R={v.EARTH_RADIUS} +units=m"
    there = pyproj.Transformer.from_crs("OGC:CRS84", plane, always_xy=True)
    back = pyproj.Transformer.from_crs(plane, "OGC:CRS84", always_xy=True)
    flat = shapely.transform(geometry, lambda p: np.column_stack(there.transform(p[:, 0], p[:, 1])))
    wide = flat.buffer(float(radius.value) * metres)
    return to_literal(
        shapely.transform(wide, lambda p: np.column_stack(back.transform(p[:, 0], p[:, 1]))), a.datatype.value
    )


def _relation(name: str) -> Function:
    relation = RELATIONS[name]
    return lambda a, b: ox.Literal(bool(relation(parse_geometry(a), parse_geometry(b))))


def _two(operation: Callable[[Geometry, Geometry], Geometry]) -> Function:
    return lambda a, b: to_literal(operation(parse_geometry(a), parse_geometry(b)), a.datatype.value)


def _one(operation: Callable[[Geometry], Geometry]) -> Function:
    return lambda a: to_literal(operation(parse_geometry(a)), a.datatype.value)


def _value(operation: Callable[[Geometry], Any]) -> Function:
    return lambda a: ox.Literal(operation(parse_geometry(a)))


def _bound(index: int) -> Function:
    return _value(lambda geometry: float(geometry.bounds[index]))


def _metric_area(geometry: Geometry) -> float:
    return abs(float(_GEOD.geometry_area_perimeter(geometry)[0])) if shapely.get_dimensions(geometry) == 2 else 0.0


def _relate(a: ox.Literal, b: ox.Literal, pattern: ox.Literal) -> ox.Literal:
    return ox.Literal(bool(shapely.relate_pattern(parse_geometry(a), parse_geometry(b), pattern.value)))


def _dimension(geometry: Geometry) -> int:
    return int(shapely.get_dimensions(geometry))


def _guarded(function: Function) -> Function:
    def call(*arguments: Any) -> ox.Literal | ox.NamedNode | None:
        try:
            return function(*arguments)
        except (GeometryError, shapely.errors.ShapelyError, AttributeError, TypeError, ValueError, KeyError):
            return None  # an error of an expression, as SPARQL 1.1 (section 17.2) has it

    return call


def _table() -> dict[str, Function]:
    table: dict[str, Function] = {name: _relation(name) for name in RELATIONS}
    table |= {
        "relate": _relate,
        "distance": _distance,
        "metricDistance": lambda a, b: ox.Literal(distance(parse_geometry(a), parse_geometry(b))),
        "buffer": _buffer,
        "metricBuffer": lambda a, radius: _buffer(a, radius, ox.NamedNode(v.METRE)),
        "intersection": _two(shapely.intersection),
        "union": _two(shapely.union),
        "difference": _two(shapely.difference),
        "symDifference": _two(shapely.symmetric_difference),
        "convexHull": _one(shapely.convex_hull),
        "envelope": _one(shapely.envelope),
        "boundary": _one(shapely.boundary),
        "centroid": _one(shapely.centroid),
        "getSRID": lambda a: ox.Literal(reference_system(a), datatype=_ANY_URI),
        "area": _value(lambda geometry: float(geometry.area)),
        "length": _value(lambda geometry: float(geometry.length)),
        "metricArea": _value(_metric_area),
        "metricLength": _value(lambda geometry: float(_GEOD.geometry_length(geometry))),
        "isEmpty": _value(lambda geometry: bool(geometry.is_empty)),
        "isSimple": _value(lambda geometry: bool(geometry.is_simple)),
        "dimension": _value(_dimension),
        "coordinateDimension": _value(lambda geometry: int(shapely.get_coordinate_dimension(geometry))),
        "geometryType": lambda a: ox.Literal(v.SF + parse_geometry(a).geom_type, datatype=_ANY_URI),
        "minX": _bound(0),
        "minY": _bound(1),
        "maxX": _bound(2),
        "maxY": _bound(3),
        "asWKT": lambda a: to_literal(parse_geometry(a)),
        "asGML": lambda a: to_literal(parse_geometry(a), v.GML_LITERAL),
        "asGeoJSON": lambda a: to_literal(parse_geometry(a), v.GEOJSON_LITERAL),
    }
    return table


FUNCTIONS: dict[ox.NamedNode, Any] = {
    ox.NamedNode(v.GEOF + name): _guarded(function) for name, function in _table().items()
}
"""Every ``geof:`` function; they replace those that the store has of its own, so that there is one definition."""
