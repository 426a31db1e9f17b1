"""What runs beside the server starts and stops with its wires."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os

from starlette.concurrency import run_in_threadpool

from deepcube.embedded.platform import Platform
from deepcube.embedded.runtime.environments_service import Environments
from deepcube.embedded.runtime.executions import Executions
from deepcube.embedded.runtime.schedules import Schedules
from deepcube.embedded.runtime.serving import Serving
from deepcube.embedded.runtime.trees import Trees
from deepcube.embedded.runtime.vault import Vault

_LOOK_SECONDS = 0.05

_log = logging.getLogger(__name__)


class RuntimeWire:
    """Takes over what an earlier server left behind, at the start of this one.

    Parameters
    ----------
    platform : Platform
        Owns the services; it also stops them.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._resume: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the services."""
        for service in (Trees, Vault, Environments, Serving, Executions):
            await run_in_threadpool(self._platform.service, service)
        self._resume = asyncio.create_task(self._resume_when_serving())

    async def _resume_when_serving(self) -> None:
        """Start deployments, jobs and schedules once the server answers, as their scripts may log in to it."""
        while (self._platform.home.running_server() or {}).get("pid") != os.getpid():
            await asyncio.sleep(_LOOK_SECONDS)
        for resume in (
            self._platform.service(Serving).resume,
            self._platform.service(Executions).resume,
            lambda: self._platform.service(Schedules),
        ):
            try:
                await run_in_threadpool(resume)
            except Exception:
                _log.exception("cannot take over what an earlier server left behind")

    async def stop(self) -> None:
        """Stop waiting; the platform stops its services, newest first."""
        if self._resume is not None:
            self._resume.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._resume
