"""Transformation functions."""

from __future__ import annotations

from deepcube.embedded.routing import Call, Json, Routes, items
from deepcube.embedded.store import transformations

routes = Routes("/project/{project_id:int}/featurestores/{featurestore_id:int}/transformationfunctions")


@routes.get()
def functions(call: Call) -> Json:
    """List transformation functions, by name and version if they are given."""
    found = transformations.find_functions(call.platform, call.project, call.parameter("name"), call.integer("version"))
    documents = [transformations.function_document(function) for function in found]
    if call.parameter("name") is None:
        # With a count of one the client makes a single function of it, and then fails to list it.
        return {"count": None if len(documents) == 1 else len(documents), "items": documents}
    return items(documents)


@routes.post()
def create(call: Call) -> Json:
    """Keep a transformation function."""
    entity = transformations.create_function(call.platform, call.project, call.document)
    return transformations.function_document(entity)


@routes.delete("/{function_id:int}")
def delete(call: Call) -> Json:
    """Remove a transformation function; feature views that use it keep their copy."""
    call.platform.catalog.remove(transformations.find_function(call.platform, call.project, call.path["function_id"]))
