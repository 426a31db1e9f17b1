"""Requests to running deployments: through the transformer, if there is one, to a predictor and back."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import httpx

from deepcube.embedded.errors import INFERENCE_FAILED, SERVING_NOT_RUNNING, ApiError, bad_request
from deepcube.embedded.platform import Platform
from deepcube.embedded.runtime.instances import Revision
from deepcube.embedded.runtime.serving import Serving

TIMEOUT_SECONDS = 300.0
_TIMEOUT = httpx.Timeout(TIMEOUT_SECONDS, connect=5.0)
logging.getLogger("httpx").setLevel(logging.WARNING)  # it writes a line for every request
_LIMITS = httpx.Limits(max_connections=256, max_keepalive_connections=64)


class Gateway:
    """Connections to the processes of all deployments; used from the server's event loop only.

    Parameters
    ----------
    platform : Platform
        Whose deployments.
    """

    def __init__(self, platform: Platform) -> None:
        self._serving = platform.service(Serving)
        self._clients: dict[Path, httpx.AsyncClient] = {}

    async def predict(self, project_id: int, name: str, body: bytes) -> tuple[int, bytes]:
        """Send a request to a deployment.

        Parameters
        ----------
        body : bytes
            KServe v1 request, JSON.

        Returns
        -------
        status : int
            HTTP status.
        content : bytes
            KServe v1 response, or an error document, JSON.

        Raises
        ------
        ApiError
            If the deployment is not running, the request is no JSON object, or the process dies over it.
        """
        revision = self._serving.running(project_id, name)
        if "transformer" not in revision.pools:
            return await self._send(revision, "predictor", "predict", body)
        request = _object(body)
        status, content = await self._send(revision, "transformer", "preprocess", body)
        if status != 200:
            return status, content
        status, content = await self._send(revision, "predictor", "predict", _merge(request, content))
        if status != 200:
            return status, content
        return await self._send(revision, "transformer", "postprocess", content)

    async def _send(self, revision: Revision, component: str, verb: str, body: bytes) -> tuple[int, bytes]:
        instance = revision.take(component)
        if instance is None:
            raise ApiError(400, SERVING_NOT_RUNNING, f"no {component} is running: {revision.failure or 'try again'}")
        try:
            client = self._client(instance.socket)
            response = await client.post(f"http://{component}/{verb}", content=body)
        except httpx.TimeoutException:
            message = f"the {component} has not answered within {TIMEOUT_SECONDS:.0f} s"
            raise ApiError(504, INFERENCE_FAILED, message) from None
        except httpx.HTTPError as error:
            message = f"the {component} {instance.name} ended while it worked on the request ({error}); see its log"
            raise ApiError(503, INFERENCE_FAILED, message) from None
        finally:
            revision.give_back(instance)
        return response.status_code, response.content

    def _client(self, socket: Path) -> httpx.AsyncClient:
        client = self._clients.get(socket)
        if client is None:
            transport = httpx.AsyncHTTPTransport(uds=str(socket), limits=_LIMITS)
            client = self._clients[socket] = httpx.AsyncClient(transport=transport, timeout=_TIMEOUT)
        return client


def _object(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except ValueError as error:
        raise bad_request(f"the request is not JSON: {error}", INFERENCE_FAILED) from None
    if not isinstance(request, dict):
        raise bad_request('a request is an object with a list under "instances" (or "inputs")', INFERENCE_FAILED)
    return request


def _merge(request: dict[str, Any], transformed: bytes) -> bytes:
    """Return what the predictor gets: what the transformer made of the request, and the further keys it left out."""
    result = json.loads(transformed)
    if not isinstance(result, dict):
        result = {"instances": result}
    elif not ("instances" in result or "inputs" in result):
        result = {"instances": [result]}
    rest = {key: value for key, value in request.items() if key not in ("instances", "inputs")}
    return json.dumps(rest | result).encode()
