"""What the parent of the servers imports, and the function that is a server."""

from __future__ import annotations

from pathlib import Path

import anyio._backends._asyncio
import numpy.random
import pandas
import pyarrow.pandas_compat
import uvicorn.protocols.http.h11_impl

from deepcube.embedded import api, server, wires

# The server imports some of these at first use; a forked one has them at once.
LOADED = (anyio._backends._asyncio, api, numpy.random, pandas, pyarrow.pandas_compat, uvicorn, wires)


def serve(home: str) -> int:
    """Serve a home folder until told to stop: on a free port, and later on the same one."""
    first = not (Path(home) / "settings.json").exists()
    return server.run(Path(home), 0 if first else None)
