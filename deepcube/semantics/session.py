"""One query being answered: its terms, its DuckDB connection, its bounds and its plan."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import duckdb
import pyarrow as pa

from deepcube.semantics.errors import QueryStoppedError, UnboundedQueryError
from deepcube.semantics.terms import TermKind, TermTable


@dataclass(frozen=True)
class Limits:
    """Bounds of one query.

    Attributes
    ----------
    cells : int
        Values of cubes that may be read, and cells that may be listed.
    tuples : int
        Distinct combinations of values that may be handed to the vector engine to evaluate one expression.
    seconds : float or None
        Time that the query may take.
    memory : str
        What the joins may hold in memory before they spill to disk, as DuckDB writes it.
    force : bool
        Whether ``cells`` is not enforced.
    """

    cells: int = 100_000_000
    tuples: int = 500_000
    seconds: float | None = None
    memory: str = "512MB"
    force: bool = False


class Stop:
    """Tells a query, from another thread, to end; also ends it when its time is over.

    Parameters
    ----------
    seconds : float, optional
        Time that the query may take from now.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._event = threading.Event()
        self._seconds = seconds
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def cancel(self) -> None:
        """Ask the query to end."""
        self._event.set()

    @property
    def stopped(self) -> bool:
        """Whether the query has to end."""
        return self._event.is_set() or (self._deadline is not None and time.monotonic() > self._deadline)

    def check(self) -> None:
        """Return if the query may go on.

        Raises
        ------
        QueryStoppedError
            If it was cancelled or its time is over.
        """
        if self._event.is_set():
            raise QueryStoppedError("The query was cancelled.")
        if self.stopped:
            raise QueryStoppedError(
                f"The query took longer than its {self._seconds:g} s and was stopped. Restrict it in time or place, or "
                "allow it more time."
            )


@dataclass
class Read:
    """A read of one aligned group of variables, for the explain plan.

    Attributes
    ----------
    grid : str
        Name of the grid.
    variables : tuple of str
        Variables read together; empty if only cells are listed.
    chunks, chunks_read : int
        Chunks that the variables have, and those of them that are read.
    cells : int
        Values that are read.
    reasons : list of str
        What the read was restricted by, and to what.
    """

    grid: str
    variables: tuple[str, ...]
    chunks: int = 0
    chunks_read: int = 0
    cells: int = 0
    reasons: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """What was done, or would be, to answer a query.

    Attributes
    ----------
    reads : list of Read
        Reads of cubes.
    vector_queries : list of str
        Questions to the vector engine.
    steps : list of str
        Everything else worth telling, in order.
    look : callable
        Finds :attr:`notes`.
    """

    reads: list[Read] = field(default_factory=list)
    vector_queries: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    look: Callable[[], list[str]] = list

    @cached_property
    def notes(self) -> list[str]:
        """What may be wrong with the question, such as a class that no feature has; looked for when first asked."""
        return self.look()

    def text(self) -> str:
        """Return the plan for people."""
        lines = []
        for read in self.reads:
            what = ", ".join(read.variables) or "cells only"
            lines.append(f"cube grid {read.grid}: {what}")
            lines.append(f"  chunks {read.chunks_read:,} of {read.chunks:,}, values {read.cells:,}")
            lines += [f"  because {reason}" for reason in read.reasons or ["nothing restricts it"]]
        lines += [f"vector: {' '.join(query.split())}" for query in self.vector_queries]
        lines += [f"then: {step}" for step in self.steps]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)


