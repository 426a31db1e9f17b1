"""The MySQL wire: SQL reads of the online store, as the client's serving and its ``read(online=True)`` ask for them.

A client proves that it knows its project's password (``caching_sha2_password``; the password is never sent) and then
sees that project's tables, read-only. Look-ups by key are answered on the spot; anything else runs in a worker thread
and is sent row by row as fast as the client takes it.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
import re
import secrets
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from deepcube.embedded.online import access
from deepcube.embedded.online.errors import ProtocolError, QueryError
from deepcube.embedded.online.reader import Plan, Reader, Readers
from deepcube.embedded.online.statements import parse
from deepcube.embedded.online.store import OnlineStore
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.wires import mysql_protocol as mysql
from deepcube.embedded.wires.mysql_rows import pack

PORT = 3306  # fixed by the client
MAX_CONNECTIONS = 512
MAX_PACKET_BEFORE_LOGIN = 4096
LOGIN_SECONDS = 20.0
_THREADS = 4
_IDLE_SECONDS = 2.0  # without a question, before work that would slow answers
_CHUNK_ROWS = 2000
_MAX_ROWS_AT_ONCE = 20_000

_VARIABLES = {
    "autocommit": "1",
    "character_set_client": "utf8mb4",
    "collation_connection": "utf8mb4_bin",
    "lower_case_table_names": "0",
    "max_allowed_packet": str(mysql.MAX_PACKET),
    "sql_mode": "",
    "time_zone": "+00:00",
    "transaction_isolation": "READ-COMMITTED",
    "tx_isolation": "READ-COMMITTED",
    "version": mysql.SERVER_VERSION.decode(),
    "version_comment": "embedded",
}
_NOTHING_TO_DO = re.compile(r"(SET|COMMIT|ROLLBACK|BEGIN|START\s+TRANSACTION|USE)\b", re.IGNORECASE)
_SESSION = re.compile(
    r"SELECT\s+((?:@@[\w.]+|DATABASE\(\)|SCHEMA\(\)|VERSION\(\)|CONNECTION_ID\(\)|USER\(\)|CURRENT_USER\(\)|[\s,])+)$",
    re.IGNORECASE,
)
_SHOW_VARIABLES = re.compile(r"SHOW\s+(?:SESSION\s+|GLOBAL\s+)?VARIABLES(?:\s+LIKE\s+'([^']*)')?\s*$", re.IGNORECASE)
_SHOW_TABLES = re.compile(r"SHOW\s+(?:FULL\s+)?TABLES\b[^;]*$", re.IGNORECASE)
_ABOUT_TABLE = re.compile(r"(DESCRIBE|DESC|SHOW)\b", re.IGNORECASE)

_log = logging.getLogger(__name__)


class MySqlWire:
    """Listens for MySQL clients.

    Parameters
    ----------
    platform : Platform
        Shared state; its settings name the address.
    """

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.store = platform.service(OnlineStore)
        self.connections: set[_Connection] = set()
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mysql")
        self.numbers = itertools.count(1)
        self.asked = 0
        self._warm = False
        self._at_once: dict[int, Reader] = {}
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), self.platform.settings.mysql_host, PORT, backlog=MAX_CONNECTIONS
        )

    async def stop(self) -> None:
        """Close every connection."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close()
        self.store.stop_reading()
        await asyncio.get_running_loop().run_in_executor(None, self.threads.shutdown)
        for reader in self._at_once.values():
            reader.close()

    def warm_up(self) -> None:
        """Import what Arrow wants at its first array, in a worker thread, once nobody has asked for some seconds.

        The import takes turns with the answers: beside them it would slow the first thousand. Many rows that are
        asked for earlier import it themselves.
        """
        if self._warm:
            return
        self._warm = True
        loop, asked = asyncio.get_running_loop(), self.asked

        def when_idle() -> None:
            nonlocal asked
            if self.asked != asked:
                asked = self.asked
                loop.call_later(_IDLE_SECONDS, when_idle)
            elif self._server is not None and self._server.is_serving():
                self.threads.submit(importlib.import_module, "pandas")

        loop.call_later(_IDLE_SECONDS, when_idle)

    def readers(self, project: Project) -> Readers:
        """Return the readers of a project, for worker threads."""
        return self.store.readers(project)

    def reader(self, project: Project) -> Reader:
        """Return the reader of a project that is used where answers are given on the spot."""
        reader = self._at_once.get(project.id)
        if reader is None:
            reader = self._at_once[project.id] = self.readers(project).take()
        return reader


