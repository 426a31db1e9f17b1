"""Lags, targets and last observations."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deepcube.cubes import ahead, lagged, last_observed

values = arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.just(np.nan) | st.floats(-1, 1))


@given(values, st.integers(0, 15))
def test_lag_and_lead_undo_each_other(data: np.ndarray, steps: int) -> None:
    for t in range(len(data)):
        np.testing.assert_array_equal(lagged(data, steps)[t], data[t - steps] if t >= steps else np.nan)
    kept = data[: max(len(data) - steps, 0)]
    np.testing.assert_array_equal(ahead(lagged(data, steps), steps)[: len(kept)], kept)


@given(values)
def test_last_observed_equals_a_plain_loop(data: np.ndarray) -> None:
    value, age = last_observed(data)
    for p in range(data.shape[1]):
        last, since = np.nan, np.nan
        for t in range(len(data)):
            last, since = (data[t, p], 0.0) if np.isfinite(data[t, p]) else (last, since + 1)
            np.testing.assert_array_equal([value[t, p], age[t, p]], [last, since])


@given(values, st.integers(0, 11), st.integers(0, 5))
def test_the_past_does_not_depend_on_the_future(data: np.ndarray, at: int, steps: int) -> None:
    at = min(at, len(data) - 1)
    changed = data.copy()
    changed[at + 1 :] = 9.0
    for function in (lambda v: lagged(v, steps), lambda v: last_observed(v)[0], lambda v: last_observed(v)[1]):
        np.testing.assert_array_equal(function(changed)[: at + 1], function(data)[: at + 1])
