"""Cubes written as Zarr: round trips, layouts, interruptions, full disks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.cubes import BuildError, Cube, CubeWriter, Grid, NotACubeError, open_cube, write_cube
from deepcube.cubes.conventions import parse_crs


def two_grids() -> Cube:
    """Return a cube with a fine grid of every kind of variable and a coarse, daily one."""
    rng = np.random.default_rng(5)
    fine = xr.Dataset(
        {
            "red": (("time", "y", "x"), rng.integers(0, 9999, (7, 20, 33)) * 1e-4, {"units": "1", "valid_min": 0.0}),
            "scl": (("time", "y", "x"), rng.integers(0, 12, (7, 20, 33)).astype("uint8"), {"long_name": "classes"}),
            "dem": (("y", "x"), rng.normal(500, 90, (20, 33)).astype("float32"), {"units": "m"}),
            "clear": (("time",), rng.uniform(0, 1, 7).astype("float32")),
        },
        {
            "time": pd.date_range("2020-01-03", periods=7, freq="5D"),
            "y": 1e6 - 20.0 * np.arange(20),
            "x": 5e5 + 20.0 * np.arange(33),
        },
    )
    fine["red"][2, 3, 4] = np.nan
    fine["red"].encoding = {"dtype": "int16", "scale_factor": 1e-4, "_FillValue": -32768}
    fine["dem"].encoding = {"_FillValue": -9999.0}
    fine["dem"][0, 0] = np.nan
    coarse = xr.Dataset(
        {"tp": (("time", "y", "x"), rng.gamma(1, 2, (35, 2, 3)), {"units": "mm"})},
        {"time": pd.date_range("2020-01-01", periods=35), "y": [9.0, 8.75], "x": [33.0, 33.25, 33.5]},
    )
    grids = (Grid("s2", fine, parse_crs("EPSG:32637")), Grid("era5", coarse, parse_crs("EPSG:4326")))
    return Cube("mixed", grids, "memory", attrs={"title": "two grids", "licence": "CC0"})


@pytest.mark.parametrize("layout", ["patch", "map", "series", {"time": 3, "y": 7, "x": 10}])
def test_round_trip(tmp_path: Path, layout: Any) -> None:
    cube = two_grids()
    again = open_cube(write_cube(cube, tmp_path / "a.zarr", layout=layout))
    assert again.name == "a" and again.attrs["licence"] == "CC0" and not again.simulated
    assert [grid.name for grid in again.grids] == ["era5", "s2"]
    assert again.variables["red"].fill == -32768 and again.variables["dem"].fill == -9999
    assert again.variables["red"].valid_range == (0.0, np.inf)
    assert again.variables["tp"].accumulates and not again.variables["red"].accumulates
    for grid in cube.grids:
        held = again.grid(grid.name)
        assert held.crs == grid.crs and held.times.equals(grid.times)
        for name in grid.dataset.data_vars:
            np.testing.assert_allclose(held.dataset[name], grid.dataset[name], rtol=0, atol=1e-12, err_msg=str(name))
            kept = {k: v for k, v in held.dataset[name].attrs.items() if k not in ("grid_mapping",)}
            assert kept == grid.dataset[name].attrs
    tree = again.tree()
    assert set(tree.children) == {"s2", "era5"} and tree.attrs["title"] == "two grids"


def test_other_readers_see_the_same(tmp_path: Path) -> None:
    cube = two_grids()
    path = write_cube(cube, tmp_path / "a.zarr")
    tree = xr.open_datatree(path, engine="zarr", chunks=None)
    np.testing.assert_allclose(tree["s2/red"], cube["red"], atol=1e-12)
    assert json.loads((path / "zarr.json").read_text())["consolidated_metadata"]["metadata"]["s2/red"]["shape"] == [
        7,
        20,
        33,
    ]


@settings(max_examples=15)
@given(st.data())
def test_rechunking_keeps_every_value(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(1, 13), label=axis) for axis in "tyx")
    first, second = ({d: data.draw(st.integers(1, 13)) for d in ("time", "y", "x")} for _ in range(2))
    budget = data.draw(st.sampled_from([64, 600, 1 << 20]), label="budget")
    values = np.arange(np.prod(shape), dtype="int32").reshape(shape)
    dataset = xr.Dataset(
        {"v": (("time", "y", "x"), values)},
        {
            "time": pd.date_range("2020-01-01", periods=shape[0]),
            "y": np.arange(shape[1]) * 1.0,
            "x": np.arange(shape[2]),
        },
    )
    folder = tmp_path_factory.mktemp("r")
    one = write_cube(Cube("v", (Grid("main", dataset, None),), "memory"), folder / "1.zarr", layout=first)
    two = write_cube(open_cube(one), folder / "2.zarr", layout=second, budget=budget)
    opened = open_cube(two)
    np.testing.assert_array_equal(opened["v"].to_numpy(), values)
    assert opened["v"].encoding["chunks"] == tuple(min(second[d], n) for d, n in zip(second, shape, strict=True))
    assert not list(folder.rglob("*.scratch"))


class Stop(Exception):
    """What interrupts a build in these tests."""


def interrupt(after: int) -> Any:
    def progress(done: int, total: int) -> None:
        if done >= after:
            raise Stop

    return progress


def test_interrupted_build_resumes_and_never_opens(tmp_path: Path) -> None:
    cube, path = two_grids(), tmp_path / "a.zarr"
    with pytest.raises(Stop):
        write_cube(cube, path, layout={"time": 1}, progress=interrupt(3), budget=4000)
    assert not path.exists()
    building = tmp_path / "a.zarr.building"
    with pytest.raises(NotACubeError, match="interrupted"):
        open_cube(building)
    with pytest.raises((FileNotFoundError, ValueError)):
        xr.open_zarr(building, consolidated=False)
    written = {file: file.stat().st_mtime_ns for file in building.rglob("*") if file.is_file() and "c" in file.parts}
    calls: list[int] = []
    write_cube(cube, path, layout={"time": 1}, progress=lambda done, total: calls.append(done), budget=4000)
    assert calls[0] == 4  # the three parts that were done are not written again
    assert not building.exists() and not (path / "journal.jsonl").exists()
    kept = [file for file, stamp in written.items() if (path / file.relative_to(building)).stat().st_mtime_ns == stamp]
    assert kept
    np.testing.assert_allclose(open_cube(path)["red"], cube["red"], atol=1e-12)


def test_torn_journal_line_is_done_again(tmp_path: Path) -> None:
    cube, path = two_grids(), tmp_path / "a.zarr"
    with pytest.raises(Stop):
        write_cube(cube, path, layout={"time": 1}, progress=interrupt(3), budget=4000)
    journal = tmp_path / "a.zarr.building" / "journal.jsonl"
    journal.write_text(journal.read_text()[:-9])
    calls: list[int] = []
    write_cube(cube, path, layout={"time": 1}, progress=lambda done, total: calls.append(done), budget=4000)
    assert calls[0] == 3


def test_another_cube_does_not_resume(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        write_cube(two_grids(), tmp_path / "a.zarr", progress=interrupt(1))
    other = two_grids()
    other.grids[0].dataset["x"] = other.grids[0].dataset["x"] + 1
    with pytest.raises(BuildError, match="interrupted build of another cube"):
        write_cube(other, tmp_path / "a.zarr")


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = write_cube(two_grids(), tmp_path / "a.zarr")
    with pytest.raises(BuildError, match="exists already"):
        write_cube(two_grids(), path)
    write_cube(two_grids(), path, overwrite=True, attrs={"title": "new"})
    assert open_cube(path).attrs["title"] == "new"
    with pytest.raises(BuildError, match="from itself"):
        write_cube(open_cube(path), path, overwrite=True)


def test_blocks_are_checked(tmp_path: Path) -> None:
    cube = two_grids()
    writer = CubeWriter(tmp_path / "a.zarr", cube.grids)
    block = next(writer.pending("era5"))
    with pytest.raises(ValueError, match=r"expected \['tp'\]"):
        writer.write("era5", block, {})
    with pytest.raises(BuildError, match=r"has shape \(1, 1, 1\); expected \(35, 2, 3\)"):
        writer.write("era5", block, {"tp": np.zeros((1, 1, 1))})
    with pytest.raises(BuildError, match="parts; write the rest"):
        writer.finish()
    writer.close()


def test_values_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    cube = two_grids()
    cube.grids[0].dataset["red"][0, 0, 0] = 99.0
    with pytest.raises(NotACubeError, match=r"expected -32768 to 32767 for int16"):
        write_cube(cube, tmp_path / "a.zarr")
    gaps = cube.grids[0].dataset["red"].copy()
    gaps[0, 0, 0] = 0.0
    del gaps.encoding["_FillValue"]
    cube.grids[0].dataset["red"] = gaps
    with pytest.raises(NotACubeError, match="no fill value"):
        write_cube(cube, tmp_path / "b.zarr")


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    cube = two_grids()
    writer = CubeWriter(tmp_path / "a.zarr", cube.grids)
    block = next(writer.pending("era5"))
    (tmp_path / "a.zarr.building" / "era5" / "tp" / "c").write_text("in the way, as a full disk would be")
    with pytest.raises(BuildError, match=r"could not be written .*Free space"):
        writer.write("era5", block, {"tp": np.zeros((35, 2, 3))})
    assert block in list(writer.pending("era5"))
    writer.close()


def test_large_arrays_are_sharded(tmp_path: Path) -> None:
    values = np.arange(24 * 300 * 300, dtype="int16").reshape(24, 300, 300)
    dataset = xr.Dataset(
        {"v": (("time", "y", "x"), values)},
        {"time": pd.date_range("2020-01-01", periods=24), "y": np.arange(300.0), "x": np.arange(300.0)},
    )
    cube = Cube("v", (Grid("main", dataset, None),), "memory")
    path = write_cube(cube, tmp_path / "v.zarr", layout={"time": 1, "y": 16, "x": 16})
    assert sum(file.is_file() for file in (path / "main" / "v" / "c").rglob("*")) < 20
    np.testing.assert_array_equal(open_cube(path)["v"].to_numpy(), values)
    assert open_cube(path)["v"].encoding["chunks"] == (1, 16, 16)
