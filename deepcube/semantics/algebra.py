"""From the text of a query to its algebra: positions of errors, prefixes, unknown terms, variables.

The grammar is checked by the vector engine's parser, which names line and column; the algebra is rdflib's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import pyoxigraph as ox
from rdflib import BNode, Literal, URIRef, Variable
from rdflib.paths import InvPath, Path, SequencePath
from rdflib.plugins.sparql.algebra import translateGroupGraphPattern, translateQuery
from rdflib.plugins.sparql.parser import parseQuery
from rdflib.plugins.sparql.parserutils import CompValue

from deepcube.semantics import vocabulary as v
from deepcube.semantics.errors import QuerySyntaxError, UnknownTermError, UnsupportedQueryError, did_you_mean
from deepcube.semantics.functions import FUNCTIONS
from deepcube.semantics.vector import VectorStore

Node = CompValue
Triple = tuple[Any, Any, Any]

_POSITION = re.compile(r"error at (\d+):(\d+): (.*)", re.S)
_PREFIXED = re.compile(r"(?<![\w<:/#?$\"'.-])([A-Za-z][\w-]*)?:([A-Za-z][\w-]*)?")
_DECLARED = re.compile(r"prefix\s+([A-Za-z][\w.-]*)?:", re.I)
_MASKED = re.compile(r"<[^<>\"{}|^`\\\s]*>|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|#[^\n]*")


def check_syntax(text: str, base: str | None = None, prefixes: Mapping[str, str] = v.PREFIXES) -> None:
    """Check that a text is a SPARQL 1.1 query.

    Parameters
    ----------
    text : str
        The query.
    base : str or None
        IRI that relative ones are resolved against.
    prefixes : mapping of str to str
        Prefixes that it may use without declaring them.

    Raises
    ------
    UnknownTermError
        If it uses a prefix that is not declared.
    QuerySyntaxError
        If it breaks the grammar; the message and the error name line and column.
    """
    try:
        ox.Store().query(text, base_iri=base, prefixes=dict(prefixes), custom_functions=FUNCTIONS)
    except SyntaxError as error:
        _raise_unknown_prefix(text, prefixes)
        match = _POSITION.match(str(error.msg))
        if match is None:
            raise QuerySyntaxError(f"The query is not SPARQL 1.1: {error.msg}") from error
        line, column, reason = int(match.group(1)), int(match.group(2)), match.group(3)
        shown = text.splitlines()[line - 1] if line <= len(text.splitlines()) else ""
        reason = _plain_reason(reason)
        raise QuerySyntaxError(
            f"The query is not SPARQL 1.1: line {line}, column {column}: {reason}\n  {shown}\n  {' ' * (column - 1)}^",
            line,
            column,
        ) from error
    except RuntimeError as error:
        function = re.search(r"custom function <([^>]*)>", str(error))
        if function is None:
            return  # a matter of the data, not of the grammar
        name, known = function.group(1), {item.value for item in FUNCTIONS}
        line = next((i for i, shown in enumerate(text.splitlines(), 1) if re.split(r"[#/]", name)[-1] in shown), 1)
        raise UnknownTermError(
            f"Line {line}: there is no function <{name}>{did_you_mean(name, known)}", line
        ) from error


def _plain_reason(reason: str) -> str:
    """Return what the parser says without its lists of characters."""
    if "SELECT contains an expression with a variable that is unbound" in reason:
        return (
            "the SELECT uses a variable that is neither grouped by nor inside an aggregate; to group by an expression, "
            "write GROUP BY (expression AS ?name) and select ?name"
        )
    reason = re.sub(r",? ?\[[^\[\]]*\]", "", " ".join(reason.split()))
    return reason if len(reason) < 200 else reason[:197] + "..."


def _raise_unknown_prefix(text: str, prefixes: Mapping[str, str]) -> None:
    masked = _MASKED.sub(lambda match: " " * len(match.group(0)), text)
    declared = set(prefixes) | {match.group(1) or "" for match in _DECLARED.finditer(masked)}
    for match in _PREFIXED.finditer(masked):
        prefix = match.group(1) or ""
        if prefix not in declared and prefix != "_":
            line = text.count("\n", 0, match.start()) + 1
            column = match.start() - (text.rfind("\n", 0, match.start()) + 1) + 1
            raise UnknownTermError(
                f"Line {line}, column {column}: the prefix {prefix + ':'!r} is not declared"
                f"{did_you_mean(prefix, declared) or '; declare it with PREFIX'}",
                line,
                column,
            )


@lru_cache(maxsize=128)
def parse(text: str, base: str | None = None) -> Node:
    """Return the algebra of a query whose syntax was checked; the same text has the same algebra, which nobody changes.

    Raises
    ------
    UnsupportedQueryError
        If the algebra cannot be made.
    """
    try:
        parsed = parseQuery(text)
        query = translateQuery(parsed, base=base, initNs=v.PREFIXES)
    except Exception as error:  # rdflib raises bare exceptions of several libraries
        raise UnsupportedQueryError(f"This query cannot be analysed: {error}") from error
    algebra: Node = query.algebra
    algebra["star"] = parsed[1].projection is None  # SELECT *, whose variables rdflib does not tell from others
    return algebra


def check_terms(node: Any, known: Iterable[str], text: str) -> None:
    """Check that every word of our own namespaces exists.

    Parameters
    ----------
    node : Any
        Algebra.
    known : iterable of str
        IRIs of the ontology, the mapped properties and the categories.
    text : str
        The query, to name the line.

    Raises
    ------
    UnknownTermError
        If a word does not exist; the message names near ones.
    """
    words = set(known)
    for iri in sorted(_iris(node)):
        for prefix, namespace in (("var", v.VARIABLE), ("dcube", v.DCUBE)):
            if iri.startswith(namespace) and iri not in words and "/" not in iri.removeprefix(namespace):
                local = iri.removeprefix(namespace)
                locals_ = {word.removeprefix(namespace) for word in words if word.startswith(namespace)}
                line = _line(text, local)
                raise UnknownTermError(f"Line {line}: there is no {prefix}:{local}{did_you_mean(local, locals_)}", line)


def absent_words(node: Any, vector: VectorStore, text: str) -> list[str]:
    """Return what to tell of classes and keys of loaded features that a query names and the linked data do not have.

    No error: that there are none may be the answer.

    Parameters
    ----------
    node : Any
        Algebra.
    vector : VectorStore
        The linked data.
    text : str
        The query, to name the line.
    """
    notes = []
    for iri in sorted(_iris(node)):
        for prefix, namespace in (("feature", v.FEATURE), ("osmkey", v.OSM_KEY)):
            if iri.startswith(namespace) and not vector.mentions(iri):
                local = iri.removeprefix(namespace)
                hint = did_you_mean(local, (word.removeprefix(namespace) for word in vector.words(namespace)))
                notes.append(f"Line {_line(text, local)}: the linked data have no {prefix}:{local}{hint}")
    return notes


def _line(text: str, word: str) -> int:
    return next((i for i, shown in enumerate(text.splitlines(), 1) if word in shown), 1)


def _iris(node: Any) -> set[str]:
    if isinstance(node, URIRef):
        return {str(node)}
    if isinstance(node, Path):
        return _iris(list(vars(node).values()))
    if isinstance(node, CompValue):
        return _iris([value for key, value in node.items() if key != "_vars"])
    if isinstance(node, dict):
        return _iris([*node.keys(), *node.values()])
    if isinstance(node, list | tuple | set | frozenset):
        return set().union(*(_iris(item) for item in node)) if node else set()
    return set()


def variables(node: Any) -> set[str]:
    """Return the names of all variables that occur anywhere in a piece of algebra or an expression."""
    if isinstance(node, Variable | BNode):
        return {variable_name(node)}
    if isinstance(node, CompValue):
        return variables([value for key, value in node.items() if key != "_vars"])
    if isinstance(node, dict):
        return variables([*node.keys(), *node.values()])
    if isinstance(node, list | tuple | set | frozenset):
        return set().union(*(variables(item) for item in node)) if node else set()
    return set()


def variable_name(term: Variable | BNode) -> str:
    """Return the name of a variable; a blank node of a pattern is a variable that nobody can project."""
    return str(term) if isinstance(term, Variable) else f"_:{term}"


def is_variable(term: Any) -> bool:
    """Return whether a term of a pattern is bound by matching it."""
    return isinstance(term, Variable | BNode)


def conjuncts(expression: Any) -> list[Any]:
    """Return the expressions that a filter is the conjunction of."""
    if isinstance(expression, CompValue) and expression.name == "ConditionalAndExpression":
        return [part for item in (expression.expr, *expression.other) for part in conjuncts(item)]
    return [expression]


def exists_pattern(expression: CompValue) -> Node:
    """Return the algebra of the pattern of EXISTS or NOT EXISTS, which rdflib leaves untranslated when nested."""
    graph = expression.graph
    if isinstance(graph, CompValue) and graph.name.startswith("GroupGraphPattern"):
        for part in _parts(graph):
            if part.name == "TriplesBlock":
                part["triples"] = [_triples(item) for item in part.triples]
        expression["graph"] = translateGroupGraphPattern(graph)  # kept, for translating takes the filters away
    return expression.graph


def _parts(graph: CompValue) -> Iterator[CompValue]:
    for part in graph.part or []:
        if isinstance(part, CompValue):
            yield part


def _triples(flat: Any) -> Any:
    from rdflib.plugins.sparql.algebra import translatePath

    return [translatePath(item) or item if isinstance(item, CompValue) else item for item in flat]


class Fresh:
    """Names of variables that no query has."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, hint: str = "x") -> Variable:
        """Return a new variable."""
        self._count += 1
        return Variable(f"_deepcube_{hint}{self._count}")


