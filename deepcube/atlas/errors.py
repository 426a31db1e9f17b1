"""What can go wrong in the atlas, one root for all.

::

    AtlasError
    ├── RequestError       400: a parameter of a request is missing or makes no sense
    ├── NotThereError      404: no such cube, variable or layer
    └── StoppedError       the client has left; nobody reads the answer
"""


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


class StoppedError(AtlasError):
    """The client has left before its answer was ready."""

    status = 499
