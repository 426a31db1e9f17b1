"""Search in a project, or in all projects of the caller."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from deepcube.embedded.platform import Project
from deepcube.embedded.quality import projects
from deepcube.embedded.quality.search import Search, search
from deepcube.embedded.routing import Call, Json, Routes

routes = Routes()


def _search(call: Call, scope: Iterable[Project]) -> Json:
    filters = {name: unquote(call.parameter(name) or "") for name in ("keywords", "tags")}  # quoted twice
    wanted = Search.parse(call.parameter("searchTerm"), filters["keywords"], filters["tags"])
    offset, size = call.integer("from", 0) or 0, call.integer("size", 100)
    kind = call.parameter("docType", "ALL") or "ALL"
    return search(call.platform, scope, wanted, kind, offset=max(0, offset), size=100 if size is None else size)


@routes.get("/project/{project_id:int}/elastic/featurestore")
def search_project(call: Call) -> Json:
    """Search the artifacts of a project and what is shared with it."""
    return _search(call, [call.project])


@routes.get("/elastic/featurestore")
def search_everywhere(call: Call) -> Json:
    """Search the artifacts of all projects of the caller."""
    return _search(call, [project for project, _ in projects.of_user(call.platform, call.user)])
