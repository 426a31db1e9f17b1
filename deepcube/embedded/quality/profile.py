"""Descriptive statistics of the columns of a table, computed by DuckDB and numpy.

What the numbers mean:

- A missing value is a null or a NaN. ``count`` counts rows, ``completeness`` is the fraction of rows with a value.
- Infinities are values: they are counted and told apart, but every other number (``min``, ``mean``, percentiles,
  histogram) is about the finite values, since JSON has no infinity; the extended statistics say how many there are.
- ``stdDev`` is that of the population (division by n), as Deequ, which Hopsworks uses, defines it.
- ``percentiles`` holds the 1st to the 100th, interpolated linearly (numpy's default).
- ``distinctness`` is distinct values over values, ``uniqueness`` is values that occur once over values, ``entropy`` is
  the sum of -p ln p over the fractions p of the distinct values.
- Correlations are Pearson's, over the rows in which both values are finite; undefined ones (a constant column) are left
  out.

Numbers are exact up to :data:`EXACT_ROWS` rows; beyond, distinct values and percentiles are sketched, so that memory
stays bounded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from deepcube.embedded.quality.numbers import (
    Counts,
    bin_edges,
    finite,
    histogram,
    run_lengths,
    scale_of,
    summarise,
    uniqueness,
)

EXACT_ROWS = 16_000_000  # one column of doubles in memory: 128 MB
DEFAULT_BINS = 20
MAX_CATEGORIES = 100
_PAIRS_PER_QUERY = 500

INTEGRAL, FRACTIONAL, BOOLEAN, STRING = "Integral", "Fractional", "Boolean", "String"
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT")
_TIMES = ("TIMESTAMP", "DATE", "TIME")

Json = dict[str, Any]


@dataclass(frozen=True)
class ProfileConfig:
    """What to compute.

    Attributes
    ----------
    columns : tuple of str
        Only these columns; all if empty.
    histograms, correlations, exact_uniqueness : bool
        Whether to compute these too.
    bins : int
        Bins of the histogram of a numeric column.
    """

    columns: tuple[str, ...] = ()
    histograms: bool = False
    correlations: bool = False
    exact_uniqueness: bool = False
    bins: int = DEFAULT_BINS

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> ProfileConfig:
        """Read the ``statisticsConfig`` of a feature group or training dataset."""
        given = document or {}
        return cls(
            columns=tuple(given.get("columns") or ()),
            histograms=bool(given.get("histograms")),
            correlations=bool(given.get("correlations")),
            exact_uniqueness=bool(given.get("exactUniqueness")),
            bins=max(1, min(int(given.get("histogramBins") or DEFAULT_BINS), 1000)),
        )


@dataclass
class _Column:
    """A column, and what is found out about it."""

    name: str
    duckdb_type: str
    values: int = 0
    infinities: int = 0
    document: Json = field(default_factory=dict)
    extended: Json = field(default_factory=dict)

    @property
    def sql(self) -> str:
        return '"' + self.name.replace('"', '""') + '"'

    @property
    def feature_type(self) -> str:
        if self.duckdb_type in _INTEGERS:
            return INTEGRAL
        if self.duckdb_type in ("FLOAT", "DOUBLE") or (self.duckdb_type.startswith("DECIMAL") and self.is_scalar):
            return FRACTIONAL
        return BOOLEAN if self.duckdb_type == "BOOLEAN" else STRING

    @property
    def is_scalar(self) -> bool:
        return not self.duckdb_type.endswith("]")

    @property
    def is_numeric(self) -> bool:
        return self.feature_type in (INTEGRAL, FRACTIONAL)

    @property
    def is_time(self) -> bool:
        return self.duckdb_type.startswith(_TIMES) and self.is_scalar

    @property
    def is_categorical(self) -> bool:
        return self.duckdb_type in ("BOOLEAN", "VARCHAR")

    @property
    def number(self) -> str:
        """SQL of the column as a number; decimals and single precision become doubles."""
        return f"{self.sql}::DOUBLE" if self.feature_type == FRACTIONAL else self.sql

    @property
    def is_finite(self) -> str:
        """SQL that is true where the column has a finite number."""
        return f"isfinite({self.number})" if self.feature_type == FRACTIONAL else f"{self.sql} IS NOT NULL"


def profile(
    connection: duckdb.DuckDBPyConnection, relation: str, config: ProfileConfig, *, exact_rows: int = EXACT_ROWS
) -> list[Json]:
    """Return the descriptive statistics of a table, one document per column.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Where the table is known.
    relation : str
        Name of the table or view; it is read several times.
    config : ProfileConfig
        What to compute.
    exact_rows : int
        Beyond this many rows, distinct values and percentiles are sketched.

    Returns
    -------
    list of dict
        As the client reads ``FeatureDescriptiveStatistics``.
    """
    try:
        return _Profiler(connection, relation, config, exact_rows).documents()
    finally:
        # Arrow keeps the buffers of what it has read; a server that stays up gives them back.
        pa.default_memory_pool().release_unused()


class _Profiler:
    """One computation over one table."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, relation: str, config: ProfileConfig, exact_rows: int
    ) -> None:
        self._connection = connection
        self._table = '"' + relation.replace('"', '""') + '"'
        self._config = config
        self._bins = config.bins if config.histograms else 0
        described = connection.execute(f"DESCRIBE SELECT * FROM {self._table}").fetchall()
        columns = [_Column(str(row[0]), str(row[1])) for row in described]
        self._columns = [column for column in columns if not config.columns or column.name in config.columns]
        self._rows = self._count()
        self._is_exact = self._rows <= exact_rows

    def _row(self, select: str, where: str = "TRUE") -> tuple[Any, ...]:
        found = self._connection.execute(f"SELECT {select} FROM {self._table} WHERE {where}").fetchone()
        assert found is not None
        return found

    def _count(self) -> int:
        """Count rows, and per column its values and its infinities."""
        parts = ["count(*)"]
        for column in self._columns:
            if column.feature_type == FRACTIONAL:
                parts.append(f"count(*) FILTER (NOT isnan({column.number}))")
                parts.append(f"count(*) FILTER (isinf({column.number}))")
            else:
                parts += [f"count({column.sql})", "0"]
        rows, *numbers = self._row(", ".join(parts))
        for column, values, infinities in zip(self._columns, numbers[::2], numbers[1::2], strict=True):
            column.values, column.infinities = int(values), int(infinities)
        return int(rows)

    def documents(self) -> list[Json]:
        """Describe every column."""
        for column in self._columns:
            self._describe(column)
        if self._config.correlations and self._rows:
            self._correlate([column for column in self._columns if column.is_numeric])
        for column in self._columns:
            if column.extended:
                column.document["extendedStatistics"] = json.dumps(column.extended)
        return [column.document for column in self._columns]

    def _describe(self, column: _Column) -> None:
        column.document |= {
            "featureName": column.name,
            "featureType": column.feature_type,
            "count": self._rows,
            "numNonNullValues": column.values,
            "numNullValues": self._rows - column.values,
        }
        if self._rows == 0:
            return
        column.document["completeness"] = column.values / self._rows
        if column.infinities:
            column.extended["infinities"] = column.infinities
        if self._bins and (column.is_numeric or column.is_categorical):
            column.extended["histogram"] = []
        if not (column.is_numeric or column.is_categorical or column.is_time):
            return  # arrays, structs and binaries: only their presence is described
        if column.values == 0:
            column.document["approxNumDistinctValues"] = 0
        elif column.is_numeric:
            self._describe_numbers(column)
        else:
            self._describe_categories(column)

    def _describe_numbers(self, column: _Column) -> None:
        # The infinities, at most two distinct values, count as values but not in the summary.
        infinities = self._infinity_sizes(column)
        if self._is_exact:
            finite_values = f"SELECT {column.number} AS x FROM {self._table} WHERE {column.is_finite}"
            ordered = np.sort(self._connection.execute(finite_values).fetchnumpy()["x"])
            summary = summarise(ordered, self._bins)
            self._count_distinct(column, np.concatenate([infinities, run_lengths(ordered)]))
        else:
            summary = self._sketch(column)
            column.document["approxNumDistinctValues"] = summary.pop("distinct", 0) + len(infinities)
        found = summary.pop("histogram", None)
        if found is not None:
            column.extended["histogram"] = found
        column.document |= summary

    def _infinity_sizes(self, column: _Column) -> Counts:
        """Return how often each infinity occurs."""
        if column.infinities == 0:
            return np.array([], dtype=np.int64)
        positive = int(self._row("count(*)", f"{column.number} = 'inf'::DOUBLE")[0])
        sizes = np.array([positive, column.infinities - positive], dtype=np.int64)
        return sizes[sizes > 0]

    def _count_distinct(self, column: _Column, sizes: Counts) -> None:
        column.document["approxNumDistinctValues"] = len(sizes)
        if self._config.exact_uniqueness:
            column.document |= uniqueness(sizes)

    def _sketch(self, column: _Column) -> Json:
        """Describe the finite numbers of a column too long to sort in memory."""
        x, where = column.number, column.is_finite
        low, high = self._row(f"min({x}), max({x})", where)
        if low is None:
            return {}
        scale = scale_of(low, high)
        scaled, fractions = f"({x}::DOUBLE / {scale!r})", ", ".join(str(percent / 100) for percent in range(1, 101))
        mean, total, deviation, percentiles, distinct = self._row(
            f"favg({scaled}), fsum({scaled}), stddev_pop({scaled}), "
            f"approx_quantile({scaled}, [{fractions}]), approx_count_distinct({x})",
            where,
        )
        result: Json = {
            "min": low,
            "max": high,
            "sum": finite(total * scale),
            "mean": mean * scale,
            "stdDev": deviation * scale,
            # A sketch may leave the range by a rounding error.
            "percentiles": [min(max(float(value) * scale, low), high) for value in percentiles],
            "distinct": int(distinct),
        }
        if self._bins:
            edges = bin_edges(low, high, self._bins)
            below = [f"count(*) FILTER ({x} < {float(edge)!r}::DOUBLE)" for edge in edges[1:-1]]
            counts = self._row(", ".join([*below, "count(*)"]), where)
            result["histogram"] = histogram(edges, np.diff([0, *counts]).astype(np.int64))
        return result

    def _describe_categories(self, column: _Column) -> None:
        where = f"{column.sql} IS NOT NULL"
        groups = f"SELECT {column.sql} AS v, count(*) AS n FROM {self._table} WHERE {where} GROUP BY 1"
        if self._is_exact:
            sizes = self._connection.execute(f"SELECT n FROM ({groups})").fetchnumpy()["n"]
            self._count_distinct(column, np.asarray(sizes, dtype=np.int64))
        else:
            column.document["approxNumDistinctValues"] = int(
                self._row(f"approx_count_distinct({column.sql})", where)[0]
            )
        if column.is_time:
            earliest, latest = self._row(f"min({column.sql})::VARCHAR, max({column.sql})::VARCHAR", where)
            column.extended |= {"earliest": earliest, "latest": latest}
        elif self._bins:
            top = f"SELECT v::VARCHAR, n FROM ({groups}) ORDER BY n DESC, v LIMIT {MAX_CATEGORIES}"
            column.extended["histogram"] = [
                {"value": str(value), "count": int(count), "ratio": int(count) / column.values}
                for value, count in self._connection.execute(top).fetchall()
            ]

    def _correlate(self, numeric: list[_Column]) -> None:
        """Add Pearson's correlation of every pair of numeric columns."""
        for column in numeric:
            column.extended["correlations"] = []
        pairs = [(a, b) for position, a in enumerate(numeric) for b in numeric[position:]]
        for start in range(0, len(pairs), _PAIRS_PER_QUERY):
            chunk = pairs[start : start + _PAIRS_PER_QUERY]
            found = self._row(", ".join(f"corr({_term(a)}, {_term(b)})" for a, b in chunk))
            for (a, b), value in zip(chunk, found, strict=True):
                if value is None or not math.isfinite(value):
                    continue
                number = 1.0 if a is b else max(-1.0, min(1.0, float(value)))
                a.extended["correlations"].append({"column": b.name, "correlation": number})
                if a is not b:
                    b.extended["correlations"].append({"column": a.name, "correlation": number})


def _term(column: _Column) -> str:
    """Return SQL of a column's finite numbers, scaled, which does not change a correlation."""
    low, high = column.document.get("min"), column.document.get("max")
    if low is None or high is None or low == high:
        return "NULL::DOUBLE"  # nothing correlates with a constant
    return f"CASE WHEN {column.is_finite} THEN {column.number}::DOUBLE / {scale_of(low, high)!r} END"
