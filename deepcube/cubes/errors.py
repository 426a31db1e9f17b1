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
    ├── CellError              a point, level or cell id that the cell system does not have
    ├── BuildError             a cube could not be written, or an interrupted build is in the way
    ├── ViewError              a view asks for what cannot be had
    └── PlanError              samples that do not fit the cube, or that would read far more than they use

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


class BuildError(CubeError):
    """A cube could not be written, is not complete, or is in the way of another."""


class ViewError(CubeError):
    """A view asks for a grid, region, period or step that the cube cannot give."""


class PlanError(CubeError):
    """Samples do not fit the cube, or reading them would read far more than they use."""
