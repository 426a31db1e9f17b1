"""The cell system."""

from __future__ import annotations

import healpix_geo.nested as healpix
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcube.cubes import (
    CellError,
    cell_area,
    cell_at,
    cell_centre,
    cell_level,
    children,
    descendant_range,
    level_for_spacing,
    parent,
    pixel_cells,
    polygon_cells,
)

levels = st.integers(0, 29)
longitudes = st.floats(-180, 180)
latitudes = st.floats(-90, 90)


@given(longitudes, latitudes, levels)
def test_ids_are_positive_carry_their_level_and_match_healpix(longitude: float, latitude: float, level: int) -> None:
    cell = cell_at([longitude], [latitude], level)
    assert cell.dtype == np.int64 and cell[0] > 0
    assert cell_level(cell).tolist() == [level]
    number = healpix.lonlat_to_healpix(np.array([longitude]), np.array([latitude]), level, ellipsoid="WGS84")
    assert healpix.to_zuniq(number, level).astype(np.int64).tolist() == cell.tolist()


@given(longitudes, latitudes, levels)
def test_the_centre_of_a_cell_lies_in_it(longitude: float, latitude: float, level: int) -> None:
    cell = cell_at([longitude], [latitude], level)
    centre = cell_centre(cell)
    assert -180 <= centre[0][0] < 180
    assert cell_at(*centre, level).tolist() == cell.tolist()


@given(longitudes, latitudes, levels, levels)
def test_parents_contain_their_cells(longitude: float, latitude: float, a: int, b: int) -> None:
    coarse, fine = sorted((a, b))
    cell = cell_at([longitude], [latitude], fine)
    above = parent(cell, coarse)
    assert above.tolist() == cell_at([longitude], [latitude], coarse).tolist()
    low, high = descendant_range(above)
    assert low[0] <= cell[0] <= high[0]
    assert parent(above, 0).tolist() == parent(cell, 0).tolist()


@given(longitudes, latitudes, st.integers(0, 26), st.integers(0, 3))
def test_children_are_the_cells_whose_parent_it_is(longitude: float, latitude: float, level: int, depth: int) -> None:
    cell = cell_at([longitude], [latitude], level)
    inside = children(cell, level + depth)
    assert inside.shape == (1, 4**depth)
    assert (np.diff(inside) > 0).all()
    assert (parent(inside, level) == cell).all()
    assert cell_at([longitude], [latitude], level + depth)[0] in inside


@given(longitudes, latitudes, longitudes, latitudes, levels, levels)
def test_ranges_overlap_only_for_ancestors(lon1: float, lat1: float, lon2: float, lat2: float, a: int, b: int) -> None:
    one, two = cell_at([lon1], [lat1], a), cell_at([lon2], [lat2], b)
    low, high = descendant_range(one)
    contained = bool((low <= two)[0] and (two <= high)[0])
    assert contained == (b >= a and parent(two, a)[0] == one[0])


def test_dateline_and_poles() -> None:
    assert cell_at([180.0], [10.0], 15) == cell_at([-180.0], [10.0], 15)
    assert cell_at([190.0], [10.0], 15) == cell_at([-170.0], [10.0], 15)
    for pole in (90.0, -90.0):
        assert cell_level(cell_at(np.arange(0, 360, 30.0), np.full(12, pole), 10)).tolist() == [10] * 12
    east, west = cell_at([179.999], [0.0], 8), cell_at([-179.999], [0.0], 8)
    cells, _ = polygon_cells([[179.5, -1], [-179.5, -1], [-179.5, 1], [179.5, 1]], 8)
    assert {*east.tolist(), *west.tolist()} <= set(cells.tolist())
    assert len(cells) < 100


def test_cells_of_a_level_cover_the_ellipsoid_with_equal_areas() -> None:
    """Uniform points on the ellipsoid (uniform in longitude and authalic sine) fall evenly into cells."""
    rng = np.random.default_rng(0)
    e = np.sqrt(0.0066943799901413165)  # WGS84
    latitude = np.radians(np.linspace(-90, 90, 200_001))
    s = np.sin(latitude)
    q = (1 - e**2) * (s / (1 - e**2 * s**2) + np.arctanh(e * s) / e)  # Snyder 1987, equation 3-12
    sampled = np.degrees(np.interp(rng.uniform(q[0], q[-1], 480_000), q, latitude))
    counts = np.unique(cell_at(rng.uniform(-180, 180, 480_000), sampled, 1), return_counts=True)[1]
    assert len(counts) == 48
    assert np.abs(counts - 10_000).max() < 500  # five standard deviations
    assert cell_area(1) * 48 == pytest.approx(cell_area(0) * 12)


