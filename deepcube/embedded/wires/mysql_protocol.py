"""The part of the MySQL protocol that clients of the online store need: packets, login, and results as text.

Layouts and numbers are those of the MySQL source documentation, section "Client/Server Protocol" (protocol version 10).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from deepcube.embedded.online.errors import ProtocolError

QUIT, INIT_DB, QUERY, FIELD_LIST, STATISTICS, PING, RESET_CONNECTION = 0x01, 0x02, 0x03, 0x04, 0x09, 0x0E, 0x1F

ACCESS_DENIED, TOO_MANY_CONNECTIONS, UNKNOWN_COMMAND, BAD_DATABASE = 1045, 1040, 1047, 1049
SYNTAX_ERROR, NO_SUCH_TABLE, NOT_SUPPORTED, INTERRUPTED = 1064, 1146, 1235, 1317

SERVER_VERSION = b"8.0.36-embedded"
PLUGIN = b"caching_sha2_password"
MAX_PACKET = 2**24 - 1

_LONG_PASSWORD, _FOUND_ROWS, _LONG_FLAG, _CONNECT_WITH_DB = 0x1, 0x2, 0x4, 0x8
_PROTOCOL_41, _TRANSACTIONS, _SECURE_CONNECTION = 0x200, 0x2000, 0x8000
_MULTI_RESULTS, _PLUGIN_AUTH, _LENENC_AUTH = 0x20000, 0x80000, 0x200000
_CAPABILITIES = (
    _LONG_PASSWORD
    | _FOUND_ROWS
    | _LONG_FLAG
    | _CONNECT_WITH_DB
    | _PROTOCOL_41
    | _TRANSACTIONS
    | _SECURE_CONNECTION
    | _MULTI_RESULTS
    | _PLUGIN_AUTH
    | _LENENC_AUTH
)
_AUTOCOMMIT = 0x0002
_UTF8MB4, _BINARY = 45, 63
_BINARY_FLAG = 0x80

_END = b"\xfe\x00\x00\x02\x00"
OK = b"\x00\x00\x00\x02\x00\x00\x00"
LOGIN_DONE = b"\x01\x03"

# Declared type of a column -> number of the MySQL type, character set.
_TYPES = {
    "TINYINT": (1, _BINARY),
    "BOOLEAN": (1, _BINARY),
    "SMALLINT": (2, _BINARY),
    "INT": (3, _BINARY),
    "BIGINT": (8, _BINARY),
    "FLOAT": (4, _BINARY),
    "DOUBLE": (5, _BINARY),
    "VARCHAR": (253, _UTF8MB4),
    "DATETIME_TEXT": (12, _BINARY),
    "DATE_TEXT": (10, _BINARY),
    "DECIMAL_TEXT": (246, _BINARY),
    "BLOB": (252, _BINARY),
}
_DECIMALS = {"FLOAT": 31, "DOUBLE": 31, "DATETIME_TEXT": 6}


@dataclass(frozen=True)
class Login:
    """What a client says at the start.

    Attributes
    ----------
    user : str
        Who it is.
    scramble : bytes
        Proof that it knows the password.
    database : str
        Database it wants; may be empty.
    plugin : bytes
        Method by which the proof was made.
    """

    user: str
    scramble: bytes
    database: str
    plugin: bytes

    @classmethod
    def parse(cls, content: bytes) -> Login:
        """Read the client's answer to the greeting.

        Raises
        ------
        ProtocolError
            If it is not such an answer, or the client speaks an older protocol.
        """
        if len(content) < 34:
            raise ProtocolError("login ends early")
        (capabilities,) = struct.unpack_from("<I", content)
        if not capabilities & _PROTOCOL_41:
            raise ProtocolError("login of a client older than MySQL 4.1")
        user, position = _until_zero(content, 32)
        length = content[position] if position < len(content) else 0
        if length >= 251:
            raise ProtocolError("login with a proof that is too long")
        scramble = content[position + 1 : position + 1 + length]
        position += 1 + length
        database = plugin = b""
        if capabilities & _CONNECT_WITH_DB:
            database, position = _until_zero(content, position)
        if capabilities & _PLUGIN_AUTH:
            plugin, position = _until_zero(content, position)
        return cls(user.decode(errors="replace"), scramble, database.decode(errors="replace"), plugin)


def _until_zero(content: bytes, position: int) -> tuple[bytes, int]:
    end = content.find(b"\0", position)
    end = len(content) if end < 0 else end
    return content[position:end], end + 1


def greeting(connection: int, nonce: bytes) -> bytes:
    """Write the first packet.

    Parameters
    ----------
    connection : int
        Number of the connection.
    nonce : bytes
        20 random bytes without zero, from which the client makes its proof.
    """
    return (
        b"\x0a"
        + SERVER_VERSION
        + b"\0"
        + struct.pack("<I", connection)
        + nonce[:8]
        + b"\0"
        + struct.pack("<HBHH", _CAPABILITIES & 0xFFFF, _UTF8MB4, _AUTOCOMMIT, _CAPABILITIES >> 16)
        + bytes([len(nonce) + 1])
        + b"\0" * 10
        + nonce[8:]
        + b"\0"
        + PLUGIN
        + b"\0"
    )


def switch_method(nonce: bytes) -> bytes:
    """Write the request to prove the password by the one method that is offered."""
    return b"\xfe" + PLUGIN + b"\0" + nonce + b"\0"


def proves(password: str, nonce: bytes, scramble: bytes) -> bool:
    """Tell whether a proof shows that the client knows a password.

    ``XOR(SHA256(password), SHA256(SHA256(SHA256(password)) + nonce))``: method ``caching_sha2_password``.
    """
    once = hashlib.sha256(password.encode()).digest()
    mask = hashlib.sha256(hashlib.sha256(once).digest() + nonce).digest()
    return hmac.compare_digest(bytes(a ^ b for a, b in zip(once, mask, strict=True)), scramble)


def packets(sequence: int, payloads: Iterable[bytes]) -> tuple[bytes, int]:
    """Put payloads into packets; return their bytes and the next sequence number."""
    parts = []
    for payload in payloads:
        while len(payload) >= MAX_PACKET:
            parts.append(b"\xff\xff\xff" + bytes([sequence & 0xFF]) + payload[:MAX_PACKET])
            payload, sequence = payload[MAX_PACKET:], sequence + 1
        parts.append(len(payload).to_bytes(3, "little") + bytes([sequence & 0xFF]) + payload)
        sequence += 1
    return b"".join(parts), sequence


def error(code: int, message: str, state: str = "HY000") -> bytes:
    """Write an error."""
    return b"\xff" + struct.pack("<H", code) + b"#" + state.encode() + message.encode(errors="replace")[:1024]


def _length(value: int) -> bytes:
    if value < 251:
        return bytes([value])
    if value < 2**16:
        return b"\xfc" + value.to_bytes(2, "little")
    return b"\xfd" + value.to_bytes(3, "little") if value < 2**24 else b"\xfe" + value.to_bytes(8, "little")


def _text(value: bytes) -> bytes:
    return _length(len(value)) + value


def column(name: str, declared: str, schema: bytes) -> bytes:
    """Describe a column of a result.

    Parameters
    ----------
    name : str
        Its name.
    declared : str
        Its declared type, see :mod:`deepcube.embedded.online.columns`.
    schema : bytes
        Name of the database.
    """
    number, charset = _TYPES[declared]
    label = _text(name.encode())
    flags = _BINARY_FLAG if charset == _BINARY else 0
    return (
        _text(b"def")
        + _text(schema)
        + b"\0\0"  # tables are not told
        + label
        + label
        + b"\x0c"
        + struct.pack("<HIBHB", charset, 2**24 - 1, number, flags, _DECIMALS.get(declared, 0))
        + b"\0\0"
    )


def type_of_value(value: object) -> str:
    """Return the declared type that fits a value of an expression."""
    if isinstance(value, int):
        return "BIGINT"
    if isinstance(value, float):
        return "DOUBLE"
    return "BLOB" if isinstance(value, bytes) else "VARCHAR"


def result_head(columns: Sequence[bytes]) -> list[bytes]:
    """Return the payloads that come before the rows of a result."""
    return [_length(len(columns)), *columns, _END]


def result_end() -> bytes:
    """Return the payload that comes after the rows of a result."""
    return _END


def row(values: Sequence[Any]) -> bytes:
    """Write a row: every value as text with its length, null as 0xFB."""
    parts = []
    for value in values:
        if value is None:
            parts.append(b"\xfb")
            continue
        if type(value) is int:
            content = b"%d" % value
        elif type(value) is str:
            content = value.encode()
        elif type(value) is float:
            content = repr(value).encode()
        else:
            content = bytes(value)
        size = len(content)
        parts.append(bytes((size,)) + content if size < 251 else _length(size) + content)
    return b"".join(parts)
