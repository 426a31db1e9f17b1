"""Raw connections to the wires beside REST, well-formed enough to be let in, and ways to spoil what is sent then."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import google_crc32c
from rest_fuzz import Prober, Request

from deepcube.embedded import Running

QUIET_SECONDS = 5.0


@dataclass(frozen=True)
class Access:
    """What a project's member knows of the wires.

    Attributes
    ----------
    project : str
        Name of the project.
    mysql_host : str
        Address of the MySQL wire.
    ports : dict of str to int
        Ports of the other wires.
    user, database_password, broker_password : str
        As the connectors give them.
    """

    project: str
    mysql_host: str
    ports: dict[str, int]
    user: str
    database_password: str
    broker_password: str


def access_of(running: Running, project_id: int = 1) -> Access:
    """Ask the REST wire for the connectors of a project."""
    prober = Prober(running)
    stem = f"/hopsworks-api/api/project/{project_id}/featurestores/{project_id}/storageconnectors"
    documents = []
    for name in ("onlinefeaturestore", "kafka_connector/byok"):
        status, body = prober.send(Request("GET", f"{stem}/{name}"))
        assert status == 200, body
        documents.append(json.loads(body))
    prober.close()
    database = {option["name"]: option["value"] for option in documents[0]["arguments"]}
    options = {option["name"]: option["value"] for option in documents[1]["options"]}
    broker = options["sasl.jaas.config"].split('password="')[1].split('"')[0]
    announced = json.loads(running.home.server_file.read_text())
    return Access(
        running.project, announced["mysql_host"], announced["ports"], database["user"], database["password"], broker
    )


def tls(running: Running, port: int, *, with_certificate: bool = False) -> ssl.SSLSocket:
    """Connect to a port of the server over TLS."""
    context = ssl.create_default_context(cafile=running.environment()["HOPSWORKS_TRUST_STORE_PATH"])
    if with_certificate:
        folder = running.home.certificates
        context.load_cert_chain(folder / "client.pem", folder / "client.key")
    plain = socket.create_connection(("127.0.0.1", port), timeout=QUIET_SECONDS)
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def received(stream: socket.socket, size: int) -> bytes:
    """Receive so many bytes; fewer if the other side closes or falls silent."""
    content = b""
    with contextlib.suppress(OSError):
        while len(content) < size and (block := stream.recv(size - len(content))):
            content += block
    return content


# --- Kafka


def kafka_frame(call: int, version: int, body: bytes, correlation: int = 7) -> bytes:
    """Write a request."""
    head = struct.pack(">hhi", call, version, correlation) + struct.pack(">h", 4) + b"fuzz"
    return struct.pack(">i", len(head + body)) + head + body


def kafka_answer(stream: socket.socket) -> bytes:
    """Read a response; empty if there is none."""
    size = received(stream, 4)
    if len(size) < 4:
        return b""
    return received(stream, struct.unpack(">i", size)[0])


def kafka_login(stream: socket.socket, user: str, password: str) -> bool:
    """Log in with SASL/PLAIN; False if refused."""
    stream.sendall(kafka_frame(17, 1, struct.pack(">h", 5) + b"PLAIN"))
    kafka_answer(stream)
    token = b"\0" + user.encode() + b"\0" + password.encode()
    stream.sendall(kafka_frame(36, 0, struct.pack(">i", len(token)) + token))
    answer = kafka_answer(stream)
    return len(answer) >= 6 and struct.unpack_from(">h", answer, 4)[0] == 0


def _varint(number: int) -> bytes:
    number = (number << 1) ^ (number >> 63)
    content = b""
    while number >= 0x80:
        content += bytes([number & 0x7F | 0x80])
        number >>= 7
    return content + bytes([number])


def record_batch(values: list[bytes], headers: dict[str, bytes], *, codec: int = 0, count: int | None = None) -> bytes:
    """Write a record batch (format 2) with a right checksum."""
    records = b""
    for number, value in enumerate(values):
        record = (
            b"\0" + _varint(0) + _varint(number) + _varint(-1) + _varint(len(value)) + value + _varint(len(headers))
        )
        for name, content in headers.items():
            record += _varint(len(name)) + name.encode() + _varint(len(content)) + content
        records += _varint(len(record)) + record
    return with_checksum(codec, len(values) if count is None else count, records)


def with_checksum(codec: int, count: int, records: bytes) -> bytes:
    """Put a header before the records of a batch."""
    tail = struct.pack(">hiqqqhii", codec, max(count - 1, 0), 0, 0, -1, -1, -1, count) + records
    body = struct.pack(">ib", 0, 2) + struct.pack(">I", google_crc32c.value(tail)) + tail
    return struct.pack(">qi", 0, len(body)) + body


def produce(topic: str, batch: bytes) -> bytes:
    """Write the body of a Produce request (version 7)."""
    name = topic.encode()
    head = struct.pack(">hhi", -1, -1, 1000)
    partition = struct.pack(">ii", 0, len(batch)) + batch
    return head + struct.pack(">i", 1) + struct.pack(">h", len(name)) + name + struct.pack(">i", 1) + partition


# --- MySQL


def mysql_packet(sequence: int, payload: bytes) -> bytes:
    """Write a packet."""
    return len(payload).to_bytes(3, "little") + bytes([sequence & 255]) + payload


def mysql_read(stream: socket.socket) -> bytes:
    """Read a packet's payload; empty if there is none."""
    head = received(stream, 4)
    return received(stream, int.from_bytes(head[:3], "little")) if len(head) == 4 else b""