def test_polygon_cells_cover_every_point_of_the_polygon() -> None:
    rng = np.random.default_rng(1)
    cells, inside = polygon_cells([[41.9, -0.15], [42.15, -0.15], [42.15, 0.1], [41.9, 0.1], [41.9, -0.15]], 12)
    points = cell_at(rng.uniform(41.9, 42.15, 5000), rng.uniform(-0.15, 0.1, 5000), 12)
    assert np.isin(points, cells).all()
    longitude, latitude = cell_centre(cells[inside])
    assert (
        (longitude > 41.9).all() and (longitude < 42.15).all() and (latitude > -0.15).all() and (latitude < 0.1).all()
    )


def test_holes_and_parts_of_polygons() -> None:
    outer = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
    hole = [[1, 1], [3, 1], [3, 3], [1, 3], [1, 1]]
    whole, _ = polygon_cells({"type": "Polygon", "coordinates": [outer]}, 8)
    ring, inside = polygon_cells({"type": "Polygon", "coordinates": [outer, hole]}, 8)
    centre = cell_at([2.0], [2.0], 8)[0]
    edge = cell_at([1.0], [2.0], 8)[0]
    assert centre in whole and centre not in ring
    assert edge in ring and not inside[ring == edge][0]
    both, _ = polygon_cells({"type": "MultiPolygon", "coordinates": [[outer], [hole]]}, 8)
    assert both.tolist() == whole.tolist()


@given(st.floats(0.1, 1e6))
def test_level_for_a_spacing_is_the_coarsest_that_is_no_larger(metres: float) -> None:
    level = level_for_spacing(metres)
    assert cell_area(level) <= metres**2
    assert level == 0 or cell_area(level - 1) > metres**2


@given(st.floats(-179, 179), st.floats(-85, 85), st.floats(1e-4, 0.1))
def test_every_pixel_gets_a_cell_of_its_own(longitude: float, latitude: float, spacing: float) -> None:
    lon, lat = np.meshgrid(longitude + spacing * np.arange(12), latitude + spacing * np.arange(8))
    cells, level = pixel_cells(lon, lat)
    assert len(np.unique(cells)) == cells.size
    assert (cell_level(cells) == level).all()


def test_tiles_of_one_product_share_their_level() -> None:
    tiles = [np.meshgrid(20 + x + 0.05 * np.arange(20), 0.05 * np.arange(20)) for x in (0, 1, 2.37)]
    assert len({pixel_cells(*tile)[1] for tile in tiles}) == 1


def test_a_single_pixel_has_a_cell() -> None:
    cells, level = pixel_cells([[42.0]], [[0.0]])
    assert cells.shape == (1, 1) and 0 <= level <= 29


def bad_calls() -> dict[str, object]:
    return {
        "without a place on Earth": lambda: cell_at([0.0, np.nan], [0.0, 0.0], 3),
        "latitude 91": lambda: cell_at([0.0], [91.0], 3),
        "levels 0 to 29": lambda: cell_at([0.0], [0.0], 30),
        "identifies no cell": lambda: cell_level([0]),
        "Found 2, which": lambda: cell_level([2]),
        "Found -8": lambda: cell_centre([-8]),
        "dtype float64": lambda: cell_level([1.0]),
        "Use children": lambda: parent(cell_at([0.0], [0.0], 3), 4),
        "Group them by": lambda: children(np.concatenate([cell_at([0.0], [0.0], level) for level in (2, 3)]), 5),
        "fall into": lambda: pixel_cells(*np.meshgrid([0.0, 1.0], [0.0, 1.0]), level=2),
        "same or no centre": lambda: pixel_cells([[0.0, 0.0]], [[1.0, 1.0]]),
        "type 'Point'": lambda: polygon_cells({"type": "Point", "coordinates": [0, 0]}, 3),
        "at least three": lambda: polygon_cells([[0, 0], [1, 1], [0, 0]], 3),
        "positive length": lambda: level_for_spacing(0.0),
        "12 mm": lambda: level_for_spacing(1e-6),
    }


@pytest.mark.parametrize("message", bad_calls())
def test_bad_input_is_refused(message: str) -> None:
    with pytest.raises(CellError, match=message):
        bad_calls()[message]()  # type: ignore[operator]
