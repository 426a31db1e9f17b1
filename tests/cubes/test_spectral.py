"""NDVI and cloud masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcube.cubes import SCL_LAND, ndvi, scl_clear

reflectance = st.floats(0, 1)


@given(reflectance, reflectance, st.sampled_from([1.0, 10_000.0]))
def test_ndvi_is_bounded_antisymmetric_and_free_of_scale(red: float, nir: float, scale: float) -> None:
    value = ndvi(red * scale, nir * scale)
    if red + nir > 1e-6:
        assert -1 <= value <= 1
        assert value == pytest.approx((nir - red) / (nir + red), abs=1e-9)
        assert ndvi(nir, red) == pytest.approx(-value, abs=1e-9)


def test_ndvi_of_unknown_or_impossible_bands_is_a_gap() -> None:
    red, nir = np.array([np.nan, 0.1, 0.0, -0.1, 0.1]), np.array([0.5, np.nan, 0.0, 0.5, -0.5])
    assert np.isnan(ndvi(red, nir)).all()


def test_clear_classes() -> None:
    codes = np.array([*range(12), np.nan])
    assert np.flatnonzero(scl_clear(codes)).tolist() == [4, 5, 6, 7]
    assert np.flatnonzero(scl_clear(codes, SCL_LAND)).tolist() == [4, 5]
