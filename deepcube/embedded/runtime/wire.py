"""What runs beside the server starts and stops with its wires."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool

from deepcube.embedded.platform import Platform
from deepcube.embedded.runtime.executions import Executions
from deepcube.embedded.runtime.trees import Trees


class RuntimeWire:
    """Takes over what an earlier server left behind, at the start of this one.

    Parameters
    ----------
    platform : Platform
        Owns the services; it also stops them.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def start(self) -> None:
        """Start the services."""
        for service in (Trees, Executions):
            await run_in_threadpool(self._platform.service, service)

    async def stop(self) -> None:
        """Nothing to do: the platform stops its services, newest first."""
