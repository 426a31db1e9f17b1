"""The atlas: cubes, predictions and the reasons for them on one map, in a browser.

A small server draws layers from cubes, step by step, and a page (TypeScript in ``web/``, built into ``static/``) shows
them over a base map that comes with the package. ``deepcube open`` serves it. May import :mod:`deepcube.cubes`,
:mod:`deepcube.semantics` and the ``hopsworks`` client; nothing of the embedded platform.
"""

from deepcube.atlas.atlas import Atlas, Collection
from deepcube.atlas.errors import AtlasError, NotThereError, RequestError, StoppedError
from deepcube.atlas.pointreasons import Again, PointReasoner
from deepcube.atlas.predictions import load_predictions
from deepcube.atlas.reasons import Reasoner
from deepcube.atlas.server import AtlasConfig, build_app
from deepcube.atlas.sessions import Sessions, read_key
from deepcube.atlas.turns import Turns

__all__ = [
    "Again",
    "Atlas",
    "AtlasConfig",
    "AtlasError",
    "Collection",
    "NotThereError",
    "PointReasoner",
    "Reasoner",
    "RequestError",
    "Sessions",
    "StoppedError",
    "Turns",
    "build_app",
    "load_predictions",
    "read_key",
]
