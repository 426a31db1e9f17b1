"""Requests that no client sends: the routes with hostile parameters, and what the real client sends, changed a little.

A :class:`Request` is plain data, so that a failure can be printed and tried again.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote_from_bytes

import psutil

from deepcube.embedded import Running

ANSWER_SECONDS = 20.0
GROWTH_BYTES = 150 * 1024 * 1024

#: Values for parameters in a path, written as they go over the wire.
NASTY_SEGMENTS = [
    "..", "%2e%2e", "..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "a%00b", "%ff%fe", "%F0%9F%92%A9", "%27%3B--",
    "x" * 3000, "%20", "0", "-1", "9" * 40, "1e5", "NaN", "null", "%25s%25n", "*", "a%0d%0aX-Header:%20b", "..;", "~",
    "%5c..%5c..", "hdfs:%2f%2f%2fetc", "Projects%2f..%2f..%2f..", "1_1", "none_1", "_", "-", "%c0%ae%c0%ae%2f",
]  # fmt: skip

#: Bodies that are not what any call wants.
NASTY_BODIES = [
    b"", b"{", b"null", b"[]", b"1", b'"x"', b"true", b"\xff\xfe\x00\x01", b"[" * 100_000, b'{"a":' * 50_000,
    b"NaN", b'{"name": NaN, "version": Infinity}', b"1" * 10_000, b'{"name": "\\ud800"}', b'{"\\u0000": "\\u0000"}',
    b'{"name": "x", "name": []}', b"\xef\xbb\xbf{}", b" " * 100_000, b"{}{}", b"--boundary\r\n\r\n",
]  # fmt: skip

#: Values that replace one in a document.
NASTY_VALUES: list[Any] = [
    None, True, -1, 0, 2**31, 2**63, 10**40, 1e308, -0.0, "", " ", "x" * 5000, "../../../etc/passwd", "/etc/passwd",
    "a\x00b", "\ud800", "'; DROP TABLE entity; --", "{{7*7}}", "${jndi:x}", "%s%n", [], {}, [[]], [None], [{}],
    {"a": {"b": {"c": [1, "2", None]}}}, ["x"] * 500, {"name": None}, [1, 2, 3], "0", "1e999", "\u202e", "ÄÖ\U0001f4a9",
    float("nan"), float("inf"),
]  # fmt: skip

_PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?\}")


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes
    ----------
    method, path : str
        As in the request line; the path with its query.
    body : bytes or None
        Body.
    content_type : str
        Header of the body.
    """

    method: str
    path: str
    body: bytes | None = None
    content_type: str = "application/json"

    def __str__(self) -> str:
        body = "" if self.body is None else f" {self.body[:300]!r}"
        return f"{self.method} {self.path[:300]}{body}"


class Prober:
    """Sends requests over one connection and notes what must not be answered.

    Parameters
    ----------
    running : Running
        The server.
    key : str, optional
        API key; the owner's by default, none at all if empty.
    """

    def __init__(self, running: Running, key: str | None = None) -> None:
        environment = running.environment()
        self._context = ssl.create_default_context(cafile=environment["HOPSWORKS_TRUST_STORE_PATH"])
        self._port = int(running.url.rsplit(":", 1)[1])
        self._key = environment["HOPSWORKS_API_KEY"] if key is None else key
        self._connection: http.client.HTTPSConnection | None = None
        self.running = running
        self.sent = 0
        self.failures: list[str] = []

    def send(self, request: Request) -> tuple[int, bytes]:
        """Send a request; return status and body, 0 if the server hung up or was silent."""
        for attempt in (1, 2):
            if self._connection is None:
                self._connection = http.client.HTTPSConnection(
                    "127.0.0.1", self._port, timeout=ANSWER_SECONDS, context=self._context
                )
            try:
                self._connection.putrequest(request.method, request.path, skip_accept_encoding=True)
                if self._key:
                    self._connection.putheader("Authorization", f"ApiKey {self._key}")
                if request.body is not None:
                    self._connection.putheader("Content-Type", request.content_type)
                    self._connection.putheader("Content-Length", str(len(request.body)))
                self._connection.endheaders(request.body)
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, OSError):
                with contextlib.suppress(Exception):
                    self._connection.close()
                self._connection = None
                if attempt == 2:
                    return 0, b""
        raise AssertionError("not reached")

    def probe(self, request: Request) -> int:
        """Send a request and note it if the answer is an internal error, or there is none."""
        began = time.monotonic()
        status, body = self.send(request)
        took = time.monotonic() - began
        self.sent += 1
        if status == 0 or (status >= 500 and status != 501):
            self.failures.append(f"{status} {body[:300]!r} <- {request}")
        elif took > ANSWER_SECONDS / 2:
            self.failures.append(f"{took:.0f} s <- {request}")
        elif b"Traceback" in body:
            self.failures.append(f"traceback in the answer <- {request}")
        return status

    def memory(self) -> int:
        """Return the server's resident memory in bytes."""
        return int(psutil.Process(self.running.pid).memory_info().rss)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()


