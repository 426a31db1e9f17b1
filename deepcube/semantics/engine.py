"""The one call that answers a query over cubes and linked data."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pyoxigraph as ox
from rdflib import BNode, Variable
from rdflib.plugins.sparql.parserutils import CompValue

from deepcube.semantics.algebra import Fresh, absent_words, check_syntax, check_terms, parse, to_ox, variable_name
from deepcube.semantics.clusters import Splitter
from deepcube.semantics.errors import UnknownTermError, UnsupportedQueryError
from deepcube.semantics.evaluate import ORDER, Evaluation
from deepcube.semantics.ontology import ontology_terms
from deepcube.semantics.relation import Relation
from deepcube.semantics.results import Answer, Row
from deepcube.semantics.rewriting import adds_durations, relation_words, rewritten
from deepcube.semantics.roles import RESERVED_WORDS
from deepcube.semantics.scopes import in_scope
from deepcube.semantics.session import Limits, Session, Stop, listed
from deepcube.semantics.source import CubeSource
from deepcube.semantics.spatial import SpatialIndex
from deepcube.semantics.vector import VectorStore

_BATCH = 10_000


class SemanticCube:
    """Cubes and linked data that can be asked together in SPARQL 1.1.

    Parameters
    ----------
    cubes : iterable of CubeSource or path
        Cubes; a path is opened with its default mapping.
    vector : VectorStore, optional
        Linked data; none by default.
    stated_first : bool
        Whether relations and classes that the linked data state something about are taken as stated, and only the
        others computed (see :mod:`deepcube.semantics.rewriting`); by default all relations are computed.

    Examples
    --------
    >>> cube = SemanticCube(["season.zarr"])  # doctest: +SKIP
    >>> for row in cube.query("SELECT (AVG(?v) AS ?mean) WHERE { ?o sosa:observedProperty var:ndvi ;"
    ...                       " sosa:hasSimpleResult ?v }").rows:  # doctest: +SKIP
    ...     print(row)
    """

    def __init__(
        self,
        cubes: Iterable[CubeSource | str | os.PathLike[str]] = (),
        vector: VectorStore | None = None,
        stated_first: bool = False,
    ) -> None:
        self._stated_first = stated_first
        self.cubes = [cube if isinstance(cube, CubeSource) else CubeSource(cube) for cube in cubes]
        self.vector = vector if vector is not None else VectorStore()
        self.splitter = Splitter(self.cubes)
        self._spatial = SpatialIndex()
        self._described = {quad for cube in self.cubes for quad in cube.description()}
        if self._described and not all(quad in self.vector.store for quad in self._described):
            self.vector = self.vector.with_more(self._described)
        self._known = ontology_terms() | self.splitter.roles.measures | self.splitter.roles.classes

    def query(
        self,
        text: str,
        limits: Limits | None = None,
        stop: Stop | None = None,
        explain: bool = False,
        base: str | None = None,
    ) -> Answer:
        """Answer a query.

        Parameters
        ----------
        text : str
            SPARQL 1.1; the prefixes of :data:`deepcube.semantics.vocabulary.PREFIXES` need not be declared.
        limits : Limits, optional
            Bounds.
        stop : Stop, optional
            Lets another thread cancel it; by default only the time limit does.
        explain : bool
            Whether to plan all reads of cubes and do none.
        base : str, optional
            IRI that relative ones are resolved against.

        Returns
        -------
        Answer
            Solutions are made while they are taken; errors may come then, too.

        Raises
        ------
        QuerySyntaxError
            If it is not SPARQL 1.1, or uses an unknown prefix or term.
        UnsupportedQueryError
            If a part of it cannot be answered exactly.
        UnboundedQueryError
            If more would be read than the limits allow.
        QueryStoppedError
            If it was cancelled or its time is over.
        """
        check_syntax(text, base)
        limits = limits or Limits()
        answer = self._answered(text, limits, stop or Stop(limits.seconds), explain, base)
        answer.plan.look = lambda: self._notes(text, base)
        return answer

    def _notes(self, text: str, base: str | None) -> list[str]:
        """Return what may be wrong with a question; nothing of one on linked data alone that has no algebra here."""
        try:
            return absent_words(parse(text, base), self.vector, text)
        except UnsupportedQueryError:
            return []

    def _answered(self, text: str, limits: Limits, stop: Stop, explain: bool, base: str | None) -> Answer:
        if not self.cubes:
            return self._linked_only(text, stop, base)
        algebra = parse(text, base)
        check_terms(algebra, self._known, text)
        session = Session(limits, stop, explain)
        try:
            evaluation = Evaluation(
                session, self.splitter, self.vector, self._spatial, Fresh(), algebra, self._stated_first
            )
            if not evaluation.touches(algebra) and algebra.name != "DescribeQuery":
                session.close()
                return self._linked_only(text, stop, base)
            self._check_reserved()
            if algebra.datasetClause:
                raise UnsupportedQueryError("FROM and FROM NAMED are not supported in a query over observations.")
            return self._answer(evaluation, algebra, text)
        except BaseException:
            session.close()
            raise

    def fits(self, text: str) -> bool:
        """Return whether the cubes have every property and category that a query names."""
        try:
            check_terms(parse(text), self._known, text)
        except UnknownTermError:
            return False
        return True

    def _check_reserved(self) -> None:
        for word in sorted(RESERVED_WORDS):
            if self.vector.has_predicate(word):
                raise UnsupportedQueryError(
                    f"The linked data have triples with <{word}>, which would have to be told from the cube's own "
                    "observations. Load them into a named graph and ask for them with GRAPH."
                )

    def _linked_only(self, text: str, stop: Stop, base: str | None) -> Answer:
        """Answer a query that is about linked data alone."""
        answer = Answer()
        if self._stated_first or relation_words(text) or adds_durations(text):
            text = rewritten(text, base, self.vector.is_silent if self._stated_first else None)
        answer.plan.vector_queries.append(text)
        found = self.vector.query(text, base_iri=base)
        if isinstance(found, ox.QueryBoolean):
            answer.truth = bool(found)
        elif isinstance(found, ox.QueryTriples):
            answer.triples = _checked(found, stop)
        else:
            answer.variables = by_appearance([variable.value for variable in found.variables], text)
            names = answer.variables
            answer.rows = ([row[name] for name in names] for row in _checked(found, stop))
        return answer

    def _answer(self, evaluation: Evaluation, algebra: CompValue, text: str) -> Answer:
        answer = Answer(plan=evaluation.session.plan)
        if algebra.name == "SelectQuery":
            answer.variables = [variable_name(item) for item in algebra.PV]
            if algebra.star:
                answer.variables = by_appearance(in_scope(algebra.p, _projection(algebra.p)), text)
            answer.variables = [name for name in answer.variables if not name.startswith(("_:", "_deepcube_"))]
            rows = self._rows(evaluation, evaluation.select(algebra.p), answer.variables)
            answer.rows = _started(rows) if evaluation.session.explain else rows
        elif algebra.name == "AskQuery":
            relation = evaluation.select(algebra.p)
            one = Relation(f"SELECT 1 FROM ({relation.sql}) LIMIT 1", {})
            answer.truth = next(self._rows(evaluation, one, []), None) is not None
        elif algebra.name == "ConstructQuery":
            answer.triples = self._constructed(evaluation, algebra)
        else:
            raise UnsupportedQueryError("DESCRIBE is supported for linked data only; use CONSTRUCT for observations.")
        return answer

    def _rows(self, evaluation: Evaluation, relation: Relation, names: list[str]) -> Iterator[Row]:
        """Yield solutions as terms and close the session."""
        session = evaluation.session
        try:
            held = [name for name in names if name in relation.columns]
            order = f" ORDER BY {ORDER}" if ORDER in relation.columns else ""
            for batch in session.batches(f"SELECT {listed(held)} FROM ({relation.sql}){order}", _BATCH):
                columns: list[list[Any]] = []
                for name in names:
                    if name not in relation.columns:
                        columns.append([None] * batch.num_rows)
                        continue
                    values = batch.column(held.index(name)).to_pylist()
                    terms = iter(relation.columns[name].kind.decode([x for x in values if x is not None]))
                    columns.append([None if value is None else next(terms) for value in values])
                yield from (
                    (list(row) for row in zip(*columns, strict=True)) if names else ([] for _ in range(batch.num_rows))
                )
        finally:
            session.close()

    def _constructed(self, evaluation: Evaluation, algebra: CompValue) -> Iterator[ox.Triple]:
        relation = evaluation.select(algebra.p)
        names = [name for name in relation.columns if name != ORDER]
        template = algebra.template if algebra.template else _template(algebra.p)
        return _distinct(
            triple
            for number, row in enumerate(self._rows(evaluation, relation, names))
            for triple in _instantiated(template, dict(zip(names, row, strict=True)), number)
        )


def _checked(items: Iterable[Any], stop: Stop) -> Iterator[Any]:
    for i, item in enumerate(items):
        if i % 256 == 0:
            stop.check()
        yield item


def _started(rows: Iterator[Row]) -> Iterator[Row]:
    """Take all rows now, so that a plan is complete."""
    return iter(list(rows))


def by_appearance(names: list[str], text: str) -> list[str]:
    """Return variables in the order of a projection, or for ``SELECT *`` in that of their first appearance."""
    if re.search(r"\bselect\s+(?:distinct\s+|reduced\s+)?\*", text, re.IGNORECASE) is None:
        return names
    places = {name: re.search(rf"[?$]{re.escape(name)}\b", text) for name in names}
    return sorted(names, key=lambda name: found.start() if (found := places[name]) else len(text))


def _projection(node: CompValue) -> CompValue:
    """Return the projection of a select, below its LIMIT and DISTINCT."""
    while node.name != "Project":
        node = node.p
    return node


def _template(pattern: CompValue) -> list[Any]:
    """Return the triples of the short form ``CONSTRUCT WHERE``."""
    while pattern.name in ("Project", "Slice", "OrderBy", "Distinct"):
        pattern = pattern.p
    return list(pattern.triples)


def _instantiated(template: Iterable[Any], solution: dict[str, Any], number: int) -> Iterator[ox.Triple]:
    """Yield the triples of a template for one solution; those with an unbound or impossible term are left out."""

    def value(term: Any) -> Any:
        if isinstance(term, BNode):
            return ox.BlankNode(f"{term}x{number}")
        return solution.get(variable_name(term)) if isinstance(term, Variable) else to_ox(term)

    for parts in template:
        subject, predicate, item = map(value, parts)
        if (
            isinstance(subject, ox.NamedNode | ox.BlankNode)
            and isinstance(predicate, ox.NamedNode)
            and item is not None
        ):
            yield ox.Triple(subject, predicate, item)


def _distinct(triples: Iterable[ox.Triple]) -> Iterator[ox.Triple]:
    """Yield triples without those that just came before; a graph is a set, but remembering all would not be bounded."""
    recent: dict[ox.Triple, None] = {}
    for triple in triples:
        if triple not in recent:
            recent[triple] = None
            if len(recent) > 100_000:
                del recent[next(iter(recent))]
            yield triple
