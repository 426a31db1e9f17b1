"""Rows of the drought feature groups: definitions, gaps, and no leakage from the future."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deepcube.cubes import fit_climatology, native_steps, season_of
from features import drought
from features.drought import schema

TIMES = pd.date_range("2001-01-01", periods=150, freq="16D")
SPLIT = drought.time_split(TIMES)
CELLS = 2
FEW = settings(max_examples=20)
seeds = st.integers(0, 2**32 - 1)


def series(seed: int, gaps: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = (
        0.5 + 0.3 * np.sin(2 * np.pi * TIMES.dayofyear.to_numpy() / 365.25)[:, None] + rng.normal(0, 0.1, (150, CELLS))
    )
    return np.where(rng.random(values.shape) < gaps, np.nan, values)


def block(values: np.ndarray) -> drought.Block:
    return drought.Block(
        cube="test",
        steps=native_steps(TIMES),
        split=SPLIT,
        ndvi=values,
        valid_fraction=np.isfinite(values).astype(float),
        cell_id=np.array([5, 9]),
        longitude=np.array([40.0, 41.0]),
        latitude=np.array([1.0, 1.0]),
        row=np.array([0, 0]),
        col=np.array([0, 1]),
    )


def tables(values: np.ndarray) -> drought.Tables:
    return drought.compute_tables(block(values))


def inputs(values: np.ndarray, until: pd.Timestamp | None = None) -> pd.DataFrame:
    rows = tables(values).features.set_index(["cell_id", "time"])[drought.FEATURE_NAMES]
    return rows if until is None else rows[rows.index.get_level_values("time") <= until]


def held_out(part: str) -> np.ndarray:
    return SPLIT.select(TIMES, part)


@FEW
@given(seeds, st.integers(0, 20))
def test_held_out_features_do_not_depend_on_what_comes_after(seed: int, back: int) -> None:
    values = series(seed)
    at = int(np.flatnonzero(held_out("test"))[-1]) - back
    changed = values.copy()
    changed[at + 1 :] = -0.3
    pd.testing.assert_frame_equal(inputs(changed, TIMES[at]), inputs(values, TIMES[at]))


@FEW
@given(seeds, st.integers(6, 149))
@example(0, 98)  # an origin of the training period whose targets lie on both sides of its end
def test_no_row_knows_what_comes_next(seed: int, at: int) -> None:
    """Also in the training period, whose climatology is fitted on later years, too."""
    values = series(seed, gaps=0.0)
    changed = values.copy()
    changed[at + 1 : at + 5] = 9.0  # the three targets and one step more
    keys = [(cell, TIMES[at]) for cell in (5, 9)]
    pd.testing.assert_frame_equal(inputs(changed).loc[keys], inputs(values).loc[keys], atol=1e-12, rtol=0)


@FEW
@given(seeds)
def test_climatology_comes_from_training_years_only(seed: int) -> None:
    values = series(seed)
    changed = np.where(held_out("train")[:, None], values, 7.0)
    pd.testing.assert_frame_equal(tables(changed).climatology, tables(values).climatology)
    pd.testing.assert_frame_equal(
        inputs(changed)[drought.CLIMATOLOGY].loc[5], inputs(values)[drought.CLIMATOLOGY].loc[5], check_freq=False
    )


@FEW
@given(seeds)
def test_targets_are_the_ndvi_that_came_true(seed: int) -> None:
    values = series(seed)
    found = tables(values)
    observed = found.ndvi.set_index(["cell_id", "time"])["ndvi"]
    targets = found.targets.set_index(["cell_id", "time"])
    for h in drought.HORIZONS:
        later = [(cell, time + pd.Timedelta(days=16 * h)) for cell, time in targets.index]
        np.testing.assert_array_equal(targets[f"ndvi_step_{h}"], observed.reindex(later))


@FEW
@given(seeds, st.sampled_from([0.0, 0.3, 0.9]))
def test_inputs_are_complete_and_keyed_like_targets(seed: int, gaps: float) -> None:
    found = tables(series(seed, gaps))
    keys = ["cube", "cell_id", "time"]
    assert not found.features.isna().any(axis=None)
    pd.testing.assert_frame_equal(found.features[keys], found.targets[keys])
    assert not found.features.duplicated(keys).any()
    assert found.features.merge(found.ndvi[keys], on=keys).shape[0] == len(found.features)


@FEW
@given(seeds)
def test_gaps_are_flagged_and_normal(seed: int) -> None:
    values = series(seed, gaps=0.5)
    rows = inputs(values)
    for (cell, time), row in rows.sample(20, random_state=0).iterrows():
        column, at = {5: 0, 9: 1}[cell], int(TIMES.get_loc(time))
        seen = np.flatnonzero(np.isfinite(values[: at + 1, column]))
        assert row["steps_since_observation"] == at - seen[-1]
        assert row["ndvi_last_observed"] == values[seen[-1], column]
        for k in drought.LAGS:
            gap = at - k < 0 or np.isnan(values[at - k, column])
            assert row[f"gap_lag_{k}"] == float(gap)
            if gap:
                assert row[f"ndvi_anomaly_lag_{k}"] == 0.0


def test_held_out_anomalies_are_departures_from_the_training_climatology() -> None:
    values = series(3)
    rows = inputs(values)
    train = held_out("train")
    season = season_of(TIMES, 23)
    normal = fit_climatology(values[train], season[train], 23).mean
    at = int(np.flatnonzero(held_out("test"))[5])
    row = rows.loc[(9, TIMES[at])]
    for k in drought.LAGS:
        if np.isfinite(values[at - k, 1]):
            assert np.isclose(row[f"ndvi_anomaly_lag_{k}"], values[at - k, 1] - normal[season[at - k], 1])
    for h, name in zip(drought.HORIZONS, drought.CLIMATOLOGY, strict=True):
        assert np.isclose(row[name], normal[season[at + h], 1])
    assert np.isclose(row["ndvi_climatology_now"], normal[season[at], 1])
    assert np.isclose(row["season_sin"] ** 2 + row["season_cos"] ** 2, 1.0)


def test_rows_start_with_the_first_observation_and_end_with_the_cube() -> None:
    values = series(4, gaps=0.0)
    values[:30, 0] = np.nan
    found = tables(values)
    first = found.ndvi.groupby("cell_id")["time"].min()
    assert (first.loc[5], first.loc[9]) == (TIMES[30], TIMES[0])
    assert found.features.groupby("cell_id")["time"].max().tolist() == [TIMES[-1]] * 2
    assert found.targets[drought.LABELS].iloc[-1].isna().all()


def test_cell_without_training_observation_has_observations_only() -> None:
    values = series(5, gaps=0.0)
    values[held_out("train"), 0] = np.nan
    found = tables(values)
    assert set(found.ndvi["cell_id"]) == {5, 9}
    for frame in (found.climatology, found.features, found.targets):
        assert set(frame["cell_id"]) == {9}


def test_climatology_rows_state_their_fit() -> None:
    found = tables(series(6)).climatology
    assert sorted(found["season"].unique()) == list(range(23))
    assert (found["fit_start"] == SPLIT.train_start).all() and (found["fit_end"] == SPLIT.train_end).all()
    assert (found["observations"] >= 5).all() and (found["ndvi_std"] > 0).all()


def test_latest_rows_are_the_newest_of_every_cell() -> None:
    rows = tables(series(7)).features.sample(frac=1, random_state=1)
    newest = drought.latest_rows(rows)
    assert sorted(newest["cell_id"]) == [5, 9]
    assert (newest["time"] == TIMES[-1]).all()


def test_tables_have_the_columns_of_their_schemas() -> None:
    found = tables(series(8))
    types = {"string": "O", "bigint": "i8", "int": "i4", "double": "f8", "timestamp": "M8[us]"}
    for frame, columns in (
        (found.ndvi, (*schema._KEY_COLUMNS, schema._TIME, *schema._NDVI_COLUMNS)),
        (found.climatology, schema._KEY_COLUMNS + schema._CLIMATOLOGY_COLUMNS),
        (found.features, (*schema._KEY_COLUMNS, schema._TIME, *schema._INPUT_COLUMNS)),
        (found.targets, (*schema._KEY_COLUMNS, schema._TIME, *schema._TARGET_COLUMNS)),
    ):
        assert list(frame.columns) == [column.name for column in columns]
        for column in columns:
            assert frame[column.name].dtype.str[1:] == types[column.type], column
            assert len(column.description) > 20


def test_names_are_wanted_without_the_client() -> None:
    """Importing the client takes seconds that a script without the platform need not wait."""
    code = "import sys, features.drought; sys.exit('hsfs' in sys.modules or 'tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