def concrete(path: str, project: int, values: dict[str, str] | None = None) -> str:
    """Fill the parameters of a route with something that exists, where that is known."""

    def fill(match: re.Match[str]) -> str:
        name, kind = match.group(1), match.group(2)
        known = {"project_id": str(project), "featurestore_id": str(project), "registry_id": str(project)}
        return (known | (values or {})).get(name, "1" if kind == "int" else "Resources" if kind == "path" else "name")

    return _PARAMETER.sub(fill, path)


def of_routes(table: list[tuple[str, str]], project: int, chooser: random.Random, share: float) -> Iterator[Request]:
    """Yield the routes with hostile parameters and bodies.

    Parameters
    ----------
    table : list of (str, str)
        Methods and paths.
    project : int
        Id of a project.
    chooser : random.Random
        Chooses.
    share : float
        Share of all combinations to yield; 1 for all.
    """
    for method, path in table:
        parameters = [match.group(1) for match in _PARAMETER.finditer(path)]
        for parameter in parameters:
            for nasty in NASTY_SEGMENTS:
                if chooser.random() < share:
                    yield Request(method, concrete(path, project, {parameter: nasty}), b"{}")
        if method in ("POST", "PUT", "PATCH"):
            for body in NASTY_BODIES:
                if chooser.random() < share:
                    yield Request(method, concrete(path, project), body)
        for nasty_value in NASTY_VALUES:
            if chooser.random() < share:
                yield Request(method, concrete(path, project) + "?" + _hostile_query(nasty_value, chooser))


_QUERY_NAMES = [
    "action", "limit", "offset", "sort_by", "filter_by", "expand", "fields", "version", "name", "project", "email",
    "type", "destination_path", "overwrite", "hqs", "from", "to", "event_time", "is_delete", "searchTerm", "docType",
    "user", "commit_wallclock_timestamp", "training_dataset_version", "featureStoreId", "upstreamLvls",
    "downstreamLvls",
]  # fmt: skip


def _hostile_query(value: Any, chooser: random.Random) -> str:
    names = chooser.sample(_QUERY_NAMES, 8)
    text = value if isinstance(value, str) else json.dumps(value)
    encoded = quote_from_bytes(text.encode("utf-8", "surrogatepass"), safe="")
    return "&".join(f"{name}={encoded}" for name in names)


def changed(request: Request, chooser: random.Random) -> Request:
    """Return a request of the real client with one thing in it changed."""
    choice = chooser.random()
    if choice < 0.6 and request.body:
        with contextlib.suppress(ValueError):
            document = json.loads(request.body)
            return replace(request, body=_dumps(_changed_document(document, chooser)))
    path, _, query = request.path.partition("?")
    if choice < 0.8 and query:
        pairs = query.split("&")
        place = chooser.randrange(len(pairs))
        name = pairs[place].partition("=")[0]
        value = chooser.choice(NASTY_VALUES)
        text = value if isinstance(value, str) else json.dumps(value)
        pairs[place] = f"{name}={quote_from_bytes(text.encode('utf-8', 'surrogatepass'), safe='')}"
        return replace(request, path=f"{path}?{'&'.join(pairs)}")
    segments = path.split("/")
    places = [place for place, segment in enumerate(segments) if place > 3 and segment]
    if choice < 0.9 and places:
        segments[chooser.choice(places)] = chooser.choice(NASTY_SEGMENTS)
        return replace(request, path="/".join(segments) + (f"?{query}" if query else ""))
    return replace(request, body=chooser.choice(NASTY_BODIES))


def _dumps(document: Any) -> bytes:
    return json.dumps(document).encode()


def _changed_document(document: Any, chooser: random.Random) -> Any:
    """Replace, remove or add one thing somewhere in a JSON document."""
    if isinstance(document, dict) and document and chooser.random() < 0.8:
        name = chooser.choice(sorted(document))
        rest = {key: value for key, value in document.items() if key != name}
        if chooser.random() < 0.1:
            return rest
        return {**rest, name: _changed_document(document[name], chooser)}
    if isinstance(document, list) and document and chooser.random() < 0.8:
        place = chooser.randrange(len(document))
        return [*document[:place], _changed_document(document[place], chooser), *document[place + 1 :]]
    return chooser.choice(NASTY_VALUES)


def raw_exchange(running: Running, content: bytes, seconds: float = ANSWER_SECONDS) -> bytes:
    """Send bytes over TLS to the REST port and return what comes back until the server closes or falls silent."""
    context = ssl.create_default_context(cafile=running.environment()["HOPSWORKS_TRUST_STORE_PATH"])
    port = int(running.url.rsplit(":", 1)[1])
    received = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=seconds) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as stream,
        contextlib.suppress(OSError),
    ):
        stream.sendall(content)
        while len(received) < 1_000_000 and (block := stream.recv(65536)):
            received += block
    return received
