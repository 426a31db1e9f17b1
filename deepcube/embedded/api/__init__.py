"""The REST API, one module per resource; :data:`RESOURCES` lists them in the order in which paths are tried."""

from __future__ import annotations

from deepcube.embedded.api import (
    commits,
    connectors,
    datasets,
    executions,
    expectations,
    featuregroups,
    featurestore,
    inference,
    jobs,
    kafka_subjects,
    keywords,
    models,
    online_ingestion,
    projects,
    query,
    serving,
    session,
    statistics,
    tags,
)
from deepcube.embedded.routing import Routes

RESOURCES: list[Routes] = [
    projects.routes,
    session.routes,
    online_ingestion.routes,
    kafka_subjects.routes,
    tags.routes,
    keywords.routes,
    expectations.routes,
    statistics.routes,
    executions.routes,
    jobs.routes,
    models.routes,
    serving.routes,
    inference.routes,
    datasets.routes,
    query.routes,
    commits.routes,
    featuregroups.routes,
    connectors.routes,
    featurestore.routes,
]
