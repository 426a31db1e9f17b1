"""Where NDVI comes from."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcube.cubes import (
    CubeNotFoundError,
    MissingCrsError,
    NoValidDataError,
    ScaleError,
    TimeAxisError,
    UnknownVariableError,
)
from features import drought
from features.drought import source as source_module

WriteCube = Callable[..., Path]


def ndvi_of(source: drought.NdviSource) -> np.ndarray:
    return np.concatenate([block.ndvi for block in source.blocks()], axis=1)


def test_sample_is_real_and_opens_without_importing_its_package() -> None:
    sample = drought.open_source("sample")
    assert "nrt.data" not in sys.modules
    assert sample.cube.name == drought.cube_name("sample") == "romania_s2"
    assert not sample.cube.simulated
    assert sample.inputs == ("B4", "B8A") and sample.masks == ("SCL",)
    assert sample.steps.length == pd.Timedelta(days=10)
    assert len(np.unique(sample.cell_id)) == 2500
    values = ndvi_of(sample)
    assert 0.2 < np.isfinite(values).mean() < 0.5  # clouds and missing acquisitions
    assert 0.6 < np.nanmean(values) < 0.9


def test_the_simulated_cube_is_labelled_and_the_same_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(source_module._SIMULATION, "side", 8)
    with pytest.raises(CubeNotFoundError, match="folder to make the source 'simulated' in"):
        drought.open_source("simulated")
    first, second = (drought.open_source("simulated", tmp_path / name) for name in ("a", "b"))
    assert first.cube.name == drought.cube_name("simulated") == "simulated_drought"
    assert first.cube.simulated
    assert first.inputs == ("s2_B04", "s2_B8A") and set(first.masks) == {"s2_SCL", "s2_mask"}
    assert first.steps.length == pd.Timedelta(days=10)
    values = ndvi_of(first)
    np.testing.assert_array_equal(values, ndvi_of(second))
    assert values.shape == (219, 64) and 0.5 < np.isfinite(values).mean() < 0.95
    truth = xr.open_zarr(tmp_path / "a" / "simulated_drought" / "truth.zarr", group="state_30m_5day")["ndvi"]
    best = np.full(values.shape, -1.0)
    np.maximum.at(best, np.minimum(first.steps.window, 218), truth.to_numpy().reshape(len(truth), -1))
    inside = np.isfinite(values[:218])
    error = (values - best)[:218][inside]
    assert abs(np.median(error)) < 0.03 and np.quantile(np.abs(error), 0.9) < 0.2


def test_modis_is_scaled_and_keeps_its_dates(shared_data: Path) -> None:
    modis = drought.open_source(str(shared_data / "bfast-modis" / "modisraster.tif"))
    assert modis.scale == 1e-4 and modis.steps.native
    values = ndvi_of(modis)
    assert values.shape == (275, 25)
    assert (values.min(), values.max()) == pytest.approx((0.1895, 0.9020))
    assert modis.split.test_start > pd.Timestamp("2010-01-01")


def test_eolearn_patch_is_masked_by_its_clouds(shared_data: Path) -> None:
    patch = drought.open_source(str(shared_data / "eolearn-testeopatch" / "TestEOPatch"))
    assert patch.inputs == ("NDVI",) and set(patch.masks) == {"CLM", "IS_DATA"}
    raw = patch.cube["NDVI"].isel(y=0).to_numpy()
    clouds = patch.cube["CLM"].isel(y=0).to_numpy()
    first = next(patch.blocks()).ndvi[:, :100]
    assert np.isfinite(first).any()
    assert np.nanmax(first) <= raw[clouds == 0].max()


@pytest.mark.parametrize("scale", [1.0, 10_000.0])
def test_scale_is_found(write_cube: WriteCube, scale: float) -> None:
    opened = drought.open_source(str(write_cube(scale=scale)))
    plain = drought.open_source(str(write_cube("plain.nc")))
    np.testing.assert_allclose(ndvi_of(opened), ndvi_of(plain), atol=1e-12)


def test_stored_fill_values_of_modis_are_gaps(write_cube: WriteCube, tmp_path: Path) -> None:
    data = xr.load_dataset(write_cube(scale=10_000.0, gaps=0.0))
    data["NDVI"][3, 0, 0] = -3000
    data.to_netcdf(tmp_path / "filled.nc")
    values = ndvi_of(drought.open_source(str(tmp_path / "filled.nc")))
    assert np.isnan(values[3, 0]) and np.isfinite(values).sum() == values.size - 1


def test_bands_and_scene_classification_give_masked_ndvi(write_cube: WriteCube, tmp_path: Path) -> None:
    data = xr.load_dataset(write_cube(gaps=0.0))
    data["B04"], data["B08"] = 1 - data["NDVI"], 1 + data["NDVI"]
    data["SCL"] = xr.full_like(data["NDVI"], 4).astype("uint8")
    data["SCL"][7] = 9
    data.drop_vars("NDVI").to_zarr(tmp_path / "bands.zarr")
    opened = drought.open_source(str(tmp_path / "bands.zarr"))
    assert (opened.inputs, opened.masks) == (("B04", "B08"), ("SCL",))
    values = ndvi_of(opened)
    assert np.isnan(values[7]).all()
    np.testing.assert_allclose(np.delete(values, 7, 0).ravel(), np.delete(data["NDVI"].to_numpy(), 7, 0).ravel())


def test_daily_cube_is_composited(write_cube: WriteCube, tmp_path: Path) -> None:
    data = xr.load_dataset(write_cube(gaps=0.0)).resample(time="1D").ffill()
    data.to_netcdf(tmp_path / "daily.nc")
    opened = drought.open_source(str(tmp_path / "daily.nc"))
    assert not opened.steps.native and opened.steps.length == pd.Timedelta(days=10)


def test_blocks_are_a_partition_and_their_size_changes_nothing(
    write_cube: WriteCube, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = drought.open_source(str(write_cube(rows=5, cols=3)))
    whole = [drought.compute_tables(block) for block in opened.blocks()]
    assert len(opened) == len(whole) == 1
    monkeypatch.setattr(source_module, "BLOCK_VALUES", 2 * 3 * 140)
    parts = [drought.compute_tables(block) for block in opened.blocks()]
    assert len(opened) == len(parts) == 3
    for name in ("ndvi", "climatology", "features", "targets"):
        together = pd.concat([getattr(part, name) for part in parts], ignore_index=True)
        pd.testing.assert_frame_equal(together, getattr(whole[0], name))


@pytest.mark.parametrize(
    ("source", "name"),
    [("sample", "romania_s2"), ("/data/modisraster.tif", "modisraster"), ("Lower Jubba 2.zarr", "lower_jubba_2")],
)
def test_cube_names(source: str, name: str) -> None:
    assert drought.cube_name(source) == name


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CubeNotFoundError, match="nothing at"):
        drought.open_source(str(tmp_path / "gone.tif"))


def broken(data: xr.Dataset, how: str) -> xr.Dataset:
    if how == "no ndvi":
        return data.rename(NDVI="albedo").assign(emissivity=data["NDVI"])
    if how == "all gaps":
        return data.assign(NDVI=data["NDVI"] * np.nan)
    if how == "late":
        return data.assign(NDVI=data["NDVI"].where(data["time"] > np.datetime64("2005-06-01")))
    if how == "percent":
        return data.assign(NDVI=data["NDVI"] * 100)
    if how == "counts":
        return data.assign(NDVI=data["NDVI"] * 60_000)
    if how == "unsorted":
        return data.isel(time=[1, 0, *range(2, 140)])
    if how == "short":
        return data.isel(time=slice(0, 10))
    assert how == "no crs"
    return data.drop_vars("spatial_ref")


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("no ndvi", UnknownVariableError, r"has albedo, emissivity; expected a variable NDVI"),
        ("all gaps", NoValidDataError, r"no valid value of NDVI"),
        ("late", NoValidDataError, r"training period of cube 'bad', up to 2004-12-11, has no valid value of NDVI"),
        ("percent", ScaleError, r"ranges from .* expected NDVI from -1 to 1"),
        ("counts", ScaleError, r"Write the scale factor"),
        ("unsorted", TimeAxisError, r"2001-01-17 at position 0 comes before 2001-01-01"),
        ("short", TimeAxisError, r"Use a longer series"),
        ("no crs", MissingCrsError, r"states no coordinate reference system"),
    ],
)
def test_bad_cubes_are_refused(
    write_cube: WriteCube, tmp_path: Path, how: str, error: type[Exception], message: str
) -> None:
    data = xr.load_dataset(write_cube(), decode_coords="all")
    changed = broken(data, how)
    for variable in changed.variables.values():
        variable.encoding = {}
        if how == "no crs":
            variable.attrs.pop("grid_mapping", None)
    changed.to_netcdf(tmp_path / "bad.nc")
    with pytest.raises(error, match=message):
        drought.open_source(str(tmp_path / "bad.nc"))
