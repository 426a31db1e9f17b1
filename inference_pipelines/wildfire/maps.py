"""Danger maps of whole days, and the places at risk on each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features import wildfire
from inference_pipelines.batches import to_grid
from inference_pipelines.wildfire.forecaster import PROBABILITY, Forecaster
from inference_pipelines.wildfire.products import draw_danger, write_netcdf, write_places


def telling_days(maps: pd.DataFrame) -> list[pd.Timestamp]:
    """Return the mapped day on which the model sees most danger, and the newest, in order."""
    placed = maps[maps["row"] >= 0]
    whole = placed.groupby("time")[PROBABILITY].agg(["size", "mean"])
    whole = whole[whole["size"] > 0.9 * whole["size"].max()]
    return sorted({pd.Timestamp(whole["mean"].idxmax()), pd.Timestamp(whole.index.max())})


def map_danger(
    fs: Any, forecaster: Forecaster, forecasts: pd.DataFrame, days: list[pd.Timestamp], folder: Path
) -> tuple[list[Path], list[Path], pd.DataFrame]:
    """Draw and write the maps of some days, and rank the places on each of them.

    Parameters
    ----------
    fs : hsfs.feature_store.FeatureStore
        Feature store that holds places and the cells' coordinates.
    forecaster : Forecaster
        The model.
    forecasts : pandas.DataFrame
        Inputs and forecasts of all cases.
    days : list of pandas.Timestamp
        Days that forecasts are made on, of which all cells are there; in order, the newest last.
    folder : pathlib.Path
        Where to write.

    Returns
    -------
    tuple
        Pictures; other files; and the places, ranked day by day, with ``time``: none where none are known.
    """
    maps = forecasts[forecasts["time"].isin(days)]
    shape = (int(maps["row"].max()) + 1, int(maps["col"].max()) + 1)
    places = _read(fs, "wildfire_places", forecaster.cube)
    figures, ranked = [], []
    for day in days:
        today = maps[maps["time"] == day]
        risk = _rank(places, today, shape)
        ranked.append(risk.assign(time=day))
        target = day + pd.Timedelta(days=1)
        figures.append(
            draw_danger(
                today,
                folder / f"danger_{target:%Y-%m-%d}.png",
                title=f"{forecaster.shown}: danger of fire on {target:%Y-%m-%d}, forecast the day before"
                + ("; the newest day" if day == days[-1] else "; a held-out day"),
                base_rate=float(forecaster.signature.details["base_rate"]),
                places=risk.merge(today[["cell_id", "row", "col"]], on="cell_id") if len(risk) else risk,
            )
        )
    attrs = {"title": f"Danger of fire, {forecaster.shown}", "source": f"wildfire model of {forecaster.cube}"}
    attrs |= {"simulated": "true"} if forecaster.simulated else {}
    located = maps.drop_duplicates("cell_id").merge(
        _read(fs, "wildfire_static", forecaster.cube)[["cell_id", "longitude", "latitude"]], on="cell_id"
    )
    longitude, latitude = (to_grid(located, name, shape) for name in ("longitude", "latitude"))
    files = [write_netcdf(maps, longitude, latitude, folder / "danger.nc", attrs)]
    if len(places):
        files += write_places(pd.concat(ranked[::-1], ignore_index=True), folder, attrs)
    return figures, files, pd.concat(ranked, ignore_index=True) if len(places) else pd.DataFrame()


def risk_rows(ranked: pd.DataFrame, cube: str, model_version: int) -> pd.DataFrame:
    """Return ranked places as rows of ``wildfire_risk``."""
    rows = ranked.assign(cube=cube, time=ranked["time"].astype("datetime64[us]"), model_version=np.int32(model_version))
    names = ["cube", "place", "time", "rank", "probability", "people_at_risk", "road_km_at_risk", "model_version"]
    return rows[names].astype({"rank": np.int32, "model_version": np.int32})


def top_places(ranked: pd.DataFrame, count: int = 5) -> dict[str, list[dict[str, Any]]]:
    """Return the places most at risk by target date, as JSON can hold them."""
    names = ["rank", "name", "probability", "people", "people_at_risk"]
    top: dict[str, list[dict[str, Any]]] = {}
    for day in ranked["time"].unique() if len(ranked) else []:
        today = ranked[ranked["time"] == day].head(count)
        rows = zip(*(today[name].tolist() for name in names), strict=True)
        top[f"{pd.Timestamp(day) + pd.Timedelta(days=1):%Y-%m-%d}"] = [
            dict(zip(names, row, strict=True)) for row in rows
        ]
    return top


def _rank(places: pd.DataFrame, today: pd.DataFrame, shape: tuple[int, int]) -> pd.DataFrame:
    if places.empty:
        return places
    cells = np.full(shape, -1, dtype=np.int64)
    cells[today["row"].to_numpy(int), today["col"].to_numpy(int)] = today["cell_id"]
    return wildfire.rank_places(places, to_grid(today, PROBABILITY, shape), cells)


def _read(fs: Any, name: str, cube: str) -> pd.DataFrame:
    """Return the rows of a cube in a feature group; none if there is no such group."""
    group = fs.get_feature_group(name, wildfire.VERSION)
    if group is None:
        return pd.DataFrame()
    return group.select_all().filter(group.get_feature("cube") == cube).read()
