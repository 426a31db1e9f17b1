"""What may import what: one way between the rooms, no circles, and an embedded Hopsworks that stands alone."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = ("deepcube", "features", "feature_pipelines", "training_pipelines", "inference_pipelines", "jobs")
PIPELINES = {"feature_pipelines", "training_pipelines", "inference_pipelines"}


def _modules() -> dict[str, Path]:
    files = [path for room in ORDER for path in (ROOT / room).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


MODULES = _modules()


def _imports(path: Path) -> set[str]:
    """Return the modules of the project that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {part if part in MODULES else node.module for part in parts}
    return found & set(MODULES)


IMPORTS = {name: _imports(path) - {name} for name, path in MODULES.items()}


def test_there_is_something_to_look_at() -> None:
    assert len(MODULES) > 400
    assert "deepcube.cubes.model" in IMPORTS["deepcube.cubes.opening"]


@pytest.mark.parametrize("room", ORDER)
def test_imports_go_one_way(room: str) -> None:
    below = {*ORDER[: ORDER.index(room) + 1]} - (PIPELINES - {room} if room in PIPELINES else set())
    wrong = {
        f"{name} imports {other}"
        for name, others in IMPORTS.items()
        if name.split(".")[0] == room
        for other in others
        if other.split(".")[0] not in below
    }
    assert not wrong


def test_the_embedded_hopsworks_imports_nothing_else_of_the_project() -> None:
    wrong = {
        f"{name} imports {other}"
        for name, others in IMPORTS.items()
        if name.startswith("deepcube.embedded")
        for other in others
        if not other.startswith("deepcube.embedded") and other != "deepcube"
    }
    assert not wrong


def test_no_module_needs_itself() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail("these modules import each other in a circle: " + " <- ".join(error.args[1]))
