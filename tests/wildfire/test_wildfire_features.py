"""Names, weather, cases, land and places of the wildfire use case, by hand and by brute force."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcube.cubes import CubeError, NotACubeError, NoValidDataError, ScaleError, open_cube
from deepcube.cubes.features.fireweather import FireWeather
from deepcube.cubes.model import WGS84
from features import wildfire
from features.wildfire import cases, layout, weather
from features.wildfire.layout import BURNABLE, CODES, GROUPS, HISTORY, LONG, PATCH, PLACES, WEATHER, group_of
from features.wildfire.places import read_places
from features.wildfire.schema import STATIC_INPUTS, SURFACE_INPUTS, WEATHER_INPUTS


def test_every_input_has_a_unit_a_range_and_one_group() -> None:
    assert len(set(wildfire.INPUTS)) == len(wildfire.INPUTS)
    for name in wildfire.INPUTS:
        quantity = wildfire.quantity_of(name)
        assert quantity.units and quantity.low < quantity.high
        assert group_of(name) in GROUPS
    names = [name for members in GROUPS.values() for name in members]
    assert len(names) == len(set(names))


def test_layout_finds_histories_neighbours_and_context() -> None:
    found = wildfire.Layout(tuple(wildfire.INPUTS))
    assert found.history == HISTORY and len(found.dynamic) == 8 and len(found.neighbours) == 6
    series = found.series()
    assert [wildfire.INPUTS[i] for i in series[-1]] == [f"{name}_lag_0" for name in found.dynamic]
    assert [wildfire.INPUTS[i] for i in series[0]] == [f"{name}_lag_{HISTORY - 1}" for name in found.dynamic]
    patches = [wildfire.INPUTS[i] for i in found.patches()]
    assert patches[0] == f"{found.neighbours[0]}_at_m2_m2" and len(patches) == 6 * PATCH**2
    everything = sorted([i for day in series for i in day] + found.patches() + found.context())
    assert everything == list(range(len(wildfire.INPUTS)))
    assert "slope" not in found.changing() and {"ndvi", "fwi_lag_3", "season_sin"} <= set(found.changing())


@pytest.mark.parametrize("code", ["ffmc", "dmc", "dc", "isi", "bui", "fwi"])
def test_fire_weather_codes_equal_the_published_table(shared_data: Path, code: str) -> None:
    """Van Wagner's 48 days (1985), to their printed precision."""
    table = xr.open_dataset(shared_data / "xclim-fwi" / "cffdrs_test_fwi.nc").isel(test=0)
    columns = {"tmax": table.tas, "humidity": table.rh, "wind": table.ws / 3.6, "rain": table.pr}
    data = {name: values.to_numpy().astype(float)[:, None, None] for name, values in columns.items()}
    latitude = np.array([[46.0]])  # any of the north between 33 and 90 degrees has the table's day lengths
    found = weather.fire_codes(pd.DatetimeIndex(table.time.to_numpy()), latitude, data)
    np.testing.assert_allclose(found[code][:, 0, 0], table[code].to_numpy(), rtol=1e-6, atol=1e-6)


def made_weather(days: int, seed: int) -> weather.Weather:
    random = np.random.default_rng(seed)
    shape = (days, 2, 3)
    values = {one.name: random.normal(size=shape).astype(np.float32) for one in (*WEATHER, *CODES)}
    times = pd.date_range("2010-01-01", periods=days)
    return weather.Weather(times, values, np.arange(6).reshape(2, 3), np.arange(3.0), np.arange(2.0), WGS84, np.nan)


@settings(max_examples=15)
@given(st.integers(LONG - 1, 58), st.integers(0, 5))
def test_a_row_knows_nothing_of_later_days(day: int, seed: int) -> None:
    data = made_weather(60, seed)
    where = np.array([day]), np.array([1]), np.array([2])
    before = pd.DataFrame(data.rows(*where))
    for values in data.values.values():
        values[day + 1 :] = 1e6
    pd.testing.assert_frame_equal(pd.DataFrame(data.rows(*where)), before)
    assert set(before.columns) == set(WEATHER_INPUTS)
    assert before["tmax_lag_3"][0] == data.values["tmax"][day - 3, 1, 2]


