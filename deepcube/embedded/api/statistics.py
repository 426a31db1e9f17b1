"""Statistics of feature groups, feature views and training datasets: what there is, and new ones."""

from __future__ import annotations

from deepcube.embedded.catalog import Entity
from deepcube.embedded.quality import compute, dataset_statistics, hooks, statistics
from deepcube.embedded.quality.artifacts import artifact_of
from deepcube.embedded.quality.filters import Filters
from deepcube.embedded.quality.statistics import StatisticsQuery
from deepcube.embedded.routing import Call, Json, Routes, items
from deepcube.embedded.runtime.builtin import job_document

routes = Routes("/project/{project_id:int}/featurestores/{featurestore_id:int}")

hooks.register()

_GROUP = "/featuregroups/{group_id:int}/statistics"
_VIEW = "/featureview/{view}/version/{version:int}"
_DATASET = _VIEW + "/trainingdatasets/version/{dataset_version:int}"


def _artifact(call: Call) -> Entity:
    """Return the feature group, feature view or training dataset that the path names."""
    return artifact_of(call.platform, call.project, call.path)


def _query(call: Call) -> StatisticsQuery:
    return StatisticsQuery(
        filters=Filters.parse(call.query.get("filter_by", [])),
        feature_names=tuple(call.query.get("feature_names", [])),
        sort_by=tuple(call.query.get("sort_by", [])),
        offset=call.integer("offset", 0) or 0,
        limit=call.integer("limit"),
        with_content=call.parameter("fields") == "content",
    )


@routes.get(_VIEW + "/statistics")
def read_view_statistics(call: Call) -> Json:
    """Return the statistics of a feature view that the filters name."""
    return items(statistics.first(call.platform, _artifact(call), _query(call)))


@routes.get(_DATASET + "/statistics")
def read_dataset_statistics(call: Call) -> Json:
    """Return the statistics of a training dataset that the filters name."""
    return items(dataset_statistics.of_dataset(call.platform, call.project, _artifact(call), _query(call)))


@routes.post(_DATASET + "/statistics/compute")
def compute_dataset_statistics(call: Call) -> Json:
    """Start the job that computes the statistics of a training dataset's files, and return the job."""
    dataset = _artifact(call)
    return job_document(call.platform, compute.start_job(call.platform, call.project, dataset, {"dataset": dataset.id}))


@routes.get(_GROUP)
def read_group_statistics(call: Call) -> Json:
    """Return the statistics of a feature group that the filters name."""
    return items(compute.of_group(call.platform, _artifact(call), _query(call)))


@routes.post(_GROUP + "/compute")
def compute_statistics(call: Call) -> Json:
    """Start the job that computes the statistics of a feature group, and return the job."""
    group = _artifact(call)
    arguments = {"group": group.id, "until": call.integer("end_commit_time")}
    return job_document(call.platform, compute.start_job(call.platform, call.project, group, arguments))


@routes.post(_GROUP)
@routes.post(_VIEW + "/statistics")
@routes.post(_DATASET + "/statistics")
def save_statistics(call: Call) -> Json:
    """Keep statistics that the client computed."""
    kept = statistics.save(call.platform, _artifact(call), call.document)
    return statistics.document(call.platform, kept)
