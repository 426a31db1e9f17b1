"""How a section of the console says which pages it answers, and what guards every one of them.

A section is a module with one table and plain functions, as in the REST API:

    pages = Pages("/{project_id:int}/jobs")

    @pages.get()
    def jobs(page: Page) -> Response: ...

The function runs in a worker thread. Before it: a session (else 401 and the sign-in page); for POST also the
browser's word that the request comes from this site, and the session's token. After it: headers that let a page load
nothing but the console's own files and run no script that stands in it.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepcube.embedded.console.gateway import Gateway, Rest
from deepcube.embedded.console.render import render
from deepcube.embedded.console.session import SIGN_IN_PATH, Session, Sessions
from deepcube.embedded.errors import FORBIDDEN, GENERIC_INTERNAL, UNAUTHORIZED, ApiError, bad_request
from deepcube.embedded.platform import Platform
from deepcube.embedded.routing import read_body

BASE = "/console"
MAX_FORM_BYTES = 4 * 1024 * 1024
MAX_FORM_FIELDS = 200
_THREADS = 8  # of the server's worker threads; its calls of the REST API need others

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not "no-referrer": it would make browsers send "Origin: null" with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProjectLink:
    """A project as the navigation shows it.

    Attributes
    ----------
    id : int
        Id of the project.
    name : str
        Name of the project.
    """

    id: int
    name: str


@dataclass(frozen=True)
class Page:
    """One request of a signed-in browser.

    Attributes
    ----------
    platform : Platform
        Shared state, for what the REST API does not offer (following a log).
    session : Session
        Who asks.
    rest : Rest
        The REST API, as this session may call it.
    path : mapping
        Parameters of the path.
    query : mapping of str to list of str
        Parameters after the question mark.
    form : mapping of str to str
        Fields of the posted form.
    section : str
        Which part of the navigation the page belongs to.
    """

    platform: Platform
    session: Session
    rest: Rest
    path: Mapping[str, Any]
    query: Mapping[str, list[str]]
    form: Mapping[str, str]
    section: str

    @cached_property
    def projects(self) -> list[ProjectLink]:
        """Projects that the session may see."""
        return [ProjectLink(item["project"]["id"], item["project"]["name"]) for item in self.rest.get("project")]

    @cached_property
    def project(self) -> ProjectLink:
        """Project of the page.

        Raises
        ------
        ApiError
            404 if there is none.
        """
        document = self.rest.get("project", self.path["project_id"])
        return ProjectLink(document["projectId"], document["projectName"])

    @cached_property
    def place(self) -> tuple[ProjectLink | None, list[ProjectLink]]:
        """Project of the page, if it has one that is there, and those one can go to: what the navigation shows."""
        try:
            return (self.project if "project_id" in self.path else None), self.projects
        except ApiError:
            return None, []

    @property
    def base(self) -> str:
        """Address of the project's pages."""
        return f"{BASE}/{self.project.id}"

    def parameter(self, name: str, default: str = "") -> str:
        """Return the first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    def number(self, name: str, default: int) -> int:
        """Return a query parameter as a number that is not negative.

        Raises
        ------
        ApiError
            If it is not one.
        """
        value = self.parameter(name, str(default))
        if not value.isascii() or not value.isdecimal() or len(value) > 18:
            raise bad_request(f"{name!r} in the address must be a whole number, found {value!r}")
        return int(value)

    def get(self, *segments: object, **query: Any) -> Any:
        """Return a document of the project from the REST API."""
        return self.rest.get("project", self.project.id, *segments, **query)

    def items(self, *segments: object, **query: Any) -> list[Any]:
        """Return a list of the project from the REST API."""
        document = self.get(*segments, **query)
        found = document if isinstance(document, list) else document.get("items")
        return list(found or [])

    def html(self, template: str, status: int = 200, **context: Any) -> Response:
        """Return a page made from a template."""
        context = {"page": self, "notice": self.session.take_notice(), **context}
        return _html(render(template, context), status)

    def json(self, document: Any) -> Response:
        """Return a document for the page's own script."""
        return JSONResponse(document, headers={"cache-control": "no-store"})

    def redirect(self, path: str, notice: str = "") -> Response:
        """Send the browser to another page, which says what was done."""
        self.session.notice = notice
        return RedirectResponse(path, status_code=303)


PageHandler = Callable[[Page], ASGIApp]


class Pages:
    """Table of the pages of one section.

    Parameters
    ----------
    base : str
        Path that all of them start with, below ``/console``.
    section : str
        Name of the section in the navigation.
    """

    def __init__(self, base: str = "", section: str = "") -> None:
        self.base = base
        self.section = section
        self.table: list[tuple[str, str, PageHandler]] = []

    def get(self, path: str = "") -> Callable[[PageHandler], PageHandler]:
        """Register a function for GET."""
        return self._add("GET", path)

    def post(self, path: str = "") -> Callable[[PageHandler], PageHandler]:
        """Register a function for POST; the browser's own form of this session is what gets here."""
        return self._add("POST", path)

    def _add(self, method: str, path: str) -> Callable[[PageHandler], PageHandler]:
        def register(handler: PageHandler) -> PageHandler:
            self.table.append((method, BASE + self.base + path, handler))
            return handler

        return register

    def starlette(self, guard: Guard) -> list[Route]:
        """Return the table as Starlette routes."""
        return [
            Route(path, guard.endpoint(method, handler, self.section), methods=[method], name=f"{method} {path}")
            for method, path, handler in self.table
        ]