def test_sums_and_means_are_of_thirty_days() -> None:
    values = np.random.default_rng(0).uniform(size=(90, 1, 2))
    running = weather._running(values)
    assert np.isnan(running[: LONG - 1]).all()
    for day in (LONG - 1, LONG, 60, 89):
        np.testing.assert_allclose(running[day], values[day - LONG + 1 : day + 1].mean(axis=0))


def test_humidity_follows_the_dew_point() -> None:
    hot = np.array([30.0, 30.0, 10.0])
    found = weather.relative_humidity(hot, np.array([30.0, 15.0, 20.0]))
    np.testing.assert_allclose(found, [100.0, 40.18, 100.0], atol=0.05)  # 1.705 / 4.243 kPa, table 2.3 of FAO 56


def test_parts_share_no_ground_and_no_neighbourhood() -> None:
    land = np.random.default_rng(1).uniform(size=(60, 66)) > 0.2
    ground = cases.deal_ground(land)
    assert set(np.unique(ground)) == {-1, 0, 1, 2}
    reach = PATCH - 1  # neighbourhoods of cells that far apart share no pixel
    for part in range(3):
        for row, column in np.argwhere(ground == part):
            near = ground[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
            assert set(np.unique(near)) <= {-1, part}
    shares = np.array([(land & (ground == part)).sum() for part in range(3)]) / (land & (ground >= 0)).sum()
    np.testing.assert_allclose(shares, cases.SHARES, atol=0.1)


def test_years_are_held_out_from_the_end() -> None:
    split = cases.year_split(pd.date_range("2009-03-06", "2013-03-05"))
    assert split.train_end == pd.Timestamp("2010-12-31") and split.validation_start == pd.Timestamp("2011-01-01")
    assert split.test_start == pd.Timestamp("2012-01-01") and split.test_end == pd.Timestamp("2013-01-01")
    short = cases.year_split(pd.date_range("2009-03-06", periods=400))
    assert short.train_end < short.validation_start < short.test_start


def test_cases_stand_for_all_cell_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "HELD_OUT", 300)
    random = np.random.default_rng(2)
    times = pd.date_range("2009-01-01", "2011-12-31")
    land = random.uniform(size=(45, 45)) > 0.1
    burned = ((random.uniform(size=(len(times), 45, 45)) < 1e-3) & land).astype(np.uint8)
    split = cases.year_split(times)
    danger = random.uniform(size=len(times))
    danger[[5, 1000]] = np.nan, 2.0  # the second in the test year, known without looking at fires
    chosen = cases.choose_cases(lambda days: burned[days], times, land, split, danger=danger)
    ground = cases.deal_ground(land)
    keys = (chosen.day * 45 + chosen.row) * 45 + chosen.column
    assert len(np.unique(keys)) == len(keys), "a cell-day is one case"
    for part, where in {"train": 0, "validation": 1, "test": 2, "test_known": 0}.items():
        mine = chosen.take(chosen.part == part)
        mask = land & (ground == where)
        days = np.flatnonzero(split.select(times, part.removesuffix("_known")))
        days = days[(days >= LONG - 1) & (days < len(times) - 1)]
        truth = burned[days + 1][:, mask]
        assert mine.fire.sum() == truth.sum()
        assert mine.weight[mine.fire == 0].sum() == pytest.approx((truth == 0).sum())
        np.testing.assert_array_equal(burned[mine.day + 1, mine.row, mine.column], mine.fire)
        assert set(mine.day) <= set(days) and mask[mine.row, mine.column].all()
        if part == "train":
            assert (mine.fire == 0).sum() == cases.RATIO * mine.fire.sum()
    newest = chosen.take((chosen.part == "map") & (chosen.day == len(times) - 1))
    assert (newest.fire == -1).all() and len(newest) > 1000
    worst = burned[np.flatnonzero(split.select(times, "test"))[:-1] + 1].sum(axis=(1, 2)).argmax()
    mapped = {1000, int(np.flatnonzero(split.select(times, "test"))[worst]), len(times) - 1}
    assert set(chosen.take(chosen.part == "map").day) == mapped