def mysql_nonce(greeting: bytes) -> bytes:
    """Take the nonce out of the greeting."""
    start = greeting.index(b"\0", 1) + 1 + 4
    return greeting[start : start + 8] + greeting[start + 8 + 19 : start + 8 + 19 + 12]


def mysql_login_payload(user: str, password: str, nonce: bytes, database: str) -> bytes:
    """Write the answer to the greeting."""
    once = hashlib.sha256(password.encode()).digest()
    mask = hashlib.sha256(hashlib.sha256(once).digest() + nonce).digest()
    proof = bytes(a ^ b for a, b in zip(once, mask, strict=True))
    head = struct.pack("<IIB", 0x1 | 0x8 | 0x200 | 0x8000 | 0x80000, 2**24 - 1, 45) + bytes(23)
    return head + user.encode() + b"\0" + bytes([len(proof)]) + proof + database.encode() + b"\0caching_sha2_password\0"


def mysql_login(stream: socket.socket, access: Access) -> bool:
    """Log in; False if refused."""
    nonce = mysql_nonce(mysql_read(stream))
    stream.sendall(mysql_packet(1, mysql_login_payload(access.user, access.database_password, nonce, access.project)))
    return mysql_read(stream)[:1] == b"\x01" and mysql_read(stream)[:1] == b"\x00"


# --- ways to spoil bytes


def spoiled(content: bytes, chooser: random.Random) -> bytes:
    """Return bytes with something about them changed."""
    choice = chooser.randrange(6)
    if choice == 0 and content:
        return content[: chooser.randrange(len(content))]
    if choice == 1:
        place = chooser.randrange(len(content) + 1)
        return content[:place] + chooser.randbytes(chooser.randrange(1, 64)) + content[place:]
    if choice == 2 and len(content) >= 4:
        place = chooser.randrange(len(content) - 3)
        number = chooser.choice([0, 1, -1, 2**31 - 1, -(2**31), 2**24, 0x7F7F7F7F, 65536])
        return content[:place] + struct.pack(">i", number) + content[place + 4 :]
    if choice == 3:
        return chooser.randbytes(len(content) or 1)
    changed = bytearray(content)
    for _ in range(chooser.randrange(1, 8)):
        if changed:
            changed[chooser.randrange(len(changed))] = chooser.randrange(256)
    return bytes(changed)


def framed(content: bytes, chooser: random.Random) -> bytes:
    """Spoil a length-prefixed message: mostly what is inside, so that it is read at all."""
    if chooser.random() < 0.2:
        return spoiled(content, chooser)
    inner = spoiled(content[4:], chooser)
    return struct.pack(">i", len(inner)) + inner


def hostile_json(chooser: random.Random) -> Iterator[Any]:
    """Yield documents for the look-up wire."""
    names = ["featureStoreName", "featureViewName", "featureViewVersion", "entries", "passedFeatures", "options"]
    values = [None, 1, -1, 2**70, "", "x" * 10_000, "../..", [], {}, [[]], [None], {"a": {}}, True, 1.5, "a\x00b"]
    while True:
        yield {name: chooser.choice(values) for name in chooser.sample(names, chooser.randrange(len(names) + 1))}
