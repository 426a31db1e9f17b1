"""Training datasets of feature views."""

from __future__ import annotations

from deepcube.embedded.api.featureviews import view_of
from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import TRAINING_DATASET_NOT_FOUND, not_found, unsupported
from deepcube.embedded.routing import Call, Json, Routes, items
from deepcube.embedded.runtime.builtin import job_document
from deepcube.embedded.store import datasets, materialize, views

routes = Routes("/project/{project_id:int}/featurestores/{featurestore_id:int}")

_OF_VIEW = "/featureview/{name}/version/{version:int}/trainingdatasets"
_ONE = _OF_VIEW + "/version/{dataset_version:int}"
_ALONE = "/trainingdatasets"


def _found(call: Call) -> tuple[Entity, Entity]:
    view = view_of(call)
    return view, datasets.find_dataset(call.platform, view, call.path["dataset_version"])


def _document(call: Call, view: Entity, dataset: Entity) -> Json:
    return datasets.dataset_document(call.platform, call.project, view, dataset)


@routes.get(_OF_VIEW)
def all_datasets(call: Call) -> Json:
    """List the training datasets of a view."""
    view = view_of(call)
    return items([_document(call, view, dataset) for dataset in datasets.datasets_of(call.platform, view)])


@routes.post(_OF_VIEW)
def create(call: Call) -> Json:
    """Make the metadata of a training dataset."""
    view = view_of(call)
    return _document(call, view, datasets.create_dataset(call.platform, call.project, view, call.document))


@routes.delete(_OF_VIEW)
def delete_all(call: Call) -> Json:
    """Remove all training datasets of a view."""
    view = view_of(call)
    for dataset in datasets.datasets_of(call.platform, view):
        datasets.delete_dataset(call.platform, call.project, view, dataset)


@routes.delete(_OF_VIEW + "/data")
def purge_all(call: Call) -> Json:
    """Remove the files of all training datasets of a view."""
    view = view_of(call)
    for dataset in datasets.datasets_of(call.platform, view):
        datasets.purge_dataset(call.platform, call.project, view, dataset)


@routes.get(_ONE)
def by_version(call: Call) -> Json:
    """Return a training dataset."""
    return _document(call, *_found(call))


@routes.delete(_ONE)
def delete(call: Call) -> Json:
    """Remove a training dataset with its files."""
    datasets.delete_dataset(call.platform, call.project, *_found(call))


@routes.delete(_ONE + "/data")
def purge(call: Call) -> Json:
    """Remove the files of a training dataset."""
    datasets.purge_dataset(call.platform, call.project, *_found(call))


@routes.post(_ONE + "/compute")
def compute(call: Call) -> Json:
    """Start the job that writes a training dataset."""
    view, dataset = _found(call)
    if dataset.body.get("spineAnchored"):
        raise unsupported(
            "a training dataset of a spine_df that is split or transformed before it is written",
            "read it in memory with fv.train_test_split(spine_df=...), or write it without splits as Parquet",
        )
    options = {option["name"]: option["value"] for option in call.document.get("writeOptions") or []}
    job = materialize.start_job(call.platform, call.project, view, dataset, call.user, options)
    return job_document(call.platform, job)


def _by_id(call: Call) -> tuple[Entity, Entity]:
    dataset = call.platform.catalog.get(call.path["dataset_id"], datasets.KIND)
    view = dataset and call.platform.catalog.get(dataset.parent_id, views.KIND)
    if dataset is None or view is None or dataset.project_id != call.project.id:
        raise not_found(f"no training dataset with id {call.path['dataset_id']}", TRAINING_DATASET_NOT_FOUND)
    return view, dataset


@routes.put(_ALONE + "/{dataset_id:int}")
def update(call: Call) -> Json:
    """Change the description or the statistics configuration of a training dataset."""
    view, dataset = _by_id(call)
    return _document(call, view, datasets.update_dataset(call.platform, dataset, call.document))


@routes.delete(_ALONE + "/{dataset_id:int}")
def delete_by_id(call: Call) -> Json:
    """Remove a training dataset with its files."""
    datasets.delete_dataset(call.platform, call.project, *_by_id(call))


@routes.get(_ALONE + "/{name}")
def alone(call: Call) -> Json:
    """Say that there are no training datasets but those of feature views."""
    raise not_found(
        f"no training dataset {call.path['name']!r} outside of a feature view; read it with fv.get_training_data()",
        TRAINING_DATASET_NOT_FOUND,
    )


@routes.post(_ALONE)
def create_alone(call: Call) -> Json:
    """Refuse a training dataset outside of a feature view."""
    raise unsupported(
        "create_training_dataset", "Hopsworks replaced it; use feature_view.create_training_data() instead"
    )
