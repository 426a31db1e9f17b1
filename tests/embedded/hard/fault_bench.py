"""A bench on which a server and clients run under the fault shim, on a home folder that is put back as it was."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import ssl
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from fault_shim import Control, build
from fault_zygote import Child, Outcome, Zygote

from deepcube.embedded import Running, find

START_SECONDS = 30.0


class Bench:
    """Server and clients under control.

    Parameters
    ----------
    folder : Path
        Everything is kept here; the home folder is ``<folder>/home``.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.home = folder / "home"
        self._snapshots = folder / "snapshots"
        self.control = Control(folder, self.home)
        environment = self.control.environment(build(folder))
        environment["TMPDIR"] = str(folder / "tmp")
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        environment["FAULT_HOME"] = str(self.home)
        (folder / "tmp").mkdir(exist_ok=True)
        self._servers = Zygote(["fault_server"], folder / "servers", environment)
        self._environment = environment
        self._clients: Zygote | None = None
        self.server: Child | None = None

    @property
    def clients(self) -> Zygote:
        """The parent of client processes; importing the client takes seconds, so it is made at first use."""
        if self._clients is None:
            self._clients = Zygote(["fault_client"], self.folder / "clients", self._environment)
        return self._clients

    def spawn_server(self, home: Path | None = None) -> Child:
        """Begin to start a server, on this home folder or another one, and return at once."""
        self.server = self._servers.spawn("fault_server:serve", {}, home=str(home or self.home))
        return self.server

    def start(self) -> Running:
        """Start the server and wait until it is healthy.

        Raises
        ------
        AssertionError
            If it does not come up; with its log.
        """
        child = self.spawn_server()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            running = find(self.home)
            if running is not None and running.pid == child.pid and healthy(running):
                return running
            if not child.running():
                break
            time.sleep(0.01)
        raise AssertionError(f"the server does not start: {child.outcome(0)}\n{child.log.read_text()[-3000:]}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop the server and whatever it left behind."""
        if self.server is not None:
            self.server.kill(number)
            if not self.server.wait(20):
                self.server.kill()
                self.server.wait(20)
                raise AssertionError(f"the server did not stop:\n{self.server.log.read_text()[-3000:]}")
            self.server = None

    def orphans(self) -> list[psutil.Process]:
        """Return the processes of this bench that are neither a parent, nor the server."""
        mine = str(self.control.path)
        known = {self._servers._process.pid, os.getpid(), self.server.pid if self.server else 0}
        if self._clients is not None:
            known.add(self._clients._process.pid)
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid in known or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if process.environ().get("FAULT_CONTROL") == mine:
                    found.append(process)
        return found

    def reap(self) -> list[str]:
        """Kill what :meth:`orphans` finds and return the command lines."""
        lines = []
        for process in self.orphans():
            with contextlib.suppress(psutil.Error):
                lines.append(" ".join(process.cmdline())[:200])
                process.kill()
        return lines

    def client(self, function: str, seconds: float = 120.0, **arguments: Any) -> Outcome:
        """Run a function of ``fault_client`` in a client process and wait for it."""
        return self.begin(function, **arguments).outcome(seconds)

    def begin(self, function: str, **arguments: Any) -> Child:
        """Run a function of ``fault_client`` in a client process."""
        running = find(self.home)
        environment: Mapping[str, str] = running.environment() if running else {}
        return self.clients.spawn(f"fault_client:{function}", environment, **arguments)

    def must(self, function: str, seconds: float = 120.0, **arguments: Any) -> Any:
        """Run a function of ``fault_client`` that must come back, and return what it returned."""
        outcome = self.client(function, seconds, **arguments)
        assert outcome.acknowledged, f"{function}({arguments}) failed: {outcome}{self.tail()}"
        return outcome.value

    def tail(self, length: int = 3000) -> str:
        """Return the end of the server's log, for messages."""
        return f"\nserver's log:\n{self.server.log.read_text()[-length:]}" if self.server else ""

    def save(self, name: str) -> None:
        """Keep the home folder of the stopped server under a name."""
        place = self._snapshots / name
        shutil.rmtree(place, ignore_errors=True)
        if self.home.exists():
            shutil.copytree(self.home, place, symlinks=True)
        else:
            place.mkdir(parents=True)

    def saved(self, name: str) -> bool:
        """Tell whether something was saved under a name."""
        return (self._snapshots / name).exists()

    def restore(self, name: str) -> None:
        """Put the home folder back as it was saved."""
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self._snapshots / name, self.home, symlinks=True)

    def restore_empty(self) -> None:
        """Have no home folder."""
        shutil.rmtree(self.home, ignore_errors=True)

    @contextmanager
    def serving(self) -> Iterator[Running]:
        """Have a server inside the block."""
        running = self.start()
        try:
            yield running
        finally:
            self.stop()

    def close(self) -> None:
        """End every process of the bench."""
        self.control.disarm()
        with contextlib.suppress(AssertionError):
            self.stop()
        self.reap()
        self._servers.close()
        if self._clients is not None:
            self._clients.close()
        self.control.close()


def healthy(running: Running) -> bool:
    """Tell whether a server answers, on this thread's own short patience."""
    context = ssl.create_default_context(cafile=str(running.home.certificates / "ca.pem"))
    try:
        with urllib.request.urlopen(f"{running.url}/health", timeout=5, context=context) as response:
            return bool(response.status == 200)
    except OSError:
        return False
