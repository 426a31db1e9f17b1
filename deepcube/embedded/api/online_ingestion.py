"""How the client reaches the online store, and how far an insert has come."""

from __future__ import annotations

import re

from deepcube.embedded.errors import bad_request
from deepcube.embedded.online import access
from deepcube.embedded.online.store import OnlineStore
from deepcube.embedded.routing import Call, Json, Routes, items
from deepcube.embedded.store.groups import find_group, own_group

routes = Routes("/project/{project_id:int}/featurestores/{featurestore_id:int}")


@routes.get("/storageconnectors/kafka_connector/byok")
def kafka_connector(call: Call) -> Json:
    """Return how to reach the broker, with the project's password."""
    return access.kafka_connector(call.platform, call.project)


@routes.get("/storageconnectors/onlinefeaturestore")
def online_connector(call: Call) -> Json:
    """Return how to reach the online store by SQL, with the project's password."""
    return access.online_connector(call.platform, call.project)


@routes.post("/featuregroups/{group_id:int}/online_ingestion")
def begin(call: Call) -> Json:
    """Start to count what an insert brings."""
    group = own_group(call.platform, call.project, call.path["group_id"])
    entries = call.document.get("numEntries")
    if entries is not None and (not isinstance(entries, int) or isinstance(entries, bool) or entries < 0):
        raise bad_request(f"numEntries must be a number of rows, found {entries!r}")
    return call.platform.service(OnlineStore).begin_ingestion(group, entries)


@routes.get("/featuregroups/{group_id:int}/online_ingestion")
def ingestions(call: Call) -> Json:
    """List ingestions, newest first: all, the latest (``filter_by=LATEST``) or one (``filter_by=ID:n``)."""
    group = find_group(call.platform, call.project, call.path["group_id"])
    wanted = call.parameter("filter_by") or ""
    number = re.fullmatch(r"ID:(\d{1,18})", wanted)
    if wanted and wanted != "LATEST" and number is None:
        raise bad_request(f"filter_by must be LATEST or ID:<number>, found {wanted!r}")
    found = call.platform.service(OnlineStore).ingestions(group, int(number[1]) if number else None)
    return items(found[:1] if wanted == "LATEST" else found)
