"""The fixtures that other projects get: isolated projects, a bare login inside them, light to load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from deepcube.embedded import EmbeddedError, Running

USER_TEST = """
import hopsworks
import pandas as pd
import pytest


@pytest.mark.parametrize("attempt", [1, 2])
def test_mine(hopsworks_project, attempt):
    fs = hopsworks_project.get_feature_store()
    assert fs.get_feature_groups() == []
    group = fs.get_or_create_feature_group("mine", version=1, primary_key=["id"], time_travel_format="DELTA")
    group.insert(pd.DataFrame({"id": [attempt], "x": [0.5]}))
    assert hopsworks.login().get_feature_store().get_feature_group("mine", 1).read()["id"].tolist() == [attempt]
"""


def test_two_projects_of_one_server_are_apart(hopsworks_project: object, hopsworks_server: Running) -> None:
    with pytest.raises(EmbeddedError, match=hopsworks_project.name):  # type: ignore[attr-defined]
        hopsworks_server.create_project(hopsworks_project.name)  # type: ignore[attr-defined]
    fs = hopsworks_project.get_feature_store()  # type: ignore[attr-defined]
    group = fs.get_or_create_feature_group("g", version=1, primary_key=["id"], time_travel_format="DELTA")
    group.insert(pd.DataFrame({"id": [1], "x": [2.0]}))
    assert [found.name for found in fs.get_feature_groups()] == ["g"]


def test_a_user_of_the_light_core_gets_an_empty_project_each_test(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(USER_TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout


def test_the_plugin_loads_nothing_heavy() -> None:
    code = "import sys, deepcube.embedded.pytest_plugin; print([m for m in sys.modules if m in "
    code += "('hopsworks', 'pandas', 'duckdb', 'tensorflow')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
