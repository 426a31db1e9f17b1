"""Algebra back to SPARQL text, for the parts of a query that the vector engine answers."""

from __future__ import annotations

from typing import Any

from rdflib import BNode, Literal, URIRef, Variable
from rdflib.paths import AlternativePath, InvPath, MulPath, NegatedPath, Path, SequencePath
from rdflib.plugins.sparql.parserutils import CompValue

from deepcube.semantics.algebra import exists_pattern
from deepcube.semantics.errors import UnsupportedQueryError

_INFIX = ("RelationalExpression", "AdditiveExpression", "MultiplicativeExpression")
_LOGIC = {"ConditionalAndExpression": "&&", "ConditionalOrExpression": "||"}
_BUILTIN_NAMES = {"sameTerm": "sameTerm"}
_AGGREGATES = {"Count", "Sum", "Avg", "Min", "Max", "Sample", "GroupConcat"}


def term_text(term: Any) -> str:
    """Return a term, variable or property path of a pattern as SPARQL text."""
    if isinstance(term, Variable):
        return f"?{term}"
    if isinstance(term, BNode):
        return f"?_bn_{term}"  # a variable in all but name, and free of the scoping of labels
    if isinstance(term, Path):
        return _path_text(term)
    if isinstance(term, Literal):
        return _literal_text(term)
    return str(term.n3())


def _literal_text(term: Literal) -> str:
    text = str(term).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    if term.language:
        return f'"{text}"@{term.language}'
    return f'"{text}"^^<{term.datatype}>' if term.datatype else f'"{text}"'


def _path_text(path: Any) -> str:
    if isinstance(path, URIRef):
        return str(path.n3())
    if isinstance(path, SequencePath):
        return "(" + "/".join(map(_path_text, path.args)) + ")"
    if isinstance(path, AlternativePath):
        return "(" + "|".join(map(_path_text, path.args)) + ")"
    if isinstance(path, InvPath):
        return f"^({_path_text(path.arg)})"
    if isinstance(path, MulPath):
        return f"({_path_text(path.path)}){path.mod}"
    if isinstance(path, NegatedPath):
        parts = [f"^{_path_text(arg.arg)}" if isinstance(arg, InvPath) else _path_text(arg) for arg in path.args]
        return "!(" + "|".join(parts) + ")"
    raise UnsupportedQueryError(f"The property path {path} is not supported.")


def expression_text(expression: Any) -> str:
    """Return an expression as SPARQL text.

    Raises
    ------
    UnsupportedQueryError
        If it holds a part that has no text.
    """
    if not isinstance(expression, CompValue):
        return term_text(expression)
    name = expression.name
    if name == "TrueFilter":
        return "true"
    if name in _INFIX:
        return _infix_text(expression)
    if name in _LOGIC:
        parts = [expression_text(item) for item in (expression.expr, *expression.other)]
        return "(" + f" {_LOGIC[name]} ".join(parts) + ")"
    if name in ("UnaryNot", "UnaryMinus", "UnaryPlus"):
        return f"({ {'UnaryNot': '!', 'UnaryMinus': '-', 'UnaryPlus': '+'}[name] }{expression_text(expression.expr)})"
    if name == "Function":
        distinct = "DISTINCT " if expression.distinct else ""
        return f"<{expression.iri}>({distinct}{', '.join(map(expression_text, expression.expr or []))})"
    if name in ("Builtin_EXISTS", "Builtin_NOTEXISTS"):
        words = "EXISTS" if name == "Builtin_EXISTS" else "NOT EXISTS"
        return f"({words} {{ {pattern_text(exists_pattern(expression))} }})"
    if name.startswith("Aggregate_"):
        return aggregate_text(expression)
    if name.startswith("Builtin_"):
        word = name.removeprefix("Builtin_")
        arguments: list[str] = []
        for key, value in expression.items():
            if key == "_vars" or value is None:
                continue
            arguments += map(expression_text, value) if isinstance(value, list) else [expression_text(value)]
        return f"{_BUILTIN_NAMES.get(word, word)}({', '.join(arguments)})"
    raise UnsupportedQueryError(f"The expression {name} is not supported.")


def _infix_text(expression: CompValue) -> str:
    left = expression_text(expression.expr)
    if expression.name == "RelationalExpression":
        if expression.op in ("IN", "NOT IN"):
            members = expression.other if isinstance(expression.other, list) else []
            return f"({left} {expression.op} ({', '.join(map(expression_text, members))}))"
        return f"({left} {expression.op} {expression_text(expression.other)})"
    for operator, item in zip(expression.op, expression.other, strict=True):
        right = expression_text(item)
        plain = f"({left} {operator} {right})"
        timely = operator == "+" and not any(_is_number(side) for side in (expression.expr, item))
        # The engine subtracts durations from times but does not add them.
        left = f"COALESCE({plain}, ({left} - (-{right})), ({right} - (-{left})))" if timely else plain
    return left


def _is_number(term: Any) -> bool:
    return isinstance(term, Literal) and term.datatype is not None and "uration" not in term.datatype


def aggregate_text(aggregate: CompValue) -> str:
    """Return a set function, such as ``COUNT(DISTINCT ?x)``, as SPARQL text."""
    word = aggregate.name.removeprefix("Aggregate_")
    if word not in _AGGREGATES:
        raise UnsupportedQueryError(f"The set function {word} is not supported.")
    distinct = "DISTINCT " if aggregate.distinct else ""
    inner = "*" if aggregate.vars == "*" else expression_text(aggregate.vars)
    separator = aggregate.separator
    tail = f" ; SEPARATOR = {_literal_text(Literal(str(separator)))}" if separator is not None else ""
    return f"{'GROUP_CONCAT' if word == 'GroupConcat' else word.upper()}({distinct}{inner}{tail})"


