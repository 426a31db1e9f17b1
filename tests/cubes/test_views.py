"""Views: conservation, identity, monotonicity, categorical safety, checked against independent computations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import xarray_regrid  # noqa: F401  (registers the accessor that is the independent check)
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.cubes import Cube, Grid, UnknownVariableError, ViewError, open_cube, write_cube
from deepcube.cubes.conventions import parse_crs
from deepcube.cubes.variables import Variable, describe
from deepcube.cubes.views import Raster, crop, view
from deepcube.cubes.views.space import regrid
from deepcube.cubes.views.target import edges


def image(values: np.ndarray, y: np.ndarray, x: np.ndarray, **attrs: Any) -> xr.DataArray:
    return xr.DataArray(values, {"y": y, "x": x}, ("y", "x"), name="v", attrs=attrs)


def axes(data: st.DataObject, count: int, low: float, high: float, even: bool | None = None) -> np.ndarray:
    """Draw even or uneven centres, ascending or descending; the edges of even ones fill the range."""
    parts = np.array(data.draw(st.lists(st.integers(1, 4), min_size=count, max_size=count)), float)
    even = data.draw(st.booleans()) if even is None else even
    bounds = np.linspace(low, high, count + 1) if even else low + (high - low) * np.r_[0, parts.cumsum()] / parts.sum()
    centres = (bounds[1:] + bounds[:-1]) / 2
    return centres[::-1] if data.draw(st.booleans()) else centres


def brute_force(values: np.ndarray, source: Raster, target: Raster, geographic: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return areas shared, (target y, target x, source y, source x), by plain loops; and the target's areas."""

    def length(a: float, b: float, spherical: bool) -> float:
        return abs(np.sin(np.radians(b)) - np.sin(np.radians(a))) if spherical else abs(b - a)

    def shared(one: np.ndarray, two: np.ndarray, spherical: bool) -> np.ndarray:
        result = np.zeros((len(two) - 1, len(one) - 1))
        for i in range(len(two) - 1):
            for j in range(len(one) - 1):
                low = max(min(two[i : i + 2]), min(one[j : j + 2]))
                high = min(max(two[i : i + 2]), max(one[j : j + 2]))
                result[i, j] = length(low, high, spherical) if high > low else 0.0
        return result

    rows = shared(edges(source.y), edges(target.y), geographic)
    columns = shared(edges(source.x), edges(target.x), False)
    areas = np.einsum("ab,cd->acbd", rows, columns)
    whole = np.outer(
        [length(a, b, geographic) for a, b in zip(edges(target.y)[:-1], edges(target.y)[1:], strict=True)],
        np.abs(np.diff(edges(target.x))),
    )
    return areas, whole


@settings(max_examples=12)
@given(st.data())
def test_means_and_totals_are_those_of_shared_areas(data: st.DataObject) -> None:
    crs = parse_crs(data.draw(st.sampled_from(["EPSG:4326", "EPSG:32637"])))
    source = Raster(axes(data, data.draw(st.integers(2, 6)), 10, 40), axes(data, 4, 0, 20), crs)
    target = Raster(axes(data, data.draw(st.integers(2, 6)), 5, 40), axes(data, 3, 0, 30), crs)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    values = rng.gamma(1, 5, (len(source.y), len(source.x)))
    values[rng.random(values.shape) < 0.2] = np.nan
    areas, whole = brute_force(values, source, target, crs.is_geographic)
    valid = np.isfinite(values)
    covered = (areas * valid).sum(axis=(2, 3))
    expected = np.where(
        covered >= 0.5 * whole - 1e-12, (areas * np.where(valid, values, 0)).sum(axis=(2, 3)) / covered, np.nan
    )
    array = image(values, source.y, source.x)
    found = regrid(array, describe("g", array), source, target, 0.5, "mean")
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    count = image(values, source.y, source.x, kind="count")
    own = np.outer(
        np.abs(np.diff(np.sin(np.radians(edges(source.y))) if crs.is_geographic else edges(source.y))),
        np.abs(np.diff(edges(source.x))),
    )
    sums = (areas * np.where(valid, values / own, 0)).sum(axis=(2, 3))
    found = regrid(count, describe("g", count), source, target, 0.0)
    np.testing.assert_allclose(found.fillna(0), np.where(covered > 0, sums, 0), rtol=1e-9, atol=1e-12)


