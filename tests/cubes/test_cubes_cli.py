"""``deepcube cubes`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import xarray as xr
from click.testing import CliRunner

from deepcube.cubes import open_cube
from jobs.cli.cubes import cubes
from jobs.cli.errors import PlatformError


def test_info_as_json_and_as_tables(dataset: xr.Dataset, tmp_path: Path) -> None:
    dataset.to_netcdf(tmp_path / "a.nc")
    found = json.loads(
        CliRunner().invoke(cubes, ["info", str(tmp_path / "a.nc"), "--json"], catch_exceptions=False).output
    )
    (grid,) = found["grids"]
    assert (grid["crs"], grid["step"], grid["times"], grid["shape"]) == ("EPSG:32637", "10-day", 6, [4, 3])
    assert grid["resolution"] == [30, 30] and grid["extent"] == [499985, 999895, 500075, 1000015]
    held = {variable["name"]: variable for variable in grid["variables"]}
    assert (held["ndvi"]["units"], held["ndvi"]["time"], held["nobs"]["time"]) == ("1", "mean", "sum")
    assert held["dem"]["time"] == "static" and held["SCL"]["kind"] == "categorical"
    shown = CliRunner().invoke(cubes, ["info", str(tmp_path / "a.nc")], catch_exceptions=False, env={"COLUMNS": "200"})
    assert "6 times, 10-day" in shown.output and "greenness" in shown.output


def test_rechunk(dataset: xr.Dataset, tmp_path: Path) -> None:
    dataset.to_netcdf(tmp_path / "a.nc")
    arguments = ["rechunk", str(tmp_path / "a.nc"), str(tmp_path / "b.zarr"), "--chunks", "2,3,3"]
    CliRunner().invoke(cubes, arguments, catch_exceptions=False)
    cube = open_cube(tmp_path / "b.zarr")
    assert cube["ndvi"].encoding["chunks"] == (2, 3, 3)
    xr.testing.assert_allclose(cube["ndvi"].drop_vars("spatial_ref"), dataset["ndvi"].drop_vars("spatial_ref"))
    assert CliRunner().invoke(cubes, [*arguments[:3], "--chunks", "two"]).exit_code == 2


def test_what_is_no_cube_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="nothing at"):
        CliRunner().invoke(cubes, ["info", str(tmp_path / "nowhere")], catch_exceptions=False)
