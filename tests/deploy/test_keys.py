"""``deepcube keys``: what other people's keys let them do, and that removed ones let them do nothing."""

from __future__ import annotations

import json
from pathlib import Path

import hopsworks
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from hopsworks.client.exceptions import RestAPIError

from deepcube.embedded import EmbeddedError, Running
from jobs.cli import command
from jobs.cli.errors import PlatformError

pytestmark = pytest.mark.e2e


def keys(running: Running, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["keys", *arguments, "--home", str(running.home.root)])


def test_a_key_lets_its_user_in_until_it_is_removed(embedded: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    made = keys(embedded, "add", "Eve@example.org", "--label", "laptop", "--role", "scientist", "--json")
    assert made.exit_code == 0, made.output
    for name, value in json.loads(made.output).items():
        monkeypatch.setenv(name, value)
    project = hopsworks.login()
    assert project.get_job_api().get_jobs() == []
    with pytest.raises(RestAPIError, match="may not change feature groups"):
        project.get_feature_store().create_feature_group("x", 1, primary_key=["a"]).insert(pd.DataFrame({"a": [1]}))
    second = keys(embedded, "add", "eve@example.org", "--label", "desktop")
    assert second.output.strip().count(".") == 1
    assert json.loads(keys(embedded, "list", "--json").output) == {
        "deepcube@localhost": ["owner"],
        "eve@example.org": ["laptop", "desktop"],
    }
    assert "eve@example.org: laptop, desktop" in keys(embedded, "list", "eve@example.org").output
    assert keys(embedded, "remove", "eve@example.org", "laptop").exit_code == 0
    with pytest.raises(RestAPIError) as caught:
        project.get_job_api().get_jobs()
    assert caught.value.response.status_code == 401
    hopsworks.logout()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "nobody"], "not an e-mail address"),
        (["add", "a@example.org", "--role", "owner", "--project", "absent"], "no project named 'absent'"),
        (["list", "stranger@example.org"], "no user"),
        (["remove", "deepcube@localhost", "absent"], "no API key named 'absent'"),
        (["remove", "deepcube@localhost", "owner"], "the owner's stays"),
    ],
)
def test_mistakes_change_nothing(embedded: Running, arguments: list[str], words: str) -> None:
    before = keys(embedded, "list").output
    result = keys(embedded, *arguments)
    assert isinstance(result.exception, (EmbeddedError, PlatformError))
    assert words in str(result.exception)
    assert keys(embedded, "list").output == before


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["keys", "list", "--home", str(tmp_path)])
    assert "deepcube up" in str(result.exception)
