"""The exceptions of :mod:`deepcube.cubes`.

::

    CubeError (ValueError)
    ├── CubeNotFoundError      nothing at the given path
    ├── NotACubeError          something is there, but it cannot be read as a cube
    ├── UnknownVariableError   the cube has no variable of that name
    ├── TimeAxisError          times missing, unsorted, duplicated, unreadable or too few
    ├── MissingCrsError        no coordinate reference system where one is needed
    ├── NoValidDataError       nothing but gaps
    ├── ScaleError             values outside the range that the variable can take
    └── CellError              a point, level or cell id that the cell system does not have

Every message says what was found, what was expected and what to do.
"""


class CubeError(ValueError):
    """Root of all errors raised by :mod:`deepcube.cubes`."""


class CubeNotFoundError(CubeError):
    """Nothing exists at the path that should hold a cube."""


class NotACubeError(CubeError):
    """The file or folder exists but holds no readable data cube."""


class UnknownVariableError(CubeError):
    """A variable was asked for by a name that the cube does not have."""


class TimeAxisError(CubeError):
    """The time axis is missing, unsorted, duplicated, unreadable or too short."""


class MissingCrsError(CubeError):
    """The grid has no coordinate reference system and none was given."""


class NoValidDataError(CubeError):
    """Every value of the variable is a gap."""


class ScaleError(CubeError):
    """Values lie outside the physical range of the variable, for example an unscaled NDVI."""


class CellError(CubeError):
    """A coordinate, level or identifier that the cell system does not have."""
