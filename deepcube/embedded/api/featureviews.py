"""Feature views: make, find, change and remove them, and the queries with which they are read."""

from __future__ import annotations

from deepcube.embedded.catalog import Entity
from deepcube.embedded.routing import Call, Json, Routes, items
from deepcube.embedded.store import datasets, serving, views
from deepcube.embedded.store.selection import Selection, batch_query

routes = Routes("/project/{project_id:int}/featurestores/{featurestore_id:int}/featureview")

_VIEW = "/{name}/version/{version:int}"


def view_of(call: Call) -> Entity:
    """Return the feature view that a path names."""
    return views.find_view(call.platform, call.project, call.path["name"], call.path["version"])


def _document(call: Call, view: Entity) -> Json:
    return views.view_document(call.platform, call.project, view)


@routes.get()
def all_views(call: Call) -> Json:
    """List the feature views of a project; one whose feature group is gone is left out."""
    found = call.platform.catalog.find(call.project.id, views.KIND)
    if call.parameter("filter_by") == "latest_version":
        found = list({view.name: view for view in sorted(found, key=lambda view: view.version)}.values())
    present = [view for view in found if views.is_whole(call.platform, call.project, view)]
    return items([_document(call, view) for view in present])


@routes.post()
def create(call: Call) -> Json:
    """Make a feature view."""
    return _document(call, views.create_view(call.platform, call.project, call.document))


@routes.get("/{name}")
def by_name(call: Call) -> Json:
    """List the versions of a feature view."""
    found = views.named_views(call.platform, call.project, call.path["name"])
    return items([_document(call, view) for view in found])


@routes.delete("/{name}")
def delete_all(call: Call) -> Json:
    """Remove every version of a feature view with its training datasets."""
    for view in views.named_views(call.platform, call.project, call.path["name"]):
        datasets.delete_view(call.platform, call.project, view, force=call.flag("force"))


@routes.get(_VIEW)
def by_version(call: Call) -> Json:
    """Return a feature view."""
    return _document(call, view_of(call))


@routes.put(_VIEW)
def update(call: Call) -> Json:
    """Change the description of a feature view."""
    return _document(call, views.update_view(call.platform, view_of(call), call.document))


@routes.delete(_VIEW)
def delete(call: Call) -> Json:
    """Remove a feature view with its training datasets."""
    datasets.delete_view(call.platform, call.project, view_of(call), force=call.flag("force"))


@routes.get(_VIEW + "/query")
def query(call: Call) -> Json:
    """Return the query of a feature view."""
    return _document(call, view_of(call))["query"]


@routes.get(_VIEW + "/query/batch")
@routes.post(_VIEW + "/query/batch")
def batch(call: Call) -> Json:
    """Return the query that reads what a call asks for; a POST brings a further filter."""
    view = view_of(call)
    extra = call.document or None
    dataset_version = call.integer("td_version")
    if extra is None and dataset_version is not None and call.flag("with_label"):
        extra = datasets.find_dataset(call.platform, view, dataset_version).body.get("extraFilter")
    selection = Selection(
        labels=call.flag("with_label"),
        primary_keys=call.flag("with_primary_keys"),
        event_times=call.flag("with_event_time"),
        inference_helpers=call.flag("inference_helper_columns"),
        training_helpers=call.flag("training_helper_columns"),
        start_ms=call.integer("start_time"),
        end_ms=call.integer("end_time"),
        extra_filter=extra,
    )
    return batch_query(call.platform, call.project, view, selection)


@routes.get(_VIEW + "/preparedstatement")
def prepared_statements(call: Call) -> Json:
    """Return the statements with which the client looks feature vectors up."""
    wanted = serving.FEATURES
    if call.flag("inference_helper_columns"):
        wanted = serving.HELPERS
    if call.flag("feature_vector_with_inference_helpers"):
        wanted = serving.BOTH
    if call.flag("logging_meta_data"):
        wanted = serving.LOGGING
    return items(serving.statements(call.platform, call.project, view_of(call), wanted, call.flag("batch")))
