"""What batch inference leaves for people and other programs: pictures, rasters, and lists of places."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from inference_pipelines.batches import to_grid
from inference_pipelines.wildfire.forecaster import PROBABILITY, SPREAD

_TOP = 10


def draw_danger(table: pd.DataFrame, path: Path, *, title: str, base_rate: float, places: pd.DataFrame) -> Path:
    """Draw danger, the seeds' disagreement, and what burnt if that is known; the places most at risk by number.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per cell: ``row``, ``col``, the forecast, and ``fire`` (-1 where not known yet).
    path : pathlib.Path
        PNG file to write.
    title : str
        Heading.
    base_rate : float
        Probability on an ordinary cell-day, in the middle of the scale.
    places : pandas.DataFrame
        Ranked places, with ``row`` and ``col``; may be empty.

    Returns
    -------
    pathlib.Path
        The file.
    """
    shape = (int(table["row"].max()) + 1, int(table["col"].max()) + 1)
    danger, spread = to_grid(table, PROBABILITY, shape), to_grid(table, SPREAD, shape)
    figure = Figure(figsize=(13, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    scale = LogNorm(base_rate / 30, min(1.0, base_rate * 300))
    image = left.imshow(danger, norm=scale, cmap="YlOrRd", interpolation="nearest")
    figure.colorbar(image, ax=left, shrink=0.8, extend="both", label="probability of fire (unit 1)")
    burnt = table[table["fire"] == 1]
    if len(burnt):
        left.scatter(
            burnt["col"], burnt["row"], s=14, facecolors="none", edgecolors="tab:blue", linewidths=1.0, label="burnt"
        )
        left.legend(loc="lower right", fontsize=8)
    for _, place in places.head(_TOP).iterrows():
        left.annotate(str(place["rank"]), (place["col"], place["row"]), color="black", fontsize=8, weight="bold")
    left.set_title("danger; numbers: places most at risk" if len(places) else "danger")
    image = right.imshow(spread / danger, cmap="viridis", interpolation="nearest", vmin=0, vmax=1)
    figure.colorbar(image, ax=right, shrink=0.8, label="spread over seeds, share of the probability (unit 1)")
    right.set_title("how far the seeds disagree")
    for axes in (left, right):
        axes.set_facecolor("lightgrey")  # sea, edge, or no data
        axes.set(xlabel="column (km)", ylabel="row (km)")
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
    return path


def draw_days(table: pd.DataFrame, path: Path, *, title: str, alarm: float) -> Path:
    """Draw the forecasts of a table of fire days in order of time, coloured by what happened."""
    ordered = table.sort_values("time", kind="stable").reset_index(drop=True)
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    for fire, colour, name in ((0, "tab:blue", "no fire"), (1, "tab:red", "fire")):
        mine = ordered[ordered["fire"] == fire]
        axes.errorbar(mine.index, mine[PROBABILITY], yerr=mine[SPREAD], fmt="o", ms=4, lw=0.8, color=colour, label=name)
    axes.axhline(alarm, color="0.4", linestyle="--", linewidth=1, label="alarm (90 % of validation fires)")
    axes.set(title=title, xlabel="held-out cases in order of their date", ylabel="probability of fire (unit 1)")
    axes.set_ylim(-0.02, 1.02)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)
    return path


def draw_reasons(reasons: pd.Series, path: Path, *, title: str, prediction: str) -> Path:
    """Draw why a cell is in danger: attributions by variable, largest on top."""
    top = reasons.reindex(reasons.abs().sort_values(ascending=False).index)[:12][::-1]
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.barh(list(top.index), top.to_numpy(), color=["tab:red" if value > 0 else "tab:blue" for value in top])
    axes.axvline(0, color="0.3", linewidth=0.8)
    axes.set(xlabel="attribution to the log-odds of fire (unit 1); red raises the danger")
    axes.set_title(f"{title}\n{prediction}", fontsize=10)
    figure.savefig(path, dpi=120)
    return path


def write_netcdf(
    table: pd.DataFrame, longitude: np.ndarray, latitude: np.ndarray, path: Path, attrs: dict[str, Any]
) -> Path:
    """Write danger maps as CF NetCDF: probability and spread by day, row and column, with longitude and latitude.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of whole maps: ``time``, ``row``, ``col`` and the forecast.
    longitude, latitude : numpy.ndarray of float64, shape (y, x)
        WGS84 degrees of the pixel centres; NaN where there is no cell.
    path : pathlib.Path
        File to write; it appears once it is whole.
    attrs : dict
        Attributes of the file.

    Returns
    -------
    pathlib.Path
        The file.
    """
    shape = longitude.shape
    times = sorted(table["time"].unique())
    layers = {
        name: [to_grid(table[table["time"] == time], name, shape) for time in times] for name in (PROBABILITY, SPREAD)
    }
    dims = ("time", "y", "x")
    text = {PROBABILITY: "probability that the cell burns on the day after time", SPREAD: "half range over the seeds"}
    data = xr.Dataset(
        {
            name: (dims, np.stack(maps).astype(np.float32), {"units": "1", "long_name": text[name]})
            for name, maps in layers.items()
        },
        {
            "time": ("time", pd.DatetimeIndex(times), {"long_name": "day that the forecast was made on"}),
            "longitude": (("y", "x"), longitude, {"units": "degrees_east", "standard_name": "longitude"}),
            "latitude": (("y", "x"), latitude, {"units": "degrees_north", "standard_name": "latitude"}),
        },
        {"Conventions": "CF-1.11", **attrs},
    )
    part = path.with_name(f".{path.name}.part")
    data.to_netcdf(part, engine="h5netcdf")
    part.replace(path)
    return path


def write_places(ranked: pd.DataFrame, folder: Path, attrs: dict[str, Any]) -> list[Path]:
    """Write the places, ranked for each date, as CSV and as GeoJSON; each file appears once it is whole."""
    dated = ranked.assign(date=(ranked["time"] + pd.Timedelta(days=1)).dt.strftime("%Y-%m-%d"))
    columns = ["rank", "name", "kind", "place", "longitude", "latitude", "probability", "people", "people_at_risk"]
    table = dated[["date", *columns, "road_km", "road_km_at_risk"]]
    features = [
        {
            "type": "Feature",
            "id": f"{row['place']} {row['date']}",
            "geometry": {"type": "Point", "coordinates": [row["longitude"], row["latitude"]]},
            "properties": {key: _plain(value) for key, value in row.items() if key not in ("longitude", "latitude")},
        }
        for row in table.to_dict("records")
    ]
    document = {"type": "FeatureCollection", **attrs, "features": features}
    texts = {
        "places_at_risk.csv": table.to_csv(index=False),
        "places_at_risk.geojson": json.dumps(document, indent=1, allow_nan=False),
    }
    return [_write(folder / name, text) for name, text in texts.items()]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value.item() if hasattr(value, "item") else value


def _write(path: Path, text: str) -> Path:
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return path
