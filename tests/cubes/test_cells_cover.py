"""Cells and areas: outlines, sets of mixed levels, neighbours."""

import subprocess
import sys

import numpy as np
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, Polygon, shape

import deepcube.cubes
from deepcube.cubes import (
    CellError,
    cell_area,
    cell_at,
    cell_centre,
    cell_features,
    cell_level,
    cell_polygons,
    children,
    compact,
    contains,
    cover,
    expand,
    neighbours,
    parent,
)

cells = st.builds(
    lambda lon, lat, level: int(cell_at(lon, lat, level)),
    st.floats(-180, 180), st.floats(-89.9, 89.9), st.integers(0, 12),
)  # fmt: skip


@given(st.lists(cells, min_size=1, max_size=20))
def test_outlines_hold_their_centres_and_have_the_cells_area(ids):
    outlines = cell_polygons(ids, points=8)
    geod = pyproj.Geod(ellps="WGS84")
    longitude, latitude = cell_centre(ids)
    for cell, outline, lon, lat in zip(ids, outlines, longitude, latitude, strict=True):
        assert np.ptp(outline[:, 0]) <= 180 + 1e-9 or np.abs(outline[:, 1]).max() > 80
        if np.abs(lat) < 60 and cell_level(cell) >= 3:  # around the poles, longitudes are no plane coordinates
            middle = np.array([lon + 360 * np.round((outline[:, 0].mean() - lon) / 360), lat])
            assert Polygon(outline).buffer(1e-9).contains(Point(middle))
            area = abs(geod.polygon_area_perimeter(*outline.T)[0])
            assert area == pytest.approx(cell_area(int(cell_level(cell))), rel=0.02)


@settings(max_examples=40)
@given(st.lists(cells, min_size=1, max_size=12), st.integers(0, 2))
def test_compact_keeps_the_area_and_expand_undoes_it(ids, finer):
    level = int(cell_level(ids).max()) + finer
    if level - int(cell_level(ids).min()) > 7:
        return  # too many children to count
    few = compact(ids)
    assert np.array_equal(expand(few, level), expand(ids, level))
    assert np.array_equal(compact(expand(ids, level)), few)
    assert len(few) <= len(set(ids)) and (np.diff(few) > 0).all()
    assert contains(few, np.array(ids)).all()


def test_all_cells_of_a_level_are_the_twelve_base_cells():
    base = np.unique(cell_at(*np.meshgrid(np.linspace(-180, 179, 60), np.linspace(-89, 89, 40)), 0))
    assert len(base) == 12
    assert np.array_equal(compact(children(base, 4).ravel()), base)


def test_a_cover_is_what_the_polygon_touches():
    polygon = Point(42.0, 2.5).buffer(1.5)
    inside, edge = cover(polygon, 9)
    assert len(np.unique(cell_level(inside))) > 2 and set(cell_level(edge)) == {9}
    generator = np.random.default_rng(0)
    lon, lat = generator.uniform(40, 44, 4000), generator.uniform(0.5, 4.5, 4000)
    within = np.array([polygon.contains(Point(p)) for p in zip(lon, lat, strict=True)])
    fine = cell_at(lon, lat, 14)
    assert contains(np.concatenate([inside, edge]), fine)[within].all()
    assert within[contains(inside, fine)].all()
    assert not contains(inside, np.zeros(0, dtype=np.int64)).size
    assert not contains(np.zeros(0, dtype=np.int64), fine).any()


def test_a_real_district_is_covered(shared_data):
    import json

    districts = json.loads((shared_data / "somalia-admin" / "Som_Admbnda_Adm2_UNDP.json").read_text())
    geometry = districts["features"][0]["geometry"]
    inside, edge = cover(geometry, 12)
    area = sum(cell_area(int(level)) for level in cell_level(inside))
    geod = pyproj.Geod(ellps="WGS84")
    true = abs(geod.geometry_area_perimeter(shape(geometry))[0])
    assert area <= true <= area + len(edge) * cell_area(12)
    assert len(inside) < true / cell_area(12) / 3


@given(st.floats(-180, 180), st.floats(-80, 80), st.integers(2, 20))
def test_neighbours_touch(longitude, latitude, level):
    cell = int(cell_at(longitude, latitude, level))
    found = neighbours([cell])[0]
    known = found[found >= 0]
    assert len(found) == 9 and len(known) in (8, 9) and cell in known and len(set(known)) == len(known)
    assert all(cell in neighbours([other])[0] for other in known)
    assert (cell_level(known) == level).all()


def test_features_are_geojson_whose_identifiers_survive_javascript():
    ids = cell_at([10.0, 179.9999], [50.0, 0.0], 20)
    collection = cell_features(ids)
    assert [int(f["properties"]["cell_id"]) for f in collection["features"]] == ids.tolist()
    for feature, cell in zip(collection["features"], ids, strict=True):
        ring = feature["geometry"]["coordinates"][0]
        assert ring[0] == ring[-1] and len(ring) == 5
        assert Polygon(ring).exterior.is_ccw
        assert parent(cell_at(*Polygon(ring).centroid.coords[0], 21), 20) == cell


def test_what_makes_no_sense_is_refused():
    a, b = cell_at(0.0, 0.0, 3), cell_at(0.0, 0.0, 5)
    with pytest.raises(CellError, match="one level"):
        neighbours([a, b])
    with pytest.raises(CellError, match="rings"):
        neighbours([a], rings=9)
    with pytest.raises(CellError, match="at least 1"):
        cell_polygons([a], points=0)
    with pytest.raises(CellError):
        expand([b], 4)


def test_cells_load_no_readers_of_rasters():
    heavy = "{'xarray', 'dask', 'rioxarray', 'rasterio', 'tensorstore'}"
    code = (
        f"import sys; from deepcube.cubes import cover, cell_at, grid_level; sys.exit(str({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "set()"


def test_public_names_are_those_that_are_listed():
    for name in deepcube.cubes.__all__:
        assert getattr(deepcube.cubes, name) is not None and name in dir(deepcube.cubes)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        deepcube.cubes.nothing  # noqa: B018
