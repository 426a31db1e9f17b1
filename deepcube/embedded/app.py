"""The REST wire: every resource of :mod:`deepcube.embedded.api` as one ASGI application."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from deepcube.embedded.absent import explain
from deepcube.embedded.api import RESOURCES
from deepcube.embedded.console import console_routes
from deepcube.embedded.platform import Platform
from deepcube.embedded.routing import PREFIX, error_response


def build_app(platform: Platform) -> Starlette:
    """Return the REST API of a platform.

    Parameters
    ----------
    platform : Platform
        Shared state of all wires.
    """
    routes: list[BaseRoute] = [route for resource in RESOURCES for route in resource.starlette(platform)]
    routes += console_routes(platform, rest=routes)
    routes.append(Route("/health", _health, methods=["GET"]))
    return Starlette(routes=routes, exception_handlers={HTTPException: _unknown_call})


async def _health(request: Request) -> Response:
    """Answer that the server is up; tells nothing of its content, so it needs no key."""
    return JSONResponse({"status": "ok"})


async def _unknown_call(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code not in (404, 405):
        return JSONResponse({"errorMsg": error.detail}, status_code=error.status_code)
    return error_response(explain(request.method, request.url.path.removeprefix(PREFIX)))
