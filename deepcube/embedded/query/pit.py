"""Point-in-time matching: for each row, the newest row of another group with the same key at or before its time.

The rows of the other group are sorted once by (key, time); a row's match is then one binary search. Keys become small
integers first, so that key and time fit one 64-bit number and the search runs over plain integers.

Of rows with equal key and equal time the greatest one counts: by primary key, then by the other features in the order
of the schema, a missing value being the lowest. So the answer depends on the rows alone, not on the order in which
they were written or lie in files. A missing key or time never matches.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Integers = npt.NDArray[np.int64]
NONE = -1
_DENSE = 2**31  # more numbers than this are renumbered before they are combined further
_LIMIT = 2**62


class Matcher:
    """The rows to match with, prepared for searching.

    Parameters
    ----------
    keys : list of pa.Array
        Key columns of the other group, one value per row.
    times : pa.Array
        Its event times as int64, see :func:`instants`.
    ranking : pa.Table, optional
        What decides between rows of equal key and time, most important column first; without it any of them counts.

    Attributes
    ----------
    has_ties : bool
        Whether there are rows of equal key and time.
    """

    def __init__(self, keys: list[pa.Array], times: pa.Array, ranking: pa.Table | None = None) -> None:
        rows = np.flatnonzero(_valid([*keys, times]))
        self._encoder = _Encoder([key.take(pa.array(rows)) for key in keys])
        codes, instants = self._encoder.codes, integers(times)[rows]
        self._clock = _Clock(instants, int(codes.max(initial=0)) + 1)
        combined = self._clock.combine(codes, instants)
        order = np.argsort(combined, kind="stable")
        self._sorted = combined[order]
        self._rows = rows[order]
        equal = self._sorted[1:] == self._sorted[:-1]
        self.has_ties = bool(equal.any())
        if self.has_ties and ranking is not None:
            self._rows = _settle_ties(self._sorted, equal, self._rows, ranking)

    def match(self, keys: list[pa.Array], times: pa.Array, order: Integers | None = None) -> tuple[Integers, Integers]:
        """Return, for each row, the position of its match among the other group's rows, or -1.

        Parameters
        ----------
        keys : list of pa.Array
            Key columns, of the same types as those of the other group.
        times : pa.Array
            Event times as int64.
        order : array, optional
            The order in which rows are searched, as an earlier call gave it for the same keys and times. It changes
            no result: sorted searches stay in the processor's cache.

        Returns
        -------
        positions, order : array, array
            The matches, and the order for the next call.
        """
        if len(self._sorted) == 0 or len(times) == 0:
            return np.full(len(times), NONE, dtype=np.int64), np.arange(len(times))
        codes = self._encoder.encode(keys)
        wanted = self._clock.combine(codes, integers(times))
        order = np.argsort(wanted) if order is None else order
        at = np.empty(len(wanted), dtype=np.int64)
        at[order] = np.searchsorted(self._sorted, wanted[order], side="right") - 1
        near = np.maximum(at, 0)
        hit = (at >= 0) & (codes >= 0) & (self._clock.code(self._sorted[near]) == codes) & _valid([*keys, times])
        return np.where(hit, self._rows[near], NONE), order


class _Encoder:
    """Numbers for keys of several columns: equal keys get equal numbers, keys that were not seen get -1.

    Parameters
    ----------
    keys : list of pa.Array
        The keys that get numbers; no value is missing.
    """

    def __init__(self, keys: list[pa.Array]) -> None:
        self._columns: list[_Column] = []
        self._renumbered: list[Integers | None] = []
        self.codes: Integers = np.zeros(len(keys[0]), dtype=np.int64)
        size = 1
        for key in keys:
            column = _Column(key)
            combined = self.codes * column.size + column.encode(key)
            distinct = None
            size *= column.size
            if size > _DENSE:
                distinct, combined = np.unique(combined, return_inverse=True)
                size = len(distinct)
            self._columns.append(column)
            self._renumbered.append(distinct)
            self.codes = combined

    def encode(self, keys: list[pa.Array]) -> Integers:
        """Return the number of each key, -1 for one that was not seen; missing values may get any number."""
        codes: Integers = np.zeros(len(keys[0]), dtype=np.int64)
        known = np.ones(len(codes), dtype=bool)
        for key, column, distinct in zip(keys, self._columns, self._renumbered, strict=True):
            number = column.encode(key)
            known &= number >= 0
            codes = codes * column.size + number
            if distinct is not None:
                at = np.minimum(np.searchsorted(distinct, codes), max(len(distinct) - 1, 0))
                known &= distinct[at] == codes if len(distinct) else False
                codes = at.astype(np.int64)
        return codes if known.all() else np.where(known, codes, NONE)


class _Column:
    """Numbers for the values of one column: an offset where it is integer and narrow, else a hash table."""

    def __init__(self, values: pa.Array) -> None:
        self._distinct: pa.Array | None = None
        self._lowest = 0
        if pa.types.is_integer(values.type) and len(values):
            numbers = integers(values)
            self._lowest, highest = int(numbers.min()), int(numbers.max())
            self.size = highest - self._lowest + 1
            if self.size <= _DENSE:
                return
        self._distinct = pc.unique(values)
        self.size = max(len(self._distinct), 1)

    def encode(self, values: pa.Array) -> Integers:
        """Return the number of each value, -1 for one that was not seen."""
        if self._distinct is None:
            numbers = integers(values) - self._lowest
            outside = (numbers < 0) | (numbers >= self.size)
            return np.where(outside, NONE, numbers) if outside.any() else numbers
        if values.type != self._distinct.type:
            values = values.cast(self._distinct.type)
        return integers(pc.index_in(values, value_set=self._distinct), NONE)


class _Clock:
    """Key number and time as one number that sorts by both.

    Where they do not fit 64 bits, times are replaced by how many of the other group's times lie at or before them,
    which changes no comparison with those.

    Parameters
    ----------
    times : array of int64
        The other group's times.
    codes : int
        How many key numbers there are.
    """

    def __init__(self, times: Integers, codes: int) -> None:
        self._lowest = int(times.min()) if len(times) else 0
        highest = int(times.max()) if len(times) else 0
        self._span = highest - self._lowest + 2
        self._distinct: Integers | None = None
        if codes * self._span > _LIMIT:
            self._distinct = np.unique(times)
            self._span = len(self._distinct) + 1

    def combine(self, codes: Integers, times: Integers) -> Integers:
        """Return the combined numbers; a time before all of the other group's sorts before them."""
        if self._distinct is not None:
            return codes * self._span + np.searchsorted(self._distinct, times, side="right")
        highest = self._lowest + self._span - 2
        return codes * self._span + (np.clip(times, self._lowest - 1, highest) - (self._lowest - 1))

    def code(self, combined: Integers) -> Integers:
        """Return the key numbers of combined numbers."""
        return combined // self._span


