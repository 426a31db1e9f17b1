"""Project files: what paths mean, and that none leaves its project."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcube.embedded.errors import ApiError
from deepcube.embedded.files import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path)
    files.create_project("demo")
    files.create_project("other")
    return files


@pytest.mark.parametrize(
    "path",
    [
        "Resources/a.txt",
        "/Resources/a.txt",
        "/Projects/demo/Resources/a.txt",
        "Projects/demo/Resources/a.txt",
        "hdfs:///Projects/demo/Resources/a.txt",
        "hopsfs://namenode:8020/Projects/demo/Resources/a.txt",
        "hopsfs:/Projects/demo/Resources/a.txt",
        "Resources/../Resources/a.txt",
    ],
)
def test_every_way_to_write_a_path_means_the_same_place(files: Files, path: str) -> None:
    place = files.resolve("demo", path)
    assert place == files.root / "Projects/demo/Resources/a.txt"
    assert files.public(place) == "/Projects/demo/Resources/a.txt"
    assert files.resolve("demo", str(place)) == place


@pytest.mark.parametrize(
    "path",
    ["../other/Resources", "/Projects/other/Resources", "/Projects/demo/../other", "Resources/../../../x", "a\0b"],
)
def test_no_path_leaves_the_project(files: Files, path: str) -> None:
    with pytest.raises(ApiError, match="outside project"):
        files.resolve("demo", path)


def test_no_link_leaves_the_project(files: Files, tmp_path: Path) -> None:
    (files.project_folder("demo") / "Resources/link").symlink_to("/etc")
    with pytest.raises(ApiError, match="outside project"):
        files.resolve("demo", "Resources/link/passwd")


@given(st.text(alphabet="./\\ab:\0 ", max_size=30))
def test_whatever_is_asked_for_stays_inside(path: str) -> None:
    files = Files(Path("/nonexistent/root"))
    try:
        place = files.resolve("demo", path)
    except ApiError:
        return
    assert place.is_relative_to(files.project_folder("demo"))


def test_what_is_missing_is_named(files: Files) -> None:
    with pytest.raises(ApiError, match="Resources/none") as caught:
        files.existing("demo", "Resources/none")
    assert caught.value.status == 404


def test_removal_of_folder_file_and_nothing(files: Files) -> None:
    folder = files.resolve("demo", "Resources/deep/er")
    folder.mkdir(parents=True)
    (folder / "f").write_text("x")
    files.remove(folder.parent)
    assert not folder.parent.exists()
    assert list(files.resolve("demo", "Resources").iterdir()) == []
    files.remove(folder / "f")
