"""The query service: Arrow Flight over TLS, as the client's offline reads use it.

A caller must show the client certificate that REST hands out with a valid API key. A query must be a plan that this
server signed (:mod:`deepcube.embedded.query.plans`). Results are streamed batch by batch.
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

from deepcube.embedded.errors import ApiError, bad_request
from deepcube.embedded.platform import Platform
from deepcube.embedded.query.execute import run
from deepcube.embedded.query.plans import read_plan
from deepcube.embedded.query.resolve import resolve

_VERSION = b"5.2.1"
_MAX_TICKET = 16 * 2**20
_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class _Service(flight.FlightServerBase):
    """What the client may ask."""

    def __init__(self, platform: Platform, location: str) -> None:
        certificates = platform.certificates
        super().__init__(
            location,
            tls_certificates=[(certificates.server.read_bytes(), certificates.server_key.read_bytes())],
            verify_client=True,
            root_certificates=certificates.authority.read_bytes(),
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
        if action.type == "healthcheck":
            return _answer(b"ok")
        if action.type == "get-version":
            return _answer(_VERSION)
        raise flight.FlightServerError(f"the query service has no action {action.type!r}")

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
        """Stream the rows of a query."""
        return flight.RecordBatchStream(_explained(lambda: self._read(ticket.ticket)))

    def _read(self, ticket: bytes) -> pa.RecordBatchReader:
        if len(ticket) > _MAX_TICKET:
            raise bad_request(f"the query is longer than {_MAX_TICKET} bytes; select fewer features")
        project, document = read_plan(self._platform, ticket)
        return run(self._platform, resolve(self._platform, project, document))


def _answer(content: bytes) -> Iterator[flight.Result]:
    return iter([flight.Result(pa.py_buffer(content))])


def _explained(work: Callable[[], _Result]) -> _Result:
    """Do something; what goes wrong is told to the client with its reason."""
    try:
        return work()
    except ApiError as error:
        raise flight.FlightServerError(error.message) from error
    except Exception as error:
        _log.exception("the query service failed")
        raise flight.FlightServerError(f"internal error of the query service: {error}") from error


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
        """Listen."""
        location = f"grpc+tls://127.0.0.1:{self._platform.settings.ports['flight']}"
        self._service = await asyncio.to_thread(_Service, self._platform, location)
        self._thread = threading.Thread(target=self._service.serve, name="flight", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Stop listening and end what is under way."""
        if self._service is not None:
            await asyncio.to_thread(self._service.shutdown)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 10)
