"""pytest fixtures for anybody who tests code that uses the ``hopsworks`` client.

Installed with DeepCube's light core and found by pytest by itself:

    def test_my_pipeline(hopsworks_project):
        fs = hopsworks_project.get_feature_store()
        ...

Code under test that calls a bare ``hopsworks.login()`` gets the same project.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from deepcube.embedded.launcher import Running


@pytest.fixture(scope="session")
def hopsworks_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start an embedded Hopsworks on free ports, in a temporary folder, for the whole test run."""
    from deepcube.embedded.launcher import down, up

    home = tmp_path_factory.mktemp("hopsworks")
    running, _ = up(home, port=0)
    yield running
    down(home)


@pytest.fixture
def hopsworks_project(hopsworks_server: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Log in to a new, empty project, by environment variables that last as long as the test."""
    import hopsworks

    name = f"test_{uuid.uuid4().hex[:12]}"
    hopsworks_server.create_project(name)
    for variable, value in {**hopsworks_server.environment(), "HOPSWORKS_PROJECT": name}.items():
        monkeypatch.setenv(variable, value)
    yield hopsworks.login()
    hopsworks.logout()
