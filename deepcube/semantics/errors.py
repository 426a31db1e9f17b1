"""What can go wrong with a question; every error says what was found, what was expected and what to do.

::

    SemanticsError
    ├── QuerySyntaxError       the text is not SPARQL 1.1
    │   └── UnknownTermError   a prefix or a term of our own words that does not exist
    ├── UnsupportedQueryError  a part that cannot be answered exactly
    ├── UnboundedQueryError    more would be read than the bound allows
    ├── QueryStoppedError      cancelled or out of time
    ├── MappingError           a mapping that does not fit its cube
    ├── GeometryError          a geometry that is none
    └── LoadError              a file of linked data that cannot be read
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SemanticsError(Exception):
    """Root of the errors of :mod:`deepcube.semantics`."""


class QuerySyntaxError(SemanticsError):
    """A query that is not SPARQL 1.1.

    Attributes
    ----------
    line, column : int or None
        Where the error was found, counted from 1.
    """

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class UnknownTermError(QuerySyntaxError):
    """A prefix that was not declared, or a word of a namespace that does not have it."""


class UnsupportedQueryError(SemanticsError):
    """A part of a query that cannot be answered exactly; the message names it."""


class UnboundedQueryError(SemanticsError):
    """A query that would read more than the bound allows.

    Attributes
    ----------
    cells : int
        Estimated number of values that it would read or list.
    """

    def __init__(self, message: str, cells: int) -> None:
        super().__init__(message)
        self.cells = cells


class QueryStoppedError(SemanticsError):
    """A query that was cancelled or ran out of its time."""


class MappingError(SemanticsError):
    """A mapping file that is broken or does not fit its cube."""


class GeometryError(SemanticsError):
    """A literal that is no valid geometry."""


class LoadError(SemanticsError):
    """A file of linked data that cannot be read."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint such as ``"; did you mean 'ndvi'?"``, or nothing if no known word is near.

    Parameters
    ----------
    word : str
        What was found.
    known : iterable of str
        What there is.
    """
    near = difflib.get_close_matches(word, sorted(set(known)), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
