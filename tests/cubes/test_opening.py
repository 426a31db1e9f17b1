"""What open_cube accepts, and what it says about the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcube.cubes import CubeError, CubeNotFoundError, MissingCrsError, NotACubeError, UnknownVariableError, open_cube


def test_missing_file_names_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(CubeNotFoundError, match=r"nothing at .*nowhere\.tif; expected a GeoTIFF"):
        open_cube(tmp_path / "nowhere.tif")


def test_format_is_told_from_content(dataset: xr.Dataset, tmp_path: Path) -> None:
    dataset.to_netcdf(tmp_path / "misnamed.tif")
    assert "ndvi" in open_cube(tmp_path / "misnamed.tif")


@pytest.mark.parametrize("content", [b"", b"hello, I am no cube", b"\x89PNG\r\n\x1a\n"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.nc").write_bytes(content)
    with pytest.raises(NotACubeError, match=r"no supported format"):
        open_cube(tmp_path / "notes.nc")


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("# hello")
    with pytest.raises(NotACubeError, match=r"holds readme\.md; expected"):
        open_cube(tmp_path)


def test_empty_list_is_refused() -> None:
    with pytest.raises(NotACubeError, match="empty list"):
        open_cube([])


def test_unknown_crs_is_refused(dataset: xr.Dataset, tmp_path: Path) -> None:
    dataset.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(MissingCrsError, match=r"Found 'EPSG:nonsense'"):
        open_cube(tmp_path / "a.nc", crs="EPSG:nonsense")


def test_unknown_variable_lists_the_known(dataset: xr.Dataset, tmp_path: Path) -> None:
    dataset.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(UnknownVariableError, match=r"no variable 'evi'; it has SCL, dem, ndvi, nobs"):
        open_cube(tmp_path / "a.nc")["evi"]


def test_name_can_be_given(dataset: xr.Dataset, tmp_path: Path) -> None:
    dataset.to_netcdf(tmp_path / "a.nc")
    assert open_cube(tmp_path / "a.nc", name="Lower Jubba!").name == "lower_jubba"
    assert open_cube(tmp_path / "a.nc").renamed("B").name == "b"


def test_scale_can_be_given(dataset: xr.Dataset, tmp_path: Path) -> None:
    dataset.to_netcdf(tmp_path / "a.nc")
    plain, scaled = open_cube(tmp_path / "a.nc"), open_cube(tmp_path / "a.nc", scale={"ndvi": 1e-4})
    np.testing.assert_allclose(scaled["ndvi"].to_numpy(), plain["ndvi"].to_numpy() * 1e-4)
    np.testing.assert_array_equal(scaled["nobs"].to_numpy(), plain["nobs"].to_numpy())
    assert scaled.variables == plain.variables
    with pytest.raises(UnknownVariableError, match="no variable 'evi'"):
        open_cube(tmp_path / "a.nc", scale={"evi": 1e-4})


def test_every_error_is_a_cube_error() -> None:
    from deepcube.cubes import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) >= 12
    assert all(issubclass(kind, CubeError) for kind in kinds)