def test_a_part_without_fire_is_refused() -> None:
    times = pd.date_range("2009-01-01", "2011-12-31")
    land = np.ones((30, 30), dtype=bool)
    with pytest.raises(NoValidDataError, match="no fire in the part 'train'"):
        cases.choose_cases(lambda days: np.zeros((1, 30, 30)), times, land, cases.year_split(times))


def test_a_published_layout_becomes_rows(fire_cube: Path) -> None:
    fires = wildfire.open_source(str(fire_cube))
    assert isinstance(fires, wildfire.FireCube) and fires.simulated
    (tables,) = fires.tables()
    assert list(tables.weather.columns[3:]) == WEATHER_INPUTS
    assert list(tables.surface.columns[3:]) == SURFACE_INPUTS
    assert list(tables.static.columns[5:]) == STATIC_INPUTS
    assert "lai" not in fires.inputs and "evi" not in fires.inputs and "ndvi" in fires.inputs
    data = xr.open_zarr(fire_cube).load()
    cell = tables.targets.iloc[7]
    row, column = int(cell["row"]), int(cell["col"])
    day = data.indexes["time"].get_loc(cell["time"])
    seen = tables.surface.iloc[7]
    assert seen["cell_id"] == cell["cell_id"] and seen["time"] == cell["time"]
    for lag in (0, 4, 9):
        assert seen[f"lst_day_lag_{lag}"] == pytest.approx(
            float(data["LST_Day_1km"][day - lag, row, column]), nan_ok=True, rel=1e-6
        )
    assert seen["green_at_p1_m2"] == pytest.approx(float(data["1 km 16 days NDVI"][day, row + 1, column - 2]), rel=1e-5)
    assert cell["fire"] == int(data["burned_areas"][day + 1, row, column])
    static = tables.static.set_index("cell_id").loc[cell["cell_id"]]
    slope = data["slope_mean"].to_numpy()
    for name, (down, right) in zip(layout.patch_names([layout.NEIGHBOURHOOD[1]]), PLACES, strict=True):
        assert static[name] == pytest.approx(slope[row + down, column + right], rel=1e-6)
    codes = data["clc_2018"].to_numpy()[row - 2 : row + 3, column - 2 : column + 3]
    carries = {code for name in BURNABLE for code in layout.COVER[name]}
    around = static[layout.patch_names([layout.NEIGHBOURHOOD[4]])].to_numpy(float)
    np.testing.assert_allclose(around, np.isin(codes, list(carries)).ravel())
    known = tables.weather.set_index(["weather_cell", "time"]).loc[(cell["weather_cell"], cell["time"])]
    place = np.argwhere(fires.weather.cells == cell["weather_cell"])[0]
    hot = data["era5_max_t2m"].to_numpy()[day, 4 + 9 * place[0], 4 + 9 * place[1]] - 273.15
    assert known["tmax_lag_0"] == pytest.approx(hot, abs=1e-3), (
        "fine weather grids are thinned out to every ninth pixel"
    )


def test_fire_weather_of_a_cube_is_that_of_its_weather(fire_cube: Path) -> None:
    cube = open_cube(fire_cube)
    found = weather.read_weather(cube)
    wind = np.hypot(*(cube[f"era5_max_{name}10"].to_numpy()[:, 4::9, 4::9].astype(float) for name in "uv"))
    rain = 1000 * cube["era5_max_tp"].to_numpy()[:, 4::9, 4::9].astype(float)
    hot, cold = (cube[f"era5_{name}_t2m"].to_numpy()[:, 4::9, 4::9].astype(float) - 273.15 for name in ("max", "min"))
    latitude = cube.grids[0].longitude_latitude()[1][4::9, 4::9]
    codes = FireWeather(latitude).advance(
        found.times, hot, weather.relative_humidity(hot, np.minimum(cold, hot)), 3.6 * wind, rain
    )
    np.testing.assert_allclose(found.values["fwi"], codes["fwi"], rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.drop_vars("burned_areas"), "no variable burned_areas"),
        (lambda data: data.drop_vars("era5_max_t2m"), "no variable for a maximum temperature"),
        (lambda data: data.drop_vars(["era5_max_u10"]), "no variable for wind"),
        (lambda data: data.assign(era5_max_t2m=data["era5_max_t2m"] + 400), "Check its unit"),
        (lambda data: data.assign(era5_max_t2m=data["era5_max_t2m"] * np.nan), "missing|valid|no fire"),
        (lambda data: data.isel(time=slice(0, 400, 2)), "not 30 or more consecutive days|not daily"),
        (lambda data: data.drop_vars(["dem_mean", "clc_2018"]), "neither a height"),
    ],
)
def test_unusable_cubes_are_refused(fire_cube: Path, tmp_path: Path, change, message: str) -> None:
    change(xr.open_zarr(fire_cube).load()).drop_encoding().to_netcdf(tmp_path / "damaged.nc")
    with pytest.raises(CubeError, match=message):
        list(wildfire.open_source(str(tmp_path / "damaged.nc")).tables())


