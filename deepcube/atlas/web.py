"""What stands before every answer of the atlas: the key, the host it is asked by, the headers, bounded work.

Every answer carries headers that let the page load nothing but its own files and run no script that stands in it. Data
never become markup: the page gets them as JSON and writes them as text.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import threading
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepcube.atlas.errors import AtlasError, RequestError
from deepcube.atlas.layers import Stop
from deepcube.atlas.sessions import Sessions

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self' blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

MAX_BODY_BYTES = 1 << 20
"""Longest body of a request."""

_WORKERS = 3  # images drawn at once; more wait
_PATIENT = 8  # answers that wait for the platform at once
_log = logging.getLogger(__name__)

Answer = Callable[[Request, Stop], Response]


class Guard:
    """Who may ask and how much at once.

    Parameters
    ----------
    sessions : Sessions
        Who is signed in.
    port : int
        Port that is listened at; browsers send cookies to all ports of a host, so the cookie's name has it.
    hosts : iterable of str
        Names that this server is asked by; a page of another site that makes its own name lead here is refused.
    """

    def __init__(self, sessions: Sessions, port: int, hosts: Iterable[str] = ()) -> None:
        self.sessions = sessions
        self.cookie = f"deepcube-atlas-{port}"
        self._hosts = {"127.0.0.1", "localhost", "[::1]", *hosts}
        self._limiters: dict[bool, anyio.CapacityLimiter] = {}

    def admits(self, request: Request) -> bool:
        """Tell whether a request brings the key or comes from a browser that is signed in."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() in ("bearer", "apikey") and self.sessions.is_key(given):
            return True
        return self.sessions.valid(request.cookies.get(self.cookie, ""))

    def knows_host(self, request: Request) -> bool:
        """Tell whether the request names this server by a name of its own."""
        host = request.headers.get("host", "")
        return (host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host).lower() in self._hosts

    def endpoint(self, answer: Answer, patient: bool = False) -> Callable[[Request], Awaitable[Response]]:
        """Return what answers requests: with a key, in a worker thread, ended if the client leaves.

        Parameters
        ----------
        answer : callable
            Answers a request.
        patient : bool
            Whether it waits for others rather than working itself; such answers take no room from maps.
        """

        async def guarded(request: Request) -> Response:
            if not self.admits(request):
                return error_response(401, "A key is needed: sign in, or send Authorization: Bearer KEY.")
            try:
                return await self.run(request, partial(answer, request), patient)
            except AtlasError as error:
                return error_response(error.status, str(error))
            except Exception as error:
                _log.exception("%s %s failed", request.method, request.url.path)
                return error_response(500, f"internal error of the atlas: {type(error).__name__}")

        return guarded

    async def run(self, request: Request, work: Callable[[Stop], Response], patient: bool = False) -> Response:
        """Do work in a thread; when the client leaves, work that waits is dropped and work under way is told to end."""
        limiter = self._limiters.setdefault(patient, anyio.CapacityLimiter(_PATIENT if patient else _WORKERS))
        stop = threading.Event()
        working = asyncio.ensure_future(anyio.to_thread.run_sync(partial(work, stop.is_set), limiter=limiter))
        leaving = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            stop.set()
            return Response(status_code=499)  # nobody reads it
        finally:
            stop.set()
            for task in (working, leaving):
                if not task.done():
                    task.cancel()


async def _left(request: Request) -> None:
    """Return when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def read_json(request: Request) -> dict[str, Any]:
    """Read a body that is a JSON object.

    Raises
    ------
    RequestError
        If it is too long or none.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise RequestError(f"The request is longer than {MAX_BODY_BYTES:,} bytes.")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise RequestError(f"Found JSON of type {type(found).__name__}; expected an object.")
    return found


def same_origin(request: Request) -> bool:
    """Tell whether a page of this server sent a request that changes something, or a program that is no browser."""
    origin = request.headers.get("origin")
    fetched_from = request.headers.get("sec-fetch-site", "same-origin")
    expected = f"{request.url.scheme}://{request.headers.get('host', '')}"
    return origin in (None, expected) and fetched_from in ("same-origin", "none")


def json_response(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON; numbers that it does not have become null."""
    try:
        text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(document), separators=(",", ":"))
    return Response(text, status, {"cache-control": "no-store", **(headers or {})}, "application/json")


def error_response(status: int, message: str) -> Response:
    """Answer that something is wrong, and what."""
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return json_response({"error": message}, status, headers)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


class Keyed:
    """An application that answers only those who bring the key or are signed in, asked from a page of this server.

    Parameters
    ----------
    app : ASGI application
        What is behind.
    guard : Guard
        Who may ask.
    """

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        request = Request(scope)
        if not self._guard.admits(request):
            await error_response(401, "A key is needed: sign in, or send Authorization: Bearer KEY.")(
                scope, receive, send
            )
        elif not same_origin(request):
            await error_response(403, "This request was not made from a page of this server.")(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class Shield:
    """An application whose every answer carries the security headers, and which answers only to its own names.

    Parameters
    ----------
    app : ASGI application
        What is shielded.
    guard : Guard
        Knows the names.
    """

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        shielded = _with_headers(send)
        if not self._guard.knows_host(Request(scope)):
            refusal = error_response(421, "This server does not answer to that name; see --host.")
            await refusal(scope, receive, shielded)
            return
        await self._app(scope, receive, shielded)


def _with_headers(send: Send) -> Send:
    async def shielded(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            added = [
                (name.encode(), value.encode())
                for name, value in SECURITY_HEADERS.items()
                if name.encode() not in present
            ]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return shielded
