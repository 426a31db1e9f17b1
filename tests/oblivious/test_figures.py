"""Figures hold what they were given."""

import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcube.oblivious import learning_curve, score_bars, study_figures


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


HPARAMS = [
    {"units": 8, "rate": 1e-4, "act": "relu"},
    {"units": 16, "rate": 1e-2, "act": "tanh"},
    {"units": 32, "rate": 1e-3},
]


@pytest.mark.parametrize("best_first", ["min", "max"])
def test_figures_of_a_search(tmp_path, best_first):
    common = {"title": "t", "metric": "loss", "best_first": best_first}
    path = study_figures.parallel_coordinates(HPARAMS, [0.3, 0.1, 9.0], tmp_path / "lines.png", **common)
    assert min(size_of(path)) > 300
    histories = [[[0, 0.5], [1, 0.3]], [], [[0, 9.0]]]
    curves = study_figures.trial_curves(
        histories, [0.3, 0.1, 9.0], [True, False, False], tmp_path / "curves.png", **common
    )
    assert min(size_of(curves)) > 300


def test_importance_bars_of_one_run_have_no_interval(tmp_path):
    rows = {"a": {"importance": 0.2, "low": -math.inf, "high": math.inf, "runs": 1}}
    path = study_figures.importance_bars(rows, tmp_path / "bars.png", title="t", metric="loss", confidence=0.95)
    assert min(size_of(path)) > 150


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(-99, 99)), min_size=1))
def test_an_axis_keeps_the_order_of_numbers_and_lies_between_its_ends(values):
    scale = study_figures._Scale(values)
    pairs = [pair for pair in zip(values, scale.heights, strict=True) if pair[0] is not None]
    assert all(math.isnan(height) == (value is None) for value, height in zip(values, scale.heights, strict=True))
    assert all(-1e-9 <= height <= 1 + 1e-9 for _, height in pairs)
    heights = [height for _, height in sorted(pairs)]
    assert heights == sorted(heights)


def test_an_axis_is_logarithmic_where_many_values_span_an_order_of_magnitude():
    assert study_figures._Scale([10.0**-power for power in range(8)]).logarithmic
    assert not study_figures._Scale([0.0, *(10.0**-power for power in range(8))]).logarithmic
    assert not study_figures._Scale([8, 16, 32, 256]).logarithmic
    assert [label for _, label in study_figures._Scale([32, 8, 16, 8]).ticks] == ["8", "16", "32"]
    assert study_figures._Scale(["b", "a", "b"]).heights == [1.0, 0.0, 1.0]


def test_the_axis_of_the_metric_leaves_out_what_is_far_worse_only():
    assert study_figures._without_outliers([1.0, 1.1, 1.2, 1.3, 90.0], "min") == [1.0, 1.1, 1.2, 1.3]
    assert len(study_figures._without_outliers([1.0, 1.1, 1.2, 1.3, 90.0], "max")) == 5
