"""The exception of :mod:`deepcube.cubes.features`."""

from deepcube.cubes.errors import CubeError


class FeatureError(CubeError):
    """A feature cannot be computed as declared: a missing variable, an unsuitable time axis or period."""
