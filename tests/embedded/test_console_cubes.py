"""What the pages of cubes and alerts make of files that anybody may have written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.embedded.console.cubes import parse_item, source_of, stored_lengths
from deepcube.embedded.neighbours import forget_atlas, running_atlas, tell_atlas

ITEM: dict[str, Any] = {
    "type": "Feature",
    "id": "season",
    "bbox": [20, 35, 25, 40],
    "properties": {
        "title": "A season",
        "license": "CC0-1.0",
        "simulated": True,
        "start_datetime": "2020-01-01T00:00:00Z",
    },
    "assets": {
        "data": {"href": "./cube.zarr"},
        "grid-main": {"href": "./cube.zarr/main", "cube:variables": {"ndvi": {"unit": "1", "dimensions": ["time"]}}},
        "look": {"href": "./quicklook/main.png"},
        "outside": {"href": "../../secret.png"},
        "elsewhere": {"href": "https://evil.example/x.png"},
        "script": {"href": "javascript:alert(1).png"},
    },
}
JUNK = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def test_an_item_is_read() -> None:
    cube = parse_item(ITEM, "Resources/season")
    assert cube is not None
    assert (cube.name, cube.title, cube.simulated, cube.box) == ("season", "A season", True, [20, 35, 25, 40])
    assert cube.grids == [("main", "Resources/season/cube.zarr/main", ["ndvi"])]
    assert cube.pictures == ["Resources/season/quicklook/main.png", "Resources/season/javascript:alert(1).png"]
    assert all(picture.startswith("Resources/season/") for picture in cube.pictures)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from([*ITEM, "stac_version"]), JUNK), st.dictionaries(st.text(max_size=3), JUNK))
def test_any_document_is_a_cube_or_none(changes: dict[str, Any], asset: dict[str, Any]) -> None:
    document = {**ITEM, **changes}
    found = parse_item(json.loads(json.dumps(document)), "folder")
    assert found is None or all(place.startswith("folder/") for place in found.pictures)
    parse_item({**ITEM, "assets": {"one": asset, "two": {"href": asset, "cube:variables": asset}}}, "folder")
    stored_lengths(changes)
    stored_lengths({"chunk_grid": asset, "codecs": [asset], "shape": changes})


def test_stored_lengths_tell_chunks_and_shards() -> None:
    plain = {"shape": [4, 5], "chunk_grid": {"configuration": {"chunk_shape": [2, 5]}}, "codecs": [{"name": "bytes"}]}
    assert stored_lengths(plain) == ([4, 5], [2, 5], [])
    inner = {"name": "sharding_indexed", "configuration": {"chunk_shape": [1, 5]}}
    assert stored_lengths({**plain, "codecs": [inner]}) == ([4, 5], [1, 5], [2, 5])


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        ("--stage features --source /data/x.zarr --result y", "/data/x.zarr"),
        ("--source='a b.nc'", "a b.nc"),
        ('--source "a b.nc" --x', "a b.nc"),
        ("--sources x", ""),
        ("", ""),
    ],
)
def test_what_a_job_reads_is_in_its_arguments(arguments: str, source: str) -> None:
    assert source_of(arguments) == source


def test_an_atlas_is_known_while_it_runs(tmp_path: Path) -> None:
    assert running_atlas(tmp_path) is None
    tell_atlas(tmp_path, "http://127.0.0.1:1/", ["a"])
    assert running_atlas(tmp_path) == {"url": "http://127.0.0.1:1/", "pid": os.getpid(), "collections": ["a"]}
    forget_atlas(tmp_path)
    assert running_atlas(tmp_path) is None
    place = tmp_path / "run" / "atlas.json"
    ended = {"url": "http://127.0.0.1:1/", "pid": 2**22 + 1, "collections": []}
    for wrong in (ended, {**ended, "pid": os.getpid(), "url": "javascript:alert(1)"}, {**ended, "pid": "x"}, []):
        place.write_text(json.dumps(wrong))
        assert running_atlas(tmp_path) is None
    forget_atlas(tmp_path)
    assert place.exists(), "what others have said stays"
