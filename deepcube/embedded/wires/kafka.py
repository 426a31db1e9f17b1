"""The Kafka wire: a broker for producers, which acknowledges a batch when its rows are in the online store.

One broker, one partition per topic, one topic per feature group. A client says who it is with SASL/PLAIN over TLS
before anything else is read, and sees the topics of its project only. Consumers are not served: what was accepted is
read through the online store and the offline table.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import ssl
from concurrent.futures import ThreadPoolExecutor

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import StorageError
from deepcube.embedded.online import access, hooks
from deepcube.embedded.online.errors import InvalidRecordError, ProtocolError
from deepcube.embedded.online.ingest import OutOfOrderError
from deepcube.embedded.online.materialize import Materializer
from deepcube.embedded.online.records import MAX_BATCH_BYTES, parse_batches
from deepcube.embedded.online.store import OnlineStore
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.store.groups import KIND as FEATURE_GROUP
from deepcube.embedded.store.groups import topic as topic_of
from deepcube.embedded.wires import kafka_protocol as kafka
from deepcube.embedded.wires.kafka_protocol import Request, array, int8, int16, int32, int64, string

MAX_FRAME = MAX_BATCH_BYTES + 64 * 1024
MAX_FRAME_BEFORE_LOGIN = 8 * 1024
MAX_CONNECTIONS = 256
LOGIN_SECONDS = 20.0
FRAME_SECONDS = 60.0
_LARGE_FRAME = 256 * 1024
_LARGE_FRAMES = 8
_THREADS = 4
_BROKER = 1

_log = logging.getLogger(__name__)


class KafkaWire:
    """Listens for producers.

    Parameters
    ----------
    platform : Platform
        Shared state; its settings name the port.
    """

    def __init__(self, platform: Platform) -> None:
        hooks.register()
        self._platform = platform
        self._store = platform.service(OnlineStore)
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="broker")
        self._large_frames = asyncio.Semaphore(_LARGE_FRAMES)

    async def start(self) -> None:
        """Listen, and write to the offline tables what an earlier server had no time for."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._platform.certificates.server, self._platform.certificates.server_key)
        self._server = await asyncio.start_server(
            self._serve,
            "127.0.0.1",
            self._platform.settings.ports["broker"],
            ssl=context,
            ssl_handshake_timeout=LOGIN_SECONDS,
        )
        self._platform.service(Materializer).recover()

    async def stop(self) -> None:
        """Finish requests under way, then close every connection."""
        if self._server is not None:
            self._server.close()
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._clients) >= MAX_CONNECTIONS:
            _log.warning("broker: connection refused, %d are open", len(self._clients))
            writer.close()
            return
        self._clients.add(task)
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                project = await self._login(reader, writer)
            while True:
                await self._answer(project, reader, writer)
        except (ProtocolError, TimeoutError) as error:
            _log.info("broker: connection closed: %s", error or "it said nothing for too long")
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, asyncio.CancelledError, RuntimeError):
            pass  # the client went away, or the server stops
        except Exception:
            _log.exception("broker: connection closed")
        finally:
            self._clients.discard(task)
            writer.close()
            with contextlib.suppress(Exception):
                await writer.wait_closed()

    async def _login(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Project:
        """Answer the calls that lead to a login and return the project of who logged in."""
        while True:
            size = int.from_bytes(await reader.readexactly(4), "big", signed=True)
            if not 8 <= size <= MAX_FRAME_BEFORE_LOGIN:
                raise ProtocolError(f"frame of {size} bytes before login")
            request = Request.parse(await reader.readexactly(size))
            project, body = None, b""
            if request.call == kafka.API_VERSIONS:
                body = kafka.api_versions(request.version)
            elif request.call == kafka.SASL_HANDSHAKE and request.version == 1:
                known = request.body.required() == "PLAIN"
                body = int16(kafka.NONE if known else kafka.UNSUPPORTED_SASL_MECHANISM) + array([string("PLAIN")])
            elif request.call == kafka.SASL_AUTHENTICATE and request.supported:
                project = authenticate(self._platform, request.body.bytes_())
                body = _login_answer(request.version, project)
            else:
                raise ProtocolError(f"call {request.call} (version {request.version}) before login")
            writer.write(kafka.frame(request.correlation, body))
            await writer.drain()
            if project is not None:
                return project
            if request.call == kafka.SASL_AUTHENTICATE:
                raise ProtocolError("wrong user or password")

    async def _answer(self, project: Project, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(4), "big", signed=True)
        if not 8 <= size <= MAX_FRAME:
            raise ProtocolError(f"frame of {size} bytes; at most {MAX_FRAME} are taken")
        async with self._large_frames if size > _LARGE_FRAME else contextlib.nullcontext():
            async with asyncio.timeout(FRAME_SECONDS):
                content = await reader.readexactly(size)
            request = Request.parse(content)
            if request.call != kafka.API_VERSIONS and not request.supported:
                raise ProtocolError(f"call {request.call} in version {request.version} is not offered")
            loop = asyncio.get_running_loop()
            body = await loop.run_in_executor(self._threads, self._respond, project, request)
        if body is not None:
            writer.write(kafka.frame(request.correlation, body))
            await writer.drain()

    def _respond(self, project: Project, request: Request) -> bytes | None:
        """Return the answer to a request; None where the client wants none."""
        if request.call == kafka.PRODUCE:
            return self._produce(project, request)
        if request.call == kafka.METADATA:
            return self._metadata(project, request)
        if request.call == kafka.LIST_OFFSETS:
            return self._list_offsets(project, request)
        if request.call == kafka.INIT_PRODUCER_ID:
            # Random, so that no producer of an earlier run of this server has the same.
            return int32(0) + int16(kafka.NONE) + int64(secrets.randbits(62)) + int16(0)
        if request.call == kafka.FETCH:
            return _refuse_fetch(request)
        if request.call == kafka.API_VERSIONS:
            return kafka.api_versions(request.version)
        raise ProtocolError(f"call {request.call} after login")

    def _group(self, project: Project, topic: str) -> Entity | None:
        """Return the feature group of a topic, if it belongs to the project."""
        number = topic.split("_", 2)[1:2]
        if not number or not number[0].isascii() or not number[0].isdigit() or len(number[0]) > 18:
            return None
        group = self._platform.catalog.get(int(number[0]), FEATURE_GROUP)
        if group is None or group.project_id != project.id or topic_of(group) != topic:
            return None
        return group

    def _produce(self, project: Project, request: Request) -> bytes | None:
        body = request.body
        body.string()  # transactional id
        acks = body.int16()
        body.int32()  # timeout
        topics = []
        for _ in body.items():
            name = body.required()
            group = self._group(project, name)
            partitions = []
            for _ in body.items():
                partition = body.int32()
                error, offset = self._take(group if partition == 0 else None, body.bytes_())
                answer = int32(partition) + int16(error) + int64(offset) + int64(-1)
                partitions.append(answer + (int64(0) if request.version >= 5 else b""))
            topics.append(string(name) + array(partitions))
        return array(topics) + int32(0) if acks != 0 else None

    def _take(self, group: Entity | None, content: bytes) -> tuple[int, int]:
        """Take the batches of one partition; return the error and the offset of the first record."""
        if group is None:
            return kafka.UNKNOWN_TOPIC, -1
        base = -1
        try:
            for batch in parse_batches(content):
                offset = self._store.accept(group, batch)
                base = offset if base < 0 else base
        except ProtocolError as error:
            _log.warning("broker: batch for %s refused: %s", group.name, error)
            return kafka.CORRUPT_MESSAGE, -1
        except OutOfOrderError as error:
            _log.warning("broker: batch for %s refused: %s", group.name, error)
            return kafka.OUT_OF_ORDER_SEQUENCE, -1
        except InvalidRecordError as error:
            _log.warning("broker: batch for %s refused: %s", group.name, error)
            return kafka.INVALID_RECORD, -1
        except StorageError:
            _log.exception("broker: batch for %s not written", group.name)
            return kafka.STORAGE_ERROR, -1
        return kafka.NONE, base

    def _metadata(self, project: Project, request: Request) -> bytes:
        count = request.body.count()
        if count > 0:
            names = [request.body.required() for _ in range(count)]
        else:
            groups = self._platform.catalog.find(project.id, FEATURE_GROUP)
            names = [topic_of(group) for group in groups]
        topics = []
        for name in names:
            group = self._group(project, name)
            partition = int16(kafka.NONE) + int32(0) + int32(_BROKER)
            partition += array([int32(_BROKER)]) + array([int32(_BROKER)])
            error = kafka.NONE if group is not None else kafka.UNKNOWN_TOPIC
            topics.append(int16(error) + string(name) + int8(0) + array([] if group is None else [partition]))
        broker = int32(_BROKER) + string("127.0.0.1") + int32(self._platform.settings.ports["broker"]) + string(None)
        answer = int32(0) if request.version >= 3 else b""
        answer += array([broker])
        answer += string("embedded") if request.version >= 2 else b""
        return answer + int32(_BROKER) + array(topics)

    def _list_offsets(self, project: Project, request: Request) -> bytes:
        body = request.body
        body.int32()  # replica
        topics = []
        for _ in body.items():
            name = body.required()
            group = self._group(project, name)
            partitions = []
            for _ in body.items():
                partition, time = body.int32(), body.int64()
                error, offset = kafka.UNKNOWN_TOPIC, -1
                if group is not None and partition == 0:
                    low, high = self._store.watermarks(group)
                    # Times of records are not kept: a question by time is answered with all that is still to be read.
                    error, offset = kafka.NONE, high if time == kafka.LATEST else low
                partitions.append(int32(partition) + int16(error) + int64(-1) + int64(offset))
            topics.append(string(name) + array(partitions))
        return array(topics)


def authenticate(platform: Platform, token: bytes) -> Project | None:
    """Return the project that a SASL/PLAIN token (RFC 4616) logs in to, or None if it is not valid."""
    parts = token.split(b"\0")
    if len(parts) != 3:
        return None
    project = access.project_of(platform, parts[1].decode(errors="replace"))
    expected = access.broker_password(platform, project) if project is not None else secrets.token_hex()
    return project if hmac.compare_digest(expected.encode(), parts[2]) else None


def _login_answer(version: int, project: Project | None) -> bytes:
    error = kafka.NONE if project is not None else kafka.SASL_AUTHENTICATION_FAILED
    message = None if project is not None else "wrong user or password; read the kafka connector of the project again"
    return int16(error) + string(message) + int32(0) + (int64(0) if version >= 1 else b"")


def _refuse_fetch(request: Request) -> bytes:
    body = request.body
    body.take(4 + 4 + 4 + 4 + 1)
    topics = []
    for _ in body.items():
        name, partitions = body.required(), []
        for _ in body.items():
            partition = body.int32()
            body.take(8 + 4)
            refusal = int16(kafka.TOPIC_AUTHORIZATION_FAILED) + int64(-1) + int64(-1) + int32(-1) + int32(0)
            partitions.append(int32(partition) + refusal)
        topics.append(string(name) + array(partitions))
    return int32(0) + array(topics)
