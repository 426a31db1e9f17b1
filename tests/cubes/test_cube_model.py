"""Names, kinds and places."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st

from deepcube.cubes import CubeError, Grid, TimeAxisError, slug
from deepcube.cubes.conventions import parse_crs
from deepcube.cubes.variables import describe


@given(st.text(max_size=80))
def test_slugs_are_valid_names_and_stable(text: str) -> None:
    try:
        name = slug(text)
    except CubeError:
        assert not any(c.isascii() and c.isalnum() for c in text.lower())
        return
    assert name.isidentifier() and name == name.lower() and len(name) <= 40
    assume(len(name) < 40)
    assert slug(name) == name


@pytest.mark.parametrize(
    ("name", "attrs", "dtype", "kind"),
    [
        ("SCL", {}, "uint8", "categorical"),
        ("s2_mask", {}, "float32", "categorical"),
        ("LC100", {}, "float64", "categorical"),
        ("quality", {"flag_masks": [1, 2]}, "float64", "categorical"),
        ("burned", {}, "bool", "categorical"),
        ("nobs", {}, "int16", "count"),
        ("fires", {"units": "count"}, "int16", "count"),
        ("ndvi", {}, "float32", "continuous"),
        ("classic_index", {}, "float32", "continuous"),
        ("SCL", {"kind": "continuous"}, "uint8", "continuous"),
    ],
)
def test_kinds(name: str, attrs: dict[str, object], dtype: str, kind: str) -> None:
    data = xr.DataArray(np.zeros((1, 2, 2), dtype), dims=("time", "y", "x"), name=name, attrs=attrs)
    assert describe("main", data).kind == kind


def test_static_grid_has_no_times() -> None:
    grid = Grid("dem", xr.Dataset({"dem": (("y", "x"), np.zeros((2, 2)))}, {"y": [1.0, 0.0], "x": [0.0, 1.0]}), None)
    with pytest.raises(TimeAxisError, match="static"):
        _ = grid.times


def test_coordinates_off_the_map_are_refused() -> None:
    data = xr.Dataset({"a": (("y", "x"), np.zeros((2, 2)))}, {"y": [1e12, 0.0], "x": [0.0, 1e12]})
    with pytest.raises(CubeError, match="does not map to the Earth"):
        Grid("main", data, parse_crs("EPSG:32637")).longitude_latitude()
