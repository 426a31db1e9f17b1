"""Find what a path of the REST API names: groups, views, training datasets, models, deployments and jobs.

Every lookup is on behalf of one project, so that what another project does not share is as unknown as what never was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime import deployments, jobs, models
from deepcube.embedded.store import datasets, groups, views


def artifact_of(platform: Platform, project: Project, path: Mapping[str, Any]) -> Entity:
    """Return the artifact that the parameters of a path name.

    Parameters
    ----------
    platform : Platform
        Shared state.
    project : Project
        On whose behalf.
    path : mapping
        One of ``group_id``; ``model``; ``deployment_id``; ``job``; ``view`` and ``version``, with ``dataset_version``
        for one of its training datasets.

    Raises
    ------
    ApiError
        404, with the code of the kind of artifact, if there is none.
    """
    if "group_id" in path:
        return groups.find_group(platform, project, path["group_id"])
    if "model" in path:
        return models.find_model(platform, project, path["model"])
    if "deployment_id" in path:
        return deployments.find_deployment(platform, project, path["deployment_id"])
    if "job" in path:
        return jobs.find_job(platform, project, path["job"])
    view = views.find_view(platform, project, path["view"], path["version"])
    if "dataset_version" in path:
        return datasets.find_dataset(platform, view, path["dataset_version"])
    return view
