"""A SPARQL 1.1 Protocol endpoint: read-only, bounded, protected by a key, each query in a process that can be ended.

:func:`build_app` makes a Starlette application that stands alone or is mounted beside another. Queries run in worker
processes, so that a time limit holds whatever the query is doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from deepcube.semantics.results import GRAPH_FORMATS, TABLE_FORMATS
from deepcube.semantics.vocabulary import PREFIXES
from deepcube.semantics.workers import EngineConfig, WorkerPool

_MEDIA: dict[str, str] = {media.split(";")[0]: name for name, (media, _) in TABLE_FORMATS.items()}
_MEDIA |= {
    "application/json": "json",
    "application/xml": "xml",
    "text/xml": "xml",
    "application/vnd.geo+json": "geojson",
}
_GRAPH_MEDIA: dict[str, str] = {media: name for name, (media, _) in GRAPH_FORMATS.items()}
_STATUS = {"UnboundedQueryError": 413, "QueryStoppedError": 504, "UnavailableError": 503}
_LONGEST_QUERY = 1 << 20
_PULSE = 0.2  # seconds between looks whether the client is still there


@dataclass(frozen=True)
class EndpointConfig:
    """How an endpoint answers.

    Attributes
    ----------
    engine : EngineConfig
        What is asked.
    key : str or None
        Key that every request has to bring as ``Authorization: Bearer`` or ``ApiKey``; None lets
        everybody in.
    seconds : float
        Time that a query may take.
    rows : int
        Solutions or triples that an answer may have.
    workers : int
        Queries answered at once; more wait.
    examples : tuple of (str, str)
        Titles and texts of example queries on the query page.
    """

    engine: EngineConfig
    key: str | None = None
    seconds: float = 30.0
    rows: int = 100_000
    workers: int = 1
    examples: tuple[tuple[str, str], ...] = field(default=())


def build_app(config: EndpointConfig) -> Starlette:
    """Return the endpoint as an application: ``/sparql``, and the query page at ``/``.

    Parameters
    ----------
    config : EndpointConfig
        How it answers.
    """
    pool = WorkerPool(config.engine, config.workers)

    async def sparql(request: Request) -> Response:
        if not _allowed(request, config.key):
            return PlainTextResponse(
                "A key is needed: Authorization: Bearer KEY\n", 401, {"WWW-Authenticate": "Bearer"}
            )
        return await _answer(request, config, pool)

    async def page(request: Request) -> Response:
        text = (resources.files("deepcube.semantics") / "page.html").read_text(encoding="utf-8")
        given = {"examples": config.examples, "prefixes": PREFIXES, "keyed": config.key is not None}
        script = json.dumps(given).replace("<", "\\u003c")  # no text can end the script
        return HTMLResponse(text.replace("/*GIVEN*/{}", script), headers=_PAGE_HEADERS)

    app = Starlette(
        routes=[Route("/sparql", sparql, methods=["GET", "POST"]), Route("/", page)],
        lifespan=_lifespan(pool),
    )
    app.state.pool = pool
    return app


_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


def _allowed(request: Request, key: str | None) -> bool:
    if key is None:
        return True
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() in ("bearer", "apikey") and hmac.compare_digest(given.strip().encode(), key.encode())


async def _parameters(request: Request) -> tuple[dict[str, list[str]], str | None]:
    """Return the protocol's parameters and, for a direct POST, the query (SPARQL 1.1 Protocol, section 2.1)."""
    found = parse_qs(request.url.query, keep_blank_values=True)
    if request.method == "GET":
        return found, None
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_QUERY:
            raise _RefusedError(413, f"The request is longer than {_LONGEST_QUERY:,} bytes.")
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise _RefusedError(400, "The request is not UTF-8.") from None
    if kind == "application/sparql-query":
        return found, text
    if kind == "application/x-www-form-urlencoded":
        for name, values in parse_qs(text, keep_blank_values=True).items():
            found.setdefault(name, []).extend(values)
        return found, None
    if kind == "application/sparql-update":
        raise _RefusedError(403, "This endpoint is read-only.")
    raise _RefusedError(415, f"Found the content type {kind!r}; expected a form or application/sparql-query.")


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def _answer(request: Request, config: EndpointConfig, pool: WorkerPool) -> Response:
    try:
        found, direct = await _parameters(request)
        if "update" in found:
            raise _RefusedError(403, "This endpoint is read-only.")
        queries = [direct] if direct is not None else found.get("query", [])
        if len(queries) != 1 or queries[0] is None:
            raise _RefusedError(400, f"Found {len(queries)} queries; expected one, as the parameter 'query'.")
        if "default-graph-uri" in found or "named-graph-uri" in found:
            raise _RefusedError(400, "default-graph-uri and named-graph-uri are not supported; use FROM in the query.")
        forms = _wanted(request.headers.get("accept", "*/*"), found.get("format", [None])[0])
    except _RefusedError as error:
        return PlainTextResponse(f"{error}\n", error.status)
    seconds = min(config.seconds, _seconds(found.get("timeout", [""])[0], config.seconds))
    explain = found.get("explain", ["0"])[0] in ("1", "true")
    parts = pool.ask(queries[0], forms, seconds, config.rows, explain)
    head = await _unless_gone(request, anext(parts))
    if head is None:
        return Response(status_code=499)  # nobody reads it
    if head["kind"] == "error":
        await parts.aclose()  # gives the worker back now rather than when the generator is collected
        return JSONResponse(head, _STATUS.get(head["error"], 400))
    return StreamingResponse(_streamed(parts), media_type=head["media"])


