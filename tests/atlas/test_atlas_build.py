"""The page that is committed is what its sources give."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import deepcube.atlas

PACKAGE = Path(deepcube.atlas.__file__).parent


def test_the_committed_page_is_the_one_that_its_sources_give(tmp_path: Path) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no Node to build the page with")
    built = tmp_path / "static"
    environment = {**os.environ, "HOME": os.environ.get("HOME", str(tmp_path))}
    done = subprocess.run(
        ["bash", PACKAGE / "web" / "build.sh", built], capture_output=True, text=True, env=environment, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    committed = {path.name: path.read_bytes() for path in (PACKAGE / "static").iterdir()}
    again = {path.name: path.read_bytes() for path in built.iterdir()}
    assert set(committed) == set(again)
    assert [name for name in committed if committed[name] != again[name]] == [], "run deepcube/atlas/web/build.sh"


def test_the_page_holds_no_script_and_names_no_other_place() -> None:
    page = (PACKAGE / "static" / "index.html").read_text()
    assert page.count("<script") == 1
    assert '<script type="module" src="/static/atlas.js"></script>' in page
    assert "http" not in page
    assert "style=" not in page
    assert " on" not in page.replace(" one", "").replace('on"', "")
    assert "Natural Earth" in (PACKAGE / "static" / "LICENSES.txt").read_text()
