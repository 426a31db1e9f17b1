"""SPI, SPEI and fire weather against published and independent values."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcube.cubes.features import FeatureError, FireWeather, Fwi, Spei, Spi, declare, monthly_totals

ALWAYS = ("1800-01-01", "2100-01-01")


def column(grid, feature):
    """Return a feature of the only pixel of a grid over time."""
    return declare(grid, {"x": feature}, level=20).tile(0).column("x").to_pandas().to_numpy()


@pytest.fixture
def monthly(shared_data, make_grid):
    folder = shared_data / "climate-indices-fixtures"
    rain, evaporation = (np.load(folder / name) for name in ("precips_mm_monthly.npy", "pet_thornthwaite.npy"))
    times = pd.date_range("1895-01-01", periods=rain.size, freq="MS")
    cubes = {"rain": rain.reshape(-1, 1, 1), "evaporation": evaporation.reshape(-1, 1, 1)}
    return make_grid(cubes, times, {"rain": "mm", "evaporation": "mm"}), folder


@pytest.mark.parametrize("months", [1, 6])
def test_spi_equals_the_published_values(monthly, months):
    grid, folder = monthly
    expected = np.load(folder / f"spi_0{months}_gamma.npy")
    assert np.allclose(column(grid, Spi("rain", months, ALWAYS)), expected, atol=1e-8, equal_nan=True)


def test_spei_equals_the_published_values_to_their_five_digits(monthly):
    grid, folder = monthly
    expected = np.load(folder / "spei_06_gamma.npy")
    found = column(grid, Spei("rain", "evaporation", 6, ALWAYS))
    assert np.allclose(found, expected, atol=1.01e-5, equal_nan=True)


def test_spi_learns_nothing_from_outside_its_period(make_grid):
    times = pd.date_range("1950-01-01", periods=12 * 50, freq="MS")
    rain = np.random.default_rng(0).gamma(2, 30, (len(times), 2, 1))
    fit = ("1950-01-01", "1980-01-01")
    before = times < "1980-01-01"
    other = np.where(before[:, None, None], rain, 5 * rain)
    one, two = (column(make_grid({"rain": r}, times), Spi("rain", 3, fit)).reshape(-1, 2) for r in (rain, other))
    assert np.array_equal(one[before], two[before], equal_nan=True)
    assert np.nanmean(two[~before] - one[~before]) > 0.5
    assert abs(np.nanmean(one[before])) < 0.05 and abs(np.nanstd(one[before]) - 1) < 0.05


def test_on_a_fine_axis_a_month_counts_when_it_is_over(make_grid):
    days = pd.date_range("1990-01-01", "2009-12-31", freq="D")
    rain = np.random.default_rng(1).gamma(0.3, 20, (len(days), 1, 1))
    by_day = column(make_grid({"rain": rain}, days), Spi("rain", 2, ALWAYS))
    months = pd.Series(rain[:, 0, 0], days).resample("MS").sum()
    by_month = column(make_grid({"rain": months.to_numpy().reshape(-1, 1, 1)}, months.index), Spi("rain", 2, ALWAYS))
    expected = pd.Series(by_month, months.index)
    for day in ("1995-03-30", "1995-03-31", "1995-04-01", "2008-02-28", "2008-02-29"):
        date = pd.Timestamp(day)
        over = date.to_period("M").to_timestamp()
        if (date + pd.Timedelta(days=1)).month == date.month:
            over -= pd.offsets.MonthBegin()
        assert by_day[days.get_loc(date)] == pytest.approx(expected[over])


def test_months_that_the_cube_does_not_cover_have_no_total():
    days = pd.date_range("2000-01-15", "2000-04-20", freq="D")
    starts, latest, totals = monthly_totals(days, np.ones((len(days), 1)))
    assert list(starts) == list(pd.date_range("2000-01-01", periods=4, freq="MS"))
    assert np.array_equal(totals[:, 0], [np.nan, 29, 31, np.nan], equal_nan=True)
    assert latest[days.get_loc("2000-02-29")] == 1 and latest[days.get_loc("2000-02-28")] == 0
    assert latest[0] == -1


@pytest.fixture
def van_wagner(shared_data, make_grid):
    table = xr.open_dataset(shared_data / "xclim-fwi" / "cffdrs_test_fwi.nc")
    names = ("tas", "rh", "ws", "pr")
    cubes = {name: table[name].to_numpy().astype(float).reshape(-1, 1, 1) for name in names}
    return make_grid(cubes, table.time.to_index(), {name: table[name].units for name in names}), table


@pytest.mark.parametrize("code", ["ffmc", "dmc", "dc", "isi", "bui", "fwi"])
def test_fire_weather_codes_equal_van_wagners_table(van_wagner, code):
    grid, table = van_wagner
    found = column(grid, Fwi("tas", "rh", "ws", "pr", code=code))
    assert len(found) == 48
    assert np.allclose(found, table[code].isel(test=0), rtol=1e-6, atol=1e-6)


def test_fire_weather_converts_units(van_wagner, make_grid):
    grid, _ = van_wagner
    data = grid.dataset
    cubes = {
        "t": data.tas.to_numpy() + 273.15,
        "h": data.rh.to_numpy() / 100,
        "w": data.ws.to_numpy() / 3.6,
        "r": data.pr.to_numpy() / 1000,
    }
    other = make_grid(cubes, grid.times, {"t": "K", "h": "1", "w": "m s-1", "r": "m"})
    assert np.allclose(column(other, Fwi("t", "h", "w", "r")), column(grid, Fwi("tas", "rh", "ws", "pr")), atol=1e-6)


def test_fire_weather_says_what_it_needs(van_wagner, make_grid):
    grid, _ = van_wagner
    with pytest.raises(FeatureError, match="daily"):
        column(make_grid({n: grid.dataset[n].to_numpy() for n in ("tas", "rh", "ws", "pr")},
                         pd.date_range("2000-01-01", periods=48, freq="2D")), Fwi("tas", "rh", "ws", "pr"))  # fmt: skip
    grid.dataset.tas.attrs["units"] = "kg"
    with pytest.raises(FeatureError, match="kg"):
        column(grid, Fwi("tas", "rh", "ws", "pr"))
    del grid.dataset.tas.attrs["units"]
    with pytest.raises(FeatureError, match="no units"):
        column(grid, Fwi("tas", "rh", "ws", "pr"))


def test_codes_go_on_from_those_of_the_day_before(van_wagner):
    _, table = van_wagner  # its second start-up setting: the season's last codes
    values = [table[name].to_numpy().astype(float).reshape(-1, 1, 1) for name in ("tas", "rh", "ws", "pr")]
    season = FireWeather(float(table.lat))
    season.advance(table.time.to_index(), *values)
    found = season.advance(table.time.to_index(), *values)
    for code, block in found.items():
        assert np.allclose(block[:, 0, 0], table[code].isel(test=1), rtol=1e-6, atol=1e-6)
    # ... and a season in two halves is the season in one
    halves = FireWeather(float(table.lat))
    parts = [
        halves.advance(table.time.to_index()[part], *(value[part] for value in values))
        for part in (slice(0, 20), slice(20, None))
    ]
    whole = np.concatenate([part["fwi"][:, 0, 0] for part in parts])
    assert np.allclose(whole, table["fwi"].isel(test=0), rtol=1e-6, atol=1e-6)