@settings(max_examples=12)
@given(st.data())
def test_totals_are_conserved(data: st.DataObject) -> None:
    crs = parse_crs(data.draw(st.sampled_from(["EPSG:4326", "EPSG:3035"])))
    source = Raster(axes(data, 6, 20, 50, True), axes(data, 5, 0, 40, True), crs)
    target = Raster(
        axes(data, data.draw(st.integers(2, 9)), 10, 60, True),
        axes(data, data.draw(st.integers(2, 9)), -10, 50, True),
        crs,
    )
    values = np.random.default_rng(data.draw(st.integers(0, 99))).poisson(9, (6, 5)).astype(float)
    count = image(values, source.y, source.x, kind="count")
    moved = regrid(count, describe("g", count), source, target, 0.5)
    assert float(moved.sum()) == pytest.approx(values.sum())
    rain = image(values, source.y, source.x, units="mm", standard_name="precipitation_amount")
    inner = Raster(
        axes(data, data.draw(st.integers(2, 9)), 20, 50, True),
        axes(data, data.draw(st.integers(2, 9)), 0, 40, True),
        crs,
    )
    depth = regrid(rain, describe("g", rain), source, inner, 0.5)
    _, before = brute_force(values, source, source, crs.is_geographic)
    _, after = brute_force(values, inner, inner, crs.is_geographic)
    assert float((depth * after).sum()) == pytest.approx((values * before).sum())  # the volume of water


@settings(max_examples=12)
@given(st.data())
def test_own_pixels_change_nothing_and_bounds_hold(data: st.DataObject) -> None:
    crs = parse_crs("EPSG:4326")
    source = Raster(axes(data, 5, -30, 30), axes(data, 6, 100, 160), crs)
    target = Raster(axes(data, data.draw(st.integers(2, 12)), -30, 30), axes(data, 7, 100, 160), crs)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    values = rng.normal(size=(5, 6))
    values[rng.random(values.shape) < 0.2] = np.nan
    kinds = {"continuous": "mean", "categorical": "mode", "count": "total"}
    for kind in kinds:
        array = image(np.rint(values * 3) if kind == "categorical" else values, source.y, source.x, kind=kind)
        variable = describe("g", array)
        np.testing.assert_allclose(regrid(array, variable, source, source, 0.5), array, rtol=1e-9, atol=1e-12)
        moved = regrid(array, variable, source, target, 0.5)
        if kind == "categorical":
            assert set(np.unique(moved)[np.isfinite(np.unique(moved))]) <= set(array.to_numpy().ravel())
        if kind == "continuous":  # neither means nor interpolations leave the range of the data
            assert np.nanmin(moved, initial=np.inf) >= np.nanmin(values) - 1e-9
            assert np.nanmax(moved, initial=-np.inf) <= np.nanmax(values) + 1e-9
            more = regrid(array + 1, variable, source, target, 0.5)
            np.testing.assert_allclose(more, moved + 1, rtol=1e-9)


def test_an_independent_library_agrees() -> None:
    rng = np.random.default_rng(3)
    y, x = 50 - 0.5 * np.arange(24), 0.25 + 0.5 * np.arange(40)
    values = rng.normal(size=(24, 40))
    source, target = (
        Raster(y, x, parse_crs("EPSG:32637")),
        Raster(50.25 - 1.5 - 3.0 * np.arange(4), 2.0 + 4.0 * np.arange(5), parse_crs("EPSG:32637")),
    )
    array = image(values, y, x)
    ours = regrid(array, describe("g", array), source, target, 0.5)
    theirs = array.regrid.conservative(xr.Dataset(coords={"y": target.y, "x": target.x}), latitude_coord=None)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    np.testing.assert_allclose(ours, array.coarsen(y=6, x=8).mean(), rtol=1e-9)


def test_classes_go_to_the_largest_area_and_are_never_mixed() -> None:
    y, x = np.array([3.5, 2.5, 1.5, 0.5]), np.arange(4) + 0.5
    classes = np.array([[10, 10, 30, 50], [10, 30, 30, 50], [0, 0, 90, np.nan], [0, 7, np.nan, np.nan]])
    array = image(classes, y, x, flag_values=[0, 7, 10, 30, 50, 90])
    source, target = Raster(y, x, None), Raster(np.array([3.0, 1.0]), np.array([1.0, 3.0]), None)
    assert describe("g", array).kind == "categorical"
    coarse = regrid(array, describe("g", array), source, target, 0.5).to_numpy()
    np.testing.assert_array_equal(coarse, [[10, 30], [0, np.nan]])  # 30 and 50 are equal: the smaller code
    with pytest.raises(ViewError, match="categorical: found the method 'linear', expected mode or nearest"):
        regrid(array, describe("g", array), source, target, 0.5, "linear")
    with pytest.raises(ViewError, match="expected total"):
        regrid(
            array.assign_attrs(kind="count"),
            describe("g", array.assign_attrs(kind="count")),
            source,
            target,
            0.5,
            "mean",
        )


