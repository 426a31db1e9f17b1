"""Plans: queries in the signed form in which they pass through the client.

The client asks REST for a query and hands the answer, unread, to the query service. So the answer carries a signature
that only this server can make, and the service runs nothing without it. The training-dataset call of the client sends
the plan without the signature's header, so the signature is part of the plan too.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from deepcube.embedded.catalog import now_ms
from deepcube.embedded.errors import FORBIDDEN, ApiError
from deepcube.embedded.platform import Platform, Project

VALID_MS = 3_600_000

Json = dict[str, Any]


def signing_key(platform: Platform, purpose: str) -> bytes:
    """Return the secret with which this home folder's server signs, a different one for each purpose."""
    return hmac.digest(platform.certificates.server_key.read_bytes(), purpose.encode(), hashlib.sha256)


def make_plan(platform: Platform, project: Project, query: Json) -> tuple[str, str]:
    """Return a plan and its signature.

    Parameters
    ----------
    platform, project : Platform, Project
        Who may run it, and where.
    query : dict
        Query document; only what running it needs is kept.
    """
    plan = {"project": project.id, "until": now_ms() + VALID_MS, "query": slim(query)}
    signature = _sign(platform, plan)
    return json.dumps({**plan, "signature": signature}), signature


def read_plan(platform: Platform, payload: Json | str | bytes) -> tuple[Project, Json]:
    """Check a plan and return the project and the query document that it carries.

    Raises
    ------
    ApiError
        403 if this server did not make the plan, or made it too long ago.
    """
    try:
        plan = dict(payload) if isinstance(payload, dict) else dict(json.loads(payload))
        signature = str(plan.pop("signature", ""))
    except (ValueError, TypeError):
        plan, signature = {}, ""
    if not plan or not hmac.compare_digest(signature.encode(), _sign(platform, plan).encode()):
        raise ApiError(403, FORBIDDEN, "this query was not made by this server; read through the feature store API")
    if plan["until"] < now_ms():
        raise ApiError(403, FORBIDDEN, "this query was made too long ago; read again")
    return platform.project(plan["project"]), plan["query"]


def _sign(platform: Platform, plan: Json) -> str:
    text = json.dumps(plan, sort_keys=True, separators=(",", ":"))
    return hmac.new(signing_key(platform, "query plans"), text.encode(), hashlib.sha256).hexdigest()


def slim(query: Json) -> Json:
    """Return a query document without what is known from the catalog."""
    kept = {
        key: query[key]
        for key in ("leftFeatureGroupStartTime", "leftFeatureGroupEndTime", "filter", "limit", "lookback", "spine")
        if query.get(key) is not None
    }
    kept["leftFeatureGroup"] = {"id": (query.get("leftFeatureGroup") or {}).get("id")}
    kept["leftFeatures"] = [_slim_feature(feature) for feature in query.get("leftFeatures") or []]
    kept["joins"] = [
        {
            **{key: [_name(feature) for feature in join.get(key) or []] for key in ("on", "leftOn", "rightOn")},
            "type": join.get("type"),
            "prefix": join.get("prefix"),
            "query": slim(join["query"]),
        }
        for join in query.get("joins") or []
    ]
    return kept


def _slim_feature(feature: Json) -> Json:
    slimmed = {"name": feature["name"]}
    if feature.get("useFullyQualifiedName"):
        slimmed["useFullyQualifiedName"] = True
    return slimmed


def _name(feature: Json | str) -> str:
    return feature["name"] if isinstance(feature, dict) else feature
