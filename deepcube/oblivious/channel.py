"""Messages between an experiment and its worker processes: authenticated, bounded, and never unpickled.

The experiment listens (:class:`Hub`) on the loopback interface, or on one that it is given; workers connect
(:class:`Channel`). Both know a random secret that travelled beside the training function, never over this connection.

- **Handshake**, of fixed size, so that nothing is parsed: the hub sends a nonce ``S``; the worker answers with its
  number, a nonce ``C`` and ``HMAC-SHA256(secret, "worker" + S + number + C)``; the hub proves itself in the same way.
- **Frames**: a length of four bytes, a MAC of 16, then JSON. The MAC is keyed by the session and covers a counter, so a
  frame can be neither forged nor replayed; it is checked before the JSON is read. A frame longer than
  :data:`MAX_FRAME` ends the connection before it is read.
"""

import hmac
import json
import secrets
import select
import selectors
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

from deepcube.oblivious.errors import ChannelError

MAX_FRAME = 1 << 20
"""Longest frame, bytes."""

_NONCE, _MAC, _PROOF = 16, 16, 32
_NUMBER = struct.Struct(">I")
_GREETING = _NUMBER.size + _NONCE + _PROOF
_HANDSHAKE_S = 10.0
_SEND_S = 30.0
_STRANGERS = 64
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_HEADER = _NUMBER.size + _MAC

Message = dict[str, Any]
"""A JSON object."""


def _prove(secret: bytes, role: bytes, *parts: bytes) -> bytes:
    return hmac.digest(secret, role + b"".join(parts), "sha256")


