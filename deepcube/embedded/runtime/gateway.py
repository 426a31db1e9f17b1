"""Requests to running deployments: through the transformer, if there is one, to a predictor and back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepcube.embedded.errors import INFERENCE_FAILED, SERVING_NOT_RUNNING, ApiError, bad_request
from deepcube.embedded.platform import Platform
from deepcube.embedded.runtime.instances import Revision
from deepcube.embedded.runtime.predictor import message, read_message
from deepcube.embedded.runtime.serving import Serving

TIMEOUT_SECONDS = 300.0
_MAX_IDLE = 64


@dataclass(frozen=True)
class Connection:
    """An open connection to a predictor or transformer.

    Attributes
    ----------
    reader, writer
        Its two directions.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, verb: str, body: bytes) -> tuple[int, bytes]:
        """Send a request and return status and content of the answer.

        Raises
        ------
        ConnectionError
            If the process has gone.
        """
        self.writer.write(message(verb, body))
        await self.writer.drain()
        answer = await read_message(self.reader)
        if answer is None:
            raise ConnectionResetError("it ended without an answer")
        return int(answer[0]), answer[1]


class Gateway:
    """Connections to the processes of all deployments; used from the server's event loop only.

    Parameters
    ----------
    platform : Platform
        Whose deployments.
    """

    def __init__(self, platform: Platform) -> None:
        self._serving = platform.service(Serving)
        self._idle: dict[Path, list[Connection]] = {}

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
        connection = None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                connection = await self._connection(instance.socket)
                answer = await connection.ask(verb, body)
            self._keep(instance.socket, connection)
            connection = None
        except TimeoutError:
            problem = f"the {component} has not answered within {TIMEOUT_SECONDS:.0f} s"
            raise ApiError(504, INFERENCE_FAILED, problem) from None
        except OSError as error:
            problem = f"the {component} {instance.name} ended while it worked on the request ({error}); see its log"
            raise ApiError(503, INFERENCE_FAILED, problem) from None
        finally:
            revision.give_back(instance)
            if connection is not None:  # what comes on it is not for the next request
                connection.writer.close()
        return answer

    async def _connection(self, socket: Path) -> Connection:
        idle = self._idle.get(socket, [])
        while idle:
            connection = idle.pop()
            if not connection.reader.at_eof():
                return connection
            connection.writer.close()
        return Connection(*await asyncio.open_unix_connection(socket))

    def _keep(self, socket: Path, connection: Connection) -> None:
        idle = self._idle.setdefault(socket, [])
        if len(idle) < _MAX_IDLE:
            idle.append(connection)
        else:
            connection.writer.close()
        for gone in [path for path in self._idle if path != socket and not path.exists()]:
            for left in self._idle.pop(gone):
                left.writer.close()


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
