"""``deepcube cubes`` as a user types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner

from deepcube.cubes import (
    Cube,
    Grid,
    NotACubeError,
    UnknownVariableError,
    check_cube,
    open_cube,
    quick_look,
    write_cube,
)
from deepcube.cubes.pictures import _image
from deepcube.cubes.publish import publish
from deepcube.cubes.simulate import simulate
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


@pytest.mark.parametrize("width", [80, 120])
def test_info_cuts_no_names(width: int, dataset: xr.Dataset, tmp_path: Path) -> None:
    long = "daily_precipitation_of_the_reanalysis_downscaled_to_pixels"
    named = dataset.rename({"nobs": long, "ndvi": "1 km 16 days NDVI"})
    named.to_netcdf(tmp_path / "a.nc")
    result = CliRunner().invoke(
        cubes, ["info", str(tmp_path / "a.nc")], catch_exceptions=False, env={"COLUMNS": str(width)}
    )
    lines = result.output.splitlines()
    rule = next(number for number, line in enumerate(lines) if line.startswith("\u2500"))
    names = "".join(line[:40].strip() for line in lines[rule + 1 :])  # the widest that the column of names gets
    assert long in names and "1 km 16 days NDVI" in names and "\u2026" not in result.output
    assert "main  time=6 y=4 x=3" in result.output


def test_info_tells_what_all_variables_share_once(dataset: xr.Dataset, tmp_path: Path) -> None:
    data = dataset[["ndvi"]].assign(evi=dataset["ndvi"])
    data.to_netcdf(tmp_path / "a.nc")
    shown = CliRunner().invoke(cubes, ["info", str(tmp_path / "a.nc")], env={"COLUMNS": "80"}).output
    assert "kind continuous, over time mean, chunks 1 of 6x4x3" in " ".join(shown.split())
    assert shown.count("continuous") == 1 and "gap" not in shown.split("variable")[1]


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate("drought", tmp_path_factory.mktemp("s") / "dry", seed=3, size="tiny").folder


def test_info_of_a_simulation_says_where_the_truth_lies(simulation: Path) -> None:
    shown = CliRunner().invoke(cubes, ["info", str(simulation)], catch_exceptions=False, env={"COLUMNS": "80"}).output
    assert shown.startswith("dry  simulated") and f"truth: {simulation / 'truth.zarr'}" in shown
    found = json.loads(CliRunner().invoke(cubes, ["info", str(simulation), "--json"], catch_exceptions=False).output)
    assert found["truth"] == str(simulation / "truth.zarr") and len(found["grids"]) == 3
    (held,) = [v for grid in found["grids"] for v in grid["variables"] if v["name"] == "s2_SCL"]
    assert (held["kind"], held["time"]) == ("categorical", "commonest")


def test_a_published_cube_opens_by_its_folder_and_by_its_item(simulation: Path, tmp_path: Path) -> None:
    item = publish(open_cube(simulation), tmp_path / "out", licence="CC-BY-4.0")
    for place in (tmp_path / "out", item):
        cube = open_cube(place)
        assert cube.name == "dry" and cube.simulated and len(cube.grids) == 3
    shutil.rmtree(tmp_path / "out" / "cube.zarr")
    with pytest.raises(NotACubeError, match=r"names cube.zarr as its cube, which is not there"):
        open_cube(item)


def test_simulated_tables_and_damaged_descriptions_are_no_cubes(tmp_path: Path) -> None:
    for text, message in (('{"data": "panel.parquet"}', "a simulated table"), ("{", "is damaged")):
        (tmp_path / "simulation.json").write_text(text)
        with pytest.raises(NotACubeError, match=message):
            open_cube(tmp_path)
    (tmp_path / "simulation.json").write_text('{"data": "../elsewhere.zarr"}')
    with pytest.raises(NotACubeError, match="is not there"):
        open_cube(tmp_path)


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


def test_a_quick_look_shows_the_time_at_which_there_is_something_to_see(tmp_path: Path) -> None:
    (tmp_path / "ps.csv").write_text("lon,lat,D20200101,D20200107\n1.0,2.0,0,1\n1.1,2.1,0,4\n")
    cube = open_cube(tmp_path / "ps.csv")
    image, when = _image(cube["displacement"], None)
    assert when == "2020-01-07", "displacement is 0 everywhere on the first date"
    np.testing.assert_array_equal(image, [1, 4])


def test_a_variable_that_is_not_there_is_named_with_those_that_are(dataset: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(UnknownVariableError, match=r"no variable 'snow'; it has .*ndvi"):
        quick_look(open_cube(_written(dataset, tmp_path)), tmp_path / "p.png", "snow")


def _written(dataset: xr.Dataset, folder: Path) -> Path:
    dataset.to_netcdf(folder / "a.nc")
    return folder / "a.nc"


def test_what_is_no_cube_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="nothing at"):
        CliRunner().invoke(cubes, ["info", str(tmp_path / "nowhere")], catch_exceptions=False)