def _settle_ties(combined: Integers, equal: npt.NDArray[np.bool_], rows: Integers, ranking: pa.Table) -> Integers:
    """Put the row that counts last among those of equal key and time."""
    tied = np.zeros(len(rows), dtype=bool)
    tied[1:] |= equal
    tied[:-1] |= equal
    places = np.flatnonzero(tied)
    some = rows[places]
    rank = _ranks(ranking.take(pa.array(some)))
    settled = rows.copy()
    settled[places] = some[np.lexsort((rank, combined[places]))]
    return settled


def _ranks(table: pa.Table) -> Integers:
    """Return the rank of each row, the lowest 0, columns compared one after the other."""
    columns = [_sortable(column.combine_chunks()) for column in table.columns]
    plain = pa.table(columns, names=[str(i) for i in range(len(columns))])
    order = pc.sort_indices(plain, sort_keys=[(n, "ascending", "at_start") for n in plain.column_names])
    rank = np.empty(len(order), dtype=np.int64)
    rank[integers(order)] = np.arange(len(order))
    return rank


def _sortable(column: pa.Array) -> pa.Array:
    """Return a column that Arrow can sort; arrays, maps and structures are compared as text."""
    if pa.types.is_nested(column.type):
        return pa.array([None if value is None else repr(value) for value in column.to_pylist()], pa.string())
    return column


def instants(column: pa.Array, kind: str, native: bool) -> pa.Array:
    """Return event times as int64.

    Parameters
    ----------
    column : pa.Array
        Event times: timestamp, date, int or bigint.
    kind : str
        Feature type of the column.
    native : bool
        Take whole numbers as they are, since both sides are such; otherwise they are times since the epoch, in
        milliseconds, or in seconds where they have at most ten digits, as the client reads them.

    Returns
    -------
    pa.Array
        Microseconds since the epoch, or the numbers themselves.
    """
    kind = kind.lower()
    if kind == "timestamp":
        return column.cast(pa.timestamp("us")).view(pa.int64())
    if kind == "date":
        return column.cast(pa.timestamp("us")).view(pa.int64())
    numbers = column.cast(pa.int64())
    if native:
        return numbers
    seconds = pc.less(pc.abs(numbers), 10_000_000_000)
    return pc.multiply(pc.if_else(seconds, pc.multiply(numbers, 1000), numbers), 1000)


def _valid(columns: list[pa.Array]) -> npt.NDArray[np.bool_]:
    """Tell for each row whether no column misses a value."""
    valid = np.ones(len(columns[0]), dtype=bool)
    for column in columns:
        if column.null_count:
            valid &= column.is_valid().to_numpy(zero_copy_only=False)
    return valid


def integers(column: pa.Array, missing: int = 0) -> Integers:
    """Return a column of whole numbers as an array, with a number for missing values."""
    filled = column.fill_null(missing) if column.null_count else column
    return filled.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
