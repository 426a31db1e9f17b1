"""Groups of attributions: nothing is lost, and each group holds what belongs to it."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.explain import InputError, group_labels, grouped

CUBE = xr.DataArray(
    np.random.default_rng(0).normal(size=(2, 1, 4, 5, 3, 2)),
    dims=("instance", "output", "time", "y", "x", "variable"),
    coords={"time": [0, 16, 32, 48], "y": np.arange(5) * 10.0, "variable": ["rain", "heat"]},
    attrs={"units": "1"},
)


def explanation(values: xr.DataArray = CUBE) -> xr.Dataset:
    return xr.Dataset({"attribution": values}, attrs={"method": "known"})


@settings(max_examples=40)
@given(
    by=st.lists(st.sampled_from(["time", "variable"]), unique=True),
    y=st.integers(1, 6),
    x=st.integers(1, 4),
)
def test_groups_sum_to_the_same_and_equal_the_labelled_sums(by, y, x):
    result = grouped(explanation(), by, patch={"y": y, "x": x})["attribution"]
    over = [dim for dim in result.dims if dim not in ("instance", "output")]
    assert np.allclose(result.sum(over), CUBE.sum(("time", "y", "x", "variable")))
    labels = group_labels(CUBE.isel(output=0), by, patch={"y": y, "x": x}).values.ravel()
    flat = CUBE.values[0, 0].ravel()
    sums = [flat[labels == group].sum() for group in range(labels.max() + 1)]
    assert np.allclose(np.sort(sums), np.sort(result.values[0, 0].ravel()))


def test_patches_keep_mean_coordinates():
    result = grouped(explanation(), patch={"y": 2})["attribution"]
    assert result["y"].values.tolist() == [5.0, 25.0, 40.0]
    assert np.allclose(result.isel(y=2), CUBE.isel(y=4).sum(("time", "x", "variable")))


def test_regions_and_variables():
    region = xr.DataArray([["a", "b", "b"]] * 5, dims=("y", "x"))
    result = grouped(explanation(), "variable", region=region)["attribution"]
    assert result.dims == ("instance", "output", "region", "variable")
    assert result["region"].values.tolist() == ["a", "b"]
    assert np.allclose(result.sel(region="b"), CUBE.isel(x=[1, 2]).sum(("time", "y", "x")))


def test_features_of_a_table_by_their_variable_and_lag():
    names = [f"{v}_{lag}" for v in ("rain", "heat") for lag in (0, 1, 2)]
    coords = {"feature": names, "variable": ("feature", ["rain"] * 3 + ["heat"] * 3), "lag": ("feature", [0, 1, 2] * 2)}
    table = xr.DataArray(np.arange(6.0).reshape(1, 1, 6), dims=("instance", "output", "feature"), coords=coords)
    by_variable = grouped(explanation(table), "variable")["attribution"]
    assert by_variable["variable"].values.tolist() == ["heat", "rain"]
    assert by_variable.values[0, 0].tolist() == [12.0, 3.0]
    both = grouped(explanation(table), ["variable", "lag"])["attribution"]
    assert both.sel(variable="heat", lag=1).item() == 4
    assert group_labels(table.isel(output=0), "lag").values.tolist() == [0, 1, 2, 0, 1, 2]


def test_what_cannot_be_grouped_is_said():
    for arguments, said in (
        ({}, "nothing to group by"),
        ({"by": "colour"}, "colour"),
        ({"patch": {"z": 2}}, "'z'"),
        ({"patch": {"y": 0}}, "size 0"),
        ({"region": xr.DataArray([1, 2], dims="y")}, "regions"),
    ):
        with pytest.raises(InputError, match=said):
            grouped(explanation(), **arguments)