class _Connection(asyncio.Protocol):
    """One client: greeting, login, then a command at a time."""

    def __init__(self, wire: MySqlWire) -> None:
        self._wire = wire
        self._buffer = bytearray()
        self._nonce = bytes(byte % 127 + 1 for byte in secrets.token_bytes(20))
        self._login: mysql.Login | None = None
        self._project: Project | None = None
        self._schema = b""
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._wire.connections) >= MAX_CONNECTIONS:
            self._send(0, [mysql.error(mysql.TOO_MANY_CONNECTIONS, "Too many connections", "08004")])
            transport.close()
            return
        self._wire.connections.add(self)
        self._deadline = asyncio.get_running_loop().call_later(LOGIN_SECONDS, self.close)
        self._send(0, [mysql.greeting(next(self._wire.numbers), self._nonce)])

    def connection_lost(self, error: Exception | None) -> None:
        self._wire.connections.discard(self)
        self._writable.set()
        if self._task is not None:
            self._task.cancel()
        if hasattr(self, "_deadline"):
            self._deadline.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def close(self) -> None:
        """Close the connection."""
        self._transport.abort()

    def _send(self, sequence: int, payloads: Sequence[bytes]) -> int:
        content, sequence = mysql.packets(sequence, payloads)
        self._transport.write(content)
        return sequence

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            while self._task is None and not self._transport.is_closing():
                packet = self._next_packet()
                if packet is None:
                    return
                self._handle(*packet)
        except ProtocolError as error:
            _log.info("mysql: connection closed: %s", error)
            self.close()
        except Exception:
            _log.exception("mysql: connection closed")
            self.close()

    def _next_packet(self) -> tuple[int, bytes] | None:
        """Take a whole packet out of the buffer; return its sequence number and payload."""
        buffer = self._buffer
        if len(buffer) < 4:
            return None
        length = buffer[0] | buffer[1] << 8 | buffer[2] << 16
        if length >= (mysql.MAX_PACKET if self._project is not None else MAX_PACKET_BEFORE_LOGIN):
            raise ProtocolError(f"packet of {length} bytes; ask in smaller parts")
        if len(buffer) < length + 4:
            return None
        packet = buffer[3], bytes(buffer[4 : length + 4])
        del buffer[: length + 4]
        return packet

    def _handle(self, sequence: int, payload: bytes) -> None:
        if self._project is None:
            self._log_in(sequence, payload)
        elif not payload or payload[0] == mysql.QUIT:
            self._transport.close()
        elif payload[0] == mysql.QUERY:
            self._query(sequence + 1, payload[1:].decode("utf-8", "surrogateescape").strip())
        elif payload[0] == mysql.INIT_DB:
            self._use(sequence + 1, payload[1:].decode(errors="replace"))
        elif payload[0] in (mysql.PING, mysql.RESET_CONNECTION):
            self._send(sequence + 1, [mysql.OK])
        else:
            self._send(sequence + 1, [mysql.error(mysql.UNKNOWN_COMMAND, "command is not served here", "08S01")])

    def _log_in(self, sequence: int, payload: bytes) -> None:
        if self._login is None:
            self._login = mysql.Login.parse(payload)
            if self._login.plugin != mysql.PLUGIN:
                self._send(sequence + 1, [mysql.switch_method(self._nonce)])
                return
            scramble = self._login.scramble
        else:
            scramble = payload
        project = access.project_of(self._wire.platform, self._login.user)
        password = secrets.token_hex()
        if project is not None:
            password = access.database_password(self._wire.platform, project)
        if not mysql.proves(password, self._nonce, scramble) or project is None:
            message = f"Access denied for user '{self._login.user[:80]}'"
            self._send(sequence + 1, [mysql.error(mysql.ACCESS_DENIED, message, "28000")])
            self._transport.close()
            return
        if self._login.database not in ("", project.name):
            self._send(sequence + 1, [mysql.error(mysql.BAD_DATABASE, "Unknown database", "42000")])
            self._transport.close()
            return
        self._deadline.cancel()
        self._wire.warm_up()
        self._project, self._schema = project, project.name.encode()
        self._send(sequence + 1, [mysql.LOGIN_DONE, mysql.OK])

    def _use(self, sequence: int, database: str) -> None:
        assert self._project is not None
        known = database == self._project.name
        self._send(sequence, [mysql.OK if known else mysql.error(mysql.BAD_DATABASE, "Unknown database", "42000")])

    def _query(self, sequence: int, sql: str) -> None:
        assert self._project is not None
        self._wire.asked += 1
        try:
            if sql[:7].upper() == "SELECT " and "@@" not in sql and "()" not in sql[:40]:
                self._select(sequence, sql)
            elif _NOTHING_TO_DO.match(sql):
                self._send(sequence, [mysql.OK])
            elif (answer := self._about_session(sql)) is not None:
                self._send_result(sequence, *answer)
            elif _ABOUT_TABLE.match(sql):
                self._send(sequence, [mysql.error(mysql.NO_SUCH_TABLE, "Table doesn't exist", "42S02")])
            else:
                self._select(sequence, sql)
        except QueryError as error:
            self._send(sequence, [_query_error(error)])

    def _about_session(self, sql: str) -> tuple[list[str], list[list[Any]]] | None:
        """Answer a question about the connection or the server; None if it is none."""
        assert self._project is not None
        if session := _SESSION.match(sql):
            names = [name.strip() for name in session[1].split(",") if name.strip()]
            return names, [[self._session_value(name) for name in names]]
        if variables := _SHOW_VARIABLES.match(sql):
            wanted = variables[1] or "%"
            found = {k: v for k, v in _VARIABLES.items() if wanted == "%" or k == wanted.lower()}
            return ["Variable_name", "Value"], [list(pair) for pair in found.items()]
        if _SHOW_TABLES.match(sql):
            tables = self._wire.reader(self._project).tables()
            return [f"Tables_in_{self._project.name}", "Table_type"], [[table, "BASE TABLE"] for table in tables]
        return None

    def _session_value(self, name: str) -> str | None:
        assert self._project is not None and self._login is not None
        plain = re.sub(r"^@@(session\.|global\.)?", "", name.lower())
        answers = {
            "database()": self._project.name,
            "schema()": self._project.name,
            "version()": _VARIABLES["version"],
            "connection_id()": "1",
            "user()": self._login.user,
            "current_user()": self._login.user,
        }
        return answers.get(plain, _VARIABLES.get(plain))

    def _send_result(self, sequence: int, names: list[str], rows: list[list[Any]]) -> None:
        head = mysql.result_head([mysql.column(name, "VARCHAR", self._schema) for name in names])
        self._send(sequence, [*head, *map(mysql.row, rows), mysql.result_end()])

    def _select(self, sequence: int, sql: str) -> None:
        assert self._project is not None
        statement = parse(sql)
        reader = self._wire.reader(self._project)
        plan = reader.plan(statement.text)
        if plan.by_key:
            try:
                rows = reader.rows(plan, statement.parameters).fetchmany(_MAX_ROWS_AT_ONCE)
            except sqlite3.Error as error:
                raise QueryError(str(error)) from None
            if len(rows) < _MAX_ROWS_AT_ONCE:
                head, sequence = _head(plan, rows, self._schema, sequence)
                content, sequence = pack(sequence, rows, plan.declared)
                end, _ = mysql.packets(sequence, [mysql.result_end()])
                self._transport.write(head + content + end)
                return
        self._transport.pause_reading()
        work = self._stream(sequence, plan.text, statement.parameters)
        self._task = asyncio.get_running_loop().create_task(work)

    async def _stream(self, sequence: int, text: str, parameters: list[Any]) -> None:
        """Run a statement in a worker thread and send its rows as fast as the client takes them."""
        assert self._project is not None
        readers, loop = self._wire.readers(self._project), asyncio.get_running_loop()
        reader = readers.take()
        try:
            plan, cursor = await loop.run_in_executor(self._wire.threads, _run, reader, text, parameters)
            head = b""
            while True:
                rows = await loop.run_in_executor(self._wire.threads, cursor.fetchmany, _CHUNK_ROWS)
                if not head:
                    head, sequence = _head(plan, rows, self._schema, sequence)
                    self._transport.write(head)
                if not rows:
                    break
                content, sequence = await loop.run_in_executor(self._wire.threads, pack, sequence, rows, plan.declared)
                self._transport.write(content)
                await self._writable.wait()
            self._send(sequence, [mysql.result_end()])
        except (QueryError, sqlite3.Error) as error:
            self._send(sequence, [_query_error(error)])
        except Exception:
            _log.exception("mysql: connection closed")
            self.close()
        except asyncio.CancelledError:  # the client went away; a thread may still be at work with the reader
            readers.abandon(reader)
            raise
        readers.give_back(reader)
        self._task = None
        if not self._transport.is_closing():
            self._transport.resume_reading()
            self.data_received(b"")


