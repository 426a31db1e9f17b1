"""A Hopsworks in one process, for the unmodified ``hopsworks`` client.

``deepcube up`` (or :func:`up`) starts it; :meth:`Running.environment` gives the ``HOPSWORKS_*`` variables with which a
bare ``hopsworks.login()`` reaches it. Imports nothing else of DeepCube, and neither TensorFlow, Spark nor torch.
"""

from __future__ import annotations

from deepcube.embedded.errors import ApiError, EmbeddedError, StartError, StorageError
from deepcube.embedded.home import Home, default_home
from deepcube.embedded.launcher import Running, down, find, up

__all__ = [
    "ApiError",
    "EmbeddedError",
    "Home",
    "Running",
    "StartError",
    "StorageError",
    "default_home",
    "down",
    "find",
    "up",
]
