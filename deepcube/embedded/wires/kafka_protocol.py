"""The part of the Kafka protocol that producers need: reading requests and writing responses.

Names, numbers and layouts are those of the Kafka protocol guide (https://kafka.apache.org/protocol). Only versions
without tagged fields are offered, except for ApiVersions 3, with which every new client begins.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from deepcube.embedded.online.errors import ProtocolError

PRODUCE, FETCH, LIST_OFFSETS, METADATA = 0, 1, 2, 3
SASL_HANDSHAKE, API_VERSIONS, INIT_PRODUCER_ID, SASL_AUTHENTICATE = 17, 18, 22, 36

#: Versions that are answered, by number of the call. Fetch is there because clients expect it of every broker.
VERSIONS = {
    PRODUCE: (3, 7),
    FETCH: (4, 4),
    LIST_OFFSETS: (1, 1),
    METADATA: (1, 4),
    SASL_HANDSHAKE: (0, 1),
    API_VERSIONS: (0, 3),
    INIT_PRODUCER_ID: (0, 1),
    SASL_AUTHENTICATE: (0, 1),
}

NONE, UNKNOWN_SERVER_ERROR, UNKNOWN_TOPIC, CORRUPT_MESSAGE = 0, -1, 3, 2
TOPIC_AUTHORIZATION_FAILED, UNSUPPORTED_SASL_MECHANISM, UNSUPPORTED_VERSION = 29, 33, 35
OUT_OF_ORDER_SEQUENCE, STORAGE_ERROR, SASL_AUTHENTICATION_FAILED, INVALID_RECORD = 45, 56, 58, 87

EARLIEST, LATEST = -2, -1
_MAX_ITEMS = 10_000


class Reader:
    """Reads the fields of a request, in order.

    Parameters
    ----------
    content : bytes
        The request, without its length.

    Raises
    ------
    ProtocolError
        By every method, if the bytes end early or a count is out of range.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        end = self._position + size
        if size < 0 or end > len(self._content):
            raise ProtocolError(f"request ends early: {size} bytes wanted at {self._position}")
        part = self._content[self._position : end]
        self._position = end
        return part

    def int8(self) -> int:
        """Return the next signed byte."""
        return int.from_bytes(self.take(1), "big", signed=True)

    def int16(self) -> int:
        """Return the next 16-bit integer."""
        return int.from_bytes(self.take(2), "big", signed=True)

    def int32(self) -> int:
        """Return the next 32-bit integer."""
        return int.from_bytes(self.take(4), "big", signed=True)

    def int64(self) -> int:
        """Return the next 64-bit integer."""
        return int.from_bytes(self.take(8), "big", signed=True)

    def string(self) -> str | None:
        """Return the next string, or None for null."""
        length = self.int16()
        return None if length < 0 else self._text(self.take(length))

    def required(self) -> str:
        """Return the next string, which must not be null."""
        value = self.string()
        if value is None:
            raise ProtocolError("request has null where a name is needed")
        return value

    def bytes_(self) -> bytes:
        """Return the next bytes with their length before them; null is empty."""
        length = self.int32()
        return b"" if length < 0 else self.take(length)

    def items(self) -> Iterator[int]:
        """Iterate over the numbers of a list's items; a null list has none."""
        return iter(range(max(self.count(), 0)))

    def count(self) -> int:
        """Return the number of items of a list; -1 for null."""
        number = self.int32()
        if number > _MAX_ITEMS:
            raise ProtocolError(f"request has a list of {number} items; at most {_MAX_ITEMS} are taken")
        return number

    @staticmethod
    def _text(content: bytes) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise ProtocolError("request has text that is not UTF-8") from None


@dataclass(frozen=True)
class Request:
    """A request's header, and what reads the rest.

    Attributes
    ----------
    call, version : int
        Number of the call and its version.
    correlation : int
        Number that the answer must carry.
    client : str or None
        What the client calls itself.
    body : Reader
        The rest.
    """

    call: int
    version: int
    correlation: int
    client: str | None
    body: Reader

    @classmethod
    def parse(cls, content: bytes) -> Request:
        """Read the header of a request."""
        reader = Reader(content)
        return cls(reader.int16(), reader.int16(), reader.int32(), reader.string(), reader)

    @property
    def supported(self) -> bool:
        """Whether this call is answered in this version."""
        low, high = VERSIONS.get(self.call, (1, 0))
        return low <= self.version <= high


def int8(value: int) -> bytes:
    """Write a byte."""
    return struct.pack(">b", value)


def int16(value: int) -> bytes:
    """Write a 16-bit integer."""
    return struct.pack(">h", value)


def int32(value: int) -> bytes:
    """Write a 32-bit integer."""
    return struct.pack(">i", value)


def int64(value: int) -> bytes:
    """Write a 64-bit integer."""
    return struct.pack(">q", value)


def string(value: str | None) -> bytes:
    """Write a string; None is null."""
    if value is None:
        return int16(-1)
    content = value.encode()
    return int16(len(content)) + content


def array(items: list[bytes]) -> bytes:
    """Write a list of written items."""
    return int32(len(items)) + b"".join(items)


def frame(correlation: int, body: bytes) -> bytes:
    """Write a response with its length and correlation number."""
    return int32(len(body) + 4) + int32(correlation) + body


def api_versions(version: int) -> bytes:
    """Write the answer to ApiVersions; a version that is not known gets version 0 and an error, as the guide says."""
    if not VERSIONS[API_VERSIONS][0] <= version <= VERSIONS[API_VERSIONS][1]:
        return int16(UNSUPPORTED_VERSION) + array(_ranges(b""))
    if version == 3:  # lists have their length plus one, and every structure ends with its tagged fields: none
        ranges = _ranges(b"\0")
        return int16(NONE) + bytes([len(ranges) + 1]) + b"".join(ranges) + int32(0) + b"\0"
    return int16(NONE) + array(_ranges(b"")) + (int32(0) if version else b"")


def _ranges(tail: bytes) -> list[bytes]:
    return [struct.pack(">hhh", call, low, high) + tail for call, (low, high) in VERSIONS.items()]
