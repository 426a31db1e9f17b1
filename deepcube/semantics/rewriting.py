"""Topological relations as predicates: ``?a geo:sfWithin ?b`` becomes a filter over default geometries.

This is the query rewrite extension of OGC GeoSPARQL (requirements 28 to 30): a relation holds between two things, each
a feature or a geometry, if it is stated or if the geometries stand in it.

With *stated first*, what the data state is taken as they state it, and only what they are silent about is computed: a
relation of a thing of which they state none of its kind, and the members of a class of which they state none
(``rdfs:subClassOf``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from rdflib import URIRef
from rdflib.plugins.sparql.parserutils import CompValue

from deepcube.semantics import vocabulary as v
from deepcube.semantics.algebra import Fresh, is_variable, parse
from deepcube.semantics.errors import UnsupportedQueryError
from deepcube.semantics.geometry import RELATION_WORDS, RELATIONS
from deepcube.semantics.serialise import expression_text, pattern_text, select_text, term_text, triples_text

Silent = Callable[[str], bool] | None


def relation_words(text: str) -> bool:
    """Return whether a query may use a topological relation as a predicate."""
    return any(f"geo:{name}" in text or f"{v.GEO}{name}" in text for name in RELATIONS)


def adds_durations(text: str) -> bool:
    """Return whether a query may add a duration to a time, which has to be written otherwise for the vector engine."""
    return "+" in text and "uration" in text


def rewritten(text: str, base: str | None, silent: Callable[[str], bool] | None = None) -> str:
    """Return a query in which topological relations are computed and durations can be added to times.

    Parameters
    ----------
    text : str
        A query whose syntax was checked.
    base : str or None
        IRI that relative ones are resolved against.
    silent : callable, optional
        For *stated first*: tells of a class whether the data state no members of it.

    Raises
    ------
    UnsupportedQueryError
        If the query cannot be written out again.
    """
    algebra, fresh = parse(text, base), Fresh()
    if not _has_relations(algebra, silent):
        if not adds_durations(text) or algebra.datasetClause or algebra.name not in ("SelectQuery", "AskQuery"):
            return text
    elif algebra.datasetClause:
        raise UnsupportedQueryError("FROM is not supported together with topological relations as predicates.")
    changed = _changed(algebra, fresh, silent)
    if algebra.name == "SelectQuery":
        return select_text(changed.p)
    if algebra.name == "AskQuery":
        return f"ASK {{ {pattern_text(changed.p)} }}"
    if algebra.name == "ConstructQuery" and algebra.template:
        return f"CONSTRUCT {{ {triples_text(algebra.template)} }} WHERE {{ {pattern_text(changed.p)} }}"
    raise UnsupportedQueryError("Topological relations as predicates are not supported in this form of query.")


def _is_computed(triple: Any, silent: Silent) -> bool:
    """Return whether a triple is one that may have to be computed or inferred."""
    _, predicate, value = triple
    if str(predicate) in RELATION_WORDS:
        return True
    return silent is not None and str(predicate) == v.A and isinstance(value, URIRef) and silent(str(value))


def _has_relations(node: Any, silent: Silent) -> bool:
    if isinstance(node, CompValue):
        if node.name == "BGP" and any(_is_computed(triple, silent) for triple in node.triples):
            return True
        return any(_has_relations(value, silent) for key, value in node.items() if key != "_vars")
    return isinstance(node, list | tuple) and any(_has_relations(item, silent) for item in node)


def _changed(node: Any, fresh: Fresh, silent: Silent) -> Any:
    if isinstance(node, CompValue):
        if node.name == "BGP":
            return _pattern(node, fresh, silent)
        parts = {k: value if k == "_vars" else _changed(value, fresh, silent) for k, value in node.items()}
        return CompValue(node.name, **parts)
    if isinstance(node, list):
        return [_changed(item, fresh, silent) for item in node]
    return node


def _pattern(node: CompValue, fresh: Fresh, silent: Silent) -> CompValue:
    """Return a pattern joined with one written-out sub-select for each triple that is computed."""
    plain = [triple for triple in node.triples if not _is_computed(triple, silent)]
    result = CompValue("BGP", triples=plain)
    for triple in node.triples:
        if _is_computed(triple, silent):
            if str(triple[1]) == v.A:
                text = _class_text(*triple)
            else:
                ends = [term for term in (triple[0], triple[2]) if is_variable(term)]
                text = _relation_text(triple, fresh, silent is not None, [other for other in plain if other[0] in ends])
            result = CompValue("Join", p1=result, p2=CompValue("Text", text=text))
    return result


def _class_text(subject: Any, predicate: Any, value: Any) -> str:
    """Return a sub-select of the distinct members of the classes below one."""
    name = term_text(subject) if is_variable(subject) else "(1 AS ?_holds)"
    path = f"<{v.A}>/<{v.RDFS}subClassOf>*"
    return f"{{ SELECT DISTINCT {name} WHERE {{ {term_text(subject)} {path} {term_text(value)} . }} }}"


def _relation_text(triple: Any, fresh: Fresh, stated_first: bool, said: list[Any]) -> str:
    """Return a sub-select of the distinct pairs that stand in a relation and of which other triples hold.

    What else the pattern says of the two is said again inside, for all features are too many to be compared.
    """
    subject, predicate, value = triple
    one, other = fresh("wkt"), fresh("wkt")
    branches = [triples_text([triple])]
    call = CompValue("Function", iri=URIRef(str(predicate).replace(v.GEO, v.GEOF)), expr=[one, other], distinct=[])
    silence = f" FILTER NOT EXISTS {{ {triples_text([(subject, predicate, fresh('any'))])} }}" if stated_first else ""
    for left, right in itertools.product(("feature", "geometry"), repeat=2):
        parts = [_geometry_text(subject, left, one, fresh), _geometry_text(value, right, other, fresh)]
        branches.append(f"{' '.join(parts)} FILTER({expression_text(call)}){silence}")
    names = " ".join(term_text(term) for term in dict.fromkeys((subject, value)) if is_variable(term))
    union = " UNION ".join(f"{{ {triples_text(said)} {branch} }}" for branch in branches)
    return f"{{ SELECT DISTINCT {names or '(1 AS ?_holds)'} WHERE {{ {union} }} }}"


def _geometry_text(term: Any, kind: str, literal: Any, fresh: Fresh) -> str:
    node = term
    text = ""
    if kind == "feature":
        node = fresh("geometry")
        text = triples_text([(term, URIRef(v.HAS_DEFAULT_GEOMETRY), node)])
    return f"{text} {term_text(node)} (<{v.AS_WKT}>|<{v.GEO}asGML>) {term_text(literal)} ."
