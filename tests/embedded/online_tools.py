"""What the tests of the online store share: record batches as a producer writes them, and a platform without wires."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google_crc32c
import pyarrow as pa
from fastavro import schemaless_writer
from fastavro.schema import parse_schema

from deepcube.embedded.catalog import Entity
from deepcube.embedded.home import Home
from deepcube.embedded.online.avro import RowCodec, ValueCodec, is_complex
from deepcube.embedded.online.records import Batch
from deepcube.embedded.online.store import OnlineStore
from deepcube.embedded.online.subjects import codec_of, current_subject
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.server import open_platform
from deepcube.embedded.store.features import BATCH, STREAM
from deepcube.embedded.store.group_changes import create_group

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

Headers = dict[str, bytes]


def zigzag(number: int) -> bytes:
    """Write an integer as Kafka records do."""
    rest, content = (number << 1) ^ (number >> 63), bytearray()
    while rest > 0x7F:
        content.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*content, rest])


def record(value: bytes, headers: Headers, offset: int = 0, key: bytes | None = b"k") -> bytes:
    """Write one record."""
    body = b"\0" + zigzag(0) + zigzag(offset)
    body += zigzag(-1) if key is None else zigzag(len(key)) + key
    body += zigzag(len(value)) + value + zigzag(len(headers))
    for name, content in headers.items():
        label = name.encode()
        body += zigzag(len(label)) + label + zigzag(len(content)) + content
    return zigzag(len(body)) + body


def pack(content: bytes, codec: str) -> bytes:
    """Compress the records of a batch."""
    if codec == "gzip":
        return gzip.compress(content)
    if codec == "snappy":
        return bytes(pa.Codec("snappy").compress(content, asbytes=True))
    if codec in ("lz4", "zstd"):
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(content)
        return bytes(sink.getvalue())
    return content


def batch_bytes(
    records: Sequence[tuple[bytes, Headers]],
    codec: str = "none",
    producer: tuple[int, int, int] = (-1, -1, -1),
    content: bytes | None = None,
) -> bytes:
    """Write a record batch (format 2); ``content`` replaces the compressed records."""
    plain = b"".join(record(value, headers, i) for i, (value, headers) in enumerate(records))
    packed = pack(plain, codec) if content is None else content
    tail = struct.pack(">hiqqqhii", CODECS[codec], max(len(records) - 1, 0), 0, 0, *producer, len(records)) + packed
    middle = struct.pack(">ibI", 0, 2, google_crc32c.value(tail))
    return struct.pack(">qi", 0, len(middle) + len(tail)) + middle + tail


def encode(codec: RowCodec, row: dict[str, Any]) -> bytes:
    """Encode a row as the client does: complex values on their own first; times and dates as integers."""
    fields = []
    for column in codec.columns:
        kind: Any = "bytes" if is_complex(column.type) else None
        fields.append({"name": column.name, "type": ["null", kind or _plain(column.type)]})
    schema = parse_schema({"type": "record", "name": "row", "fields": fields})
    plain = dict(row)
    for column in codec.columns:
        if is_complex(column.type) and plain.get(column.name) is not None:
            plain[column.name] = ValueCodec(column.type).write(plain[column.name])
    stream = io.BytesIO()
    schemaless_writer(stream, schema, plain)
    return stream.getvalue()


def _plain(kind: pa.DataType) -> Any:
    from deepcube.embedded.online.avro import avro_type

    if pa.types.is_timestamp(kind):
        return "long"
    return "int" if pa.types.is_date(kind) else avro_type(kind, "x")


@contextmanager
def bare_platform(home: Path) -> Iterator[Platform]:
    """Open a platform in a folder, without any wire."""
    folder = Home(home)
    folder.prepare()
    platform = open_platform(folder, 0)
    try:
        yield platform
    finally:
        platform.close()


def make_group(
    platform: Platform,
    features: dict[str, str],
    key: Sequence[str],
    *,
    name: str = "g",
    event_time: str | None = None,
    stream: bool = False,
    online: bool = True,
) -> Entity:
    """Make a feature group; ``features`` are names and types."""
    document: dict[str, Any] = {
        "name": name,
        "version": 1,
        "type": STREAM if stream else BATCH,
        "onlineEnabled": online,
        "timeTravelFormat": "DELTA",
        "eventTime": event_time,
        "features": [{"name": n, "type": t, "primary": n in key} for n, t in features.items()],
    }
    return create_group(platform, first_project(platform), document)


def first_project(platform: Platform) -> Project:
    """Return the platform's default project."""
    return platform.projects()[0]


class Sender:
    """Sends rows to a feature group's topic, as the broker hands them over.

    Parameters
    ----------
    platform : Platform
        The platform.
    group : Entity
        The feature group.
    """

    def __init__(self, platform: Platform, group: Entity) -> None:
        self.platform = platform
        self.group = group
        self.store = platform.service(OnlineStore)
        self.subject = current_subject(platform, group)
        self.codec = codec_of(self.subject)

    def headers(self, **more: bytes) -> Headers:
        """Return the headers of a record."""
        fixed = {"featureGroupId": str(self.group.id).encode(), "subjectId": str(self.subject.id).encode()}
        return {**fixed, **more}

    def send(
        self, rows: Sequence[dict[str, Any]], producer: tuple[int, int, int] = (-1, -1, -1), **headers: bytes
    ) -> int:
        """Send rows in one batch; return the offset of the first."""
        shared = self.headers(**headers)
        empty = dict.fromkeys(self.codec.names)
        records = [(encode(self.codec, {**empty, **row}), shared) for row in rows]
        return self.store.accept(self.group, Batch(*producer, records))

    def rows(self) -> list[tuple[Any, ...]]:
        """Return what the online table holds, as it is stored, in the order of the key."""
        project = first_project(self.platform)
        columns = ", ".join(f"`{name}`" for name in self.codec.names)
        with self.store.readers(project).lend() as reader:
            plan = reader.plan(f"SELECT {columns} FROM `{project.name}`.`{self.group.name}_{self.group.version}`")
            return sorted(reader.rows(plan, []).fetchall(), key=repr)
