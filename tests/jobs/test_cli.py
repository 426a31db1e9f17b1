"""The ``deepcube`` command as a user types it: output, exit status, one clear message an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepcube.embedded import Running, down


def deepcube(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HOPSWORKS_", "DEEPCUBE_"))}
    return subprocess.run(
        [sys.executable, "-c", "from jobs.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        env=clean | environment,
        timeout=120,
    )


def test_up_status_env_down(tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    assert deepcube("status", "--home", home).returncode == 3
    started = deepcube("up", "--home", home, "--port", "0")
    assert started.returncode == 0, started.stderr
    assert "started: https://127.0.0.1:" in started.stdout
    try:
        status = deepcube("status", "--home", home, "--json")
        assert status.returncode == 0
        assert json.loads(status.stdout)["healthy"] is True
        exports = deepcube("env", "--home", home).stdout
        variables = json.loads(deepcube("env", "--home", home, "--json").stdout)
        shell = subprocess.run(
            ["sh", "-c", f'{exports}\nprintf %s "$HOPSWORKS_API_KEY"'], capture_output=True, text=True, check=True
        )
        assert shell.stdout == variables["HOPSWORKS_API_KEY"]
        address = deepcube("open", "--home", home, "--print").stdout.strip()
        assert address.startswith(f"https://127.0.0.1:{variables['HOPSWORKS_PORT']}/")
    finally:
        stopped = deepcube("down", "--home", home)
    assert stopped.stdout == "stopped\n"
    assert deepcube("down", "--home", home).returncode == 0


def test_env_without_a_server_says_how_to_start_one(tmp_path: Path) -> None:
    result = deepcube("env", "--home", str(tmp_path))
    assert result.returncode == 1
    assert "deepcube up" in result.stderr
    assert result.stdout == ""


def test_a_stale_file_of_a_dead_server_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text('{"pid": 999999, "url": "https://127.0.0.1:1"}')
    assert deepcube("status", "--home", str(tmp_path)).returncode == 3
    assert deepcube("up", "--home", str(tmp_path), "--port", "0").returncode == 0
    assert down(tmp_path)


def test_the_home_folder_can_come_from_the_environment(tmp_path: Path) -> None:
    assert str(tmp_path) in deepcube("status", DEEPCUBE_HOME=str(tmp_path)).stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["run", "nonsense"], 1, "no use case named 'nonsense'; there are: drought"),
        (["run", "drought", "--source", "no/such/cube.tif"], 1, "neither a file or folder here nor one of the named"),
        (["run", "drought", "--stage", "cooking"], 2, "cooking"),
        (["fly"], 2, "No such command"),
    ],
)
def test_mistakes_get_one_message(arguments: list[str], status: int, words: str, tmp_path: Path) -> None:
    result = deepcube(*arguments, DEEPCUBE_HOME=str(tmp_path))
    assert result.returncode == status
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "catalog.db").exists(), "a mistake must not start the platform"


def test_run_without_a_name_lists_the_use_cases() -> None:
    assert "drought" in deepcube("run").stdout


@pytest.mark.parametrize("arguments", [[], ["up"], ["down"], ["status"], ["env"], ["open"], ["run"]])
def test_help_helps(arguments: list[str]) -> None:
    result = deepcube(*arguments, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith("Usage:")


def test_a_platform_that_lets_nobody_in_is_told(embedded: Running) -> None:
    wrong = embedded.environment() | {"HOPSWORKS_API_KEY": "wrong.key"}
    result = deepcube("run", "drought", **wrong)
    assert result.returncode == 1
    assert "cannot log in to Hopsworks at 127.0.0.1" in result.stderr
    assert "Traceback" not in result.stderr
