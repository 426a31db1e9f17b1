"""NetCDF and Zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcube.cubes import NotACubeError, TimeAxisError, open_cube


def write(dataset: xr.Dataset, folder: Path, form: str) -> Path:
    """Write a dataset in one of the forms that open_cube reads."""
    if form == "netcdf3":
        path = folder / "small.nc"
        dataset.assign(SCL=dataset["SCL"].astype("int16")).to_netcdf(path, format="NETCDF3_64BIT", engine="netcdf4")
    elif form == "netcdf4":
        path = folder / "small.nc"
        dataset.to_netcdf(path, engine="netcdf4")
    else:
        path = folder / "small.zarr"
        dataset.to_zarr(path, zarr_format=int(form[-1]), consolidated=form.startswith("consolidated"))
    return path


FORMS = ["netcdf3", "netcdf4", "zarr2", "consolidated2", "zarr3"]


@pytest.mark.parametrize("form", FORMS)
def test_every_store_opens_alike(dataset: xr.Dataset, tmp_path: Path, form: str) -> None:
    cube = open_cube(write(dataset, tmp_path, form))
    assert cube.name == "small"
    assert {name: variable.kind for name, variable in cube.variables.items()} == {
        "ndvi": "continuous",
        "SCL": "categorical",
        "nobs": "count",
        "dem": "continuous",
    }
    assert (cube.variables["ndvi"].units, cube.variables["ndvi"].long_name) == ("1", "greenness")
    assert cube.variables["dem"].dims == ("y", "x")
    np.testing.assert_array_equal(cube["ndvi"].to_numpy(), dataset["ndvi"].to_numpy())
    assert cube.grids[0].times.equals(pd.DatetimeIndex(dataset["time"].to_index()))
    assert cube.grids[0].crs is not None and cube.grids[0].crs.to_epsg() == 32637


def test_values_are_not_read_on_opening(dataset: xr.Dataset, tmp_path: Path) -> None:
    cube = open_cube(write(dataset, tmp_path, "zarr3"))
    for chunk in (tmp_path / "small.zarr" / "ndvi" / "c").rglob("*"):
        if chunk.is_file():
            chunk.unlink()
    assert np.isnan(cube["ndvi"].to_numpy()).all()  # what zarr gives for chunks that are not there


def test_packed_values_are_unpacked(dataset: xr.Dataset, tmp_path: Path) -> None:
    encoding = {"ndvi": {"dtype": "int16", "scale_factor": 1e-4, "_FillValue": -3000}}
    dataset["ndvi"][0, 0, 0] = np.nan
    dataset.to_netcdf(tmp_path / "packed.nc", encoding=encoding)
    values = open_cube(tmp_path / "packed.nc")["ndvi"].to_numpy()
    np.testing.assert_allclose(values, dataset["ndvi"].to_numpy(), atol=1e-4)
    assert np.isnan(values[0, 0, 0])


@pytest.mark.parametrize(
    "names",
    [
        {"y": "lat", "x": "lon"},
        {"y": "latitude", "x": "longitude", "time": "t"},
        {"y": "northing", "x": "easting", "time": "date"},
    ],
)
def test_axes_are_found_by_name(dataset: xr.Dataset, tmp_path: Path, names: dict[str, str]) -> None:
    dataset.rename(names).transpose(..., names.get("time", "time")).to_netcdf(tmp_path / "named.nc")
    array = open_cube(tmp_path / "named.nc")["ndvi"]
    assert array.dims == ("time", "y", "x")
    np.testing.assert_array_equal(array.to_numpy(), dataset["ndvi"].to_numpy())


def test_axes_are_found_by_cf_attributes(dataset: xr.Dataset, tmp_path: Path) -> None:
    renamed = dataset.rename({"y": "j", "x": "i"})
    renamed["j"].attrs["standard_name"], renamed["i"].attrs["axis"] = "projection_y_coordinate", "X"
    renamed.to_netcdf(tmp_path / "cf.nc")
    assert open_cube(tmp_path / "cf.nc").grids[0].shape == (4, 3)


def test_plain_degrees_are_wgs84_and_longitudes_wrap(tmp_path: Path) -> None:
    data = xr.Dataset(
        {"t2m": (("time", "lat", "lon"), np.zeros((1, 2, 2)))},
        {"time": pd.to_datetime(["2020-01-01"]), "lat": [10.0, 9.0], "lon": [179.0, 359.0]},
    )
    data.to_netcdf(tmp_path / "era5.nc")
    grid = open_cube(tmp_path / "era5.nc").grids[0]
    assert grid.crs is not None and grid.crs.to_epsg() == 4326
    assert grid.longitude_latitude()[0][0].tolist() == [179.0, -1.0]


def test_scalar_time_becomes_an_axis(dataset: xr.Dataset, tmp_path: Path) -> None:
    dataset.isel(time=2).to_netcdf(tmp_path / "one.nc")
    cube = open_cube(tmp_path / "one.nc")
    assert cube.grids[0].times.tolist() == [pd.Timestamp("2020-01-21")]


def test_calendar_without_leap_days_becomes_dates(dataset: xr.Dataset, tmp_path: Path) -> None:
    dataset.convert_calendar("noleap").to_netcdf(tmp_path / "noleap.nc")
    assert open_cube(tmp_path / "noleap.nc").grids[0].times.equals(pd.DatetimeIndex(dataset["time"].to_index()))


def test_calendar_of_360_days_keeps_every_step(tmp_path: Path) -> None:
    times = xr.date_range("2001-01-01", periods=720, freq="D", calendar="360_day", use_cftime=True)
    values = np.arange(720.0)[:, None, None] * np.ones((1, 2, 2))
    data = xr.Dataset({"t": (("time", "y", "x"), values)}, {"time": times, "y": [1.0, 0.0], "x": [0.0, 1.0]})
    data.to_netcdf(tmp_path / "model.nc")
    cube = open_cube(tmp_path / "model.nc")
    assert any("360_day" in note for note in cube.notes)
    np.testing.assert_array_equal(cube["t"].to_numpy(), values)
    assert cube.grids[0].times[0] == pd.Timestamp("2001-01-01") and cube.grids[0].times[-1].year == 2002
    data.isel(time=slice(14, None, 30)).to_netcdf(tmp_path / "monthly.nc")
    months = open_cube(tmp_path / "monthly.nc").grids[0].times
    assert months.month.tolist() == [*range(1, 13), *range(1, 13)]


@pytest.mark.parametrize("form", ["netcdf4", "zarr3"])
def test_groups_become_grids(dataset: xr.Dataset, tmp_path: Path, form: str) -> None:
    coarse = dataset[["ndvi"]].isel(y=slice(0, 2), time=slice(0, 2))
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"simulated": 1}), "/s2": dataset, "/modis": coarse})
    path = tmp_path / "tree.bin"
    tree.to_netcdf(path) if form == "netcdf4" else tree.to_zarr(path)
    cube = open_cube(path)
    assert {grid.name: (grid.shape, len(grid.times)) for grid in cube.grids} == {
        "s2": ((4, 3), 6),
        "modis": ((2, 3), 2),
    }
    assert cube.simulated
    assert cube["modis/ndvi"].shape == (2, 2, 3)
    assert cube["SCL"].shape == (6, 4, 3)


def damage(dataset: xr.Dataset, kind: str) -> xr.Dataset:
    if kind == "unsorted":
        return dataset.isel(time=[0, 2, 1, 3])
    if kind == "duplicate":
        return dataset.isel(time=[0, 1, 1, 3])
    if kind == "undated":
        return dataset.drop_vars("time")
    if kind == "numbered":
        return dataset.assign_coords(time=np.arange(6))
    if kind == "not monotonic":
        return dataset.assign_coords(x=[1.0, 3.0, 2.0])
    if kind == "nan axis":
        return dataset.assign_coords(y=[1.0, 2.0, np.nan, 4.0])
    if kind == "no space":
        return dataset[["ndvi"]].mean(("y", "x"))
    assert kind == "empty"
    return xr.Dataset(attrs={"title": "nothing"})


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("unsorted", TimeAxisError, r"2020-01-21 at position 1 comes before 2020-01-11"),
        ("duplicate", TimeAxisError, r"more than once \(2020-01-11\)"),
        ("undated", TimeAxisError, r"does not date them"),
        ("numbered", TimeAxisError, r"times of type int64"),
        ("not monotonic", NotACubeError, r"x axis that is not monotonic: 3.0 is followed by 2.0"),
        ("nan axis", NotACubeError, r"y axis that is empty or not finite"),
        ("no space", NotACubeError, r"no pair of spatial axes; found dimensions time=6"),
        ("empty", NotACubeError, r"holds no variables"),
    ],
)
def test_damaged_cubes_are_refused(
    dataset: xr.Dataset, tmp_path: Path, kind: str, error: type[Exception], message: str
) -> None:
    damage(dataset, kind).to_netcdf(tmp_path / "bad.nc")
    with pytest.raises(error, match=message):
        open_cube(tmp_path / "bad.nc")


def test_truncated_file_is_refused(dataset: xr.Dataset, tmp_path: Path) -> None:
    path = write(dataset, tmp_path, "netcdf4")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(NotACubeError, match=r"cannot be read as h5netcdf"):
        open_cube(path)


def test_attributes_that_say_false_are_not_simulated(dataset: xr.Dataset, tmp_path: Path) -> None:
    expected: dict[Any, bool] = {"false": False, "no": False, "0": False, "yes": True, "True": True}
    for i, (stated, simulated) in enumerate(expected.items()):
        dataset.assign_attrs(simulated=stated).to_netcdf(tmp_path / f"{i}.nc")
        assert open_cube(tmp_path / f"{i}.nc").simulated is simulated
