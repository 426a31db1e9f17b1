"""The REST API, one module per resource; :data:`RESOURCES` lists them in the order in which paths are tried."""

from __future__ import annotations

from deepcube.embedded.api import (
    datasets,
    executions,
    expectations,
    jobs,
    keywords,
    models,
    projects,
    session,
    statistics,
    tags,
)
from deepcube.embedded.routing import Routes

RESOURCES: list[Routes] = [
    projects.routes,
    session.routes,
    tags.routes,
    keywords.routes,
    expectations.routes,
    statistics.routes,
    executions.routes,
    jobs.routes,
    models.routes,
    datasets.routes,
]
