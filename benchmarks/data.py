"""Seeded tables for the benchmarks of the embedded Hopsworks."""

from __future__ import annotations

import numpy as np
import pandas as pd

_START = np.datetime64("2024-01-01", "us")
_YEAR_SECONDS = 365 * 86400


def wide(rows: int, features: int = 9, seed: int = 7, start: int = 0) -> pd.DataFrame:
    """Return a table of ``rows`` entities with one event time and float64 features.

    Parameters
    ----------
    rows : int
        Number of rows; keys are ``start ... start + rows - 1``.
    features : int
        Number of feature columns ``f0 ...``.
    """
    random = np.random.default_rng([seed, 3, rows, start])
    table = {"entity_id": np.arange(start, start + rows, dtype=np.int64), "event_time": _times(random, rows)}
    table |= {f"f{i}": random.normal(size=rows) for i in range(features)}
    return pd.DataFrame(table)


def point_in_time_group(number: int, entities: int, per_entity: int, seed: int = 7) -> pd.DataFrame:
    """Return a feature group with irregular event times, unique per entity, in random order; 1 % of entities absent."""
    random = np.random.default_rng([seed, 1, number])
    counts = random.poisson(per_entity, entities)
    counts[random.random(entities) < 0.01] = 0
    entity = np.repeat(np.arange(entities, dtype=np.int64), counts)
    key = np.unique(entity * _YEAR_SECONDS + random.integers(0, _YEAR_SECONDS, entity.size))
    key = random.permutation(key)
    table = {"entity_id": key // _YEAR_SECONDS, "event_time": _at(key % _YEAR_SECONDS * 1_000_000)}
    table |= {f"g{number}_f{i}": random.normal(size=key.size) for i in range(3)}
    return pd.DataFrame(table)


def spine(rows: int, entities: int, seed: int = 7) -> pd.DataFrame:
    """Return label rows with unique (entity, event time)."""
    random = np.random.default_rng([seed, 2, rows])
    key = np.empty(0, np.int64)
    year = _YEAR_SECONDS * 1_000_000
    while key.size < rows:
        more = random.integers(0, entities, rows) * year + random.integers(0, year, rows)
        key = np.unique(np.concatenate([key, more]))
    key = random.permutation(key)[:rows]
    return pd.DataFrame(
        {
            "row_id": np.arange(rows, dtype=np.int64),
            "entity_id": key // year,
            "event_time": _at(key % year),
            "label": random.normal(size=rows),
        }
    )


def _times(random: np.random.Generator, rows: int) -> np.ndarray:
    return _at(random.integers(0, _YEAR_SECONDS, rows) * 1_000_000)


def _at(microseconds: np.ndarray) -> np.ndarray:
    return _START + microseconds.astype("timedelta64[us]")
