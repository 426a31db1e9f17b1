"""Record batches as Kafka producers send them (message format version 2, KIP-98), of any compression.

Layout and checks follow the Kafka protocol guide, section "Record batch"; the checksum is CRC-32C (RFC 3720, B.4).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import google_crc32c
import pyarrow as pa

from deepcube.embedded.online.errors import ProtocolError

MAX_BATCH_BYTES = 16 * 1024 * 1024
MAX_UNPACKED_BYTES = 64 * 1024 * 1024
MAX_RECORDS = 1_000_000

_HEADER = struct.Struct(">qiibIhiqqqhii")
_AFTER_CHECKSUM = 21
_GZIP, _SNAPPY, _LZ4, _ZSTD = 1, 2, 3, 4
_XERIAL = b"\x82SNAPPY\x00"
_CONTROL = 0x20

Headers = dict[str, bytes]


@dataclass(frozen=True)
class Batch:
    """A record batch.

    Attributes
    ----------
    producer_id, producer_epoch, base_sequence : int
        Who sent it and which of its messages is the first; -1 from a producer that is not idempotent.
    records : list of (bytes, dict)
        Value and headers of each record; records with equal headers share one dict.
    """

    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: list[tuple[bytes, Headers]]


class _MalformedError(ProtocolError):
    """Bytes end early, or a length is out of range."""


def parse_batches(content: bytes) -> list[Batch]:
    """Parse the record batches of one partition of a produce request.

    Raises
    ------
    ProtocolError
        If the bytes are not whole batches, a checksum is wrong or a batch is too large.
    """
    batches, start = [], 0
    try:
        while start < len(content):
            (length,) = struct.unpack_from(">i", content, start + 8)
            end = start + 12 + length
            if length < _HEADER.size - 12 or end > len(content):
                raise ProtocolError(f"record batch of {length} bytes does not fit in the {len(content)} that came")
            batches.append(_parse_batch(content[start:end]))
            start = end
    except (struct.error, IndexError):
        raise ProtocolError("record batch ends early") from None
    return batches


def _parse_batch(content: bytes) -> Batch:
    (_, _, _, magic, checksum, attributes, _, _, _, producer, epoch, sequence, count) = _HEADER.unpack_from(content)
    if magic != 2:
        raise ProtocolError(f"record batch has format {magic}; format 2 is needed (Kafka 0.11 and newer)")
    if google_crc32c.value(content[_AFTER_CHECKSUM:]) != checksum:
        raise ProtocolError("record batch has a wrong checksum: it was damaged on the way")
    if attributes & _CONTROL:
        raise ProtocolError("record batch is a control batch, which only a broker writes")
    if not 0 <= count <= MAX_RECORDS:
        raise ProtocolError(f"record batch tells of {count} records; at most {MAX_RECORDS} are taken")
    return Batch(producer, epoch, sequence, _parse_records(unpack(content[_HEADER.size :], attributes & 7), count))


def unpack(content: bytes, codec: int, limit: int = MAX_UNPACKED_BYTES) -> bytes:
    """Decompress the records of a batch.

    Parameters
    ----------
    content : bytes
        The compressed records.
    codec : int
        0 none, 1 gzip, 2 snappy (plain or with xerial's framing), 3 lz4 (frame format), 4 zstd.
    limit : int
        Greatest size of the result, so that few bytes cannot fill the memory.

    Raises
    ------
    ProtocolError
        If the bytes are not of the codec, or the result would be larger than the limit.
    """
    try:
        if codec == 0:
            return content
        if codec == _GZIP:
            return _gunzip(content, limit)
        if codec == _SNAPPY:
            return _unsnappy(content, limit)
        if codec in (_LZ4, _ZSTD):
            with pa.CompressedInputStream(pa.BufferReader(content), "lz4" if codec == _LZ4 else "zstd") as stream:
                return _bounded(stream.read(limit + 1), limit)
    except (OSError, zlib.error, pa.ArrowException, struct.error) as error:
        raise ProtocolError(f"record batch cannot be decompressed: {error}") from None
    raise ProtocolError(f"record batch has an unknown compression: {codec}")


def _bounded(content: bytes, limit: int) -> bytes:
    if len(content) > limit:
        raise ProtocolError(f"record batch is larger than {limit} bytes when decompressed; send less at once")
    return content


def _gunzip(content: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    plain = _bounded(stream.decompress(content, limit + 1), limit)
    if not stream.eof:
        raise ProtocolError("record batch cannot be decompressed: it ends early")
    return plain


def _unsnappy(content: bytes, limit: int) -> bytes:
    if not content.startswith(_XERIAL):
        return _snappy_block(content, limit)
    parts, position, left = [], 16, limit
    while position < len(content):
        (length,) = struct.unpack_from(">i", content, position)
        block = content[position + 4 : position + 4 + length]
        if length <= 0 or len(block) != length:
            raise ProtocolError("record batch cannot be decompressed: a snappy block ends early")
        parts.append(_snappy_block(block, left))
        left -= len(parts[-1])
        position += 4 + length
    return b"".join(parts)


def _snappy_block(content: bytes, limit: int) -> bytes:
    size, _ = _unsigned(content, 0)
    if size > limit:
        raise ProtocolError(f"record batch is larger than {limit} bytes when decompressed; send less at once")
    if size == 0:
        return b""
    return bytes(pa.Codec("snappy").decompress(content, decompressed_size=size, asbytes=True))


def _unsigned(content: bytes, position: int) -> tuple[int, int]:
    """Read a base-128 integer; return it and the position behind it."""
    result = shift = 0
    while True:
        if position >= len(content) or shift > 63:
            raise _MalformedError("record ends early or has an integer that is too long")
        byte = content[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7


def _signed(content: bytes, position: int) -> tuple[int, int]:
    """Read a zig-zag encoded integer; return it and the position behind it."""
    if position < len(content) and content[position] < 0x80:  # nearly always one byte
        byte = content[position]
        return (byte >> 1) ^ -(byte & 1), position + 1
    number, position = _unsigned(content, position)
    return (number >> 1) ^ -(number & 1), position


def _parse_records(content: bytes, count: int) -> list[tuple[bytes, Headers]]:
    records: list[tuple[bytes, Headers]] = []
    known: dict[bytes, Headers] = {}
    position = 0
    for _ in range(count):
        length, position = _signed(content, position)
        end = position + length
        if length < 0 or end > len(content):
            raise _MalformedError("record is longer than its batch")
        position += 1  # attributes, unused
        _, position = _signed(content, position)  # time
        _, position = _signed(content, position)  # offset within the batch
        _, position = _field(content, position, end)  # key: the primary key once more
        value, position = _field(content, position, end)
        raw = content[position:end]
        headers = known.get(raw)
        if headers is None:
            headers = known[raw] = _parse_headers(raw)
        records.append((value or b"", headers))
        position = end
    if position != len(content):
        raise _MalformedError(f"{len(content) - position} bytes follow the last record of the batch")
    return records


def _field(content: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    length, position = _signed(content, position)
    if length < 0:
        return None, position
    if position + length > end:
        raise _MalformedError("field is longer than its record")
    return content[position : position + length], position + length


def _parse_headers(content: bytes) -> Headers:
    count, position = _signed(content, 0)
    headers: dict[str, Any] = {}
    for _ in range(count):
        name, position = _field(content, position, len(content))
        value, position = _field(content, position, len(content))
        headers[(name or b"").decode("utf-8", "replace")] = value or b""
    if position != len(content):
        raise _MalformedError("bytes follow the last header of a record")
    return headers
