"""Provenance of feature groups, feature views, training datasets, models and deployments."""

from __future__ import annotations

from deepcube.embedded.quality import provenance
from deepcube.embedded.quality.artifacts import artifact_of
from deepcube.embedded.routing import Call, Json, Routes

routes = Routes("/project/{project_id:int}")

_STORE = "/featurestores/{featurestore_id:int}"
_VIEW = _STORE + "/featureview/{view}/version/{version:int}"
_LINKS = "/provenance/links"


@routes.get(_STORE + "/featuregroups/{group_id:int}" + _LINKS)
@routes.get(_VIEW + _LINKS)
@routes.get(_VIEW + "/trainingdatasets/version/{dataset_version:int}" + _LINKS)
@routes.get("/modelregistries/{registry_id:int}/models/{model}" + _LINKS)
@routes.get("/serving/{deployment_id:int}" + _LINKS)
def links(call: Call) -> Json:
    """Return what an artifact was made from, and what was made from it, as many steps away as asked for."""
    up, down = (
        call.integer("upstreamLvls", provenance.MAX_LEVELS),
        call.integer("downstreamLvls", provenance.MAX_LEVELS),
    )
    artifact = artifact_of(call.platform, call.project, call.path)
    return provenance.links(call.platform, call.project, artifact, up or 0, down or 0)