class Session:
    """State of one query.

    Parameters
    ----------
    limits : Limits
        Its bounds.
    stop : Stop
        What may end it early.
    explain : bool
        Whether no values are to be read.
    """

    def __init__(self, limits: Limits, stop: Stop, explain: bool = False) -> None:
        self.limits, self.stop, self.explain = limits, stop, explain
        self.plan = Plan()
        self.table = TermTable()
        self.term = TermKind(self.table)
        self._folder = tempfile.TemporaryDirectory(prefix="deepcube-query-")
        self.connection = duckdb.connect(
            config={
                "memory_limit": limits.memory,
                "temp_directory": self._folder.name,
                "threads": 2,
                "preserve_insertion_order": "true",
                "ieee_floating_point_ops": "true",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            }
        )
        self._names = 0
        self._closed = False
        self._reading = threading.Lock()  # held while a batch of a stream is made, by whichever thread of DuckDB
        self._error: BaseException | None = None
        self._watch = threading.Thread(target=self._interrupt, daemon=True)
        self._done = threading.Event()
        self._watch.start()

    def _interrupt(self) -> None:
        while not self._done.wait(0.05):
            if self.stop.stopped:
                self.connection.interrupt()

    def close(self) -> None:
        """Free everything the query held; first, threads that still read a stream come to their end."""
        if not self._closed:
            self._closed = True
            self._done.set()
            self._watch.join()
            self.connection.interrupt()
            with self._reading:
                self.connection.close()
            self._folder.cleanup()

    def name(self, hint: str) -> str:
        """Return a new name for a table or a column."""
        self._names += 1
        return f"{hint}_{self._names}"

    def register(self, source: Any, hint: str = "data") -> str:
        """Make an Arrow table or stream known to DuckDB and return its name."""
        name = self.name(hint)
        self.connection.register(name, source)
        return name

    def register_stream(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> str:
        """Make batches that are made while they are read known to DuckDB; they can be read once.

        Errors of the iterator are kept, and raised by :meth:`run` in place of DuckDB's own.
        """

        def kept() -> Iterator[pa.RecordBatch]:
            try:
                while (batch := self._next(batches)) is not None:
                    yield batch
            except BaseException as error:
                self._error = error
                raise

        return self.register(pa.RecordBatchReader.from_batches(schema, kept()), "cube")

    def _next(self, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
        with self._reading:
            if self._closed:
                raise QueryStoppedError("The query was given up.")
            self.stop.check()
            return next(batches, None)

    def run(self, sql: str) -> duckdb.DuckDBPyConnection:
        """Execute a statement.

        Raises
        ------
        QueryStoppedError
            If the query has to end.
        """
        self.stop.check()
        with self._told():
            return self.connection.execute(sql)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Raise what ended a statement in place of what DuckDB makes of it."""
        try:
            yield
        except duckdb.Error as error:
            self._raise(error)
            raise
        except RuntimeError as error:
            _raise_interrupt(error)
            raise

    def _raise(self, error: duckdb.Error) -> None:
        if self._error is not None:
            raise self._error from None
        self.stop.check()
        if isinstance(error, duckdb.OutOfMemoryException):
            raise UnboundedQueryError(
                f"The joins of this query need more than {self.limits.memory} ({error}). Restrict it in time or place.",
                0,
            ) from error

    def arrow(self, sql: str) -> pa.Table:
        """Execute a query and return all of its result."""
        with self._told():
            return self.run(sql).to_arrow_table()

    def batches(self, sql: str, rows: int = 10_000) -> Iterator[pa.RecordBatch]:
        """Execute a query and yield its result in batches."""
        reader = self.run(sql).to_arrow_reader(rows)
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:
                _raise_interrupt(error)
                if self._error is not None:
                    raise self._error from error
                self.stop.check()
                raise
            self.stop.check()
            yield batch


def _raise_interrupt(error: BaseException) -> None:
    """Raise the Ctrl-C that DuckDB made a ``RuntimeError`` of, if it was one."""
    if isinstance(error.__cause__, KeyboardInterrupt):
        raise error.__cause__ from None


def quoted(name: str) -> str:
    """Return a name as a DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Sequence[str], alias: str = "") -> str:
    """Return names as a list of DuckDB identifiers, all of one table if an alias is given."""
    dot = f"{alias}." if alias else ""
    return ", ".join(dot + quoted(name) for name in names) or "1"
