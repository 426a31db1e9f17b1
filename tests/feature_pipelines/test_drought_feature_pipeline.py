"""The feature pipeline of the drought use case, through the real client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcube.cubes import CubeError
from feature_pipelines import drought as pipeline
from features import drought
from features.drought import source as source_module

pytestmark = pytest.mark.e2e

GROUPS = ["drought_ndvi", "drought_climatology", "drought_targets", "drought_features"]


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    """Write six years of 16-day NDVI with gaps, times 10,000, on 12 pixels."""
    rng = np.random.default_rng(5)
    times = pd.date_range("2001-01-01", periods=140, freq="16D")
    values = 0.5 + 0.3 * np.sin(2 * np.pi * times.dayofyear.to_numpy() / 365.25)[:, None, None]
    values = values + rng.normal(0, 0.05, (len(times), 4, 3))
    values[rng.random(values.shape) < 0.1] = np.nan
    data = xr.Dataset(
        {"NDVI": (("time", "lat", "lon"), values * 10_000)},
        {"time": times, "lat": 0.05 * np.arange(4), "lon": 42 + 0.05 * np.arange(3)},
        {"simulated": "true"},
    )
    data.to_netcdf(tmp_path / "jubba.nc")
    return tmp_path / "jubba.nc"


def rows(project: Any, name: str, keys: list[str]) -> pd.DataFrame:
    frame = project.get_feature_store().get_feature_group(name, 1).read()
    return frame.sort_values(keys, ignore_index=True)[sorted(frame.columns)]


def everything(project: Any) -> dict[str, pd.DataFrame]:
    keys = ["cube", "cell_id"]
    return {name: rows(project, name, [*keys, "season" if "clim" in name else "time"]) for name in GROUPS}


def test_bad_input_writes_nothing(project: Any, cube: Path) -> None:
    """First in this module: the feature store is still empty."""
    data = xr.load_dataset(cube)
    for name, damaged in {
        "gaps": data.assign(NDVI=data["NDVI"] * np.nan),
        "twice": data.isel(time=[0, 0, *range(2, 140)]),
        "other": data.rename(NDVI="albedo").assign(other=data["NDVI"]),
    }.items():
        damaged.to_netcdf(cube.parent / f"{name}.nc")
        with pytest.raises(CubeError):
            pipeline.run(project, str(cube.parent / f"{name}.nc"))
    with pytest.raises(CubeError, match="nothing at"):
        pipeline.run(project, str(cube.parent / "nowhere.nc"))
    store = project.get_feature_store()
    assert store.get_feature_groups() == []


def test_a_cube_becomes_four_feature_groups(project: Any, cube: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "BLOCK_VALUES", 2 * 3 * 140)  # two blocks of two rows
    told: list[tuple[float, str]] = []
    summary = pipeline.run(project, str(cube), progress=lambda fraction, message: told.append((fraction, message)))

    assert json.loads(json.dumps(summary)) == summary
    assert summary["cube"] == "jubba" and summary["simulated"] is True and summary["step_days"] == 16
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and (fractions[0], fractions[-1]) == (0.0, 1.0)

    view = project.get_feature_store().get_feature_view("drought_jubba", 1)
    assert summary["feature_view"] == {"name": view.name, "version": view.version} and drought.is_simulated(view)

    written = everything(project)
    assert {name: len(frame) for name, frame in written.items()} == summary["feature_groups"]
    parts = [drought.compute_tables(block) for block in drought.open_source(str(cube)).blocks()]
    assert len(parts) == 2
    for name in GROUPS:
        table = pd.concat([getattr(part, name.removeprefix("drought_")) for part in parts])
        table = table.sort_values(["cell_id", "season" if "clim" in name else "time"], ignore_index=True)
        found = written[name]
        for column in table.columns:
            if table[column].dtype.kind == "M":
                assert (pd.to_datetime(found[column]).to_numpy("M8[us]") == table[column].to_numpy("M8[us]")).all()
            elif table[column].dtype.kind == "f":
                np.testing.assert_array_equal(found[column].to_numpy(float), table[column].to_numpy(float))
            else:
                assert (found[column].to_numpy() == table[column].to_numpy()).all()

    before = written
    pipeline.run(project, str(cube))
    for name, frame in everything(project).items():
        pd.testing.assert_frame_equal(frame, before[name])


def test_every_feature_is_described(project: Any) -> None:
    store = project.get_feature_store()
    for name in GROUPS:
        group = store.get_feature_group(name, 1)
        assert group.description
        assert all(feature.description for feature in group.columns), name
        assert group.online_enabled == (name in ("drought_features", "drought_targets"))


def test_view_holds_inputs_and_labels_of_one_cube(project: Any, shared_data: Path) -> None:
    summary = pipeline.run(project, str(shared_data / "bfast-modis" / "modisraster.tif"))
    assert summary["feature_groups"] == {
        "drought_ndvi": 6875,
        "drought_climatology": 575,
        "drought_targets": 6875,
        "drought_features": 6875,
    }
    view = drought.feature_view(project.get_feature_store(), "modisraster")
    assert summary["simulated"] is False and not drought.is_simulated(view)
    dates = {name: date.replace("T", " ") for name, date in summary["split"].items()}
    parts = view.train_validation_test_split(**dates)
    assert [len(part) for part in parts[:3]] == [5050, 500, 1175]
    for inputs, labels in zip(parts[:3], parts[3:], strict=True):
        assert list(inputs.columns) == drought.FEATURE_NAMES
        assert list(labels.columns) == drought.LABELS
        assert not inputs.isna().any(axis=None)
    error = parts[2][drought.CLIMATOLOGY].to_numpy() - parts[5][drought.LABELS].to_numpy()
    assert 0.10 < np.sqrt(np.nanmean(error**2)) < 0.15  # the baseline comes out of the view


def test_online_store_serves_the_newest_step(project: Any, shared_data: Path) -> None:
    modis = drought.open_source(str(shared_data / "bfast-modis" / "modisraster.tif"))
    newest = drought.latest_rows(drought.compute_tables(next(modis.blocks())).features)
    view = drought.feature_view(project.get_feature_store(), "modisraster")
    row = newest.iloc[7]
    vector = view.get_feature_vector({"cube": "modisraster", "cell_id": int(row["cell_id"])}, return_type="pandas")
    found = vector[drought.FEATURE_NAMES].iloc[0].to_numpy(float)
    np.testing.assert_allclose(found, row[drought.FEATURE_NAMES].to_numpy(float))


def test_weather_of_a_coarser_daily_grid_joins_the_inputs(
    project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(source_module._SIMULATION, "side", 6)
    summary = pipeline.run(project, "simulated")
    assert summary["cube"] == "simulated_drought" and summary["simulated"] is True
    assert summary["weather"] == ["rain", "temperature", "spi"]
    for group in ("drought_weather", "drought_spi"):
        assert summary["feature_groups"][group] == summary["feature_groups"]["drought_features"]
    store = project.get_feature_store()
    assert drought.SIMULATED_LABEL in store.get_feature_group("drought_weather", 1).description
    view = drought.feature_view(store, "simulated_drought")
    rows = view.get_batch_data(primary_key=False)
    assert list(rows.columns) == [*drought.FEATURE_NAMES, *drought.EXTRA_UNITS]
    assert not rows.isna().any(axis=None) and len(rows) == summary["feature_groups"]["drought_weather"]
    assert rows["rain_anomaly_lag_0"].std() > 1 and 0.1 < rows["temperature_anomaly_lag_0"].std() < 5

    source = drought.open_source("simulated", tmp_path)
    tables = drought.compute_tables(next(source.blocks()))
    newest = drought.latest_rows(tables.weather).merge(drought.latest_rows(tables.spi)).iloc[7]
    key = {"cube": "simulated_drought", "cell_id": int(newest["cell_id"])}
    vector = view.get_feature_vector(key, return_type="pandas").iloc[0]
    names = list(drought.EXTRA_UNITS)
    np.testing.assert_allclose(vector[names].to_numpy(float), newest[names].to_numpy(float))
