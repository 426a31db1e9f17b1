"""Fixtures of all tests: the real data, an embedded server of the module's own, the real client logged in to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from deepcube.embedded import Running, down, up

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A busy machine is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

_CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data; absent, the test is skipped on a laptop and fails on CI."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("DEEPCUBE_TEST_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        message = f"no real test data at {folder}; set DEEPCUBE_TEST_DATA to its folder"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start an embedded server on free ports, with a home folder of its own."""
    home = tmp_path_factory.mktemp("home")
    running, _ = up(home, port=0)
    yield running
    down(home)


@pytest.fixture(scope="module")
def project(embedded: Running) -> Iterator[object]:
    """Log the unmodified client in to the module's embedded server, by environment variables only."""
    import hopsworks

    with pytest.MonkeyPatch.context() as patch:
        for name, value in embedded.environment().items():
            patch.setenv(name, value)
        yield hopsworks.login()
        hopsworks.logout()


def _absent(what: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start headless Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _absent("the package playwright is not installed")
    named = os.environ.get("DEEPCUBE_CHROMIUM")
    program = named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        _absent("no Chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=_CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()
