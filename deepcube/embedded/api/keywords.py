"""Keywords of feature groups, feature views and training datasets."""

from __future__ import annotations

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request
from deepcube.embedded.quality import tagging
from deepcube.embedded.quality.artifacts import artifact_of
from deepcube.embedded.routing import Call, Json, Routes

routes = Routes("/project/{project_id:int}/featurestores")

_GROUP = "/{featurestore_id:int}/featuregroups/{group_id:int}/keywords"
_VIEW = "/{featurestore_id:int}/featureview/{view}/version/{version:int}"
_DATASET = _VIEW + "/trainingdatasets/version/{dataset_version:int}"


def _artifact(call: Call) -> Entity:
    return artifact_of(call.platform, call.project, call.path)


@routes.get("/keywords")
def all_keywords(call: Call) -> Json:
    """List every keyword used in the project."""
    return {"keywords": tagging.all_keywords(call.platform, call.project.id)}


@routes.get(_GROUP)
@routes.get(_VIEW + "/keywords")
@routes.get(_DATASET + "/keywords")
def list_keywords(call: Call) -> Json:
    """List the keywords of an artifact."""
    return tagging.keywords(call.platform, _artifact(call))


@routes.post(_GROUP)
@routes.post(_VIEW + "/keywords")
@routes.post(_DATASET + "/keywords")
def replace_keywords(call: Call) -> Json:
    """Give an artifact exactly the keywords in the body."""
    wanted = call.document.get("keywords")
    if not isinstance(wanted, list):
        raise bad_request('the body must be {"keywords": [...]}')
    return tagging.replace_keywords(call.platform, _artifact(call), wanted)


@routes.delete(_GROUP)
@routes.delete(_VIEW + "/keywords")
@routes.delete(_DATASET + "/keywords")
def delete_keyword(call: Call) -> Json:
    """Take one keyword from an artifact."""
    return tagging.delete_keyword(call.platform, _artifact(call), call.parameter("keyword") or "")
