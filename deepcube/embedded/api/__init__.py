"""The REST API, one module per resource; :data:`RESOURCES` lists them in the order in which paths are tried."""

from __future__ import annotations

from deepcube.embedded.api import expectations, session, statistics
from deepcube.embedded.routing import Routes

RESOURCES: list[Routes] = [session.routes, expectations.routes, statistics.routes]
