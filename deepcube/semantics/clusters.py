"""Which triples of a pattern speak of cubes, and which arrays they are aligned reads of.

The triples of cubes exist only as a definition (docs/semantics.md lists it). A pattern is split into *clusters*, each
the observations that share a cell and a time, so that it is one aligned read of arrays, and the triples that the vector
side answers. A pattern that several variables or grids may match becomes several alternatives, whose union is meant.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rdflib import BNode, URIRef, Variable
from rdflib.paths import Path

from deepcube.semantics import vocabulary as v
from deepcube.semantics.algebra import Triple, is_variable, to_ox, variable_name
from deepcube.semantics.errors import UnsupportedQueryError
from deepcube.semantics.grids import GridAxes
from deepcube.semantics.source import CubeSource
from deepcube.semantics.source import Variable as CubeVariable
from deepcube.semantics.terms import DATE_TIME, Kind

OBSERVATION_WORDS = frozenset(
    {v.OBSERVED_PROPERTY, v.FEATURE_OF_INTEREST, v.RESULT_TIME, v.PHENOMENON_TIME, v.SIMPLE_RESULT}
)
POINT_WORDS = frozenset({v.QB_DATASET, v.AT_CELL, v.AT_TIME})
SHARED_WORDS = frozenset({v.HAS_GEOMETRY, v.HAS_DEFAULT_GEOMETRY, v.AS_WKT, v.IN_DATE_TIME, v.A})
RESERVED_WORDS = OBSERVATION_WORDS | {v.AT_CELL, v.AT_TIME, v.IN_GRID}
"""Predicates that only cubes have; linked data with one of them cannot be asked beside a cube."""

_MOST_ALTERNATIVES = 64


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
class Alternative:
    """One way in which a pattern may match: clusters and triples of the vector side, to be joined."""

    clusters: list[Cluster]
    triples: list[Triple]


@dataclass
class _Star:
    """The triples of one observation or point."""

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


class Splitter:
    """Splits basic graph patterns.

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

    def touches(self, triples: Iterable[Triple]) -> bool:
        """Return whether a pattern may match triples of a cube."""
        if not self.grids:
            return False
        return any(
            isinstance(p, Variable)
            or (isinstance(p, Path) and bool(_path_words(p) & (SHARED_WORDS | RESERVED_WORDS | self.measures)))
            or self.is_cube_word(p, o)
            or (str(p) in SHARED_WORDS and (str(p) != v.A or is_variable(o)))
            or self._constant_role(s) is not None
            for s, p, o in triples
        )

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
        roles = self._roles(triples, kinds)
        open_subjects = [
            s for s in dict.fromkeys(t[0] for t in triples) if s not in roles and self._undecided(s, triples)
        ]
        choices = [self._choices(subject, triples) for subject in open_subjects]
        alternatives: list[Alternative] = []
        for choice in itertools.product(*choices):
            chosen = dict(roles) | dict(zip(open_subjects, choice, strict=True))
            chosen = self._propagated(triples, chosen)
            if _consistent(triples, chosen):
                alternatives += self._alternatives(triples, chosen)
            if len(alternatives) > _MOST_ALTERNATIVES:
                raise UnsupportedQueryError(
                    f"This pattern may be matched in more than {_MOST_ALTERNATIVES} ways by the cube's variables; name "
                    "their sosa:observedProperty."
                )
        return alternatives

    def _constant_role(self, term: Any) -> str | None:
        if not isinstance(term, URIRef):
            return None
        node = to_ox(term)
        for grid in self.grids:
            kinds = (("cell", grid.cell_kind), ("geometry", grid.geometry_kind), ("instant", grid.instant_kind))
            for role, kind in (*kinds, ("point", grid.point_kind)):
                if kind.encode(node) is not None:
                    return role
        return "observation" if any(item.observations.encode(node) is not None for item in self.variables) else None

    def _roles(self, triples: list[Triple], kinds: Mapping[str, Kind]) -> dict[Any, str]:
        roles: dict[Any, str] = {}
        for subject, predicate, value in triples:
            role = self._constant_role(subject) or self._bound_role(subject, kinds)
            word = str(predicate)
            if role is None and not isinstance(predicate, Variable | Path):
                if word in OBSERVATION_WORDS or (word == v.A and str(value) in self.classes | {v.OBSERVATION}):
                    role = "observation"
                elif word in POINT_WORDS | self.measures or (word == v.A and str(value) == v.QB_OBSERVATION):
                    role = "point"
                elif word == v.IN_GRID or (word == v.A and str(value) == v.CELL):
                    role = "cell"
                elif word not in SHARED_WORDS or (word == v.A and not is_variable(value)):
                    role = "vector"
            if role is None and isinstance(predicate, Path):
                role = "vector"
            if role is not None and roles.get(subject) in (None, "vector"):
                roles[subject] = role
        return self._propagated(triples, roles)

    def _bound_role(self, term: Any, kinds: Mapping[str, Kind]) -> str | None:
        kind = kinds.get(variable_name(term)) if is_variable(term) else None
        if kind is None:
            return None
        for grid in self.grids:
            for role, own in (
                ("cell", grid.cell_kind),
                ("geometry", grid.geometry_kind),
                ("instant", grid.instant_kind),
                ("point", grid.point_kind),
            ):
                if kind == own:
                    return role
        return "observation" if any(kind == item.observations for item in self.variables) else None

    def _propagated(self, triples: list[Triple], roles: dict[Any, str]) -> dict[Any, str]:
        """Return roles with those that follow from them: the cell of an observation, the geometry of a cell."""
        changed = True
        while changed:
            changed = False
            for subject, predicate, value in triples:
                word, role, derived = str(predicate), roles.get(subject), None
                if role in ("observation", "point") and word in (v.FEATURE_OF_INTEREST, v.AT_CELL):
                    derived = "cell"
                elif role == "observation" and word == v.PHENOMENON_TIME:
                    derived = "instant"
                elif word in (v.HAS_GEOMETRY, v.HAS_DEFAULT_GEOMETRY) and role in ("cell", "vector"):
                    derived = "geometry" if role == "cell" else "vector"
                if derived and roles.get(value) in (None, "vector") and roles.get(value) != derived:
                    roles[value] = derived
                    changed = True
        return roles

    def _undecided(self, subject: Any, triples: list[Triple]) -> bool:
        words = {str(p) for s, p, _ in triples if s == subject}
        if not is_variable(subject):
            return False
        if words <= SHARED_WORDS:
            return True
        if any(isinstance(p, Variable) for s, p, _ in triples if s == subject):
            raise UnsupportedQueryError(
                f"?{subject} with a variable predicate may be any of the cube's observations, whose triples are not "
                f"listed. Say what ?{subject} is, or ask for its sosa:observedProperty and sosa:hasSimpleResult."
            )
        return False

    def _choices(self, subject: Any, triples: list[Triple]) -> list[str]:
        words = {str(p) for s, p, _ in triples if s == subject}
        if v.A in words and len(words) == 1:
            raise UnsupportedQueryError(
                f"The type of ?{subject} alone may be that of any observation of the cube, and they are not listed. "
                f"Say more about ?{subject}."
            )
        if words & {v.HAS_GEOMETRY, v.HAS_DEFAULT_GEOMETRY}:
            return ["vector", "cell"]
        if v.AS_WKT in words:
            return ["vector", "geometry"]
        return ["vector", "instant"]

    def _alternatives(self, triples: list[Triple], roles: dict[Any, str]) -> list[Alternative]:
        stars, cells, instants, geometries, vector = self._stars(triples, roles)
        cell_terms = dict.fromkeys([*(c for star in stars for c in star.cells), *cells, *geometries])
        lone = [c for c in cell_terms if not any(c in star.cells for star in stars)]
        choices: list[list[Any]] = [list(self._variable_choices(star)) for star in stars]
        choices += [[(grid,) for grid in self.grids] for _ in lone]
        lone_instants = [i for i in instants if not any(i in star.instants for star in stars)]
        if lone_instants:
            raise UnsupportedQueryError("Instants are supported as the sosa:phenomenonTime of observations only.")
        result = []
        for choice in itertools.product(*choices):
            picks = list(zip(stars, choice[: len(stars)], strict=True))
            grids = {cell: grid for cell, (grid,) in zip(lone, choice[len(stars) :], strict=True)}
            clusters = self._clusters(picks, grids, cells, geometries, instants)
            if clusters is not None:
                result.append(Alternative(clusters, vector))
        return result

    def _stars(
        self, triples: list[Triple], roles: dict[Any, str]
    ) -> tuple[list[_Star], dict[Any, list[Any]], dict[Any, list[Any]], dict[Any, list[tuple[Any, Any]]], list[Triple]]:
        """Sort triples: stars, grids of cells, times of instants, geometries of cells, the rest."""
        stars: dict[Any, _Star] = {}
        cells: dict[Any, list[Any]] = {}
        instants: dict[Any, list[Any]] = {}
        geometry_of: dict[Any, list[Any]] = {}
        wkt_of: dict[Any, list[Any]] = {}
        vector: list[Triple] = []
        for subject, predicate, value in triples:
            role, word = roles.get(subject), str(predicate)
            if role in (None, "vector"):
                vector.append((subject, predicate, value))
            elif isinstance(predicate, Variable | Path):
                raise UnsupportedQueryError(
                    f"The predicate {predicate} of ?{subject}, which is a thing of the cube, is not supported; name it."
                )
            elif role in ("observation", "point"):
                star = stars.setdefault(subject, _Star(subject, role == "point"))
                if not self._into_star(star, word, value):
                    vector.append((subject, predicate, value))  # linked data may speak of observations too
            elif role == "cell":
                cells.setdefault(subject, [])
                if word in (v.HAS_GEOMETRY, v.HAS_DEFAULT_GEOMETRY):
                    geometry_of.setdefault(subject, []).append(value)
                elif word == v.IN_GRID:
                    cells[subject].append(value)
                elif word != v.A or (not is_variable(value) and str(value) != v.CELL):
                    vector.append((subject, predicate, value))
                elif is_variable(value):
                    raise UnsupportedQueryError("The type of a cell is dcube:Cell; a variable for it is not supported.")
            elif role == "geometry" and word == v.AS_WKT:
                wkt_of.setdefault(subject, []).append(value)
            elif role == "instant" and word == v.IN_DATE_TIME:
                instants.setdefault(subject, []).append(value)
            else:
                raise UnsupportedQueryError(f"<{word}> of a {role} of the cube is not supported.")
        geometries: dict[Any, list[tuple[Any, Any]]] = {}
        owned = {geometry for held in geometry_of.values() for geometry in held}
        for cell, held in geometry_of.items():
            geometries[cell] = [(geometry, wkt) for geometry in held for wkt in wkt_of.get(geometry, [None])]
        for geometry in wkt_of:
            if geometry not in owned:  # a geometry whose cell is not asked for
                geometries[BNode()] = [(geometry, wkt) for wkt in wkt_of[geometry]]
        return list(stars.values()), cells, instants, geometries, vector

    def _into_star(self, star: _Star, word: str, value: Any) -> bool:
        """Add a triple to an observation or point; return False if cubes have no such triples."""
        lists: dict[str, list[Any]] = {v.A: star.types}
        if star.point:
            lists |= {v.AT_CELL: star.cells, v.AT_TIME: star.times, v.QB_DATASET: star.datasets}
            if word in self.measures:
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
        own_types = self.classes | {v.OBSERVATION, v.QB_OBSERVATION}
        if word == v.A and not is_variable(value) and str(value) not in own_types:
            return False
        if word not in lists:
            if word in OBSERVATION_WORDS | POINT_WORDS | self.measures:
                raise UnsupportedQueryError(
                    f"?{star.subject} is asked both as a sosa:Observation and as a qb:Observation; they are different "
                    "things. Use two variables with the same cell and time."
                )
            return False
        lists[word].append(value)
        return True

    def _variable_choices(self, star: _Star) -> Iterable[tuple[Any, ...]]:
        """Yield (grid, variables, constants, rules) for every way in which a star may be read."""
        if star.point:
            yield from self._point_choices(star)
            return
        subject = to_ox(star.subject) if isinstance(star.subject, URIRef) else None
        named = {str(p) for p in star.properties if not is_variable(p)}
        for variable in self.variables:
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

    def _point_choices(self, star: _Star) -> Iterable[tuple[Any, ...]]:
        subject = to_ox(star.subject) if isinstance(star.subject, URIRef) else None
        if any(is_variable(kind) for kind in star.types):
            raise UnsupportedQueryError("The type of a point is qb:Observation; a variable for it is not supported.")
        if any(str(kind) != v.QB_OBSERVATION for kind in star.types):
            return
        for grid in self.grids:
            if not len(grid.times) or (subject and grid.point_kind.encode(subject) is None):
                continue
            dataset = f"{grid.base}{grid.name}"
            if any(not is_variable(d) and str(d) != dataset for d in star.datasets):
                continue
            own = {item.property: item for item in self.variables if item.grid is grid and not item.static}
            if not own or any(word not in own for word, _ in star.measures):
                continue
            constants = [(d, URIRef(dataset)) for d in star.datasets if is_variable(d)]
            yield grid, tuple(own[word] for word, _ in star.measures), constants, []

    def _clusters(
        self,
        picks: list[tuple[_Star, Any]],
        grids: dict[Any, GridAxes],
        cells: dict[Any, list[Any]],
        geometries: dict[Any, list[tuple[Any, Any]]],
        instants: dict[Any, list[Any]],
    ) -> list[Cluster] | None:
        """Return the clusters of one choice; None if the choice contradicts itself."""
        found: dict[tuple[Any, Any], Cluster] = {}
        first_of: dict[Any, Cluster] = {}
        for star, (grid, variables, constants, rules) in picks:
            times = [*star.times, *(t for i in star.instants for t in instants.get(i, []))]
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
        for cell, datasets in cells.items():
            cluster = first_of[cell]
            cluster.constants += [(d, URIRef(f"{cluster.grid.base}{cluster.grid.name}")) for d in datasets]
        for cell, held in geometries.items():
            cluster = first_of[cell]
            for geometry, wkt in held:
                cluster.bindings.append(Binding(geometry, "cell", cluster.grid.geometry_kind))
                if wkt is not None:
                    cluster.bindings.append(Binding(wkt, "cell", cluster.grid.wkt_kind))
        return list(found.values())

    def _bind(self, cluster: Cluster, star: _Star, variables: tuple[CubeVariable, ...], times: list[Any]) -> None:
        grid, bind = cluster.grid, cluster.bindings
        for variable in variables:
            cluster.variables.setdefault(variable.name, variable)
        if star.point:
            bind.append(Binding(star.subject, "point", grid.point_kind))
            if not variables:
                own = tuple(item for item in self.variables if item.grid is grid and not item.static)
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


def _consistent(triples: list[Triple], roles: dict[Any, str]) -> bool:
    """Return whether no geometry is that of a feature and of a cell at once."""
    for subject, predicate, value in triples:
        if str(predicate) in (v.HAS_GEOMETRY, v.HAS_DEFAULT_GEOMETRY):
            own, other = roles.get(subject), roles.get(value)
            if other is not None and (own == "cell") != (other == "geometry"):
                return False
    return True


def _path_words(path: Any) -> set[str]:
    if isinstance(path, URIRef):
        return {str(path)}
    if isinstance(path, Path):
        return set().union(*(_path_words(item) for item in vars(path).values()))
    if isinstance(path, list | tuple):
        return set().union(*(_path_words(item) for item in path)) if path else set()
    return set()
