"""``deepcube cubes`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner

from deepcube.cubes import Cube, Grid, check_cube, open_cube, quick_look, write_cube
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


def test_check_finds_what_is_wrong(dataset: xr.Dataset, tmp_path: Path) -> None:
    path = write_cube(open_cube(_written(dataset, tmp_path)), tmp_path / "b.zarr", layout={"time": 1})
    fine = CliRunner().invoke(cubes, ["check", str(path), "--json"], catch_exceptions=False)
    assert fine.exit_code == 0 and json.loads(fine.output) == []
    (path / "main" / "ndvi" / "c" / "2" / "0" / "0").unlink()
    (path / "main" / "nobs" / "c" / "3" / "0" / "0").write_bytes(b"this is no chunk")
    found = CliRunner().invoke(cubes, ["check", str(path)], catch_exceptions=False, env={"COLUMNS": "250"})
    assert found.exit_code == 1
    assert "1 of 6 chunk files are not there" in found.output and "cannot be read at time 0-6" in found.output
    quick = CliRunner().invoke(cubes, ["check", str(path), "--quick", "--json"], catch_exceptions=False)
    assert [problem["where"] for problem in json.loads(quick.output)] == ["ndvi"]


def test_check_knows_units_ranges_and_gaps(dataset: xr.Dataset) -> None:
    data = dataset.isel(time=[0, 1, 2, 5]).assign_coords(y=[9.0, 6.0, 5.0, 4.0])
    data["ndvi"].attrs |= {"valid_min": 0.0, "valid_max": 0.5}
    data["dem"][:] = np.nan
    data["t"] = (data["ndvi"] * 0 + 4).drop_attrs()
    data["t"][0, 0, 0] = np.inf
    cube = Cube("bad", (Grid("main", data, None),), "memory", notes=("times were moved",))
    found = {(p.where, p.severity): p.what for p in check_cube(cube)}
    assert "no valid value" in found["dem", "error"]
    assert "outside the valid range 0 to 0.5" in found["ndvi", "error"]
    assert "1 infinite" in found["t", "error"] and found["bad", "warning"] == "times were moved"
    texts = [problem.what for problem in check_cube(cube, values=False)]
    assert any("about 2 steps of 10 days" in text for text in texts) and any("no units" in text for text in texts)
    assert any("y is not evenly spaced" in text for text in texts)
    assert any("no coordinate reference system" in text for text in texts)


@pytest.mark.parametrize("options", [[], ["--variable", "SCL", "--time", "2020-02-01"], ["--variable", "dem"]])
def test_quick_look(dataset: xr.Dataset, tmp_path: Path, options: list[str]) -> None:
    picture = tmp_path / "p.png"
    arguments = ["view", str(_written(dataset, tmp_path)), "--out", str(picture), *options]
    CliRunner().invoke(cubes, arguments, catch_exceptions=False)
    with rasterio.open(picture) as file:
        pixels = file.read()
    assert min(pixels.shape[1:]) > 500 and len(np.unique(pixels)) > 20


def test_quick_look_of_points(tmp_path: Path) -> None:
    (tmp_path / "ps.csv").write_text("lon,lat,D20200101,D20200107\n1.0,2.0,0,1\n1.1,2.1,3,4\n")
    assert quick_look(open_cube(tmp_path / "ps.csv"), tmp_path / "p.png").stat().st_size > 5000


def _written(dataset: xr.Dataset, folder: Path) -> Path:
    dataset.to_netcdf(folder / "a.nc")
    return folder / "a.nc"


def test_what_is_no_cube_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="nothing at"):
        CliRunner().invoke(cubes, ["info", str(tmp_path / "nowhere")], catch_exceptions=False)
