"""The wire of RonDB's REST server: feature vectors by key over HTTPS, with the API key in ``X-API-KEY``.

Paths and documents are those of the feature store API of RonDB's REST server, version 0.1.0.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deepcube.embedded.access import role_of
from deepcube.embedded.errors import FORBIDDEN, GENERIC_INTERNAL, UNAUTHORIZED, ApiError, bad_request, not_found
from deepcube.embedded.online.reader import Reader
from deepcube.embedded.online.store import OnlineStore
from deepcube.embedded.online.vectors import Vector, VectorPlan
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.store.views import find_view
from deepcube.embedded.wires.http import HttpWire

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_ENTRIES = 100_000
_AT_ONCE = 32  # more entries than this are looked up in a worker thread
_PREFIX = "/0.1.0/"
_THREADS = 4

Json = Any
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class RonDbWire:
    """Listens for look-ups.

    Parameters
    ----------
    platform : Platform
        Shared state; its settings name the port.
    """

    def __init__(self, platform: Platform) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rondb")
        self._service = VectorService(platform)
        self._http = HttpWire(platform, self, platform.settings.ports["online_rest"])

    async def start(self) -> None:
        """Listen."""
        await self._http.start()

    async def stop(self) -> None:
        """Finish open requests, then stop."""
        await self._http.stop()
        self._threads.shutdown()
        self._service.close()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        try:
            status, document = 200, await self._respond(scope, receive)
        except ApiError as error:
            status, document = error.status, error.document()
        content = json.dumps(document).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _respond(self, scope: dict[str, Any], receive: Receive) -> Json:
        key = next((value for name, value in scope["headers"] if name == b"x-api-key"), b"")
        self._service.authenticate(key)
        call = scope["path"].removeprefix(_PREFIX)
        if call == "ping" and scope["method"] == "GET":
            return {}
        if call not in ("feature_store", "batch_feature_store") or scope["method"] != "POST":
            raise not_found(f"no call {scope['method']} {scope['path']}", GENERIC_INTERNAL)
        request = _document(await _body(receive))
        project, plan = self._service.plan(key, request)
        if call == "feature_store":
            return _single(plan, self._service.reader(project), request)
        entries = request.get("entries")
        if not isinstance(entries, list) or len(entries) > MAX_ENTRIES:
            raise bad_request(f"entries must be a list of at most {MAX_ENTRIES} keys")
        if len(entries) <= _AT_ONCE:
            return _batch(plan, self._service.reader(project), request)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._service.batch_apart, project, plan, request)


class VectorService:
    """Looks vectors up; knows who may, and what was prepared, until the catalog changes.

    Parameters
    ----------
    platform : Platform
        Shared state.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._store = platform.service(OnlineStore)
        self._readers: dict[int, Reader] = {}
        self._users: dict[bytes, Any] = {}
        self._plans: dict[tuple[bytes, str, str, int], tuple[Project, VectorPlan]] = {}
        self._changes = sqlite3.connect(platform.home.catalog, isolation_level=None, check_same_thread=False)
        self._seen = -1

    def close(self) -> None:
        """Close what was opened."""
        self._changes.close()
        for reader in self._readers.values():
            reader.close()

    def _forget_if_changed(self) -> None:
        """Forget everything if the catalog changed: a key may be revoked, a member gone, a view another."""
        (version,) = self._changes.execute("PRAGMA data_version").fetchone()
        if version != self._seen:
            self._seen = version
            self._users.clear()
            self._plans.clear()

    def authenticate(self, key: bytes) -> None:
        """Check an API key.

        Raises
        ------
        ApiError
            401 if it is not valid.
        """
        self._forget_if_changed()
        if key in self._users:
            return
        user = self._platform.keys.user_of(key.decode(errors="replace"))
        if user is None:
            raise ApiError(401, UNAUTHORIZED, "the API key in X-API-KEY is missing or not valid for this platform")
        self._users[key] = user

    def reader(self, project: Project) -> Reader:
        """Return the reader of a project that is used in the thread of the wire."""
        reader = self._readers.get(project.id)
        if reader is None:
            reader = self._readers[project.id] = self._store.readers(project).take()
        return reader

    def plan(self, key: bytes, request: dict[str, Any]) -> tuple[Project, VectorPlan]:
        """Return the view that a request names, prepared, with its project; the key was checked.

        Raises
        ------
        ApiError
            400 if the request names no view, 403 if the key's user is no member of the project, 404 if it is not there.
        """
        store, name = request.get("featureStoreName"), request.get("featureViewName")
        version = request.get("featureViewVersion")
        if not isinstance(store, str) or not isinstance(name, str) or not isinstance(version, int):
            raise bad_request("featureStoreName, featureViewName and featureViewVersion must name a feature view")
        found = self._plans.get((key, store, name, version))
        if found is None:
            project = self._platform.project_named(store.removesuffix("_featurestore"))
            if role_of(self._platform, self._users[key], project.id) is None:
                raise ApiError(403, FORBIDDEN, f"the user of this API key is not a member of project {project.name!r}")
            view = find_view(self._platform, project, name, version)
            found = project, VectorPlan(self._platform, project, view, self.reader(project))
            self._plans[key, store, name, version] = found
        return found

    def batch_apart(self, project: Project, plan: VectorPlan, request: dict[str, Any]) -> Json:
        """Answer a request for many vectors, in a worker thread."""
        with self._store.readers(project).lend() as reader:
            return _batch(plan, reader, request)


def _single(plan: VectorPlan, reader: Reader, request: dict[str, Any]) -> Json:
    entry = plan.check_entry(request.get("entries"))
    vector = plan.vector(reader, entry, _passed(request.get("passedFeatures")))
    return {
        "features": vector.values,
        "status": vector.status,
        "metadata": _metadata(plan, request),
        "detailedStatus": vector.details if _wants_details(request) else None,
    }


def _batch(plan: VectorPlan, reader: Reader, request: dict[str, Any]) -> Json:
    entries, passed = request["entries"], request.get("passedFeatures") or []
    if not isinstance(passed, list) or (passed and len(passed) != len(entries)):
        raise bad_request(f"passedFeatures must have one item for each of the {len(entries)} entries, or none")
    checked = [plan.check_entry(entry) for entry in entries]
    given = [_passed(item) for item in passed] or [None] * len(checked)
    vectors: list[Vector] = [plan.vector(reader, entry, extra) for entry, extra in zip(checked, given, strict=True)]
    return {
        "features": [vector.values for vector in vectors],
        "status": [vector.status for vector in vectors],
        "metadata": _metadata(plan, request),
        "detailedStatus": [vector.details for vector in vectors] if _wants_details(request) else None,
    }


def _passed(value: Any) -> dict[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise bad_request("passedFeatures must be an object of feature names and values")
    return value


def _metadata(plan: VectorPlan, request: dict[str, Any]) -> Json:
    wanted = request.get("metadataOptions")
    if not isinstance(wanted, dict) or not (wanted.get("featureName") or wanted.get("featureType")):
        return None
    return plan.metadata(bool(wanted.get("featureName")), bool(wanted.get("featureType")))


def _wants_details(request: dict[str, Any]) -> bool:
    options = request.get("options")
    return isinstance(options, dict) and bool(options.get("includeDetailedStatus"))


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the request's body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise bad_request("the request's body must be a JSON object")
    return document


async def _body(receive: Receive) -> bytes:
    content = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if len(content) > MAX_BODY_BYTES:
            raise ApiError(413, GENERIC_INTERNAL, f"the request is longer than {MAX_BODY_BYTES} bytes; ask in parts")
        if not message.get("more_body"):
            return content
