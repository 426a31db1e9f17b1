"""Reading the online store with SQL: read-only connections that see the tables of one project and nothing else."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from deepcube.embedded.online.columns import prepare_connection, quoted
from deepcube.embedded.online.errors import QueryError

MAX_SECONDS = 120.0
MAX_VALUE_BYTES = 64 * 1024 * 1024
_MAX_PLANS = 2000
_CACHE_KIB = 32 * 1024  # of pages; look-ups at random keys would otherwise read most pages again
_STATEMENTS = 512
_INSTRUCTIONS = 100_000  # between looks at the clock
_TYPING_VIEW = "typing"

_GROUP_TABLE = re.compile(r".*_\d+")
_FUNCTIONS = {  # what a reader may call
    "abs",
    "avg",
    "cast",
    "ceil",
    "ceiling",
    "coalesce",
    "count",
    "date",
    "datetime",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "group_concat",
    "ifnull",
    "iif",
    "instr",
    "json_each",
    "json_extract",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "max",
    "min",
    "mod",
    "nullif",
    "pow",
    "power",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "sqrt",
    "strftime",
    "substr",
    "substring",
    "sum",
    "time",
    "total",
    "trim",
    "trunc",
    "unixepoch",
    "upper",
}


@dataclass(frozen=True)
class Plan:
    """What is known of a statement's text.

    Attributes
    ----------
    text : str
        The statement, with ``?`` for values.
    columns : tuple of (str, str)
        Name and declared type of each column of the result; the type is empty for an expression.
    by_key : bool
        Whether it only looks up rows by their whole primary key, so that it is done in no time.
    """

    text: str
    columns: tuple[tuple[str, str], ...]
    by_key: bool

    @cached_property
    def declared(self) -> tuple[str, ...]:
        """Declared type of each column."""
        return tuple(declared for _, declared in self.columns)


class Reader:
    """One read-only connection to the online store of a project, for one thread at a time.

    Parameters
    ----------
    file : Path
        File of the project.
    schema : str
        Name by which statements know it: the project's.
    changes : callable
        Returns a number that is another one after tables were changed.
    """

    def __init__(self, file: Path, schema: str, changes: Callable[[], int]) -> None:
        self._schema = schema
        self._changes = changes
        self._planned_at = changes()
        self._trusted = False
        self._deadline = 0.0
        self._stopped = False
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._connection = sqlite3.connect(
            ":memory:",
            isolation_level=None,
            timeout=30,
            check_same_thread=False,
            cached_statements=_STATEMENTS,
            uri=True,
        )
        prepare_connection(self._connection)
        self._connection.execute(f"ATTACH ? AS {quoted(schema)}", (f"{file.as_uri()}?mode=ro",))
        self._connection.execute(f"PRAGMA {quoted(schema)}.cache_size = -{_CACHE_KIB}")
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 1)
        # The table is made at its first use, which the authorizer would not allow.
        self._connection.execute("SELECT value FROM json_each('[]')").fetchall()
        self._connection.set_authorizer(self._authorize)
        self._connection.set_progress_handler(self._check_clock, _INSTRUCTIONS)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def stop(self) -> None:
        """Have the statement under way, in whatever thread, end soon, and every later one."""
        self._stopped = True

    def _check_clock(self) -> int:
        return int(self._stopped or time.monotonic() > self._deadline)

    def _authorize(self, action: int, first: str | None, second: str | None, schema: str | None, _: str | None) -> int:
        """Say whether a statement that is being compiled may do something."""
        allowed = False
        if action == sqlite3.SQLITE_SELECT:
            allowed = True
        elif action == sqlite3.SQLITE_READ:
            # Rows that are only counted are read without a column, and then the schema is not told.
            own = schema == self._schema or (schema is None and second == "")
            allowed = (own and _GROUP_TABLE.fullmatch(first or "") is not None) or first == "json_each"
        elif action == sqlite3.SQLITE_FUNCTION:
            allowed = (second or "").lower() in _FUNCTIONS
        return sqlite3.SQLITE_OK if allowed or self._trusted else sqlite3.SQLITE_DENY

    @contextmanager
    def _own_statements(self) -> Iterator[None]:
        """Allow, for a block, statements that this class wrote."""
        self._trusted = True
        try:
            yield
        finally:
            self._trusted = False

    def plan(self, text: str) -> Plan:
        """Return what is known of a statement's text; found out at its first use.

        Raises
        ------
        QueryError
            If it is not a statement that reads the project's tables.
        """
        changes = self._changes()
        if changes != self._planned_at:
            self._plans.clear()
            self._planned_at = changes
            with self._own_statements():  # running a statement is what makes SQLite look at the tables again
                self._connection.execute(f"SELECT 1 FROM {quoted(self._schema)}.sqlite_master LIMIT 0").fetchall()
        plan = self._plans.get(text)
        if plan is None:
            plan = self._make_plan(text)
            self._plans[text] = plan
            if len(self._plans) > _MAX_PLANS:
                self._plans.popitem(last=False)
        return plan

    def _make_plan(self, text: str) -> Plan:
        self._deadline = time.monotonic() + MAX_SECONDS
        if not re.match(r"\s*(SELECT|WITH)\b", text, re.IGNORECASE):
            raise QueryError("only SELECT is served here; rows are written by inserting into feature groups")
        values = [None] * text.count("?")
        try:
            steps = self._connection.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
            columns = self._result_columns(text)
        except UnicodeEncodeError:
            raise QueryError("the statement has bytes that are not UTF-8") from None
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise QueryError(str(error)) from None
        return Plan(text, columns, all(map(_is_lookup, (step[3] for step in steps))))

    def _result_columns(self, text: str) -> tuple[tuple[str, str], ...]:
        """Return names and declared types of the result: those of a view of the statement, which was found harmless."""
        with self._own_statements():
            self._connection.execute(f"CREATE TEMP VIEW {_TYPING_VIEW} AS {text.replace('?', 'NULL')}")
            try:
                rows = self._connection.execute(f"PRAGMA temp.table_xinfo({_TYPING_VIEW})").fetchall()
            finally:
                self._connection.execute(f"DROP VIEW temp.{_TYPING_VIEW}")
        return tuple((row[1], row[2]) for row in rows)

    def rows(self, plan: Plan, parameters: list[Any]) -> sqlite3.Cursor:
        """Run a statement and return a cursor over its rows.

        Raises
        ------
        QueryError
            If it fails; a later fetch may raise :class:`sqlite3.Error`.
        """
        self._deadline = time.monotonic() + MAX_SECONDS
        try:
            return self._connection.execute(plan.text, parameters)
        except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeEncodeError) as error:
            raise QueryError(str(error)) from None

    def tables(self) -> list[str]:
        """Return the names of the tables."""
        with self._own_statements():
            rows = self._connection.execute(f"PRAGMA {quoted(self._schema)}.table_list").fetchall()
        return sorted(row[1] for row in rows if _GROUP_TABLE.fullmatch(row[1]))


def _is_lookup(step: str) -> bool:
    """Tell whether a step of a query plan looks rows up by key, or walks over the keys that were asked for."""
    return bool(re.match(r"SEARCH .* USING PRIMARY KEY", step)) or "json_each" in step or "LIST SUBQUERY" in step


class Readers:
    """Readers of one project, lent to one thread at a time.

    Parameters
    ----------
    file : Path
        File of the project.
    schema : str
        Name of the project.
    changes : callable
        See :class:`Reader`.
    """

    def __init__(self, file: Path, schema: str, changes: Callable[[], int]) -> None:
        self._file, self._schema, self._changes = file, schema, changes
        self._idle: list[Reader] = []
        self._lent: set[Reader] = set()
        self._guard = threading.Lock()

    def take(self) -> Reader:
        """Return a reader that nobody uses; give it back."""
        with self._guard:
            reader = self._idle.pop() if self._idle else Reader(self._file, self._schema, self._changes)
            self._lent.add(reader)
        return reader

    def give_back(self, reader: Reader) -> None:
        """Let others use a reader."""
        with self._guard:
            self._lent.discard(reader)
            self._idle.append(reader)

    def abandon(self, reader: Reader) -> None:
        """Give a reader up whose thread may still be at work; it ends soon, and nobody gets this reader again."""
        reader.stop()
        with self._guard:
            self._lent.discard(reader)

    def stop(self) -> None:
        """Have every statement under way end soon."""
        with self._guard:
            for reader in self._lent:
                reader.stop()

    @contextmanager
    def lend(self) -> Iterator[Reader]:
        """Lend a reader for a block."""
        reader = self.take()
        try:
            yield reader
        finally:
            self.give_back(reader)

    def close(self) -> None:
        """Close those that nobody uses."""
        with self._guard:
            for reader in self._idle:
                reader.close()
            self._idle.clear()
