"""The worked questions on real places, from the command line and, in Chromium, from the query page."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from deepcube.semantics.endpoint import EndpointConfig, build_app
from deepcube.semantics.questions import QUESTIONS
from deepcube.semantics.workers import EngineConfig
from jobs.cli import command
from tests.semantics.real import RealWorld, question, write_real_world
from tests.semantics.serving import served
from tests.semantics.worked import COLUMN

if TYPE_CHECKING:
    from playwright.sync_api import Browser

KEY = "a key of this test"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> RealWorld:
    return write_real_world(tmp_path_factory.mktemp("real"), shared_data)


@pytest.fixture(scope="module")
def store(world: RealWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Linked data loaded by the command, file by file."""
    folder = tmp_path_factory.mktemp("linked") / "store"
    for path, kind in world.files:
        options = ["--type", kind] if kind else []
        loaded = CliRunner().invoke(command, ["semantics", "load", str(path), "--store", str(folder), *options])
        assert loaded.exit_code == 0, loaded.output
    return folder


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_from_the_command_line(world: RealWorld, store: Path, name: str) -> None:
    assert world.expected[name], "the question has no answer to check"
    cubes = [option for cube in world.cubes for option in ("--cube", str(cube))]
    result = CliRunner().invoke(command, ["query", question(name), *cubes, "--store", str(store), "--format", "csv"])
    assert result.exit_code == 0, result.output
    found = [row[COLUMN[name]] for row in csv.DictReader(io.StringIO(result.output))]
    assert sorted(found) == sorted(world.expected[name])


@pytest.fixture(scope="module")
def address(world: RealWorld, store: Path) -> Iterator[str]:
    engine = EngineConfig(tuple((str(cube), None) for cube in world.cubes), store=str(store))
    with served(build_app(EndpointConfig(engine, KEY, seconds=60))) as url:
        yield url


@pytest.mark.e2e
def test_from_the_query_page(world: RealWorld, address: str, browser: Browser) -> None:
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{address}/")
    page.get_by_label("Key").fill(KEY)
    for name in sorted(QUESTIONS):
        page.get_by_label("Query").fill(question(name))
        page.get_by_role("button", name="Run", exact=True).click()
        size = len(world.expected[name])
        page.get_by_role("status").filter(has_text=re.compile(rf"^{size} rows? in ")).wait_for()
        names = page.get_by_role("columnheader").all_inner_texts()
        cells = page.locator(f"tbody tr td:nth-child({names.index(COLUMN[name]) + 1})").all_inner_texts()
        assert {cell.replace("feature/scatterers/", "") for cell in cells} >= set() and len(cells) == size
        found = {re.sub(r"^.*scatterers/", "", cell) for cell in cells}
        assert found == {re.sub(r"^.*scatterers/", "", value) for value in world.expected[name]}
    page.close()
