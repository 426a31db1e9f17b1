"""An impact index: how much of a district will have far less green than normal, by month, and how it came true."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from deepcube.cubes import cell_level, parent, season_count, season_of
from features import drought
from features.drought.quantiles import below
from inference_pipelines.drought.batch import PREDICTED
from inference_pipelines.drought.forecaster import Forecaster

if TYPE_CHECKING:
    from hsfs.feature_group import FeatureGroup
    from hsfs.feature_store import FeatureStore

DISTRICTS_FILE = "Resources/drought/districts.geojson"
"""Polygons with a property ``name`` that a user may put into the project; without it, districts are coarse cells."""

NORMAL = 15.9
"""Index of a normal month, in percent: the share of a normal distribution below minus one standard deviation."""

_MOST_DISTRICTS = 9
_LEAST_STD = 0.02  # NDVI; seasons that hardly varied in training would call everything a drought


def impact_group(fs: "FeatureStore") -> "FeatureGroup":
    """Get or create ``drought_impact``: the impact index by district and month."""
    from hsfs.feature import Feature

    return fs.get_or_create_feature_group(
        name="drought_impact",
        version=drought.VERSION,
        description="Impact index of drought on vegetation by district and month, forecast and observed",
        primary_key=["cube", "district"],
        event_time="month",
        time_travel_format="DELTA",
        features=[
            Feature("cube", "string", "Name of the cube, for example romania_s2"),
            Feature("district", "string", "Name of the district, or the HEALPix cell that stands for one"),
            Feature("month", "timestamp", "First day of the month that is forecast, UTC"),
            Feature("impact_index", "double", "Expected share of values more than 1 std below normal (percent)"),
            Feature("persistence_index", "double", "The same if departures stayed as last observed (percent)"),
            Feature("observed_index", "double", "The same as observed (percent); null where nothing was"),
            Feature("mean_departure", "double", "Mean forecast NDVI minus its climatology (unit 1)"),
            Feature("forecasts", "int", "Forecasts of the month in the district (count)"),
            Feature("observations", "int", "Of them observed later (count)"),
            Feature("model_version", "int", "Version of the model in the registry (count)"),
        ],
    )


def impact_rows(
    inputs: pd.DataFrame,
    rows: pd.DataFrame,
    truth: pd.DataFrame,
    spread: pd.DataFrame,
    districts: pd.Series,
    offsets: Any,
) -> pd.DataFrame:
    """Compute the index of every district and month that forecasts of the held-out years reach.

    Parameters
    ----------
    inputs, rows, truth : pandas.DataFrame
        Model inputs, forecasts and what came true: keys and ``time``, and their columns.
    spread : pandas.DataFrame
        ``cell_id``, ``season`` and ``ndvi_std`` of the climatology.
    districts : pandas.Series of str, index cell_id
        District of every cell; cells without one are left out.
    offsets : array of float, shape (horizons, levels)
        Quantiles of the errors of the model, see :mod:`features.drought.quantiles`.

    Returns
    -------
    pandas.DataFrame
        Columns as :func:`impact_group`, without ``model_version``. The index is the mean over cells and forecasts of
        the probability that NDVI lies more than a standard deviation below its climatology: the standardised
        vegetation index of Peters et al., 2002, Drought Monitoring with NDVI-Based Standardized Vegetation Index,
        PE&RS 68, at the threshold -1, as an area under drought.
    """
    keys = [*drought.KEYS, "time"]
    table = rows.merge(inputs[[*keys, *drought.CLIMATOLOGY, "ndvi_climatology_now", drought.PERSISTENCE]], on=keys)
    table = table.merge(truth[[*keys, *drought.LABELS]], on=keys, how="left")
    table["district"] = table["cell_id"].map(districts)
    table = table[table["district"].notna()]
    times = pd.DatetimeIndex(np.unique(inputs["time"].to_numpy("datetime64[ns]")))
    step = (times[1:] - times[:-1]).min()
    std = spread.set_index(["cell_id", "season"])["ndvi_std"]
    seasons, parts = season_count(step), []
    for number, (predicted, normal, label) in enumerate(
        zip(PREDICTED, drought.CLIMATOLOGY, drought.LABELS, strict=True)
    ):
        date = pd.DatetimeIndex(table["time"]) + (number + 1) * step
        at = pd.MultiIndex.from_arrays([table["cell_id"], season_of(date, seasons)])
        deviation = np.maximum(np.nan_to_num(std.reindex(at).to_numpy(float), nan=_LEAST_STD), _LEAST_STD)
        threshold = table[normal].to_numpy(float) - deviation
        quantiles = table[predicted].to_numpy(float)[:, None] + np.asarray(offsets, float)[number]
        observed = table[label].to_numpy(float)
        stays = table[drought.PERSISTENCE] - table["ndvi_climatology_now"] < -deviation
        parts.append(
            pd.DataFrame(
                {
                    "cube": table["cube"].to_numpy(),
                    "district": table["district"].to_numpy(),
                    "month": date.to_period("M").to_timestamp(),
                    "impact_index": 100 * below(threshold, quantiles),
                    "persistence_index": 100.0 * stays.to_numpy(),
                    "observed_index": np.where(np.isfinite(observed), 100.0 * (observed < threshold), np.nan),
                    "mean_departure": (table[predicted] - table[normal]).to_numpy(float),
                }
            )
        )
    grouped = pd.concat(parts).groupby(["cube", "district", "month"], sort=True)
    result = grouped.mean()
    result["forecasts"] = grouped.size().astype("int32")
    result["observations"] = grouped["observed_index"].count().astype("int32")
    found = result.reset_index()
    found["month"] = found["month"].astype("datetime64[us]")
    return found


def impact_scores(table: pd.DataFrame) -> dict[str, Any]:
    """Score the index against what was observed, beside persistence and a normal month.

    Parameters
    ----------
    table : pandas.DataFrame
        As returned by :func:`impact_rows`.

    Returns
    -------
    dict
        ``rmse`` of ``model``, ``persistence`` and ``climatology`` in percent, weighted by the observations; how many
        ``districts``, ``months`` and district-months (``n``) were scored.
    """
    seen = table[table["observations"] > 0]
    weight = seen["observations"].to_numpy(float)

    def rmse(forecast: Any) -> float | None:
        error = (forecast - seen["observed_index"]).to_numpy(float)
        return float(np.sqrt(np.average(error**2, weights=weight))) if len(seen) else None

    index = {"model": seen["impact_index"], "persistence": seen["persistence_index"], "climatology": NORMAL}
    return {
        "rmse": {name: rmse(forecast) for name, forecast in index.items()},
        "districts": int(table["district"].nunique()),
        "months": int(table["month"].nunique()),
        "n": len(seen),
    }


def read_spread(fs: "FeatureStore", cube: str) -> pd.DataFrame:
    """Read the spread of the climatology: ``cell_id``, ``season`` and ``ndvi_std``."""
    group = drought.climatology_group(fs)
    return group.select(["cell_id", "season", "ndvi_std"]).filter(group.get_feature("cube") == cube).read()


def find_districts(project: Any, grid: pd.DataFrame) -> pd.Series:
    """Return the district of every cell.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project that may hold :data:`DISTRICTS_FILE`.
    grid : pandas.DataFrame
        ``cell_id``, ``longitude`` and ``latitude`` of every cell.

    Returns
    -------
    pandas.Series of str, index cell_id
        Names of polygons, cells outside all of them left out; without the file or any cell inside, the finest coarser
        cells of which there are at most nine.
    """
    files = project.get_dataset_api()
    if files.exists(DISTRICTS_FILE):
        with tempfile.TemporaryDirectory() as folder:
            path = files.download(DISTRICTS_FILE, folder, overwrite=True)
            named = districts_of(json.loads(Path(path).read_text()), grid)
        if len(named):
            return named
    cells = grid["cell_id"].to_numpy(np.int64)
    level, above = int(cell_level(cells[:1])[0]), cells
    while len(np.unique(above)) > _MOST_DISTRICTS and level > 0:
        level -= 1
        above = np.asarray(parent(cells, level))
    return pd.Series([f"cell {one}" for one in above], index=cells)


def districts_of(polygons: dict[str, Any], grid: pd.DataFrame) -> pd.Series:
    """Return the polygon of GeoJSON that every cell's centre lies in, by its property ``name``.

    Raises
    ------
    ValueError
        If it is no collection of features with names.
    """
    import shapely

    features = polygons.get("features") if isinstance(polygons, dict) else None
    if not features or any("name" not in (one.get("properties") or {}) for one in features):
        raise ValueError(f"Found no named features in {DISTRICTS_FILE}; expected GeoJSON with a property `name` each.")
    points = shapely.points(grid["longitude"], grid["latitude"])
    found = pd.Series(index=grid["cell_id"].to_numpy(np.int64), dtype=object)
    for one in features:
        shape = shapely.from_geojson(json.dumps(one["geometry"]))
        shapely.prepare(shape)
        found[np.asarray(shapely.contains(shape, points), bool)] = str(one["properties"]["name"])
    return found.dropna()


def quantile_offsets(forecaster: Forecaster) -> Any:
    """Return the quantiles of the model's errors, shape (horizons, levels)."""
    return np.asarray(forecaster.signature.details["quantiles"]["offsets"], float)


