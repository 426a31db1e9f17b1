"""Queries: from what the client composed to the form in which it is run."""

from __future__ import annotations

from deepcube.embedded.errors import ApiError
from deepcube.embedded.query import sql
from deepcube.embedded.query.compose import compose
from deepcube.embedded.query.plans import make_plan
from deepcube.embedded.query.resolve import Query
from deepcube.embedded.routing import Call, Json, Routes

routes = Routes("/project/{project_id:int}/featurestores/query")


@routes.put()
def construct(call: Call) -> Json:
    """Check a query and return it as SQL, and as a plan for the query service."""
    query = compose(call.platform, call.project, call.document)
    payload, signature = make_plan(call.platform, call.project, call.document)
    text = sql.offline_sql(query)
    return {
        "query": text,
        "queryOnline": _online(query),
        "pitQuery": text if query.point_in_time else None,
        "pitQueryAsof": text if query.point_in_time else None,
        "spineApplied": call.document.get("spine") is not None,
        "hqsPayload": payload,
        "hqsPayloadSignature": signature,
        "onDemandFeatureGroups": [],
        "hudiCachedFeatureGroups": [],
        "deltaCachedFeatureGroups": [],
        "icebergCachedFeatureGroups": [],
    }


def _online(query: Query) -> str | None:
    """Return the query for the online store, or None where it cannot answer it."""
    try:
        return sql.online_sql(query)
    except ApiError:
        return None
