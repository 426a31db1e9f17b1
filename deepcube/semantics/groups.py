"""One group of a query: what its cube reads can be restricted by, and the reads themselves as relations."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyoxigraph as ox
from numpy.typing import NDArray
from rdflib import Literal, URIRef
from rdflib.plugins.sparql.parserutils import CompValue

from deepcube.semantics.algebra import is_variable, to_ox, variable_name, variables
from deepcube.semantics.clusters import Binding, Cluster, Related
from deepcube.semantics.expressions import evaluate_rows
from deepcube.semantics.reading import ClusterRead, Restriction, result_columns
from deepcube.semantics.relating import Relater, relation_text
from deepcube.semantics.relation import Column, Relation, empty, store, values_of
from deepcube.semantics.serialise import expression_text
from deepcube.semantics.session import quoted
from deepcube.semantics.spatial_filters import FLIPPED, NUMBERS, SpatialFilter, spatial_filter
from deepcube.semantics.terms import DATE_TIME, TermKind

_TESTS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}


class GroupReader:
    """Reads the clusters of a group.

    Parameters
    ----------
    relater : Relater
        Relates cells and linked data.
    """

    def __init__(self, relater: Relater) -> None:
        self._relater = relater
        self._session, self._vector, self._spatial = relater.session, relater.vector, relater.spatial

    def read(
        self,
        clusters: list[Cluster],
        related: list[Related],
        answers: list[Relation],
        filters: list[Any],
        outer: Relation | None,
    ) -> tuple[list[Relation], list[Any]]:
        """Return the reads of clusters as relations, and the filters that they do not enforce.

        Parameters
        ----------
        clusters : list of Cluster
            What is read.
        related : list of Related
            Topological relations as predicates.
        answers : list of Relation
            Stored solutions that the reads will be joined with.
        filters : list
            Expressions that have to be true of the group.
        outer : Relation or None
            Stored solutions that the group will be joined with.

        Returns
        -------
        relations : list of Relation
            The reads, and pairs of cells and geometries that stand in a relation that a filter asks for.
        filters : list
            Expressions that still have to be applied.
        """
        relations: list[Relation] = []
        known = [*answers, *([outer] if outer is not None else [])]
        planned: list[tuple[Cluster, Restriction]] = []
        for cluster in clusters:
            restriction = Restriction(conditions=list(cluster.conditions), one_of=list(cluster.one_of))
            for name, sign, constant in cluster.conditions:
                restriction.reasons.append(f"interpretation: {name} {sign} {constant:g}")
            if not self._constants(cluster, restriction):
                return [empty(self._session, _names(clusters))], filters
            filters = self._pushed(cluster, restriction, filters)
            filters = self._spatially(cluster, restriction, filters, answers, relations)
            for item in related:
                if item.ours[0] is cluster or item.ours[1] is cluster:
                    pairs, cells = self._relater.of_cells(item, cluster, known)
                    restriction.keep_cells(cells, relation_text(item))
                    relations.append(pairs)
            planned.append((cluster, restriction))
        planned.sort(key=lambda item: _extent(*item))
        for index, (cluster, restriction) in enumerate(planned):
            for relation in known:
                self._joined(cluster, restriction, relation)
            relation = self._relation(cluster, ClusterRead(self._session, cluster, restriction))
            if index < len(planned) - 1 and not self._session.explain:
                relation = store(self._session, relation)
                known.append(relation)
            relations.insert(0, relation)
        return relations, filters

    def _constants(self, cluster: Cluster, restriction: Restriction) -> bool:
        """Restrict a read by the constants of the pattern; return False if nothing can match."""
        for term, value in cluster.constants:
            if not is_variable(term) and str(term) != str(value):
                return False
        for binding in cluster.bindings:
            if is_variable(binding.term):
                continue
            code = binding.kind.encode(to_ox(binding.term))
            if code is None or not self._fixed(cluster, restriction, binding, code):
                return False
        return True

    def _fixed(self, cluster: Cluster, restriction: Restriction, binding: Binding, code: Any) -> bool:
        reason = f"{binding.slot.split(':')[0]} is {binding.term}"
        if binding.slot == "cell":
            restriction.keep_cells(np.array([code]), reason)
        elif binding.slot == "step":
            restriction.keep_steps(np.array([code]), reason)
        elif binding.slot == "time":
            restriction.keep_steps(np.flatnonzero(cluster.grid.times == code), reason)
        elif binding.slot == "point":
            step, cell = divmod(code, cluster.grid.cells)
            restriction.keep_steps(np.array([step]), reason)
            restriction.keep_cells(np.array([cell]), reason)
        else:
            restriction.conditions.append((binding.slot.removeprefix("value:"), "=", float(code)))
        return True

    def _pushed(self, cluster: Cluster, restriction: Restriction, filters: list[Any]) -> list[Any]:
        """Push filters on one time or one value down to the read; return those that it does not enforce."""
        left = []
        times = set(cluster.names("time"))
        for item in filters:
            names = variables(item)
            if len(names) == 1 and names <= times and cluster.timed and not _has_exists(item):
                steps = self._steps(cluster, item, next(iter(names)))
                restriction.keep_steps(steps, f"FILTER({expression_text(item)})")
                continue
            comparison = _value_comparison(item)
            if comparison is not None:
                name, sign, constant = comparison
                slots = [b.slot for b in cluster.bindings if is_variable(b.term) and variable_name(b.term) == name]
                if slots and slots[0].startswith("value:"):
                    restriction.conditions.append((slots[0].removeprefix("value:"), sign, constant))
                    restriction.reasons.append(f"FILTER({expression_text(item)})")
                    continue
            left.append(item)
        return left

    def _steps(self, cluster: Cluster, item: Any, name: str) -> NDArray[np.int64]:
        """Return the time steps for which a filter on the time alone is true."""
        times = cluster.grid.times
        if isinstance(item, CompValue) and item.name == "RelationalExpression" and item.op in _TESTS:
            sides = [(item.expr, item.other, item.op), (item.other, item.expr, FLIPPED[item.op])]
            for variable, constant, sign in sides:
                if is_variable(variable) and isinstance(constant, Literal):
                    code = DATE_TIME.encode(to_ox(constant))
                    if code is not None:
                        return np.flatnonzero(_TESTS[sign](times, code))
        rows: list[list[Any]] = [[term] for term in DATE_TIME.decode(times.tolist())]
        truth = evaluate_rows(self._session, self._vector, item, [name], rows, boolean=True)
        return np.flatnonzero([value is True for value in truth])

    def _spatially(
        self,
        cluster: Cluster,
        restriction: Restriction,
        filters: list[Any],
        answers: list[Relation],
        relations: list[Relation],
    ) -> list[Any]:
        """Turn filters on the place of the cell into cells, and pairs of cells and geometries."""
        areas = {
            variable_name(b.term): b.kind == cluster.grid.area_kind
            for b in cluster.bindings
            if b.kind in (cluster.grid.wkt_kind, cluster.grid.area_kind) and is_variable(b.term)
        }
        left, most = [], None if self._session.limits.force else self._session.limits.cells
        found: list[tuple[str, str, tuple[NDArray[np.int64], NDArray[np.int64]]]] = []
        for item in filters:
            spatial = spatial_filter(item, areas, self._spatial)
            if spatial is None:
                left.append(item)
                continue
            reason = f"FILTER({expression_text(item)})"
            if isinstance(spatial.other, Literal):
                constant = to_ox(spatial.other)
                assert isinstance(constant, ox.Literal)
                restriction.keep_cells(spatial.cells(cluster.grid, constant, most), reason)
                continue
            name = variable_name(spatial.other)
            source = next((r for r in answers if name in r.columns), None)
            if source is None or not isinstance(source.columns[name].kind, TermKind):
                left.append(item)
                continue
            pairs = self._pairs(cluster, spatial, source, name, most)
            restriction.keep_cells(_distinct(pairs[0]), reason)
            found.append((spatial.wkt, name, pairs))
        for wkt, name, (cells, numbers) in found:
            assert restriction.cells is not None
            kept = np.isin(cells, restriction.cells)  # other filters may have left few of the cells
            table = self._session.register(pa.table({"cell": cells[kept], "geometry": numbers[kept]}), "pairs")
            own = cluster.grid.area_kind if areas[wkt] else cluster.grid.wkt_kind
            columns = {wkt: Column(own), name: Column(self._session.term)}
            shown = f"cell AS {quoted(wkt)}, geometry AS {quoted(name)}"
            relations.append(Relation(f"SELECT {shown} FROM {table}", columns, stored=True))
        return left

    def _pairs(
        self, cluster: Cluster, spatial: SpatialFilter, source: Relation, name: str, most: int | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the pairs of cells and numbers of geometries that stand in the relation."""
        numbers, cells = [], []
        for number in values_of(self._session, source, name).tolist():
            self._session.stop.check()
            term = self._session.table.terms[number]
            if isinstance(term, ox.Literal):
                found = spatial.cells(cluster.grid, term, most)
                cells.append(found)
                numbers.append(np.full(len(found), number, np.int64))
        none = np.array([], np.int64)
        return (np.concatenate(cells), np.concatenate(numbers)) if cells else (none, none)

    def _joined(self, cluster: Cluster, restriction: Restriction, relation: Relation) -> None:
        """Restrict a read to what solutions that it will be joined with allow."""
        for binding in cluster.bindings:
            if not is_variable(binding.term) or binding.slot.startswith("value:"):
                continue
            name = variable_name(binding.term)
            column = relation.columns.get(name)
            if column is None or column.nullable:
                continue
            values = values_of(self._session, relation, name)
            if column.kind != binding.kind:
                if not isinstance(column.kind, TermKind) or len(values) > self._session.limits.tuples:
                    continue
                codes = [binding.kind.encode(self._session.table.terms[number]) for number in values.tolist()]
                values = np.array([code for code in codes if code is not None], np.int64)
            values = _distinct(values.astype(np.int64))
            reason = f"joined by ?{name}"
            if binding.slot == "cell":
                restriction.keep_cells(values, reason)
            elif binding.slot == "step":
                restriction.keep_steps(values, reason)
            elif binding.slot == "time":
                restriction.keep_steps(np.flatnonzero(np.isin(cluster.grid.times, values)), reason)
            else:
                restriction.keep_steps(_distinct(values // cluster.grid.cells), reason)
                restriction.keep_cells(_distinct(values % cluster.grid.cells), reason)

    def _relation(self, cluster: Cluster, read: ClusterRead) -> Relation:
        session, grid = self._session, cluster.grid
        columns: dict[str, Column] = {}
        shown: list[str] = []
        conditions: list[str] = []
        texts: dict[str, str] = {}
        for binding in cluster.bindings:
            if not is_variable(binding.term):
                continue
            name = variable_name(binding.term)
            text = f"step * {grid.cells} + cell" if binding.slot == "point" else quoted(binding.slot)
            if name not in columns:
                columns[name], texts[name] = Column(binding.kind), text
                shown.append(f"{text} AS {quoted(name)}")
            elif columns[name].kind == binding.kind:
                conditions.append(f"{texts[name]} = {text}")
            else:
                conditions.append("FALSE")
        for term, value in cluster.constants:
            if not is_variable(term):
                continue
            name, number = variable_name(term), session.table.add(to_ox(URIRef(str(value))))
            if name not in columns:
                columns[name], texts[name] = Column(session.term), f"{number}::BIGINT"
                shown.append(f"{texts[name]} AS {quoted(name)}")
            elif columns[name].kind == session.term:
                conditions.append(f"{texts[name]} = {number}")
            else:
                conditions.append("FALSE")
        slots = {binding.slot for binding in cluster.bindings} - {"point"}
        slots |= {"step", "cell"}
        schema = result_columns(list(cluster.variables.values()), sorted(slots))
        source = session.register_stream(schema, read.batches(schema))
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return Relation(f"SELECT {', '.join(shown) or '1'} FROM {source}{where}", columns)


def _distinct(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return distinct values in order, faster than ``numpy.unique``, which hashes integers."""
    ordered = np.sort(values)
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def _names(clusters: Iterable[Cluster]) -> list[str]:
    terms = [b.term for c in clusters for b in c.bindings] + [term for c in clusters for term, _ in c.constants]
    return list(dict.fromkeys(variable_name(term) for term in terms if is_variable(term)))


def _extent(cluster: Cluster, restriction: Restriction) -> int:
    """Return an upper bound of the solutions of a read; reads of cells only come last."""
    cells = cluster.grid.cells if restriction.cells is None else len(restriction.cells)
    steps = max(1, len(cluster.grid.times)) if restriction.steps is None else len(restriction.steps)
    size = cells * (steps if cluster.timed else 1)
    return size // (10 if restriction.conditions else 1) + (0 if cluster.variables else 1 << 40)


def _has_exists(item: Any) -> bool:
    return isinstance(item, CompValue) and item.name in ("Builtin_EXISTS", "Builtin_NOTEXISTS")


def _value_comparison(item: Any) -> tuple[str, str, float] | None:
    """Return the variable, operator and constant of a comparison that a read can enforce."""
    if not isinstance(item, CompValue) or item.name != "RelationalExpression" or item.op not in FLIPPED:
        return None
    for variable, constant, sign in ((item.expr, item.other, item.op), (item.other, item.expr, FLIPPED[item.op])):
        if (
            is_variable(variable)
            and isinstance(constant, Literal)
            and str(constant.datatype) in NUMBERS
            and sign != "!="
        ):
            number = float(str(constant))
            return (variable_name(variable), sign, number) if np.isfinite(number) else None
    return None


def connected(items: list[set[str]], links: list[set[str]]) -> list[list[int]]:
    """Return the groups of items that share names, directly or through links.

    Parameters
    ----------
    items : list of set of str
        Names of each item.
    links : list of set of str
        Names that belong together though no item has them all.
    """
    groups: list[tuple[set[str], list[int]]] = []
    for index, names in [*enumerate(items), *((-1, link) for link in links if link)]:
        near = [group for group in groups if group[0] & names]
        merged = (
            set(names).union(*(g[0] for g in near)),
            sorted([i for g in near for i in g[1]] + [index] * (index >= 0)),
        )
        groups = [group for group in groups if not any(group is other for other in near)] + [merged]
    return [sorted(numbers) for _, numbers in groups if numbers]
