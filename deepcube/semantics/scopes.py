"""What the variables of a query reach: which a pattern may bind, which it always binds, how often each is mentioned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rdflib import BNode, Variable
from rdflib.plugins.sparql.parserutils import CompValue

from deepcube.semantics.algebra import Node, exists_pattern, variable_name, variables
from deepcube.semantics.errors import UnsupportedQueryError


def in_scope(node: Node, top: Node | None = None) -> list[str]:
    """Return the variables that a pattern may bind (SPARQL 1.1, section 18.2.1).

    Parameters
    ----------
    node : Node
        The pattern.
    top : Node, optional
        The projection of ``SELECT *``, which stands for all variables of what is below it.
    """
    name = node.name
    if name == "BGP":
        return sorted(variables(node.triples))
    if name == "Project" and node is not top:
        return [variable_name(item) for item in node.PV]
    if name == "values":
        return sorted(variables([list(row) for row in node.res]))
    if name in ("Minus",):
        return in_scope(node.p1)
    if name in ("Join", "LeftJoin", "Union"):
        return sorted({*in_scope(node.p1), *in_scope(node.p2)})
    if name == "Extend":
        return sorted({*in_scope(node.p), variable_name(node.var)})
    if name == "Graph":
        return sorted({*in_scope(node.p), *variables(node.term)})
    if name == "AggregateJoin":
        return sorted({*(variable_name(item.res) for item in node.A), *variables(node.p.expr or [])})
    if name == "ServiceGraphPattern":
        raise UnsupportedQueryError("SERVICE is not supported: this endpoint does not call others.")
    return in_scope(node.p, top)


def certain(node: Node) -> set[str]:
    """Return variables that every solution of a pattern binds."""
    name = node.name
    if name == "BGP":
        return variables(node.triples)
    if name == "Join":
        return certain(node.p1) | certain(node.p2)
    if name in ("LeftJoin", "Minus"):
        return certain(node.p1)
    if name == "Union":
        return certain(node.p1) & certain(node.p2)
    if name == "Graph":
        return certain(node.p) | variables(node.term)
    if name == "values":
        rows: list[Mapping[Any, Any]] = list(node.res)
        held = [{variable_name(n) for n, term in row.items() if term != "UNDEF"} for row in rows]
        return set.intersection(*held) if held else set()
    if name == "Project":
        return certain(node.p) & {variable_name(item) for item in node.PV}
    if name == "AggregateJoin":
        return set()
    return certain(node.p) if "p" in node else set()


def mentions(algebra: Node) -> Counter[str] | None:
    """Return how often each variable is mentioned in a query: in patterns, expressions, projections, templates.

    Parameters
    ----------
    algebra : Node
        The whole query.

    Returns
    -------
    Counter of str or None
        A variable that only one pattern mentions may be left out of its solutions, whose number stays. None if the
        query asks for variables without mentioning them: ``SELECT *``, ``CONSTRUCT WHERE``, ``COUNT(DISTINCT *)``.
    """
    if algebra.star or (algebra.name == "ConstructQuery" and not algebra.template):
        return None
    found: Counter[str] = Counter()
    return found if _mention(algebra, found) else None


def _mention(node: Any, found: Counter[str]) -> bool:
    if isinstance(node, Variable | BNode):
        found[variable_name(node)] += 1
    elif isinstance(node, CompValue):
        if node.name == "Aggregate_Count" and node.vars == "*" and node.distinct:
            return False
        if node.name in ("Builtin_EXISTS", "Builtin_NOTEXISTS"):
            return _mention(exists_pattern(node), found)
        return all(_mention(value, found) for key, value in node.items() if key != "_vars")
    elif isinstance(node, dict):
        return all(_mention(item, found) for pair in node.items() for item in pair)
    elif isinstance(node, list | tuple | set | frozenset):
        return all(_mention(item, found) for item in node)
    else:
        found.update(variables(node))
    return True


def refuse_correlated(pattern: Node, outer: set[str]) -> None:
    """Refuse a pattern of EXISTS whose inner filters speak of variables that only the outside binds.

    Parameters
    ----------
    pattern : Node
        What stands in the braces.
    outer : set of str
        Variables of the solutions that are tested.

    Raises
    ------
    UnsupportedQueryError
        If it does.
    """
    for node in _nodes(pattern):
        if node.name in ("Filter", "LeftJoin"):
            foreign = variables(node.expr) - set(in_scope(node))
            if foreign & outer:
                raise UnsupportedQueryError(
                    f"EXISTS whose nested FILTER uses ?{min(foreign & outer)} from outside is supported only if the "
                    "FILTER stands directly in the braces of EXISTS."
                )
        if node.name == "Extend" and (variables(node.expr) - set(in_scope(node.p))) & outer:
            raise UnsupportedQueryError("EXISTS with a BIND that uses variables from outside is not supported.")
        if node.name in ("Minus", "AggregateJoin", "Slice"):
            raise UnsupportedQueryError(f"{node.name} inside EXISTS over observations is not supported.")


def _nodes(node: Any) -> Iterable[Node]:
    if isinstance(node, CompValue):
        yield node
        for key, value in node.items():
            if key != "_vars":
                yield from _nodes(value)
    elif isinstance(node, list | tuple):
        for item in node:
            yield from _nodes(item)
