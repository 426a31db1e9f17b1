"""From the NDVI series of a block of cells to the rows of the four feature groups."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepcube.cubes import (
    Climatology,
    Steps,
    TimeSplit,
    ahead,
    crossfit_climatology,
    fit_climatology,
    lagged,
    last_observed,
    season_count,
    season_of,
    year_fraction,
)
from features.drought.schema import HORIZONS, KEYS, LAGS, SPI_UNITS

Floats = NDArray[np.float64]

_STORED = "datetime64[us]"  # the feature store keeps microseconds


@dataclass(frozen=True, eq=False)
class Block:
    """NDVI of some cells at every step of the cube.

    Attributes
    ----------
    cube : str
        Name of the cube.
    steps : Steps
        Time axis.
    split : TimeSplit
        Training, validation and test periods.
    ndvi : numpy.ndarray of float64, shape (steps, cells)
        NDVI (unit 1); NaN at gaps.
    valid_fraction : numpy.ndarray of float64, shape (steps, cells)
        Valid share of the acquisitions of each step.
    cell_id : numpy.ndarray of int64, shape (cells,)
        Cell of each pixel.
    longitude, latitude : numpy.ndarray of float64, shape (cells,)
        Pixel centres in WGS84 degrees.
    row, col : numpy.ndarray of int, shape (cells,)
        Position in the grid of the cube.
    weather : dict of str to numpy.ndarray of float64, shape (steps, cells)
        Departures of rain (mm) and temperature (K) from normal in each step and standardised precipitation (unit 1), as
        far as the cube has them.
    """

    cube: str
    steps: Steps
    split: TimeSplit
    ndvi: Floats
    valid_fraction: Floats
    cell_id: NDArray[np.int64]
    longitude: Floats
    latitude: Floats
    row: NDArray[np.int64]
    col: NDArray[np.int64]
    weather: dict[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Tables:
    """Rows of the feature groups, one data frame each, with their schemas' columns; no weather, no rows of it."""

    ndvi: pd.DataFrame
    climatology: pd.DataFrame
    features: pd.DataFrame
    targets: pd.DataFrame
    weather: pd.DataFrame
    spi: pd.DataFrame


def compute_tables(block: Block) -> Tables:
    """Compute the rows of the four feature groups for a block of cells.

    A cell has rows from its first valid observation on. Where it has no climatology, because it was never observed in
    the (rest of the) training period, it has no features and no targets; its observations are kept.

    Parameters
    ----------
    block : Block
        NDVI of the cells.

    Returns
    -------
    Tables
        Features and targets have the same keys: one row per forecast origin, up to the last step of the cube.
    """
    climatology, normal = _climatology(block)
    inputs = _inputs(block, normal)
    observed = np.isfinite(inputs["steps_since_observation"])
    origins = np.logical_and.reduce([np.isfinite(values) for values in inputs.values()])
    nothing = np.zeros_like(origins)
    spi = {name: block.weather[name] for name in SPI_UNITS if name in block.weather}
    return Tables(
        ndvi=_rows(block, observed, _observations(block)),
        climatology=_climatology_rows(block, climatology),
        features=_rows(block, origins, inputs),
        targets=_rows(block, origins, {f"ndvi_step_{h}": ahead(block.ndvi, h) for h in HORIZONS}),
        weather=_rows(block, origins if block.weather else nothing, _weather(block)),
        spi=_rows(block, origins if spi else nothing, spi),
    )


def latest_rows(features: pd.DataFrame) -> pd.DataFrame:
    """Return the newest row of every cell: what the online store serves."""
    return features.loc[features.groupby(KEYS, sort=False)["time"].idxmax()].reset_index(drop=True)


