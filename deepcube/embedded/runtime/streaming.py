"""Routes whose body is not read into memory first: uploads and predictions."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deepcube.embedded.errors import GENERIC_INTERNAL, ApiError
from deepcube.embedded.keys import User
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.routing import PREFIX, Handler, Routes, answer, authenticate, error_response

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StreamCall:
    """One authenticated request whose body is still to be read.

    Attributes
    ----------
    platform : Platform
        Shared state.
    user : User
        Who calls.
    path : mapping
        Parameters of the route's path.
    request : Request
        The request itself.
    """

    platform: Platform
    user: User
    path: Mapping[str, Any]
    request: Request

    @cached_property
    def project(self) -> Project:
        """Project named in the path."""
        return self.platform.project(self.path["project_id"])


StreamHandler = Callable[[StreamCall], Awaitable[Any]]


class StreamRoutes(Routes):
    """A table of routes some of which take their body as a stream, in the server's event loop."""

    def __init__(self, base: str = "") -> None:
        super().__init__(base)
        self._streams: list[tuple[str, str, StreamHandler]] = []

    def stream(self, method: str, path: str = "") -> Callable[[StreamHandler], StreamHandler]:
        """Register a coroutine function that reads the body itself; it must not block for long."""

        def register(handler: StreamHandler) -> StreamHandler:
            self._streams.append((method, self.base + path, handler))
            return handler

        return register

    def patch(self, path: str = "") -> Callable[[Handler], Handler]:
        """Register a function for PATCH."""
        return self._add("PATCH", path)

    def starlette(self, platform: Platform) -> list[Route]:
        """Return the table as Starlette routes, streams first."""
        streams = [
            Route(PREFIX + path, _endpoint(platform, handler), methods=[method], name=f"{method} {path}")
            for method, path, handler in self._streams
        ]
        return streams + super().starlette(platform)


def _endpoint(platform: Platform, handler: StreamHandler) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            user = authenticate(platform, request)
            result = answer(await handler(StreamCall(platform, user, request.path_params, request)))
        except ApiError as error:
            return error_response(error)
        except Exception as error:
            _log.exception("%s %s failed", request.method, request.url.path)
            message = f"internal error of the embedded Hopsworks: {type(error).__name__}: {error}"
            return error_response(ApiError(500, GENERIC_INTERNAL, message))
        return result

    return endpoint
