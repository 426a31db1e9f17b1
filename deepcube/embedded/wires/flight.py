"""The query service: Arrow Flight over TLS, as the client's offline reads use it.

A caller must show the client certificate that REST hands out with a valid API key. A query must be a plan that this
server signed (:mod:`deepcube.embedded.query.plans`); what comes without a plan needs a pass
(:mod:`deepcube.embedded.query.passes`). Results are streamed batch by batch.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet as pq

from deepcube.embedded.access import Request, authorize
from deepcube.embedded.errors import GENERIC_UNSUPPORTED, UNAUTHORIZED, ApiError, PortTakenError, bad_request
from deepcube.embedded.keys import User
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.query import passes
from deepcube.embedded.query.compose import compose
from deepcube.embedded.query.execute import run
from deepcube.embedded.query.plans import read_plan
from deepcube.embedded.store import datasets, group_changes, materialize, views

_VERSION = b"5.2.1"
_MAX_REQUEST = 16 * 2**20
_HEADER = "x-certificates-json"
_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class _Headers(flight.ServerMiddleware):
    """The headers of one call."""

    def __init__(self, headers: dict[str, list[str]]) -> None:
        self.headers = headers


class _HeadersFactory(flight.ServerMiddlewareFactory):
    """Keeps the headers of each call where its handler finds them."""

    def start_call(self, info: flight.CallInfo, headers: dict[str, list[str]]) -> flight.ServerMiddleware:
        """Keep the headers."""
        return _Headers(headers)


class _Service(flight.FlightServerBase):
    """What the client may ask."""

    def __init__(self, platform: Platform, location: str) -> None:
        certificates = platform.certificates
        super().__init__(
            location,
            tls_certificates=[(certificates.server.read_bytes(), certificates.server_key.read_bytes())],
            verify_client=True,
            root_certificates=certificates.authority.read_bytes(),
            middleware={"headers": _HeadersFactory()},
        )
        self._platform = platform

    def list_actions(self, context: flight.ServerCallContext) -> list[tuple[str, str]]:
        """List the actions; a version tells the client that it need not register its certificates first."""
        return [
            ("healthcheck", "answers ok"),
            ("get-version", "version of the query service"),
            ("create-training-dataset", "writes a training dataset from a query"),
        ]

    def do_action(self, context: flight.ServerCallContext, action: flight.Action) -> Iterator[flight.Result]:
        """Run an action."""
        actions: dict[str, Callable[[], bytes]] = {
            "healthcheck": lambda: b"ok",
            "get-version": lambda: _VERSION,
            "create-training-dataset": lambda: self._write(context, action.body.to_pybytes()),
        }
        if action.type not in actions:
            raise flight.FlightServerError(f"the query service has no action {action.type!r}")
        return iter([flight.Result(pa.py_buffer(_explained(actions[action.type])))])

    def get_flight_info(
        self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor
    ) -> flight.FlightInfo:
        """Return the ticket for a query or a file, which is the request itself."""
        if descriptor.descriptor_type == flight.DescriptorType.CMD:
            ticket = descriptor.command
        else:
            ticket = json.dumps({"path": [part.decode() for part in descriptor.path]}).encode()
        return flight.FlightInfo(pa.schema([]), descriptor, [flight.FlightEndpoint(ticket, [])], -1, -1)

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.FlightDataStream:
        """Stream the rows of a query or of a file."""
        rows = _explained(lambda: self._read(context, ticket.ticket))
        return flight.GeneratorStream(rows.schema, _streamed(rows))

    def _read(self, context: flight.ServerCallContext, ticket: bytes) -> pa.RecordBatchReader:
        request = _document(ticket)
        if "path" in request:
            return self._file(context, request["path"])
        project, document = read_plan(self._platform, request)
        return run(self._platform, compose(self._platform, project, document))

    def _file(self, context: flight.ServerCallContext, path: Any) -> pa.RecordBatchReader:
        """Read a Parquet file of the caller's project."""
        if not isinstance(path, list) or len(path) != 1 or not isinstance(path[0], str):
            raise bad_request(f"a file is named by one path, found {path!r}")
        project, _ = self._caller(context)
        place = self._platform.files.existing(project.name, path[0])
        try:
            file = pq.ParquetFile(place)
        except (pa.ArrowInvalid, OSError) as error:
            raise bad_request(f"{path[0]} is not a Parquet file: {error}") from None
        return pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches())

    def _write(self, context: flight.ServerCallContext, body: bytes) -> bytes:
        """Write a training dataset; its query must be a plan of the caller's project."""
        request = _document(body)
        caller, user = self._caller(context)
        project, document = read_plan(self._platform, request.get("query") or {})
        if project != caller:
            raise ApiError(403, UNAUTHORIZED, "the query is of another project than the caller's credentials")
        authorize(self._platform, user, Request("POST", f"/project/{project.id}/featurestores/{project.id}/", {}))
        view = views.find_view(self._platform, project, str(request.get("fv_name")), _number(request, "fv_version"))
        dataset = datasets.find_dataset(self._platform, view, _number(request, "tds_version"))
        query = compose(self._platform, project, document)
        return materialize.write_rows(self._platform, project, view, dataset, query).encode()

    def _caller(self, context: flight.ServerCallContext) -> tuple[Project, User]:
        """Return who calls, by the pass that the client sends with its certificates."""
        headers = context.get_middleware("headers").headers.get(_HEADER) or [""]
        try:
            token = json.loads(headers[0])["cert_key"]
        except (ValueError, TypeError, KeyError):
            token = ""
        return passes.check(self._platform, str(token))


