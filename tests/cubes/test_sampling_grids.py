"""Patches of several grids: the same ground and period, each at its own resolution."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcube.cubes import Cube, Grid, PlanError, open_cube, write_cube
from deepcube.cubes.chunk_files import ChunkFiles
from deepcube.cubes.conventions import parse_crs
from deepcube.cubes.sampling import GridsSampler, tf_dataset, torch_dataset


def grid(name: str, side: int, pixel: float, steps: int, days: int, crs: str = "EPSG:4326") -> Grid:
    """Return a grid whose values say when and where they lie: days, latitude, longitude."""
    times = pd.date_range("2020-01-01", periods=steps, freq=f"{days}D")
    y, x = 50 - pixel * (np.arange(side) + 0.5), 10 + pixel * (np.arange(side) + 0.5)
    day = (times - times[0]).days.to_numpy(dtype="float32")
    whole = np.meshgrid(day, y, x, indexing="ij")
    data = {f"{name}_{of}": (("time", "y", "x"), v.astype("f4")) for of, v in zip("tyx", whole, strict=True)}
    return Grid(name, xr.Dataset(data, {"time": times, "y": y, "x": x}), parse_crs(crs))


@pytest.fixture
def cube(tmp_path: Path) -> Cube:
    held = Cube("two", (grid("fine", 80, 0.05, 12, 5), grid("coarse", 8, 0.5, 60, 1)), "memory")
    return open_cube(write_cube(held, tmp_path / "two.zarr", layout={"time": 4, "y": 16, "x": 16}))


def test_patches_cover_the_same_ground_and_period(cube: Cube) -> None:
    rng = np.random.default_rng(4)
    longitude, latitude = rng.uniform(10, 14, 50), rng.uniform(46, 50, 50)
    times = pd.Timestamp("2020-01-15") + pd.to_timedelta(rng.integers(0, 40, 50), unit="D")
    names = [f"{of}_{axis}" for of in ("fine", "coarse") for axis in "tyx"]
    sampler = GridsSampler(cube, names, (1.5, 1.5), "10D", times, longitude, latitude, seed=2, limit=1e9)
    assert sampler.sizes == {"fine": (2, 30, 30), "coarse": (10, 3, 3)} and 5 < len(sampler) < 50
    seen = []
    for batch in sampler.batches(4):
        for row, number in enumerate(batch.index.tolist()):
            for name, pixel, step in (("fine", 0.05, 5), ("coarse", 0.5, 1)):
                day, y, x = batch.values[name][row]
                last = (times[number] - pd.Timestamp("2020-01-01")).days
                assert last - step < day[-1, 0, 0] <= last
                assert abs(y.mean() - latitude[number]) <= pixel and abs(x.mean() - longitude[number]) <= pixel
            seen.append(number)
    assert sorted(seen) == sampler.kept.tolist()
    again = np.concatenate([batch.index for batch in sampler.batches(7)])
    assert again.tolist() == seen


def points(count: int) -> tuple[pd.DatetimeIndex, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    times = pd.Timestamp("2020-01-15") + pd.to_timedelta(rng.integers(0, 40, count), unit="D")
    return times, rng.uniform(10, 14, count), rng.uniform(46, 50, count)


def test_each_chunk_of_every_grid_is_decoded_once(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[str] = Counter()
    decode = ChunkFiles.read

    def spy(self: ChunkFiles, index: tuple[int, ...], out: np.ndarray) -> None:
        read[f"{Path(self.folder).name} {index}"] += 1
        decode(self, index, out)

    monkeypatch.setattr(ChunkFiles, "read", spy)
    sampler = GridsSampler(cube, ["fine_t", "coarse_t"], (1.5, 1.5), "10D", *points(60))
    assert len(list(sampler.batches(2))) > 10
    assert set(read.values()) == {1} and {name.split()[0] for name in read} == {"fine_t", "coarse_t"}


def test_wasteful_plans_name_the_grid(cube: Cube) -> None:
    with pytest.raises(PlanError, match=r"of the grid 'fine'. Cut .* --chunks 1,2,2"):
        GridsSampler(cube, ["fine_t", "coarse_t"], (0.1, 0.1), "1D", *points(2), limit=3)


def test_tensorflow_and_torch_get_all_grids(cube: Cube) -> None:
    torch = pytest.importorskip("torch")
    sampler = GridsSampler(cube, ["fine_t", "coarse_t"], (1.5, 1.5), "10D", *points(40), limit=1e9)
    plain = list(sampler.batches(4))
    for given in (tf_dataset(sampler, 4), torch_dataset(sampler, 4)):
        for batch, (index, values) in zip(plain, given, strict=True):
            assert index.numpy().tolist() == batch.index.tolist() and set(values) == {"fine", "coarse"}
            for name, part in batch.values.items():
                np.testing.assert_array_equal(values[name].numpy(), part)
    assert torch.is_tensor(values["fine"])


def test_points_outside_and_other_units_are_refused(cube: Cube) -> None:
    with pytest.raises(PlanError, match="None of 1 points"):
        GridsSampler(cube, ["fine_t", "coarse_t"], (1, 1), "10D", ["2020-02-01"], [60.0], [48.0])
    metres = Cube("m", (*cube.grids, grid("other", 8, 0.5, 9, 1, "EPSG:3035")), "memory")
    with pytest.raises(PlanError, match="expected one unit"):
        GridsSampler(metres, ["fine_t", "other_t"], (1, 1), "10D", ["2020-02-01"], [12.0], [48.0])