class Guard:
    """What stands before every page.

    Parameters
    ----------
    platform : Platform
        Shared state.
    gateway : Gateway
        The REST API.
    sessions : Sessions
        Who is signed in.
    """

    def __init__(self, platform: Platform, gateway: Gateway, sessions: Sessions) -> None:
        self.platform = platform
        self.gateway = gateway
        self.sessions = sessions
        self._limiter = anyio.CapacityLimiter(_THREADS)

    @property
    def cookie(self) -> str:
        """Name of the cookie; servers on other ports of this machine see each other's cookies, so it has the port."""
        return f"__Host-deepcube-{self.platform.settings.ports['rest']}"

    def session(self, request: Request) -> Session | None:
        """Return the session of a request."""
        session_id = request.cookies.get(self.cookie)
        return self.sessions.find(session_id) if session_id else None

    def endpoint(self, method: str, handler: PageHandler, section: str) -> ASGIApp:
        """Return the application that answers a page."""

        async def answer(request: Request) -> ASGIApp:
            session = await self.threaded(self.session, request)
            if session is None:
                return refuse_anonymous(request)
            try:
                form: dict[str, str] = {}
                if method == "POST":
                    check_same_origin(request)
                    form = await read_form(request)
                    check_token(session, form)
                page = self._page(request, session, form, section)
                return await self.threaded(handler, page)
            except ApiError as error:
                return await self.threaded(self._error, request, session, section, error)
            except Exception as error:
                _log.exception("%s %s failed", request.method, request.url.path)
                message = f"internal error of the console: {type(error).__name__}: {error}"
                failure = ApiError(500, GENERIC_INTERNAL, message)
                return await self.threaded(self._error, request, session, section, failure)

        return Guarded(answer)

    async def threaded(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that may block in one of the console's worker threads."""
        return await anyio.to_thread.run_sync(partial(function, *arguments), limiter=self._limiter)

    def _page(self, request: Request, session: Session, form: Mapping[str, str], section: str) -> Page:
        query: dict[str, list[str]] = {}
        for key, value in request.query_params.multi_items():
            query.setdefault(key, []).append(value)
        rest = Rest(self.gateway, session.key)
        return Page(self.platform, session, rest, request.path_params, query, form, section)

    def _error(self, request: Request, session: Session, section: str, error: ApiError) -> Response:
        if wants_json(request):
            return JSONResponse(error.document(), status_code=error.status)
        page = self._page(request, session, {}, section)
        return page.html("error.html", error.status, error=error)


class Guarded:
    """An endpoint (ASGI) whose every answer carries the security headers.

    Parameters
    ----------
    answer : coroutine function
        Turns a request into a response.
    """

    def __init__(self, answer: Callable[[Request], Awaitable[ASGIApp]]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, with_security_headers(send))


def with_security_headers(send: Send) -> Send:
    """Return a ``send`` that adds :data:`SECURITY_HEADERS` where the response does not set them itself."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            missing = [
                (name.encode(), value.encode())
                for name, value in SECURITY_HEADERS.items()
                if name.encode() not in present
            ]
            message = {**message, "headers": [*message["headers"], *missing]}
        await send(message)

    return guarded


def refuse_anonymous(request: Request) -> Response:
    """Answer 401: the sign-in page, which leads back, or a document for the page's own script.

    A browser that follows a link of another site, such as the atlas, does not send the session's cookie, which is
    strict about that. It is told to ask once more, by itself: of a browser that is signed in, the cookie then comes.
    """
    if wants_json(request):
        error = ApiError(401, UNAUTHORIZED, "the session has ended; sign in again")
        return JSONResponse(error.document(), status_code=401)
    target = request.url.path if request.method == "GET" else BASE
    if request.method == "GET" and request.url.query:
        target += f"?{request.url.query}"
    response = sign_in_page(target, status=401)
    followed = request.headers.get("sec-fetch-site", "") in ("cross-site", "same-site")
    if followed and request.method == "GET" and request.headers.get("sec-fetch-mode", "") == "navigate":
        response.headers["refresh"] = "0"
    return response


def sign_in_page(target: str, message: str = "", status: int = 200) -> Response:
    """Return the page that asks for the API key."""
    return _html(render("sign_in.html", {"target": target, "message": message, "action": SIGN_IN_PATH}), status)


def wants_json(request: Request) -> bool:
    """Tell whether a script of ours asks, not a person."""
    return "application/json" in request.headers.get("accept", "")


def check_same_origin(request: Request) -> None:
    """Refuse a request that a page of another site (or of another port of this machine) made the browser send.

    Raises
    ------
    ApiError
        403.
    """
    expected = f"{request.url.scheme}://{request.headers.get('host', '')}"
    origin, fetched_from = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
    if origin != expected or fetched_from != "same-origin":
        raise ApiError(
            403, FORBIDDEN, f"this request was made from {origin or 'elsewhere'}, not from a page of {expected}"
        )


def check_token(session: Session, form: Mapping[str, str]) -> None:
    """Refuse a form that is not of this session.

    Raises
    ------
    ApiError
        403.
    """
    if not hmac.compare_digest(form.get("csrf", "").encode(), session.csrf.encode()):
        raise ApiError(
            403, FORBIDDEN, "this form belongs to an earlier session; go back, reload the page and try again"
        )


async def read_form(request: Request) -> dict[str, str]:
    """Read a posted form.

    Raises
    ------
    ApiError
        If it is too long, or not a form.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise bad_request("expected a form (application/x-www-form-urlencoded)")
    body = await read_body(request, MAX_FORM_BYTES)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS)
    except ValueError as error:
        raise bad_request(f"the form cannot be read: {error}") from None
    return dict(pairs)


def _html(content: str, status: int) -> Response:
    return Response(content, status, media_type="text/html; charset=utf-8", headers={"cache-control": "no-store"})
