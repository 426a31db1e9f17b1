"""Dates in names."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcube.cubes.dates import find_date


@pytest.mark.parametrize(
    ("text", "date", "rest"),
    [
        ("X2000.02.18", "2000-02-18", "X"),
        ("2000-02-18", "2000-02-18", ""),
        ("NDVI_20200501", "2020-05-01", "NDVI"),
        ("S2A_20190708T092031_B04", "2019-07-08 09:20:31", "S2A_B04"),
        ("2019-07-08 09:20:31", "2019-07-08 09:20:31", ""),
        ("2019:07:08 09:20:31", "2019-07-08 09:20:31", ""),
        ("MOD13Q1.A2000049.h21v08", "2000-02-18", "MOD13Q1.A_h21v08"),
        ("A2012366", "2012-12-31", "A"),
    ],
)
def test_dates_are_found_in_common_forms(text: str, date: str, rest: str) -> None:
    assert find_date(text) == (pd.Timestamp(date), rest)


@pytest.mark.parametrize(
    "text", ["", "band_1", "N40E014", "2021-02-30", "A2011366", "1234567890", "tile_20201", "v2.1"]
)
def test_other_numbers_are_not_dates(text: str) -> None:
    assert find_date(text) is None


@given(st.dates(pd.Timestamp("1901-01-01").date(), pd.Timestamp("2099-12-31").date()), st.sampled_from(["", "-", "."]))
def test_any_date_survives_a_name(date: object, separator: str) -> None:
    stamp = pd.Timestamp(date)  # type: ignore[arg-type]
    assert find_date(f"B4_{stamp.strftime(f'%Y{separator}%m{separator}%d')}_v1") == (stamp, "B4_v1")
