"""Real cubes open with the right names, units, places and times."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepcube.cubes import ndvi, open_cube, scl_clear


def test_modis_stack(shared_data: Path) -> None:
    cube = open_cube(shared_data / "bfast-modis" / "modisraster.tif")
    grid = cube.grids[0]
    assert cube["modisraster"].shape == (275, 5, 5)
    assert (grid.times[0], grid.times[-1]) == (pd.Timestamp("2000-02-18"), pd.Timestamp("2012-01-17"))
    longitude, latitude = grid.longitude_latitude()
    assert longitude[0].tolist() == pytest.approx([41.925, 41.975, 42.025, 42.075, 42.125])
    assert latitude[:, 0].tolist() == pytest.approx([0.075, 0.025, -0.025, -0.075, -0.125])
    values = cube["modisraster"].to_numpy()
    assert (values.min(), values.max()) == (1895, 9020)


def test_zarr_of_water_quality(shared_data: Path) -> None:
    cube = open_cube(shared_data / "xcube-demo-cube" / "cube-5-100-200.zarr")
    assert cube.variables["conc_chl"].units == "mg m^-3"
    assert cube.variables["conc_chl"].long_name == "Chlorophyll concentration"
    assert cube.variables["quality_flags"].kind == "categorical"
    assert cube["kd489"].shape == (5, 1000, 2000)
    assert cube.grids[0].times.strftime("%Y-%m-%d").tolist()[0] == "2017-01-16"
    window = cube["conc_chl"].isel(time=0, y=slice(400, 500), x=slice(800, 1000)).to_numpy()
    assert window.shape == (100, 200)
    assert np.nanmin(window) > 0


def test_soil_moisture_and_temperature(shared_data: Path) -> None:
    folder = shared_data / "era5-c3s-xcube-cds"
    moisture = open_cube(folder / "C3S-SOILMOISTURE-L3S-SSMV-COMBINED-MONTHLY-20150201000000-TCDR-v202012.0.0.nc")
    assert moisture.variables["sm"].units == "m3 m-3"
    assert (moisture.variables["nobs"].kind, moisture.variables["sensor"].kind) == ("count", "categorical")
    temperature = open_cube(folder / "era5_bounds.nc")
    assert temperature.variables["t2m"].units == "K"
    kelvin = temperature["t2m"].sel(x=42.125, y=0.125).item()  # southern Somalia in October
    assert 290 < kelvin < 310


def test_eolearn_patch(shared_data: Path) -> None:
    cube = open_cube(shared_data / "eolearn-testeopatch" / "TestEOPatch")
    assert cube["NDVI"].shape == (68, 101, 100)
    longitude, latitude = cube.grids[0].longitude_latitude()
    assert (latitude > 45.86).all() and (latitude < 45.88).all() and (longitude > 14.55).all()
    dem = cube["DEM"].to_numpy()
    assert 600 < dem.min() < dem.max() < 900


def test_sentinel2_sample() -> None:
    spec = importlib.util.find_spec("nrt")
    assert spec is not None and spec.submodule_search_locations is not None
    cube = open_cube(Path(spec.submodule_search_locations[0]) / "data" / "sentinel2_cube_subset_romania_20m.nc")
    grid = cube.grids[0]
    assert set(cube.variables) == {"B3", "B4", "B8A", "B11", "SCL"}
    assert cube["B4"].shape == (140, 50, 50)
    assert grid.crs is not None and "LAEA" in grid.crs.name
    longitude, latitude = grid.longitude_latitude()
    assert 22.1 < longitude.min() < longitude.max() < 22.2 and 45.1 < latitude.min() < latitude.max() < 45.3
    clear = scl_clear(cube["SCL"].to_numpy())
    greenness = ndvi(cube["B4"].to_numpy(), cube["B8A"].to_numpy())[clear]
    assert 0.5 < np.nanmedian(greenness) < 0.95  # a forest


def test_folders_that_are_no_cube(shared_data: Path) -> None:
    for name in ("somalia-district-weekly", "gvp-volcanoes", "hephaestus-labels"):
        with pytest.raises(ValueError, match=r"expected a GeoTIFF"):
            open_cube(shared_data / name)
