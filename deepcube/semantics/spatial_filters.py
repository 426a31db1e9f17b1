"""Filters that relate the centre or the footprint of a cell to a geometry, recognised in the algebra."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyoxigraph as ox
from numpy.typing import NDArray
from rdflib import Literal, URIRef
from rdflib.plugins.sparql.parserutils import CompValue

from deepcube.semantics import vocabulary as v
from deepcube.semantics.algebra import is_variable, variable_name
from deepcube.semantics.functions import unit_in_metres
from deepcube.semantics.geometry import RELATIONS, GeometryError
from deepcube.semantics.grids import GridAxes
from deepcube.semantics.spatial import SpatialIndex

FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
"""The comparison that holds between b and a where one holds between a and b."""
NUMBERS = {v.XSD + name for name in ("integer", "decimal", "double", "int", "long", "short", "byte")}
"""Datatypes of constants that a read can compare with."""

CellsOf = Callable[[GridAxes, ox.Literal, int | None], NDArray[np.int64]]


@dataclass(frozen=True)
class SpatialFilter:
    """A filter that relates the geometry of a cell to another.

    Attributes
    ----------
    wkt : str
        Variable of the cell's literal.
    other : term
        Variable or constant of the other geometry.
    cells : callable
        Returns the cells of a grid for which it is true, given the other geometry and the most cells to test.
    """

    wkt: str
    other: Any
    cells: CellsOf


def spatial_filter(item: Any, areas: Mapping[str, bool], index: SpatialIndex) -> SpatialFilter | None:
    """Return a filter as one on the cells of a grid; None if it is something else.

    Parameters
    ----------
    item : Any
        Expression of the filter.
    areas : mapping of str to bool
        Variables of literals of the cell, and whether they are its footprint.
    index : SpatialIndex
        Finds the cells.
    """
    if not isinstance(item, CompValue):
        return None
    if item.name == "Function" and str(item.iri).startswith(v.GEOF) and len(item.expr) == 2:
        relation = str(item.iri).removeprefix(v.GEOF)
        sides = _sides(item.expr[0], item.expr[1], areas)
        if relation not in RELATIONS or sides is None:
            return None
        wkt, other, first = sides
        return SpatialFilter(
            wkt, other, lambda grid, g, most: index.related(grid, relation, first, g, most, areas[wkt])
        )
    if item.name != "RelationalExpression":
        return None
    for call, bound, sign in ((item.expr, item.other, item.op), (item.other, item.expr, FLIPPED.get(item.op, ""))):
        metres = _distance_bound(call, bound)
        if metres is None or sign not in ("<", "<="):
            continue
        sides = _sides(call.expr[0], call.expr[1], areas)
        if sides is not None:
            return SpatialFilter(sides[0], sides[1], _near(index, metres, sign == "<=", areas[sides[0]]))
    return None


def _near(index: SpatialIndex, metres: float, equal: bool, area: bool) -> CellsOf:
    return lambda grid, geometry, most: index.near(grid, geometry, metres, equal, most, area)


def _sides(a: Any, b: Any, areas: Mapping[str, bool]) -> tuple[str, Any, bool] | None:
    """Return the cell's variable, the other geometry and whether the cell is the first of two arguments."""
    ours = [is_variable(term) and variable_name(term) in areas for term in (a, b)]
    if ours[0] and not ours[1] and (is_variable(b) or isinstance(b, Literal)):
        return variable_name(a), b, True
    if ours[1] and not ours[0] and (is_variable(a) or isinstance(a, Literal)):
        return variable_name(b), a, False
    return None


def _distance_bound(call: Any, bound: Any) -> float | None:
    """Return the bound of a comparison of a distance, in metres; None if it is no such comparison."""
    if not (isinstance(call, CompValue) and call.name == "Function" and isinstance(bound, Literal)):
        return None
    if str(bound.datatype) not in NUMBERS:
        return None
    if str(call.iri) == v.GEOF + "metricDistance" and len(call.expr) == 2:
        return float(str(bound))
    if str(call.iri) != v.GEOF + "distance" or len(call.expr) != 3 or not isinstance(call.expr[2], URIRef):
        return None
    try:
        metres = unit_in_metres(ox.NamedNode(str(call.expr[2])))
    except GeometryError:
        return None
    # A bound in kilometres is compared in kilometres elsewhere, so only the plain unit is exact here.
    return float(str(bound)) if metres == 1.0 else None
