"""GeoTIFF stacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepcube.cubes import CubeError, MissingCrsError, NotACubeError, TimeAxisError, open_cube

WriteTiff = Callable[..., Path]
DATES = ["X2000.02.18", "X2000.03.05", "X2000.03.21"]


def numbers(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype="float32").reshape(shape)


def test_bands_with_dates_become_a_time_axis(write_tiff: WriteTiff) -> None:
    values = numbers(3, 4, 5)
    cube = open_cube(write_tiff("modis stack.tif", values, DATES))
    assert cube.name == "modis_stack"
    assert list(cube.variables) == ["modis_stack"]
    array = cube["modis_stack"]
    assert array.dims == ("time", "y", "x")
    np.testing.assert_array_equal(array.to_numpy(), values)
    assert list(cube.grids[0].times) == list(pd.to_datetime(["2000-02-18", "2000-03-05", "2000-03-21"]))
    assert cube.grids[0].crs is not None and cube.grids[0].crs.to_epsg() == 32637
    np.testing.assert_allclose(array.x, 500_015 + 30 * np.arange(5))
    np.testing.assert_allclose(array.y, 1_000_000 - 15 - 30 * np.arange(4))


def test_several_variables_in_one_file(write_tiff: WriteTiff) -> None:
    values = numbers(4, 2, 2)
    cube = open_cube(write_tiff("s2.tif", values, ["B4_20200101", "B8_20200101", "B4_20200111", "B8_20200111"]))
    assert sorted(cube.variables) == ["B4", "B8"]
    np.testing.assert_array_equal(cube["B8"].to_numpy(), values[[1, 3]])


def test_variables_of_different_dates_get_grids_of_their_own(write_tiff: WriteTiff) -> None:
    cube = open_cube(write_tiff("s2.tif", numbers(3, 2, 2), ["B4_20200101", "B4_20200111", "rain_20200111"]))
    assert {grid.name: len(grid.times) for grid in cube.grids} == {"B4": 2, "rain": 1}


def test_dates_in_band_tags(write_tiff: WriteTiff) -> None:
    tags = [{"acquisition_date": "2020-01-01"}, {"acquisition_date": "2020-02-01"}]
    cube = open_cube(write_tiff("tagged.tif", numbers(2, 2, 2), band_tags=tags))
    assert cube.grids[0].times[1] == pd.Timestamp("2020-02-01")
    assert cube["tagged"].shape == (2, 2, 2)


def test_bands_of_one_date_are_variables(write_tiff: WriteTiff) -> None:
    cube = open_cube(write_tiff("scene_20200101.tif", numbers(3, 2, 2), ["red", None, "nir"]))
    assert {name: array.shape for name, array in cube.grids[0].dataset.items()} == dict.fromkeys(
        ("red", "band_2", "nir"), (1, 2, 2)
    )


@pytest.mark.parametrize("as_list", [False, True])
def test_folder_of_single_dates_is_sorted_by_date(write_tiff: WriteTiff, tmp_path: Path, as_list: bool) -> None:
    values = numbers(3, 2, 2)
    names = ["scenes/NDVI_2020-03-01.tif", "scenes/NDVI_2020-01-01.tif", "scenes/NDVI_2020-02-01.tif"]
    paths = [write_tiff(name, values[i : i + 1]) for i, name in enumerate(names)]
    cube = open_cube(paths if as_list else tmp_path / "scenes")
    assert cube.name == "scenes"
    assert list(cube.variables) == ["NDVI"]
    np.testing.assert_array_equal(cube["NDVI"].to_numpy(), values[[1, 2, 0]])


def test_stated_scale_fill_and_units_are_applied(write_tiff: WriteTiff) -> None:
    values = np.array([[[5000, -3000]], [[-3000, 250]]], dtype="int16")
    cube = open_cube(write_tiff("n.tif", values, DATES[:2], nodata=-3000, scale=1e-4, units="1"))
    np.testing.assert_allclose(cube["n"].to_numpy(), [[[0.5, np.nan]], [[np.nan, 0.025]]], rtol=1e-6)
    assert cube.variables["n"].units == "1"


def test_simulated_tag(write_tiff: WriteTiff) -> None:
    assert open_cube(write_tiff("n.tif", numbers(2, 2, 2), DATES[:2], tags={"simulated": "true"})).simulated
    assert not open_cube(write_tiff("m.tif", numbers(2, 2, 2), DATES[:2])).simulated


def test_opening_reads_no_pixels(write_tiff: WriteTiff, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiff("n.tif", numbers(2, 4, 4), DATES[:2])
    windows = []
    read = rasterio.DatasetReader.read

    class Spy(rasterio.DatasetReader):
        def read(self, *args: object, **kwargs: object) -> np.ndarray:
            windows.append(kwargs["window"])
            return read(self, *args, **kwargs)

    cube = open_cube(path)
    monkeypatch.setattr(rasterio, "open", lambda path: Spy(rasterio._path._parse_path(path)))
    assert windows == []
    assert cube["n"].isel(time=1, y=slice(1, 3), x=2).to_numpy().tolist() == [22.0, 26.0]
    assert [(window.row_off, window.col_off, window.height, window.width) for window in windows] == [(1, 2, 2, 1)]


index = st.integers(-4, 3) | st.slices(4).filter(lambda s: len(range(*s.indices(4))) > 0 or (s.step or 1) > 0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(index, index, index))
def test_lazy_indexing_equals_numpy(write_tiff: WriteTiff, key: tuple[object, ...]) -> None:
    values = numbers(4, 4, 4)
    path = write_tiff("n.tif", values, [*DATES, "X2000.04.06"])
    np.testing.assert_array_equal(open_cube(path)["n"][key].to_numpy(), values[key])


def test_unsorted_bands_are_named(write_tiff: WriteTiff) -> None:
    with pytest.raises(TimeAxisError, match=r"unsorted times: 2000-03-21 at position 1 comes before 2000-03-05"):
        open_cube(write_tiff("n.tif", numbers(3, 2, 2), [DATES[0], DATES[2], DATES[1]]))


def test_duplicate_dates_are_named(write_tiff: WriteTiff) -> None:
    with pytest.raises(TimeAxisError, match=r"more than once \(2000-03-05\)"):
        open_cube(write_tiff("n.tif", numbers(3, 2, 2), [DATES[0], DATES[1], DATES[1]]))


def test_undated_bands_say_where_dates_are_looked_for(write_tiff: WriteTiff) -> None:
    with pytest.raises(TimeAxisError, match=r"Band 1 of dem\.tif has no date.*'elevation'"):
        open_cube(write_tiff("dem.tif", numbers(1, 2, 2), ["elevation"]))


def test_mixed_grids_are_refused(write_tiff: WriteTiff, tmp_path: Path) -> None:
    write_tiff("mixed/n_20200101.tif", numbers(1, 2, 2))
    write_tiff("mixed/n_20200201.tif", numbers(1, 2, 2), crs="EPSG:32638")
    with pytest.raises(NotACubeError, match=r"same size, transform and coordinate reference system"):
        open_cube(tmp_path / "mixed")


def test_mixed_scales_are_refused(write_tiff: WriteTiff, tmp_path: Path) -> None:
    write_tiff("mixed/n_20200101.tif", numbers(1, 2, 2))
    write_tiff("mixed/n_20200201.tif", numbers(1, 2, 2), scale=0.1)
    with pytest.raises(CubeError, match=r"expected one type, unit, fill value and scale"):
        open_cube(tmp_path / "mixed")


def test_truncated_file_is_refused(write_tiff: WriteTiff) -> None:
    path = write_tiff("n.tif", numbers(2, 64, 64), DATES[:2])
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(NotACubeError, match=r"not a readable GeoTIFF"):
        open_cube(path)


def test_file_damaged_after_opening_is_refused_on_reading(write_tiff: WriteTiff) -> None:
    path = write_tiff("n.tif", numbers(2, 64, 64), DATES[:2])
    cube = open_cube(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(NotACubeError, match=r"cannot be read to its end"):
        cube["n"].to_numpy()


def test_missing_crs_says_what_to_do_and_can_be_given(write_tiff: WriteTiff) -> None:
    path = write_tiff("n.tif", numbers(2, 2, 2), DATES[:2], crs=None)
    with pytest.raises(MissingCrsError, match=r"open_cube\(source, crs="):
        open_cube(path).grids[0].longitude_latitude()
    longitude, latitude = open_cube(path, crs="EPSG:32637").grids[0].longitude_latitude()
    assert longitude.shape == latitude.shape == (2, 2)
    np.testing.assert_allclose(longitude[0, 0], 39.0, atol=1e-3)
