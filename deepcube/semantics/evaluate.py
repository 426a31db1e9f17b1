"""The algebra of a query, evaluated: groups as joins of cube reads and vector answers, the rest around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from rdflib.paths import AlternativePath
from rdflib.plugins.sparql.parserutils import CompValue

from deepcube.semantics.aggregates import aggregated, ranks
from deepcube.semantics.algebra import (
    Fresh,
    Node,
    Triple,
    conjuncts,
    exists_pattern,
    expand_paths,
    to_ox,
    variable_name,
    variables,
)
from deepcube.semantics.clusters import Alternative, Splitter
from deepcube.semantics.errors import UnboundedQueryError, UnsupportedQueryError
from deepcube.semantics.expressions import Evaluator
from deepcube.semantics.groups import GroupReader, connected
from deepcube.semantics.relating import Relater
from deepcube.semantics.relation import (
    Column,
    Relation,
    empty,
    from_terms,
    join,
    kept_if,
    left_join,
    store,
    union,
    unit,
    values_of,
)
from deepcube.semantics.rewriting import relation_words, rewritten
from deepcube.semantics.scopes import certain, in_scope, mentions, refuse_correlated
from deepcube.semantics.serialise import expression_text, pattern_text, triples_text
from deepcube.semantics.session import Session, listed, quoted
from deepcube.semantics.spatial import SpatialIndex
from deepcube.semantics.terms import BOOLEAN, DATE_TIME, DOUBLE, INTEGER, Kind
from deepcube.semantics.vector import VectorStore

ORDER = "_order"
_SORTABLE: tuple[Kind, ...] = (DOUBLE, INTEGER, DATE_TIME, BOOLEAN)
_EXISTS = ("Builtin_EXISTS", "Builtin_NOTEXISTS")


@dataclass(frozen=True)
class Evaluation:
    """Evaluates the algebra of one query.

    Attributes
    ----------
    session : Session
        Of the query.
    splitter : Splitter
        Tells cubes and linked data apart.
    vector : VectorStore
        Linked data.
    spatial : SpatialIndex
        Cells of geometries.
    fresh : Fresh
        Source of new names.
    algebra : Node
        The whole query.
    stated_first : bool
        Whether relations and classes that the linked data state something about are taken as stated.
    """

    session: Session
    splitter: Splitter
    vector: VectorStore
    spatial: SpatialIndex
    fresh: Fresh
    algebra: Node
    stated_first: bool = False

    @cached_property
    def mentioned(self) -> Counter[str] | None:
        """How often each variable is mentioned in the query; None if what is not mentioned counts, too."""
        return mentions(self.algebra)

    @property
    def expressions(self) -> Evaluator:
        """What evaluates expressions."""
        return Evaluator(self.session, self.vector)

    def touches(self, node: Any) -> bool:
        """Return whether a piece of algebra may match triples of a cube."""
        if isinstance(node, CompValue):
            if node.name == "BGP":
                return self.splitter.roles.touches(expand_paths(node.triples, Fresh()))
            if node.name == "Graph":
                return False  # named graphs hold linked data only
            if node.name in _EXISTS:
                return self.touches(exists_pattern(node))
            return any(self.touches(value) for key, value in node.items() if key != "_vars")
        return isinstance(node, list | tuple) and any(self.touches(item) for item in node)

    def select(self, node: Node, outer: Relation | None = None) -> Relation:
        """Return the solutions of a select, with a column :data:`ORDER` if they are ordered."""
        if node.name in ("SelectQuery", "Reduced"):
            return self.select(node.p, outer)
        if node.name == "Slice":
            inner = self.select(node.p, outer)
            order = f" ORDER BY {ORDER}" if ORDER in inner.columns else ""
            limit = f" LIMIT {node.length}" if node.length is not None else ""
            offset = f" OFFSET {node.start}" if node.start else ""
            return Relation(f"SELECT * FROM ({inner.sql}){order}{limit}{offset}", inner.columns)
        if node.name == "Distinct":
            inner = self.select(node.p, outer)
            names = [name for name in inner.columns if name != ORDER]
            if ORDER in inner.columns:
                group = f" GROUP BY {listed(names)}" if names else ""
                sql = f"SELECT {listed(names)}, min({ORDER}) AS {ORDER} FROM ({inner.sql}){group}"
                return Relation(sql, inner.columns)
            return Relation(f"SELECT DISTINCT {listed(names)} FROM ({inner.sql})", inner.columns)
        if node.name == "Project":
            inner = self.select(node.p, outer)
            wanted = [*map(variable_name, node.PV), ORDER]
            columns = {name: inner.columns[name] for name in dict.fromkeys(wanted) if name in inner.columns}
            return Relation(f"SELECT {listed(list(columns))} FROM ({inner.sql})", columns)
        if node.name == "OrderBy":
            return self._ordered(self.pattern(node.p, [], outer), node.expr)
        return self.pattern(node, [], outer)

    def _ordered(self, relation: Relation, conditions: list[CompValue]) -> Relation:
        session, names, terms = self.session, list(relation.columns), []
        for condition in conditions:
            key = session.name("_key")
            relation = self.expressions.extended(relation, key, condition.expr)
            word = "DESC NULLS LAST" if condition.order == "DESC" else "ASC NULLS FIRST"
            kind = relation.columns[key].kind
            if kind not in _SORTABLE:
                relation = self._ranked(store(session, relation), key, kind)
            terms.append(f"{quoted(key)} {word}")
        sql = (
            f"SELECT {listed(names)}, row_number() OVER (ORDER BY {', '.join(terms)}) AS {ORDER} FROM ({relation.sql})"
        )
        columns = {name: relation.columns[name] for name in names}
        return Relation(sql, columns | {ORDER: Column(INTEGER)})

    def _ranked(self, relation: Relation, key: str, kind: Kind) -> Relation:
        """Replace a column of terms by their places in SPARQL's order."""
        values = values_of(self.session, relation, key)
        if len(values) > self.session.limits.tuples:
            raise UnboundedQueryError(f"ORDER BY would sort {len(values):,} distinct terms. Restrict it.", len(values))
        places = ranks(self.expressions, kind.decode(values.tolist()))
        table = self.session.register(pa.table({"old": values, "place": pa.array(places, pa.int64())}), "ranks")
        names = [name for name in relation.columns if name != key]
        shown = "".join(f"a.{quoted(name)}, " for name in names)
        joined = f"({relation.sql}) a LEFT JOIN {table} b ON a.{quoted(key)} = b.old"
        sql = f"SELECT {shown}b.place AS {quoted(key)} FROM {joined}"
        return Relation(sql, dict(relation.columns) | {key: Column(INTEGER, True)})

    def pattern(self, node: Node, filters: list[Any], outer: Relation | None) -> Relation:
        """Return the solutions of a pattern for which filters are true.

        Parameters
        ----------
        node : Node
            The pattern.
        filters : list
            Expressions that all have to be true.
        outer : Relation or None
            Stored solutions with which those of the pattern are going to be joined: others may be left out.
        """
        self.session.stop.check()
        name = node.name
        if not self.touches(node) and not any(map(self.touches, filters)):
            return self._filtered(self.linked(pattern_text(node), in_scope(node)), filters)
        if name == "Filter":
            return self.pattern(node.p, [*filters, *conjuncts(node.expr)], outer)
        if name in ("BGP", "Join"):
            return self._group(node, filters, outer)
        if name in ("LeftJoin", "Minus"):
            bound = certain(node.p1)
            early = [item for item in filters if not _is_exists(item) and variables(item) <= bound]
            left = store(self.session, self.pattern(node.p1, early, outer))
            rest = [item for item in filters if not any(item is other for other in early)]
            if name == "Minus":
                right = self.pattern(node.p2, [], left if certain(node.p2) else None)
                return self._filtered(kept_if(self.session, left, right, False, minus=True), rest)
            return self._filtered(self._optional(left, node), rest)
        if name == "Union":
            return union(self.session, [self.pattern(part, list(filters), outer) for part in (node.p1, node.p2)])
        if name == "Extend":
            own = variable_name(node.var)
            early = [
                x for x in filters if not _is_exists(x) and own not in variables(x) and variables(x) <= certain(node.p)
            ]
            rest = [item for item in filters if not any(item is other for other in early)]
            inner = self.pattern(node.p, early, outer)
            return self._filtered(self.expressions.extended(inner, own, node.expr), rest)
        if name == "AggregateJoin":
            inner = self.pattern(node.p.p, [], None)
            return self._filtered(aggregated(self.expressions, inner, node.p.expr or [], list(node.A)), filters)
        if name == "ToMultiSet":
            if node.p.name == "values":
                return self._filtered(self._values(list(node.p.res)), filters)
            inner = self.select(node.p)
            columns = {key: column for key, column in inner.columns.items() if key != ORDER}
            return self._filtered(Relation(f"SELECT {listed(list(columns))} FROM ({inner.sql})", columns), filters)
        if name in ("Project", "Distinct", "Reduced", "Slice", "OrderBy"):
            return self._filtered(self.select(node), filters)
        raise UnsupportedQueryError(f"{name} is not supported in a query over observations.")

    def linked(self, text: str, names: Iterable[str]) -> Relation:
        """Return the solutions of a pattern of the vector side."""
        shown = list(dict.fromkeys(names))
        aliases = {name: name if not name.startswith("_:") else f"_bn_{name[2:]}" for name in shown}
        head = " ".join(f"?{alias}" for alias in aliases.values()) or "(1 AS ?_one)"
        query = f"SELECT {head} WHERE {{ {text} }}"
        if self.stated_first or relation_words(query):  # relations inside GRAPH, and classes
            query = rewritten(query, None, self.vector.is_silent if self.stated_first else None)
        self.session.plan.vector_queries.append(query)
        solutions = self.vector.query(query)
        order = [aliases[name] for name in shown]
        return from_terms(self.session, shown, ([row[name] for name in order] for row in solutions))

    def _values(self, rows: list[dict[Any, Any]]) -> Relation:
        names = list(dict.fromkeys(name for row in rows for name in row))
        terms: list[list[Any]] = [
            [None if row.get(n, "UNDEF") == "UNDEF" else to_ox(row[n]) for n in names] for row in rows
        ]
        return from_terms(self.session, [variable_name(name) for name in names], terms)

    def _optional(self, left: Relation, node: Node) -> Relation:
        conditions = [] if node.expr.name == "TrueFilter" else conjuncts(node.expr)
        if not conditions:
            return left_join(self.session, left, self.pattern(node.p2, [], left))
        bound = certain(node.p2)
        inner = [item for item in conditions if not _is_exists(item) and variables(item) <= bound]
        across = [item for item in conditions if not any(item is other for other in inner)]
        right = self.pattern(node.p2, inner, left)
        if not across:
            return left_join(self.session, left, right)
        row = self.session.name("_row")
        numbered = store(
            self.session,
            Relation(
                f"SELECT *, row_number() OVER () AS {row} FROM ({left.sql})",
                dict(left.columns) | {row: Column(INTEGER)},
            ),
        )
        matched = store(self.session, self._filtered(join(self.session, numbered, right), across))
        lonely = Relation(
            f"SELECT * FROM ({numbered.sql}) WHERE {row} NOT IN (SELECT {row} FROM ({matched.sql}))", numbered.columns
        )
        both = union(self.session, [matched, lonely])
        columns = {name: column for name, column in both.columns.items() if name != row}
        return Relation(f"SELECT {listed(list(columns))} FROM ({both.sql})", columns)

    def _filtered(self, relation: Relation, filters: list[Any]) -> Relation:
        for item in filters:
            if _is_exists(item):
                relation = self._exists(relation, item)
            elif not (isinstance(item, CompValue) and item.name == "TrueFilter"):
                relation = self.expressions.filtered(relation, item)
        return relation

    def _exists(self, relation: Relation, item: CompValue) -> Relation:
        """Keep the solutions that a pattern, in which their values are substituted, has a solution for or has none."""
        pattern, wanted = exists_pattern(item), item.name == "Builtin_EXISTS"
        outer = store(self.session, relation)
        conditions: list[Any] = []
        while pattern.name == "Filter":
            conditions += conjuncts(pattern.expr)
            pattern = pattern.p
        scope = set(in_scope(pattern))
        refuse_correlated(pattern, set(outer.columns))
        inner = [x for x in conditions if not _is_exists(x) and variables(x) <= scope]
        across = [x for x in conditions if not any(x is other for other in inner)]
        right = self.pattern(pattern, inner, outer)
        if not across:
            return kept_if(self.session, outer, right, wanted)
        row = self.session.name("_row")
        numbered = store(
            self.session,
            Relation(
                f"SELECT *, row_number() OVER () AS {row} FROM ({outer.sql})",
                dict(outer.columns) | {row: Column(INTEGER)},
            ),
        )
        matched = store(self.session, self._filtered(join(self.session, numbered, right), across))
        word = "IN" if wanted else "NOT IN"
        sql = (
            f"SELECT {listed(list(outer.columns))} FROM ({numbered.sql}) WHERE {row} {word} "
            f"(SELECT {row} FROM ({matched.sql}))"
        )
        return Relation(sql, outer.columns)

    def _group(self, node: Node, filters: list[Any], outer: Relation | None) -> Relation:
        triples, parts = _flattened(node)
        private = self._private(triples)
        triples = expand_paths(triples, self.fresh)
        for index, (subject, path, value) in enumerate(triples):
            if isinstance(path, AlternativePath) and self.splitter.roles.concerns(path):
                steps = [[*triples[:index], (subject, arg, value), *triples[index + 1 :]] for arg in path.args]
                ways = [_with_triples(step, parts) for step in steps]
                return union(self.session, [self._group(way, list(filters), outer) for way in ways])
        done = [store(self.session, self.pattern(part, [], outer)) for part in parts if self.touches(part)]
        linked = [part for part in parts if not self.touches(part)]
        kinds: dict[str, Kind] = {}
        for relation in [*([outer] if outer is not None else []), *done]:
            kinds |= {name: column.kind for name, column in relation.columns.items() if not column.nullable}
        for part in linked:
            kinds |= dict.fromkeys(certain(part) - set(kinds), self.session.term)
        if self.splitter.roles.touches(triples):
            alternatives = self.splitter.split(triples, kinds)
        else:
            alternatives = [Alternative([], triples)]
        if not alternatives:
            return empty(self.session, sorted(variables(triples)))
        found = [self._alternative(item, linked, done, list(filters), outer) for item in alternatives]
        if len(found) > 1:
            found = [self._without(relation, private) for relation in found]
        return union(self.session, found)

    def _private(self, triples: list[Triple]) -> set[str]:
        """Return the variables of a group's triples that nothing else in the query speaks of."""
        if self.mentioned is None:
            return set()
        own = Counter(name for triple in triples for term in triple for name in variables(term))
        return {name for name, times in own.items() if times == self.mentioned[name]}

    def _without(self, relation: Relation, names: set[str]) -> Relation:
        """Leave out columns: in a union they would have to be told from those of other kinds, for nobody."""
        columns = {name: column for name, column in relation.columns.items() if name not in names}
        return Relation(f"SELECT {listed(list(columns)) if columns else '1'} FROM ({relation.sql})", columns)

    def _alternative(
        self,
        alternative: Alternative,
        linked: list[Node],
        done: list[Relation],
        filters: list[Any],
        outer: Relation | None,
    ) -> Relation:
        answers, filters = self._vector_answers(alternative.triples, linked, filters)
        known = [*answers, *done, *([outer] if outer is not None else [])]
        grids = self.splitter.roles.grids
        relater = Relater(self.session, self.vector, self.spatial, grids, self.stated_first)
        apart = [item for item in alternative.related if item.ours == (None, None)]
        answers += [relater.of_terms(item, known) for item in apart]
        reader = GroupReader(relater)
        relations, filters = reader.read(alternative.clusters, alternative.related, [*answers, *done], filters, outer)
        relations = [*relations, *answers, *done]
        result = relations.pop(0) if relations else unit(self.session)
        while relations:
            near = next((r for r in relations if set(r.columns) & set(result.columns)), relations[0])
            relations = [r for r in relations if r is not near]
            result = join(self.session, result, near)
        return self._filtered(result, filters)

    def _vector_answers(
        self, triples: list[Triple], parts: list[Node], filters: list[Any]
    ) -> tuple[list[Relation], list[Any]]:
        """Answer the linked-data parts of a group, each connected piece by one query; return the filters left."""
        items: list[tuple[str, set[str], set[str]]] = [
            (triples_text([t]), variables(list(t)), variables(list(t))) for t in triples
        ]
        items += [(pattern_text(part), set(in_scope(part)), certain(part)) for part in parts]
        scope = set().union(*(names for _, names, _ in items)) if items else set()
        bound = set().union(*(names for _, _, names in items)) if items else set()
        own = [x for x in filters if variables(x) and variables(x) <= bound and not self.touches(x)]
        links = [scope_of & scope for scope_of in map(variables, own)]
        answers = []
        for group in connected([names for _, names, _ in items], links):
            names = sorted(set().union(*(items[i][1] for i in group)))
            texts = [items[i][0] for i in group]
            texts = [f"{{ {text} }}" if i >= len(triples) else text for i, text in zip(group, texts, strict=True)]
            texts += [f"FILTER({expression_text(x)})" for x in own if variables(x) <= set(names)]
            answers.append(self.linked(" ".join(texts), names))
        return answers, [item for item in filters if not any(item is other for other in own)]


def _is_exists(item: Any) -> bool:
    return isinstance(item, CompValue) and item.name in _EXISTS


def _with_triples(triples: list[Triple], parts: list[Node]) -> Node:
    """Return a group of triples and other patterns."""
    node = CompValue("BGP", triples=triples)
    for part in parts:
        node = CompValue("Join", p1=node, p2=part)
    return node


def _flattened(node: Node) -> tuple[list[Triple], list[Node]]:
    if node.name == "BGP":
        return list(node.triples), []
    if node.name == "Join":
        left, right = _flattened(node.p1), _flattened(node.p2)
        return left[0] + right[0], left[1] + right[1]
    return [], [node]
