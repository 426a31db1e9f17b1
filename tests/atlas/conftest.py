"""An atlas of small cubes, served while the tests of a module run."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import atlas_cubes
import pytest
import uvicorn

from deepcube.atlas import Atlas, AtlasConfig, Sessions, build_app

KEY = "key-of-the-tests"


@dataclass
class Served:
    """An atlas that answers at an address."""

    url: str
    sessions: Sessions
    atlas: Atlas

    @property
    def headers(self) -> dict[str, str]:
        """What a program sends."""
        return {"authorization": f"Bearer {KEY}"}

    def entrance(self) -> str:
        """Return an address that signs in."""
        return f"{self.url}/enter?token={self.sessions.ticket()}"


@contextmanager
def serve(atlas: Atlas, **options: Any) -> Iterator[Served]:
    """Serve an atlas from a thread."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port, sessions = listener.getsockname()[1], Sessions(KEY)
    app = build_app(AtlasConfig(atlas, sessions, port, **options))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield Served(f"http://127.0.0.1:{port}", sessions, atlas)
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture(scope="session")
def cubes(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Write the cubes of the tests."""
    folder = tmp_path_factory.mktemp("cubes")
    return [atlas_cubes.small(folder), atlas_cubes.rotated(folder), atlas_cubes.hostile(folder)]


@pytest.fixture(scope="module")
def served(cubes: list[Any]) -> Iterator[Served]:
    """Serve the cubes."""
    with serve(Atlas(cubes)) as running:
        yield running


@pytest.fixture(scope="session")
def screenshots() -> Path | None:
    """Folder to keep pictures of the page in, if one is named."""
    named = os.environ.get("DEEPCUBE_SCREENSHOTS")
    if named is None:
        return None
    Path(named).mkdir(parents=True, exist_ok=True)
    return Path(named)
