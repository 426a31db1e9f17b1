"""Predictions about named things as points: interferograms of volcanoes, and the alerts that they raised.

Where a thing lies is told by the feature group ``<use case>_places``, whose key is the thing's own key (such as the
hash of an interferogram) or its name. Rows that it does not tell of have no place; the atlas says how many these are.
Rows that name the date of what they are about, in ``second_date`` (yyyymmdd), are shown at it, others at their event
time. Where a column ``alert`` is 1, the row is an alert, drawn as a triangle. What is known for certain is in
``<use case>_labels``, under the name of the column without ``probability_``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from deepcube.atlas.atlas import Collection, Shown
from deepcube.atlas.pictures import Style
from deepcube.atlas.points import PointLayer
from deepcube.cubes import Variable, slug
from deepcube.cubes.names import plain_name

CERTAIN = "probability_"
"""Start of the names of columns whose truth is in the labels."""

_NAMES = ("volcano", "site", "station", "name")  # columns that name the thing, the first one that is there
_HIDDEN = ("threshold", "alert")  # numbers of a row that are no layer of their own
_TRUTH = "truth of "


def located(rows: pd.DataFrame, keys: list[str], places: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have a place, with it.

    Parameters
    ----------
    rows : pandas.DataFrame
        Predictions.
    keys : list of str
        Columns of their primary key.
    places : pandas.DataFrame
        Columns ``place`` (the key), ``name``, ``longitude``, ``latitude`` and ``known_from``.

    Returns
    -------
    pandas.DataFrame
        Rows with ``longitude``, ``latitude``, ``place_name`` and ``known_from``.
    """
    known = places.dropna(subset=["longitude", "latitude"]).drop_duplicates("place").set_index("place")
    wanted = [rows[key].astype(str) for key in keys if key in rows]
    named = next((name for name in _NAMES if name in rows), None)
    if named is not None:
        wanted.append(rows[named].fillna("").map(plain_name))
    found = pd.Series(pd.NA, index=rows.index, dtype="object")
    for each in wanted:
        found = found.where(found.notna(), each.where(each.isin(known.index)))
    held = rows[found.notna()].copy()
    at = known.loc[found[found.notna()]]
    for column in ("longitude", "latitude"):
        held[column] = at[column].to_numpy(float)
    held["known_from"] = at["known_from"].astype(str).to_numpy()
    titles = pd.Series(at["name"].astype(str).to_numpy(), index=held.index)
    if named is not None:  # of a georeferenced file, the name of the thing says more than that of the file
        own = held[named].fillna("").astype(str).str.replace("_", " ")
        titles = own.where(own != "", titles)
    held["place_name"] = titles
    return held


def moments(rows: pd.DataFrame, time: str) -> pd.Series:
    """Return the time of every row in UTC: the date of what it is about, else its event time."""
    stamps = pd.to_datetime(rows[time], utc=True).dt.tz_localize(None).dt.as_unit("ns")
    if "second_date" not in rows:
        return stamps
    dates = pd.to_datetime(rows["second_date"].astype(str), format="%Y%m%d", errors="coerce")
    return dates.dt.as_unit("ns").where(dates.notna(), stamps)


def with_labels(rows: pd.DataFrame, keys: list[str], drawn: list[str], use_case: str, store: Any) -> pd.DataFrame:
    """Return rows with what is known for certain beside; unchanged where nothing is."""
    wanted = {name: name.removeprefix(CERTAIN) for name in drawn if name.startswith(CERTAIN)}
    try:
        group = store.get_feature_group(f"{use_case}_labels")
        held = {name: truth for name, truth in wanted.items() if truth in {each.name for each in group.features}}
        shared = [key for key in group.primary_key if key in rows and key in keys]
        if not held or not shared:
            return rows
        known = group.select([*shared, *held.values()]).read().drop_duplicates(shared)
    except Exception:  # no such group, or nothing in it: there is no truth to show
        return rows
    known = known.rename(columns={truth: truth_column(name) for name, truth in held.items()})
    return rows.merge(known, on=shared, how="left")


def truth_column(name: str) -> str:
    """Return the column that holds what came true beside a prediction."""
    return _TRUTH + name


def point_layers(rows: pd.DataFrame, variables: list[Variable], times: pd.Series) -> dict[str, Shown]:
    """Return the columns of rows that have a place as layers of points; alerts first.

    Parameters
    ----------
    rows : pandas.DataFrame
        As returned by :func:`located`.
    variables : list of Variable
        Columns of numbers; the first one is what alerts are raised by.
    times : pandas.Series
        Time of every row.
    """
    drawn = [each for each in variables if each.name not in _HIDDEN]
    layers: dict[str, Shown] = {}
    if "alert" in rows and drawn:
        raised = (rows["alert"] == 1) & np.isfinite(rows[drawn[0].name].astype(float))
        if raised.any():
            alerts = Variable("alert", "table", drawn[0].dims, drawn[0].units, "Alerts", "continuous", dtype="float32")
            chosen = rows[raised].assign(alert=rows.loc[raised, drawn[0].name])
            layers["alert"] = Shown(PointLayer(alerts, chosen, times[raised], "triangle"), _style(drawn[0]))
    for variable in drawn:
        known = np.isfinite(rows[variable.name].astype(float))
        if known.any():
            layers[variable.name] = Shown(PointLayer(variable, rows[known], times[known]), _style(variable))
    return layers


def _style(variable: Variable) -> Style | None:
    """Return how a probability is drawn: from nothing to certain, so that colours of all times and sets compare."""
    return Style("YlOrRd", 0.0, 1.0) if variable.name.startswith(CERTAIN) else None


def unplaced_note(name: str, lost: int, total: int, use_case: str) -> str:
    """Say how many rows are not on the map, and what would help."""
    if not lost:
        return ""
    return (
        f"{lost} of {total} rows of {name} have no place on the map: neither files nor {use_case}_places tell it. "
        "A catalogue that names them helps, where the use case can read one."
    )


def point_collection(
    use_case: str,
    name: str,
    cube: str | None,
    shown: dict[str, Shown],
    facts: dict[str, str],
    note: str,
    simulated: bool,
) -> Collection:
    """Return layers of points as a collection."""
    kind = name.removeprefix(f"{use_case}_").replace("_", " ")
    title = f"{use_case.replace('_', ' ').capitalize()}: {kind}" + (f" for {cube}" if cube else "")
    identity = slug(f"{name}_{cube}" if cube else name)
    return Collection(identity, title, shown, simulated, facts, (note,) if note else (), "predictions", {})
