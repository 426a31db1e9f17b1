"""Point-in-time queries: chunks of the root's rows, and for each joined group the positions of their matches."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from deepcube.embedded.errors import QUERY_FAILED, ApiError, bad_request
from deepcube.embedded.query import predicates, sql
from deepcube.embedded.query.pit import NONE, Integers, Matcher, instants, integers
from deepcube.embedded.query.predicates import Column, Predicate, conjuncts, sources
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
from deepcube.embedded.store import groups

CHUNK_ROWS = 131_072
WORKERS = min(4, os.cpu_count() or 1)


@dataclass
class _Frame:
    """A chunk of the result before its columns are looked up.

    Attributes
    ----------
    rows : int
        Number of rows.
    tables : dict of str to pa.Table
        Rows of each source.
    positions : dict of str to array or None
        Per source and row the position in its table, -1 for no match; None where row i is row i.
    origins : dict of str to array
        Which row a row comes from, for each join under way.
    orders : dict
        In which order the rows were searched by some keys, for the next join by the same.
    """

    rows: int
    tables: dict[str, pa.Table]
    positions: dict[str, Integers | None]
    origins: dict[str, Integers] = field(default_factory=dict)
    orders: dict[tuple[Column, ...], Integers] = field(default_factory=dict)

    def column(self, column: Column) -> pa.Array:
        """Look up a column for every row."""
        values = self.tables[column.source].column(column.name)
        positions = self.positions[column.source]
        if positions is None:
            return _one(values)
        missing = positions < 0
        taken = values.take(pa.array(positions, mask=missing) if missing.any() else pa.array(positions))
        return _one(taken)

    def select(self, rows: Integers) -> None:
        """Keep some rows, in the given order, a row as often as it is named."""
        for alias, positions in self.positions.items():
            self.positions[alias] = rows if positions is None else positions[rows]
        for alias, origin in self.origins.items():
            self.origins[alias] = origin[rows]
        self.orders.clear()
        self.rows = len(rows)

    def append(self, alias: str, positions: Integers) -> None:
        """Add rows of one source that nothing was joined to; the other sources miss in them."""
        for other, old in self.positions.items():
            base = np.arange(self.rows) if old is None else old
            more = positions if other == alias else np.full(len(positions), NONE, dtype=np.int64)
            self.positions[other] = np.concatenate([base, more])
        self.orders.clear()
        self.rows += len(positions)

    def matched(self, node: Node) -> npt.NDArray[np.bool_]:
        """Tell for each row whether a joined source has a match."""
        positions = self.positions[node.source.alias]
        assert positions is not None
        return positions >= 0

    def drop_match(self, node: Node, kept: npt.NDArray[np.bool_]) -> None:
        """Take a source's match, and what is joined to it, from the rows where a join inside it found nothing."""
        for below in node.walk():
            positions = self.positions.get(below.source.alias)
            if positions is not None:
                self.positions[below.source.alias] = np.where(kept, positions, NONE)