def globe(step: float = 10.0, west: float = 0.0) -> Grid:
    x, y = west + step / 2 + step * np.arange(round(360 / step)), 90 - step / 2 - step * np.arange(round(180 / step))
    field = np.cos(np.radians(y))[:, None] * np.cos(np.radians(x))[None]
    dataset = xr.Dataset({"t": (("y", "x"), field)}, {"y": y, "x": x})
    return Grid("globe", dataset, parse_crs("EPSG:4326"))


@pytest.mark.parametrize("west", [0.0, -180.0])
def test_dateline(west: float) -> None:
    cube = Cube("g", (globe(10.0, west),), "memory")
    across = view(cube, region=(165, -20, -165, 20)).grids[0]
    assert across.dataset["x"].to_numpy().tolist() in ([165.0, 175.0, 185.0, 195.0], [-195, -185, -175, -165])
    expected = np.cos(np.radians(across.dataset["y"])) * np.cos(np.radians(across.dataset["x"]))
    np.testing.assert_allclose(across.dataset["t"], expected, rtol=1e-12)
    coarse = view(cube, grid=Raster.regular((170, -20, -170, 20), 20.0))
    direct = view(cube, grid=Raster.regular((-190, -20, -170, 20), 20.0))
    np.testing.assert_allclose(coarse["t"], direct["t"], rtol=1e-12)
    assert (coarse["t"] < -0.9).all()


def test_other_coordinate_systems() -> None:
    rng = np.random.default_rng(2)
    x, y = 500_005.0 + 10 * np.arange(200), 5_000_995.0 - 10 * np.arange(200)
    smooth = np.sin(np.arange(200) / 30)[:, None] + np.cos(np.arange(200) / 40)[None]
    data = xr.Dataset(
        {
            "t": (("y", "x"), smooth),
            "people": (("y", "x"), rng.poisson(3, (200, 200)).astype(float), {"kind": "count"}),
            "land_cover": (("y", "x"), rng.choice([10, 50], (200, 200), p=[0.8, 0.2]).astype("uint8")),
        },
        {"y": y, "x": x},
    )
    cube = Cube("u", (Grid("utm", data, parse_crs("EPSG:32633")),), "memory")
    west, south, east, north = 14.98, 45.13, 15.04, 45.17
    moved = view(cube, grid=Raster.regular((west, south, east, north), 0.002))
    assert float(moved["people"].sum()) == pytest.approx(float(data["people"].sum()), rel=2e-3)
    assert set(np.unique(moved["land_cover"])[:-1]) <= {10.0, 50.0}
    back = view(moved, grid=cube.grids[0], methods={"t": "nearest"})["t"]
    inside = np.isfinite(back)
    assert inside.mean() > 0.9 and float(abs(back - smooth).where(inside).max()) < 0.9
    assert float(moved["t"].mean()) == pytest.approx(smooth.mean(), abs=0.02)


def daily(days: int = 70) -> Cube:
    rng = np.random.default_rng(4)
    times = pd.date_range("2020-01-01", periods=days)
    shape = (days, 2, 3)
    dataset = xr.Dataset(
        {
            "t2m": (("time", "y", "x"), rng.normal(280, 5, shape), {"units": "K"}),
            "tp": (("time", "y", "x"), rng.gamma(1, 3, shape), {"units": "mm"}),
            "rate": (("time", "y", "x"), rng.gamma(1, 3, shape), {"units": "mm day-1"}),
            "fires": (("time", "y", "x"), rng.poisson(1, shape), {"units": "count"}),
            "scl": (("time", "y", "x"), rng.choice([4, 5], shape).astype("uint8")),
            "dem": (("y", "x"), rng.normal(size=(2, 3)), {"units": "m"}),
        },
        {"time": times, "y": [1.0, 0.0], "x": [0.0, 1.0, 2.0]},
    )
    return Cube("d", (Grid("main", dataset, parse_crs("EPSG:4326")),), "memory")


