"""Commits of feature groups."""

from __future__ import annotations

import re

from deepcube.embedded.api.featuregroups import group_of
from deepcube.embedded.errors import bad_request
from deepcube.embedded.routing import Call, Json, Routes, items
from deepcube.embedded.store.commits import commit_document, commits, record_commit

routes = Routes("/project/{project_id:int}/featurestores/{featurestore_id:int}/featuregroups/{group_id:int}/commits")

_UNTIL = re.compile(r"commited_on_ltoeq:(\d+)")  # spelt as the client does


@routes.post()
def add(call: Call) -> Json:
    """Take over what the client wrote."""
    commit = record_commit(call.platform, call.project, group_of(call), call.document)
    if commit is None:
        raise bad_request("there is no commit in the Delta table of this feature group; insert rows first")
    return commit_document(commit)


@routes.get()
def recent(call: Call) -> Json:
    """List commits, newest first."""
    wanted = _UNTIL.search(call.parameter("filter_by") or "")
    until = int(wanted[1]) if wanted else None
    found = commits(call.platform, call.project, group_of(call), until, call.integer("limit"))
    return items([commit_document(commit) for commit in found])