def triples_text(triples: Any) -> str:
    """Return the triples of a basic graph pattern as SPARQL text."""
    return " ".join(f"{term_text(s)} {term_text(p)} {term_text(o)} ." for s, p, o in triples)


def values_text(rows: list[dict[Any, Any]]) -> str:
    """Return inline data as SPARQL text."""
    names: list[Any] = []
    for row in rows:
        names += [name for name in row if name not in names]
    head = " ".join(term_text(name) for name in names)
    body = " ".join(
        "(" + " ".join("UNDEF" if row.get(n, "UNDEF") == "UNDEF" else term_text(row[n]) for n in names) + ")"
        for row in rows
    )
    return f"VALUES ({head}) {{ {body} }}"


def pattern_text(node: CompValue) -> str:
    """Return a pattern as the text of a group, without its braces.

    Raises
    ------
    UnsupportedQueryError
        If it holds a part that has no text.
    """
    name = node.name
    if name == "BGP":
        return triples_text(node.triples)
    if name == "Text":  # what the rewriting of topological relations wrote
        return str(node.text)
    if name == "Join":
        return f"{{ {pattern_text(node.p1)} }} {{ {pattern_text(node.p2)} }}"
    if name == "LeftJoin":
        condition = "" if node.expr.name == "TrueFilter" else f" FILTER({expression_text(node.expr)})"
        right = pattern_text(node.p2)
        if condition and node.p2.name in ("Filter", "Extend"):
            right = f"{{ {right} }}"
        return f"{{ {pattern_text(node.p1)} }} OPTIONAL {{ {right}{condition} }}"
    if name == "Union":
        return f"{{ {pattern_text(node.p1)} }} UNION {{ {pattern_text(node.p2)} }}"
    if name == "Minus":
        return f"{{ {pattern_text(node.p1)} }} MINUS {{ {pattern_text(node.p2)} }}"
    if name == "Filter":
        return f"{{ {pattern_text(node.p)} }} FILTER({expression_text(node.expr)})"
    if name == "Extend":
        return f"{{ {pattern_text(node.p)} }} BIND({expression_text(node.expr)} AS {term_text(node.var)})"
    if name == "Graph":
        return f"GRAPH {term_text(node.term)} {{ {pattern_text(node.p)} }}"
    if name == "ToMultiSet":
        return pattern_text(node.p) if node.p.name == "values" else f"{{ {select_text(node.p)} }}"
    if name == "values":
        return values_text(list(node.res))
    if name == "Group" or name == "AggregateJoin":
        raise UnsupportedQueryError("An aggregate outside a sub-select is not supported here.")
    if name == "ServiceGraphPattern":
        raise UnsupportedQueryError("SERVICE is not supported: this endpoint does not call others.")
    return f"{{ {select_text(node)} }}"


def select_text(node: CompValue) -> str:
    """Return a sub-select as SPARQL text.

    Raises
    ------
    UnsupportedQueryError
        If it holds a part that has no text.
    """
    tail, distinct, names = "", "", None
    if node.name == "Slice":
        tail = (f" LIMIT {node.length}" if node.length is not None else "") + (
            f" OFFSET {node.start}" if node.start else ""
        )
        node = node.p
    if node.name in ("Distinct", "Reduced"):
        distinct, node = f"{node.name.upper()} ", node.p
    if node.name == "Project":
        names, node = node.PV, node.p
    if node.name == "OrderBy":
        conditions = " ".join(f"{item.order or 'ASC'}({expression_text(item.expr)})" for item in node.expr)
        tail, node = f" ORDER BY {conditions}{tail}", node.p
    extends = []
    while node.name == "Extend" and _aggregate_below(node) is not None:
        extends.append((node.var, node.expr))
        node = node.p
    having = []
    core = _aggregate_below(node)
    if core is None:
        shown = "*" if names is None else " ".join(term_text(name) for name in names) or "*"
        return f"SELECT {distinct}{shown} WHERE {{ {pattern_text(node)} }}{tail}"
    while node is not core:
        if node.name == "Filter":
            having.append(node.expr)
        node = node.p
    return _grouped_text(core, extends, having, names or [], distinct, tail)


def _grouped_text(
    core: CompValue, extends: list[Any], having: list[Any], names: list[Any], distinct: str, tail: str
) -> str:
    results = {aggregate.res: aggregate_text(aggregate) for aggregate in core.A}
    samples = {item.res: item.vars for item in core.A if item.name == "Aggregate_Sample" and not item.distinct}
    given = dict(reversed(extends))
    keys = core.p.expr or []
    shown = []
    for name in names:
        expression = given.get(name)
        if expression is None or (isinstance(expression, Variable) and samples.get(expression) == name):
            shown.append(term_text(name))
        else:
            shown.append(f"({_replaced(expression_text(expression), results)} AS {term_text(name)})")
    group = f" GROUP BY {' '.join(term_text(key) for key in keys)}" if keys else ""
    filters = "".join(f" HAVING({_replaced(expression_text(item), results)})" for item in having)
    text = f"SELECT {distinct}{' '.join(shown)} WHERE {{ {pattern_text(core.p.p)} }}{group}{filters}{tail}"
    return _replaced(text, results)


def _replaced(text: str, results: dict[Any, str]) -> str:
    for variable, aggregate in results.items():
        text = text.replace(f"?{variable}", aggregate)
    return text


def _aggregate_below(node: CompValue) -> CompValue | None:
    while node.name in ("Extend", "Filter"):
        node = node.p
    return node if node.name == "AggregateJoin" else None
