"""Start, find and stop the embedded server as a background process."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from deepcube.embedded.errors import EmbeddedError, PortTakenError, StartError
from deepcube.embedded.home import Home, Settings
from deepcube.embedded.platform import client_environment

_STARTS = 3
START_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Running:
    """A running server.

    Attributes
    ----------
    home : Home
        Its home folder.
    pid : int
        Its process.
    url : str
        Base address of its REST API and pages.
    project : str
        Its default project.
    started : str
        ISO 8601 time.
    """

    home: Home
    pid: int
    url: str
    project: str
    started: str

    def environment(self) -> dict[str, str]:
        """Return the variables with which a bare ``hopsworks.login()`` reaches it."""
        key = self.home.api_key_file.read_text().strip()
        return client_environment(self.home, Settings.load(self.home), key)

    def create_project(self, name: str) -> None:
        """Make a project, empty and apart from all others.

        Raises
        ------
        EmbeddedError
            If the server refuses, e.g. because the name is taken.
        """
        self.call("POST", "/project", {"projectName": name})

    def call(self, method: str, path: str, document: object = None, **query: str) -> Any:
        """Call the REST API in the owner's name, for what the client has no call for: users, keys, members.

        Parameters
        ----------
        method, path : str
            Such as ``POST``, ``/users/apiKey``.
        document : object, optional
            Sent as JSON.
        **query : str
            Parameters of the path.

        Returns
        -------
        object
            The JSON that is answered; None for no content.

        Raises
        ------
        EmbeddedError
            With the reason, if the server refuses or does not answer.
        """
        address = f"{self.url}/hopsworks-api/api{urllib.parse.quote(path)}"
        address += f"?{urllib.parse.urlencode(query)}" if query else ""
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(address, data=body, method=method)
        request.add_header("Authorization", f"ApiKey {self.home.api_key_file.read_text().strip()}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._tls()) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            raise EmbeddedError(str(json.loads(error.read()).get("errorMsg", error.reason))) from None
        except OSError as error:
            raise EmbeddedError(f"the server at {self.url} does not answer: {error}") from None
        return json.loads(content) if content else None

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.home.certificates / "ca.pem"))

    def healthy(self) -> bool:
        """Tell whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5, context=self._tls()) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, TimeoutError, OSError):
            return False


def find(root: Path) -> Running | None:
    """Return the server that serves a home folder, or None."""
    home = Home(root)
    content: dict[str, Any] | None = home.running_server()
    if content is None:
        return None
    return Running(home, content["pid"], content["url"], content["project"], content["started"])


def up(root: Path, port: int | None = None, project: str | None = None) -> tuple[Running, bool]:
    """Make sure a server serves a home folder, and return it once it is healthy.

    Parameters
    ----------
    root : Path
        Home folder.
    port : int, optional
        Port of the REST API; 0 for any free one; the one used last, or the default, if None.
    project : str, optional
        Name of the default project.

    Returns
    -------
    running : Running
        The server.
    was_started : bool
        False if it ran already.

    Raises
    ------
    StartError
        If it does not come up; the message carries the server's own reason.
    """
    running = find(root)
    if running is not None:
        return running, False
    home = Home(root)
    home.prepare()
    command = [sys.executable, "-m", "deepcube.embedded", "--home", str(root)]
    command += [] if port is None else ["--port", str(port)]
    command += [] if project is None else ["--project", project]
    for _ in range(_STARTS - 1):
        try:
            return _started(home, command), True
        except PortTakenError:
            continue  # somebody took a port between its choice and its use
    return _started(home, command), True


def _started(home: Home, command: list[str]) -> Running:
    """Run the server and return it once it is healthy."""
    offset = home.server_log.stat().st_size if home.server_log.exists() else 0
    with home.server_log.open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=home.root
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        running = find(home.root)
        if running is not None and running.healthy():
            return running
        if process.poll() is not None:
            error = PortTakenError if process.returncode == PortTakenError.EXIT_STATUS else StartError
            raise error(_reason(home, offset))
        time.sleep(0.05)
    process.kill()
    raise StartError(f"the server was not healthy after {START_SECONDS:.0f} s; its log is {home.server_log}")


def down(root: Path) -> bool:
    """Stop the server of a home folder, with its jobs and deployments.

    Returns
    -------
    bool
        False if none ran.

    Raises
    ------
    StartError
        If it does not stop.
    """
    running = find(root)
    if running is None:
        return False
    try:
        process = psutil.Process(running.pid)
        process.send_signal(signal.SIGTERM)
        _await_unlocked(running.home)
    except psutil.NoSuchProcess:
        pass
    except TimeoutError:
        raise StartError(
            f"the server (pid {running.pid}) did not stop within {STOP_SECONDS:.0f} s; its log is "
            f"{running.home.server_log}"
        ) from None
    return True


def _await_unlocked(home: Home) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while home.is_locked():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


def _reason(home: Home, offset: int) -> str:
    with home.server_log.open("rb") as stream:
        stream.seek(offset)
        lines = [line for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1]
    return f"the server stopped at once: {lines[-1] if lines else 'it wrote nothing'}; its log is {home.server_log}"
