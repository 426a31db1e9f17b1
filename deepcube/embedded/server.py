"""One process that serves every wire of the embedded Hopsworks."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import logging
import os
import secrets
import signal
import socket
import sqlite3
import sys
from pathlib import Path
from typing import Protocol

from deepcube.embedded.app import build_app
from deepcube.embedded.catalog import Catalog, iso_time, now_ms
from deepcube.embedded.certificates import Certificates
from deepcube.embedded.errors import EmbeddedError, PortTakenError, StartError
from deepcube.embedded.files import Files
from deepcube.embedded.home import Home, HomeLock, Settings, write_atomically
from deepcube.embedded.keys import ApiKeys
from deepcube.embedded.platform import Platform
from deepcube.embedded.wires import WIRES
from deepcube.embedded.wires.http import HttpWire

DEFAULT_PORT = 8182
_MYSQL_PORT = 3306  # fixed by the client
_LISTENING_PORTS = range(20_000, 32_768)  # Linux gives outgoing connections 32768 and above, others 49152 and above

_log = logging.getLogger(__name__)


class Wire(Protocol):
    """A protocol that the server speaks."""

    async def start(self) -> None:
        """Listen; return once clients can connect."""

    async def stop(self) -> None:
        """Stop listening and finish what is under way."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free now, below those that systems hand out to outgoing connections.

    Were it one of those, any connection that somebody opens before the server listens, or between two starts, could
    take it away.
    """
    while True:
        port = secrets.choice(_LISTENING_PORTS)
        if port_is_free(port, host):
            return port


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether one can listen on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose_ports(settings: Settings, home: Home, rest_port: int | None) -> None:
    """Choose the port of each wire: the one used last, if it is free, so that clients find a restarted server.

    Parameters
    ----------
    settings : Settings
        Changed in place.
    home : Home
        Its path chooses the loopback address of the MySQL wire, so that several servers live side by side.
    rest_port : int or None
        Port asked for; 0 for any; None for the one used last, or the default.

    Raises
    ------
    StartError
        If the REST port is taken.
    """
    wanted = rest_port if rest_port is not None else settings.ports.get("rest", DEFAULT_PORT)
    if wanted and not port_is_free(wanted):
        raise StartError(
            f"port {wanted} is in use{_holder(wanted)}; stop that program or name another port with --port "
            "(0 chooses a free one)"
        )
    settings.ports["rest"] = wanted or free_port()
    for wire in ("flight", "online_rest", "broker"):
        last = settings.ports.get(wire)
        settings.ports[wire] = last if last and port_is_free(last) else free_port()
    if not settings.mysql_host or not port_is_free(_MYSQL_PORT, settings.mysql_host):
        settings.mysql_host = _mysql_host(home)


def _mysql_host(home: Home) -> str:
    """Return a loopback address of which port 3306 is free; Linux has 127.0.0.0/8, other systems 127.0.0.1 only."""
    digest = hashlib.sha256(str(home.root).encode()).digest()
    candidates = [f"127.{digest[i]}.{digest[i + 1]}.{max(1, digest[i + 2] % 255)}" for i in range(0, 24, 3)]
    for host in (*candidates, "127.0.0.1"):
        with contextlib.suppress(OSError):
            if port_is_free(_MYSQL_PORT, host):
                return host
    raise StartError(
        "port 3306, which the hopsworks client fixes for the online store, is in use on every loopback address tried; "
        "stop the MySQL server that holds it"
    )


def _holder(port: int) -> str:
    import psutil

    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                name = psutil.Process(connection.pid).name() if connection.pid else "another user's program"
                return f" by {name} (pid {connection.pid})" if connection.pid else f" by {name}"
    return ""


def open_platform(home: Home, rest_port: int | None = None, project: str | None = None) -> Platform:
    """Open (or make) the platform in a home folder that is locked for this process.

    Parameters
    ----------
    home : Home
        A prepared home folder.
    rest_port : int, optional
        See :func:`choose_ports`.
    project : str, optional
        Name of the default project, if it is not to be the one used last.
    """
    settings = Settings.load(home)
    if project is not None:
        settings.project = project
    choose_ports(settings, home, rest_port)
    catalog = Catalog(home.catalog)  # refuses what a newer version wrote, before anything is changed
    settings.save(home)
    files, keys = Files(home.files), ApiKeys(catalog)
    certificates = Certificates(home.certificates, ["127.0.0.1", settings.mysql_host])
    platform = Platform(home, settings, catalog, files, keys, certificates)
    platform.create_project(settings.project)
    keys.owner_key(home)
    return platform


async def serve(platform: Platform) -> None:
    """Serve every wire until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    wires: list[Wire] = [make(platform) for make in WIRES]
    wires.append(HttpWire(platform, build_app(platform), platform.settings.ports["rest"]))
    started: list[Wire] = []
    try:
        for wire in wires:
            await _start(wire)
            started.append(wire)
        _announce(platform)
        await stop.wait()
    finally:
        with contextlib.suppress(OSError):  # a stale one is not believed
            platform.home.server_file.unlink(missing_ok=True)
        for wire in reversed(started):
            await wire.stop()


async def _start(wire: Wire) -> None:
    try:
        await wire.start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(f"cannot listen: {error}") from error
        raise


def _announce(platform: Platform) -> None:
    content = {
        "pid": os.getpid(),
        "started": iso_time(now_ms()),
        "url": f"https://127.0.0.1:{platform.settings.ports['rest']}",
        "project": platform.settings.project,
        "ports": {**platform.settings.ports, "mysql": _MYSQL_PORT},
        "mysql_host": platform.settings.mysql_host,
    }
    write_atomically(platform.home.server_file, json.dumps(content, indent=1), mode=0o600)
    _log.info("serving %s on %s", platform.home.root, content["url"])


def run(root: Path, rest_port: int | None = None, project: str | None = None) -> int:
    """Serve a home folder in this process until it is told to stop.

    Returns
    -------
    int
        Exit status: 0 after a stop, 1 if the server could not start (the reason is on stderr), that of
        :class:`PortTakenError` if it only needs another try.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    os.umask(0o077)  # what this process and its children write is for this user's eyes only
    home = Home(root)
    try:
        home.prepare()
        lock = HomeLock(home)
        try:
            home.sweep()
            with contextlib.closing(open_platform(home, rest_port, project)) as platform:
                asyncio.run(serve(platform))
        finally:
            lock.release()
    except EmbeddedError as error:
        print(f"error: {error}", file=sys.stderr)
        return PortTakenError.EXIT_STATUS if isinstance(error, PortTakenError) else 1
    except (OSError, sqlite3.Error) as error:
        print(f"error: cannot use the home folder {root}: {error}; check free space and permissions", file=sys.stderr)
        return 1
    return 0
