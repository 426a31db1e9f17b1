"""Figures hold what they were given."""

import struct
from pathlib import Path

from deepcube.oblivious import learning_curve, score_bars


def size_of(png: Path) -> tuple[int, int]:
    header = png.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", header[16:24])


def test_learning_curve(tmp_path):
    runs = [{"train": [3.0, 2.0], "validation": [3.5, 2.5]}, {"train": [3.0], "validation": [3.0]}]
    assert min(size_of(learning_curve(runs, tmp_path / "curve.png", title="t", ylabel="loss"))) > 300


def test_score_bars(tmp_path):
    values = {"model": {"a": 0.1, "b": 0.2}, "baseline": {"a": 0.3}}
    path = score_bars(values, tmp_path / "bars.png", title="t", ylabel="RMSE", errors={"model": {"a": 0.01}})
    assert min(size_of(path)) > 300
