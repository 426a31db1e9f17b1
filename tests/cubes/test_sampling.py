"""Patches: the right values, each chunk decoded once, in bounded memory, in an order that follows from the seed."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.cubes import Cube, Grid, PlanError, open_cube, write_cube
from deepcube.cubes.conventions import parse_crs
from deepcube.cubes.sampling import (
    Partition,
    PatchDataset,
    Sampler,
    every_patch,
    patches_at,
    random_patches,
    stratified,
    tf_dataset,
)
from deepcube.cubes.sampling.planning import plan_reads, tile_shape, tiling
from deepcube.cubes.sampling.sources import Source

SHAPE = (20, 24, 30)


def memory_cube(shape: tuple[int, int, int] = SHAPE) -> Cube:
    rng = np.random.default_rng(1)
    values = rng.normal(size=shape).astype("float32")
    packed = rng.integers(0, 5000, shape) * 1e-3
    packed[rng.random(shape) < 0.1] = np.nan
    dataset = xr.Dataset(
        {
            "a": (("time", "y", "x"), values),
            "b": (("time", "y", "x"), packed),
            "c": (("time", "y", "x"), rng.integers(0, 9, shape).astype("uint8")),
            "dem": (("y", "x"), rng.normal(size=shape[1:])),
            "day": (("time",), np.arange(shape[0], dtype="float64")),
        },
        {
            "time": pd.date_range("2020-01-01", periods=shape[0]),
            "y": 50 - 0.5 * np.arange(shape[1]),
            "x": 10 + 0.5 * np.arange(shape[2]),
        },
    )
    dataset["b"].encoding = {"dtype": "int16", "scale_factor": 1e-3, "_FillValue": -1}
    return Cube("m", (Grid("main", dataset, parse_crs("EPSG:4326")),), "memory")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cube(memory_cube(), tmp_path_factory.mktemp("s") / "m.zarr", layout={"time": 6, "y": 8, "x": 7})


def expected(cube: Cube, variables: list[str], start: Any, size: tuple[int, int, int]) -> np.ndarray:
    """Cut a patch the plain way."""
    box = {dim: slice(a, a + n) for dim, a, n in zip(("time", "y", "x"), start, size, strict=True)}
    whole = xr.broadcast(*(cube[name] for name in variables))
    return np.stack([data.transpose("time", "y", "x").isel(box).to_numpy() for data in whole]).astype("float32")


@settings(max_examples=15)
@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 24), st.integers(1, 30)),
    count=st.integers(1, 12),
    seed=st.integers(0, 99),
    budget=st.sampled_from([1, 5_000, 1 << 20]),
    shuffle=st.booleans(),
)
def test_patches_hold_what_the_cube_holds(
    stored: Path, size: tuple[int, int, int], count: int, seed: int, budget: int, shuffle: bool
) -> None:
    cube = open_cube(stored)
    names = ["a", "dem", "b", "c", "day"]
    starts = random_patches(SHAPE, size, count, seed)
    sampler = Sampler(cube, names, size, starts, seed=seed, budget=budget, shuffle=shuffle, limit=1e9)
    seen = dict(sampler.patches())
    assert sorted(seen) == list(range(count))
    for number, patch in seen.items():
        assert patch.flags.c_contiguous and patch.dtype == np.float32
        np.testing.assert_allclose(patch, expected(memory_cube(), names, starts[number], size), rtol=1e-6)
    batches = list(sampler.batches(5))
    assert np.concatenate([batch.index for batch in batches]).tolist() == list(seen)
    np.testing.assert_array_equal(np.concatenate([batch.values for batch in batches]), np.stack(list(seen.values())))


def boxes_read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[slice, ...]]]:
    """Return a list to which every read is added."""
    read: list[tuple[str, tuple[slice, ...]]] = []
    jobs = Source.jobs

    def spy(self: Source, box: Any, out: Any) -> Any:
        read.append((self.name, box))
        return jobs(self, box, out)

    monkeypatch.setattr(Source, "jobs", spy)
    return read


@pytest.mark.parametrize("size", [(6, 8, 7), (6, 12, 14), (1, 24, 30), (20, 1, 1), (5, 9, 9)])
@pytest.mark.parametrize("where", ["every", "random"])
def test_each_chunk_is_decoded_once(
    stored: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int, int], where: str
) -> None:
    starts = every_patch(SHAPE, size) if where == "every" else random_patches(SHAPE, size, 40, 3)
    sampler = Sampler(open_cube(stored), ["a", "b"], size, starts, limit=1e9)
    plan = sampler.plan()
    read = boxes_read(monkeypatch)
    assert len(list(sampler.patches())) == len(starts)
    chunks: Counter[tuple[str, int, int, int]] = Counter()
    for name, box in read:
        for t in range(box[0].start // 6, -(-box[0].stop // 6)):
            for y in range(box[1].start // 8, -(-box[1].stop // 8)):
                for x in range(box[2].start // 7, -(-box[2].stop // 7)):
                    chunks[name, t, y, x] += 1
    assert set(chunks.values()) == {1} and plan.repeated == 0
    values = sum(np.prod([part.stop - part.start for part in box]) for _, box in read)
    assert values == 2 * plan.decoded


@settings(max_examples=40)
@given(st.data())
def test_plans_stay_within_memory_and_cover_all(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(8, 60)) for _ in range(3))
    chunk = tuple(data.draw(st.integers(1, n)) for n in shape)
    size = tuple(data.draw(st.integers(1, n)) for n in shape)
    starts = random_patches(shape, size, data.draw(st.integers(1, 60)), data.draw(st.integers(0, 9)))
    tile = tile_shape([chunk], size, shape)
    found = tiling(starts, size, tile, chunk, shape)
    one = int(max(found.values[np.unique(found.pair_tile[found.pair_patch == p])].sum() for p in range(len(starts))))
    budget = one * data.draw(st.integers(3, 12))
    plan = plan_reads(found, size, budget, (1, 2))
    assert sorted(np.concatenate([r.patches for r in plan.rounds]).tolist()) == list(range(len(starts)))
    held: set[int] = set()
    for r in plan.rounds:
        assert not held & set(r.load.tolist())
        held |= set(r.load.tolist())
        needed = set(found.pair_tile[np.isin(found.pair_patch, r.patches)].tolist())
        assert needed <= held
        held -= set(r.drop.tolist())
    assert not held
    assert plan.decoded >= found.values.sum() and (plan.repeated > 0) == (plan.decoded > found.values.sum())


def test_tiles_that_patches_cross_are_held_together() -> None:
    shape, size, chunk = (120, 64, 64), (10, 16, 16), (10, 16, 16)
    starts = random_patches(shape, size, 400, 1)
    alone = tiling(starts, size, chunk, chunk, shape)
    found = tiling(starts, size, chunk, chunk, shape, largest=1 << 20)
    assert len(found.origin) < len(alone.origin) / 4 and len(found.pair_patch) < len(alone.pair_patch) / 2
    assert found.read.sum() == alone.read.sum() == alone.values.sum()
    reads = {tuple(box) for box in np.hstack([found.read_origin, found.read_stop]).tolist()}
    assert reads == {tuple(box) for box in np.hstack([alone.origin, alone.stop]).tolist()}
    owner = np.repeat(np.arange(len(found.origin)), np.diff(found.first_read))
    assert (found.read_origin >= found.origin[owner]).all() and (found.read_stop <= found.stop[owner]).all()
    budget = 4 * int(found.values.max())
    plan = plan_reads(found, size, budget, (1, 2))
    assert plan.repeated == 0 and plan.peak <= budget and len(plan.rounds) > 8


def test_order_follows_from_seed_and_epoch(stored: Path) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = Sampler(open_cube(stored), ["a"], (6, 8, 7), every_patch(SHAPE, (6, 8, 7)), seed=seed)
        return [number for number, _ in sampler.patches(epoch)]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1) != order(2, 0)
    assert sorted(order(1, 0)) == sorted(order(2, 5))


def test_patches_are_yours_to_keep(stored: Path) -> None:
    big = (20, 24, 30)
    sampler = Sampler(open_cube(stored), ["a"] * 5, big, [[0, 0, 0]] * 12, limit=1e9)
    kept = [patch for _, patch in sampler.patches()]
    copies = [patch.copy() for patch in kept]
    list(sampler.patches(1))
    for patch, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(patch, copy)
    kept[0][:] = 7
    assert not (kept[1] == 7).all()


def test_wasteful_plans_are_refused_with_the_cure(stored: Path, caplog: pytest.LogCaptureFixture) -> None:
    cube = open_cube(stored)
    scattered = [[0, 0, 0], [7, 9, 8], [13, 17, 22]]
    with pytest.raises(PlanError, match=r"336.0 values for each .*deepcube cubes rechunk .*m.zarr .* --chunks 1,1,1"):
        Sampler(cube, ["a"], (1, 1, 1), scattered)
    Sampler(cube, ["a"], (1, 1, 1), scattered, limit=400)
    assert "Cut the cube anew" in caplog.text


@pytest.mark.parametrize("suffix", ["nc", "zarr2"])
def test_other_stores_give_the_same(tmp_path: Path, suffix: str) -> None:
    cube = memory_cube()
    path = tmp_path / f"m.{suffix}"
    dataset = cube.grids[0].dataset.transpose("y", "x", "time")  # stored in another order than it is read in
    dataset.to_netcdf(path) if suffix == "nc" else dataset.to_zarr(path, zarr_format=2)
    starts = random_patches(SHAPE, (5, 6, 7), 9, 4)
    sampler = Sampler(open_cube(path), ["a", "b"], (5, 6, 7), starts, limit=1e9)
    for number, patch in sampler.patches():
        np.testing.assert_allclose(patch, expected(cube, ["a", "b"], starts[number], (5, 6, 7)), rtol=1e-6)


@pytest.mark.parametrize(
    ("variables", "size", "starts", "message"),
    [
        (["a"], (6, 8, 7), [[15, 0, 0]], r"1 of 1 patches .* the first at \[15, 0, 0\]"),
        (["a"], (6, 8, 7), [[-1, 0, 0]], "do not lie in the cube"),
        (["a"], (0, 8, 7), [[0, 0, 0]], "three sizes from 1"),
        (["a"], (6, 8, 7), [], "expected whole numbers"),
        (["dem"], (6, 8, 7), [[0, 0, 0]], "none with time, y and x"),
        ([], (6, 8, 7), [[0, 0, 0]], "no variables"),
    ],
)
def test_impossible_samples_are_refused(
    stored: Path, variables: list[str], size: Any, starts: Any, message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        Sampler(open_cube(stored), variables, size, starts)


def test_variables_of_two_grids_are_refused(tmp_path: Path) -> None:
    one, two = memory_cube(), memory_cube((20, 12, 15))
    grids = (Grid("fine", one.grids[0].dataset[["a"]], None), Grid("coarse", two.grids[0].dataset[["b"]], None))
    with pytest.raises(PlanError, match=r"grids fine, coarse; expected one.*view.cube"):
        Sampler(Cube("two", grids, "memory"), ["a", "b"], (1, 1, 1), [[0, 0, 0]])


def test_patches_around_points() -> None:
    grid = memory_cube().grids[0]
    times = ["2020-01-10T12:00", "2020-01-10", "2020-01-10", "2020-01-01"]
    starts = patches_at(
        grid, pd.to_datetime(times, format="ISO8601"), [12.1, 372.1, 60.0, 12.1], [44.9, 44.9, 44.9, 44.9], (3, 5, 5)
    )
    assert starts.tolist() == [[7, 8, 2], [7, 8, 2], [-1, -1, -1], [-1, -1, -1]]


def test_labels_get_their_shares() -> None:
    labels = np.array([1] * 10 + [0] * 1000)
    drawn = stratified(labels, 300, {0: 2, 1: 1}, seed=3)
    assert Counter(labels[drawn].tolist()) == {0: 20, 1: 10} and len(set(drawn.tolist())) == 30
    assert Counter(labels[stratified(labels, 6)].tolist()) == {0: 3, 1: 3}
    with pytest.raises(PlanError, match="no candidate"):
        stratified(labels, 10, {0: 1, 5: 1})


@settings(max_examples=30)
@given(seed=st.integers(0, 99), block=st.integers(5, 20), gap=st.integers(0, 4), lag=st.integers(0, 4), data=st.data())
def test_parts_share_neither_time_nor_ground(seed: int, block: int, gap: int, lag: int, data: st.DataObject) -> None:
    shape, size = (50, 60, 60), (4, 3, 3)
    split = Partition((25, 38), block, (0.5, 0.25, 0.25), time_buffer=lag, space_buffer=gap, seed=seed)
    starts = random_patches(shape, size, 300, seed)
    parts = split.assign(starts, size, shape)
    owner = np.kron(split.blocks(shape), np.ones((block, block), int))[:60, :60]
    for (t, y, x), part in zip(starts.tolist(), parts.tolist(), strict=True):
        ground = owner[max(0, y - gap) : y + 3 + gap, max(0, x - gap) : x + 3 + gap]
        steps = np.digitize(np.arange(max(0, t - lag), t + 4 + lag), (25, 38))
        same = len(np.unique(ground)) == 1 and len(np.unique(steps)) == 1 and ground[0, 0] == steps[0]
        assert part == (ground[0, 0] if same else -1)


def test_tensorflow_gets_every_patch(stored: Path) -> None:
    starts = every_patch(SHAPE, (6, 8, 7))
    sampler = Sampler(open_cube(stored), ["a", "c"], (6, 8, 7), starts)
    seen = []
    for index, values in tf_dataset(sampler, 10, epochs=2):
        seen += index.numpy().tolist()
        assert values.shape[1:] == (2, 6, 8, 7)
    assert Counter(seen) == dict.fromkeys(range(len(starts)), 2)


def twice_and_mean(patch: np.ndarray) -> tuple[np.ndarray, float]:
    return 2 * patch, float(np.nanmean(patch))


class TestPatchDataset:
    SIZE = (3, 8, 7)
    STARTS = every_patch(SHAPE, (3, 8, 7))

    def test_rows_are_patches_by_number_also_after_a_journey(self, stored: Path) -> None:
        dataset = PatchDataset(str(stored), ["a", "b"], self.SIZE, self.STARTS)
        assert len(dataset) == len(self.STARTS)
        arrived = pickle.loads(pickle.dumps(dataset))  # noqa: S301 -- written above
        asked = [5, 0, 5, 17]
        cube = open_cube(stored)
        for rows in (dataset.__getitems__(asked), arrived.__getitems__(asked), [dataset[n] for n in asked]):
            for number, row in zip(asked, rows, strict=True):
                np.testing.assert_array_equal(row, expected(cube, ["a", "b"], self.STARTS[number], self.SIZE))

    def test_as_an_array_it_is_all_of_them(self, stored: Path) -> None:
        dataset = PatchDataset(stored, ["a"], self.SIZE, self.STARTS)
        values = np.asarray(dataset)
        assert values.shape == (len(self.STARTS), 1, *self.SIZE)
        np.testing.assert_array_equal(values, np.stack(dataset.__getitems__(range(len(dataset)))))
        assert np.asarray(dataset, "float64").dtype == np.float64

    def test_a_batch_decodes_each_chunk_once(self, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read = boxes_read(monkeypatch)
        dataset = PatchDataset(stored, ["a"], (6, 8, 7), [[0, 0, 0]] * 3 + [[0, 8, 0]])
        dataset.__getitems__([0, 1, 2, 3])
        assert len(read) == len({str(box) for box in read})

    def test_rows_are_prepared(self, stored: Path) -> None:
        dataset = PatchDataset(stored, ["a"], self.SIZE, self.STARTS, prepare=twice_and_mean)
        plain = PatchDataset(stored, ["a"], self.SIZE, self.STARTS)[4]
        doubled, mean = dataset[4]
        np.testing.assert_array_equal(doubled, 2 * plain)
        assert mean == pytest.approx(plain.mean())

    def test_what_does_not_fit_is_said_at_once(self, stored: Path) -> None:
        with pytest.raises(PlanError, match="do not lie in the cube"):
            PatchDataset(stored, ["a"], (6, 8, 7), [[18, 0, 0]])
