"""Malformed, truncated, oversized and slow input on every binary wire: no crash, no hang, no growth, still serving."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from fault_bench import Bench, healthy
from rest_fuzz import GROWTH_BYTES, Prober, Request
from wire_fuzz import (
    Access,
    access_of,
    framed,
    hostile_json,
    kafka_answer,
    kafka_frame,
    kafka_login,
    mysql_login,
    mysql_login_payload,
    mysql_nonce,
    mysql_packet,
    mysql_read,
    produce,
    received,
    record_batch,
    spoiled,
    tls,
    with_checksum,
)

from deepcube.embedded import Running

SEED = 20260102
SCENE = "insert_stream"
ROUNDS = pytest.mark.parametrize("rounds", [150, pytest.param(5000, marks=pytest.mark.slow)])


@pytest.fixture(scope="module")
def served(bench: Bench) -> Iterator[Running]:
    """A server with a stream group that has rows."""
    bench.restore_empty()
    with bench.serving():
        bench.must("prepare", scenes=[SCENE])
    with bench.serving() as running:
        yield running
    bench.reap()


@pytest.fixture(scope="module")
def access(served: Running) -> Access:
    """What a member knows."""
    return access_of(served)


@pytest.fixture(autouse=True)
def still_serving(bench: Bench, served: Running) -> Iterator[None]:
    """After each test the server answers on every wire, has not grown, and has logged no internal error."""
    assert bench.server is not None
    process = psutil.Process(served.pid)
    _answers_on_every_wire(served)
    before, logged = process.memory_info().rss, bench.server.log.stat().st_size
    yield
    assert healthy(served)
    _answers_on_every_wire(served)
    grown = process.memory_info().rss - before
    assert grown < GROWTH_BYTES, f"the server has grown by {grown / 1e6:.0f} MB"
    log = bench.server.log.read_text()[logged:]
    assert "Traceback" not in log, log[:4000]
    assert process.num_fds() < 200, "connections are closed when their clients are gone"


def _answers_on_every_wire(running: Running) -> None:
    access = access_of(running)
    with tls(running, access.ports["broker"]) as stream:
        assert kafka_login(stream, access.user, access.broker_password)
    with socket.create_connection((access.mysql_host, 3306), timeout=10) as plain:
        assert mysql_login(plain, access)
    assert _look_up(running, access, b"{}")[0] in (400, 404)
    with tls(running, access.ports["flight"], with_certificate=True) as stream:
        assert stream.version()


def _look_up(running: Running, access: Access, body: bytes, path: str = "feature_store") -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=running.environment()["HOPSWORKS_TRUST_STORE_PATH"])
    connection = http.client.HTTPSConnection("127.0.0.1", access.ports["online_rest"], timeout=20, context=context)
    headers = {"X-API-KEY": running.environment()["HOPSWORKS_API_KEY"], "Content-Type": "application/json"}
    try:
        connection.request("POST", f"/0.1.0/{path}", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


# --- Kafka


def _topic(running: Running) -> tuple[str, int, int]:
    """Topic, id and schema id of the stream group."""
    prober = Prober(running)
    stem = "/hopsworks-api/api/project/1/featurestores/1"
    _, body = prober.send(Request("GET", f"{stem}/featuregroups/{SCENE}?version=1"))
    group = json.loads(body)[0]
    _, body = prober.send(Request("GET", f"{stem}/kafka/subjects/{SCENE}_1/versions/latest"))
    prober.close()
    return group["onlineTopicName"], group["id"], json.loads(body)["id"]


@ROUNDS
def test_kafka_before_login(served: Running, access: Access, rounds: int) -> None:
    chooser = random.Random(SEED)
    starts = [
        kafka_frame(18, 3, b"\x01\x01\x00"),
        kafka_frame(17, 1, b"\x00\x05PLAIN"),
        kafka_frame(36, 0, struct.pack(">i", 20) + b"\0user\0password12345"),
        kafka_frame(3, 4, bytes(8)),
    ]
    for _ in range(rounds // 3):
        with contextlib.suppress(OSError), tls(served, access.ports["broker"]) as stream:
            stream.settimeout(0.05)
            for _ in range(3):
                stream.sendall(framed(chooser.choice(starts), chooser))
                kafka_answer(stream)


@ROUNDS
def test_kafka_after_login(served: Running, access: Access, rounds: int) -> None:
    topic, group, subject = _topic(served)
    headers = {"featureGroupId": str(group).encode(), "subjectId": str(subject).encode()}
    batch = record_batch([b"\x02\x02"], headers)
    name = struct.pack(">h", len(topic)) + topic.encode()
    calls = [
        kafka_frame(0, 7, produce(topic, batch)),
        kafka_frame(3, 4, struct.pack(">i", 1) + name + b"\x00"),
        kafka_frame(2, 1, struct.pack(">ii", -1, 1) + name + struct.pack(">iiq", 1, 0, -1)),
        kafka_frame(22, 1, struct.pack(">hi", -1, 1000)),
        kafka_frame(1, 4, bytes(17) + struct.pack(">i", 0)),
    ]
    chooser = random.Random(SEED)
    stream: Any = None
    for _ in range(rounds):
        if stream is None:
            stream = tls(served, access.ports["broker"])
            assert kafka_login(stream, access.user, access.broker_password)
            stream.settimeout(0.2)
        try:
            stream.sendall(framed(chooser.choice(calls), chooser))
            answer = kafka_answer(stream)
        except OSError:
            answer = b""
        if not answer:
            stream.close()
            stream = None
    if stream is not None:
        stream.close()


@ROUNDS
def test_kafka_batches_with_right_checksums(served: Running, access: Access, rounds: int) -> None:
    """What is inside a batch is hostile: records, lengths, compression, headers, values."""
    topic, group, subject = _topic(served)
    headers = {"featureGroupId": str(group).encode(), "subjectId": str(subject).encode()}
    chooser = random.Random(SEED)
    with tls(served, access.ports["broker"]) as stream:
        assert kafka_login(stream, access.user, access.broker_password)
        for number in range(rounds):
            kind = number % 4
            if kind == 0:
                batch = record_batch([chooser.randbytes(chooser.randrange(60))], headers)
            elif kind == 1:
                records = record_batch([b"\x02\x02\x02\x02"], headers)[61:]
                batch = with_checksum(
                    chooser.randrange(8), chooser.choice([0, 1, 2, 10**6, -1]), spoiled(records, chooser)
                )
            elif kind == 2:
                wrong = {**headers, chooser.choice(["featureGroupId", "subjectId", "operation", "storage"]):
                         chooser.choice([b"", b"-1", b"9" * 40, b"\xff", b"delete", b"offline"])}  # fmt: skip
                batch = record_batch([b"\x02\x02"], wrong)
            else:
                batch = with_checksum(chooser.randrange(1, 5), 1, chooser.randbytes(200))
            stream.sendall(kafka_frame(0, 7, produce(topic, batch)))
            answer = kafka_answer(stream)
            assert answer, "a batch that cannot be taken is refused with an error, the connection stays"


def test_kafka_compressed_bombs(served: Running, access: Access) -> None:
    """A few kilobytes that unpack to gigabytes are refused before they do."""
    import gzip

    import pyarrow as pa

    topic, *_ = _topic(served)
    zeros = bytes(512 * 1024 * 1024)
    bombs = {1: gzip.compress(zeros, 9), 4: bytes(pa.compress(zeros, "zstd", asbytes=True))}
    del zeros
    for codec, bomb in bombs.items():
        with tls(served, access.ports["broker"]) as stream:
            stream.settimeout(30)
            assert kafka_login(stream, access.user, access.broker_password)
            stream.sendall(kafka_frame(0, 7, produce(topic, with_checksum(codec, 1, bomb))))
            answer = kafka_answer(stream)
            assert answer and struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic) + 4 + 4)[0] != 0


@pytest.mark.parametrize("size", [-1, 0, 7, 2**31 - 1, 100 * 1024 * 1024])
def test_kafka_lengths_that_cannot_be(served: Running, access: Access, size: int) -> None:
    for login in (False, True):
        with tls(served, access.ports["broker"]) as stream:
            if login:
                assert kafka_login(stream, access.user, access.broker_password)
            stream.sendall(struct.pack(">i", size) + b"x" * 64)
            assert received(stream, 1) == b"", "the connection is closed at once"


# --- MySQL


@ROUNDS
def test_mysql_before_login(served: Running, access: Access, rounds: int) -> None:
    chooser = random.Random(SEED)
    for _ in range(rounds):
        with contextlib.suppress(OSError), socket.create_connection((access.mysql_host, 3306), timeout=5) as stream:
            payload = mysql_login_payload(access.user, "wrong", mysql_nonce(mysql_read(stream)), access.project)
            stream.settimeout(0.05)
            if chooser.random() < 0.3:
                stream.sendall(chooser.randbytes(chooser.randrange(1, 400)))
            else:
                stream.sendall(mysql_packet(chooser.randrange(256), spoiled(payload, chooser)))
            answer = mysql_read(stream)
            assert answer[:1] in (b"", b"\xff", b"\xfe"), "nobody gets in"


@ROUNDS
def test_mysql_after_login(served: Running, access: Access, rounds: int) -> None:
    chooser = random.Random(SEED)
    query = f"SELECT * FROM `{access.project}`.`{SCENE}_1` WHERE `cell` = 3".encode()
    stream: Any = None
    for _ in range(rounds):
        if stream is None:
            stream = socket.create_connection((access.mysql_host, 3306), timeout=5)
            assert mysql_login(stream, access)
            stream.settimeout(0.05)
        command = bytes([chooser.choice([0, 1, 2, 3, 3, 3, 3, 4, 5, 14, 22, 23, 25, 31, 255])])
        content = mysql_packet(chooser.randrange(256), command + spoiled(query, chooser))
        if chooser.random() < 0.15:
            content = spoiled(content, chooser)
        try:
            stream.sendall(content)
            answer = stream.recv(65536)
        except TimeoutError:
            answer = b""
        except OSError:
            answer = b""
        if not answer:
            stream.close()
            stream = None
    if stream is not None:
        stream.close()


_STATEMENTS = [
    "ATTACH DATABASE '/etc/passwd' AS x",
    "SELECT load_extension('/tmp/x.so')",
    "SELECT readfile('/etc/passwd')",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM sqlite_schema",
    "SELECT * FROM pragma_table_info('log')",
    "PRAGMA writable_schema = 1",
    "SELECT * FROM log",
    "SELECT * FROM producer",
    "SELECT * FROM mysql.user",
    "SELECT LOAD_FILE('/etc/passwd')",
    "SELECT * FROM {project}.{table} INTO OUTFILE '/tmp/x'",
    "INSERT INTO {project}.{table} (cell) VALUES (1)",
    "DELETE FROM {project}.{table}",
    "DROP TABLE {project}.{table}",
    "CREATE TABLE {project}.mine (a INT)",
    "SELECT 1; DROP TABLE {project}.{table}",
    "SELECT zeroblob(2000000000)",
    "SELECT randomblob(1000000000)",
    "SELECT printf('%.*c', 1000000000, 'x')",
    "SELECT hex(zeroblob(500000000))",
    "SELECT replace(printf('%1000000d', 1), ' ', printf('%1000000d', 1))",
    "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "SELECT 1 WHERE 1 IN (" + ",".join(["1"] * 100_000) + ")",
    "SELECT * FROM {project}.{table} WHERE cell = " + "-" * 10_000 + "1",
    "VACUUM INTO '/tmp/copy.db'",
    "EXPLAIN SELECT 1",
    "WITH a AS (SELECT 1) DELETE FROM {project}.{table}",
    "SELECT * FROM other_project.{table}",
    "SELECT fts5(1)",
    "SELECT * FROM json_each('[' || printf('%.*c', 100000000, '1') || ']')",
]


@pytest.mark.parametrize("statement", _STATEMENTS)
def test_mysql_statements_that_want_too_much(served: Running, access: Access, statement: str) -> None:
    text = statement.replace("{project}", access.project).replace("{table}", f"{SCENE}_1")
    with socket.create_connection((access.mysql_host, 3306), timeout=30) as stream:
        assert mysql_login(stream, access)
        stream.sendall(mysql_packet(0, b"\x03" + text.encode()))
        answer = mysql_read(stream)
        refused = answer[:1] == b"\xff"
        harmless = statement.startswith(("SELECT 1 WHERE", "SELECT ("))
        assert refused or (harmless and answer), answer[:200]
    with socket.create_connection((access.mysql_host, 3306), timeout=30) as stream:
        assert mysql_login(stream, access)
        stream.sendall(mysql_packet(0, b"\x03SELECT count(*) FROM " + f"`{access.project}`.`{SCENE}_1`".encode()))
        packets = [mysql_read(stream) for _ in range(4)]
        assert packets[3] == b"\x015", "the rows are all there"


def test_mysql_a_statement_without_end_holds_up_nobody(served: Running, access: Access) -> None:
    endless = f"SELECT count(*) FROM {', '.join(f'`{access.project}`.`{SCENE}_1` AS t{i}' for i in range(16))}"
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stream = stack.enter_context(socket.create_connection((access.mysql_host, 3306), timeout=5))
            assert mysql_login(stream, access)
            stream.sendall(mysql_packet(0, b"\x03" + endless.encode()))
        with socket.create_connection((access.mysql_host, 3306), timeout=10) as stream:
            assert mysql_login(stream, access)
            query = f"SELECT `value` FROM `{access.project}`.`{SCENE}_1` WHERE `cell` = 3"
            stream.sendall(mysql_packet(0, b"\x03" + query.encode()))
            assert mysql_read(stream), "a look-up is answered meanwhile"
        assert healthy(served)


# --- look-ups over REST


@ROUNDS
def test_look_ups_with_hostile_documents(served: Running, access: Access, rounds: int) -> None:
    chooser = random.Random(SEED)
    documents = hostile_json(chooser)
    bodies = [b"", b"{", b"[" * 100_000, b'{"a":' * 50_000, b"\xff", b"null", b"[]", b"NaN"]
    for number in range(rounds):
        path = chooser.choice(["feature_store", "batch_feature_store", "ping", "../x", "%00"])
        body = bodies[number] if number < len(bodies) else json.dumps(next(documents)).encode()
        status, answer = _look_up(served, access, body, path)
        assert status < 500 or status == 501, (status, path, body[:200], answer[:300])


# --- Arrow Flight


@ROUNDS
def test_flight_bytes_that_are_not_grpc(served: Running, access: Access, rounds: int) -> None:
    chooser = random.Random(SEED)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04\x00" + bytes(4)
    for _ in range(rounds // 5):
        with contextlib.suppress(OSError), tls(served, access.ports["flight"], with_certificate=True) as stream:
            stream.settimeout(0.05)
            stream.sendall(preface if chooser.random() < 0.7 else spoiled(preface, chooser))
            stream.sendall(chooser.randbytes(chooser.randrange(1, 3000)))
            received(stream, 1000)


@ROUNDS
def test_flight_requests_with_hostile_content(served: Running, access: Access, rounds: int) -> None:
    import pyarrow.flight as flight

    folder = served.home.certificates
    client = flight.FlightClient(
        f"grpc+tls://127.0.0.1:{access.ports['flight']}",
        tls_root_certs=(folder / "ca.pem").read_bytes(),
        cert_chain=(folder / "client.pem").read_text(),
        private_key=(folder / "client.key").read_text(),
    )
    chooser = random.Random(SEED)
    documents = hostile_json(chooser)
    bodies = [b"", b"{", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"null", b'{"path": ["../../../etc/passwd"]}',
              b'{"path": ["/etc/passwd"]}', b'{"path": "x"}', b'{"path": [1]}', b'{"path": ["Resources"]}',
              b'{"plan": "x", "signature": "y"}', b'{"query": {}}', b"SELECT 1"]  # fmt: skip
    with client:
        for number in range(rounds):
            body = bodies[number] if number < len(bodies) else json.dumps(next(documents)).encode()
            action = chooser.choice(
                ["create-training-dataset", "get-version", "healthcheck", "register-client-certificates", "x"]
            )
            for ask in (
                lambda body=body: client.do_get(flight.Ticket(body)).read_all(),
                lambda body=body, action=action: list(client.do_action(flight.Action(action, body))),
                lambda body=body: client.get_flight_info(flight.FlightDescriptor.for_command(body)),
            ):
                with contextlib.suppress(flight.FlightError, OSError, ValueError):
                    ask()


# --- connections that do nothing


@pytest.mark.parametrize("wire", ["rest", "online_rest", "broker", "flight", "mysql"])
def test_connections_that_say_nothing_keep_nobody_out(served: Running, access: Access, wire: str) -> None:
    """Slow-loris: connections that say nothing, or half of something, do not keep the next client waiting."""
    ports = {**access.ports, "rest": int(served.url.rsplit(":", 1)[1])}
    address = (access.mysql_host, 3306) if wire == "mysql" else ("127.0.0.1", ports[wire])
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        for number in range(120):
            stream: socket.socket = stack.enter_context(socket.create_connection(address, timeout=20))
            if number % 3 == 0 and wire != "mysql":
                context = ssl.create_default_context(cafile=served.environment()["HOPSWORKS_TRUST_STORE_PATH"])
                folder = served.home.certificates
                context.load_cert_chain(folder / "client.pem", folder / "client.key")
                stream = stack.enter_context(context.wrap_socket(stream, server_hostname="127.0.0.1"))
            if number % 2 == 0:
                stream.sendall(b"GET / HT"[:3])
        assert time.monotonic() - began < 60
        _answers_on_every_wire(served)
        assert healthy(served)
