"""Feature pipeline of the wildfire use case: a cube, or a table of fire days, becomes rows of the feature groups.

The same source written twice leaves the same rows. Everything is checked before the first row is written; what is
written is checked once more against the physical ranges by expectations, whose outcome the feature store keeps.
"""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from features import wildfire
from features.wildfire.expectations import attach_expectations

if TYPE_CHECKING:
    from hopsworks.project import Project

Progress = Callable[[float, str], None]
"""Told how much is done, from 0 to 1, and what is being done."""


def run(project: "Project", source: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Compute the wildfire features of a source and write them to the feature store.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    source : str
        ``"simulated"``, the path of a wildfire cube, or of a table of fire days; see
        :func:`features.wildfire.open_source`.
    progress : callable, optional
        Called as ``progress(fraction, message)``.

    Returns
    -------
    dict
        JSON-able summary: cube, source, simulated flag, feature groups with rows written, cases and fires by part,
        split, agreement of the fire weather codes with the source's own.

    Raises
    ------
    deepcube.cubes.CubeError
        If the source is neither, or something is wrong with it; nothing has been written then.
    """
    tell = progress or (lambda fraction, message: None)
    tell(0.0, f"simulating {source}" if source == wildfire.SIMULATED else f"opening {source}")
    with tempfile.TemporaryDirectory() as scratch:
        fires = wildfire.open_source(source, Path(scratch))
        places = wildfire.find_places(fires, source) if isinstance(fires, wildfire.FireCube) else pd.DataFrame()
        return {"source": source, **_write(project, fires, places, tell)}


def _write(
    project: "Project", fires: wildfire.FireCube | wildfire.FireDays, places: pd.DataFrame, tell: Progress
) -> dict[str, Any]:
    """Write all rows of a source, and whether it is simulated."""
    fs = project.get_feature_store()
    groups = {
        "targets": wildfire.targets_group(fs),
        "weather": wildfire.weather_group(fs),
        "surface": wildfire.surface_group(fs),
        "static": wildfire.static_group(fs),
    }
    rows = dict.fromkeys(groups, 0)
    newest: dict[str, pd.DataFrame] = {}
    counts: dict[str, dict[str, int]] = {}
    for number, tables in enumerate(fires.tables()):
        for step, (name, group) in enumerate(groups.items()):
            tell(0.5 + 0.4 * (number + step / len(groups)) / len(fires), f"writing {group.name}")
            table = getattr(tables, name)
            if len(table):
                attach_expectations(group, name)
                group.insert(table, storage="offline")
                rows[name] += len(table)
            newest[name] = _newest(newest.get(name), table)
        _count(counts, tables.targets)
    view = wildfire.feature_view(fs, fires.name, inputs=fires.inputs, simulated=fires.simulated)
    if len(places):
        groups["places"] = wildfire.places_group(fs)
        groups["places"].insert(places)
        rows["places"] = len(places)
    if fires.simulated:
        for group in groups.values():
            wildfire.label_simulated(group)

    tell(0.9, "writing the newest features online")
    for name in ("weather", "surface", "static"):
        if len(newest[name]):
            groups[name].insert(newest[name], storage="online", wait=True)
    tell(1.0, f"wrote {sum(rows.values())} rows of {fires.name}")
    return {
        "cube": fires.name,
        "simulated": fires.simulated,
        "feature_view": {"name": view.name, "version": view.version},
        "feature_groups": {groups[name].name: count for name, count in rows.items() if count},
        "inputs": len(fires.inputs),
        "cases": counts,
        "split": fires.split.isoformat() if isinstance(fires, wildfire.FireCube) else fires.split,
        "fwi_agreement": _agreement(fires),
        "places": len(places),
    }


def _newest(before: pd.DataFrame | None, table: pd.DataFrame) -> pd.DataFrame:
    """Return the newest row of every key; of what has no date, all rows."""
    both = table if before is None or before.empty else pd.concat([before, table], ignore_index=True)
    key = ["cube", "weather_cell" if "cell_id" not in both else "cell_id"]
    if "time" in both:
        both = both.sort_values("time", kind="stable")
    return both.drop_duplicates(key, keep="last").reset_index(drop=True)


def _count(counts: dict[str, dict[str, int]], targets: pd.DataFrame) -> None:
    for part, fire in targets.groupby("part")["fire"]:
        known = counts.setdefault(str(part), {"cases": 0, "fires": 0})
        known["cases"] += len(fire)
        known["fires"] += int((fire == 1).sum())


def _agreement(fires: wildfire.FireCube | wildfire.FireDays) -> dict[str, float]:
    found = {"fwi": fires.weather.agreement} if isinstance(fires, wildfire.FireCube) else fires.agreement
    return {name: round(value, 4) for name, value in found.items() if math.isfinite(value)}
