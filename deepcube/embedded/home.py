"""The home folder: where the embedded platform keeps everything, and the lock that makes it one server's own.

::

    <home>/
      lock            held (flock) by the running server
      server.json     how to reach the running server; removed when it stops
      settings.json   ports and passwords chosen at the first start
      api_key         the owner's API key (mode 0600); the catalog holds only its hash
      catalog.db      metadata (SQLite)
      online/         online feature store, one SQLite file per project
      certs/          the server's own certificate authority
      hopsfs/         the project files; Delta tables live here
      run/            sockets and state of running jobs and deployments
      logs/           log of the server
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import secrets
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepcube.embedded.errors import StartError, StorageError

_LOCK_SECONDS = 0.5
_TEMPORARY = ".part"  # ends the names of files that are being written


def default_home() -> Path:
    """Return the home folder used when none is named: ``$DEEPCUBE_HOME`` or ``~/.deepcube``."""
    return Path(os.environ.get("DEEPCUBE_HOME", Path.home() / ".deepcube")).expanduser().resolve()


def write_atomically(path: Path, content: bytes | str, mode: int = 0o644) -> None:
    """Replace a file so that a reader, or a crash, sees the old content or the new, never a mix.

    Parameters
    ----------
    path : Path
        File to replace; its folder must exist.
    content : bytes or str
        New content; text is encoded as UTF-8.
    mode : int
        Permission bits of the new file.

    Raises
    ------
    StorageError
        If the folder cannot be written (read-only, full disk).
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_TEMPORARY)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                os.fchmod(stream.fileno(), mode)
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; check free space and permissions") from error


def sync_folder(folder: Path) -> None:
    """Make a rename or removal inside a folder durable (fsync of the folder itself)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Home:
    """Paths inside one home folder.

    Parameters
    ----------
    root : Path
        The home folder; made, with its sub-folders, by :meth:`prepare`.
    """

    root: Path

    @property
    def catalog(self) -> Path:
        """Metadata database."""
        return self.root / "catalog.db"

    @property
    def online(self) -> Path:
        """Folder of the online feature store."""
        return self.root / "online"

    @property
    def certificates(self) -> Path:
        """Folder of the certificate authority."""
        return self.root / "certs"

    @property
    def files(self) -> Path:
        """Root of the project file system (what Hopsworks calls HopsFS)."""
        return self.root / "hopsfs"

    @property
    def run(self) -> Path:
        """Folder of sockets and of the state of running processes."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """Folder of the server's log."""
        return self.root / "logs"

    @property
    def server_log(self) -> Path:
        """Log file of the background server."""
        return self.logs / "server.log"

    @property
    def server_file(self) -> Path:
        """How to reach the running server (JSON)."""
        return self.root / "server.json"

    @property
    def settings_file(self) -> Path:
        """Ports and passwords chosen at the first start (JSON, mode 0600)."""
        return self.root / "settings.json"

    @property
    def api_key_file(self) -> Path:
        """The owner's API key (mode 0600)."""
        return self.root / "api_key"

    def prepare(self) -> None:
        """Make the folders, for this user's eyes only; a home folder that exists keeps its own permissions.

        Raises
        ------
        StorageError
            If the home folder cannot be made or written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (self.online, self.certificates, self.files, self.run, self.logs):
                folder.mkdir(exist_ok=True, mode=0o700)
                if folder.stat().st_mode & 0o077:
                    folder.chmod(0o700)
        except OSError as error:
            raise StorageError(
                f"cannot make the home folder {self.root}: {error.strerror}; name another one with --home"
            ) from error

    def sweep(self) -> None:
        """Remove what writes that were killed half-way left; only the holder of the lock may.

        Project files are not touched: what lies there belongs to the users.
        """
        for folder in (self.root, self.certificates, self.online, self.logs):
            for stale in folder.glob(f".*{_TEMPORARY}"):
                stale.unlink(missing_ok=True)
        for stale in self.run.rglob(f".*{_TEMPORARY}"):
            stale.unlink(missing_ok=True)

    def running_server(self) -> dict[str, Any] | None:
        """Return what the running server says of itself, or None if none runs.

        The lock decides, not the file: a ``server.json`` left by a killed server is stale and ignored.
        """
        if not self.server_file.exists() or not self.is_locked():
            return None
        try:
            content: dict[str, Any] = json.loads(self.server_file.read_text())
        except (OSError, ValueError):
            return None
        return content

    def is_locked(self) -> bool:
        """Tell whether a server holds this home folder."""
        try:
            with (self.root / "lock").open("r") as stream:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


class HomeLock:
    """The exclusive right to serve a home folder, for as long as the process lives.

    The kernel frees the lock when the process ends, however it ends, so there is no stale lock.

    Raises
    ------
    StartError
        If another server holds the folder.
    """

    def __init__(self, home: Home) -> None:
        descriptor = os.open(home.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        if not _locked(descriptor):
            os.close(descriptor)
            holder = home.running_server() or {}
            pid = f" (pid {holder['pid']})" if "pid" in holder else ""
            raise StartError(
                f"another embedded Hopsworks{pid} already serves {home.root}; use it, stop it with "
                "`deepcube down`, or name another folder with --home"
            )
        home.server_file.unlink(missing_ok=True)  # of a server that was killed; this one's comes when it serves
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the folder back."""
        os.close(self._descriptor)


def _locked(descriptor: int) -> bool:
    """Lock a file; False if somebody holds it. Who only asks whether it is held, holds it for an instant as well."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _secret() -> str:
    return secrets.token_urlsafe(24)


@dataclass
class Settings:
    """Choices of the first start, kept so that a restarted server is found where it was.

    Attributes
    ----------
    project : str
        Name of the default project.
    ports : dict of str to int
        Port of each wire: ``rest``, ``flight``, ``online_rest``, ``broker``.
    mysql_host : str
        Loopback address of the MySQL wire, whose port the client fixes at 3306.
    online_password : str
        Password of the MySQL wire.
    broker_password : str
        Password of the Kafka wire.
    """

    project: str = "deepcube"
    ports: dict[str, int] = field(default_factory=dict)
    mysql_host: str = ""
    online_password: str = field(default_factory=_secret)
    broker_password: str = field(default_factory=_secret)

    @classmethod
    def load(cls, home: Home) -> Settings:
        """Read the settings of a home folder, or make new ones.

        Raises
        ------
        StorageError
            If the file is damaged.
        """
        if not home.settings_file.exists():
            return cls()
        try:
            content: Mapping[str, Any] = json.loads(home.settings_file.read_text())
            settings = cls(**content)
            settings._check()
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(
                f"{home.settings_file} cannot be read ({error}); restore it, or remove it to choose new ports"
            ) from error
        return settings

    def _check(self) -> None:
        """Raise ValueError for a value that no server has written."""
        for name in ("project", "online_password", "broker_password"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ValueError(f"{name} must be a text")
        if not isinstance(self.ports, dict):
            raise ValueError("ports must map wires to numbers")
        for wire, port in self.ports.items():
            if not isinstance(port, int) or not 0 < port < 65536:
                raise ValueError(f"port of {wire} must be a number below 65536, found {port!r}")
        if self.mysql_host and not ipaddress.ip_address(str(self.mysql_host)).is_loopback:
            raise ValueError(f"mysql_host must be a loopback address, found {self.mysql_host!r}")

    def save(self, home: Home) -> None:
        """Write the settings."""
        write_atomically(home.settings_file, json.dumps(self.__dict__, indent=1), mode=0o600)
