"""Regular time axes and backward-looking composites."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcube.cubes import TimeAxisError, composite, native_steps, regular_step, window_steps

TEN_DAYS = pd.Timedelta(days=10)
acquisitions = st.lists(st.integers(0, 400 * 24), min_size=2, max_size=60, unique=True).map(
    lambda hours: pd.DatetimeIndex(pd.Timestamp("2016-02-03") + pd.to_timedelta(sorted(hours), unit="h"))
)


@pytest.mark.parametrize(
    ("times", "days"),
    [
        (pd.date_range("2000-01-01", periods=5, freq="16D"), 16),
        (pd.to_datetime(["2011-12-03", "2011-12-19", "2012-01-01", "2012-01-17"]), 16),
        (pd.date_range("2001-01-01", periods=24, freq="MS"), 31),
        (pd.to_datetime(["2011-12-03", "2011-12-19", "2012-01-20"]), None),
        (pd.to_datetime(["2011-12-03"]), None),
    ],
)
def test_regular_axes_are_recognised(times: pd.DatetimeIndex, days: int | None) -> None:
    found = regular_step(times)
    assert found == (None if days is None else pd.Timedelta(days=days))


def test_irregular_axis_is_no_native_step() -> None:
    with pytest.raises(TimeAxisError, match="Composite them"):
        native_steps(pd.to_datetime(["2020-01-01", "2020-01-02", "2020-02-01"]))


@given(acquisitions)
def test_windows_hold_what_came_before_their_end(times: pd.DatetimeIndex) -> None:
    if (times[-1] - times[0]) < TEN_DAYS * 2:
        return
    steps = window_steps(times, TEN_DAYS)
    assert len(steps.window) == len(times)
    for time, window in zip(times, steps.window, strict=True):
        if window < len(steps.times):
            assert steps.times[window] - TEN_DAYS < time <= steps.times[window]
        else:
            assert time > steps.times[-1]
    assert steps.times[-1] <= times[-1] < steps.times[-1] + TEN_DAYS
    assert ((steps.times - pd.Timestamp("1970-01-01")) % TEN_DAYS == pd.Timedelta(0)).all()


@given(acquisitions, st.integers(1, 50))
def test_a_cube_that_grows_keeps_its_dates(times: pd.DatetimeIndex, extra: int) -> None:
    if (times[-1] - times[0]) < TEN_DAYS * 2:
        return
    longer = times.append(pd.DatetimeIndex([times[-1] + pd.Timedelta(days=extra)]))
    before, after = window_steps(times, TEN_DAYS), window_steps(longer, TEN_DAYS)
    assert after.times[: len(before.times)].equals(before.times)


@given(acquisitions, st.randoms(use_true_random=False), st.sampled_from(["max", "mean"]))
def test_composites_equal_a_plain_loop_and_ignore_the_future(times: pd.DatetimeIndex, random: object, how: str) -> None:
    if (times[-1] - times[0]) < TEN_DAYS * 2:
        return
    rng = np.random.default_rng(random.randrange(2**32))  # type: ignore[attr-defined]
    values = np.where(rng.random((len(times), 3)) < 0.4, np.nan, rng.normal(size=(len(times), 3)))
    steps = window_steps(times, TEN_DAYS)
    result, fraction = composite(values, steps, how)  # type: ignore[arg-type]
    for k, end in enumerate(steps.times):
        inside = values[(times > end - TEN_DAYS) & (times <= end)]
        for p in range(3):
            valid = inside[np.isfinite(inside[:, p]), p]
            assert fraction[k, p] == (len(valid) / len(inside) if len(inside) else 0)
            if len(valid):
                assert result[k, p] == pytest.approx(valid.max() if how == "max" else valid.mean())
            else:
                assert np.isnan(result[k, p])
    cut = len(steps.times) // 2
    changed = np.where((times > steps.times[cut])[:, None], 99.0, values)
    np.testing.assert_array_equal(composite(changed, steps, how)[0][: cut + 1], result[: cut + 1])  # type: ignore[arg-type]


def test_native_steps_keep_values_and_flag_gaps() -> None:
    steps = native_steps(pd.date_range("2000-01-01", periods=3, freq="16D"))
    values, fraction = composite(np.array([[1.0], [np.nan], [3.0]]), steps)
    np.testing.assert_array_equal(values, [[1.0], [np.nan], [3.0]])
    assert fraction.ravel().tolist() == [1.0, 0.0, 1.0]


def test_dates_after_the_end_are_extrapolated() -> None:
    steps = native_steps(pd.date_range("2000-01-01", periods=3, freq="16D"))
    assert steps.after(2).strftime("%Y-%m-%d").tolist() == ["2000-02-02", "2000-02-18", "2000-03-05"]


def test_too_short_a_series_is_refused() -> None:
    with pytest.raises(TimeAxisError, match="complete no window"):
        window_steps(pd.to_datetime(["2020-01-02", "2020-01-03"]), TEN_DAYS)
