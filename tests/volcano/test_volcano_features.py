"""What is read of an interferogram, what is refused, and how patches are told apart, grouped and stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from features import volcano
from features.volcano.image import LOOKS, PIXELS, SIDE


def ramp(fringes: float = 3.0, side: int = PIXELS) -> np.ndarray:
    """Phase that rises evenly from left to right."""
    row = np.linspace(0, 2 * np.pi * fringes, side)
    return np.tile((row + np.pi) % (2 * np.pi) - np.pi, (side, 1)).astype(np.float32)


def write_png(path: Path, grey: np.ndarray) -> Path:
    with rasterio.open(path, "w", driver="PNG", height=grey.shape[0], width=grey.shape[1], count=1, dtype="uint8") as f:
        f.write(grey, 1)
    return path


def test_grey_levels_are_phase(tmp_path: Path) -> None:
    grey = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    phase = volcano.read_interferogram(write_png(tmp_path / "a.png", grey))
    assert phase.shape == (256, 256)
    assert phase[0, 0] == pytest.approx(-np.pi)
    assert phase[0, 255] == pytest.approx(np.pi)


def test_one_interferogram_is_the_same_in_every_format(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (PIXELS, PIXELS)).astype(np.uint8)
    phase = volcano.from_grey(grey)
    np.save(tmp_path / "a.npy", phase)
    image = volcano.read_interferogram(write_png(tmp_path / "a.png", grey))
    array = volcano.read_interferogram(tmp_path / "a.npy")
    assert volcano.content_hash(image) == volcano.content_hash(array)
    other = phase.copy()
    other[5, 5] = -other[5, 5] + 0.5
    assert volcano.content_hash(np.clip(other, -np.pi, np.pi)) != volcano.content_hash(phase)


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        (np.zeros((PIXELS, PIXELS, 3), np.float32), "rows and columns"),
        (np.full((PIXELS, PIXELS), "x"), "rows and columns"),
        (ramp(side=100), "at least 216 x 216"),
        (np.full((PIXELS, PIXELS), np.nan, np.float32), "0%"),
        (10 * ramp(), "wrapped phase in radians"),
        (np.full((PIXELS, PIXELS), 0.3, np.float32), "varies"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_the_reason(phase: np.ndarray, said: str) -> None:
    with pytest.raises(volcano.InterferogramError, match=said):
        volcano.check_phase(phase, "it")


def test_files_that_are_no_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image at all")
    write_png(tmp_path / "b.png", np.random.default_rng(0).integers(0, 256, (300, 300)).astype(np.uint8))
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "c.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "e.png").write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    np.save(tmp_path / "d.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    for name in ("a.png", "c.png", "d.npy", "e.png"):
        with pytest.raises(volcano.InterferogramError, match="cannot be read"):
            volcano.read_interferogram(tmp_path / name)


@given(st.floats(-3, 3), st.integers(0, 2**32 - 1))
def test_the_network_sees_the_complex_mean_of_blocks(shift: float, seed: int) -> None:
    phase = np.random.default_rng(seed).uniform(-np.pi, np.pi, (PIXELS, PIXELS)).astype(np.float32)
    phase[:LOOKS, :LOOKS] = shift
    phase[-LOOKS:, -LOOKS:] = np.nan
    seen = volcano.phasor(phase)
    assert seen.shape == (SIDE, SIDE, 2)
    assert np.allclose(seen[0, 0], [np.cos(shift), np.sin(shift)], atol=1e-6)
    assert not seen[-1, -1].any()
    block = np.exp(1j * phase[3:6, 6:9]).mean()
    assert np.allclose(seen[1, 2], [block.real, block.imag], atol=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_what_is_packed_comes_back(seed: int) -> None:
    values = np.random.default_rng(seed).uniform(-1, 1, (SIDE, SIDE, 2)).astype(np.float32)
    assert np.abs(volcano.unpack(volcano.pack(values), SIDE, SIDE, 2) - values).max() <= 0.5 / 127 + 1e-6


@given(st.integers(0, 2**32 - 1))
def test_an_interferogram_is_made_of_what_is_seen_of_it(seed: int) -> None:
    generator = np.random.default_rng(seed)
    angle, length = generator.uniform(-np.pi, np.pi, (SIDE, SIDE)), generator.uniform(0, 1, (SIDE, SIDE))
    seen = (length[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)).astype(np.float32)
    phase = volcano.check_phase(volcano.expand(seen), "it")
    assert np.abs(volcano.phasor(phase) - seen).max() < 1e-5


def test_statistics_of_known_interferograms() -> None:
    flat = volcano.statistics(volcano.phasor(ramp(0.5)))
    steep = volcano.statistics(volcano.phasor(ramp(6)))
    noise = np.random.default_rng(0).uniform(-np.pi, np.pi, (PIXELS, PIXELS)).astype(np.float32)
    lost = volcano.statistics(volcano.phasor(noise))
    step = 2 * np.pi * 6 * LOOKS / (PIXELS - 1)
    assert steep["gradient_energy"] == pytest.approx(step**2 / 2, rel=0.02)  # rows change, columns do not
    assert steep["fringe_count"] == pytest.approx(3, rel=0.05)
    assert steep["fringe_turning"] == pytest.approx(0, abs=0.01)
    assert flat["coherence"] > 0.99 > 0.5 > lost["coherence"]
    assert set(flat) == set(volcano.STATISTICS)


@given(st.integers(PIXELS, 5 * PIXELS), st.integers(PIXELS, 5 * PIXELS))
def test_windows_cover_large_images_and_stay_inside(rows: int, columns: int) -> None:
    corners = volcano.windows(np.zeros((rows, columns), np.float32))
    if max(rows, columns) < 2 * PIXELS:
        assert corners == [(0, 0)]
        return
    covered = np.zeros((rows, columns), bool)
    for row, column in corners:
        assert 0 <= row <= rows - PIXELS and 0 <= column <= columns - PIXELS
        covered[row : row + PIXELS, column : column + PIXELS] = True
    assert covered.all()


def test_regions_join_what_shares_a_volcano_or_a_frame() -> None:
    volcanoes = ["etna", "etna", "erta_ale", "ale_bagu", "taal", "", ""]
    frames = ["f1", "f2", "f3", "f3", "f9", "", ""]
    found = volcano.regions(volcanoes, frames)
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert len(set(found)) == 5  # what is not known joins nothing


@given(st.permutations(range(8)))
def test_regions_do_not_depend_on_the_order(order: list[int]) -> None:
    volcanoes = ["a", "b", "b", "c", "d", "e", "a", "f"]
    frames = ["1", "1", "2", "2", "3", "4", "4", "5"]
    straight = volcano.regions(volcanoes, frames)
    mixed = volcano.regions([volcanoes[i] for i in order], [frames[i] for i in order])
    assert [mixed[order.index(i)] for i in range(8)] == straight


def test_names_of_files_tell_frame_volcano_and_dates() -> None:
    name = "test/none/africa_adwa_014A_07885_131313_adwa_20151013_20151106_158_82_1.png"
    expected = {"frame": "014A_07885", "volcano": "adwa", "first": "20151013", "second": "20151106"}
    assert volcano.name_parts(name) == expected
    assert volcano.name_parts("x_20200101-20200113.tif")["second"] == "20200113"
    assert volcano.name_parts("x.tif") == {"volcano": "", "frame": "", "first": "", "second": ""}


def test_a_folder_becomes_rows_and_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    root = tmp_path / "my-patches"
    for split in ("train", "test"):
        for label in ("deformation", "none"):
            (root / split / label).mkdir(parents=True)
            grey = generator.integers(0, 256, (PIXELS, PIXELS)).astype(np.uint8)
            name = f"x_{label}_014A_07885_131313_{label}_20151013_2015110{len(split)}.png"
            write_png(root / split / label / name, grey)
    (root / "train" / "none" / "bad_014A_00001_131313_bad_20151013_20151106.png").write_bytes(b"bad")
    source = volcano.open_source(str(root))
    patches = list(source.read())
    assert (source.cube, source.simulated, source.length, len(patches)) == ("my_patches", False, 5, 4)
    assert [refused["file"] for refused in source.refused] == [
        "train/none/bad_014A_00001_131313_bad_20151013_20151106.png"
    ]
    tables = volcano.compute_tables(source.cube, patches)
    assert tables.labels["deformation"].tolist() == [int("deformation" in file) for file in tables.patches["file"]]
    assert set(tables.patches["split"]) == {"train", "test"}
    assert tables.patches["region"].nunique() == 1
    assert tables.patches["time"].dtype == "datetime64[us]"
    assert tables.labels["mask"].isna().all()
    assert pd.Timestamp("2015-10-13") == tables.patches["first_date"].iloc[0]


def test_folders_of_other_things_are_refused(tmp_path: Path) -> None:
    from deepcube.cubes import CubeError

    with pytest.raises(CubeError, match="no folder"):
        volcano.open_source(str(tmp_path / "nowhere"))
    with pytest.raises(CubeError, match="no images"):
        volcano.open_source(str(tmp_path))


@pytest.mark.slow
def test_the_real_patches_lie_in_regions_that_the_test_does_not_reach_into(shared_data: Path) -> None:
    source = volcano.open_source(str(shared_data / "insar-volcano-patches"))
    table = volcano.compute_tables(source.cube, list(source.read())).patches
    assert len(table) == 664
    test = set(table.loc[table["split"] == "test", "region"])
    rest = table[~table["region"].isin(test)]
    assert not set(rest["volcano"]) & set(table.loc[table["split"] == "test", "volcano"])
    assert not set(rest["frame"]) & set(table.loc[table["split"] == "test", "frame"])
