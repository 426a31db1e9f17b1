"""What the parent of the servers imports, and the function that is a server."""

from __future__ import annotations

from pathlib import Path

from deepcube.embedded import api, server, wires

LOADED = (api, wires)


def serve(home: str) -> int:
    """Serve a home folder until told to stop: on a free port, and later on the same one."""
    first = not (Path(home) / "settings.json").exists()
    return server.run(Path(home), 0 if first else None)
