"""Predictions, by KServe's v1 protocol."""

from __future__ import annotations

from starlette.responses import Response

from deepcube.embedded.errors import unsupported
from deepcube.embedded.routing import Call, Json, items, read_body
from deepcube.embedded.runtime.gateway import Gateway
from deepcube.embedded.runtime.streaming import StreamCall, StreamRoutes

routes = StreamRoutes("/project/{project_id:int}/inference")


@routes.get("/endpoints")
def endpoints(call: Call) -> Json:
    """List no gateway of the cluster's own: the client then sends predictions through this API."""
    return items([])


@routes.stream("POST", "/models/{name_and_verb}")
async def predict(call: StreamCall) -> Response:
    """Send a request to a deployment."""
    name, _, verb = call.path["name_and_verb"].partition(":")
    if verb not in ("", "predict"):
        raise unsupported(f"inference verb {verb!r}", 'send {"instances": [...], "explain": true} to predict instead')
    body = await read_body(call.request)
    status, content = await call.platform.service(Gateway).predict(call.path["project_id"], name, body)
    return Response(content, status, media_type="application/json")
