"""The activity log of feature groups, feature views and training datasets."""

from __future__ import annotations

from deepcube.embedded.errors import bad_request
from deepcube.embedded.quality import activities
from deepcube.embedded.quality.artifacts import artifact_of
from deepcube.embedded.routing import Call, Json, Routes, items

routes = Routes("/project/{project_id:int}/featurestores/{featurestore_id:int}")

_VIEW = "/featureview/{view}/version/{version:int}"


@routes.get("/featuregroups/{group_id:int}/activity")
@routes.get(_VIEW + "/activity")
@routes.get(_VIEW + "/trainingdatasets/version/{dataset_version:int}/activity")
def list_activities(call: Call) -> Json:
    """List the activities of an artifact, newest first."""
    # The client writes a type as Python does: FeatureStoreActivityType.COMMIT.
    types = [value.rpartition(".")[2].upper() for value in call.query.get("activityType", [])]
    unknown = sorted(set(types) - set(activities.TYPES))
    if unknown:
        raise bad_request(f"no activities of type {', '.join(unknown)}; the types are {', '.join(activities.TYPES)}")
    artifact = artifact_of(call.platform, call.project, call.path)
    found = activities.history(
        call.platform, artifact, types, offset=call.integer("offset", 0) or 0, limit=call.integer("limit")
    )
    return items(found)
