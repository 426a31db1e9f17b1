"""What batch inference of several use cases has in common: inputs by date, and cells on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd


def read_rows(view: Any, root: Any, keys: Sequence[str], start: pd.Timestamp, inputs: Sequence[str]) -> pd.DataFrame:
    """Read the model inputs of a feature view from a date on.

    Parameters
    ----------
    view : hsfs.feature_view.FeatureView
        The feature view.
    root : hsfs.feature_group.FeatureGroup
        The group that the others are joined to: its keys and times are wanted.
    keys : sequence of str
        Names of its keys.
    start : pandas.Timestamp
        First time wanted.
    inputs : sequence of str
        Names of the model inputs.

    Returns
    -------
    pandas.DataFrame
        Keys, ``time`` and model inputs.
    """
    rows = view.get_batch_data(start_time=start.to_pydatetime(), primary_key=True, event_time=True)
    # Joined groups share these keys, so the client puts project, group and version before their names.
    names = {f"{root.name}_{root.version}_{key}": key for key in (*keys, "time")}
    found = {column: key for column in rows.columns for suffix, key in names.items() if column.endswith(suffix)}
    return rows.rename(columns=found)[[*keys, "time", *inputs]]


def to_grid(table: pd.DataFrame, column: str, shape: tuple[int, int]) -> np.ndarray:
    """Put one value per cell onto a grid.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per cell, with its ``row`` and ``col`` in the grid.
    column : str
        The value to place.
    shape : tuple of int
        Rows and columns of the grid.

    Returns
    -------
    numpy.ndarray of float64, shape ``shape``
        NaN where there is no cell.
    """
    grid = np.full(shape, np.nan)
    grid[table["row"].to_numpy(int), table["col"].to_numpy(int)] = table[column].to_numpy(float)
    return grid
