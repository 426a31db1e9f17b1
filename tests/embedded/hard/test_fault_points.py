"""The share of fault points that a run visits."""

from __future__ import annotations

import pytest
from fault_points import chosen
from hypothesis import given
from hypothesis import strategies as st


@given(total=st.integers(0, 300), wanted=st.integers(1, 50), name=st.text(max_size=5), first_day=st.integers(0, 10**6))
def test_days_in_a_row_visit_every_point_once(total: int, wanted: int, name: str, first_day: int) -> None:
    stride = max(1, -(-total // wanted))
    visited: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        for day in range(first_day, first_day + stride):
            patch.setenv("DEEPCUBE_FAULT_ROTATION", str(day))
            share = chosen(total, wanted, name)
            assert len(share) <= wanted
            visited += share
    assert sorted(visited) == list(range(1, total + 1))


def test_the_full_form_visits_all() -> None:
    assert chosen(7, None, "x") == [1, 2, 3, 4, 5, 6, 7]
