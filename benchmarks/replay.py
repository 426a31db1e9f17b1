"""What the hopsworks client alone takes for a feature vector: its database answers at once with recorded bytes."""

from __future__ import annotations

import contextlib
import importlib
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

_MYSQL = 3306
_RECORDED_AFTER = 20  # statements of a connection, when all that a client asks first is over


@contextlib.contextmanager
def replayed(host: str) -> Iterator[None]:
    """Answer, for a block, this process's statements of the online store from what the first ones were answered.

    Every connection goes through a thread of this process that passes on what both sides say; after some statements it
    sends the last answer again and asks the server no more: ask for the same rows every time.

    Parameters
    ----------
    host : str
        Address of the MySQL wire.
    """
    driver: Any = importlib.import_module("aiomysql.connection")
    open_connection = driver._open_connection
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        threading.Thread(target=_serve, args=(listener, host), daemon=True).start()

        async def redirected(*_: object, **options: object) -> object:
            return await open_connection(**{**options, "host": "127.0.0.1", "port": port})

        driver._open_connection = redirected
        try:
            yield
        finally:
            driver._open_connection = open_connection


def _serve(listener: socket.socket, host: str) -> None:
    with contextlib.suppress(OSError):  # the block is over
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_pass_on, args=(client, host), daemon=True).start()


def _pass_on(client: socket.socket, host: str) -> None:
    with contextlib.suppress(OSError), client, socket.create_connection((host, _MYSQL)) as server:
        for side in (client, server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        statements, answer = 0, b""
        while statements < _RECORDED_AFTER:
            ready, _, _ = select.select([client, server], [], [])
            if server in ready:
                part = server.recv(1 << 20)
                answer += part
                client.sendall(part)
            if client in ready:
                asked = client.recv(1 << 20)
                statements += b"WHERE" in asked
                if statements == _RECORDED_AFTER:
                    break  # the answer before this one is whole: its reader asks again
                answer = b""
                server.sendall(asked)
        while True:
            while int.from_bytes(asked[:3], "little") + 4 > len(asked):
                asked += _some(client)
            client.sendall(answer)
            asked = _some(client)


def _some(client: socket.socket) -> bytes:
    if not (content := client.recv(1 << 20)):
        raise ConnectionError("the client is gone")
    return content
