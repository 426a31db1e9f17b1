"""DuckDB, shut off from everything but the projects' files and the tables it is handed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import psutil

from deepcube.embedded.errors import QUERY_FAILED, bad_request
from deepcube.embedded.platform import Platform
from deepcube.embedded.query import literals

BATCH_ROWS = 65_536
_MEMORY_SHARE = 0.4


class QueryEngine:
    """One database in memory for all queries of a server, so that they share one bound on memory.

    It reads no files but those of the projects, loads no extension and keeps its settings; what does not fit is
    spilled into the home folder. Tables that one query is handed are not seen by another.

    Parameters
    ----------
    platform : Platform
        The platform.
    """

    def __init__(self, platform: Platform) -> None:
        self._folder = platform.home.run / "spill"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        limit = int(psutil.virtual_memory().total * _MEMORY_SHARE)
        self._database = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{limit // 2**20}MiB",
                "temp_directory": str(self._folder),
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "allow_community_extensions": "false",
                "python_enable_replacements": "false",
            },
        )
        self._database.execute("SET parquet_metadata_cache = true")
        self._database.execute(f"SET allowed_directories = [{literals.offline(str(platform.files.root))}]")
        self._database.execute("SET enable_external_access = false")
        self._database.execute("SET lock_configuration = true")

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of its own."""
        return self._database.cursor()

    def close(self) -> None:
        """End what is under way and free the memory."""
        self._database.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def connect(platform: Platform) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection for one query.

    Parameters
    ----------
    platform : Platform
        The platform.

    Raises
    ------
    ApiError
        400 if a query fails; the message is DuckDB's.
    """
    cursor = platform.service(QueryEngine).cursor()
    try:
        yield cursor
    except duckdb.Error as error:
        raise bad_request(f"the query cannot be run: {error}", QUERY_FAILED) from error
    finally:
        cursor.close()
