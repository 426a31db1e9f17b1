"""Patches in the layout of eo-learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deepcube.cubes import NotACubeError, TimeAxisError, open_cube


def test_features_become_variables(eopatch: Path) -> None:
    cube = open_cube(eopatch)
    assert set(cube.variables) == {"NDVI", "BANDS_0", "BANDS_1", "CLM", "DEM"}
    assert cube.variables["CLM"].kind == "categorical"
    assert cube["DEM"].dims == ("y", "x")
    bands = np.load(eopatch / "data" / "BANDS.npy")
    np.testing.assert_array_equal(cube["BANDS_1"].to_numpy(), bands[..., 1])
    grid = cube.grids[0]
    assert grid.crs is not None and grid.crs.to_epsg() == 32633
    assert (grid.dataset.y.to_numpy() == [70.0, 50.0, 30.0, 10.0]).all()


def test_pickles_are_not_loaded(eopatch: Path) -> None:
    np.save(eopatch / "data" / "EVIL.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(NotACubeError, match="damaged eo-learn patch"):
        open_cube(eopatch)


def test_features_of_different_size_are_refused(eopatch: Path) -> None:
    np.save(eopatch / "data" / "EVI.npy", np.zeros((3, 4, 6, 1)))
    with pytest.raises(NotACubeError, match="different sizes"):
        open_cube(eopatch)


def test_times_are_utc(eopatch: Path) -> None:
    stamps = ["2020-01-01T10:00:00+02:00", "2020-01-06T10:00:00Z", "2020-01-11"]
    (eopatch / "timestamps.json").write_text(json.dumps(stamps))
    times = open_cube(eopatch).grids[0].times
    assert times.tz is None and times.strftime("%dT%H").tolist() == ["01T08", "06T10", "11T00"]


def test_duplicate_timestamps_are_refused(eopatch: Path) -> None:
    (eopatch / "timestamps.json").write_text(json.dumps(["2020-01-01", "2020-01-01", "2020-01-11"]))
    with pytest.raises(TimeAxisError, match=r"more than once \(2020-01-01\)"):
        open_cube(eopatch)