def test_algerian_fire_days(shared_data: Path) -> None:
    days = wildfire.open_source(str(shared_data / "uci-algerian-fires"))
    assert isinstance(days, wildfire.FireDays)
    assert len(days.frame) == 244 and days.frame["fire"].sum() == 138 and days.frame["cell_id"].nunique() == 2
    mended = days.frame[(days.frame["time"] == "2012-07-14") & (days.frame["dc"] == 14.6)].iloc[0]
    assert (mended["isi"], mended["bui"], mended["fwi_lag_0"], mended["fire"]) == (9.0, 12.5, 10.4, 1)
    later = days.frame[days.frame["time"] == "2012-07-15"].iloc[0]
    before = days.frame[days.frame["time"] == "2012-07-12"].iloc[0]
    assert later["tmax_lag_3"] == before["tmax_lag_0"], "of the same region"
    times = {part: (rows["time"].min(), rows["time"].max()) for part, rows in days.frame.groupby("part")}
    assert times["train"][1] < times["validation"][0] and times["validation"][1] < times["test"][0]
    assert days.agreement["ffmc"] > 0.8
    assert "lst_day_lag_0" not in days.inputs and "tmax_lag_9" in days.inputs
    (tables,) = days.tables()
    assert len(tables.targets) == len(tables.weather) == 244 and tables.surface.empty and tables.static.empty


def test_montesinho_fires_of_one_day_stay_together(shared_data: Path) -> None:
    days = wildfire.open_source(str(shared_data / "uci-forestfires"))
    assert len(days.frame) == 517 and days.frame["fire"].sum() == 270
    assert not days.frame.duplicated(["cell_id", "time"]).any()
    table = pd.read_csv(shared_data / "uci-forestfires" / "forestfires.csv")
    day = table[["month", "day", "FFMC", "DMC", "DC", "ISI"]].astype(str).agg("|".join, axis=1)
    assert (days.frame.groupby(day.to_numpy())["part"].nunique() == 1).all()
    assert wildfire.Layout(tuple(days.inputs)).history == 1


def test_unusable_tables_are_refused(tmp_path: Path, shared_data: Path) -> None:
    table = pd.read_csv(next((shared_data / "uci-algerian-fires").glob("*.csv")))
    for name, damaged, error, message in (
        ("columns", table.drop(columns="RH"), NotACubeError, "Missing: rh"),
        ("range", table.assign(RH=table["RH"] * 10), ScaleError, "humidity"),
        ("words", table.assign(Rain=table["Rain"].astype(str).replace("0.0", "none")), NotACubeError, "no number"),
        ("dates", table.assign(month=13), NotACubeError, "no date"),
        ("fires", table.assign(Classes="fire"), NoValidDataError, "one outcome"),
    ):
        damaged.to_csv(tmp_path / f"{name}.csv", index=False)
        with pytest.raises(error, match=message):
            wildfire.open_source(str(tmp_path / f"{name}.csv"))
    with pytest.raises(CubeError, match="nothing at"):
        wildfire.open_source(str(tmp_path / "nowhere"))