def draw_impact(table: pd.DataFrame, path: Path, *, title: str) -> Path:
    """Draw the index of every district by month, as forecast and as observed.

    Parameters
    ----------
    table : pandas.DataFrame
        As returned by :func:`impact_rows`.
    path : pathlib.Path
        PNG file to write.
    title : str
        Heading.

    Returns
    -------
    pathlib.Path
        The file.
    """
    names = sorted(table["district"].unique())[:_MOST_DISTRICTS]
    columns = min(3, len(names))
    figure = Figure(figsize=(4.2 * columns, 2.3 * -(-len(names) // columns) + 0.8), layout="constrained")
    panels = figure.subplots(-(-len(names) // columns), columns, squeeze=False, sharey=True, sharex=True).ravel()
    for panel, name in zip(panels, names, strict=False):
        one = table[table["district"] == name]
        panel.plot(one["month"], one["impact_index"], marker=".", label="forecast")
        panel.plot(one["month"], one["observed_index"], marker="x", linestyle="none", color="black", label="observed")
        panel.axhline(NORMAL, color="grey", linewidth=0.8, linestyle="--", label="normal")
        panel.set_title(name, fontsize=8)
        panel.tick_params(axis="x", labelrotation=45, labelsize=7)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    panels[0].set_ylabel("impact index (%)", fontsize=8)
    panels[0].legend(fontsize=7)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
    return path
