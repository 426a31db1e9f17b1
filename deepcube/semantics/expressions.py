"""Expressions over solutions: SQL where the kinds of the columns allow it exactly, the vector engine elsewhere.

SQL's NULL stands for both an unbound variable and an error, which SPARQL treats alike: three-valued logic is the same
in both languages (SPARQL 1.1, section 17.2). What has no exact SQL is evaluated by the vector engine, once for every
distinct combination of the values that it depends on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyoxigraph as ox
from rdflib import Literal, URIRef, Variable
from rdflib.plugins.sparql.parserutils import CompValue

from deepcube.semantics import vocabulary as v
from deepcube.semantics.algebra import conjuncts, is_variable, to_ox, variable_name, variables
from deepcube.semantics.errors import UnboundedQueryError, UnsupportedQueryError
from deepcube.semantics.relation import Column, Relation, distinct, store
from deepcube.semantics.serialise import expression_text
from deepcube.semantics.session import Session, listed, quoted
from deepcube.semantics.terms import BOOLEAN, DATE_TIME, DOUBLE, INTEGER, IriKind, Kind, Term, TermKind
from deepcube.semantics.vector import VectorStore

_NUMERIC = (DOUBLE, INTEGER)
_COMPARISONS = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_PARTS = {"YEAR": "year", "MONTH": "month", "DAY": "day", "HOURS": "hour", "MINUTES": "minute"}
_BATCH = 20_000
_BLANK_SENSITIVE = ("Builtin_isBLANK", "Builtin_isIRI", "Builtin_isURI", "Builtin_STR", "Builtin_isLITERAL")


class _NeedsEngineError(Exception):
    """An expression has no exact SQL."""


@dataclass(frozen=True)
class _Sql:
    text: str
    kind: Kind


@dataclass(frozen=True)
class Evaluator:
    """Evaluates the expressions of one query.

    Attributes
    ----------
    session : Session
        Of the query.
    vector : VectorStore
        Engine for what has no SQL.
    """

    session: Session
    vector: VectorStore

    def filtered(self, relation: Relation, expression: Any) -> Relation:
        """Return the solutions for which an expression is true."""
        parts = []
        for part in conjuncts(expression):
            relation, sql = self._boolean(relation, part)
            parts.append(sql)
        names = [name for name in relation.columns if not name.startswith("_value")]
        return Relation(
            f"SELECT {listed(names)} FROM ({relation.sql}) WHERE {' AND '.join(parts)}",
            {name: relation.columns[name] for name in names},
        )

    def extended(self, relation: Relation, name: str, expression: Any) -> Relation:
        """Return the solutions with one more variable, the value of an expression: BIND."""
        relation, sql = self._value(relation, expression)
        names = [other for other in relation.columns if not other.startswith("_value") and other != name]
        shown = "".join(f"{quoted(other)}, " for other in names)
        columns = {other: relation.columns[other] for other in names} | {name: Column(sql.kind, True)}
        if is_variable(expression) and variable_name(expression) in relation.columns:
            columns[name] = relation.columns[variable_name(expression)]
        return Relation(f"SELECT {shown}{sql.text} AS {quoted(name)} FROM ({relation.sql})", columns)

    def _value(self, relation: Relation, expression: Any) -> tuple[Relation, _Sql]:
        try:
            return relation, self._compile(relation, expression)
        except _NeedsEngineError:
            return self._by_engine(relation, expression, False)

    def _boolean(self, relation: Relation, expression: Any) -> tuple[Relation, str]:
        """Return the effective boolean value of an expression as SQL."""
        if isinstance(expression, CompValue) and expression.name in (
            "ConditionalOrExpression",
            "ConditionalAndExpression",
        ):
            word, texts = ("OR" if "Or" in expression.name else "AND"), []
            for item in (expression.expr, *expression.other):
                relation, text = self._boolean(relation, item)
                texts.append(text)
            return relation, f"({f' {word} '.join(texts)})"
        if isinstance(expression, CompValue) and expression.name == "UnaryNot":
            relation, text = self._boolean(relation, expression.expr)
            return relation, f"(NOT {text})"
        try:
            return relation, _effective(self._compile(relation, expression))
        except _NeedsEngineError:
            relation, sql = self._by_engine(relation, expression, True)
            return relation, sql.text

    def _compile(self, relation: Relation, expression: Any) -> _Sql:
        if is_variable(expression):
            name = variable_name(expression)
            if name not in relation.columns:
                return _Sql("NULL::BIGINT", self.session.term)
            return _Sql(quoted(name), relation.columns[name].kind)
        if isinstance(expression, URIRef | Literal):
            return self._constant(expression)
        if not isinstance(expression, CompValue):
            raise _NeedsEngineError
        name = expression.name
        if name == "TrueFilter":
            return _Sql("TRUE", BOOLEAN)
        if name == "RelationalExpression":
            return self._comparison(relation, expression)
        if name in ("AdditiveExpression", "MultiplicativeExpression"):
            return self._arithmetic(relation, expression)
        if name in ("ConditionalOrExpression", "ConditionalAndExpression"):
            word = "OR" if "Or" in name else "AND"
            parts = [_effective(self._compile(relation, item)) for item in (expression.expr, *expression.other)]
            return _Sql(f"({f' {word} '.join(parts)})", BOOLEAN)
        if name == "UnaryNot":
            return _Sql(f"(NOT {_effective(self._compile(relation, expression.expr))})", BOOLEAN)
        if name == "UnaryMinus":
            value = self._number(relation, expression.expr)
            return _Sql(f"(-{value.text})", value.kind)
        if name.startswith("Builtin_"):
            return self._builtin(relation, name.removeprefix("Builtin_"), expression)
        if name == "Function" and str(expression.iri) == v.XSD + "double" and len(expression.expr) == 1:
            return _Sql(f"{self._number(relation, expression.expr[0]).text}::DOUBLE", DOUBLE)
        raise _NeedsEngineError

    def _constant(self, term: URIRef | Literal) -> _Sql:
        constant = to_ox(term)
        for kind in (DOUBLE, INTEGER, BOOLEAN, DATE_TIME):
            value = kind.encode(constant)
            if value is not None:
                if kind is DOUBLE and not np.isfinite(value):
                    raise _NeedsEngineError
                return _Sql(f"{str(value).upper() if kind is BOOLEAN else repr(value)}::{kind.sql}", kind)
        if isinstance(constant, ox.Literal) and constant.datatype.value == v.XSD + "decimal":
            return _Sql(constant.value, _DECIMAL)
        return _Sql(f"{self.session.table.add(constant)}::BIGINT", self.session.term)

    def _number(self, relation: Relation, expression: Any) -> _Sql:
        value = self._compile(relation, expression)
        if value.kind not in _NUMERIC and value.kind is not _DECIMAL:
            raise _NeedsEngineError
        return value

    def _comparison(self, relation: Relation, expression: CompValue) -> _Sql:
        if expression.op in ("IN", "NOT IN"):
            members = expression.other if isinstance(expression.other, list) else []
            parts = [self._compared("=", relation, expression.expr, member).text for member in members]
            text = f"({' OR '.join(parts)})" if parts else "FALSE"
            return _Sql(text if expression.op == "IN" else f"(NOT {text})", BOOLEAN)
        return self._compared(expression.op, relation, expression.expr, expression.other)

    def _compared(self, operator: str, relation: Relation, left: Any, right: Any) -> _Sql:
        a, b = self._compile(relation, left), self._compile(relation, right)
        word = _COMPARISONS[operator]
        numbers = [side.kind in _NUMERIC or side.kind is _DECIMAL for side in (a, b)]
        if all(numbers):
            x, y = a.text, b.text
            if DOUBLE in (a.kind, b.kind):
                x, y = f"{x}::DOUBLE", f"{y}::DOUBLE"
            text = f"({x} {word} {y})"
            computed = [s for s, side in ((x, left), (y, right)) if isinstance(side, CompValue)]
            if computed and DOUBLE in (a.kind, b.kind):  # NaN equals nothing, and SQL has it otherwise
                tests = " OR ".join(f"isnan({item})" for item in computed)
                text = f"CASE WHEN {tests} THEN {'TRUE' if operator == '!=' else 'FALSE'} ELSE {text} END"
            return _Sql(text, BOOLEAN)
        if a.kind == b.kind == DATE_TIME:
            return _Sql(f"({a.text} {word} {b.text})", BOOLEAN)
        if operator in ("=", "!="):
            same_things = a.kind == b.kind and (isinstance(a.kind, IriKind) or a.kind == BOOLEAN)
            constant = isinstance(left, URIRef) or isinstance(right, URIRef)
            if same_things or (constant and isinstance(a.kind, TermKind) and isinstance(b.kind, TermKind)):
                return _Sql(f"({a.text} {word} {b.text})", BOOLEAN)
        raise _NeedsEngineError

    def _arithmetic(self, relation: Relation, expression: CompValue) -> _Sql:
        result = self._number(relation, expression.expr)
        for operator, item in zip(expression.op, expression.other, strict=True):
            other = self._number(relation, item)
            if DOUBLE in (result.kind, other.kind):
                result = _Sql(f"({result.text}::DOUBLE {operator} {other.text}::DOUBLE)", DOUBLE)
            elif result.kind == other.kind == INTEGER and operator != "/":
                result = _Sql(f"({result.text} {operator} {other.text})", INTEGER)
            else:
                raise _NeedsEngineError  # xsd:decimal
        return result

    def _builtin(self, relation: Relation, name: str, expression: CompValue) -> _Sql:
        if name == "BOUND":
            return _Sql(f"({self._compile(relation, expression.arg).text} IS NOT NULL)", BOOLEAN)
        if name == "IF":
            test = _effective(self._compile(relation, expression.arg1))
            then, other = self._compile(relation, expression.arg2), self._compile(relation, expression.arg3)
            if then.kind != other.kind or then.kind is _DECIMAL:
                raise _NeedsEngineError
            return _Sql(f"CASE WHEN {test} THEN {then.text} WHEN NOT {test} THEN {other.text} END", then.kind)
        if name == "COALESCE":
            parts = [self._compile(relation, item) for item in expression.arg]
            if len({part.kind for part in parts}) != 1 or parts[0].kind is _DECIMAL:
                raise _NeedsEngineError
            return _Sql(f"coalesce({', '.join(part.text for part in parts)})", parts[0].kind)
        if name in _PARTS:
            value = self._compile(relation, expression.arg)
            if value.kind != DATE_TIME:
                raise _NeedsEngineError
            return _Sql(f"extract({_PARTS[name]} FROM make_timestamp({value.text}))::BIGINT", INTEGER)
        if name in ("ABS", "CEIL", "FLOOR", "ROUND"):
            value = self._number(relation, expression.arg)
            if value.kind is _DECIMAL or (value.kind is INTEGER and name != "ABS"):
                raise _NeedsEngineError
            if name == "ROUND":
                return _Sql(f"floor({value.text} + 0.5::DOUBLE)", DOUBLE)
            return _Sql(f"{name.lower()}({value.text})", value.kind)
        raise _NeedsEngineError

    def _by_engine(self, relation: Relation, expression: Any, boolean: bool) -> tuple[Relation, _Sql]:
        """Add the value of an expression to solutions by asking the vector engine for every distinct input."""
        session = self.session
        _refuse_exists(expression)
        relation = store(session, relation)
        names = sorted(variables(expression) & set(relation.columns))
        if not names:
            result = self.evaluate_rows(expression, [], [[]], boolean)
            number = result[0] if boolean else None if result[0] is None else session.table.add(result[0])
            kind: Kind = BOOLEAN if boolean else session.term
            return relation, _Sql("NULL" if number is None else f"{number}::{kind.sql}", kind)
        table = distinct(session, relation, names)
        size = table.num_rows
        if size > session.limits.tuples:
            raise UnboundedQueryError(
                f"The expression {expression_text(expression)} has no columnar form and would be evaluated "
                f"{size:,} times, more than {session.limits.tuples:,}. Restrict the query first.",
                size,
            )
        columns = [self._decoded(table.column(i), relation.columns[name].kind) for i, name in enumerate(names)]
        session.plan.steps.append(f"{expression_text(expression)} for {size:,} distinct inputs by the vector engine")
        rows = [list(row) for row in zip(*columns, strict=True)]
        result = self.evaluate_rows(expression, names, rows, boolean)
        values = pa.array(result, pa.bool_()) if boolean else pa.array(session.table.add_all(result), pa.int64())
        alias = session.name("_value")
        mapping = session.register(table.append_column(alias, values), "values")
        on = " AND ".join(f"a.{quoted(name)} IS NOT DISTINCT FROM b.{quoted(name)}" for name in names)
        sql = f"SELECT a.*, b.{quoted(alias)} FROM ({relation.sql}) a LEFT JOIN {mapping} b ON {on}"
        kind = BOOLEAN if boolean else session.term
        return Relation(sql, dict(relation.columns) | {alias: Column(kind, True)}), _Sql(quoted(alias), kind)

    def _decoded(self, column: Any, kind: Kind) -> list[Term | None]:
        values = column.to_pylist()
        terms = iter(kind.decode([value for value in values if value is not None]))
        return [None if value is None else next(terms) for value in values]

    def evaluate_rows(
        self, expression: Any, names: list[str], rows: list[list[Term | None]], boolean: bool = False
    ) -> list[Any]:
        """Evaluate an expression for rows of terms.

        Parameters
        ----------
        expression : Any
            Algebra of the expression.
        names : list of str
            Variables of the columns.
        rows : list of list of term or None
            Values; None is unbound.
        boolean : bool
            Whether the effective boolean value is wanted rather than the term.

        Returns
        -------
        list
            A term, or a bool if ``boolean``, for each row; None for an error.
        """
        return evaluate_rows(self.session, self.vector, expression, names, rows, boolean)


class _DecimalKind(Kind):
    """A constant of ``xsd:decimal``; never a column."""

    sql = "DECIMAL"


_DECIMAL = _DecimalKind()


def _effective(value: _Sql) -> str:
    """Return the effective boolean value (SPARQL 1.1, section 17.2.2) of a compiled expression."""
    if value.kind == BOOLEAN:
        return value.text
    if value.kind == INTEGER:
        return f"({value.text} <> 0)"
    if value.kind == DOUBLE:
        return f"({value.text} <> 0 AND NOT isnan({value.text}))"
    raise _NeedsEngineError


def _refuse_exists(expression: Any) -> None:
    if isinstance(expression, CompValue):
        if expression.name in ("Builtin_EXISTS", "Builtin_NOTEXISTS"):
            raise UnsupportedQueryError(
                "EXISTS over observations is supported as a condition of its own in a FILTER, not inside another "
                "expression."
            )
        for key, value in expression.items():
            if key != "_vars":
                _refuse_exists(value)
    elif isinstance(expression, list):
        for item in expression:
            _refuse_exists(item)


def _uses(expression: Any, names: tuple[str, ...]) -> bool:
    if isinstance(expression, CompValue):
        return expression.name in names or any(_uses(x, names) for k, x in expression.items() if k != "_vars")
    return isinstance(expression, list) and any(_uses(item, names) for item in expression)


def evaluate_rows(
    session: Session,
    vector: VectorStore,
    expression: Any,
    names: list[str],
    rows: list[list[Term | None]],
    boolean: bool = False,
) -> list[Any]:
    """Evaluate an expression for rows of terms by the vector engine; see :meth:`Evaluator.evaluate_rows`."""
    text = expression_text(expression)
    if boolean:
        text = f"IF({text}, true, false)"
    blank: dict[str, ox.BlankNode] = {}

    def shown(term: Term | None) -> str:
        if isinstance(term, ox.BlankNode):
            if _uses(expression, _BLANK_SENSITIVE):
                raise UnsupportedQueryError(f"{expression_text(expression)} is not supported for blank nodes.")
            blank[f"urn:deepcube:blank:{term.value}"] = term
            return f"<urn:deepcube:blank:{term.value}>"
        return "UNDEF" if term is None else str(term)

    aliases = {name: f"_in{i}" for i, name in enumerate(names)}
    binds = " ".join(
        f"BIND(?_in{i} AS {expression_text(Variable(name))})"
        for i, name in enumerate(names)
        if not name.startswith("_:")
    )
    head = " ".join(f"?{aliases[name]}" for name in names)
    result: list[Any] = [None] * len(rows)
    for begin in range(0, len(rows), _BATCH):
        session.stop.check()
        data = " ".join(
            f"({begin + i} {' '.join(map(shown, row))})" for i, row in enumerate(rows[begin : begin + _BATCH])
        )
        query = f"SELECT ?_row ?_out WHERE {{ VALUES (?_row {head}) {{ {data} }} {binds} BIND({text} AS ?_out) }}"
        for solution in vector.query(query):
            value = solution["_out"]
            if value is not None:
                value = blank.get(value.value, value) if isinstance(value, ox.NamedNode) else value
                result[int(solution["_row"].value)] = value.value == "true" if boolean else value
    return result
