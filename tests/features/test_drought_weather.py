"""Weather of a coarser, daily grid as further inputs of the drought forecast."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcube.cubes import season_count, season_of
from features import drought
from features.drought.normal import normal_conditions
from features.drought.weather import find_weather

WriteMixed = Callable[..., Path]
DAYS = pd.date_range("2000-12-01", "2007-02-28", freq="D")
STEPS = pd.date_range("2001-01-01", periods=140, freq="16D")


def daily(seed: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    season = np.sin(2 * np.pi * DAYS.dayofyear.to_numpy() / 365.25)[:, None, None]
    rain = np.maximum(0.0, rng.normal(0.002, 0.004, (len(DAYS), 2, 2)) + 0.002 * season)
    return {"tp": rain, "t2m": 295 + 5 * season + rng.normal(0, 1, rain.shape)}


@pytest.fixture
def write_mixed(tmp_path: Path) -> WriteMixed:
    """Return a function that writes 16-day NDVI at 0.01 degrees and daily weather at 0.1 degrees as groups of Zarr."""

    def write(name: str = "mixed.zarr", weather: dict[str, np.ndarray] | None = None, ndvi: str = "NDVI") -> Path:
        rng = np.random.default_rng(11)
        season = 0.5 + 0.2 * np.sin(2 * np.pi * STEPS.dayofyear.to_numpy() / 365.25)[:, None, None]
        fine = {"time": STEPS, "lat": 1.0 - 0.01 * np.arange(4), "lon": 42 + 0.01 * np.arange(3)}
        coarse = {"time": DAYS, "lat": np.array([1.03, 0.93]), "lon": np.array([41.97, 42.07])}
        values = season + rng.normal(0, 0.05, (140, 4, 3))
        dims = ("time", "lat", "lon")
        path = tmp_path / name
        xr.Dataset(attrs={"simulated": "true"}).to_zarr(path, mode="w", consolidated=False)
        xr.Dataset({ndvi: (dims, values)}, fine).to_zarr(path, group="modis", consolidated=False)
        units = {"tp": "m", "t2m": "K"}
        held = {key: (dims, array, {"units": units[key]}) for key, array in (weather or daily()).items()}
        xr.Dataset(held, coarse).to_zarr(path, group="era5", consolidated=False)
        return path

    return write


def rows(source: drought.NdviSource, group: str = "weather") -> pd.DataFrame:
    tables = [getattr(drought.compute_tables(block), group) for block in source.blocks()]
    return pd.concat(tables).set_index(["cell_id", "time"]).drop(columns="cube")


def test_departures_are_those_of_the_days_that_are_over(write_mixed: WriteMixed) -> None:
    """Against sums and means by pandas, at a pixel of the weather itself."""
    source = drought.open_source(str(write_mixed()))
    assert source.weather is not None and sorted(source.weather.anomalies) == ["rain", "temperature"]
    split, seasons = source.split, season_count(pd.Timedelta(days=16))
    season, train = season_of(STEPS, seasons), split.select(STEPS, "train")
    weather = daily()
    for name, key, factor in (("rain", "tp", 1000.0), ("temperature", "t2m", 1.0)):
        series = pd.Series(weather[key][:, 0, 1], DAYS + pd.Timedelta(days=1))
        over = [series[(series.index > t - pd.Timedelta(days=16)) & (series.index <= t)] for t in STEPS]
        total = np.array([one.sum() if name == "rain" else one.mean() for one in over])
        at = int(np.flatnonzero(split.select(STEPS, "test"))[3])
        same = total[train & (season == season[at])]
        found = source.weather.anomalies[name].dataset[name].isel(y=0, x=1).to_numpy()[at]
        # Seasons of few years are pooled with their neighbours, so only near the plain mean of the season.
        assert found == pytest.approx(factor * (total[at] - same.mean()), abs=factor * 2 * same.std() + 1e-9)
        differences = source.weather.anomalies[name].dataset[name].isel(y=0, x=1).to_numpy()
        later = np.flatnonzero(~train & (season == season[at]) & (split.train_end < STEPS))
        np.testing.assert_allclose(
            differences[later] - differences[at], factor * (total[later] - total[at]), atol=1e-6 * factor
        )


def test_no_row_knows_the_weather_to_come(write_mixed: WriteMixed) -> None:
    before = rows(drought.open_source(str(write_mixed("before.zarr"))))
    opened = drought.open_source(str(write_mixed("again.zarr")))
    at = STEPS[np.flatnonzero(opened.split.select(STEPS, "test"))[5]]
    changed = {name: np.where((at <= DAYS)[:, None, None], 9 * array, array) for name, array in daily().items()}
    after = rows(drought.open_source(str(write_mixed("after.zarr", changed))))
    known = before.index.get_level_values("time") <= at
    pd.testing.assert_frame_equal(after[known], before[known])
    assert not np.allclose(after[~known], before[~known])
    first, then = (rows(drought.open_source(str(write_mixed(n, c))), "spi") for n, c in (("b", None), ("a", changed)))
    pd.testing.assert_frame_equal(then[known], first[known])
    assert not np.allclose(then[~known], first[~known])


def test_standardised_precipitation_is_of_the_last_month_that_is_over(write_mixed: WriteMixed) -> None:
    """Against xclim on monthly sums by pandas, at a pixel of the weather itself."""
    from xclim.indices import standardized_precipitation_index

    source = drought.open_source(str(write_mixed()))
    assert source.weather is not None and sorted(source.weather.spi) == ["spi_1", "spi_3", "spi_6"]
    split = source.split
    series = pd.Series(1000 * daily()["tp"][:, 0, 1], DAYS)
    monthly = series.resample("MS").sum()
    data = xr.DataArray(monthly, dims="time", coords={"time": monthly.index}, attrs={"units": "mm/month"})
    trained = monthly.index[(monthly.index >= split.train_start) & (monthly.index < split.train_end)]
    wanted = standardized_precipitation_index(
        data,
        freq=None,
        window=3,
        dist="gamma",
        method="APP",
        fitkwargs={"floc": 0},
        cal_start=str(trained[0].date()),
        cal_end=str(trained[-1].date()),
    ).to_series()
    found = source.weather.spi["spi_3"].dataset["spi_3"].isel(y=0, x=1).to_series()
    for at in STEPS[[20, 80, 139]]:
        last = wanted[wanted.index + pd.offsets.MonthBegin() <= at].iloc[-1]
        assert found[at] == pytest.approx(np.clip(last, -3.09, 3.09), abs=1e-6)
    spi = rows(source, "spi")
    assert list(spi.columns) == list(drought.SPI_UNITS) and spi.abs().max().max() <= 3.09
    assert spi.index.equals(rows(source).index)


def test_what_is_normal_comes_from_the_training_period_only(write_mixed: WriteMixed) -> None:
    source = drought.open_source(str(write_mixed("before.zarr")))
    late = source.split.train_end < DAYS
    changed = {name: np.where(late[:, None, None], array + 5, array) for name, array in daily().items()}
    after = rows(drought.open_source(str(write_mixed("after.zarr", changed))))
    before = rows(source)
    trained = before.index.get_level_values("time") < source.split.train_end
    pd.testing.assert_frame_equal(after[trained], before[trained])
    test = before.index.get_level_values("time") >= source.split.test_start
    shift = (after - before)["temperature_anomaly_lag_0"][test]
    np.testing.assert_allclose(shift, 5.0, atol=1e-6)


def test_weather_rows_are_complete_and_keyed_like_the_features(
    write_mixed: WriteMixed, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = drought.open_source(str(write_mixed()))
    tables = drought.compute_tables(next(source.blocks()))
    keys = ["cube", "cell_id", "time"]
    pd.testing.assert_frame_equal(tables.weather[keys], tables.features[keys])
    assert list(tables.weather.columns) == [*keys, *drought.WEATHER_UNITS]
    assert not tables.weather.isna().any(axis=None)
    monkeypatch.setattr("features.drought.source.BLOCK_VALUES", 3 * 140)  # a row at a time
    pd.testing.assert_frame_equal(
        rows(source).sort_index(), tables.weather.set_index(keys[1:])[list(drought.WEATHER_UNITS)].sort_index()
    )
    normal = normal_conditions(tables.features.merge(tables.weather, on=keys))
    assert (normal[list(drought.WEATHER_UNITS)] == 0).all(axis=None)


def test_a_cube_without_rain_has_no_values_of_it(write_mixed: WriteMixed) -> None:
    found = rows(drought.open_source(str(write_mixed(weather={"t2m": daily()["t2m"]}))))
    assert found.filter(like="rain").isna().all(axis=None)
    assert found.filter(like="temperature").notna().all(axis=None)
    assert drought.open_source(str(write_mixed("dry.zarr", {"t2m": daily()["t2m"]}))).weather.spi == {}  # type: ignore[union-attr]


def test_cubes_without_weather_have_no_rows_of_it(shared_data: Path) -> None:
    modis = drought.open_source(str(shared_data / "bfast-modis" / "modisraster.tif"))
    assert modis.weather is None
    assert drought.compute_tables(next(modis.blocks())).weather.empty


def test_ndvi_under_the_name_of_the_modis_product_and_on_two_grids(write_mixed: WriteMixed, tmp_path: Path) -> None:
    plain = next(drought.open_source(str(write_mixed("plain.zarr"))).blocks()).ndvi
    product = drought.open_source(str(write_mixed("product.zarr", ndvi="1 km 16 days NDVI")))
    np.testing.assert_array_equal(next(product.blocks()).ndvi, plain)
    twice = write_mixed("twice.zarr")
    coarse = xr.open_zarr(twice, group="modis", consolidated=False).load().isel(lat=[0, 2], lon=[0, 2])
    coarse["NDVI"] = coarse["NDVI"] * 0
    for variable in coarse.variables.values():
        variable.encoding = {}
    coarse.to_zarr(twice, group="a_coarser_one", consolidated=False)
    finest = drought.open_source(str(twice))
    assert finest.inputs == ("modis/NDVI",)
    np.testing.assert_array_equal(next(finest.blocks()).ndvi, plain)


def test_weather_of_gaps_alone_is_none(write_mixed: WriteMixed) -> None:
    gaps = {"t2m": np.full((len(DAYS), 2, 2), np.nan)}
    source = drought.open_source(str(write_mixed(weather=gaps)))
    assert find_weather(source.cube, source.steps, source.split) is None
