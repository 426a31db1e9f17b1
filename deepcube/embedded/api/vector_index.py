"""The vector index: the part of OpenSearch's REST API with which the client searches embeddings.

The client sends these calls to the root of the address, with the token that ``/elastic/jwt`` gave it: its own API key.
"""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.responses import JSONResponse

from deepcube.embedded.access import role_of, shares_group
from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import FORBIDDEN, ApiError, unsupported
from deepcube.embedded.online.errors import OnlineError, QueryError
from deepcube.embedded.online.search import VectorIndex, search_answer
from deepcube.embedded.routing import Call, Json, Routes
from deepcube.embedded.store.groups import KIND as FEATURE_GROUP

tokens = Routes("/elastic/jwt")
routes = Routes("", prefix="")

_INGESTION_LOG = re.compile(r"onlinefs_(\d+)-\*")


@tokens.get("/{project_id:int}")
def token(call: Call) -> Json:
    """Return the token for the vector index: the caller's own key, which it is checked by again."""
    if role_of(call.platform, call.user, call.project.id) is None:
        raise ApiError(403, FORBIDDEN, f"{call.user.email} is not a member of project {call.project.name!r}")
    return {"token": call.headers["authorization"]}


@routes.post("/{index}/_search")
@routes.get("/{index}/_search")
def search(call: Call) -> Json:
    """Answer a search in one index."""
    return _answered(call, call.path["index"], call.json)


@routes.post("/_msearch")
@routes.post("/{index}/_msearch")
def searches(call: Call) -> Json:
    """Answer several searches: lines of JSON, a header and a search in turn."""
    try:
        lines = [json.loads(line) for line in call.body.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return _refusal(400, "parsing_exception", "the request is not lines of JSON")
    if len(lines) % 2 or not all(isinstance(line, dict) for line in lines):
        return _refusal(400, "parsing_exception", "each search must have a header before it")
    responses = []
    for header, body in zip(lines[::2], lines[1::2], strict=True):
        index = header.get("index", call.path.get("index"))
        response = _answered(call, index[0] if isinstance(index, list) and index else str(index), body)
        if isinstance(response, JSONResponse):
            responses.append(json.loads(bytes(response.body)))
        else:
            responses.append({**response, "status": 200})
    return {"took": 0, "responses": responses}


@routes.post("/{index}/_count")
@routes.get("/{index}/_count")
def count(call: Call) -> Json:
    """Count documents."""
    group = _group(call, call.path["index"], call.json)
    if group is None:
        return _no_index(call.path["index"])
    try:
        number = call.platform.service(VectorIndex).count(group, call.json)
    except OnlineError as error:
        return _refusal(400, "illegal_argument_exception", str(error))
    return {"count": number, "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0}}


@routes.get("/{index}/_mapping/field/{field}")
def mapping(call: Call) -> Json:
    """Describe a field; embeddings take filters within the k-NN clause, as with the engine ``faiss``."""
    index, field = call.path["index"], call.path["field"]
    group = _group(call, index, {"field": field})
    if group is None:
        return _no_index(index)
    for feature in group.body["embeddingIndex"]["features"]:
        if feature["name"] == field:
            method = {"engine": "faiss", "name": "flat", "space_type": feature["similarityFunctionType"]}
            found = {"type": "knn_vector", "dimension": feature["dimension"], "method": method}
            return {index: {"mappings": {field: {"full_name": field, "mapping": {field: found}}}}}
    return {index: {"mappings": {}}}


@routes.put("/{index}")
@routes.delete("/{index}")
def change(call: Call) -> Json:
    """Refuse to make or remove an index by hand."""
    raise unsupported("changing OpenSearch indices", "create a feature group with an embedding index")


def _answered(call: Call, index: str, body: Any) -> Json:
    log = _INGESTION_LOG.fullmatch(index)
    if log is not None:  # a batch with a record that cannot be ingested is refused as a whole, so none ever failed
        return search_answer([])
    group = _group(call, index, body)
    if group is None:
        return _no_index(index)
    try:
        return call.platform.service(VectorIndex).search(group, body)
    except QueryError as error:
        return _refusal(400, "illegal_argument_exception", str(error))
    except OnlineError as error:
        return _refusal(500, "exception", str(error))


def _group(call: Call, index: str, body: Any) -> Entity | None:
    """Return the feature group of an index that the caller may read.

    Several groups may name the same index; the one is meant that has all the fields of the request.
    """
    found = [
        group
        for group in call.platform.catalog.find(None, FEATURE_GROUP)
        if (group.body.get("embeddingIndex") or {}).get("indexName") == index and _may_read(call, group)
    ]
    fields = _fields(body)
    fitting = [group for group in found if fields <= {feature["name"] for feature in group.body["features"]}]
    return next(iter(fitting or found), None)


def _may_read(call: Call, group: Entity) -> bool:
    if role_of(call.platform, call.user, group.project_id) is not None:
        return True
    return any(
        shares_group(call.platform, group, project.id) and role_of(call.platform, call.user, project.id) is not None
        for project in call.platform.projects()
    )


def _fields(body: Any) -> set[str]:
    source = body.get("_source") if isinstance(body, dict) else None
    names = {name for name in source if isinstance(name, str)} if isinstance(source, list) else set()
    return names | ({body["field"]} if isinstance(body, dict) and isinstance(body.get("field"), str) else set())


def _no_index(index: str) -> JSONResponse:
    return _refusal(404, "index_not_found_exception", f"no such index [{index}]")


def _refusal(status: int, kind: str, reason: str) -> JSONResponse:
    """Return an error as OpenSearch writes one."""
    error = {"type": kind, "reason": reason}
    return JSONResponse({"error": {**error, "root_cause": [error]}, "status": status}, status_code=status)
