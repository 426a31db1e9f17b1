"""Solutions of a pattern as a DuckDB query whose columns are of known kinds; joins with SPARQL's unbound values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from deepcube.semantics.errors import UnboundedQueryError
from deepcube.semantics.session import Session, listed, quoted
from deepcube.semantics.terms import Kind, Term, TermKind, WktKind

_ARROW = {"BIGINT": pa.int64(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_()}


@dataclass(frozen=True)
class Column:
    """Kind of the values of a variable, and whether some solutions may leave it unbound."""

    kind: Kind
    nullable: bool = False


@dataclass(frozen=True)
class Relation:
    """Solutions as a query.

    Attributes
    ----------
    sql : str
        A DuckDB query with a column for each variable, of the same name.
    columns : mapping of str to Column
        What the columns hold.
    stored : bool
        Whether ``sql`` reads a table, so that it may be used more than once.
    """

    sql: str
    columns: Mapping[str, Column]
    stored: bool = False


def arrow_type(kind: Kind) -> pa.DataType:
    """Return the Arrow type of the values of a kind."""
    return _ARROW[kind.sql]


def from_terms(session: Session, names: list[str], rows: Iterable[list[Term | None]]) -> Relation:
    """Return solutions given as rows of terms; None is unbound."""
    columns: list[list[int | None]] = [[] for _ in names]
    count = 0
    for row in rows:
        count += 1
        if count % 4096 == 0:
            session.stop.check()
        for column, term in zip(columns, row, strict=True):
            column.append(None if term is None else session.table.add(term))
    arrays = [pa.array(column, pa.int64()) for column in columns]
    described = {name: Column(session.term, array.null_count > 0) for name, array in zip(names, arrays, strict=True)}
    arrays.append(pa.array(np.zeros(count, dtype=np.int8)))  # a table has rows even if it has no variables
    table = session.register(pa.table(dict(zip([*names, "_row"], arrays, strict=True))), "terms")
    return Relation(f"SELECT {listed(names)} FROM {table}", described, stored=True)


def unit(session: Session) -> Relation:
    """Return the one solution that binds nothing."""
    return from_terms(session, [], [[]])


def empty(session: Session, names: Iterable[str] = ()) -> Relation:
    """Return no solutions."""
    return from_terms(session, list(names), [])


def store(session: Session, relation: Relation) -> Relation:
    """Return the same solutions computed once and kept in a table."""
    if relation.stored:
        return relation
    table = session.name("kept")
    session.run(f"CREATE TEMP TABLE {table} AS {relation.sql}")
    return Relation(f"SELECT {listed(list(relation.columns))} FROM {table}", relation.columns, stored=True)


def count(session: Session, relation: Relation) -> int:
    """Return the number of stored solutions."""
    row = session.run(f"SELECT count(*) FROM ({relation.sql})").fetchone()
    return int(row[0]) if row else 0


def distinct(session: Session, relation: Relation, names: list[str]) -> pa.Table:
    """Return the distinct combinations of some columns of stored solutions."""
    return session.arrow(f"SELECT DISTINCT {listed(names)} FROM ({relation.sql})")


def values_of(session: Session, relation: Relation, name: str) -> np.ndarray[Any, Any]:
    """Return the distinct bound values of a column of stored solutions."""
    column = distinct(session, relation, [name]).column(0).drop_null()
    return np.asarray(column.to_numpy())


def converted(session: Session, relation: Relation, name: str, kind: Kind) -> Relation:
    """Return the same solutions with a column in another kind; what that kind cannot hold becomes unbound.

    Raises
    ------
    UnboundedQueryError
        If there are too many distinct values to convert.
    """
    column = relation.columns[name]
    if column.kind == kind:
        return relation
    relation = store(session, relation)
    values = values_of(session, relation, name)
    _check_size(session, len(values), name)
    terms = column.kind.decode(values.tolist())
    encoded = pa.array([kind.encode(term) for term in terms], arrow_type(kind))
    table = session.register(pa.table({"old": pa.array(values, arrow_type(column.kind)), "new": encoded}), "kinds")
    others = [other for other in relation.columns if other != name]
    shown = "".join(f"a.{quoted(other)}, " for other in others)
    sql = (
        f"SELECT {shown}b.new AS {quoted(name)} FROM ({relation.sql}) a LEFT JOIN {table} b ON a.{quoted(name)} = b.old"
    )
    lossless = isinstance(kind, TermKind) or encoded.null_count == 0
    columns = dict(relation.columns) | {name: Column(kind, column.nullable or not lossless)}
    return Relation(sql, columns)


def _check_size(session: Session, size: int, name: str) -> None:
    if size > session.limits.tuples:
        raise UnboundedQueryError(
            f"?{name} has {size:,} distinct values that would have to be written out as terms to go on, more than "
            f"{session.limits.tuples:,}. Restrict the query in time or place.",
            size,
        )


def _matched(session: Session, left: Relation, right: Relation, name: str) -> tuple[Relation, Relation, bool]:
    """Return both sides with one kind for a shared variable, and whether equal values are possible at all."""
    a, b = left.columns[name], right.columns[name]
    if a.kind == b.kind:
        return left, right, True
    nullable = a.nullable or b.nullable
    if not nullable and isinstance(a.kind, TermKind) != isinstance(b.kind, TermKind):
        if isinstance(a.kind, TermKind):
            left = _only_encoded(session, left, name, b.kind)
        else:
            right = _only_encoded(session, right, name, a.kind)
        return left, right, True
    both_points = isinstance(a.kind, WktKind) and isinstance(b.kind, WktKind)
    if not nullable and not both_points:
        return left, right, False  # things of different kinds are never the same term
    return converted(session, left, name, session.term), converted(session, right, name, session.term), True


def _only_encoded(session: Session, relation: Relation, name: str, kind: Kind) -> Relation:
    result = converted(session, relation, name, kind)
    if not result.columns[name].nullable:
        return result
    return Relation(
        f"SELECT * FROM ({result.sql}) WHERE {quoted(name)} IS NOT NULL",
        dict(result.columns) | {name: Column(kind)},
    )


def _condition(left: Relation, right: Relation, name: str, possible: bool) -> str:
    if not possible:
        return "FALSE"
    column = quoted(name)
    parts = [f"a.{column} = b.{column}"]
    parts += [
        f"{side}.{column} IS NULL" for side, relation in (("a", left), ("b", right)) if relation.columns[name].nullable
    ]
    return f"({' OR '.join(parts)})"


def join(session: Session, left: Relation, right: Relation) -> Relation:
    """Return the join of two relations: all pairs of compatible solutions (SPARQL 1.1, section 18.5)."""
    conditions, columns, shown = [], {}, []
    for name in [name for name in left.columns if name in right.columns]:
        left, right, possible = _matched(session, left, right, name)
        conditions.append(_condition(left, right, name, possible))
    for name in [*left.columns, *(name for name in right.columns if name not in left.columns)]:
        column, side, text = quoted(name), left.columns.get(name), ""
        other = right.columns.get(name)
        if side is not None and other is not None and side.nullable:
            text = f"coalesce(a.{column}, b.{column})"
            columns[name] = Column(side.kind, side.nullable and other.nullable)
        elif side is not None:
            text, columns[name] = f"a.{column}", side
        elif other is not None:
            text, columns[name] = f"b.{column}", other
        shown.append(f"{text} AS {column}")
    on = f"JOIN ({right.sql}) b ON {' AND '.join(conditions)}" if conditions else f"CROSS JOIN ({right.sql}) b"
    return Relation(f"SELECT {', '.join(shown) or '1'} FROM ({left.sql}) a {on}", columns)


def left_join(session: Session, left: Relation, right: Relation) -> Relation:
    """Return the left join of two relations without a condition: OPTIONAL."""
    shared = [name for name in left.columns if name in right.columns]
    for name in shared:
        a, b = left.columns[name], right.columns[name]
        if a.kind != b.kind:
            left, right = converted(session, left, name, session.term), converted(session, right, name, session.term)
    conditions = [_condition(left, right, name, True) for name in shared]
    columns, shown = dict(left.columns), []
    for name, column in left.columns.items():
        text = quoted(name)
        both = name in right.columns and column.nullable
        shown.append(f"{f'coalesce(a.{text}, b.{text})' if both else f'a.{text}'} AS {text}")
    for name, column in right.columns.items():
        if name not in left.columns:
            columns[name] = replace(column, nullable=True)
            shown.append(f"b.{quoted(name)} AS {quoted(name)}")
    on = " AND ".join(conditions) or "TRUE"
    return Relation(f"SELECT {', '.join(shown) or '1'} FROM ({left.sql}) a LEFT JOIN ({right.sql}) b ON {on}", columns)


def kept_if(session: Session, left: Relation, right: Relation, wanted: bool, minus: bool = False) -> Relation:
    """Return the solutions of one relation that have, or have no, compatible solution in another.

    Parameters
    ----------
    session : Session
        Of the query.
    left, right : Relation
        What is filtered, and what decides.
    wanted : bool
        Whether a compatible solution is needed (EXISTS) or forbidden (NOT EXISTS, MINUS).
    minus : bool
        Whether solutions that share no bound variable do not count, as MINUS has it.
    """
    shared = [name for name in left.columns if name in right.columns]
    if minus and not shared:
        return left
    names, conditions, bound, always = listed(list(left.columns), "a"), [], [], False
    columns = left.columns
    for name in shared:
        mine, theirs = left.columns[name], right.columns[name]
        here = there = quoted(name)
        if mine.kind != theirs.kind:
            left, alias = _with_copy(session, left, name)
            right, here = converted(session, right, name, session.term), quoted(alias)
        parts = [f"a.{here} = b.{there}"]
        parts += [f"a.{here} IS NULL"] if mine.nullable else []
        parts += [f"b.{there} IS NULL"] if theirs.nullable else []
        conditions.append(f"({' OR '.join(parts)})")
        bound.append(f"(a.{here} IS NOT NULL AND b.{there} IS NOT NULL)")
        always = always or not (mine.nullable or theirs.nullable)
    if minus and not always:
        conditions.append(f"({' OR '.join(bound)})")
    word = "EXISTS" if wanted else "NOT EXISTS"
    where = f"{word} (SELECT 1 FROM ({right.sql}) b WHERE {' AND '.join(conditions) or 'TRUE'})"
    return Relation(f"SELECT {names} FROM ({left.sql}) a WHERE {where}", columns)


def _with_copy(session: Session, relation: Relation, name: str) -> tuple[Relation, str]:
    """Return the same solutions with one more column: the terms of another; and the name of that column."""
    relation, alias = store(session, relation), session.name("copy")
    copied = Relation(
        f"SELECT *, {quoted(name)} AS {quoted(alias)} FROM ({relation.sql})",
        dict(relation.columns) | {alias: relation.columns[name]},
    )
    return converted(session, copied, alias, session.term), alias


def union(session: Session, relations: list[Relation]) -> Relation:
    """Return all solutions of several relations."""
    if len(relations) == 1:
        return relations[0]
    names = list(dict.fromkeys(name for relation in relations for name in relation.columns))
    columns: dict[str, Column] = {}
    for name in names:
        kinds = {relation.columns[name].kind for relation in relations if name in relation.columns}
        if len(kinds) > 1:
            relations = [
                converted(session, relation, name, session.term) if name in relation.columns else relation
                for relation in relations
            ]
        held = [relation.columns[name] for relation in relations if name in relation.columns]
        columns[name] = Column(held[0].kind, len(held) < len(relations) or any(column.nullable for column in held))
    selects = [
        "SELECT "
        + (
            ", ".join(
                f"{quoted(name)}" if name in relation.columns else f"NULL::{columns[name].kind.sql} AS {quoted(name)}"
                for name in names
            )
            or "1"
        )
        + f" FROM ({relation.sql})"
        for relation in relations
    ]
    return Relation(" UNION ALL ".join(selects), columns)
