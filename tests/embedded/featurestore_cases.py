"""Feature groups in memory, and an oracle for joins: what the feature-store tests compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from deepcube.embedded.catalog import Entity
from deepcube.embedded.platform import Project
from deepcube.embedded.query.predicates import Column
from deepcube.embedded.query.resolve import Join, Node, Output, Query, Source
from deepcube.embedded.store.types import hive_type

PROJECT = Project(1, "cases", "")
Row = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """A feature group whose rows are in memory."""

    alias: str
    table: pa.Table
    primary_key: tuple[str, ...] = ()
    event_time: str | None = None

    @property
    def source(self) -> Source:
        features = [
            {"name": f.name, "type": hive_type(f.type), "primary": f.name in self.primary_key, "partition": False}
            for f in self.table.schema
        ]
        body = {"type": "cachedFeaturegroupDTO", "features": features, "eventTime": self.event_time}
        return Source(self.alias, Entity(1, 1, "feature_group", 0, self.alias, 1, 0, body), PROJECT)

    def column(self, name: str) -> Column:
        found = self.source.column(name)
        assert found is not None
        return found

    def outputs(self) -> tuple[Output, ...]:
        return tuple(
            Output(f"{self.alias}_{name}", self.column(name), {"name": name}) for name in self.table.column_names
        )

    def node(self, joins: Sequence[Join] = ()) -> Node:
        return Node(self.source, self.outputs(), tuple(joins))

    def rows(self) -> list[Row]:
        return self.table.to_pylist()


def join(
    left: Group, right: Group, on: Sequence[str], kind: str, as_of: Column | None, inner: Sequence[Join] = ()
) -> Join:
    """Compose a join on columns of the same name."""
    keys = tuple((left.column(name), right.column(name)) for name in on)
    return Join(right.node(inner), kind, keys, "", as_of)


def query(root: Node) -> Query:
    """Compose a query that gives every column of every group."""
    return Query(root, tuple(output for node in root.walk() for output in node.outputs), None)


def attach(groups: Sequence[Group]) -> Any:
    """Return what makes the groups readable in DuckDB."""
    tables = {group.alias: group.table for group in groups}

    def register(cursor: duckdb.DuckDBPyConnection, source: Source) -> None:
        cursor.register(source.alias, tables[source.alias])

    return register


def newest(row: Row, time: Any, right: Group, on: Sequence[str]) -> Row | None:
    """Return the match of a left row, by the rule of the documentation, by looking at every row."""
    clock = right.event_time
    assert clock is not None
    order = [*right.primary_key, *(name for name in right.table.column_names if name not in right.primary_key)]
    found = [
        other
        for other in right.rows()
        if all(row[name] is not None and row[name] == other[name] for name in on)
        and other[clock] is not None
        and time is not None
        and other[clock] <= time
    ]

    def rank(other: Row) -> tuple[Any, ...]:
        values = [(0,) if other[name] is None else (1, other[name]) for name in order]
        return (other[clock], *values)

    return max(found, key=rank) if found else None


def named(group: Group, row: Row | None) -> Row:
    """Return a row under the names that the query gives."""
    return {f"{group.alias}_{name}": None if row is None else row[name] for name in group.table.column_names}


def bag(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return rows in an order of their own, so that two collections compare."""
    return sorted(tuple(f"{key}={row[key]!r}" for key in sorted(row)) for row in rows)
