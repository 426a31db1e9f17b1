"""Features of the ground against planes, cones and brute force; zones against exact areas."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, box

from deepcube.cubes.features import (
    Aspect,
    Distance,
    FeatureError,
    Slope,
    Tpi,
    declare,
    zonal_rows,
    zone_weights,
)

TIMES = pd.date_range("2020-01-01", periods=2)


def field(grid, feature, **options):
    extraction = declare(grid, {"f": feature}, level=20, **options)
    tables = [extraction.tile(number) for number in range(extraction.tiles)]
    frame = pa.concat_tables(tables).to_pandas()
    first = frame[frame["time"] == TIMES[0]]
    # tiles come row by row; put them back in place by their cells
    cells = declare(grid, {"f": "v"}, level=20).tile(0).to_pandas()
    order = cells[cells["time"] == TIMES[0]]["cell_id"]
    return first.set_index("cell_id").loc[order, "f"].to_numpy().reshape(grid.shape)


def ground(make_grid, height, crs="EPSG:3035", spacing=100.0):
    return make_grid({"v": np.zeros((2, *height.shape)), "z": height}, TIMES, crs=crs, spacing=spacing)


@pytest.mark.parametrize("azimuth", [0, 30, 90, 200, 315])
def test_a_plane_has_its_slope_and_aspect(make_grid, azimuth):
    row, column = np.mgrid[:9, :11] * 100.0
    facing = np.deg2rad(azimuth)
    rise = 0.3
    height = 1000 + rise * (row * np.cos(facing) - column * np.sin(facing))  # falls towards the azimuth
    grid = ground(make_grid, height)
    assert np.allclose(field(grid, Slope("z")), np.degrees(np.arctan(rise)))
    assert np.allclose((field(grid, Aspect("z")) - azimuth + 180) % 360, 180)


def test_degrees_are_turned_into_metres(make_grid):
    _, column = np.mgrid[:5, :5]
    height = 111.31949 * np.cos(np.deg2rad(40)) * column  # 0.01 degrees are 1113 m at the equator: a rise of 1 in 10
    grid = ground(make_grid, height, crs="EPSG:4326", spacing=0.01)
    assert np.allclose(field(grid, Slope("z"))[0], np.degrees(np.arctan(0.1)), atol=1e-6)


def test_position_is_height_less_the_mean_around(make_grid):
    height = np.random.default_rng(0).normal(size=(8, 9))
    height[2, 3] = np.nan
    found = field(ground(make_grid, height), Tpi("z", 2))
    for row, column in np.ndindex(8, 9):
        around = height[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
        expected = height[row, column] - np.nanmean(around)
        assert found[row, column] == pytest.approx(expected, nan_ok=True)


def test_distance_is_that_to_the_nearest(make_grid):
    water = np.random.default_rng(1).random((12, 13)) < 0.03
    water[5, 5] = True
    grid = ground(make_grid, np.where(water, 80.0, 10.0))
    found = field(grid, Distance("z", (80,), reach=6))
    places = np.argwhere(water)
    for pixel in np.ndindex(12, 13):
        nearest = np.hypot(*(places - pixel).T).min() * 100
        assert found[pixel] == pytest.approx(min(nearest, 600))


@settings(max_examples=15)
@given(rows=st.integers(1, 12), columns=st.integers(1, 13), reach=st.integers(1, 20))
def test_tiles_change_nothing(rows, columns, reach):
    import xarray as xr

    from deepcube.cubes.conventions import to_grid

    generator = np.random.default_rng(2)
    data = {
        "v": (("time", "y", "x"), np.zeros((2, 12, 13))),
        "z": (("y", "x"), np.where(generator.random((12, 13)) < 0.05, 80.0, generator.normal(size=(12, 13)))),
    }
    axes = {"time": TIMES, "y": 60 - 0.01 * np.arange(12), "x": 5 + 0.01 * np.arange(13)}
    grid = to_grid(xr.Dataset(data, axes), "main", "test", "EPSG:4326")
    for feature in (Slope("z"), Aspect("z"), Tpi("z", 2), Distance("z", (80,), reach)):
        whole = field(grid, feature)
        assert np.allclose(field(grid, feature, tile=(rows, columns)), whole, atol=1e-9, equal_nan=True)


def test_zones_weight_pixels_by_the_share_inside(make_grid):
    values = np.arange(24, dtype=float).reshape(1, 4, 6) * np.ones((3, 1, 1)) + np.arange(3).reshape(3, 1, 1)
    grid = make_grid({"v": values}, pd.date_range("2020-01-01", periods=3), crs="EPSG:3035", spacing=100.0)
    x0, y0 = 5e6 - 50, 2e6 + 50  # outer corner
    shapes = {
        "two and a half": box(x0, y0 - 100, x0 + 250, y0),
        "parts": MultiPolygon([box(x0, y0 - 100, x0 + 100, y0), box(x0 + 500, y0 - 400, x0 + 600, y0 - 300)]),
        "outside": box(0, 0, 1, 1),
    }
    zones = zone_weights(grid, shapes)
    rows = pa.concat_tables(zonal_rows(grid.dataset["v"], zones, block=2)).to_pandas()
    mean = rows.pivot(index="time", columns="zone", values="value")
    assert len(rows) == 9
    assert np.allclose(mean["two and a half"], (0 + 1 + 0.5 * 2) / 2.5 + np.arange(3))
    assert np.allclose(mean["parts"], (0 + 23) / 2 + np.arange(3))
    assert mean["outside"].isna().all()
    total = pa.concat_tables(zonal_rows(grid.dataset["v"], zones, "sum")).to_pandas()
    assert total[total["zone"] == "two and a half"]["value"].iloc[0] == pytest.approx(2.0)
    for statistic, expected in (("min", 0.0), ("max", 23.0), ("majority", 0.0)):
        found = pa.concat_tables(zonal_rows(grid.dataset["v"], zones, statistic)).to_pandas()
        assert found[found["zone"] == "parts"]["value"].iloc[0] == expected


def test_areas_of_zones_are_right_and_gaps_are_told(make_grid):
    values = np.ones((1, 20, 20))
    values[0, :, 10:] = np.nan
    grid = make_grid({"v": values}, TIMES[:1], crs="EPSG:3035", spacing=100.0)
    circle = Point(5e6 + 950, 2e6 - 950).buffer(700)
    zones = zone_weights(grid, {"circle": circle})
    assert zones.weights[0].sum() * 1e4 == pytest.approx(circle.area, rel=0.01)
    row = next(zonal_rows(grid.dataset["v"], zones)).to_pylist()[0]
    assert row["value"] == 1.0 and row["valid_share"] == pytest.approx(0.5, abs=0.01)


def test_what_makes_no_sense_is_refused(make_grid):
    grid = ground(make_grid, np.zeros((3, 3)))
    with pytest.raises(FeatureError, match="y and x only"):
        field(grid, Slope("v"))
    with pytest.raises(FeatureError, match="at least 1"):
        Distance("z", (1,), reach=0)
