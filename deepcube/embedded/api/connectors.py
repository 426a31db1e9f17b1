"""Storage connectors: folders of the project that have a name."""

from __future__ import annotations

from deepcube.embedded.routing import Call, Json, Routes, items
from deepcube.embedded.store import connectors

routes = Routes("/project/{project_id:int}/featurestores/{featurestore_id:int}/storageconnectors")


@routes.get()
def all_connectors(call: Call) -> Json:
    """List the connectors."""
    return items(connectors.all_connectors(call.platform, call.project))


@routes.post()
def create(call: Call) -> Json:
    """Make a connector."""
    return connectors.create_connector(call.platform, call.project, call.document)


@routes.get("/{name}")
def by_name(call: Call) -> Json:
    """Return a connector by name."""
    return connectors.find_connector(call.platform, call.project, call.path["name"])


@routes.put("/{name}")
def update(call: Call) -> Json:
    """Change a connector."""
    return connectors.update_connector(call.platform, call.project, call.path["name"], call.document)


@routes.delete("/{name}")
def delete(call: Call) -> Json:
    """Remove a connector; what it led to stays."""
    connectors.delete_connector(call.platform, call.project, call.path["name"])
