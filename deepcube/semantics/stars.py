"""The triples of a pattern sorted by the thing of the cube that they describe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rdflib import BNode, Variable
from rdflib.paths import Path

from deepcube.semantics import vocabulary as v
from deepcube.semantics.algebra import Triple, is_variable
from deepcube.semantics.errors import UnsupportedQueryError
from deepcube.semantics.roles import OBSERVATION_WORDS, POINT_WORDS, Assignment, Roles

GeometryTerms = tuple[Any, Any, bool]
"""A geometry of a cell, its literal or None, and whether it is the footprint rather than the centre."""


@dataclass
class Star:
    """The triples of one observation or point.

    Attributes
    ----------
    subject : term
        The observation or point.
    point : bool
        Whether it is a point, the observation of several measures of the RDF Data Cube.
    values, properties, cells, times, instants, types, datasets : list of term
        What it is said to have.
    measures : list of (str, term)
        Properties of a point and their values.
    """

    subject: Any
    point: bool
    values: list[Any] = field(default_factory=list)
    properties: list[Any] = field(default_factory=list)
    cells: list[Any] = field(default_factory=list)
    times: list[Any] = field(default_factory=list)
    instants: list[Any] = field(default_factory=list)
    types: list[Any] = field(default_factory=list)
    datasets: list[Any] = field(default_factory=list)
    measures: list[tuple[str, Any]] = field(default_factory=list)


@dataclass
class Sorted:
    """The triples of a pattern by what they describe.

    Attributes
    ----------
    stars : dict of term to Star
        Observations and points.
    cells : dict of term to list of term
        Cells, and the grids that they are said to be in.
    instants : dict of term to list of term
        Instants, and their times.
    geometries : dict of term to list of GeometryTerms
        Cells, blank if the pattern does not name them, and their geometries.
    vector : list of triple
        What linked data answer.
    """

    stars: dict[Any, Star] = field(default_factory=dict)
    cells: dict[Any, list[Any]] = field(default_factory=dict)
    instants: dict[Any, list[Any]] = field(default_factory=dict)
    geometries: dict[Any, list[GeometryTerms]] = field(default_factory=dict)
    vector: list[Triple] = field(default_factory=list)


def sort_triples(triples: list[Triple], assigned: Assignment, roles: Roles) -> Sorted:
    """Sort the triples of a pattern.

    Parameters
    ----------
    triples : list of triple
        The pattern, its paths expanded, without topological relations.
    assigned : Assignment
        Roles of its terms.
    roles : Roles
        What the cubes have.

    Raises
    ------
    UnsupportedQueryError
        If a triple of a cube has no exact answer.
    """
    found = Sorted()
    geometry_of: dict[Any, list[Any]] = {}
    wkt_of: dict[Any, list[Any]] = {}
    for subject, predicate, value in triples:
        role, word = assigned.get(subject), str(predicate)
        if role in (None, "vector"):
            found.vector.append((subject, predicate, value))
        elif isinstance(predicate, Variable | Path):
            shown = f"?{predicate}" if isinstance(predicate, Variable) else "a repeated or negated path"
            raise UnsupportedQueryError(
                f"The predicate of {_shown(subject)}, a thing of the cube, is {shown}, which is not supported; name it."
            )
        elif role in ("observation", "point"):
            star = found.stars.setdefault(subject, Star(subject, role == "point"))
            if not _into_star(star, word, value, roles):
                found.vector.append((subject, predicate, value))  # linked data may speak of observations too
        elif role == "cell":
            found.cells.setdefault(subject, [])
            if word in (v.HAS_GEOMETRY, v.HAS_DEFAULT_GEOMETRY, v.HAS_FOOTPRINT):
                geometry_of.setdefault(subject, []).append(value)
            elif word == v.IN_GRID:
                found.cells[subject].append(value)
            elif word != v.A or (not is_variable(value) and str(value) != v.CELL):
                found.vector.append((subject, predicate, value))
            elif is_variable(value):
                raise UnsupportedQueryError("The type of a cell is dcube:Cell; a variable for it is not supported.")
        elif role in ("geometry", "footprint") and word == v.AS_WKT:
            wkt_of.setdefault(subject, []).append(value)
        elif role == "instant" and word == v.IN_DATE_TIME:
            found.instants.setdefault(subject, []).append(value)
        else:
            raise UnsupportedQueryError(f"<{word}> of a {role} of the cube is not supported.")
    _pair_geometries(found, geometry_of, wkt_of, assigned)
    return found


def _shown(term: Any) -> str:
    return f"?{term}" if isinstance(term, Variable) else str(term)


def _pair_geometries(
    found: Sorted, geometry_of: dict[Any, list[Any]], wkt_of: dict[Any, list[Any]], assigned: Assignment
) -> None:
    owned = {geometry for held in geometry_of.values() for geometry in held}
    for cell, held in [*geometry_of.items(), *((BNode(), [g]) for g in wkt_of if g not in owned)]:
        found.geometries[cell] = [
            (geometry, wkt, assigned.get(geometry) == "footprint")
            for geometry in held
            for wkt in wkt_of.get(geometry, [None])
        ]


def _into_star(star: Star, word: str, value: Any, roles: Roles) -> bool:
    """Add a triple to an observation or point; return False if cubes have no such triples."""
    lists: dict[str, list[Any]] = {v.A: star.types}
    if star.point:
        lists |= {v.AT_CELL: star.cells, v.AT_TIME: star.times, v.QB_DATASET: star.datasets}
        if word in roles.measures:
            star.measures.append((word, value))
            return True
    else:
        lists |= {
            v.OBSERVED_PROPERTY: star.properties,
            v.FEATURE_OF_INTEREST: star.cells,
            v.RESULT_TIME: star.times,
            v.PHENOMENON_TIME: star.instants,
            v.SIMPLE_RESULT: star.values,
        }
    own_types = roles.classes | {v.OBSERVATION, v.QB_OBSERVATION}
    if word == v.A and not is_variable(value) and str(value) not in own_types:
        return False
    if word not in lists:
        if word in OBSERVATION_WORDS | POINT_WORDS | roles.measures:
            raise UnsupportedQueryError(
                f"{_shown(star.subject)} is asked both as a sosa:Observation and as a qb:Observation; they are "
                "different things. Use two variables with the same cell and time."
            )
        return False
    lists[word].append(value)
    return True
