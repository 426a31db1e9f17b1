"""Which triples of a pattern speak of cubes, and which arrays they are aligned reads of.

The triples of cubes exist only as a definition (docs/semantics.md lists it). A pattern is split into *clusters*, each
the observations that share a cell and a time, so that it is one aligned read of arrays, and the triples that the vector
side answers. A pattern that several variables or grids may match becomes several alternatives, whose union is meant.
What the terms are is told by :mod:`deepcube.semantics.roles`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rdflib import BNode, URIRef

from deepcube.semantics import vocabulary as v
from deepcube.semantics.algebra import Triple, is_variable, to_ox, variable_name
from deepcube.semantics.errors import UnsupportedQueryError
from deepcube.semantics.geometry import RELATION_WORDS
from deepcube.semantics.grids import GridAxes
from deepcube.semantics.roles import Assignment, Roles
from deepcube.semantics.source import CubeSource
from deepcube.semantics.source import Variable as CubeVariable
from deepcube.semantics.stars import GeometryTerms, Sorted, Star, sort_triples
from deepcube.semantics.terms import DATE_TIME, Kind

MOST_ALTERNATIVES = 64
"""Ways in which one pattern may be matched; more are refused before anything is read."""
_MOST_TRIES = 10_000


@dataclass
class Binding:
    """A term of a pattern and the column of a cluster's read that it is."""

    term: Any
    slot: str
    kind: Kind


@dataclass
class Cluster:
    """Observations that share a cell and a time, as one aligned read.

    Attributes
    ----------
    grid : GridAxes
        Grid of the cell.
    variables : dict of str to CubeVariable
        Variables that must have a value, by name.
    any_variable : tuple of CubeVariable
        Variables of which one must have a value, for a point of which no measure is asked.
    conditions : list of (str, str, float)
        Variable, operator and constant that its value must satisfy, by interpretations.
    one_of : list of (str, tuple of float)
        Variable and the values of which it must have one.
    bindings : list of Binding
        What terms of the pattern are bound to; slots are ``cell``, ``step``, ``time`` and ``value:<variable>``.
    constants : list of (term, term)
        Terms of the pattern that a choice of an alternative fixes.
    timed : bool
        Whether there is a time.
    """

    grid: GridAxes
    variables: dict[str, CubeVariable] = field(default_factory=dict)
    any_variable: tuple[CubeVariable, ...] = ()
    conditions: list[tuple[str, str, float]] = field(default_factory=list)
    one_of: list[tuple[str, tuple[float, ...]]] = field(default_factory=list)
    bindings: list[Binding] = field(default_factory=list)
    constants: list[tuple[Any, Any]] = field(default_factory=list)
    timed: bool = False

    def names(self, slot: str) -> list[str]:
        """Return the names of the query's variables that are a slot."""
        return [variable_name(b.term) for b in self.bindings if b.slot == slot and is_variable(b.term)]


@dataclass
class Related:
    """A topological relation as a predicate: ``subject relation value``.

    Attributes
    ----------
    subject, value : term
        What it relates.
    relation : str
        Local name, such as ``"sfWithin"``.
    ours : tuple of (Cluster or None, Cluster or None)
        Cluster whose cell, centre or footprint the subject is, and that of the value; None for linked data.
    """

    subject: Any
    value: Any
    relation: str
    ours: tuple[Cluster | None, Cluster | None] = (None, None)


@dataclass
class Alternative:
    """One way in which a pattern may match: clusters, triples of the vector side and relations, to be joined."""

    clusters: list[Cluster]
    triples: list[Triple]
    related: list[Related] = field(default_factory=list)


Pick = tuple[GridAxes, tuple[CubeVariable, ...], list[tuple[Any, Any]], list[Any]]
"""Grid, variables, fixed terms and interpretations of one way to read a star."""


