"""Splits in time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcube.cubes import TimeAxisError, time_split

axes = st.builds(
    lambda start, days, count: pd.date_range(start, periods=count, freq=f"{days}D"),
    st.sampled_from(["1999-12-27", "2000-02-18", "2015-08-03"]),
    st.sampled_from([1, 5, 8, 10, 16, 30]),
    st.integers(40, 600),
)


@given(axes, st.integers(1, 5))
def test_no_target_falls_into_the_next_part(times: pd.DatetimeIndex, embargo: int) -> None:
    try:
        split = time_split(times, embargo)
    except TimeAxisError:
        assert len(times) < 60
        return
    parts = [np.flatnonzero(split.select(times, part)) for part in ("train", "validation", "test")]
    assert all(len(part) >= 2 and (np.diff(part) == 1).all() for part in parts)
    assert parts[0][0] == 0 and parts[2][-1] == len(times) - 1
    assert parts[0][-1] + embargo < parts[1][0] == parts[0][-1] + embargo + 1
    assert parts[1][-1] + embargo < parts[2][0] == parts[1][-1] + embargo + 1


@given(axes)
def test_ends_select_the_same_rows_inclusive_or_not(times: pd.DatetimeIndex) -> None:
    try:
        split = time_split(times, 3)
    except TimeAxisError:
        return
    for part in ("train", "validation", "test"):
        start, end = getattr(split, f"{part}_start"), getattr(split, f"{part}_end")
        assert split.select(times, part).tolist() == ((times >= start) & (times <= end)).tolist()


@pytest.mark.parametrize(("years", "validation", "test"), [(12, 1, 2), (6, 1, 1), (2.5, 0.5, 0.5)])
def test_whole_years_are_held_out_where_there_are_enough(years: float, validation: float, test: float) -> None:
    times = pd.date_range("2000-01-01", periods=int(years * 36.52425), freq="10D")
    split = time_split(times, 3)
    step = pd.Timedelta(days=10)
    year = pd.Timedelta(days=365.2425)
    assert abs((times[-1] - split.test_start) - test * year) <= step
    assert abs((split.test_start - split.validation_start) - validation * year) <= step


def test_order_and_duplicates_do_not_matter() -> None:
    times = pd.date_range("2000-01-01", periods=200, freq="16D")
    shuffled = np.random.default_rng(0).permutation(np.repeat(times.to_numpy(), 3))
    assert time_split(shuffled, 3) == time_split(times, 3)


def test_dates_become_text() -> None:
    split = time_split(pd.date_range("2000-01-01", periods=200, freq="16D"), 3)
    assert split.isoformat()["train_start"] == "2000-01-01T00:00:00"
    assert len(split.isoformat()) == 6


@pytest.mark.parametrize("count", [0, 1, 12])
def test_too_short_a_series_is_refused(count: int) -> None:
    with pytest.raises(TimeAxisError, match=r"expected at least 2|Use a longer series"):
        time_split(pd.date_range("2000-01-01", periods=count, freq="16D"), 3)