class _Codec:
    """Frames of one direction of one session."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._count = 0

    def mac(self, body: bytes) -> bytes:
        self._count += 1
        return hmac.digest(self._key, _NUMBER.pack(self._count & 0xFFFFFFFF) + body, "sha256")[:_MAC]

    def frame(self, message: Message) -> bytes:
        body = _ENCODER.encode(message).encode()
        if len(body) > MAX_FRAME:
            raise ChannelError(
                f"Found a message of {len(body)} bytes; expected at most {MAX_FRAME}. Return numbers, and leave large "
                "results as files in `reporter.directory`."
            )
        return _NUMBER.pack(len(body)) + self.mac(body) + body

    def take(self, buffer: bytearray) -> Message | None:
        """Take the first frame off a buffer, or return None if it is not whole yet."""
        if len(buffer) < _NUMBER.size:
            return None
        (length,) = _NUMBER.unpack_from(buffer)
        if length > MAX_FRAME:
            raise ChannelError(f"Found a frame of {length} bytes; expected at most {MAX_FRAME}.")
        if len(buffer) < _HEADER + length:
            return None
        body = bytes(buffer[_HEADER : _HEADER + length])
        if not hmac.compare_digest(bytes(buffer[_NUMBER.size : _HEADER]), self.mac(body)):
            raise ChannelError("Found a frame that was not written by the other side; the connection is closed.")
        del buffer[: _HEADER + length]
        message = json.loads(body)
        if not isinstance(message, dict):
            raise ChannelError(f"Found a message of type {type(message).__name__}; expected a JSON object.")
        return message


def _codecs(secret: bytes, *nonces: bytes) -> tuple[_Codec, _Codec]:
    """Return the codecs from worker to hub and from hub to worker."""
    return _Codec(_prove(secret, b"worker frames", *nonces)), _Codec(_prove(secret, b"hub frames", *nonces))


class Channel:
    """A worker's end.

    Parameters
    ----------
    host, port
        Where the hub listens.
    secret : bytes
        The shared secret.
    number : int
        Number of this worker.
    timeout : float
        Seconds to wait for the connection and the handshake.

    Raises
    ------
    ChannelError
        If the other side does not prove that it knows the secret.
    OSError
        If nobody listens there.
    """

    def __init__(self, host: str, port: int, secret: bytes, number: int, timeout: float = 60.0) -> None:
        self._socket = socket.create_connection((host, port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        hub_nonce, nonce, name = self._exactly(_NONCE), secrets.token_bytes(_NONCE), _NUMBER.pack(number)
        self._socket.sendall(name + nonce + _prove(secret, b"worker", hub_nonce, name, nonce))
        if not hmac.compare_digest(self._exactly(_PROOF), _prove(secret, b"hub", hub_nonce, name, nonce)):
            raise ChannelError(
                f"Found at {host}:{port} somebody who does not know the secret; expected the experiment."
            )
        self._writer, self._reader = _codecs(secret, hub_nonce, name, nonce)
        self._socket.settimeout(None)

    def send(self, message: Message) -> None:
        """Send a message.

        Raises
        ------
        ChannelError
            If it is too long.
        OSError
            If the hub is gone.
        """
        self._socket.sendall(self._writer.frame(message))

    def receive(self) -> Message:
        """Wait for a message.

        Raises
        ------
        ChannelError
            If a frame is forged, too long, or the hub is gone.
        """
        while (message := self._reader.take(self._buffer)) is None:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ChannelError("Found the connection closed by the experiment.")
            self._buffer += data
        return message

    def lost(self) -> bool:
        """Return whether the hub has closed the connection; takes nothing of what it has sent."""
        readable, _, _ = select.select([self._socket], [], [], 0)
        try:
            return bool(readable) and not self._socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = self._socket.recv(size - len(self._buffer))
            if not data:
                raise ChannelError("Found the connection refused: the experiment does not accept this worker.")
            self._buffer += data
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


@dataclass(eq=False)
class _Peer:
    """One connection of the hub."""

    socket: socket.socket
    nonce: bytes
    deadline: float
    number: int | None = None
    buffer: bytearray = field(default_factory=bytearray)
    codecs: tuple[_Codec, _Codec] | None = None


Event = tuple[int, Message | None]
"""Number of a worker, and its message; None when its connection ended. ``{"kind": "hello"}`` comes first."""


class Hub:
    """The experiment's end: many workers, one thread.

    Parameters
    ----------
    interface : str
        Address to bind to; loopback by default, so that no other machine can connect.

    Attributes
    ----------
    secret : bytes
        What workers must know.
    host, port
        Where workers connect to.
    """

    def __init__(self, interface: str = "127.0.0.1") -> None:
        self.secret = secrets.token_bytes(32)
        self._listener = socket.create_server((interface, 0), backlog=128)
        self.host, self.port = self._listener.getsockname()[:2]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._peers: dict[int, _Peer] = {}
        self._strangers: set[_Peer] = set()

    def poll(self, timeout: float) -> list[Event]:
        """Wait at most ``timeout`` seconds and return what happened."""
        events: list[Event] = []
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                self._accept()
            else:
                self._read(key.data, events)
        if self._strangers:
            now = time.monotonic()
            for peer in [stranger for stranger in self._strangers if now > stranger.deadline]:
                self._close(peer)
        return events

    def send(self, number: int, *messages: Message) -> bool:
        """Send messages to a worker; return False if it is not, or no longer, connected."""
        peer = self._peers.get(number)
        if peer is None or peer.codecs is None:
            return False
        try:
            peer.socket.sendall(b"".join(map(peer.codecs[1].frame, messages)))
        except OSError:
            return False  # its end is an event of the next poll
        return True

    def drop(self, number: int) -> None:
        """Close the connection of a worker, without an event."""
        if number in self._peers:
            self._close(self._peers[number])

    def close(self) -> None:
        """Close everything."""
        for peer in [*self._peers.values(), *self._strangers]:
            self._close(peer)
        self._selector.unregister(self._listener)
        self._listener.close()
        self._selector.close()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        if len(self._strangers) >= _STRANGERS:
            connection.close()
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(_SEND_S)
        peer = _Peer(connection, secrets.token_bytes(_NONCE), time.monotonic() + _HANDSHAKE_S)
        self._strangers.add(peer)
        self._selector.register(connection, selectors.EVENT_READ, peer)
        try:
            connection.sendall(peer.nonce)
        except OSError:
            self._close(peer)

    def _read(self, peer: _Peer, events: list[Event]) -> None:
        if peer.socket.fileno() < 0:
            return  # closed by an earlier event of the same poll
        try:
            data = peer.socket.recv(1 << 16 if peer.codecs else _GREETING - len(peer.buffer))
            peer.buffer += data
            if data and peer.codecs is None and len(peer.buffer) == _GREETING:
                self._greet(peer, events)
            while peer.codecs and peer.number is not None and (message := peer.codecs[0].take(peer.buffer)) is not None:
                events.append((peer.number, message))
        except (OSError, ChannelError, ValueError):
            data = b""
        if not data:
            known = peer.number
            self._close(peer)
            if known is not None:
                events.append((known, None))

    def _greet(self, peer: _Peer, events: list[Event]) -> None:
        name, nonce, proof = (
            bytes(peer.buffer[: _NUMBER.size]),
            bytes(peer.buffer[_NUMBER.size : _NUMBER.size + _NONCE]),
            bytes(peer.buffer[-_PROOF:]),
        )
        peer.buffer.clear()
        (number,) = _NUMBER.unpack(name)
        expected = _prove(self.secret, b"worker", peer.nonce, name, nonce)
        if not hmac.compare_digest(proof, expected) or number in self._peers:
            raise ChannelError("a stranger")
        peer.socket.sendall(_prove(self.secret, b"hub", peer.nonce, name, nonce))
        peer.codecs = _codecs(self.secret, peer.nonce, name, nonce)
        peer.number = number
        self._strangers.discard(peer)
        self._peers[number] = peer
        events.append((number, {"kind": "hello"}))

    def _close(self, peer: _Peer) -> None:
        self._strangers.discard(peer)
        if peer.number is not None:
            self._peers.pop(peer.number, None)
        if peer.socket.fileno() >= 0:
            self._selector.unregister(peer.socket)
            peer.socket.close()
