"""Ports that somebody takes between their choice and their use."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deepcube.embedded import launcher
from deepcube.embedded.errors import PortTakenError, StartError
from deepcube.embedded.launcher import down, up

# A server that believes every port to be free, as one does that looked a moment too early.
_CREDULOUS = """
import sys
from pathlib import Path
from deepcube.embedded import server
server.port_is_free = lambda *arguments: True
sys.exit(server.run(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("wire", ["rest", "flight", "online_rest", "broker"])
def test_a_port_that_was_just_taken_is_told_apart(tmp_path: Path, wire: str) -> None:
    up(tmp_path, port=0)
    down(tmp_path)
    settings = json.loads((tmp_path / "settings.json").read_text())
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings["ports"][wire]))
        other.listen()
        done = subprocess.run(
            [sys.executable, "-c", _CREDULOUS, str(tmp_path)], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == PortTakenError.EXIT_STATUS, done.stderr
    assert "error: cannot listen" in done.stderr


def test_a_start_is_tried_again_when_a_port_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, tries = launcher._started, []

    def unlucky(*arguments: object) -> object:
        tries.append(arguments)
        if len(tries) < 3:
            raise PortTakenError("cannot listen on port 4711")
        return started(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(launcher, "_started", unlucky)
    try:
        assert up(tmp_path, port=0)[1]
        assert len(tries) == 3
    finally:
        down(tmp_path)


def test_three_taken_ports_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unlucky(*arguments: object) -> object:
        raise PortTakenError("cannot listen on port 4711")

    monkeypatch.setattr(launcher, "_started", unlucky)
    with pytest.raises(StartError, match="4711"):
        up(tmp_path, port=0)
