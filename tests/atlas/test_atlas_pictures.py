"""Pixels of pictures against an oracle that projects every pixel and looks its cell up by itself."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deepcube.atlas import Atlas, RequestError
from deepcube.atlas.colours import Category
from deepcube.atlas.mercator import Box, latitude_of, tile_box, world_x, world_y
from deepcube.atlas.pictures import Style, draw, png
from deepcube.atlas.placement import Placement

BLACK_WHITE = Style("viridis", 0.0, 1.0)


def _shown(cubes: list[Any], cube: int, name: str) -> Any:
    return Atlas(cubes).collections[cube].layer(name)


def _decoded(picture: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return colours, shape (height, width, 3), and which pixels are drawn."""
    image = np.asarray(Image.open(io.BytesIO(picture)).convert("RGBA"))
    return image[..., :3], image[..., 3] > 0


def _oracle(data: Any, crs: Any, box: Box) -> np.ndarray:
    """Return the value under the centre of every pixel, NaN outside: cells reach half way to their neighbours."""
    found = np.full((box.height, box.width), np.nan)
    to_grid = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    xs, ys = data["x"].to_numpy().astype(float), data["y"].to_numpy().astype(float)
    values = data.to_numpy().astype(float)
    half_x, half_y = abs(xs[1] - xs[0]) / 2, abs(ys[1] - ys[0]) / 2
    for i in range(box.height):
        north = box.north + (i + 0.5) * (box.south - box.north) / box.height
        latitude = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * north))))
        for j in range(box.width):
            longitude = (box.west + (j + 0.5) * (box.east - box.west) / box.width) * 360 - 180
            x, y = to_grid.transform(longitude, latitude)
            row, column = int(np.abs(ys - y).argmin()), int(np.abs(xs - x).argmin())
            if abs(ys[row] - y) <= half_y and abs(xs[column] - x) <= half_x:
                found[i, j] = values[row, column]
    return found


def _agree(picture: bytes, expected: np.ndarray, style: Style, share: float) -> None:
    colours, drawn = _decoded(picture)
    numbers = style.indices(expected)
    table = np.frombuffer(style.colours(), np.uint8).reshape(-1, 3)
    same = np.where(numbers == 0, ~drawn, drawn & (colours == table[numbers]).all(-1))
    assert same.mean() >= share


@settings(max_examples=12)
@given(z=st.integers(5, 9), dx=st.floats(0, 1), dy=st.floats(0, 1), step=st.integers(0, 79))
def test_tiles_show_the_cell_under_each_pixel(cubes: list[Any], z: int, dx: float, dy: float, step: int) -> None:
    shown = _shown(cubes, 0, "ndvi")
    west, south, east, north = shown.layer.placement.bounds
    x = min(int(world_x(west + dx * (east - west)) * 2**z), 2**z - 1)
    y = min(int(world_y(south + dy * (north - south)) * 2**z), 2**z - 1)
    box = tile_box(z, x, y, 64)
    expected = _oracle(cubes[0]["ndvi"].isel(time=step), "EPSG:4326", box)
    _agree(draw(shown.layer, step, box, shown.style), expected, shown.style, 0.999)


def test_a_grid_in_metres_is_warped(cubes: list[Any]) -> None:
    shown = _shown(cubes, 1, "number")
    full = shown.layer.placement.full_box()
    box = Box(full.west, full.north, full.east, full.south, 60, 60)
    expected = _oracle(cubes[1]["number"], "EPSG:32634", box)
    assert np.isfinite(expected).mean() > 0.9
    _agree(draw(shown.layer, 0, box, shown.style), expected, shown.style, 0.99)  # the mesh between is not exact


def test_classes_have_their_own_colours(cubes: list[Any]) -> None:
    shown = _shown(cubes, 0, "cover")
    assert [category.label for category in shown.style.classes] == ["water", "forest", "crops", "urban"]
    colours, drawn = _decoded(draw(shown.layer, 0, shown.layer.placement.full_box(), shown.style))
    assert drawn.all()
    wanted = {category.colour for category in shown.style.classes}
    assert {"#" + bytes(colour).hex() for colour in np.unique(colours.reshape(-1, 3), axis=0)} == wanted


@pytest.mark.parametrize("low", [0.0, 360.0, -360.0])
def test_grids_of_any_turn_of_longitudes(low: float) -> None:
    longitude = low + np.arange(0.5, 360)
    placement = Placement(longitude, np.arange(89.5, -90, -1), pyproj.CRS.from_epsg(4326))
    row, column = placement.cell(-75.2, 10.1) or (-1, -1)
    assert (longitude[column] + 180) % 360 - 180 == pytest.approx(-75.5)
    assert row == 79
    assert not placement.pixels(tile_box(1, 0, 0)).empty


def test_irregular_rows_fall_to_the_nearest() -> None:
    rows = np.array([10.0, 11.0, 13.0, 17.0, 25.0])
    placement = Placement(np.arange(5.0), rows, pyproj.CRS.from_epsg(4326))
    for latitude in (9.6, 10.49, 10.51, 12.1, 14.9, 15.1, 20.9, 21.1, 28.9):
        row, _ = placement.cell(2.0, latitude) or (-1, -1)
        assert row == int(np.abs(rows - latitude).argmin())
    assert placement.cell(2.0, 9.4) is None
    assert placement.cell(2.0, 29.1) is None


def test_pictures_are_png() -> None:
    numbers = np.random.default_rng(0).integers(0, 4, (37, 53)).astype(np.uint8)
    colours = bytes(range(12))
    read, drawn = _decoded(png(numbers, colours))
    assert (read == np.frombuffer(colours, np.uint8).reshape(-1, 3)[numbers])[drawn].all()
    assert (drawn == (numbers > 0)).all()


def test_gaps_and_extremes_have_colours() -> None:
    values = np.array([np.nan, -np.inf, -5.0, 0.0, 0.5, 1.0, 7.0, np.inf])
    assert BLACK_WHITE.indices(values).tolist() == [0, 1, 1, 1, 128, 255, 255, 255]


@given(y=st.floats(-84, 84))
def test_mercator_turns_back(y: float) -> None:
    assert float(latitude_of(world_y(y))) == pytest.approx(y, abs=1e-9)


@pytest.mark.parametrize("tile", [(-1, 0, 0), (25, 0, 0), (3, 8, 0), (3, 0, 8), (2, -1, 0)])
def test_tiles_that_do_not_exist(tile: tuple[int, int, int]) -> None:
    with pytest.raises(RequestError, match="no tile"):
        tile_box(*tile)


def test_of_several_bits_the_first_listed_is_drawn() -> None:
    classes = tuple(Category(float(mask), str(mask), "#000000") for mask in (4, 1, 2))
    style = Style("tab20", 0.0, 2.0, classes, masks=True)
    values = np.array([0.0, 1.0, 2.0, 3.0, 6.0, 8.0, np.nan])
    np.testing.assert_array_equal(style.indices(values), [0, 2, 3, 2, 1, 0, 0])
