"""A query document of the wrong shape is told apart before anything of it is read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcube.embedded.errors import ApiError
from deepcube.embedded.query.shape import MAX_DEPTH, check_query

_FEATURE = {"name": "x", "type": "int"}


def _joined(below: Any, **options: Any) -> dict[str, Any]:
    return {"leftFeatureGroup": {"id": 1}, "leftFeatures": [_FEATURE], "joins": [{"query": below, **options}]}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"leftFeatureGroup": {"id": 1}, "leftFeatures": [_FEATURE], "joins": None, "filter": None},
        _joined({"leftFeatureGroup": {"id": 2}}, on=["x", _FEATURE], leftOn=[], type="LEFT", prefix=None),
    ],
)
def test_what_the_client_writes_passes(document: Any) -> None:
    check_query(document)


@pytest.mark.parametrize(
    "document",
    [
        None, [], 1, {"leftFeatureGroup": 1}, {"leftFeatures": 5}, {"leftFeatures": [None]}, {"leftFeatures": [{}]},
        {"leftFeatures": ["x"]}, {"joins": {}}, {"joins": [None]}, {"joins": [{}]}, {"filter": "x"}, {"spine": []},
        _joined({}, on=5), _joined({}, on=[{}]), _joined({}, prefix=1), _joined({}, type=[]), _joined("x"),
    ],
)  # fmt: skip
def test_what_it_does_not_write_is_told(document: Any) -> None:
    with pytest.raises(ApiError) as caught:
        check_query(document)
    assert caught.value.status == 400


def test_depth_is_bounded() -> None:
    document: dict[str, Any] = {}
    for _ in range(MAX_DEPTH):
        document = _joined(document)
    check_query(document)
    with pytest.raises(ApiError, match="levels deep"):
        check_query(_joined(document))


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["leftFeatures", "joins", "query", "on", "name", "filter"]), inner, max_size=4
            )
        ),
    )
)
def test_anything_at_all_passes_or_is_told(document: Any) -> None:
    try:
        check_query(document)
    except ApiError as error:
        assert error.status == 400
