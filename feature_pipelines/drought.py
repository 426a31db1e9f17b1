"""Feature pipeline of the drought use case: a cube becomes rows of four feature groups, or more with weather.

Beside them it leaves a minicube, all that the cube knows as one block, in the project's files.

The same source written twice leaves the same rows. Everything is checked before the first row is written.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from deepcube.oblivious import upload_files
from features import drought
from features.drought.minicube import MINICUBE_FILE, make_minicube

if TYPE_CHECKING:
    from hopsworks.project import Project

Progress = Callable[[float, str], None]
"""Told how much is done, from 0 to 1, and what is being done."""


def run(project: "Project", source: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Compute the drought features of a cube and write them to the feature store.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    source : str
        ``"sample"``, ``"simulated"``, or the path of a GeoTIFF stack, NetCDF file or Zarr store; see
        :func:`features.drought.open_source`.
    progress : callable, optional
        Called as ``progress(fraction, message)``.

    Returns
    -------
    dict
        JSON-able summary: cube, source, simulated flag, feature groups with rows written, cells, dates, step, split.

    Raises
    ------
    deepcube.cubes.CubeError
        If the source is no cube with NDVI; nothing has been written then.
    """
    tell = progress or (lambda fraction, message: None)
    tell(0.0, f"opening {source}")
    with tempfile.TemporaryDirectory() as scratch:
        ndvi = drought.open_source(source, Path(scratch))
        written = _write(project, ndvi, tell)
        tell(0.95, "writing the minicube")
        path = Path(scratch) / MINICUBE_FILE
        make_minicube(ndvi).to_netcdf(path)
        upload_files(project, [path], f"Resources/drought/{ndvi.cube.name}")
        tell(1.0, f"wrote {sum(written['feature_groups'].values())} rows of {ndvi.cube.name}")
        return {"source": source, **written}


def _write(project: "Project", ndvi: drought.NdviSource, tell: Progress) -> dict[str, Any]:
    """Write all rows of a source, and whether it is simulated."""
    fs = project.get_feature_store()
    groups = {
        "ndvi": drought.ndvi_group(fs),
        "climatology": drought.climatology_group(fs),
        "targets": drought.targets_group(fs),
        "features": drought.features_group(fs),
    }
    if ndvi.weather:
        groups["weather"] = drought.weather_group(fs)
        if ndvi.weather.spi:
            groups["spi"] = drought.spi_group(fs)

    rows = dict.fromkeys(groups, 0)
    newest: dict[str, list[pd.DataFrame]] = {name: [] for name in ("features", "weather", "spi") if name in groups}
    for number, block in enumerate(ndvi.blocks()):
        tables = drought.compute_tables(block)
        for step, (name, group) in enumerate(groups.items()):
            tell((number + step / len(groups)) / (len(ndvi) + 0.2), f"writing {group.name}")
            table = getattr(tables, name)
            group.insert(table, storage="offline" if group.online_enabled else None)
            rows[name] += len(table)
        for name, held in newest.items():
            held.append(drought.latest_rows(getattr(tables, name)))
    if ndvi.cube.simulated:
        for group in groups.values():
            drought.label_simulated(group)
    weather = [*sorted(ndvi.weather.anomalies), *(["spi"] if ndvi.weather.spi else [])] if ndvi.weather else []
    view = drought.feature_view(fs, ndvi.cube.name, simulated=ndvi.cube.simulated, weather=weather)

    tell(len(ndvi) / (len(ndvi) + 0.2), "writing the newest features online")
    for name, held in newest.items():
        groups[name].insert(pd.concat(held, ignore_index=True), storage="online", wait=True)
    return {
        "cube": ndvi.cube.name,
        "simulated": ndvi.cube.simulated,
        "feature_view": {"name": view.name, "version": view.version},
        "feature_groups": {group.name: rows[name] for name, group in groups.items()},
        "weather": weather,
        "cells": int(ndvi.cell_id.size),
        "cell_level": ndvi.level,
        "steps": len(ndvi.steps.times),
        "step_days": ndvi.steps.length / pd.Timedelta(days=1),
        "first": ndvi.steps.times[0].isoformat(),
        "last": ndvi.steps.times[-1].isoformat(),
        "split": ndvi.split.isoformat(),
    }
