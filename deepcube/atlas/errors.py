"""What can go wrong in the atlas, one root for all.

::

    AtlasError
    ├── RequestError       400: a parameter of a request is missing or makes no sense
    ├── NotThereError      404: no such cube, variable or layer
    ├── OutdatedError      409: what is asked about has been written again since
    ├── ChangingError      503: what is asked about is being written
    └── StoppedError       the client has left; nobody reads the answer
"""

from typing import Self


class AtlasError(Exception):
    """Root of the errors of the atlas.

    Attributes
    ----------
    status : int
        HTTP status that a client is answered with.
    """

    status = 500


class RequestError(AtlasError):
    """A parameter of a request is missing or makes no sense."""

    status = 400


class NotThereError(AtlasError):
    """There is no such cube, variable or layer."""

    status = 404


class OutdatedError(AtlasError):
    """What is asked about has been written again since the page was told of it."""

    status = 409


class ChangingError(AtlasError):
    """What is asked about is being written."""

    status = 503

    @classmethod
    def of(cls, name: str) -> Self:
        """Say so of a cube."""
        return cls(f"The cube {name} is being written; it is shown when it is complete.")


class StoppedError(AtlasError):
    """The client has left before its answer was ready."""

    status = 499
