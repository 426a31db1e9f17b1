"""The console as a whole: sign in and out, the overview, static files, and every section's pages."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from deepcube.embedded.console.alerts import pages as alert_pages
from deepcube.embedded.console.cubes import pages as cube_pages
from deepcube.embedded.console.deployments import pages as deployment_pages
from deepcube.embedded.console.experiments import pages as experiment_pages
from deepcube.embedded.console.features import pages as feature_pages
from deepcube.embedded.console.files import pages as file_pages
from deepcube.embedded.console.gateway import Gateway
from deepcube.embedded.console.jobs import pages as job_pages
from deepcube.embedded.console.links import follow
from deepcube.embedded.console.models import pages as model_pages
from deepcube.embedded.console.overview import nothing_here
from deepcube.embedded.console.overview import pages as overview_pages
from deepcube.embedded.console.pages import (
    BASE,
    Guard,
    Guarded,
    Pages,
    check_same_origin,
    check_token,
    read_form,
    refuse_anonymous,
    sign_in_page,
    with_security_headers,
)
from deepcube.embedded.console.render import STATIC
from deepcube.embedded.console.session import SESSION_SECONDS, SIGN_IN_PATH, TICKET_PATH, Sessions, redeem
from deepcube.embedded.errors import ApiError
from deepcube.embedded.platform import Platform

SECTIONS: list[Pages] = [
    overview_pages,
    job_pages,
    feature_pages,
    model_pages,
    experiment_pages,
    deployment_pages,
    cube_pages,
    alert_pages,
    file_pages,
]


def console_routes(platform: Platform, rest: Sequence[BaseRoute], sessions: Sessions | None = None) -> list[BaseRoute]:
    """Return the routes of the console.

    Parameters
    ----------
    platform : Platform
        Shared state.
    rest : sequence of routes
        The REST API, which the console shows.
    sessions : Sessions, optional
        Who is signed in; nobody by default.
    """
    guard = Guard(platform, Gateway(Router(list(rest))), sessions or Sessions(platform.keys))
    door = Door(guard)
    return [
        Route("/", Guarded(door.to_console), methods=["GET"]),
        Route("/p/{rest:path}", Guarded(follow), methods=["GET"]),
        Route(SIGN_IN_PATH, Guarded(door.show), methods=["GET"]),
        Route(SIGN_IN_PATH, Guarded(door.sign_in), methods=["POST"]),
        Route(TICKET_PATH, Guarded(door.use_ticket), methods=["GET"]),
        Route(f"{BASE}/sign-out", Guarded(door.sign_out), methods=["POST"]),
        Mount(f"{BASE}/static", _Static(StaticFiles(directory=STATIC))),
        *(route for section in SECTIONS for route in section.starlette(guard)),
        # Whatever else lies below: an anonymous visitor is not even told that it does not exist.
        *(
            Route(BASE + "/{rest:path}", guard.endpoint(method, nothing_here, ""), methods=[method])
            for method in ("GET", "POST")
        ),
    ]


class _Static:
    """The console's own files, which anyone may read: they come with the package."""

    def __init__(self, files: ASGIApp) -> None:
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._files(scope, receive, with_security_headers(send))


class Door:
    """Signing in and out.

    Parameters
    ----------
    guard : Guard
        Whose sessions.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def to_console(self, request: Request) -> Response:
        """Send a visitor of the server's root to the console."""
        return RedirectResponse(BASE, status_code=303)

    async def show(self, request: Request) -> Response:
        """Show the form that asks for the API key."""
        return sign_in_page(BASE)

    async def sign_in(self, request: Request) -> Response:
        """Take the API key of the form and start a session."""
        try:
            check_same_origin(request)
            form = await read_form(request)
        except ApiError as error:
            return sign_in_page(BASE, error.message, error.status)
        target = form.get("target", "")
        session_id = await self._guard.threaded(self._guard.sessions.open, form.get("key", "").strip())
        if session_id is None:
            return sign_in_page(
                local_target(target), "This is not a valid API key of this platform; `deepcube env` prints one.", 401
            )
        return self._enter(session_id, local_target(target))

    async def use_ticket(self, request: Request) -> Response:
        """Take a one-time token and start a session of the owner."""
        platform = self._guard.platform
        if not await self._guard.threaded(redeem, platform.home, request.query_params.get("token", "")):
            message = "This one-time address was used already or is too old; run `deepcube open` again, or use a key."
            return sign_in_page(BASE, message, 401)
        key = await self._guard.threaded(platform.keys.owner_key, platform.home)
        session_id = await self._guard.threaded(self._guard.sessions.open, key)
        return self._enter(session_id, BASE)

    async def sign_out(self, request: Request) -> ASGIApp:
        """End the session."""
        session = await self._guard.threaded(self._guard.session, request)
        if session is None:
            return refuse_anonymous(request)
        try:
            check_same_origin(request)
            check_token(session, await read_form(request))
        except ApiError as error:
            return sign_in_page(BASE, error.message, error.status)
        self._guard.sessions.close(request.cookies[self._guard.cookie])
        response = RedirectResponse(SIGN_IN_PATH, status_code=303)
        response.delete_cookie(self._guard.cookie, secure=True, httponly=True, samesite="strict")
        return response

    def _enter(self, session_id: str, target: str) -> Response:
        response = RedirectResponse(target, status_code=303)
        response.set_cookie(
            self._guard.cookie,
            session_id,
            max_age=int(SESSION_SECONDS),
            secure=True,
            httponly=True,
            samesite="strict",
        )
        return response


def local_target(target: str) -> str:
    """Return where to go after signing in: a page of the console, whatever else was asked for."""
    is_page = target == BASE or target.startswith(f"{BASE}/")
    if is_page and "\\" not in target and target.isprintable() and not target.startswith(SIGN_IN_PATH):
        return target
    return BASE
