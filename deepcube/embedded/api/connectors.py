"""Storage connectors: the ones that the client needs to reach the platform's own stores."""

from __future__ import annotations

from deepcube.embedded.errors import CONNECTOR_NOT_FOUND, not_found
from deepcube.embedded.platform import Project
from deepcube.embedded.routing import Call, Json, Routes, items

routes = Routes("/project/{project_id:int}/featurestores/{featurestore_id:int}/storageconnectors")


def training_store(project: Project) -> Json:
    """Return the connector of the folder where training datasets are written."""
    name = f"{project.name}_Training_Datasets"
    return {
        "type": "featurestoreHopsfsConnectorDTO",
        "storageConnectorType": "HOPSFS",
        "id": project.id,
        "name": name,
        "featurestoreId": project.id,
        "description": "training datasets",
        "hopsfsPath": f"/Projects/{project.name}/{name}",
        "datasetName": name,
    }


@routes.get()
def connectors(call: Call) -> Json:
    """List the connectors."""
    return items([training_store(call.project)])


@routes.get("/{name}")
def connector(call: Call) -> Json:
    """Return a connector by name."""
    found = training_store(call.project)
    if call.path["name"] != found["name"]:
        raise not_found(
            f"project {call.project.name!r} has no storage connector {call.path['name']!r}", CONNECTOR_NOT_FOUND
        )
    return found
