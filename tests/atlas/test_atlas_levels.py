"""Coarser copies of large cubes: right values, used for wide views, never of another state of the cube."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deepcube.atlas import Atlas
from deepcube.atlas import layers as atlas_layers
from deepcube.atlas.mercator import Box
from deepcube.atlas.pictures import draw
from deepcube.cubes import levels as cube_levels
from deepcube.cubes import open_cube, write_cube
from deepcube.cubes.levels import DESCRIPTION, build_levels, factors, halved, large, levels_folder
from deepcube.cubes.publish import open_published, publish

ROWS, COLUMNS = 1100, 1300


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Write a cube of a smooth quantity, with a gap, and of classes."""
    y, x = np.linspace(50, 40, ROWS), np.linspace(10, 22, COLUMNS)
    smooth = np.stack([step + np.sin(y)[:, None] * np.cos(x) for step in range(2)]).astype(np.float32)
    smooth[0, :5, :7] = np.nan
    classes = (np.arange(ROWS)[:, None] // 300 + np.zeros(COLUMNS)).astype(np.int16)
    dataset = xr.Dataset(
        {
            "smooth": (("time", "y", "x"), smooth, {"units": "1"}),
            "cover": (("y", "x"), classes, {"kind": "categorical", "flag_values": [0, 1, 2, 3]}),
        },
        {"time": pd.date_range("2020-01-01", periods=2), "y": y, "x": x},
        {"license": "CC0-1.0"},
    )
    dataset.to_netcdf(tmp_path / "raw.nc")
    write_cube(open_cube(tmp_path / "raw.nc", crs="EPSG:4326"), tmp_path / "large.zarr", layout="map")
    return tmp_path / "large.zarr"


@settings(max_examples=25)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 99))
def test_halves_are_means_without_gaps(rows: int, columns: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(rows, columns))
    values[generator.random(values.shape) < 0.3] = np.nan
    found = halved(values, classes=False)
    assert found.shape == (-(-rows // 2), -(-columns // 2))
    for i, j in np.ndindex(found.shape):
        block = values[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        known = block[np.isfinite(block)]
        assert found[i, j] == pytest.approx(known.mean(), rel=1e-6) if len(known) else np.isnan(found[i, j])
    assert set(np.unique(halved(np.round(values), classes=True)).tolist()) <= {
        *np.round(values).ravel().tolist(),
        np.nan,
    } or (np.isnan(values).any())


def test_factors_end_at_a_small_image() -> None:
    assert factors(512, 300) == []
    assert factors(1100, 1300) == [2, 4]
    assert factors(20_000, 10_000) == [2, 4, 8, 16, 32, 64]


def test_wide_views_read_levels(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas_layers, "FRAME_CELLS", 100_000)
    monkeypatch.setattr(cube_levels, "LARGE_CELLS", 100_000)
    cube = open_cube(path)
    before = Atlas([cube]).collections[0]
    box_of: Any = before.layer("smooth").layer.placement.full_box()
    box = Box(box_of.west, box_of.north, box_of.east, box_of.south, 100, 100)
    told: list[tuple[int, int]] = []
    plain = {name: draw(shown.layer, 0, box, shown.style) for name, shown in before.shown.items()}
    build_levels(cube, large(cube), lambda *both: told.append(both))
    assert told[-1] == (3, 3)
    after = Atlas([open_cube(path)]).collections[0]
    for name in ("smooth", "cover"):
        layer: Any = after.layer(name).layer
        assert sorted(layer.levels) == [2, 4]
        monkeypatch.setattr(layer, "_values", None)  # values of the cube itself are not read any more
        style = before.layer(name).style
        drawn = np.asarray(Image.open(io.BytesIO(draw(layer, 0, box, style)))).astype(int)
        expected = np.asarray(Image.open(io.BytesIO(plain[name]))).astype(int)
        assert (np.abs(drawn - expected) <= (2 if name == "smooth" else 0)).mean() > 0.97


def test_levels_of_another_state_are_not_used(path: Path) -> None:
    cube = open_cube(path)
    folder = build_levels(cube, list(cube.variables))
    assert Atlas([open_cube(path)]).collections[0].layer("smooth").layer.levels  # type: ignore[attr-defined]
    (folder / "levels.json").write_text("{")
    assert not Atlas([open_cube(path)]).collections[0].layer("smooth").layer.levels  # type: ignore[attr-defined]
    build_levels(cube, list(cube.variables))
    (path / "zarr.json").write_text((path / "zarr.json").read_text())
    assert not Atlas([open_cube(path)]).collections[0].layer("smooth").layer.levels  # type: ignore[attr-defined]


def test_publishing_writes_levels_that_are_copied_with_the_cube(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cube_levels, "LARGE_CELLS", 100_000)
    item = publish(open_cube(path), path.parent / "published")
    levels = levels_folder(str(item.parent / "cube.zarr"))
    assert f"{levels.name}/{DESCRIPTION}" in (item.parent / "CHECKSUMS.sha256").read_text()
    copied = shutil.copytree(item.parent, path.parent / "copied", copy_function=shutil.copyfile)
    layer: Any = Atlas([open_published(copied, check=True)]).collections[0].layer("smooth").layer
    assert sorted(layer.levels) == [2, 4]
    (copied / "provenance.json").write_text("{}")
    assert not Atlas([open_published(copied)]).collections[0].layer("smooth").layer.levels  # type: ignore[attr-defined]