def _number(request: dict[str, Any], name: str) -> int:
    value = request.get(name)
    if not isinstance(value, int):
        raise bad_request(f"{name} must be a number, found {value!r}")
    return value


def _document(body: bytes) -> dict[str, Any]:
    """Read a request.

    Raises
    ------
    ApiError
        400 if it is too long or no JSON object.
    """
    if len(body) > _MAX_REQUEST:
        raise bad_request(f"the request is longer than {_MAX_REQUEST} bytes; select fewer features")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise bad_request("the request is not one of the hopsworks client's", GENERIC_UNSUPPORTED)
    return content


def _explained(work: Callable[[], _Result]) -> _Result:
    """Do something; what goes wrong is told to the client with its reason.

    Of the errors of this service the client shows only those that say that there are no data or no commits, up to the
    word "Details"; for the others it puts a message of its own.
    """
    try:
        return work()
    except ApiError as error:
        known = error.message.startswith("No commits found")
        raise flight.FlightServerError(f"{'' if known else 'No data found: '}{error.message} Details: none") from error
    except Exception as error:
        _log.exception("the query service failed")
        raise flight.FlightServerError(f"internal error of the query service: {error}") from error


def _streamed(rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a result; an error in the middle is told like one at the start."""
    while (batch := _explained(lambda: next(rows, None))) is not None:
        yield batch


class FlightWire:
    """The query service on the port that the settings name.

    Parameters
    ----------
    platform : Platform
        Shared state.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._service: Any = None
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Finish what a crash left, then listen."""
        await asyncio.to_thread(group_changes.recover, self._platform)
        await asyncio.to_thread(datasets.recover, self._platform)
        location = f"grpc+tls://127.0.0.1:{self._platform.settings.ports['flight']}"
        try:
            self._service = await asyncio.to_thread(_Service, self._platform, location)
        except pa.ArrowException as error:
            raise PortTakenError(f"cannot listen on port {self._platform.settings.ports['flight']}: {error}") from error
        self._thread = threading.Thread(target=self._service.serve, name="flight", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Stop listening and end what is under way."""
        if self._service is not None:
            await asyncio.to_thread(self._service.shutdown)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 10)
