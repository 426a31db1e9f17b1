"""The atlas as a web application: the page, its files, and what it asks for.

:func:`build_app` makes a Starlette application that ``deepcube open`` serves from a process of its own, beside the
embedded platform or a Hopsworks cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from deepcube.atlas.atlas import Atlas, Shown, describe_layer
from deepcube.atlas.block import face
from deepcube.atlas.colours import PALETTES, stops
from deepcube.atlas.errors import AtlasError, ChangingError, NotThereError, OutdatedError, RequestError
from deepcube.atlas.exporting import write_cells
from deepcube.atlas.layers import Stop
from deepcube.atlas.mercator import DEEPEST, tile_box
from deepcube.atlas.parameters import Parameters
from deepcube.atlas.pictures import draw
from deepcube.atlas.pointreasons import PointReasoner
from deepcube.atlas.points import PointLayer
from deepcube.atlas.reasons import Reasoner
from deepcube.atlas.series import series_at
from deepcube.atlas.sessions import SESSION_SECONDS, Sessions
from deepcube.atlas.tables import TableLayer
from deepcube.atlas.web import Answer, Guard, Keyed, Shield, error_response, json_response, read_json, same_origin

if TYPE_CHECKING:  # questions need libraries that maps do not
    from deepcube.semantics.endpoint import EndpointConfig
    from deepcube.semantics.workers import WorkerPool

STATIC = Path(__file__).parent / "static"
"""The page and its files, built from ``web/``."""

_PICTURE_HEADERS = {"cache-control": "private, max-age=3600"}


@dataclass(frozen=True)
class AtlasConfig:
    """How an atlas is served.

    Attributes
    ----------
    atlas : Atlas
        What it shows.
    sessions : Sessions
        Who may ask.
    port : int
        Port that is listened at.
    hosts : tuple of str
        Further names that the server is asked by.
    links : dict of str to str
        Addresses that the page's navigation leads to, by title: the sections of the platform's console.
    reasoners : mapping of str to Reasoner
        Who tells of the predictions of a collection, by its id.
    semantics : EndpointConfig, optional
        How questions in SPARQL are answered; None for an atlas that answers none.
    """

    atlas: Atlas
    sessions: Sessions
    port: int
    hosts: tuple[str, ...] = ()
    links: dict[str, str] = field(default_factory=dict)
    reasoners: Mapping[str, Reasoner] = field(default_factory=dict)
    semantics: EndpointConfig | None = None


def build_app(config: AtlasConfig) -> Starlette:
    """Return the atlas as an application.

    Parameters
    ----------
    config : AtlasConfig
        How it is served.
    """
    guard = Guard(config.sessions, config.port, config.hosts)
    door, api = Door(guard), Api(config)
    routes = [
        Route("/", _page, methods=["GET"]),
        Route("/enter", door.enter, methods=["GET"]),
        Route("/api/session", door.sign_in, methods=["POST"]),
        Route("/api/session", door.sign_out, methods=["DELETE"]),
        *(
            Route(f"/api/{name}", guard.endpoint(api.steady(answer)), methods=["GET"])
            for name, answer in (
                ("atlas", api.atlas),
                ("layer", api.layer),
                ("tile", api.tile),
                ("frame", api.frame),
                ("points", api.points),
                ("series", api.series),
                ("face", api.face),
                ("export", api.export),
            )
        ),
        *(
            Route(f"/api/{name}", guard.endpoint(answer, patient=True), methods=["GET"])
            for name, answer in (("reason", api.reason), ("picture", api.picture))
        ),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    pools: list[WorkerPool] = []
    if config.semantics is not None:
        from deepcube.semantics.endpoint import build_app as build_endpoint

        endpoint = build_endpoint(replace(config.semantics, key=None))  # the atlas asks for its own key before it
        pools.append(endpoint.state.pool)
        routes.append(Mount("/api/semantics", Keyed(endpoint, guard)))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_such_page}, lifespan=_lifespan(pools))
    app.add_middleware(Shield, guard=guard)
    return app


def _lifespan(pools: list[WorkerPool]) -> Callable[[Starlette], Any]:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            for pool in pools:
                await asyncio.to_thread(pool.close)

    return lifespan


def _about_semantics(endpoint: EndpointConfig | None) -> dict[str, Any] | None:
    """Return what the page needs to ask questions."""
    if endpoint is None:
        return None
    from deepcube.semantics.vocabulary import PREFIXES

    return {"examples": [list(example) for example in endpoint.examples], "prefixes": dict(PREFIXES)}


async def _page(request: Request) -> Response:
    """Answer with the page, which tells nothing of the data and so needs no key."""
    return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})


async def _no_such_page(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, f"{request.method} {request.url.path[:80]}: {error.detail}")


class Door:
    """Signing in and out.

    Parameters
    ----------
    guard : Guard
        Whose sessions.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def enter(self, request: Request) -> Response:
        """Take a one-time token and start a session."""
        session = self._guard.sessions.redeem(request.query_params.get("token", ""))
        response = RedirectResponse("/", status_code=303)
        if session is not None:
            self._remember(response, session)
        return response

    async def sign_in(self, request: Request) -> Response:
        """Take the key and start a session."""
        try:
            if not same_origin(request):
                return error_response(403, "This request was not made from a page of this server.")
            key = (await read_json(request)).get("key")
        except AtlasError as error:
            return error_response(error.status, str(error))
        if not isinstance(key, str) or not self._guard.sessions.is_key(key):
            return error_response(401, "This is not the key of this atlas; `deepcube open` says where it is.")
        response = json_response({"signedIn": True})
        self._remember(response, self._guard.sessions.open())
        return response

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        if not same_origin(request):
            return error_response(403, "This request was not made from a page of this server.")
        self._guard.sessions.close(request.cookies.get(self._guard.cookie, ""))
        response = json_response({"signedIn": False})
        response.delete_cookie(self._guard.cookie, httponly=True, samesite="strict")
        return response

    def _remember(self, response: Response, session: str) -> None:
        response.set_cookie(self._guard.cookie, session, max_age=int(SESSION_SECONDS), httponly=True, samesite="strict")


