"""The console's only way to the platform's content: the REST API, called inside the process with the session's key.

So a page shows what the client would be told, and may do what the client may do; there is no second source of truth
and no second check of rights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio.from_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepcube.embedded.errors import GENERIC_INTERNAL, ApiError
from deepcube.embedded.routing import PREFIX

if TYPE_CHECKING:
    import httpx

_LOCAL = "https://embedded"


class Gateway:
    """The REST API as something to call.

    Parameters
    ----------
    rest : ASGI application
        The routes of the REST API.
    """

    def __init__(self, rest: ASGIApp) -> None:
        self.rest = rest

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        import httpx  # at the first page, not at the server's start: it imports a command line of its own

        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.rest), base_url=_LOCAL, timeout=None)

    async def call(
        self,
        key: str,
        method: str,
        path: str,
        query: Mapping[str, Any],
        document: Any = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Call the REST API with a key; see :meth:`Rest.get`."""
        headers = {"authorization": f"ApiKey {key}"}
        if content is not None:
            headers["content-type"] = "text/plain"
        return await self._client.request(
            method, PREFIX + path, params=query, json=document, content=content, headers=headers
        )


@dataclass(frozen=True)
class Rest:
    """The REST API as one session may call it, from a worker thread.

    Attributes
    ----------
    gateway : Gateway
        The API.
    key : str
        The session's API key.
    """

    gateway: Gateway
    key: str

    def get(self, *segments: object, **query: Any) -> Any:
        """Return the JSON document at a path.

        Parameters
        ----------
        *segments : object
            Segments of the path below the API's prefix; quoted here.
        **query
            Query parameters.

        Raises
        ------
        ApiError
            As the API answers.
        """
        return self._send("GET", segments, query)

    def post(self, *segments: object, document: Any = None, content: bytes | None = None, **query: Any) -> Any:
        """Send a JSON document, or text, by POST."""
        return self._send("POST", segments, query, document, content)

    def put(self, *segments: object, document: Any = None, **query: Any) -> Any:
        """Send a JSON document by PUT."""
        return self._send("PUT", segments, query, document)

    def forward(self, *segments: object, headers: Mapping[str, str] | None = None) -> Forward:
        """Return a response that passes on, as it comes, what the API answers to a GET (a file).

        Parameters
        ----------
        *segments : object
            Segments of the path; slashes in them stay.
        headers : mapping, optional
            Headers, names in lower case, that replace those of a successful answer.
        """
        return Forward(self, _path(segments, safe="/"), headers or {})

    def _send(
        self,
        method: str,
        segments: tuple[object, ...],
        query: Mapping[str, Any],
        document: Any = None,
        content: bytes | None = None,
    ) -> Any:
        path = _path(segments, safe="/" if "dataset" in segments else "")
        response = anyio.from_thread.run(self.gateway.call, self.key, method, path, query, document, content)
        if response.status_code >= 400:
            raise _error(response, f"{method} {path}")
        return response.json() if response.content else None


def _path(segments: tuple[object, ...], safe: str) -> str:
    return "".join(f"/{quote(str(segment), safe=safe)}" for segment in segments)


def _error(response: httpx.Response, call: str) -> ApiError:
    try:
        body = response.json()
        message = body.get("usrMsg") or body.get("errorMsg") or ""
        return ApiError(response.status_code, int(body.get("errorCode", GENERIC_INTERNAL)), str(message))
    except (ValueError, AttributeError):
        return ApiError(response.status_code, GENERIC_INTERNAL, f"{call} answered {response.status_code}")


class Forward:
    """A response (ASGI) that is the answer of the REST API to a GET, streamed.

    Parameters
    ----------
    rest : Rest
        Where and as whom to ask.
    path : str
        Quoted path below the API's prefix.
    headers : mapping
        Headers that replace those of a successful answer; an empty value removes one.
    """

    def __init__(self, rest: Rest, path: str, headers: Mapping[str, str]) -> None:
        import httpx

        self._rest = rest
        self._url = httpx.URL(_LOCAL + PREFIX + path)
        self._headers = {name.encode(): value.encode() for name, value in headers.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        inner = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "https",
            "method": "GET",
            "path": self._url.path,
            "raw_path": self._url.raw_path,
            "query_string": b"",
            "root_path": "",
            "headers": [(b"authorization", f"ApiKey {self._rest.key}".encode())],
            "client": scope.get("client"),
            "server": scope.get("server"),
        }

        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                kept = [(name, value) for name, value in message["headers"] if name not in self._headers]
                added = [(name, value) for name, value in self._headers.items() if value]
                message = {**message, "headers": kept + added}
            await send(message)

        await self._rest.gateway.rest(inner, receive, pass_on)