def _climatology(block: Block) -> tuple[Climatology, Floats]:
    """Fit on the training period; the validation and test periods and the embargo between them are never seen.

    Returns
    -------
    climatology : Climatology
        Fitted on the whole training period.
    normal : numpy.ndarray of float64, shape (steps + longest horizon, cells)
        Normal NDVI at every step and at the target dates beyond the last. At the steps of the training period and at
        the target dates of its last origins it is cross-fitted (see :func:`deepcube.cubes.crossfit_climatology`), so
        that no training row knows its own targets.
    """
    times = pd.DatetimeIndex([*block.steps.times, *block.steps.after(max(HORIZONS))[-max(HORIZONS) :]])
    seasons = season_count(block.steps.length)
    season = season_of(times, seasons)
    training = block.split.select(times, "train")
    fitted = block.ndvi[training[: len(block.ndvi)]]
    climatology = fit_climatology(fitted, season[training], seasons)
    normal = climatology.mean[season]
    known = np.convolve(training, np.ones(max(HORIZONS) + 1))[: len(times)] > 0  # training origins and their targets
    normal[known] = crossfit_climatology(fitted, times[training], season[training], seasons, at=times[known])
    return climatology, normal


def _observations(block: Block) -> dict[str, NDArray]:
    shape = block.ndvi.shape
    return {
        "ndvi": block.ndvi,
        "valid_fraction": block.valid_fraction,
        "is_gap": np.isnan(block.ndvi).astype(np.int32),
        "longitude": np.broadcast_to(block.longitude, shape),
        "latitude": np.broadcast_to(block.latitude, shape),
        "row": np.broadcast_to(block.row.astype(np.int32), shape),
        "col": np.broadcast_to(block.col.astype(np.int32), shape),
    }


def _inputs(block: Block, normal: Floats) -> dict[str, Floats]:
    """Compute the model inputs at every step; each looks at its own step and earlier ones only."""
    steps = len(block.ndvi)
    anomaly = block.ndvi - normal[:steps]
    last, age = last_observed(block.ndvi)
    angle = 2 * np.pi * year_fraction(block.steps.times)[:, None]
    return (
        {f"ndvi_anomaly_lag_{k}": np.nan_to_num(lagged(anomaly, k), nan=0.0) for k in LAGS}
        | {f"gap_lag_{k}": np.isnan(lagged(anomaly, k)).astype(float) for k in LAGS}
        | {f"ndvi_climatology_step_{h}": normal[h : steps + h] for h in HORIZONS}
        | {
            "ndvi_climatology_now": normal[:steps],
            "ndvi_last_observed": last,
            "season_sin": np.broadcast_to(np.sin(angle), age.shape),
            "season_cos": np.broadcast_to(np.cos(angle), age.shape),
            "steps_since_observation": age,
        }
    )


def _weather(block: Block) -> dict[str, Floats]:
    """Return the further inputs; those of a variable that the cube lacks are NaN throughout."""
    unknown = np.full(block.ndvi.shape, np.nan)
    return {
        f"{name}_anomaly_lag_{k}": np.nan_to_num(lagged(block.weather[name], k), nan=0.0)
        if name in block.weather
        else unknown
        for name in ("rain", "temperature")
        for k in LAGS
    }


def _rows(block: Block, keep: NDArray[np.bool_], columns: dict[str, NDArray]) -> pd.DataFrame:
    """Turn arrays of shape (steps, cells) into rows, ordered by cell and time."""
    kept = keep.T
    shape = keep.shape
    keys = {
        "cell_id": np.broadcast_to(block.cell_id, shape),
        "time": np.broadcast_to(block.steps.times.to_numpy(_STORED)[:, None], shape),
    }
    frame = pd.DataFrame({name: values.T[kept] for name, values in (keys | columns).items()})
    frame.insert(0, "cube", block.cube)
    return frame


def _climatology_rows(block: Block, climatology: Climatology) -> pd.DataFrame:
    known = np.isfinite(climatology.mean).T
    seasons = np.broadcast_to(np.arange(len(climatology.mean), dtype=np.int32)[:, None], climatology.mean.shape)
    frame = pd.DataFrame(
        {
            "cell_id": np.broadcast_to(block.cell_id, climatology.mean.shape).T[known],
            "season": seasons.T[known],
            "ndvi_mean": climatology.mean.T[known],
            "ndvi_std": climatology.std.T[known],
            "observations": climatology.observations.T[known].astype(np.int32),
            "fit_start": block.split.train_start.to_datetime64().astype(_STORED),
            "fit_end": block.split.train_end.to_datetime64().astype(_STORED),
        }
    )
    frame.insert(0, "cube", block.cube)
    return frame
