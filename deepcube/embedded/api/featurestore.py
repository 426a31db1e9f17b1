"""The feature store of a project; it carries the id of the project."""

from __future__ import annotations

from deepcube.embedded.errors import PROJECT_NOT_FOUND, not_found
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.quality.projects import sharing_projects
from deepcube.embedded.routing import Call, Json, Routes
from deepcube.embedded.store import groups

routes = Routes("/project/{project_id:int}/featurestores")


def featurestore_document(platform: Platform, project: Project) -> Json:
    """Return a feature store as the REST API writes one."""
    return {
        "featurestoreId": project.id,
        "featurestoreName": project.featurestore_name,
        "created": project.created,
        "projectName": project.name,
        "projectId": project.id,
        "onlineFeaturestoreName": project.name,
        "onlineFeaturestoreSize": 0,
        "offlineFeaturestoreName": project.featurestore_name,
        "onlineEnabled": True,
        "numFeatureGroups": len(platform.catalog.find(project.id, groups.KIND)),
    }


@routes.get()
def featurestores(call: Call) -> Json:
    """List the project's own feature store, and those from which others share something with it."""
    return [featurestore_document(call.platform, project) for project in _readable(call)]


def _readable(call: Call) -> list[Project]:
    return [call.project, *sharing_projects(call.platform, call.project)]


@routes.get("/{identifier}")
def featurestore(call: Call) -> Json:
    """Return a feature store by id, or by the name of it or of its project."""
    wanted = call.path["identifier"]
    for project in _readable(call):
        if wanted in (str(project.id), project.name, project.featurestore_name):
            return featurestore_document(call.platform, project)
    raise not_found(
        f"project {call.project.name!r} has no feature store {wanted!r}, and none of that name is shared with it; its "
        f"own is {call.project.featurestore_name!r}",
        PROJECT_NOT_FOUND,
    )
