"""Small simulated files of exactly the schemas that the use cases' published data have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import rioxarray  # noqa: F401  (registers the accessor that writes a CRS)
import xarray as xr
from numpy.typing import NDArray

from deepcube.cubes import Cube, NotACubeError, open_cube, write_cube
from deepcube.cubes.views import view

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # pictures have no place

SIMULATED = {"simulated": "true", "comment": "simulated values in the schema of a published data set"}
LEGEND = ["B02", "B03", "B04", "B05", "B06", "B07", "B8A"]


def kinds(cube: Cube, kind: str) -> set[str]:
    """Return the names of the variables of one kind."""
    return {name for name, variable in cube.variables.items() if variable.kind == kind}


def values(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(len(shape)).random(shape, dtype="float32")


@pytest.fixture
def firecube() -> xr.Dataset:
    """The schema of Zenodo 4943354: one grid of 1 km in degrees, daily from 2009-03-06, few attributes."""
    t, y, x = 20, 9, 11
    names = ["Fpar_500m", "LST_Day_1km", "1 km 16 days NDVI", "era5_max_t2m", "fwi", "burned_areas", "ignition_points"]
    data: dict[str, Any] = {name: (("time", "y", "x"), values(t, y, x)) for name in names}
    data |= {name: (("time", "y", "x"), values(t, y, x).round()) for name in ("QC_Day", "FparLai_QC")}
    data |= {"1 km 16 days VI Quality": (("time", "y", "x"), values(t, y, x).round())}
    data["era5_max_tp"] = (("time", "y", "x"), values(t, y, x), {"units": "m"})
    static = ["dem_mean", "aspect_mean", "roads_density_2020", "population_density_2012", "clc_2012"]
    data |= {name: (("y", "x"), values(y, x)) for name in static}
    axes = {
        "time": pd.date_range("2009-03-06", periods=t),
        "y": 41.7 - 0.0089 * np.arange(y),
        "x": 18.9 + 0.0112 * np.arange(x),
    }
    return xr.Dataset(data, axes, SIMULATED)


def test_firecube(firecube: xr.Dataset, tmp_path: Path) -> None:
    firecube.to_netcdf(tmp_path / "dataset_greece.nc")
    cube = open_cube(tmp_path / "dataset_greece.nc", crs="EPSG:4326")
    (grid,) = cube.grids
    assert cube.simulated and grid.shape == (9, 11) and grid.crs is not None and grid.crs.to_epsg() == 4326
    assert grid.times.equals(pd.date_range("2009-03-06", periods=20))
    assert cube["1 km 16 days NDVI"].dims == ("time", "y", "x") and cube["dem_mean"].dims == ("y", "x")
    wanted = {"burned_areas", "QC_Day", "FparLai_QC", "1 km 16 days VI Quality", "clc_2012"}
    assert kinds(cube, "categorical") == wanted and not kinds(cube, "count")
    assert cube.variables["era5_max_tp"].accumulates and not cube.variables["era5_max_t2m"].accumulates


def test_mesogeos(firecube: xr.Dataset, tmp_path: Path) -> None:
    dataset = firecube[["fwi", "dem_mean", "burned_areas"]].rename({"fwi": "ndvi", "dem_mean": "lc_forest"})
    for name in ("d2m", "sp", "wind_speed", "rh", "smi", "t2m", "lst_day", "lai", "roads_distance", "population"):
        dataset[name] = dataset["ndvi"]
    dataset["tp"] = dataset["ndvi"].assign_attrs(units="m")
    stored = dataset.assign_coords(time=pd.date_range("2006-04-01", periods=20)).rio.write_crs("EPSG:4326")
    stored.chunk({"time": 7, "y": 4, "x": 4}).to_zarr(tmp_path / "mesogeos_cube.zarr", zarr_format=2)
    cube = open_cube(tmp_path / "mesogeos_cube.zarr")
    (grid,) = cube.grids
    assert cube.simulated and grid.crs is not None and grid.crs.to_epsg() == 4326
    assert grid.times[0] == pd.Timestamp("2006-04-01") and len(cube.variables) == 14
    assert kinds(cube, "categorical") == {"burned_areas"}  # lc_forest is a share of the pixel, no class
    assert grid.stored is not None and cube["tp"].encoding["chunks"] == (7, 4, 4)
    np.testing.assert_array_equal(cube["tp"], dataset["tp"])
    assert view(cube, step="month", period=("2006-04-01", "2006-04-20"), least=0.5)["tp"].sizes["time"] == 1


def minicube(seed: int) -> xr.Dataset:
    """The schema of an Africa minicube: daily, bands on every fifth day, a climatology on an axis of its own."""
    t, size = 30, 8
    rng = np.random.default_rng(seed)
    data: dict[str, Any] = {"s2_avail": ("time", (np.arange(t) % 5 == 4).astype("float32"))}
    for band in LEGEND:
        reflectance = rng.random((t, size, size), dtype="float32")
        reflectance[np.arange(t) % 5 != 4] = np.nan
        data[f"s2_{band}"] = (("time", "lat", "lon"), reflectance, {"description": f"reflectance of {band}"})
    masks = rng.integers(0, 5, (t, size, size)).astype("float32")
    data |= dict.fromkeys(("s2_mask", "s2_SCL"), (("time", "lat", "lon"), masks))
    data |= {name: ("time", values(t), {"units": unit}) for name, unit in (("era5_tp", "m"), ("era5_t2m", "K"))}
    data |= {f"ndviclim_{name}": (("time_clim", "lat", "lon"), values(12, size, size)) for name in ("mean", "std")}
    data |= {name: (("lat", "lon"), values(size, size), {"units": "m"}) for name in ("srtm_dem", "cop_dem")}
    data |= dict.fromkeys(("esawc_lc", "geom_cls"), (("lat", "lon"), masks[0]))
    axes = {
        "time": pd.date_range("2016-01-02", periods=t),
        "lat": -5.0 - seed - 0.00027 * np.arange(size),
        "lon": 30.0 + 0.00027 * np.arange(size),
        "time_clim": pd.date_range("2020-01-01", periods=12, freq="MS"),
    }
    return xr.Dataset(data, axes, SIMULATED)


def test_minicube(tmp_path: Path) -> None:
    minicube(0).to_netcdf(tmp_path / "one.nc", encoding={"s2_B04": {"zlib": True}})
    cube = open_cube(tmp_path / "one.nc")
    (grid,) = cube.grids
    assert cube.simulated and grid.crs is not None and grid.crs.to_epsg() == 4326 and grid.shape == (8, 8)
    assert grid.times.equals(pd.date_range("2016-01-02", periods=30))
    assert kinds(cube, "categorical") == {"s2_avail", "s2_mask", "s2_SCL", "esawc_lc", "geom_cls"}
    assert cube.variables["s2_B04"].long_name == "reflectance of B04"
    assert cube.variables["era5_tp"].dims == ("time",) and cube.variables["era5_tp"].accumulates
    assert cube["ndviclim_mean"].dims == ("time_clim", "y", "x")
    again = open_cube(write_cube(cube, tmp_path / "one.zarr"))
    assert set(again.variables) == set(cube.variables) and again.simulated
    np.testing.assert_array_equal(again["ndviclim_mean"], cube["ndviclim_mean"])
    np.testing.assert_array_equal(again["s2_B04"], minicube(0)["s2_B04"])


def test_a_folder_of_minicubes_has_a_grid_for_each_place(tmp_path: Path) -> None:
    (tmp_path / "africa").mkdir()
    for seed in (0, 1):
        minicube(seed).to_netcdf(tmp_path / "africa" / f"place{seed}.nc")
    cube = open_cube(tmp_path / "africa")
    assert {grid.name: round(grid.extent[3]) for grid in cube.grids} == {"place0": -5, "place1": -6}


def annotation(number: int, frame: str, first: str, second: str, **changes: Any) -> dict[str, Any]:
    """Return an annotation of Hephaestus, with all twenty keys."""
    quality = ["corrupted", "processing_error", "glacier_fringes", "orbital_fringes", "atmospheric_fringes"]
    quality += ["low_coherence", "no_info", "image_artifacts"]
    return {
        **{"uniqueID": number, "frameID": frame, "primary_date": first, "secondary_date": second},
        **dict.fromkeys(quality, 0),
        **{"label": ["Non_Deformation"], "activity_type": [], "intensity_level": [], "phase": "Rest"},
        **{"confidence": 0.8, "segmentation_mask": [], "is_crowd": 0, "caption": "simulated"},
        **changes,
    }


FRAMES = ("087D_07004_060904", "128D_09016_110500")


def hephaestus(folder: Path) -> Path:
    """Write two frames of annotated images, and an annotation of an image that is not there."""
    source: dict[str, Any] = {
        "label": ["Deformation", "Earthquake"],
        "activity_type": ["Sill", "Mogi"],
        "phase": "Unrest",
    }
    source["segmentation_mask"] = [[2.0, 1.0, 6.0, 1.0, 6.0, 4.0, 2.0, 4.0]]
    notes = [
        annotation(1, FRAMES[0], "20180529", "20180616", atmospheric_fringes=3),
        annotation(2, FRAMES[0], "20180511", "20180529", intensity_level=["Low", "High"], **source),
        annotation(3, FRAMES[1], "20180529", "20180616"),
        annotation(4, FRAMES[1], "20190529", "20190616"),
    ]
    (folder / "annotations").mkdir(parents=True)
    for note in notes:
        (folder / "annotations" / f"{note['uniqueID']}.json").write_text(json.dumps(note))
    for note in notes[:3]:
        dates = f"{note['primary_date']}_{note['secondary_date']}"
        image = folder / note["frameID"] / "interferograms" / dates / f"{dates}.geo.diff.png"
        image.parent.mkdir(parents=True)
        grey = np.full((1, 6, 8), 85 * note["uniqueID"], "uint8")
        with rasterio.open(image, "w", driver="PNG", width=8, height=6, count=1, dtype="uint8") as out:
            out.write(grey)
    return folder


def test_hephaestus(tmp_path: Path) -> None:
    cube = open_cube(hephaestus(tmp_path / "h"))
    assert cube.notes == ("1 of 4 annotations have no image of their own",)
    first = cube.grid("frame_087d_07004_060904").dataset
    assert first["primary_date"].dt.strftime("%Y%m%d").to_numpy().tolist() == ["20180511", "20180529"]
    np.testing.assert_allclose(first["wrapped_phase"][:, 2, 3], [np.pi / 3, -np.pi / 3], atol=1e-6)
    drawn = np.zeros((2, 6, 8))
    drawn[0, 1:4, 2:6] = 1
    np.testing.assert_array_equal(first["deformation_mask"], drawn)
    np.testing.assert_array_equal(first["deformation_mask"][0, 1:3, ::-1], drawn[0, 1:3, ::-1])
    assert first["label"].to_numpy().tolist() == [2 | 4, 1] and first["activity_type"].to_numpy().tolist() == [1 | 4, 0]
    assert first["intensity_level"].to_numpy().tolist() == [3, 0]
    assert first["atmospheric_fringes"].to_numpy().tolist() == [0, 3]
    phase = cube.variables["frame_087d_07004_060904/wrapped_phase"]
    assert (phase.units, phase.kind) == ("rad", "continuous") and "frame_128d_09016_110500/label" in cube.variables
    assert cube.variables["frame_087d_07004_060904/label"].kind == "categorical"
    again = open_cube(write_cube(cube, tmp_path / "h.zarr"))
    for name in cube.variables:
        np.testing.assert_allclose(again[name], cube[name], rtol=1e-6)


def test_annotations_without_their_images_are_refused(tmp_path: Path) -> None:
    folder = hephaestus(tmp_path / "h")
    (folder / "annotations" / "3.json").write_text(
        json.dumps(annotation(3, FRAMES[1], "20180529", "20180616", phase="?"))
    )
    with pytest.raises(NotACubeError, match=r"annotation 3 of .* is not of the schema"):
        open_cube(folder)
    for image in folder.rglob("*.png"):
        image.unlink()
    with pytest.raises(NotACubeError, match="4 annotations and 0 images"):
        open_cube(folder)