def test_months_know_means_from_sums() -> None:
    cube = daily()
    months = view(cube, step="month")
    frame = {name: cube[name].to_series().unstack(["y", "x"]) for name in ("t2m", "tp", "rate", "fires")}
    assert months.grids[0].times.strftime("%F").tolist() == ["2020-01-31", "2020-02-29", "2020-03-31"]
    for name, how in (("t2m", "mean"), ("tp", "sum"), ("rate", "mean"), ("fires", "sum")):
        plain = frame[name].groupby(frame[name].index.to_period("M")).agg(how).to_numpy().reshape(3, 2, 3)
        np.testing.assert_allclose(months[name][:2], plain[:2])
        assert months[name].attrs["cell_methods"] == f"time: {how}"
        assert np.isnan(months[name][2]).all() == (how == "sum" or 10 / 31 < 0.5)  # March has ten days
    january = cube["scl"][:31].to_numpy()
    np.testing.assert_array_equal(months["scl"][0], np.where((january == 4).sum(0) > (january == 5).sum(0), 4, 5))
    assert months["dem"].dims == ("y", "x")


def test_fixed_steps_look_back_only() -> None:
    cube = daily()
    decades = view(cube, step="10D")
    for number, end in enumerate(decades.grids[0].times):
        window = cube["tp"].sel(time=slice(end - pd.Timedelta(days=9), end))
        if window.sizes["time"] == 10:
            np.testing.assert_allclose(decades["tp"][number], window.sum("time"))
        else:
            assert np.isnan(decades["tp"][number]).all()
    assert view(cube, step="1D")["tp"].equals(cube["tp"])


@pytest.mark.parametrize(("gaps", "mean", "total"), [(0, True, True), (5, True, False), (20, False, False)])
def test_gaps_propagate_in_time(gaps: int, mean: bool, total: bool) -> None:
    cube = daily()
    for name in ("t2m", "tp"):
        cube.grids[0].dataset[name][:gaps, 0, 0] = np.nan
    january = view(cube, step="month", period=("2020-01-01", "2020-01-31"))
    assert bool(np.isfinite(january["t2m"][0, 0, 0])) is mean
    assert bool(np.isfinite(january["tp"][0, 0, 0])) is total
    assert np.isfinite(january["tp"][0, 1]).all()


def test_a_view_of_everything_is_lazy_and_one_grid(tmp_path: Any) -> None:
    fine, coarse = globe(2.0), daily(70).grids[0]
    cube = Cube(
        "two",
        (
            Grid("dem", fine.dataset.rename(t="dem"), fine.crs),
            Grid("era5", coarse.dataset.drop_vars("dem"), coarse.crs),
        ),
        "memory",
    )
    opened = open_cube(write_cube(cube, tmp_path / "two.zarr"))
    wanted = view(opened, grid="dem", region=(-1, -2, 4, 3), step="month", variables=["dem", "tp", "scl"])
    assert wanted["tp"].chunks is not None
    (grid,) = wanted.grids
    assert grid.name == "main" and set(grid.dataset.data_vars) == {"dem", "tp", "scl"}
    assert grid.dataset.sizes == {"time": 3, "y": 3, "x": 3}
    assert np.isfinite(grid.dataset["dem"]).all()


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ({"step": "6h"}, ViewError, "not finer"),
        ({"step": "sometimes"}, ViewError, "expected 'month'"),
        ({"step": "-3D"}, ViewError, "positive"),
        ({"period": ("1990-01-01", "1991-01-01")}, ViewError, "No time of grid 'main'"),
        ({"region": (50, 50, 60, 60)}, ViewError, "No pixel of grid 'main'"),
        ({"region": (0, 5, 10, 5)}, ViewError, "south below north"),
        ({"least": 2.0}, ViewError, "expected 0 to 1"),
        ({"grid": "nowhere"}, ValueError, "it has main"),
        ({"variables": ["evi"]}, UnknownVariableError, "no variable 'evi'"),
    ],
)
def test_what_cannot_be_had_is_refused(wanted: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        view(daily(), **wanted)


def test_pixels_of_a_size() -> None:
    cube = daily()
    coarse = view(cube, grid=2.0)
    assert coarse.grids[0].shape == (1, 2)  # rows and columns of 2 degrees in 2 x 3
    assert isinstance(coarse.variables["t2m"], Variable)
    assert crop(cube.grids[0], (-0.4, -0.4, 0.4, 0.4)).shape == (1, 1)
