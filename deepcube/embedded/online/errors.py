"""Errors of the online store.

::

    OnlineError                   anything that goes wrong in this package
    ├── ProtocolError             bytes that break the rules of a wire; the connection is closed
    ├── InvalidRecordError        a record that its feature group cannot take; its batch is refused
    └── QueryError                a statement that the online store does not run
"""

from __future__ import annotations

from deepcube.embedded.errors import EmbeddedError


class OnlineError(EmbeddedError):
    """Root of every error that the online store raises."""


class ProtocolError(OnlineError):
    """A client sent bytes that break the rules of the wire."""


class InvalidRecordError(OnlineError):
    """A record cannot be decoded with its schema, or its values do not fit the feature group."""


class QueryError(OnlineError):
    """A statement is not one that the online store runs: wrong, forbidden or about tables that are not there."""
