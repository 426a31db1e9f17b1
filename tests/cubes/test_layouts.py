"""Points, pairs of dates, labelled patches, height tiles, folders of NetCDF: small ones and the real ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner

from deepcube.cubes import NotACubeError, TimeAxisError, UnknownVariableError, open_cube, write_cube
from jobs.cli.cubes import cubes
from tests.cubes.conftest import WriteTiff

REAL = [
    ("bfast-modis", "275 times, about 16-day: 2000-02-18"),
    ("eolearn-testeopatch", "68 times, irregular"),
    ("era5-c3s-xcube-cds", "m3 m-3"),
    ("xcube-demo-cube", "mg m^-3"),
    ("srtm-campi-flegrei", "elevation"),
    ("pyrate-cropA", "primary_date: 2018-01-06 to"),
    ("egms-offida", "260 times, 7-day: 2018-01-02 to 2022-12-20"),
    ("insar-volcano-patches", "patch=664 y=224 x=224"),
]


@pytest.mark.parametrize(("folder", "shown"), REAL)
def test_real_folders_open_as_they_are(shared_data: Path, folder: str, shown: str) -> None:
    result = CliRunner().invoke(
        cubes, ["info", str(shared_data / folder)], catch_exceptions=False, env={"COLUMNS": "220"}
    )
    assert result.exit_code == 0 and shown in result.output


def test_real_points(shared_data: Path) -> None:
    cube = open_cube(shared_data / "egms-offida")
    (grid,) = cube.grids
    assert grid.points and grid.shape == (197,) and cube.variables["displacement"].units == "mm"
    longitude, latitude = grid.longitude_latitude()
    assert longitude.min() > 13.6 and longitude.max() < 13.8 and latitude.min() > 42.9 and latitude.max() < 43.0
    velocity = cube["VEL"].to_numpy()
    years = (grid.times - grid.times[0]).days.to_numpy() / 365.25
    slope = np.polyfit(years, cube["displacement"].to_numpy(), 1)[0]
    assert np.corrcoef(slope, velocity)[0, 1] > 0.95  # the file's own velocity, from its own series


def test_real_interferograms(shared_data: Path) -> None:
    cube = open_cube(shared_data / "pyrate-cropA")
    assert cube["unwrapped_phase"].dims == ("pair", "y", "x") and cube["unwrapped_phase"].shape == (30, 60, 100)
    assert 0 < float(np.nanmin(cube["coherence"])) < float(np.nanmax(cube["coherence"])) <= 1
    assert 2200 < float(np.nanmean(cube["dem"])) < 2300  # Mexico City
    dates = cube.grids[0].dataset
    assert (dates["primary_date"] < dates["secondary_date"]).all()
    first, second = (pd.Timestamp(dates[f"{part}_date"].values[3]) for part in ("primary", "secondary"))
    name = f"cropA_{first:%Y%m%d}-{second:%Y%m%d}"
    (file,) = (shared_data / "pyrate-cropA" / "geotiffs").glob(f"{name}*unw.tif")
    with rasterio.open(file) as one:
        plain = one.read(1)
    np.testing.assert_array_equal(cube["unwrapped_phase"][3].fillna(0), plain)


def test_real_patches(shared_data: Path) -> None:
    cube = open_cube(shared_data / "insar-volcano-patches")
    data = cube.grids[0].dataset
    assert data["label"].attrs["flag_meanings"] == "deformation none"
    counts = pd.Series(data["split"].values + "/" + data["label"].astype(str).values).value_counts().to_dict()
    assert counts == {"train/0": 150, "train/1": 450, "test/0": 32, "test/1": 32}
    phase = cube["wrapped_phase"].isel(patch=slice(0, 664, 60)).to_numpy()
    assert phase.shape == (12, 224, 224) and np.abs(phase).max() <= np.pi + 1e-6 and phase.std() > 1


def test_real_tile(shared_data: Path) -> None:
    cube = open_cube(shared_data / "srtm-campi-flegrei")
    heights = cube["elevation"]
    assert (float(heights.min()), float(heights.max())) == (-10, 1781)
    vesuvius = heights.sel(x=14.426, y=40.821, method="nearest")
    assert 900 < float(vesuvius) < 1282


def test_points_from_a_csv_round_trip(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"pid": ["a", "b"], "easting": [4.5e6, 4.6e6], "northing": [2e6, 2.1e6], "mean_velocity": [1, -2]}
    )
    table["20200101"], table["20200107"], table["20200113"] = [0, 0], [1, -1], [2, np.nan]
    table.to_csv(tmp_path / "ps.csv", index=False)
    cube = open_cube(tmp_path / "ps.csv")
    assert cube.grids[0].crs is not None and cube.grids[0].crs.to_epsg() == 3035
    np.testing.assert_array_equal(cube["displacement"], [[0, 0], [1, -1], [2, np.nan]])
    again = open_cube(write_cube(cube, tmp_path / "ps.zarr"))
    assert again.grids[0].points
    np.testing.assert_array_equal(again["displacement"], cube["displacement"])
    np.testing.assert_array_equal(again.grids[0].dataset["x"], [4.5e6, 4.6e6])


def test_points_without_a_place_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("lon,lat,D20200101,D20200107\n1.0,2.0,0,1\n,2.0,0,1\n")
    with pytest.raises(NotACubeError, match="1 points without a place"):
        open_cube(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("where,D20200101,D20200107\n1.0,0,1\n")
    with pytest.raises(NotACubeError, match="expected easting and northing"):
        open_cube(tmp_path / "b.csv")


def test_pairs(write_tiff: WriteTiff, tmp_path: Path) -> None:
    for first, second in (("20200101", "20200113"), ("20200113", "20200125"), ("20200101", "20200125")):
        write_tiff(f"i/x_{first}_{second}_unw.tif", np.full((1, 3, 4), float(second[-2:]), "float32"), nodata=0.0)
    cube = open_cube(tmp_path / "i")
    assert cube["unwrapped_phase"][:, 0, 0].to_numpy().tolist() == [13, 25, 25]
    assert cube.variables["unwrapped_phase"].units == "rad"
    again = open_cube(write_cube(cube, tmp_path / "i.zarr"))
    dates = again.grids[0].dataset["secondary_date"].to_numpy()
    np.testing.assert_array_equal(dates, cube.grids[0].dataset["secondary_date"].to_numpy())
    np.testing.assert_array_equal(again["unwrapped_phase"], cube["unwrapped_phase"])
    write_tiff("i/x_20200113_20200125_cc.tif", np.ones((1, 3, 4), "float32"), nodata=0.0)
    with pytest.raises(NotACubeError, match="coherence lacks 2 of 3 pairs"):
        open_cube(tmp_path / "i")


def test_broken_tiles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "S01W079.hgt").write_bytes(np.arange(9, dtype=">i2").tobytes())
    cube = open_cube(tmp_path / "S01W079.hgt")
    assert cube.grids[0].dataset["y"].to_numpy().tolist() == [0.0, -0.5, -1.0]
    assert cube["elevation"][0].to_numpy().tolist() == [0, 1, 2]
    (tmp_path / "N40E014.hgt.gz").write_bytes(gzip.compress(b"123"))
    with pytest.raises(NotACubeError, match="holds 3 bytes"):
        open_cube(tmp_path / "N40E014.hgt.gz")
    (tmp_path / "N40E014.hgt.gz").write_bytes(b"\x1f\x8b and then nonsense")
    with pytest.raises(NotACubeError, match="cannot be unpacked"):
        open_cube(tmp_path / "N40E014.hgt.gz")


def test_netcdf_files_follow_each_other(dataset: xr.Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    timed = dataset[["ndvi", "SCL"]]
    timed.isel(time=slice(3, 6)).to_netcdf(folder / "s2_b.nc")
    timed.isel(time=slice(0, 3)).to_netcdf(folder / "s2_a.nc")
    dataset[["dem"]].to_netcdf(folder / "dem.nc")
    cube = open_cube(folder)
    assert {grid.name for grid in cube.grids} == {"s2", "dem"}
    np.testing.assert_array_equal(cube["ndvi"], dataset["ndvi"])
    timed.isel(time=[2, 3]).to_netcdf(folder / "s2_c.nc")
    with pytest.raises(TimeAxisError, match=r"more than once|unsorted"):
        open_cube(folder)


def test_files_of_two_coordinate_systems_are_two_grids(dataset: xr.Dataset, tmp_path: Path) -> None:
    for zone in (37, 38):
        dataset[["ndvi"]].rio.write_crs(f"EPSG:326{zone}").to_netcdf(tmp_path / f"zone{zone}.nc")
    cube = open_cube(tmp_path)
    systems = {grid.name: None if grid.crs is None else grid.crs.to_epsg() for grid in cube.grids}
    assert systems == {"zone37": 32637, "zone38": 32638}
    assert set(cube.variables) == {"zone37/ndvi", "zone38/ndvi"}  # one name twice, never mixed up
    with pytest.raises(UnknownVariableError, match="zone37/ndvi"):
        cube["ndvi"]


def test_sites_of_a_netcdf_file_are_points(shared_data: Path) -> None:
    cube = open_cube(shared_data / "xclim-fwi" / "GFWED_sample_2017.nc")
    (grid,) = cube.grids
    assert grid.points and grid.shape == (4,) and cube["FWI"].dims == ("time", "point") and grid.crs is not None
    assert len(grid.times) == 365
