"""RDF terms as integers: what a column of a result may hold, and how its values become terms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyoxigraph as ox

from deepcube.semantics import vocabulary as v

Term = ox.NamedNode | ox.BlankNode | ox.Literal

_DOUBLE = ox.NamedNode(v.XSD + "double")
_DATE_TIME = ox.NamedNode(v.XSD + "dateTime")
_WKT = ox.NamedNode(v.WKT_LITERAL)


class Kind:
    """What all values of a column are; subclasses turn their integers or numbers into terms and back.

    Two kinds are the same if they are equal; values of the same kind are the same term if and only if they are equal.
    """

    sql = "BIGINT"

    def decode(self, values: Sequence[Any]) -> list[Term]:
        """Return the term of each value (none of which is missing)."""
        raise NotImplementedError

    def encode(self, term: Term) -> Any | None:
        """Return the value that stands for a term; None if no value of this kind does."""
        raise NotImplementedError


@dataclass(frozen=True)
class TermKind(Kind):
    """Any term, by its number in a :class:`TermTable`."""

    table: TermTable

    def decode(self, values: Sequence[Any]) -> list[Term]:
        """Return the term of each number."""
        return [self.table.terms[value] for value in values]

    def encode(self, term: Term) -> int:
        """Return the number of a term."""
        return self.table.add(term)


@dataclass(frozen=True)
class DoubleKind(Kind):
    """``xsd:double`` literals."""

    sql = "DOUBLE"

    def decode(self, values: Sequence[Any]) -> list[Term]:
        """Return a literal of each number."""
        return [ox.Literal(float(value)) for value in values]

    def encode(self, term: Term) -> float | None:
        """Return the number of an ``xsd:double``; None for every other term."""
        return float(term.value) if isinstance(term, ox.Literal) and term.datatype == _DOUBLE else None


@dataclass(frozen=True)
class IntegerKind(Kind):
    """``xsd:integer`` literals."""

    def decode(self, values: Sequence[Any]) -> list[Term]:
        """Return a literal of each number."""
        return [ox.Literal(int(value)) for value in values]

    def encode(self, term: Term) -> int | None:
        """Return the number of an ``xsd:integer``; None for every other term."""
        integer = isinstance(term, ox.Literal) and term.datatype.value == v.XSD + "integer"
        return int(term.value) if integer else None


@dataclass(frozen=True)
class BooleanKind(Kind):
    """``xsd:boolean`` literals."""

    sql = "BOOLEAN"

    def decode(self, values: Sequence[Any]) -> list[Term]:
        """Return a literal of each truth value."""
        return [ox.Literal(bool(value)) for value in values]

    def encode(self, term: Term) -> bool | None:
        """Return the truth value of an ``xsd:boolean``; None for every other term."""
        boolean = isinstance(term, ox.Literal) and term.datatype.value == v.XSD + "boolean"
        return term.value in ("true", "1") if boolean else None


@dataclass(frozen=True)
class DateTimeKind(Kind):
    """``xsd:dateTime`` literals in UTC, as microseconds since 1970."""

    def decode(self, values: Sequence[Any]) -> list[Term]:
        """Return a literal of each time."""
        return [date_time(int(value)) for value in values]

    def encode(self, term: Term) -> int | None:
        """Return the time of an ``xsd:dateTime`` in UTC; None for every other term."""
        if not (isinstance(term, ox.Literal) and term.datatype == _DATE_TIME and term.value.endswith("Z")):
            return None
        try:
            return int(np.datetime64(term.value[:-1], "us").astype(np.int64))
        except ValueError:
            return None


def date_time(microseconds: int) -> ox.Literal:
    """Return the ``xsd:dateTime`` of a time in UTC, given as microseconds since 1970."""
    seconds, _, fraction = str(np.datetime_as_string(np.datetime64(microseconds, "us"))).partition(".")
    fraction = fraction.rstrip("0")
    return ox.Literal(f"{seconds}.{fraction}Z" if fraction else f"{seconds}Z", datatype=_DATE_TIME)


@dataclass(frozen=True)
class IriKind(Kind):
    """IRIs ``base + i/j/...`` of things that a grid has many of, numbered in row-major order of ``shape``.

    Attributes
    ----------
    base : str
        What every IRI begins with.
    shape : tuple of int
        Number of things along each axis.
    suffix : str
        What every IRI ends with.
    """

    base: str
    shape: tuple[int, ...]
    suffix: str = ""

    def decode(self, values: Sequence[Any]) -> list[Term]:
        """Return the IRI of each number."""
        parts = np.unravel_index(np.asarray(values, dtype=np.int64), self.shape)
        rows = zip(*(part.tolist() for part in parts), strict=True)
        return [ox.NamedNode(f"{self.base}{'/'.join(map(str, row))}{self.suffix}") for row in rows]

    def encode(self, term: Term) -> int | None:
        """Return the number of an IRI of this kind; None for every other term."""
        if not isinstance(term, ox.NamedNode) or not term.value.startswith(self.base):
            return None
        text = term.value[len(self.base) :]
        if not text.endswith(self.suffix):
            return None
        parts = text[: len(text) - len(self.suffix)].split("/")
        if len(parts) != len(self.shape) or not all(part.isascii() and part.isdigit() for part in parts):
            return None
        if any(str(int(part)) != part for part in parts):
            return None
        index = tuple(int(part) for part in parts)
        if any(i >= n for i, n in zip(index, self.shape, strict=True)):
            return None
        return int(np.ravel_multi_index(index, self.shape))


@dataclass(frozen=True)
class WktKind(Kind):
    """``geo:wktLiteral`` of the cells of a grid, by the number of the cell.

    Attributes
    ----------
    grid : GridAxes
        The grid.
    area : bool
        Whether they are the footprints, polygons, rather than the centres, points.
    """

    grid: Any  # deepcube.semantics.grids.GridAxes, which is hashable by identity
    area: bool = False

    def decode(self, values: Sequence[Any]) -> list[Term]:
        """Return the point or polygon of each cell."""
        cells = np.asarray(values, dtype=np.int64)
        if self.area:
            rings = self.grid.corners(cells).tolist()
            texts = [", ".join(f"{x!r} {y!r}" for x, y in [*ring, ring[0]]) for ring in rings]
            return [ox.Literal(f"POLYGON(({text}))", datatype=_WKT) for text in texts]
        longitude, latitude = self.grid.centres(cells)
        pairs = zip(longitude.tolist(), latitude.tolist(), strict=True)
        return [ox.Literal(f"POINT({x!r} {y!r})", datatype=_WKT) for x, y in pairs]

    def encode(self, term: Term) -> int | None:
        """Return the cell whose literal is exactly this one; None for every other term."""
        head = "POLYGON((" if self.area else "POINT("
        if not (isinstance(term, ox.Literal) and term.datatype == _WKT and term.value.startswith(head)):
            return None
        try:
            points = np.array([pair.split(" ") for pair in term.value.strip("POLYGINT()").split(", ")], dtype=float)
        except ValueError:
            return None
        if points.shape[1:] != (2,):
            return None
        (west, south), (east, north) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        for cell in self.grid.cells_within(west, south, east, north).tolist():
            if self.decode([cell])[0] == term:
                return int(cell)
        return None


class TermTable:
    """Terms of one query, numbered in the order in which they were met."""

    def __init__(self) -> None:
        self.terms: list[Term] = []
        self._numbers: dict[Term, int] = {}

    def add(self, term: Term) -> int:
        """Return the number of a term, a new one for a new term."""
        number = self._numbers.get(term)
        if number is None:
            number = self._numbers[term] = len(self.terms)
            self.terms.append(term)
        return number

    def add_all(self, terms: Iterable[Term | None]) -> list[int | None]:
        """Return the number of each term; None stays None."""
        return [None if term is None else self.add(term) for term in terms]


DOUBLE, INTEGER, BOOLEAN, DATE_TIME = DoubleKind(), IntegerKind(), BooleanKind(), DateTimeKind()