def _run(reader: Reader, text: str, parameters: list[Any]) -> tuple[Plan, sqlite3.Cursor]:
    plan = reader.plan(text)
    return plan, reader.rows(plan, parameters)


def _head(plan: Plan, rows: list[tuple[Any, ...]], schema: bytes, sequence: int) -> tuple[bytes, int]:
    """Describe the columns of a result; the type of an expression is that of its first value that is not null."""
    columns = plan.columns
    if not all(plan.declared):
        columns = tuple(
            (name, declared or mysql.type_of_value(next((row[i] for row in rows if row[i] is not None), None)))
            for i, (name, declared) in enumerate(columns)
        )
    return _described(columns, schema, sequence)


@lru_cache(512)
def _described(columns: tuple[tuple[str, str], ...], schema: bytes, sequence: int) -> tuple[bytes, int]:
    return mysql.packets(
        sequence, mysql.result_head([mysql.column(name, declared, schema) for name, declared in columns])
    )


def _query_error(error: Exception) -> bytes:
    message = str(error)
    if message.startswith("no such table"):
        return mysql.error(mysql.NO_SUCH_TABLE, message, "42S02")
    if message == "interrupted":
        return mysql.error(mysql.INTERRUPTED, "the statement ran for too long; ask for less", "70100")
    return mysql.error(mysql.SYNTAX_ERROR, message, "42000")
