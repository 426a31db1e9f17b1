"""HTTP over TLS on the loopback interface, for the wires that speak it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import uvicorn

from deepcube.embedded.errors import PortTakenError
from deepcube.embedded.platform import Platform


class HttpWire:
    """An ASGI application over TLS.

    Parameters
    ----------
    platform : Platform
        Gives certificates.
    app : ASGI application
        What answers.
    port : int
        Port on the loopback interface.
    """

    def __init__(self, platform: Platform, app: Callable[..., object], port: int) -> None:
        certificates = platform.certificates
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            ssl_keyfile=str(certificates.server_key),
            ssl_certfile=str(certificates.server),
            log_config=None,
            access_log=False,
            timeout_keep_alive=300,  # the client keeps connections and does not retry a POST on a closed one
            timeout_graceful_shutdown=5,
            lifespan="off",
        )
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen."""
        self._task = asyncio.create_task(self._serve())
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise PortTakenError(f"cannot listen on port {self._server.config.port}")
            await asyncio.sleep(0.01)

    async def _serve(self) -> None:
        with contextlib.suppress(SystemExit):  # uvicorn exits when it cannot bind
            await self._server._serve()

    async def stop(self) -> None:
        """Finish open requests, then stop; connections that only wait for another request do not hold it up."""
        self._server.should_exit = True
        while self._server.server_state.tasks:
            await asyncio.sleep(0.01)
        self._server.force_exit = True
        if self._task is not None:
            await self._task