class Api:
    """What the page asks for; each function answers in a worker thread.

    Parameters
    ----------
    config : AtlasConfig
        What is shown.
    """

    def __init__(self, config: AtlasConfig) -> None:
        self._config = config
        self._atlas = config.atlas

    def steady(self, answer: Answer) -> Answer:
        """Return an answer that is refused if the cube that it is about was written in the meantime."""

        def checked(request: Request, stop: Stop) -> Response:
            name = request.query_params.get("in", "")
            unchanged = self._atlas.steady(name)
            self._check_version(request)
            try:
                response = answer(request, stop)
            except Exception:
                if unchanged():
                    raise
                raise ChangingError.of(name[:80]) from None
            if not unchanged():
                raise ChangingError.of(name[:80])
            return response

        return checked

    def _check_version(self, request: Request) -> None:
        wanted = request.query_params.get("v")
        if wanted and wanted != self._atlas.collection(request.query_params.get("in", "")).version:
            raise OutdatedError("These data have been written again; the page has to ask what they are now.")

    def atlas(self, request: Request, stop: Stop) -> Response:
        """List what there is."""
        return json_response(
            {
                "collections": [collection.describe() for collection in self._atlas.collections],
                "loading": self._atlas.loading,
                "notes": list(self._atlas.notes),
                "links": self._config.links,
                "explained": sorted(self._config.reasoners),
                "semantics": _about_semantics(self._config.semantics),
                "palettes": {name: stops(name) for name, scheme in PALETTES.items() if scheme != "classes"},
            }
        )

    def layer(self, request: Request, stop: Stop) -> Response:
        """Describe a layer."""
        asked = Parameters(request.query_params)
        return json_response(describe_layer(self._atlas.collection(asked.text("in")), asked.text("layer")))

    def tile(self, request: Request, stop: Stop) -> Response:
        """Draw a tile of a layer."""
        asked = Parameters(request.query_params)
        box = tile_box(
            asked.integer("z", high=DEEPEST),
            asked.integer("x"),
            asked.integer("y"),
            asked.integer("size", 256, low=64, high=512),
        )
        return self._picture(asked, box, stop)

    def frame(self, request: Request, stop: Stop) -> Response:
        """Draw one step of a whole layer."""
        asked = Parameters(request.query_params)
        shown = asked.shown(self._atlas.collection(asked.text("in")))
        return self._picture(asked, shown.layer.placement.full_box(), stop)

    def series(self, request: Request, stop: Stop) -> Response:
        """Tell what a place was like."""
        asked = Parameters(request.query_params)
        names = request.query_params.getlist("layer")
        return json_response(series_at(self._atlas.collection(asked.text("in")), names, *asked.place(), stop))

    def reason(self, request: Request, stop: Stop) -> Response:
        """Tell why a prediction is what it is."""
        asked = Parameters(request.query_params)
        collection, name = self._atlas.collection(asked.text("in")), asked.text("layer")
        layer, reasoner = collection.layer(name).layer, self._config.reasoners.get(collection.id)
        if isinstance(layer, PointLayer) and isinstance(reasoner, PointReasoner):
            return json_response(reasoner.explain_point(name, layer, *_point(asked, collection.layer(name)), stop))
        if reasoner is None or not isinstance(layer, TableLayer):
            raise NotThereError(f"{collection.id!r} holds no predictions that could be explained.")
        step, cell = asked.step(collection.layer(name)), layer.placement.cell(*asked.place())
        place = None if cell is None else layer.place_at(*cell)
        if place is None:
            raise RequestError("There is no prediction at this place.")
        true = collection.truths.get(name)
        truth = None if true is None else collection.layer(true).layer
        known = truth if isinstance(truth, TableLayer) else None
        return json_response(reasoner.explain(name, layer, place, step, known, stop))

    def points(self, request: Request, stop: Stop) -> Response:
        """List the points of a layer."""
        asked = Parameters(request.query_params)
        shown = asked.shown(self._atlas.collection(asked.text("in")))
        if not isinstance(shown.layer, PointLayer):
            raise NotThereError("This layer is drawn as cells, not as points.")
        return json_response(shown.layer.describe())

    def picture(self, request: Request, stop: Stop) -> Response:
        """Pass on the picture that a point's row was drawn in."""
        asked = Parameters(request.query_params)
        collection = self._atlas.collection(asked.text("in"))
        shown, reasoner = asked.shown(collection), self._config.reasoners.get(collection.id)
        if not isinstance(shown.layer, PointLayer) or not isinstance(reasoner, PointReasoner):
            raise NotThereError(f"{collection.id!r} has no pictures of its predictions.")
        content = reasoner.picture(shown.layer, *_point(asked, shown), stop)
        return Response(content, media_type="image/png", headers=_PICTURE_HEADERS)

    def face(self, request: Request, stop: Stop) -> Response:
        """Draw one face of the space-time block of a layer."""
        asked = Parameters(request.query_params)
        shown = asked.shown(self._atlas.collection(asked.text("in")))
        if isinstance(shown.layer, PointLayer):
            raise RequestError("Points have no space-time block; choose a layer of cells.")
        axis = asked.text("axis")
        at = asked.number("at", 0.5)
        span = asked.step(shown, "from"), asked.step(shown, "to")
        picture = face(shown.layer, axis, at, span, asked.style(shown), stop)
        return Response(picture, media_type="image/png", headers=_PICTURE_HEADERS)

    def export(self, request: Request, stop: Stop) -> Response:
        """Write one step of a layer as a table or as features."""
        asked = Parameters(request.query_params)
        shown = asked.shown(self._atlas.collection(asked.text("in")))
        content, media, ending = write_cells(shown.layer, asked.step(shown), asked.text("as"), asked.bounds(), stop)
        headers = {"content-disposition": f'attachment; filename="atlas.{ending}"', "cache-control": "no-store"}
        return Response(content, media_type=media, headers=headers)

    def _picture(self, asked: Parameters, box: Any, stop: Stop) -> Response:
        shown = asked.shown(self._atlas.collection(asked.text("in")))
        picture = draw(shown.layer, asked.step(shown), box, asked.style(shown), stop)
        return Response(picture, media_type="image/png", headers=_PICTURE_HEADERS)


def _point(asked: Parameters, shown: Shown) -> tuple[int, int]:
    """Return the place and the step that a request about a point means."""
    cell = shown.layer.placement.cell(*asked.place())
    if cell is None:
        raise RequestError("There is no point at this place.")
    return cell[0], asked.step(shown)