async def _unless_gone(request: Request, awaited: Awaitable[dict[str, Any]]) -> dict[str, Any] | None:
    """Return what is awaited; cancel it, so that its worker is ended, and return None if the client leaves before."""
    task = asyncio.ensure_future(awaited)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_PULSE)
            if not task.done() and await request.is_disconnected():
                return None
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _seconds(text: str, most: float) -> float:
    """Return a time limit in seconds from the parameter ``timeout``, which is in milliseconds."""
    return int(text) / 1000 if re.fullmatch("0*[1-9][0-9]{0,8}", text) else most


async def _streamed(parts: AsyncGenerator[dict[str, Any], None]) -> AsyncIterator[bytes]:
    async with contextlib.aclosing(parts):
        async for part in parts:
            if part["kind"] == "error":  # the status is sent already: break off, so that nobody takes it for all
                raise RuntimeError(part["message"])
            yield part["text"].encode()


def _wanted(accept: str, named: str | None) -> dict[str, str]:
    """Return the form to send solutions in and the form to send triples in."""
    if named in TABLE_FORMATS or named in GRAPH_FORMATS:  # other names are of other endpoints: Accept decides
        assert named is not None
        return {
            "table": named if named in TABLE_FORMATS else "json",
            "graph": named if named in GRAPH_FORMATS else "ttl",
        }
    offered: list[tuple[float, int, str]] = []
    for order, item in enumerate(accept.split(",")):
        media, *parameters = (part.strip() for part in item.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        try:
            offered.append((-float(quality), order, media.lower()))
        except ValueError:
            continue
    forms: dict[str, str] = {}
    for weight, _, media in sorted(offered):
        if weight == 0:
            continue
        any_kind = media in ("*/*", "application/*", "text/*")
        if media in _MEDIA or any_kind:
            forms.setdefault("table", "csv" if media == "text/*" else _MEDIA.get(media, "json"))
        if media in _GRAPH_MEDIA or any_kind:
            forms.setdefault("graph", _GRAPH_MEDIA.get(media, "ttl"))
    if not forms:
        raise _RefusedError(
            406, f"None of {accept!r} can be sent; expected one of {', '.join([*_MEDIA, *_GRAPH_MEDIA])}."
        )
    return {"table": forms.get("table", "json"), "graph": forms.get("graph", "ttl")}


def _lifespan(pool: WorkerPool) -> Callable[[Starlette], Any]:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.to_thread(pool.close)

    return lifespan


def read_key(path: Path) -> str:
    """Return the key in a file, which is made with a new one, readable by its owner only, if it is missing."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip()
