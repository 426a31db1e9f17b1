"""What the terms of a pattern are: observations, points, cells, geometries and instants of a cube, or linked data.

A thing is recognised by what is said of it (docs/semantics.md lists the triples). What could be both becomes several
ways to read the pattern, whose union is meant; what could be any observation is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rdflib import URIRef, Variable
from rdflib.paths import NegatedPath, Path

from deepcube.semantics import vocabulary as v
from deepcube.semantics.algebra import Triple, is_variable, path_words, to_ox, variable_name
from deepcube.semantics.errors import UnsupportedQueryError
from deepcube.semantics.geometry import RELATION_WORDS
from deepcube.semantics.grids import GridAxes
from deepcube.semantics.source import CubeSource
from deepcube.semantics.terms import Kind

OBSERVATION_WORDS = frozenset(
    {v.OBSERVED_PROPERTY, v.FEATURE_OF_INTEREST, v.RESULT_TIME, v.PHENOMENON_TIME, v.SIMPLE_RESULT}
)
POINT_WORDS = frozenset({v.QB_DATASET, v.AT_CELL, v.AT_TIME})
SHARED_WORDS = frozenset({v.HAS_GEOMETRY, v.HAS_DEFAULT_GEOMETRY, v.AS_WKT, v.IN_DATE_TIME, v.A})
RESERVED_WORDS = OBSERVATION_WORDS | {v.AT_CELL, v.AT_TIME, v.IN_GRID, v.HAS_FOOTPRINT}
"""Predicates that only cubes have; linked data with one of them cannot be asked beside a cube."""

_GEOMETRY_WORDS = {v.HAS_GEOMETRY: "geometry", v.HAS_DEFAULT_GEOMETRY: "geometry", v.HAS_FOOTPRINT: "footprint"}
Assignment = dict[Any, str]
"""Role of each term: observation, point, cell, geometry (a centre), footprint, instant, or vector (linked data)."""


class Roles:
    """Assigns roles to the terms of patterns.

    Parameters
    ----------
    sources : list of CubeSource
        The cubes that are asked.
    """

    def __init__(self, sources: list[CubeSource]) -> None:
        self.variables = [variable for source in sources for variable in source.variables.values()]
        self.grids = [grid for source in sources for grid in source.grids.values()]
        self.measures = {variable.property for variable in self.variables}
        self.classes = {rule.iri for variable in self.variables for rule in variable.interpretations}

    def is_cube_word(self, predicate: Any, value: Any) -> bool:
        """Return whether a predicate with an object is one that only cubes have."""
        word = str(predicate)
        if word in RESERVED_WORDS or word in self.measures or word == v.QB_DATASET:
            return True
        return word == v.A and str(value) in self.classes | {v.OBSERVATION, v.QB_OBSERVATION, v.CELL}

    def concerns(self, path: Any) -> bool:
        """Return whether a property path may step along triples of a cube, or relate its cells."""
        if _negated(path):
            return True
        return bool(path_words(path) & (SHARED_WORDS | RESERVED_WORDS | self.measures | RELATION_WORDS))

    def touches(self, triples: Iterable[Triple]) -> bool:
        """Return whether a pattern may match triples of a cube."""
        if not self.grids:
            return False
        return any(
            isinstance(p, Variable)
            or (isinstance(p, Path) and self.concerns(p))
            or self.is_cube_word(p, o)
            or str(p) in RELATION_WORDS
            or (str(p) in SHARED_WORDS and (str(p) != v.A or is_variable(o)))
            or self.of_constant(s) is not None
            for s, p, o in triples
        )

    def of_constant(self, term: Any) -> str | None:
        """Return the role of an IRI of a thing of a cube; None for every other term."""
        if not isinstance(term, URIRef):
            return None
        node = to_ox(term)
        for grid in self.grids:
            for role, kind in _kinds(grid):
                if kind.encode(node) is not None:
                    return role
        return "observation" if any(item.observations.encode(node) is not None for item in self.variables) else None

    def of_kind(self, kind: Kind | None) -> str | None:
        """Return the role of the things of a kind; None for terms of any sort."""
        if kind is None:
            return None
        for grid in self.grids:
            for role, own in _kinds(grid):
                if kind == own:
                    return role
        return "observation" if any(kind == item.observations for item in self.variables) else None

    def ways(self, triples: list[Triple], kinds: Mapping[str, Kind]) -> Iterator[Assignment]:
        """Yield the ways to assign roles to the terms of a pattern.

        Parameters
        ----------
        triples : list of triple
            The pattern, without topological relations.
        kinds : mapping of str to Kind
            Kinds of variables that are bound elsewhere already.

        Raises
        ------
        UnsupportedQueryError
            If a term may be any observation.
        """
        roles = self._assigned(triples, kinds)
        subjects = dict.fromkeys(triple[0] for triple in triples)
        undecided = [s for s in subjects if s not in roles and self._undecided(s, triples)]
        for choice in itertools.product(*(_choices(subject, triples) for subject in undecided)):
            chosen = _propagated(triples, roles | dict(zip(undecided, choice, strict=True)))
            if _consistent(triples, chosen):
                yield chosen

    def _assigned(self, triples: list[Triple], kinds: Mapping[str, Kind]) -> Assignment:
        roles: Assignment = {}
        for subject, predicate, value in triples:
            bound = self.of_kind(kinds.get(variable_name(subject))) if is_variable(subject) else None
            role = self.of_constant(subject) or bound or self._of_word(predicate, value)
            if role is not None and roles.get(subject) in (None, "vector"):
                roles[subject] = role
        return _propagated(triples, roles)

    def _of_word(self, predicate: Any, value: Any) -> str | None:
        """Return the role of a subject that a predicate with an object tells."""
        if isinstance(predicate, Path):
            return None if self.concerns(predicate) else "vector"
        if isinstance(predicate, Variable):
            return None
        word, kind = str(predicate), str(value) if str(predicate) == v.A else None
        if word in OBSERVATION_WORDS or kind == v.OBSERVATION or kind in self.classes:
            return "observation"
        if word in POINT_WORDS | self.measures or kind == v.QB_OBSERVATION:
            return "point"
        if word in (v.IN_GRID, v.HAS_FOOTPRINT) or kind == v.CELL:
            return "cell"
        if word not in SHARED_WORDS or (word == v.A and not is_variable(value)):
            return "vector"
        return None

    def _undecided(self, subject: Any, triples: list[Triple]) -> bool:
        own = [predicate for s, predicate, _ in triples if s == subject]
        if not is_variable(subject):
            return False
        if any(isinstance(predicate, Variable) for predicate in own):
            raise UnsupportedQueryError(
                f"?{subject} with a variable predicate may be any of the cube's observations, whose triples are not "
                f"listed. Say what ?{subject} is, or ask for its sosa:observedProperty and sosa:hasSimpleResult."
            )
        if any(isinstance(predicate, Path) for predicate in own):
            raise UnsupportedQueryError(
                f"?{subject} with a repeated, optional or negated path may be any thing of the cube, and these are not "
                f"listed. Say what ?{subject} is (?{subject} a feature:...), or write the steps of the path out."
            )
        return {str(predicate) for predicate in own} <= SHARED_WORDS


def _kinds(grid: GridAxes) -> tuple[tuple[str, Kind], ...]:
    return (
        ("cell", grid.cell_kind),
        ("geometry", grid.geometry_kind),
        ("footprint", grid.footprint_kind),
        ("instant", grid.instant_kind),
        ("point", grid.point_kind),
    )


def _propagated(triples: list[Triple], roles: Assignment) -> Assignment:
    """Return roles with those that follow from them: the cell of an observation, the geometry of a cell."""
    roles, changed = dict(roles), True
    while changed:
        changed = False
        for subject, predicate, value in triples:
            word, role, derived = str(predicate), roles.get(subject), None
            if role in ("observation", "point") and word in (v.FEATURE_OF_INTEREST, v.AT_CELL):
                derived = "cell"
            elif role == "observation" and word == v.PHENOMENON_TIME:
                derived = "instant"
            elif word in _GEOMETRY_WORDS and role in ("cell", "vector"):
                derived = _GEOMETRY_WORDS[word] if role == "cell" else "vector"
            if derived and roles.get(value) in (None, "vector") and roles.get(value) != derived:
                roles[value] = derived
                changed = True
    return roles


def _choices(subject: Any, triples: list[Triple]) -> list[str]:
    words = {str(p) for s, p, _ in triples if s == subject}
    if v.A in words and len(words) == 1:
        raise UnsupportedQueryError(
            f"The type of ?{subject} alone may be that of any observation of the cube, and they are not listed. "
            f"Say more about ?{subject}."
        )
    if words & {v.HAS_GEOMETRY, v.HAS_DEFAULT_GEOMETRY}:
        return ["vector", "cell"]
    if v.AS_WKT in words:
        return ["vector", "geometry", "footprint"]
    return ["vector", "instant"]


def _consistent(triples: list[Triple], roles: Assignment) -> bool:
    """Return whether no geometry is that of a feature and of a cell at once."""
    for subject, predicate, value in triples:
        if str(predicate) in _GEOMETRY_WORDS:
            own, other = roles.get(subject), roles.get(value)
            if other is not None and (own == "cell") != (other == _GEOMETRY_WORDS[str(predicate)]):
                return False
    return True


def _negated(path: Any) -> bool:
    if isinstance(path, NegatedPath):
        return True
    if isinstance(path, Path):
        return any(map(_negated, vars(path).values()))
    return isinstance(path, list | tuple) and any(map(_negated, path))
