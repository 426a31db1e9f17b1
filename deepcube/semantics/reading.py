"""Aligned reads of arrays: which blocks, why, and their values as a stream of Arrow batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deepcube.semantics.arrays import Block
from deepcube.semantics.clusters import Cluster
from deepcube.semantics.errors import UnboundedQueryError
from deepcube.semantics.session import Read, Session
from deepcube.semantics.source import Variable

_AHEAD_BYTES = 64 << 20
_AHEAD_BLOCKS = 8
_BATCH_ROWS = 262_144


@dataclass
class Restriction:
    """What a read is restricted to.

    Attributes
    ----------
    steps : numpy.ndarray of int64 or None
        Sorted time steps; None for all.
    cells : numpy.ndarray of int64 or None
        Sorted cells; None for all.
    conditions : list of (str, str, float)
        Variable, operator and constant that values must satisfy.
    one_of : list of (str, tuple of float)
        Variable and the values of which it must have one.
    reasons : list of str
        What each restriction came from, for people.
    """

    steps: NDArray[np.int64] | None = None
    cells: NDArray[np.int64] | None = None
    conditions: list[tuple[str, str, float]] = field(default_factory=list)
    one_of: list[tuple[str, tuple[float, ...]]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def keep_steps(self, steps: NDArray[np.int64], reason: str) -> None:
        """Restrict to some of the time steps."""
        self.steps = steps if self.steps is None else np.intersect1d(self.steps, steps, assume_unique=True)
        self.reasons.append(f"{reason}: {len(self.steps):,} times")

    def keep_cells(self, cells: NDArray[np.int64], reason: str) -> None:
        """Restrict to some of the cells."""
        self.cells = cells if self.cells is None else np.intersect1d(self.cells, cells, assume_unique=True)
        self.reasons.append(f"{reason}: {len(self.cells):,} cells")


@dataclass
class _Task:
    """One block to read, and which of its steps and cells are wanted."""

    block: Block
    steps: NDArray[np.int64] | None
    cells: NDArray[np.int64] | None
    size: int


class ClusterRead:
    """A planned read of a cluster.

    Parameters
    ----------
    session : Session
        Of the query.
    cluster : Cluster
        What is read.
    restriction : Restriction
        To what it is restricted.

    Raises
    ------
    UnboundedQueryError
        If more values would be read than the session's limit.
    """

    def __init__(self, session: Session, cluster: Cluster, restriction: Restriction) -> None:
        self._session, self._cluster, self._restriction = session, cluster, restriction
        self._variables = list((cluster.variables or {item.name: item for item in cluster.any_variable}).values())
        self.plan = Read(f"{cluster.grid.base}{cluster.grid.name}", tuple(item.name for item in self._variables))
        self.plan.reasons = restriction.reasons
        session.plan.reads.append(self.plan)
        self._tasks = list(self._planned()) if self._variables else []
        if not self._variables:
            self.plan.cells = cluster.grid.cells if restriction.cells is None else len(restriction.cells)
        self._check()

    @property
    def cells(self) -> int:
        """Number of values that the read touches."""
        return self.plan.cells

    def _check(self) -> None:
        limits = self._session.limits
        if limits.force or self.plan.cells <= limits.cells:
            return
        width = sum(item.array.dtype.itemsize for item in self._variables) / max(1, len(self._variables))
        what = ", ".join(self.plan.variables) or "cell numbers"
        raise UnboundedQueryError(
            f"This query would read about {self.plan.cells:,} values ({self.plan.cells * width / 1e6:,.0f} MB) of "
            f"{what} in {self.plan.chunks_read:,} chunks, more than {limits.cells:,}. Restrict it with a FILTER on "
            "time, on place or on values, or ask for it all with --force.",
            self.plan.cells,
        )

    def _planned(self) -> Iterator[_Task]:
        first = self._variables[0].array
        (nt, ny, nx), (ct, cy, cx) = first.shape, first.chunks
        counts = tuple(-(-n // c) for n, c in zip(first.shape, first.chunks, strict=True))
        self.plan.chunks = int(np.prod(counts)) * len(self._variables)
        useful = self._useful_chunks()
        for ti, steps in self._time_chunks(nt, ct):
            for yi, xi, cells in self._cell_chunks(ny, nx, cy, cx, counts[2]):
                if useful is not None and not useful[ti, yi, xi]:
                    continue
                block, chosen_steps = _tight(steps, ti * ct, min((ti + 1) * ct, nt))
                rows, columns = slice(yi * cy, min((yi + 1) * cy, ny)), slice(xi * cx, min((xi + 1) * cx, nx))
                if cells is not None:
                    row, column = np.divmod(cells, nx)
                    rows = slice(int(row.min()), int(row.max()) + 1)
                    columns = slice(int(column.min()), int(column.max()) + 1)
                size = (block.stop - block.start) * (rows.stop - rows.start) * (columns.stop - columns.start)
                self.plan.chunks_read += len(self._variables)
                self.plan.cells += size * len(self._variables)
                yield _Task((block, rows, columns), chosen_steps, cells, size)

    def _time_chunks(self, count: int, chunk: int) -> Iterator[tuple[int, NDArray[np.int64] | None]]:
        steps = self._restriction.steps
        if steps is None or not self._cluster.timed:
            for index in range(-(-count // chunk)):
                yield index, None
            return
        for index in np.unique(steps // chunk).tolist():
            yield index, steps[(steps >= index * chunk) & (steps < (index + 1) * chunk)]

    def _cell_chunks(
        self, ny: int, nx: int, cy: int, cx: int, across: int
    ) -> list[tuple[int, int, NDArray[np.int64] | None]]:
        cells = self._restriction.cells
        if cells is None:
            return [(yi, xi, None) for yi in range(-(-ny // cy)) for xi in range(across)]
        if not len(cells):
            return []
        number = (cells // nx // cy) * across + cells % nx // cx
        order = np.argsort(number, kind="stable")
        found, starts = np.unique(number[order], return_index=True)
        parts = np.split(cells[order], starts[1:])
        return [(int(n) // across, int(n) % across, part) for n, part in zip(found, parts, strict=True) if len(part)]

    def _useful_chunks(self) -> NDArray[np.bool_] | None:
        """Return which chunks may hold a value that satisfies the conditions; None if all may."""
        first, useful = self._variables[0], None
        for name, operator, constant in self._restriction.conditions:
            variable = self._cluster.variables[name]
            held = variable.statistics
            if held is None or variable.array.chunks != first.array.chunks:
                continue
            may = held.may_hold(operator, constant)
            self._restriction.reasons.append(
                f"least and greatest values, {name} {operator} {constant:g}: {int(may.sum()):,} of {may.size:,} chunks"
            )
            useful = may if useful is None else useful & may
        return useful

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Read and yield the cells that satisfy the restriction, in batches with the columns of a schema.

        Parameters
        ----------
        schema : pyarrow.Schema
            Columns ``step``, ``cell`` and ``value:<variable>``, some or all.
        """
        if self._session.explain:
            return
        if not self._variables:
            yield from self._cell_batches(schema)
            return
        waiting: deque[tuple[_Task, list[Any]]] = deque()
        parts: list[dict[str, NDArray[Any]]] = []
        rows = ahead = 0
        tasks = iter(self._tasks)
        task = next(tasks, None)
        while task is not None or waiting:
            while task is not None and len(waiting) < _AHEAD_BLOCKS and (ahead < _AHEAD_BYTES or not waiting):
                waiting.append((task, [item.array.start(task.block) for item in self._variables]))
                ahead += task.size * 8 * len(self._variables)
                task = next(tasks, None)
            done, started = waiting.popleft()
            self._session.stop.check()
            ahead -= done.size * 8 * len(self._variables)
            pairs = zip(self._variables, started, strict=True)
            part = self._selected(done, {item.name: item.array.finish(future) for item, future in pairs}, schema)
            if part is not None:
                parts.append(part)
                rows += len(part[schema.names[0]])
            if rows >= _BATCH_ROWS:
                yield _batch(parts, schema)
                parts, rows = [], 0
        if parts:
            yield _batch(parts, schema)

    def _cell_batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        cells, total = self._restriction.cells, self._cluster.grid.cells
        size = total if cells is None else len(cells)
        for begin in range(0, size, _BATCH_ROWS):
            end = min(begin + _BATCH_ROWS, size)
            part = np.arange(begin, end) if cells is None else cells[begin:end]
            yield _batch([{"cell": part, "step": np.zeros(len(part), np.int64)}], schema)

    def _selected(
        self, task: _Task, values: dict[str, NDArray[Any]], schema: pa.Schema
    ) -> dict[str, NDArray[Any]] | None:
        """Return the wanted columns of the cells of a block that satisfy everything; None if there are none."""
        time, rows, columns = task.block
        nx = self._cluster.grid.shape[1]
        if task.steps is not None:
            values = {name: held[task.steps - time.start] for name, held in values.items()}
        if task.cells is not None:
            row, column = np.divmod(task.cells, nx)
            chosen = (row - rows.start) * (columns.stop - columns.start) + column - columns.start
            values = {name: held.reshape(len(held), -1)[:, chosen] for name, held in values.items()}
        else:
            values = {name: held.reshape(len(held), -1) for name, held in values.items()}
        mask = self._mask(values)
        if mask is not None and not mask.any():
            return None
        shape = next(iter(values.values())).shape
        flat = np.arange(shape[0] * shape[1]) if mask is None else np.flatnonzero(mask)
        step, place = np.divmod(flat, shape[1])
        if task.cells is not None:
            cell = task.cells[place]
        else:
            across = columns.stop - columns.start
            cell = (place // across + rows.start) * nx + place % across + columns.start
        part: dict[str, NDArray[Any]] = {}
        for name in schema.names:
            if name == "cell":
                part[name] = cell
            elif name in ("step", "time"):
                steps = step + time.start if task.steps is None else task.steps[step]
                part[name] = steps if name == "step" else self._cluster.grid.times[steps]
            else:
                held = values[name.removeprefix("value:")]
                part[name] = held.ravel()[flat]
        return part

    def _mask(self, values: dict[str, NDArray[Any]]) -> NDArray[np.bool_] | None:
        mask: NDArray[np.bool_] | None = None
        tested: set[str] = set()
        for name, operator, constant in self._restriction.conditions:
            test = _compared(values[name], operator, constant)
            mask = test if mask is None else np.logical_and(mask, test, out=mask)
            tested.add(name)
        for name, members in self._restriction.one_of:
            held = np.isin(values[name].astype(np.float64), members)
            mask = held if mask is None else mask & held
            tested.add(name)
        present = [_present(held) for name, held in values.items() if name not in tested]
        if self._cluster.variables:
            for valid in present:
                if valid is not None:
                    mask = valid if mask is None else mask & valid
            return mask
        if any(test is None for test in present):
            return mask
        either = np.logical_or.reduce([test for test in present if test is not None])
        return either if mask is None else mask & either


def _tight(steps: NDArray[np.int64] | None, begin: int, end: int) -> tuple[slice, NDArray[np.int64] | None]:
    """Return the slice around wanted steps, and the steps only if the slice holds others too."""
    if steps is None:
        return slice(begin, end), None
    block = slice(int(steps[0]), int(steps[-1]) + 1)
    return block, None if len(steps) == block.stop - block.start else steps


def _present(values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return where there are values; None if there can be no gaps."""
    return ~np.isnan(values) if np.issubdtype(values.dtype, np.floating) else None


def _compared(values: NDArray[Any], operator: str, constant: float) -> NDArray[np.bool_]:
    """Compare values, each widened exactly to float64, with a constant, without widening the array.

    For a float32 array the constant is moved to the neighbour that gives the same answer for every float32 value.
    """
    if values.dtype == np.float32 and np.isfinite(constant):
        with np.errstate(over="ignore"):
            near = np.float32(constant)
        exact = float(near)
        if exact != constant:
            if operator == "=":
                return np.zeros(values.shape, bool)
            if operator in ("<", "<="):
                operator = "<=" if exact < constant else "<"
            else:
                operator = ">" if exact < constant else ">="
        threshold: Any = near
    else:
        values, threshold = values.astype(np.float64, copy=False), constant
    if operator == "<":
        return np.asarray(values < threshold)
    if operator == "<=":
        return np.asarray(values <= threshold)
    if operator == ">":
        return np.asarray(values > threshold)
    if operator == ">=":
        return np.asarray(values >= threshold)
    return np.asarray(values == threshold)


def _batch(parts: list[dict[str, NDArray[Any]]], schema: pa.Schema) -> pa.RecordBatch:
    arrays = []
    for column in schema:
        held = np.concatenate([part[column.name] for part in parts])
        if pa.types.is_floating(column.type):
            held = held.astype(np.float64) + 0.0  # there is one zero
        arrays.append(pa.array(held, column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def result_columns(variables: list[Variable], names: list[str]) -> pa.Schema:
    """Return the schema of a read that yields the named columns.

    Parameters
    ----------
    variables : list of Variable
        What is read.
    names : list of str
        Some of ``step``, ``time``, ``cell`` and ``value:<variable>``.
    """
    integer = {f"value:{item.name}" for item in variables if item.integer}
    whole = {"step", "time", "cell"} | integer
    return pa.schema([(name, pa.int64() if name in whole else pa.float64()) for name in names])