TURTLE = """
@prefix geo: <http://www.opengis.net/ont/geosparql#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix wgs: <http://www.w3.org/2003/01/geo/wgs84_pos#> .
@prefix ex: <http://example.org/> .
ex:a a ex:Town ; rdfs:label "A" ; ex:population 900 .
ex:a geo:hasGeometry [ geo:asWKT "POINT (23.5 38.2)"^^geo:wktLiteral ] .
ex:b rdfs:label "B" ; wgs:lat 38.3 ; wgs:long 23.6 .
ex:c rdfs:label "no place" .
"""


def test_places_are_read_from_linked_data_and_geojson(tmp_path: Path) -> None:
    (tmp_path / "places.ttl").write_text(TURTLE)
    found = read_places(tmp_path / "places.ttl").sort_values("place", ignore_index=True)
    assert found["name"].tolist() == ["A", "B"] and found["kind"].tolist() == ["Town", "place"]
    assert found.loc[0, ["longitude", "latitude", "people"]].tolist() == [23.5, 38.2, 900.0]
    assert found.loc[1, ["longitude", "latitude"]].tolist() == [23.6, 38.3] and np.isnan(found.loc[1, "people"])
    feature = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [23.5, 38.2]},
        "properties": {"name": "A", "population": 900},
    }
    (tmp_path / "places.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert read_places(tmp_path / "places.geojson")["people"].tolist() == [900.0]
    for name, text in (("broken.geojson", "{"), ("broken.ttl", "not turtle"), ("empty.ttl", "")):
        (tmp_path / name).write_text(text)
        with pytest.raises(wildfire.PlacesError):
            read_places(tmp_path / name)


def test_places_of_a_cube_come_from_its_people_or_a_file_beside_it(fire_cube: Path, tmp_path: Path) -> None:
    fires = wildfire.open_source(str(fire_cube))
    assert isinstance(fires, wildfire.FireCube)
    own = wildfire.find_places(fires)
    people = xr.open_zarr(fire_cube).load()["population_density_2018"].to_numpy()
    row, column = np.unravel_index(people.argmax(), people.shape)
    assert own["place"][0] == f"settlement-{row}-{column}" and own["cell_id"][0] == fires.cells[row, column]
    assert own["people"][0] == pytest.approx(people[row - 2 : row + 3, column - 2 : column + 3].sum())
    longitude, latitude = fires.grid.longitude_latitude()
    line = f'ex:a rdfs:label "Hill" ; wgs:lat {latitude[9, 4]} ; wgs:long {longitude[9, 4]} .'
    head = "\n".join(line for line in TURTLE.splitlines() if line.startswith("@"))
    far = 'ex:z rdfs:label "Far" ; wgs:lat 0.0 ; wgs:long 0.0 .'
    (tmp_path / "places.ttl").write_text(f"{head}\n{line}\n{far}\n")
    (named,) = wildfire.find_places(fires, str(tmp_path / "cube.zarr")).to_dict("records")
    assert named["name"] == "Hill" and named["cell_id"] == fires.cells[9, 4]


def test_places_are_ranked_by_people_near_fire() -> None:
    random = np.random.default_rng(3)
    danger = random.uniform(0, 0.2, (9, 9))
    danger[0, 0] = np.nan
    cells = np.arange(81).reshape(9, 9) + 100
    places = pd.DataFrame(
        {
            "place": ["p", "q", "r"],
            "cell_id": [100, 100 + 4 * 9 + 4, 7],
            "people": [50.0, 10.0, 9e9],
            "road_km": [1.0, np.nan, 1.0],
        }
    )
    ranked = wildfire.rank_places(places, danger, cells)
    expected = {
        "p": 1 - np.prod([1 - p for p in danger[:3, :3].ravel() if np.isfinite(p)]),
        "q": 1 - np.prod(1 - danger[2:7, 2:7]),
    }
    assert ranked["place"].tolist() == ["p", "q"], "a place outside the map has no danger"
    assert ranked["probability"].tolist() == pytest.approx([expected["p"], expected["q"]])
    assert ranked["people_at_risk"].tolist() == pytest.approx([50 * expected["p"], 10 * expected["q"]])
    assert ranked["rank"].tolist() == [1, 2]