def expand_paths(triples: Iterable[Triple], fresh: Fresh) -> list[Triple]:
    """Replace sequences and inverses of a pattern by plain triples; other paths stay.

    Parameters
    ----------
    triples : iterable of triple
        Subject, predicate or path, object.
    fresh : Fresh
        Source of names for the things in between.
    """
    result: list[Triple] = []
    for subject, predicate, value in triples:
        if isinstance(predicate, SequencePath):
            ends = [subject, *(fresh("p") for _ in predicate.args[1:]), value]
            steps = zip(ends, predicate.args, ends[1:], strict=False)
            result += expand_paths(steps, fresh)
        elif isinstance(predicate, InvPath):
            result += expand_paths([(value, predicate.arg, subject)], fresh)
        else:
            result.append((subject, predicate, value))
    return result


def path_words(path: Any) -> set[str]:
    """Return the IRIs of all predicates that a property path names."""
    if isinstance(path, URIRef):
        return {str(path)}
    if isinstance(path, Path):
        return set().union(*(path_words(item) for item in vars(path).values()))
    if isinstance(path, list | tuple):
        return set().union(*(path_words(item) for item in path)) if path else set()
    return set()


def to_ox(term: URIRef | Literal) -> ox.NamedNode | ox.Literal:
    """Return a constant of rdflib as one of pyoxigraph, in the store's own lexical form."""
    if isinstance(term, URIRef):
        return ox.NamedNode(str(term))
    if term.language:
        return ox.Literal(str(term), language=term.language)
    if term.datatype is None:
        return ox.Literal(str(term))
    return _canonical(ox.Literal(str(term), datatype=ox.NamedNode(str(term.datatype))))


def _canonical(literal: ox.Literal) -> ox.Literal:
    """Return a literal as the store would return it: it keeps values, not lexical forms, of numbers and times."""
    solutions: Any = ox.Store().query("SELECT (?x AS ?y) WHERE { VALUES ?x { " + str(literal) + " } }")
    value: ox.Literal = next(iter(solutions))["y"]
    return value
