"""Predictions of a platform as collections, read through the ``hopsworks`` client like any user's.

A feature group whose name ends in ``_predictions`` is shown: each numeric column that is neither a key nor a version
is a layer. Where a group ``<use case>_targets`` holds what came true, under the same name without ``predicted_``, the
truth is a layer beside.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from deepcube.atlas.atlas import Collection, Shown
from deepcube.atlas.errors import AtlasError
from deepcube.atlas.tables import table_layers
from deepcube.cubes import Variable, slug

SUFFIX = "_predictions"
"""End of the names of feature groups that are shown."""

PREDICTED = "predicted_"
"""Start of the names of columns that a column of the truth belongs to."""

_VERSION = "model_version"
_PLACES = {"cell_id", "longitude", "latitude", "row", "col"}
_NUMBERS = ("double", "float", "int", "bigint", "smallint", "tinyint")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """The rows of one cube in a feature group of predictions, and what they were made with.

    Attributes
    ----------
    use_case : str
        Name of the use case, the group's without its end.
    group : object
        The feature group, as the client gives it.
    cube : str or None
        Name of the cube; None for a group of no cubes.
    rows : pandas.DataFrame
        Its rows.
    time : str
        Column of the times.
    """

    use_case: str
    group: Any
    cube: str | None
    rows: pd.DataFrame
    time: str

    @property
    def id(self) -> str:
        """Name in addresses."""
        return slug(f"{self.use_case}{SUFFIX}" + (f"_{self.cube}" if self.cube else ""))

    @property
    def model_versions(self) -> list[int]:
        """Versions of the model that made the rows."""
        if _VERSION not in self.rows:
            return []
        return sorted(int(version) for version in self.rows[_VERSION].dropna().unique())


def prediction_tables(store: Any) -> Iterator[PredictionTable]:
    """Return the tables of predictions in a feature store, one for each cube.

    Parameters
    ----------
    store : hsfs.feature_store.FeatureStore
        A feature store.
    """
    groups = [group for group in store.get_feature_groups() if group.name.endswith(SUFFIX) and group.event_time]
    newest: dict[str, Any] = {}
    for group in groups:
        if group.name not in newest or group.version > newest[group.name].version:
            newest[group.name] = group
    for name, group in sorted(newest.items()):
        try:
            rows = group.read()
        except Exception:  # the client raises many kinds; a group that has never been written has nothing to read
            _log.warning("the rows of %s could not be read", name, exc_info=True)
            continue
        use_case = name.removesuffix(SUFFIX)
        parts = [(None, rows)] if "cube" not in rows else list(rows.groupby("cube", sort=True))
        for cube, part in parts:
            if len(part):
                yield PredictionTable(use_case, group, None if cube is None else str(cube), part, group.event_time)


def prediction_collection(table: PredictionTable, store: Any) -> Collection:
    """Return a table of predictions as layers, with the truth beside where the platform has it.

    Parameters
    ----------
    table : PredictionTable
        Rows.
    store : hsfs.feature_store.FeatureStore
        The feature store that they are from.

    Raises
    ------
    AtlasError
        If the rows do not say where they are.
    """
    keys = {*table.group.primary_key, table.time, _VERSION, "cube", *_PLACES}
    features = {feature.name: feature for feature in table.group.features}
    drawn = [
        _variable(feature)
        for name, feature in features.items()
        if name not in keys and name in table.rows and str(feature.type) in _NUMBERS
    ]
    layers = dict(table_layers(table.rows, drawn, table.time))
    truth = _truth(table, [variable.name for variable in drawn], store)
    if truth is not None:
        layers |= table_layers(*truth, table.time)
    facts = {"feature group": f"{table.group.name} version {table.group.version}"}
    if table.model_versions:
        facts["model version"] = ", ".join(map(str, table.model_versions))
    title = f"{table.use_case.replace('_', ' ').capitalize()}: predictions" + (
        f" for {table.cube}" if table.cube else ""
    )
    shown = {name: Shown(layer) for name, layer in layers.items()}
    return Collection(table.id, title, shown, _simulated(table, store), facts, (), "predictions")


def load_predictions(project: Any) -> list[tuple[PredictionTable, Collection]]:
    """Return all predictions of a project that can be drawn.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    """
    store = project.get_feature_store()
    found = []
    for table in prediction_tables(store):
        try:
            found.append((table, prediction_collection(table, store)))
        except AtlasError as error:
            _log.warning("%s is not shown: %s", table.group.name, error)
    return found


def _variable(feature: Any, truth: bool = False) -> Variable:
    """Describe a column from its name and its description, which ends with the unit in parentheses."""
    text = str(feature.description or "")
    unit = re.search(r"\((?:unit )?([^()]*)\)[^()]*$", text)
    title = re.sub(r"\s*\([^()]*\)[^()]*$", "", text) or feature.name
    categorical = bool(re.search(r"(^|_)(class|alert|label|state)(_|$)", feature.name))
    return Variable(
        name=feature.name,
        grid="table",
        dims=("time", "y", "x"),
        units="" if unit is None else unit[1].partition(",")[0],
        long_name=title + (" (what came true)" if truth else ""),
        kind="categorical" if categorical else "continuous",
        dtype="float32",
    )


def _truth(table: PredictionTable, names: list[str], store: Any) -> tuple[pd.DataFrame, list[Variable]] | None:
    """Return what came true at the times and places of the predictions."""
    wanted = [name.removeprefix(PREDICTED) for name in names if name.startswith(PREDICTED)]
    if not wanted:
        return None
    try:
        group = store.get_feature_group(f"{table.use_case}_targets", version=table.group.version)
        known = {feature.name: feature for feature in group.features}
        held = [name for name in wanted if name in known]
        keys = [key for key in (*group.primary_key, group.event_time) if key in known]
        query = group.select([*dict.fromkeys([*keys, *held])])
        if table.cube is not None and "cube" in known:
            query = query.filter(group.get_feature("cube") == table.cube)
        rows = query.read()
    except Exception:  # no such group, or nothing in it: there is no truth to show
        return None
    stamps = pd.to_datetime(rows[group.event_time], utc=True)
    rows = rows[stamps >= pd.to_datetime(table.rows[table.time], utc=True).min()]
    rows = rows.rename(columns={group.event_time: table.time})
    rows = rows[np.isfinite(rows[held].to_numpy(float)).any(axis=1)] if held else rows[:0]
    return (rows, [_variable(known[name], truth=True) for name in held]) if len(rows) else None


def _simulated(table: PredictionTable, store: Any) -> bool:
    """Tell whether the cube is simulated, which the descriptions of what is made from it say."""
    described = [str(table.group.description or "")]
    if table.cube is not None:
        try:
            view = store.get_feature_view(f"{table.use_case}_{table.cube}")
            described = [str(getattr(view, "description", "") or "")]
        except Exception:  # no view of that name: the group's own description decides
            pass
    return any(text.upper().startswith("SIMULATED") for text in described)