class Splitter:
    """Splits basic graph patterns.

    Parameters
    ----------
    sources : list of CubeSource
        The cubes that are asked.
    """

    def __init__(self, sources: list[CubeSource]) -> None:
        self.roles = Roles(sources)
        self._variables, self._grids = self.roles.variables, self.roles.grids

    def split(self, triples: list[Triple], kinds: Mapping[str, Kind]) -> list[Alternative]:
        """Return the ways in which a pattern may match.

        Parameters
        ----------
        triples : list of triple
            The pattern, its paths expanded.
        kinds : mapping of str to Kind
            Kinds of variables that are bound elsewhere already.

        Returns
        -------
        list of Alternative
            Their union is the pattern; empty if nothing can match.

        Raises
        ------
        UnsupportedQueryError
            If a part of the pattern has no exact answer.
        """
        related = [triple for triple in triples if str(triple[1]) in RELATION_WORDS]
        plain = [triple for triple in triples if str(triple[1]) not in RELATION_WORDS]
        alternatives: list[Alternative] = []
        for assigned in self.roles.ways(plain, kinds):
            alternatives += self._alternatives(plain, related, assigned, kinds)
            if len(alternatives) > MOST_ALTERNATIVES:
                raise _too_many()
        return alternatives

    def _alternatives(
        self, triples: list[Triple], related: list[Triple], assigned: Assignment, kinds: Mapping[str, Kind]
    ) -> list[Alternative]:
        found = sort_triples(triples, assigned, self.roles)
        stars = list(found.stars.values())
        self._add_related(found, related, assigned, kinds)
        cell_terms = dict.fromkeys([*(c for star in stars for c in star.cells), *found.cells, *found.geometries])
        lone = [c for c in cell_terms if not any(c in star.cells for star in stars)]
        choices: list[list[Any]] = [list(self._picks(star)) for star in stars]
        choices += [[(grid,) for grid in self._grids] for _ in lone]
        if any(not any(instant in star.instants for star in stars) for instant in found.instants):
            raise UnsupportedQueryError("Instants are supported as the sosa:phenomenonTime of observations only.")
        result: list[Alternative] = []
        if math.prod(map(len, choices)) > _MOST_TRIES:
            raise _too_many()
        for choice in itertools.product(*choices):
            picks = list(zip(stars, choice[: len(stars)], strict=True))
            grids = {cell: grid for cell, (grid,) in zip(lone, choice[len(stars) :], strict=True)}
            clusters = self._clusters(picks, grids, found)
            if clusters is not None:
                result.append(Alternative(clusters, found.vector, _placed(related, clusters)))
        return result

    def _add_related(
        self, found: Sorted, related: list[Triple], assigned: Assignment, kinds: Mapping[str, Kind]
    ) -> None:
        """Make sure that every cell and geometry of a cube that is related to something has a cluster."""
        for subject, _, value in related:
            for term in filter(is_variable, (subject, value)):
                role = assigned.get(term) or self.roles.of_kind(kinds.get(variable_name(term)))
                if role in ("observation", "point", "instant"):
                    raise UnsupportedQueryError(
                        f"?{term} is an {role} of the cube, which has no geometry; relate its cell "
                        "(sosa:hasFeatureOfInterest)."
                    )
                held = {geometry for pairs in found.geometries.values() for geometry, _, _ in pairs}
                if role == "cell":
                    found.cells.setdefault(term, [])
                elif role in ("geometry", "footprint") and term not in held:
                    found.geometries[BNode()] = [(term, None, role == "footprint")]

    def _picks(self, star: Star) -> Iterable[Pick]:
        """Yield every way in which a star may be read."""
        if star.point:
            yield from self._point_picks(star)
            return
        subject = to_ox(star.subject) if isinstance(star.subject, URIRef) else None
        named = {str(p) for p in star.properties if not is_variable(p)}
        for variable in self._variables:
            if named - {variable.property} or (subject and variable.observations.encode(subject) is None):
                continue
            if variable.static and (star.times or star.instants):
                continue
            rules = {rule.iri: rule for rule in variable.interpretations}
            per_type = []
            for kind in star.types:
                known = [v.OBSERVATION, *rules] if is_variable(kind) else [str(kind)]
                per_type.append([iri for iri in known if iri == v.OBSERVATION or iri in rules])
            for types in itertools.product(*per_type):
                constants = [(p, URIRef(variable.property)) for p in star.properties if is_variable(p)]
                constants += [(t, URIRef(i)) for t, i in zip(star.types, types, strict=True) if is_variable(t)]
                used = [rules[iri] for iri in types if iri in rules]
                yield variable.grid, (variable,), constants, used

    def _point_picks(self, star: Star) -> Iterable[Pick]:
        subject = to_ox(star.subject) if isinstance(star.subject, URIRef) else None
        if any(is_variable(kind) for kind in star.types):
            raise UnsupportedQueryError("The type of a point is qb:Observation; a variable for it is not supported.")
        if any(str(kind) != v.QB_OBSERVATION for kind in star.types):
            return
        for grid in self._grids:
            if not len(grid.times) or (subject and grid.point_kind.encode(subject) is None):
                continue
            dataset = f"{grid.base}{grid.name}"
            if any(not is_variable(d) and str(d) != dataset for d in star.datasets):
                continue
            own = {item.property: item for item in self._variables if item.grid is grid and not item.static}
            if not own or any(word not in own for word, _ in star.measures):
                continue
            constants = [(d, URIRef(dataset)) for d in star.datasets if is_variable(d)]
            yield grid, tuple(own[word] for word, _ in star.measures), constants, []

    def _clusters(
        self, picks: list[tuple[Star, Pick]], grids: dict[Any, GridAxes], triples: Sorted
    ) -> list[Cluster] | None:
        """Return the clusters of one choice; None if the choice contradicts itself."""
        found: dict[tuple[Any, Any], Cluster] = {}
        first_of: dict[Any, Cluster] = {}
        for star, (grid, variables, constants, rules) in picks:
            times = [*star.times, *(t for i in star.instants for t in triples.instants.get(i, []))]
            cell = star.cells[0] if star.cells else BNode()
            timed = bool(star.point or not variables[0].static)
            key = (cell, (times[0] if times else BNode()) if timed else None)
            cluster = found.setdefault(key, Cluster(grid, timed=timed))
            if cluster.grid is not grid:
                return None
            for term in star.cells:
                if first_of.setdefault(term, cluster).grid is not grid:
                    return None
            self._bind(cluster, star, variables, times)
            cluster.constants += constants
            for rule in rules:
                name = variables[0].name
                cluster.conditions += [(name, operator, value) for operator, value in rule.conditions]
                cluster.one_of += [(name, rule.one_of)] if rule.one_of else []
        for cell, grid in grids.items():
            first_of[cell] = found.setdefault((cell, None), Cluster(grid))
            first_of[cell].bindings.append(Binding(cell, "cell", grid.cell_kind))
        for cell, datasets in triples.cells.items():
            cluster = first_of[cell]
            cluster.constants += [(d, URIRef(f"{cluster.grid.base}{cluster.grid.name}")) for d in datasets]
        for cell, held in triples.geometries.items():
            _bind_geometries(first_of[cell], held)
        return list(found.values())

    def _bind(self, cluster: Cluster, star: Star, variables: tuple[CubeVariable, ...], times: list[Any]) -> None:
        grid, bind = cluster.grid, cluster.bindings
        for variable in variables:
            cluster.variables.setdefault(variable.name, variable)
        if star.point:
            bind.append(Binding(star.subject, "point", grid.point_kind))
            if not variables:
                own = tuple(item for item in self._variables if item.grid is grid and not item.static)
                cluster.any_variable = own
            for (_, value), variable in zip(star.measures, variables, strict=True):
                bind.append(Binding(value, f"value:{variable.name}", variable.result_kind))
        else:
            variable = variables[0]
            bind.append(Binding(star.subject, "cell" if variable.static else "point", variable.observations))
            bind += [Binding(value, f"value:{variable.name}", variable.result_kind) for value in star.values]
        bind += [Binding(cell, "cell", grid.cell_kind) for cell in star.cells]
        bind += [Binding(time, "time", DATE_TIME) for time in times]
        bind += [Binding(instant, "step", grid.instant_kind) for instant in star.instants]


def _too_many() -> UnsupportedQueryError:
    return UnsupportedQueryError(
        f"This pattern may be matched in more than {MOST_ALTERNATIVES} ways by the cube's variables; name their "
        "sosa:observedProperty."
    )


def _bind_geometries(cluster: Cluster, held: list[GeometryTerms]) -> None:
    grid = cluster.grid
    for geometry, wkt, footprint in held:
        cluster.bindings.append(Binding(geometry, "cell", grid.footprint_kind if footprint else grid.geometry_kind))
        if wkt is not None:
            cluster.bindings.append(Binding(wkt, "cell", grid.area_kind if footprint else grid.wkt_kind))


def _placed(related: list[Triple], clusters: list[Cluster]) -> list[Related]:
    """Return relations with the clusters that their sides are cells or geometries of."""

    def ours(term: Any) -> Cluster | None:
        for cluster in clusters:
            spatial = (cluster.grid.cell_kind, cluster.grid.geometry_kind, cluster.grid.footprint_kind)
            if any(b.term == term and b.kind in spatial for b in cluster.bindings) and is_variable(term):
                return cluster
        return None

    return [
        Related(subject, value, str(word).removeprefix(v.GEO), (ours(subject), ours(value)))
        for subject, word, value in related
    ]
