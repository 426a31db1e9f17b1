"""From the NDVI series of a block of cells to the rows of the four feature groups."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepcube.cubes import (
    Climatology,
    Steps,
    TimeSplit,
    ahead,
    fit_climatology,
    lagged,
    last_observed,
    season_count,
    season_of,
    year_fraction,
)
from features.drought.schema import HORIZONS, KEYS, LAGS

Floats = NDArray[np.float64]


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


@dataclass(frozen=True, eq=False)
class Tables:
    """Rows of the four feature groups, one data frame each, with the columns of their schemas."""

    ndvi: pd.DataFrame
    climatology: pd.DataFrame
    features: pd.DataFrame
    targets: pd.DataFrame


def compute_tables(block: Block) -> Tables:
    """Compute the rows of the four feature groups for a block of cells.

    A cell has rows from its first valid observation on. A cell that was never observed in the training period has no
    climatology, hence no features and no targets; its observations are kept.

    Parameters
    ----------
    block : Block
        NDVI of the cells.

    Returns
    -------
    Tables
        Features and targets have the same keys: one row per forecast origin, up to the last step of the cube.
    """
    seasons = season_count(block.steps.length)
    climatology = _climatology(block, seasons)
    last, age = last_observed(block.ndvi)
    observed = np.isfinite(age)
    origins = observed & np.isfinite(climatology.mean[0])
    return Tables(
        ndvi=_rows(block, observed, _observations(block)),
        climatology=_climatology_rows(block, climatology),
        features=_rows(block, origins, _inputs(block, climatology, seasons, last, age)),
        targets=_rows(block, origins, {f"ndvi_step_{h}": ahead(block.ndvi, h) for h in HORIZONS}),
    )


def latest_rows(features: pd.DataFrame) -> pd.DataFrame:
    """Return the newest row of every cell: what the online store serves."""
    return features.loc[features.groupby(KEYS, sort=False)["time"].idxmax()].reset_index(drop=True)


def _climatology(block: Block, seasons: int) -> Climatology:
    """Fit on the training period; the validation and test periods and the embargo between them are never seen."""
    training = block.split.select(block.steps.times, "train")
    return fit_climatology(block.ndvi[training], season_of(block.steps.times, seasons)[training], seasons)


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


def _inputs(block: Block, climatology: Climatology, seasons: int, last: Floats, age: Floats) -> dict[str, NDArray]:
    """Compute the model inputs at every step; each looks at its own step and earlier ones only."""
    normal = climatology.mean[season_of(block.steps.times, seasons)]
    anomaly = block.ndvi - normal
    columns: dict[str, NDArray] = {}
    for k in LAGS:
        columns[f"ndvi_anomaly_lag_{k}"] = np.nan_to_num(lagged(anomaly, k), nan=0.0)
    for k in LAGS:
        columns[f"gap_lag_{k}"] = np.isnan(lagged(anomaly, k)).astype(float)
    for h in HORIZONS:
        columns[f"ndvi_climatology_step_{h}"] = climatology.mean[season_of(block.steps.after(h), seasons)]
    angle = 2 * np.pi * year_fraction(block.steps.times)[:, None]
    return columns | {
        "ndvi_climatology_now": normal,
        "ndvi_last_observed": last,
        "season_sin": np.broadcast_to(np.sin(angle), age.shape),
        "season_cos": np.broadcast_to(np.cos(angle), age.shape),
        "steps_since_observation": age,
    }


def _rows(block: Block, keep: NDArray[np.bool_], columns: dict[str, NDArray]) -> pd.DataFrame:
    """Turn arrays of shape (steps, cells) into rows, ordered by cell and time."""
    kept = keep.T
    shape = keep.shape
    keys = {
        "cell_id": np.broadcast_to(block.cell_id, shape),
        "time": np.broadcast_to(block.steps.times.to_numpy("datetime64[ns]")[:, None], shape),
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
            "fit_start": block.split.train_start,
            "fit_end": block.split.train_end,
        }
    )
    frame.insert(0, "cube", block.cube)
    return frame