class Frames:
    """Runs the joins of one query.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Database to work in.
    query : Query
        The query.
    attach : callable
        Makes a source readable under its alias.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        query: Query,
        attach: Callable[[duckdb.DuckDBPyConnection, Source], None],
    ) -> None:
        _check(query)
        self._connection = connection
        self._attach = attach
        self._query = query
        self._needed = _needed(query)
        self._at_once = any(join.kind in (RIGHT, FULL) for join in query.root.all_joins)
        self._before, self._after = self._split(query.root.filter)
        self._tables: dict[str, pa.Table] = {}
        self._matchers: dict[str, Matcher] = {}
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(self._prepare, query.root.all_joins))
        root = self._load(query.root)
        self._root_schema, self._root = root.schema, root
        self.schema = self._schema()

    def _prepare(self, join: Join) -> None:
        """Read what a join needs of its source, and sort it for searching."""
        alias = join.node.source.alias
        self._tables[alias] = self._load(join.node).read_all().combine_chunks()
        if join.as_of is not None and not join.skipped:
            self._matchers[alias] = self._matcher(join)

    def _split(self, predicate: Predicate | None) -> tuple[list[Predicate], list[Predicate]]:
        """Part the root's filter into what can be checked before the joins and what only after them."""
        parts = conjuncts(predicate)
        alias = self._query.root.source.alias
        before = [part for part in parts if not self._at_once and sources(part) == {alias}]
        return before, [part for part in parts if part not in before]

    def _load(self, node: Node) -> pa.RecordBatchReader:
        """Read the needed columns of a source, with its own filter."""
        alias = node.source.alias
        filters = self._before if node is self._query.root else conjuncts(node.filter)
        for part in filters:
            if sources(part) != {alias}:
                raise bad_request(
                    f"in a point-in-time join, the filter of feature group {node.source.group.name!r} may name only "
                    "its own features; put the rest into a filter of the whole query",
                    QUERY_FAILED,
                )
        columns = ", ".join(sql.DUCKDB.name(name) for name in self._needed[alias])
        text = f"SELECT {columns} FROM {sql.DUCKDB.name(alias)}"
        if filters:
            text += " WHERE " + " AND ".join(sql.predicate(part, sql.DUCKDB) for part in filters)
        if any(join.skipped and join.node is node for join in self._query.root.all_joins):
            text += " LIMIT 0"
        # A cursor of its own, since the root is read while joins use the connection.
        cursor = self._connection.cursor()
        self._attach(cursor, node.source)
        return cursor.execute(text).to_arrow_reader(CHUNK_ROWS)

    def _schema(self) -> pa.Schema:
        schemas = {alias: table.schema for alias, table in self._tables.items()}
        schemas[self._query.root.source.alias] = self._root_schema
        return pa.schema(
            [
                pa.field(output.name, schemas[output.column.source].field(output.column.name).type)
                for output in self._query.outputs
            ]
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the result, chunk by chunk, in the order of the root's rows."""
        if self._at_once:
            chunks: Iterator[pa.Table] = iter([self._root.read_all().combine_chunks()])
        else:
            chunks = (pa.Table.from_batches([batch]) for batch in self._root)
        with ThreadPoolExecutor(WORKERS) as pool:
            under_way: deque[Future[list[pa.RecordBatch]]] = deque()
            for chunk in chunks:
                under_way.append(pool.submit(self._joined, chunk))
                if len(under_way) > WORKERS:
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()

    def _joined(self, chunk: pa.Table) -> list[pa.RecordBatch]:
        """Join everything to some rows of the root."""
        frame = _Frame(len(chunk), {**self._tables, self._query.root.source.alias: chunk}, {})
        frame.positions[self._query.root.source.alias] = None
        for join in self._query.root.joins:
            self._apply(frame, join)
            self._keep(frame, join)
        return list(self._finish(frame))

    def _finish(self, frame: _Frame) -> Iterator[pa.RecordBatch]:
        if self._after:
            self._filter(frame, self._after)
        columns = [frame.column(output.column) for output in self._query.outputs]
        batch = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        for start in range(0, len(batch), CHUNK_ROWS):
            yield batch.slice(start, CHUNK_ROWS)

    def _filter(self, frame: _Frame, parts: list[Predicate]) -> None:
        """Keep the rows for which conditions over several sources hold."""
        columns = sorted(
            {column for part in parts for column in predicates.columns(part)}, key=lambda c: (c.source, c.name)
        )
        names = {column: f"c{number}" for number, column in enumerate(columns)}
        table = pa.table([frame.column(column) for column in columns], names=list(names.values()))
        table = table.append_column("row", pa.array(np.arange(frame.rows)))
        where = " AND ".join(sql.predicate(part, sql.DUCKDB, lambda column: names[column]) for part in parts)
        cursor = self._connection.cursor()
        cursor.register("chunk", table)
        kept = cursor.execute(f'SELECT "row" FROM chunk WHERE {where} ORDER BY "row"').fetchnumpy()["row"]
        frame.select(np.asarray(kept, dtype=np.int64))

    def _apply(self, frame: _Frame, join: Join) -> None:
        """Join one source, and what is joined to it, to a frame; rows without a match are kept."""
        alias = join.node.source.alias
        frame.origins[alias] = np.arange(frame.rows)
        if join.skipped:
            frame.positions[alias] = np.full(frame.rows, NONE, dtype=np.int64)
        elif join.as_of is not None:
            frame.positions[alias] = self._match(frame, join)
        else:
            left, right = self._pairs(frame, join)
            frame.select(left)
            frame.positions[alias] = right
        for inner in join.node.joins:
            self._apply(frame, inner)
            if inner.kind in (INNER, SEMI):
                frame.drop_match(join.node, frame.matched(inner.node))
        origin = frame.origins.pop(alias)
        if join.node.joins or join.kind == SEMI:
            frame.select(_once(origin, frame.matched(join.node), every=join.kind != SEMI))

    def _keep(self, frame: _Frame, join: Join) -> None:
        """Do with the rows that have no match, on either side, what a join at the root says."""
        alias = join.node.source.alias
        matched = frame.matched(join.node)
        if join.kind in (INNER, SEMI, RIGHT, CROSS):
            frame.select(np.flatnonzero(matched))
        if join.kind in (RIGHT, FULL):
            positions = frame.positions[alias]
            assert positions is not None
            unmatched = np.setdiff1d(np.arange(len(self._tables[alias])), positions)
            frame.append(alias, unmatched)

    def _match(self, frame: _Frame, join: Join) -> Integers:
        keys = [_comparable(frame.column(left)) for left, _ in join.keys]
        assert join.as_of is not None
        times = instants(frame.column(join.as_of), join.as_of.kind, _native(join))
        by = (*(left for left, _ in join.keys), join.as_of)
        try:
            found, frame.orders[by] = self._matchers[join.node.source.alias].match(keys, times, frame.orders.get(by))
        except pa.ArrowInvalid as error:
            raise _unlike(join, error) from None
        return found if join.max_age_ms is None else self._fresh(join, found, times)

    def _fresh(self, join: Join, found: Integers, times: pa.Array) -> Integers:
        """Take away matches that are too old."""
        time = join.node.source.event_time
        assert time is not None and join.max_age_ms is not None
        values = _one(self._tables[join.node.source.alias].column(time.name))
        if len(values) == 0:
            return found
        own = integers(instants(values, time.kind, _native(join)))
        limit = join.max_age_ms * (1 if _native(join) else 1000)
        return np.where(integers(times) - own[np.maximum(found, 0)] > limit, NONE, found)

    def _matcher(self, join: Join) -> Matcher:
        """Prepare a source for matching; where rows tie, all of its features are read to tell them apart."""
        source = join.node.source
        names = [feature["name"] for feature in source.body["features"]]
        keys = groups.primary_key(source.body)
        ranked = keys + [name for name in names if name not in keys]
        matcher = self._build(join, None)
        if matcher.has_ties:
            self._needed[source.alias] = names
            self._tables[source.alias] = self._load(join.node).read_all().combine_chunks()
            matcher = self._build(join, ranked)
        return matcher

    def _build(self, join: Join, ranked: list[str] | None) -> Matcher:
        source, table = join.node.source, self._tables[join.node.source.alias]
        time = source.event_time
        assert time is not None
        keys = [_comparable(_one(table.column(right.name))) for _, right in join.keys]
        times = instants(_one(table.column(time.name)), time.kind, _native(join))
        return Matcher(keys, times, table.select(ranked) if ranked is not None else None)

    def _pairs(self, frame: _Frame, join: Join) -> tuple[Integers, Integers]:
        """Return the rows of an ordinary join as positions, each left row at least once, -1 for no match."""
        alias = join.node.source.alias
        left = {f"k{n}": frame.column(key) for n, (key, _) in enumerate(join.keys)}
        right = {f"k{n}": self._tables[alias].column(key.name) for n, (_, key) in enumerate(join.keys)}
        cursor = self._connection.cursor()
        cursor.register("l", pa.table({**left, "row": np.arange(frame.rows)}))
        cursor.register("r", pa.table({**right, "row": np.arange(len(self._tables[alias]))}))
        on = " AND ".join(f"l.k{n} = r.k{n}" for n in range(len(join.keys))) or "TRUE"
        found = cursor.execute(
            f'SELECT l."row" AS a, coalesce(r."row", {NONE}) AS b FROM l LEFT JOIN r ON {on} ORDER BY a, b'
        ).fetchnumpy()
        return np.asarray(found["a"], dtype=np.int64), np.asarray(found["b"], dtype=np.int64)


def _once(origin: Integers, matched: npt.NDArray[np.bool_], every: bool) -> Integers:
    """Return the rows to keep: of each origin its matched rows (or the first of them), or one row if it has none."""
    order = np.arange(len(origin))
    has = np.zeros(int(origin.max(initial=-1)) + 1, dtype=bool)
    has[origin[matched]] = True
    candidates = np.where(has[origin], matched, True) if len(origin) else matched
    kept = order[candidates]
    if every and bool(has.all()):
        return kept
    first = np.zeros(len(origin), dtype=bool)
    first[kept[np.unique(origin[kept], return_index=True)[1]]] = True
    return order[candidates & ((matched & every) | first)]


def _native(join: Join) -> bool:
    """Tell whether both event times are whole numbers, which are then compared as they are."""
    time = join.node.source.event_time
    assert time is not None and join.as_of is not None
    return {time.kind.lower(), join.as_of.kind.lower()} <= {"int", "bigint"}


def _unlike(join: Join, error: Exception) -> ApiError:
    pairs = ", ".join(f"{a.name} ({a.kind}) = {b.name} ({b.kind})" for a, b in join.keys)
    return bad_request(f"the join keys {pairs} cannot be compared: {error}", QUERY_FAILED)


def _comparable(values: pa.Array) -> pa.Array:
    """Widen whole numbers, so that keys of different width compare."""
    return values.cast(pa.int64()) if pa.types.is_integer(values.type) else values


def _one(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as one array."""
    if isinstance(values, pa.Array):
        return values
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()


def _needed(query: Query) -> dict[str, list[str]]:
    """Return, for each source, the columns that the query touches."""
    columns = [output.column for output in query.outputs]
    for node in query.root.walk():
        columns += sorted(predicates.columns(node.filter), key=lambda c: c.name) if node.filter is not None else []
    for join in query.root.all_joins:
        columns += [column for pair in join.keys for column in pair]
        columns += [column for column in (join.as_of, join.node.source.event_time) if column is not None]
    needed: dict[str, dict[str, None]] = {alias: {} for alias in query.sources}
    for column in columns:
        needed[column.source][column.name] = None
    for alias, source in query.sources.items():
        if not needed[alias]:  # rows are counted even where no column is looked at
            needed[alias][source.body["features"][0]["name"]] = None
    return {alias: list(names) for alias, names in needed.items()}


def _check(query: Query) -> None:
    """Refuse what has no clear meaning in a point-in-time query.

    Raises
    ------
    ApiError
        400 for a right or full join below another join.
    """
    top = {id(join) for join in query.root.joins}
    for join in query.root.all_joins:
        if join.kind in (RIGHT, FULL) and (id(join) not in top or join.node.joins):
            raise bad_request(
                "in a point-in-time query a right or full join can neither be nested nor hold nested joins; join the "
                "feature groups one after the other",
                QUERY_FAILED,
            )
