"""SQL of resolved queries: DuckDB's for the offline store, MySQL's for the online store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deepcube.embedded.errors import QUERY_FAILED, bad_request
from deepcube.embedded.query import literals
from deepcube.embedded.query.predicates import Column, Combination, Condition, Predicate, conjuncts, sources
from deepcube.embedded.query.resolve import (
    CROSS,
    FULL,
    INNER,
    RIGHT,
    SEMI,
    Join,
    Node,
    Query,
    Source,
)


@dataclass(frozen=True)
class Dialect:
    """How a database writes names and values.

    Attributes
    ----------
    mark : str
        Quote of identifiers.
    literal : callable
        Writes a value.
    text_type : str
        Type to which a column is cast for ``LIKE``.
    """

    mark: str
    literal: Callable[[literals.Value], str]
    text_type: str

    def name(self, identifier: str) -> str:
        """Quote an identifier."""
        return self.mark + identifier.replace(self.mark, self.mark * 2) + self.mark

    def column(self, column: Column) -> str:
        """Write a column with its source."""
        return f"{self.name(column.source)}.{self.name(column.name)}"


DUCKDB = Dialect('"', literals.offline, "VARCHAR")
MYSQL = Dialect("`", literals.online, "CHAR")


def predicate(part: Predicate, dialect: Dialect, column: Callable[[Column], str] | None = None) -> str:
    """Write a filter.

    Parameters
    ----------
    part : Predicate
        The filter.
    dialect : Dialect
        The database.
    column : callable, optional
        Writes a column; with its source's alias by default.
    """
    write = column or dialect.column
    if isinstance(part, Combination):
        return "(" + f" {part.operator} ".join(predicate(piece, dialect, write) for piece in part.parts) + ")"
    return _condition(part, dialect, write)


def _condition(part: Condition, dialect: Dialect, write: Callable[[Column], str]) -> str:
    name, value = write(part.column), part.value
    if value is None:
        return f"{name} IS NULL" if part.operator == "=" else f"{name} IS NOT NULL"
    if part.operator == "IN":
        return _in(name, value, dialect)
    if isinstance(value, Column):
        return f"{name} {part.operator} {write(value)}"
    if part.operator == "LIKE":
        escape = "'\\'" if dialect is DUCKDB else "'\\\\'"
        return f"CAST({name} AS {dialect.text_type}) LIKE {dialect.literal(value)} ESCAPE {escape}"
    return f"{name} {part.operator} {dialect.literal(value)}"


def _in(name: str, values: tuple[literals.Value | None, ...], dialect: Dialect) -> str:
    """Write membership; None in the list means a missing value, and an empty list means no row."""
    present = [dialect.literal(value) for value in values if value is not None]
    parts = [f"{name} IN ({', '.join(present)})"] if present else []
    if len(present) < len(values):
        parts.append(f"{name} IS NULL")
    return "(" + " OR ".join(parts) + ")" if parts else "(1 = 0)"


def offline_sql(query: Query) -> str:
    """Write a query for DuckDB, where each source is a view named by its alias.

    Point-in-time joins are written as ``ASOF`` joins; of rows at equal times any may win there, so such queries are
    run by :mod:`deepcube.embedded.query.pit` and this text is for people to read.
    """
    columns = ", ".join(f"{DUCKDB.column(output.column)} AS {DUCKDB.name(output.name)}" for output in query.outputs)
    text = f"SELECT {columns}\nFROM {_from(query.root)}"
    where = _pushed(query.root)
    if where:
        text += f"\nWHERE {where}"
    if query.limit is not None:
        text += f"\nLIMIT {query.limit}"
    return text


def _pushed(node: Node) -> str:
    return predicate(node.filter, DUCKDB) if node.filter is not None else ""


def _from(node: Node) -> str:
    return DUCKDB.name(node.source.alias) + "".join(_join(join) for join in node.joins)


def _join(join: Join) -> str:
    alias = DUCKDB.name(join.node.source.alias)
    own = [part for part in conjuncts(join.node.filter) if sources(part) == {join.node.source.alias}]
    wider = [part for part in conjuncts(join.node.filter) if part not in own]
    below = alias
    if own:
        below = f"(SELECT * FROM {alias} WHERE {' AND '.join(predicate(part, DUCKDB) for part in own)}) AS {alias}"
    nested = "".join(_join(inner) for inner in join.node.joins)
    if join.kind == CROSS and not wider:
        return f"\nCROSS JOIN {_grouped(below, nested)}"
    if wider and join.kind in (RIGHT, FULL):
        raise bad_request(
            f"the filter of a query that is joined by a {join.kind} join may name only features of its own group",
            QUERY_FAILED,
        )
    keys = [f"{DUCKDB.column(left)} = {DUCKDB.column(right)}" for left, right in join.keys]
    keys += [predicate(part, DUCKDB) for part in wider] + (["FALSE"] if join.skipped else [])
    kind = {FULL: "FULL OUTER", SEMI: "SEMI", CROSS: INNER}.get(join.kind, join.kind)
    time = join.node.source.event_time
    if join.as_of is None or time is None:
        return f"\n{kind} JOIN {_grouped(below, nested)} ON {' AND '.join(keys)}"
    keys.append(f"{DUCKDB.column(join.as_of)} >= {DUCKDB.column(time)}")
    return f"\nASOF {kind} JOIN {below} ON {' AND '.join(keys)}{nested}"


def _grouped(below: str, nested: str) -> str:
    return f"({below}{nested})" if nested else below


def online_sql(query: Query) -> str | None:
    """Write a query for the online store, or return None if a group of it has no online copy.

    The online store has one row for each primary key, the newest, so a point-in-time join is an ordinary one there.

    Raises
    ------
    ApiError
        400 if the query joins in a way that the online store cannot.
    """
    if not all(source.body.get("onlineEnabled") for source in query.sources.values()):
        return None
    columns = ", ".join(f"{MYSQL.column(output.column)} AS {MYSQL.name(output.name)}" for output in query.outputs)
    conditions = [predicate(node.filter, MYSQL) for node in query.root.walk() if node.filter is not None]
    text = f"SELECT {columns}\nFROM {online_table(query.root.source)} AS {MYSQL.name(query.root.source.alias)}"
    text += "".join(_online_join(join) for join in query.root.all_joins)
    if conditions:
        text += "\nWHERE " + " AND ".join(conditions)
    if query.limit is not None:
        text += f"\nLIMIT {query.limit}"
    return text


def _online_join(join: Join) -> str:
    if join.kind in (SEMI, FULL):
        raise bad_request(f"the online store has no {join.kind} join; read offline", QUERY_FAILED)
    table = f"{online_table(join.node.source)} AS {MYSQL.name(join.node.source.alias)}"
    if join.kind == CROSS:
        return f"\nCROSS JOIN {table}"
    keys = " AND ".join(f"{MYSQL.column(left)} = {MYSQL.column(right)}" for left, right in join.keys)
    return f"\n{join.kind} JOIN {table} ON {keys}"


def online_table(source: Source) -> str:
    """Return the name of a group's table in the online store."""
    return f"{MYSQL.name(source.project.name)}.{MYSQL.name(f'{source.group.name}_{source.group.version}')}"
