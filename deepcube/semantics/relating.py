"""Topological relations as predicates in a query over observations: which pairs of things stand in them.

``?a geo:sfWithin ?b`` holds if the linked data state it, or if a geometry of one thing stands in the relation to one of
the other (the query rewrite extension of OGC GeoSPARQL, requirements 28 to 30). The geometries of a feature are its
default ones, those of a geometry itself; a cell's default geometry is its centre, and its footprint is a geometry too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyoxigraph as ox
import shapely
from numpy.typing import NDArray
from rdflib import URIRef

from deepcube.semantics import vocabulary as v
from deepcube.semantics.algebra import is_variable, to_ox, variable_name
from deepcube.semantics.clusters import Cluster, Related
from deepcube.semantics.errors import GeometryError, UnboundedQueryError, UnsupportedQueryError
from deepcube.semantics.geometry import FAR_RELATIONS, RELATIONS, parse_geometry
from deepcube.semantics.grids import GridAxes
from deepcube.semantics.relation import Column, Relation, values_of
from deepcube.semantics.session import Session, quoted
from deepcube.semantics.spatial import SpatialIndex
from deepcube.semantics.terms import Kind, Term, TermKind
from deepcube.semantics.vector import VectorStore

_DEFAULT = ox.DefaultGraph()
_LITERALS = (ox.NamedNode(v.AS_WKT), ox.NamedNode(v.GEO + "asGML"))


@dataclass(frozen=True)
class Relater:
    """Finds the pairs of things that stand in topological relations.

    Attributes
    ----------
    session : Session
        Of the query.
    vector : VectorStore
        Linked data.
    spatial : SpatialIndex
        Cells of geometries.
    grids : list of GridAxes
        Grids of the cubes, whose cells linked data may speak of.
    stated_first : bool
        Whether a relation is not computed for a subject of which the linked data state one.
    """

    session: Session
    vector: VectorStore
    spatial: SpatialIndex
    grids: list[GridAxes]
    stated_first: bool = False

    def of_cells(self, item: Related, cluster: Cluster, known: list[Relation]) -> tuple[Relation, NDArray[np.int64]]:
        """Return the pairs of cells, or their geometries, and linked data that stand in a relation, and the cells.

        Parameters
        ----------
        item : Related
            The relation, one side of which is a thing of the cluster.
        cluster : Cluster
            The cluster.
        known : list of Relation
            Stored solutions that bind the other side.

        Raises
        ------
        UnsupportedQueryError
            If the other side is a thing of a cube too, or may be anything.
        """
        if None not in item.ours:
            raise UnsupportedQueryError(
                f"geo:{item.relation} between two things of the cube is not supported; compare their geometries with "
                f"geof:{item.relation} instead."
            )
        first = item.ours[0] is not None
        term, other = (item.subject, item.value) if first else (item.value, item.subject)
        grid = cluster.grid
        spatial = (grid.cell_kind, grid.geometry_kind, grid.footprint_kind)
        kind = next(b.kind for b in cluster.bindings if b.term == term and b.kind in spatial)
        most = None if self.session.limits.force else self.session.limits.cells
        stated = self._stated(item.relation)
        spared = {subject for subject, _ in stated} if self.stated_first else set()
        of_stated: dict[Term, list[int]] = {}
        for pair in stated:
            mine, theirs = pair if first else pair[::-1]
            code = kind.encode(mine)
            if code is not None:
                of_stated.setdefault(theirs, []).append(code)
        mute = np.array(sorted(c for c in map(kind.encode, spared if first else ()) if c is not None), np.int64)
        cells, numbers = [], []
        for number, theirs in self._values(other, known):
            self.session.stop.check()
            parts = [np.array(of_stated.get(theirs, []), np.int64)]
            if first or theirs not in spared:
                for literal in self._literals(theirs):
                    found = self.spatial.related(grid, item.relation, first, literal, most, kind == grid.footprint_kind)
                    parts.append(np.setdiff1d(found, mute, assume_unique=True) if len(mute) else found)
            held = np.unique(np.concatenate(parts))
            cells.append(held)
            numbers.append(np.full(len(held), number, np.int64))
        pairs = [np.concatenate(column) if column else np.array([], np.int64) for column in (cells, numbers)]
        return self._relation([(term, kind, pairs[0]), (other, self.session.term, pairs[1])]), np.unique(pairs[0])

    def of_terms(self, item: Related, known: list[Relation]) -> Relation:
        """Return the pairs of linked data that stand in a relation.

        Parameters
        ----------
        item : Related
            The relation.
        known : list of Relation
            Stored solutions that bind both sides.

        Raises
        ------
        UnsupportedQueryError
            If a side may be anything.
        UnboundedQueryError
            If too many pairs would have to be compared.
        """
        subjects, values = self._values(item.subject, known), self._values(item.value, known)
        stated = self._stated(item.relation)
        spared = {subject for subject, _ in stated} if self.stated_first else set()
        of_subject, of_value = {t: n for n, t in subjects}, {t: n for n, t in values}
        pairs = {(of_subject[a], of_value[b]) for a, b in stated if a in of_subject and b in of_value}
        left = self._geometries((number, term) for number, term in subjects if term not in spared)
        pairs |= self._computed(item.relation, left, self._geometries(values))
        rows = np.array(sorted(pairs), np.int64).reshape(-1, 2)
        self.session.plan.steps.append(
            f"geo:{item.relation} between {len(subjects):,} and {len(values):,} things: {len(rows):,} pairs"
        )
        return self._relation(
            [(item.subject, self.session.term, rows[:, 0]), (item.value, self.session.term, rows[:, 1])]
        )

    def _computed(
        self, relation: str, left: tuple[NDArray[np.int64], Any], right: tuple[NDArray[np.int64], Any]
    ) -> set[tuple[int, int]]:
        (one, a), (other, b) = left, right
        if relation in FAR_RELATIONS or shapely.is_empty(a).any() or shapely.is_empty(b).any():
            size = len(a) * len(b)
            if size > self.session.limits.tuples:
                raise UnboundedQueryError(
                    f"geo:{relation} would compare {size:,} pairs of geometries, more than "
                    f"{self.session.limits.tuples:,}. Say more about both sides.",
                    size,
                )
            i, j = (index.ravel() for index in np.indices((len(a), len(b))))
        else:
            i, j = shapely.STRtree(b).query(a)
        holds = np.asarray(RELATIONS[relation](a[i], b[j]), dtype=bool)
        return set(zip(one[i[holds]].tolist(), other[j[holds]].tolist(), strict=True))

    def _geometries(self, terms: Iterable[tuple[int, Term]]) -> tuple[NDArray[np.int64], Any]:
        """Return all valid geometries of terms, and the number of the term of each."""
        numbers, shapes = [], []
        for number, term in terms:
            for literal in self._literals(term):
                try:
                    shapes.append(parse_geometry(literal))
                except GeometryError:
                    continue
                numbers.append(number)
        held = np.empty(len(shapes), dtype=object)
        held[:] = shapes
        return np.array(numbers, np.int64), held

    def _literals(self, term: Term) -> list[ox.Literal]:
        """Return the literals of the default geometries of a thing, and of the thing itself if it is a geometry."""
        if isinstance(term, ox.Literal):
            return []
        store, found = self.vector.store, []
        shapes = [
            quad.object for quad in store.quads_for_pattern(term, ox.NamedNode(v.HAS_DEFAULT_GEOMETRY), None, _DEFAULT)
        ]
        for node in [term, *(shape for shape in shapes if not isinstance(shape, ox.Literal))]:
            for word in _LITERALS:
                found += [quad.object for quad in store.quads_for_pattern(node, word, None, _DEFAULT)]
        for grid in self.grids:
            kinds = ((grid.cell_kind, grid.wkt_kind), (grid.geometry_kind, grid.wkt_kind))
            for kind, literal in (*kinds, (grid.footprint_kind, grid.area_kind)):
                code = kind.encode(term)
                if code is not None:
                    found += literal.decode([code])
        return [literal for literal in found if isinstance(literal, ox.Literal)]

    def _stated(self, relation: str) -> list[tuple[Any, Any]]:
        quads = self.vector.store.quads_for_pattern(None, ox.NamedNode(v.GEO + relation), None, _DEFAULT)
        return [(quad.subject, quad.object) for quad in quads]

    def _values(self, term: Any, known: list[Relation]) -> list[tuple[int, Term]]:
        """Return the terms that a side of a relation may be, with their numbers."""
        if not is_variable(term):
            constant = to_ox(term)
            return [(self.session.table.add(constant), constant)]
        name = variable_name(term)
        for relation in known:
            column = relation.columns.get(name)
            if column is not None and isinstance(column.kind, TermKind) and not column.nullable:
                numbers = values_of(self.session, relation, name).tolist()
                return [(number, self.session.table.terms[number]) for number in numbers]
        raise UnsupportedQueryError(
            f"?{name} may be any cell of the cube and anything of the linked data. Say which: ?{name} a dcube:Cell, or "
            "what the linked data say of it, beside the relation."
        )

    def _relation(self, sides: list[tuple[Any, Kind, NDArray[np.int64]]]) -> Relation:
        """Return pairs as solutions; a side that is a constant is no column, and one variable may be both sides."""
        arrays = [values for _, _, values in sides]
        table = self.session.register(pa.table({f"side{i}": values for i, values in enumerate(arrays)}), "pairs")
        columns: dict[str, Column] = {}
        shown = []
        for index, (term, kind, _) in enumerate(sides):
            if is_variable(term) and variable_name(term) not in columns:
                columns[variable_name(term)] = Column(kind)
                shown.append(f"side{index} AS {quoted(variable_name(term))}")
        same = " WHERE side0 = side1" if sides[0][0] == sides[1][0] and is_variable(sides[0][0]) else ""
        return Relation(f"SELECT {', '.join(shown) or '1'} FROM {table}{same}", columns, stored=True)


def relation_text(item: Related) -> str:
    """Return a relation as a pattern has it, for people."""
    sides = [
        f"<{term}>" if isinstance(term, URIRef) else f"?{variable_name(term)}" for term in (item.subject, item.value)
    ]
    return f"{sides[0]} geo:{item.relation} {sides[1]}"
