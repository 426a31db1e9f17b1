"""How a resource of the REST API says which calls it answers.

A module of :mod:`deepcube.embedded.api` holds one table of routes and plain functions:

    routes = Routes("/project/{project_id:int}/jobs")

    @routes.get("/{name}")
    def read(call: Call) -> Json: ...

The function runs in a worker thread, gets a :class:`Call` and returns a JSON document, None (204), or a Starlette
response; it raises :class:`~deepcube.embedded.errors.ApiError` for everything the client should be told.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deepcube.embedded import access
from deepcube.embedded.errors import GENERIC_INTERNAL, UNAUTHORIZED, ApiError, bad_request
from deepcube.embedded.keys import User
from deepcube.embedded.platform import Platform, Project

Json = Any
Handler = Callable[["Call"], Json]

PREFIX = "/hopsworks-api/api"
MAX_BODY_BYTES = 64 * 1024 * 1024  # uploads are streamed and have a limit of their own

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """One authenticated request.

    Attributes
    ----------
    platform : Platform
        Shared state.
    user : User
        Who calls.
    path : mapping
        Parameters of the route's path.
    query : mapping of str to list of str
        Parameters after the question mark.
    headers : mapping
        Request headers, names in lower case.
    body : bytes
        Whole body.
    """

    platform: Platform
    user: User
    path: Mapping[str, Any]
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def project(self) -> Project:
        """Project that owns what the path names: the owner of the feature store, if that is a shared one."""
        return self.platform.project(self.path.get("featurestore_id", self.path["project_id"]))

    @cached_property
    def json(self) -> Any:
        """Body as JSON; an empty object for an empty body.

        Raises
        ------
        ApiError
            If the body is not JSON.
        """
        return parse_json(self.body) if self.body else {}

    @cached_property
    def document(self) -> dict[str, Any]:
        """Body as a JSON object.

        Raises
        ------
        ApiError
            If it is something else.
        """
        if not isinstance(self.json, dict):
            raise bad_request(f"the request's body must be a JSON object, found {type(self.json).__name__}")
        return self.json

    def parameter(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    def flag(self, name: str) -> bool:
        """Return a query parameter as a truth value; absent means False."""
        return (self.parameter(name) or "").lower() == "true"

    def integer(self, name: str, default: int | None = None) -> int | None:
        """Return a query parameter as an integer; absent, empty and ``None`` mean the default.

        Raises
        ------
        ApiError
            If it is not an integer.
        """
        value = self.parameter(name)
        if value in (None, "", "None", "null"):
            return default
        try:
            return int(value)
        except ValueError:
            raise bad_request(f"query parameter {name!r} must be an integer, found {value!r}") from None


class Routes:
    """Table of the calls that one resource answers.

    Parameters
    ----------
    base : str
        Path that all of them start with, below the prefix; parameters as in Starlette.
    prefix : str
        The API's, unless a client expects the calls elsewhere.
    """

    def __init__(self, base: str = "", prefix: str = PREFIX) -> None:
        self.base = base
        self.prefix = prefix
        self.table: list[tuple[str, str, Handler]] = []

    def _add(self, method: str, path: str) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self.table.append((method, self.base + path, handler))
            return handler

        return register

    def get(self, path: str = "") -> Callable[[Handler], Handler]:
        """Register a function for GET."""
        return self._add("GET", path)

    def post(self, path: str = "") -> Callable[[Handler], Handler]:
        """Register a function for POST."""
        return self._add("POST", path)

    def put(self, path: str = "") -> Callable[[Handler], Handler]:
        """Register a function for PUT."""
        return self._add("PUT", path)

    def delete(self, path: str = "") -> Callable[[Handler], Handler]:
        """Register a function for DELETE."""
        return self._add("DELETE", path)

    def starlette(self, platform: Platform) -> list[Route]:
        """Return the table as Starlette routes."""
        return [
            Route(self.prefix + path, _endpoint(platform, handler), methods=[method], name=f"{method} {path}")
            for method, path, handler in self.table
        ]


def parse_json(content: bytes) -> Any:
    """Read JSON that came from a network.

    Raises
    ------
    ApiError
        If it is not JSON in UTF-8, is nested too deeply, or has a text that is none (half of a surrogate pair).
    """
    try:
        text = content.decode()
        value = json.loads(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise bad_request("the request's body is nested too deeply; send a flatter document") from None
    except ValueError as error:
        raise bad_request(f"the request's body is not JSON in UTF-8: {error}") from None
    return value


class JsonResponse(JSONResponse):
    """An answer that any client can read: numbers that JSON does not have (NaN, infinity) become null."""

    def render(self, content: Json) -> bytes:
        """Return the answer's bytes."""
        try:
            return super().render(content)
        except ValueError:
            return json.dumps(_finite(content), separators=(",", ":")).encode()


def _finite(value: Json) -> Json:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def items(documents: list[Json]) -> dict[str, Json]:
    """Wrap a list as Hopsworks does: ``{"count": n, "items": [...]}``."""
    return {"count": len(documents), "items": documents}


def authenticate(platform: Platform, request: Request) -> User:
    """Return who calls, by the ``Authorization: ApiKey`` (or ``Bearer``) header, if the user may make this call.

    Raises
    ------
    ApiError
        401 if the key is missing or not valid, 403 if the user may not.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    user = platform.keys.user_of(key.strip()) if scheme.lower() in ("apikey", "bearer") else None
    if user is None:
        raise ApiError(
            401, UNAUTHORIZED, "the API key is missing or not valid for this platform; see `deepcube env` for one"
        )
    path = str(request.scope["path"]).removeprefix(PREFIX)  # as the routes see it: decoded, and nothing cut off
    if any(ord(letter) < 32 for letter in path):  # no name has one, and patterns may stop at a new line
        raise bad_request("the path has a control character; names have none")
    access.authorize(platform, user, access.Request(request.method, path, request.query_params))
    return user


def answer(result: Json) -> Response:
    """Return what a handler returned as a response."""
    if isinstance(result, Response):
        return result
    return Response(status_code=204) if result is None else JsonResponse(result)


def error_response(error: ApiError) -> Response:
    """Return the response that tells the client of an error."""
    return JsonResponse(error.document(), status_code=error.status)


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Read a request's body, up to a limit.

    Raises
    ------
    ApiError
        413 if it is longer.
    """
    chunks, length = [], 0
    async for chunk in request.stream():
        length += len(chunk)
        if length > limit:
            raise ApiError(413, GENERIC_INTERNAL, f"the request's body is longer than {limit} bytes; send less at once")
        chunks.append(chunk)
    return b"".join(chunks)


def _endpoint(platform: Platform, handler: Handler) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            user = authenticate(platform, request)
            query: dict[str, list[str]] = {}
            for key, value in request.query_params.multi_items():
                query.setdefault(key, []).append(value)
            body = await read_body(request)
            call = Call(platform, user, request.path_params, query, request.headers, body)
            result = answer(await run_in_threadpool(handler, call))
        except ApiError as error:
            return error_response(error)
        except Exception as error:
            _log.exception("%s %s failed", request.method, request.url.path)
            message = f"internal error of the embedded Hopsworks: {type(error).__name__}: {error}"
            return error_response(ApiError(500, GENERIC_INTERNAL, message))
        return result

    return endpoint
