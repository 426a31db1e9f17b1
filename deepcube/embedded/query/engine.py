"""DuckDB, shut off from everything but the tables it is handed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import psutil

from deepcube.embedded.errors import QUERY_FAILED, bad_request
from deepcube.embedded.platform import Platform

BATCH_ROWS = 65_536
_MEMORY_SHARE = 0.4


@contextmanager
def connect(platform: Platform) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in memory that reads no file, loads no extension and spills into the home folder.

    Parameters
    ----------
    platform : Platform
        The platform.

    Raises
    ------
    ApiError
        400 if a query fails; the message is DuckDB's.
    """
    folder = platform.home.run / "spill"
    folder.mkdir(exist_ok=True)
    limit = int(psutil.virtual_memory().total * _MEMORY_SHARE)
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{limit // 2**20}MiB",
            "temp_directory": str(folder),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "python_enable_replacements": "false",
        },
    )
    try:
        connection.execute("SET enable_external_access = false")
        yield connection
    except duckdb.Error as error:
        raise bad_request(f"the query cannot be run: {error}", QUERY_FAILED) from error
    finally:
        connection.close()


def lock(connection: duckdb.DuckDBPyConnection) -> None:
    """Keep what runs from here on from changing the settings."""
    connection.execute("SET lock_configuration = true")
