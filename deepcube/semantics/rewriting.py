"""Topological relations as predicates: ``?a geo:sfWithin ?b`` becomes a filter over default geometries.

This is the query rewrite extension of OGC GeoSPARQL (requirements 28 to 30): a relation holds between two things, each
a feature or a geometry, if it is stated or if the geometries stand in it.
"""

from __future__ import annotations

import itertools
from typing import Any

from rdflib import URIRef
from rdflib.plugins.sparql.parserutils import CompValue

from deepcube.semantics import vocabulary as v
from deepcube.semantics.algebra import Fresh, is_variable, parse
from deepcube.semantics.errors import UnsupportedQueryError
from deepcube.semantics.geometry import RELATIONS
from deepcube.semantics.serialise import expression_text, pattern_text, select_text, term_text, triples_text

RELATION_WORDS = frozenset(v.GEO + name for name in RELATIONS)
"""Predicates that are rewritten."""


def relation_words(text: str) -> bool:
    """Return whether a query may use a topological relation as a predicate."""
    return any(f"geo:{name}" in text or f"{v.GEO}{name}" in text for name in RELATIONS)


def rewritten(text: str, base: str | None) -> str:
    """Return a query in which topological relations are computed.

    Parameters
    ----------
    text : str
        A query whose syntax was checked.
    base : str or None
        IRI that relative ones are resolved against.

    Raises
    ------
    UnsupportedQueryError
        If the query cannot be written out again.
    """
    algebra, fresh = parse(text, base), Fresh()
    if not _has_relations(algebra):
        return text
    if algebra.datasetClause:
        raise UnsupportedQueryError("FROM is not supported together with topological relations as predicates.")
    changed = _changed(algebra, fresh)
    if algebra.name == "SelectQuery":
        return select_text(changed.p)
    if algebra.name == "AskQuery":
        return f"ASK {{ {pattern_text(changed.p)} }}"
    if algebra.name == "ConstructQuery" and algebra.template:
        return f"CONSTRUCT {{ {triples_text(algebra.template)} }} WHERE {{ {pattern_text(changed.p)} }}"
    raise UnsupportedQueryError("Topological relations as predicates are not supported in this form of query.")


def _has_relations(node: Any) -> bool:
    if isinstance(node, CompValue):
        if node.name == "BGP" and any(str(p) in RELATION_WORDS for _, p, _ in node.triples):
            return True
        return any(_has_relations(value) for key, value in node.items() if key != "_vars")
    return isinstance(node, list | tuple) and any(map(_has_relations, node))


def _changed(node: Any, fresh: Fresh) -> Any:
    if isinstance(node, CompValue):
        if node.name == "BGP":
            return _pattern(node, fresh)
        return CompValue(
            node.name, **{k: value if k == "_vars" else _changed(value, fresh) for k, value in node.items()}
        )
    if isinstance(node, list):
        return [_changed(item, fresh) for item in node]
    return node


def _pattern(node: CompValue, fresh: Fresh) -> CompValue:
    """Return a pattern joined with one written-out union for each of its relations."""
    plain = [t for t in node.triples if str(t[1]) not in RELATION_WORDS]
    result = CompValue("BGP", triples=plain)
    for subject, predicate, value in node.triples:
        if str(predicate) in RELATION_WORDS:
            text = _relation_text(subject, str(predicate), value, fresh)
            result = CompValue("Join", p1=result, p2=CompValue("Text", text=text, names=[subject, value]))
    return result


def _relation_text(subject: Any, predicate: str, value: Any, fresh: Fresh) -> str:
    """Return a sub-select of the distinct pairs that stand in a relation."""
    function = predicate.replace(v.GEO, v.GEOF)
    one, other = fresh("wkt"), fresh("wkt")
    branches = [triples_text([(subject, URIRef(predicate), value)])]
    for left, right in itertools.product(("feature", "geometry"), repeat=2):
        parts = [_geometry_text(subject, left, one, fresh), _geometry_text(value, right, other, fresh)]
        call = CompValue("Function", iri=URIRef(function), expr=[one, other], distinct=[])
        branches.append(f"{' '.join(parts)} FILTER({expression_text(call)})")
    names = " ".join(term_text(term) for term in dict.fromkeys((subject, value)) if is_variable(term))
    union = " UNION ".join(f"{{ {branch} }}" for branch in branches)
    return f"{{ SELECT DISTINCT {names or '(1 AS ?_holds)'} WHERE {{ {union} }} }}"


def _geometry_text(term: Any, kind: str, literal: Any, fresh: Fresh) -> str:
    node = term
    text = ""
    if kind == "feature":
        node = fresh("geometry")
        text = triples_text([(term, URIRef(v.HAS_DEFAULT_GEOMETRY), node)])
    return f"{text} {term_text(node)} (<{v.AS_WKT}>|<{v.GEO}asGML>) {term_text(literal)} ."
