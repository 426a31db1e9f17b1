"""The REST API, one module per resource; :data:`RESOURCES` lists them in the order in which paths are tried."""

from __future__ import annotations

from deepcube.embedded.api import expectations, keywords, session, statistics, tags
from deepcube.embedded.routing import Routes

RESOURCES: list[Routes] = [session.routes, tags.routes, keywords.routes, expectations.routes, statistics.routes]
