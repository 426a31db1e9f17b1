"""Tables of fire days: one row for each day, or each fire, with its weather and fire weather codes.

Two published layouts are read: the Algerian forest fires (UCI; day, month, year, weather, codes, fire or not, two
regions one after the other) and the forest fires of Montesinho, Portugal (Cortez and Morais, 2007; month, weekday,
place in the park, weather, codes, burned area). The question is that of their publications: does it burn **on the
day**, or how much. The codes are those of the tables, as published. Those of the day-by-day table are also computed
from its weather, and the agreement is told: they are equal on dry days, but the table resets its moisture codes at rain
that van Wagner's equations ignore (0.3 to 1.5 mm).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepcube.cubes import NotACubeError, NoValidDataError, cell_at
from features.wildfire.firecube import Tables
from features.wildfire.layout import CODES, HISTORY, SEASON, WEATHER, plain_names
from features.wildfire.schema import INPUTS, STATIC_INPUTS, SURFACE_INPUTS, WEATHER_INPUTS
from features.wildfire.weather import check_ranges, fire_codes, season_columns

Floats = NDArray[np.float64]

_LEVEL = 12  # cells of about 1.6 km for sites whose place is known to a few kilometres
_CODES = ("ffmc", "dmc", "dc", "isi", "bui", "fwi")
_ALGERIA = {
    "day",
    "month",
    "year",
    "temperature",
    "rh",
    "ws",
    "rain",
    "ffmc",
    "dmc",
    "dc",
    "isi",
    "bui",
    "fwi",
    "classes",
}
_MONTESINHO = {"x", "y", "month", "day", "ffmc", "dmc", "dc", "isi", "temp", "rh", "wind", "rain", "area"}
_SITES = ((5.07, 36.75), (-0.63, 35.19))  # Bejaia, Sidi Bel-Abbes: longitude and latitude
_PARK = (-7.0, 41.78)  # about the south-west corner of the map of Montesinho; the publication gives no coordinates
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_SHARES = (0.6, 0.2)  # of the days or day groups, for training and validation


@dataclass(frozen=True, eq=False)
class FireDays:
    """A table of fire days as rows of the feature groups.

    Attributes
    ----------
    name : str
        Name of the table in the feature store.
    frame : pandas.DataFrame
        One row per case: ``time``, ``cell_id``, ``fire``, ``part``, and the columns of ``wildfire_weather``.
    split : dict of str to str
        What each part holds, in words.
    agreement : dict of str to float
        Correlation of the codes computed here with those of the table, where they can be computed.
    """

    name: str
    frame: pd.DataFrame
    split: dict[str, str]
    agreement: dict[str, float]
    simulated: bool = False

    @property
    def inputs(self) -> list[str]:
        """Model inputs that the table has."""
        return [name for name in INPUTS if name in self.frame and self.frame[name].notna().any()]

    def __len__(self) -> int:
        return 1

    def tables(self) -> Iterator[Tables]:
        """Yield the rows; of what a table does not have there are none, and of its days those of each cell."""
        key = self.frame[["cell_id", "time"]].assign(cube=self.name)[["cube", "cell_id", "time"]]
        targets = key.assign(
            fire=self.frame["fire"].astype(np.int32),
            part=self.frame["part"],
            weight=1.0,
            weather_cell=key["cell_id"],
            row=-1,
            col=-1,
        )
        order = ["cube", "cell_id", "time", "fire", "weight", "part", "weather_cell", "row", "col"]
        weather = key.rename(columns={"cell_id": "weather_cell"})
        values = self.frame.reindex(columns=WEATHER_INPUTS).astype(float)
        yield Tables(
            targets[order].astype({"row": np.int32, "col": np.int32}),
            pd.concat([weather, values], axis=1),
            pd.DataFrame(columns=[*key.columns, *SURFACE_INPUTS]),
            pd.DataFrame(columns=["cube", "cell_id", "weather_cell", "longitude", "latitude", *STATIC_INPUTS]),
        )


def is_fire_table(path: Path) -> bool:
    """Tell whether a path is, or is a folder with just one, CSV file."""
    return _file(path) is not None


def open_fire_days(source: str, name: str) -> FireDays:
    """Read a table of fire days.

    Parameters
    ----------
    source : str
        Path of a CSV file in one of the two layouts, or of a folder with just one.
    name : str
        Name of the table in the feature store.

    Returns
    -------
    FireDays
        The checked rows, split.

    Raises
    ------
    deepcube.cubes.NotACubeError
        If it is in neither layout; the message lists what was found.
    deepcube.cubes.NoValidDataError
        If a part would have fires only, or none.
    deepcube.cubes.ScaleError
        If values are out of physical range.
    """
    path = _file(Path(source))
    if path is None:
        raise NotACubeError(f"{source} is no CSV file, nor a folder with just one; expected a table of fire days.")
    try:
        table = pd.read_csv(path)
    except (ValueError, pd.errors.ParserError) as error:
        raise NotACubeError(f"{path} cannot be read as CSV: {error}. Check the file.") from error
    table.columns = [str(column).strip().lower() for column in table.columns]
    found = set(table.columns)
    if found >= _ALGERIA:
        days = _algeria(table, name)
    elif found >= _MONTESINHO:
        days = _montesinho(table, name)
    else:
        nearer = min((_ALGERIA - found, _MONTESINHO - found), key=len)
        raise NotACubeError(
            f"{path} has the columns {', '.join(table.columns)}; expected those of the Algerian or the Montesinho "
            f"forest fires of UCI. Missing: {', '.join(sorted(nearer))}."
        )
    for part, rows in days.frame.groupby("part"):
        if rows["fire"].nunique() < 2:
            raise NoValidDataError(
                f"{path}: the part {part!r} of {len(rows)} rows has one outcome only; expected both."
            )
    return days


def _file(path: Path) -> Path | None:
    if path.is_file() and path.suffix.lower() == ".csv":
        return path
    if not path.is_dir():
        return None
    tables = sorted(path.glob("*.csv"))
    return tables[0] if len(tables) == 1 else None


def _numbers(table: pd.DataFrame, names: dict[str, str], what: str) -> dict[str, Floats]:
    """Return columns as numbers, checked against their physical range."""
    values = {name: _plain(table, column, what) for name, column in names.items()}
    check_ranges(what, values)
    return values


def _plain(table: pd.DataFrame, column: str, what: str) -> Floats:
    numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(float)
    if not np.isfinite(numbers).all():
        raise NotACubeError(
            f"{what}: column {column!r} has {int((~np.isfinite(numbers)).sum())} values that are no number, the first "
            f"in row {int(np.argmin(np.isfinite(numbers))) + 2}. Mend the table."
        )
    return numbers


def _algeria(table: pd.DataFrame, name: str) -> FireDays:
    """Read 122 days each of two regions with ten days of history; their codes are checked against ours."""
    times = pd.to_datetime(table[["year", "month", "day"]], errors="coerce")
    if times.isna().any():
        raise NotACubeError(f"{name}: row {int(times.isna().to_numpy().argmax()) + 2} has no date. Mend the table.")
    columns = {"tmax": "temperature", "humidity": "rh", "wind": "ws", "rain": "rain"}
    values = _numbers(_mend(table), {**columns, **{code: code for code in _CODES}}, name)
    values["wind"] = values["wind"] / 3.6
    # Regions follow each other without a name; where the date goes back, the next one begins.
    site = (times.diff() < pd.Timedelta(0)).cumsum().to_numpy()
    parts, computed = [], []
    for number in np.unique(site):
        mine = site == number
        longitude, latitude = _SITES[int(number) % len(_SITES)]
        series = {key: array[mine] for key, array in values.items()}
        weather = {key: series[key][:, None, None] for key in columns}
        codes = fire_codes(pd.DatetimeIndex(times[mine]), np.array([[latitude]]), weather)
        computed.append(pd.DataFrame({code: codes[code][:, 0, 0] for code in _CODES}))
        frame = _histories(series)
        frame["time"] = times[mine].to_numpy()
        frame["cell_id"] = int(cell_at(longitude, latitude, _LEVEL))
        frame["fire"] = (table["classes"][mine].str.strip().str.lower() == "fire").astype(int).to_numpy()
        parts.append(frame)
    frame = pd.concat(parts, ignore_index=True)
    days = np.sort(frame["time"].unique())
    bounds = days[[int(len(days) * _SHARES[0]), int(len(days) * sum(_SHARES))]]
    frame["part"] = np.select([frame["time"] < bounds[0], frame["time"] < bounds[1]], ["train", "validation"], "test")
    ours = pd.concat(computed)
    return FireDays(
        name,
        _finish(frame),
        {
            "train": f"days before {_date(bounds[0])}",
            "validation": f"from then to the day before {_date(bounds[1])}",
            "test": f"from {_date(bounds[1])} on",
        },
        {code: float(np.corrcoef(ours[code], values[code])[0, 1]) for code in _CODES},
    )


def _mend(table: pd.DataFrame) -> pd.DataFrame:
    """Split what was run together: one published row has DC and ISI in one number and the codes after it moved up.

    It is known by a missing FWI and a DC of two decimals, where all others have one; FWI follows from the mended ISI
    and BUI to the printed decimal.
    """
    text = table["dc"].astype(str)
    moved = pd.to_numeric(table["fwi"], errors="coerce").isna() & text.str.fullmatch(r"\d+\.\d\d")
    mended = table.astype(dict.fromkeys(_CODES, object))
    mended.loc[moved, "fwi"] = table.loc[moved, "bui"]
    mended.loc[moved, "bui"] = table.loc[moved, "isi"]
    mended.loc[moved, "isi"] = text[moved].str[-1].astype(float)
    mended.loc[moved, "dc"] = text[moved].str[:-1].astype(float)
    return mended


def _montesinho(table: pd.DataFrame, name: str) -> FireDays:
    """Read fires of unknown years: what burns more than nothing, from the weather of its day.

    Fires of one day share their weather to the last digit, so days, not fires, are dealt to the parts.
    """
    columns = {"tmax": "temp", "humidity": "rh", "wind": "wind", "rain": "rain"}
    codes = {one: one for one in ("ffmc", "dmc", "dc", "isi")}
    values = _numbers(table, {**columns, **codes}, name)
    area, x, y = (_plain(table, one, name) for one in ("area", "x", "y"))
    month = table["month"].astype(str).str.strip().str.lower().str[:3]
    if not month.isin(_MONTHS).all():
        raise NotACubeError(f"{name}: found the month {month[~month.isin(_MONTHS)].iloc[0]!r}; expected jan to dec.")
    from xclim.indices.fire import build_up_index, fire_weather_index  # loads numba: seconds

    bui = np.asarray(build_up_index(values["dmc"], values["dc"]))
    series = {**values, "wind": values["wind"] / 3.6, "bui": bui, "fwi": fire_weather_index(values["isi"], bui)}
    frame = pd.DataFrame({f"{key}_lag_0": series[key] for key in (*columns, "fwi")})
    frame = frame.assign(**{key: series[key] for key in ("ffmc", "dmc", "dc", "isi", "bui")})
    # No year is published. Rows get a nominal date of their month, distinct within it.
    number = month.groupby(month).cumcount()
    start = pd.to_datetime("2001-" + (month.map(_MONTHS.index) + 1).astype(str) + "-01")
    frame["time"] = (start + pd.to_timedelta(number, unit="h")).to_numpy()
    frame["cell_id"] = cell_at(_PARK[0] + 0.03 * x, _PARK[1] + 0.02 * (10 - y), _LEVEL)
    frame["fire"] = (area > 0).astype(int)
    day = table[["month", "day", "ffmc", "dmc", "dc", "isi"]].astype(str).agg(" ".join, axis=1)
    order = np.random.default_rng(0).permutation(day.nunique())
    share = order[pd.factorize(day)[0]] / day.nunique()
    frame["part"] = np.select([share < _SHARES[0], share < sum(_SHARES)], ["train", "validation"], "test")
    said = "of the days, drawn by lot: fires of one day stay together; years are not published"
    split = {"train": f"60 % {said}", "validation": f"20 % {said}", "test": f"20 % {said}"}
    return FireDays(name, _finish(frame), split, {})


def _histories(series: dict[str, Floats]) -> pd.DataFrame:
    """Return ten days of weather and the codes of a day-by-day series; missing before the series begins."""
    frame = pd.DataFrame(
        {
            f"{one.name}_lag_{lag}": pd.Series(series[one.name]).shift(lag)
            for one in WEATHER
            if one.name in series
            for lag in range(HISTORY)
        }
    )
    return frame.assign(**{name: series[name] for name in plain_names(CODES[:5])})


def _finish(frame: pd.DataFrame) -> pd.DataFrame:
    season = season_columns(pd.DatetimeIndex(frame["time"]))
    frame = frame.assign(**{one.name: season[one.name] for one in SEASON})
    return frame.assign(time=frame["time"].astype("datetime64[us]"), cell_id=frame["cell_id"].astype(np.int64))


def _date(day: np.datetime64) -> str:
    return f"{pd.Timestamp(day):%Y-%m-%d}"
