"""Predictions of a platform as collections, read through the ``hopsworks`` client like any user's.

A feature group whose rows tell a ``model_version`` is shown, if they also tell a time and a place: each column of
numbers, or of a few words, that is neither a key nor a version is a layer. A group is named after its use case
(``wildfire_danger``: danger of ``wildfire``). What has neither cell nor coordinates is drawn as points where a feature
group of places tells them; see :mod:`deepcube.atlas.pointtables`. Where the group ``<use case>_targets`` holds what
came true, under the same name without ``predicted_`` or ``_probability``, the truth is a layer beside.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from deepcube.atlas.atlas import Collection, Shown
from deepcube.atlas.colours import hex_colour, palette_table
from deepcube.atlas.errors import AtlasError, NotThereError
from deepcube.atlas.pointtables import located, moments, point_collection, point_layers, unplaced_note, with_labels
from deepcube.atlas.tables import TableLayer, table_layers
from deepcube.cubes import Variable, slug

PREDICTED, PROBABILITY = "predicted_", "_probability"
"""Start and end of the names of columns that a column of the truth belongs to."""

_VERSION, _WEIGHT = "model_version", "weight"
_PLACES = {"cell_id", "longitude", "latitude", "row", "col", "place", "district"}
_NUMBERS = ("double", "float", "int", "bigint", "smallint", "tinyint")
_MOST_WORDS = 12  # that a column of words is drawn with
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """The rows of one cube in a feature group of predictions, and what they were made with.

    Attributes
    ----------
    use_case : str
        Name of the use case, the group's without its last word.
    group : object
        The feature group, as the client gives it.
    cube : str or None
        Name of the cube; None for a group of no cubes.
    rows : pandas.DataFrame
        Its rows.
    time : str
        Column of the times.
    points : bool
        Whether the rows are points, not cells.
    note : str
        What of the group is not on the map, and why.
    """

    use_case: str
    group: Any
    cube: str | None
    rows: pd.DataFrame
    time: str
    points: bool = False
    note: str = ""

    @property
    def id(self) -> str:
        """Name in addresses."""
        return slug(self.group.name + (f"_{self.cube}" if self.cube else ""))

    def truth_of(self, column: str) -> str | None:
        """Return the name of the column of the truth that a column of predictions belongs to; None for others."""
        if column.startswith(PREDICTED):
            return column.removeprefix(PREDICTED)
        return column.removesuffix(PROBABILITY) if column.endswith(PROBABILITY) else None

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
    groups = [group for group in store.get_feature_groups() if _of_a_model(group)]
    newest: dict[str, Any] = {}
    for group in groups:
        if group.name not in newest or group.version > newest[group.name].version:
            newest[group.name] = group
    for name, group in sorted(newest.items()):
        use_case = name.rpartition("_")[0] or name
        points = not _on_cells(group)
        try:
            rows = group.read() if points else _placed(group.read(), use_case, store)
        except Exception:  # the client raises many kinds; a group that has never been written has nothing to read
            _log.warning("the rows of %s could not be read", name, exc_info=True)
            continue
        places = _places(use_case, store) if points else None
        parts = [(None, rows)] if "cube" not in rows else list(rows.groupby("cube", sort=True))
        for cube, part in parts:
            note = ""
            if places is not None:
                held = located(part, list(group.primary_key), places)
                note = unplaced_note(
                    name + (f" for {cube}" if cube else ""), len(part) - len(held), len(part), use_case
                )
                part = held
            if len(part) or note:
                named = None if cube is None else str(cube)
                yield PredictionTable(use_case, group, named, part, group.event_time, points, note)


def _of_a_model(group: Any) -> bool:
    """Tell whether a group's rows are of a model, at a time."""
    return bool(group.event_time) and _VERSION in {feature.name for feature in group.features}


def _on_cells(group: Any) -> bool:
    """Tell whether the rows name a cell, coordinates, or a place of the use case."""
    names = {feature.name for feature in group.features}
    return "cell_id" in names or {"longitude", "latitude"} <= names or bool(names & {"place", "district"})


def _places(use_case: str, store: Any) -> pd.DataFrame:
    """Return where the named things of a use case lie; no row where nothing tells it."""
    try:
        return pd.DataFrame(store.get_feature_group(f"{use_case}_places").read())
    except Exception:  # no such group, or nothing in it
        return pd.DataFrame(columns=["place", "name", "longitude", "latitude", "known_from"])


def _placed(rows: pd.DataFrame, use_case: str, store: Any) -> pd.DataFrame:
    """Return rows with the cell, or longitude and latitude, of the place or district that they name."""
    if "cell_id" in rows or {"longitude", "latitude"} <= set(rows):
        return rows
    if "place" in rows:
        known = store.get_feature_group(f"{use_case}_places").read()
        keys = [key for key in ("cube", "place") if key in rows and key in known]
        return rows.merge(known[[*keys, "longitude", "latitude"]], on=keys)
    cells = pd.to_numeric(rows["district"], errors="coerce")  # a district that is no polygon is named by its cell
    return rows[cells.notna()].assign(cell_id=rows["district"][cells.notna()].astype("int64"))


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
    if table.points:
        return _points(table, store)
    keys = {*table.group.primary_key, table.time, _VERSION, "cube", *_PLACES}
    features = {feature.name: feature for feature in table.group.features}
    named = {name: feature for name, feature in features.items() if name not in keys and name in table.rows}
    drawn = [_variable(feature) for feature in named.values() if str(feature.type) in _NUMBERS]
    if not drawn:
        raise NotThereError(f"{table.group.name} has no column of numbers; expected one to draw.")
    layers = dict(table_layers(table.rows, drawn, table.time))
    for name in (name for name, feature in named.items() if str(feature.type) == "string"):
        layers |= _words(table, features[name], drawn[0].name)
    truths = {layer: truth for layer in layers if (truth := table.truth_of(layer)) is not None}
    came = _truth(table, truths, store)
    if came is not None:
        known = table_layers(*came, table.time)
        weights = known.pop(_WEIGHT, None)
        for layer in known.values():
            layer.weights = None if weights is None else weights.values
        layers |= known
    truths = {layer: truth for layer, truth in truths.items() if truth in layers}
    kind = table.group.name.removeprefix(f"{table.use_case}_").replace("_", " ")
    title = f"{table.use_case.replace('_', ' ').capitalize()}: {kind}" + (f" for {table.cube}" if table.cube else "")
    shown = {name: Shown(layer) for name, layer in layers.items()}
    return Collection(table.id, title, shown, _simulated(table, store), _facts(table), (), "predictions", truths)


def _points(table: PredictionTable, store: Any) -> Collection:
    """Return a table of named things as layers of points."""
    if not len(table.rows):
        raise NotThereError(table.note)
    keys = {*table.group.primary_key, table.time, _VERSION, "cube", *_PLACES}
    drawn = [_variable(each) for each in table.group.features if each.name not in keys and str(each.type) in _NUMBERS]
    rows = with_labels(
        table.rows.reset_index(drop=True),
        list(table.group.primary_key),
        [each.name for each in drawn],
        table.use_case,
        store,
    )
    layers = point_layers(rows, drawn, moments(rows, table.time))
    if not layers:
        raise NotThereError(f"{table.group.name} has no column of numbers; expected one to draw.")
    simulated = _simulated(table, store)
    return point_collection(table.use_case, table.group.name, table.cube, layers, _facts(table), table.note, simulated)


def _facts(table: PredictionTable) -> dict[str, str]:
    facts = {"feature group": f"{table.group.name} version {table.group.version}"}
    if table.model_versions:
        facts["model version"] = ", ".join(map(str, table.model_versions))
    return facts


def load_predictions(
    project: Any, tell: Callable[[str], None] = lambda note: None
) -> list[tuple[PredictionTable, Collection]]:
    """Return all predictions of a project that can be drawn.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    tell : callable
        Told what is not on the map, and why.
    """
    store = project.get_feature_store()
    found = []
    for table in prediction_tables(store):
        if table.note:
            tell(table.note)
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
    categorical = bool(re.search(r"(^|_)(class|alert|alarm|label|state)(_|$)", feature.name))
    return Variable(
        name=feature.name,
        grid="table",
        dims=("time", "y", "x"),
        units="" if unit is None else unit[1].partition(",")[0],
        long_name=title + (" (what came true)" if truth else ""),
        kind="categorical" if categorical else "continuous",
        dtype="float32",
    )


def _words(table: PredictionTable, feature: Any, ranked_by: str) -> dict[str, TableLayer]:
    """Return a column of a few words as classes, in the order of the mean of a column of numbers; else nothing."""
    words = table.rows[feature.name]
    means = table.rows.groupby(words)[ranked_by].mean().sort_values()
    if not 0 < len(means) <= _MOST_WORDS:
        return {}
    known = [str(word) for word in means.index]
    numbers = words.map({word: number for number, word in enumerate(known)})
    variable = replace(_variable(feature), kind="categorical")
    layers = table_layers(table.rows.assign(**{feature.name: numbers.astype("float32")}), [variable], table.time)
    table_of = palette_table("YlOrRd")
    shares = np.linspace(0.08, 1, len(known)) * (len(table_of) - 1)
    layers[feature.name].attrs = {
        "flag_values": list(range(len(known))),
        "flag_meanings": " ".join(re.sub(r"\s+", "_", word) for word in known),
        "flag_colors": " ".join(hex_colour(table_of[int(share)]) for share in shares),
    }
    return layers


def _truth(table: PredictionTable, truths: Mapping[str, str], store: Any) -> tuple[pd.DataFrame, list[Variable]] | None:
    """Return what came true at the times and places of the predictions."""
    wanted = list(dict.fromkeys(truths.values()))
    if not wanted:
        return None
    try:
        group = store.get_feature_group(f"{table.use_case}_targets", version=table.group.version)
        known = {feature.name: feature for feature in group.features}
        held = [name for name in wanted if name in known]
        keys = [key for key in (*group.primary_key, group.event_time) if key in known]
        weight = [_WEIGHT] if _WEIGHT in known else []
        query = group.select([*dict.fromkeys([*keys, *held, *weight])])
        if table.cube is not None and "cube" in known:
            query = query.filter(group.get_feature("cube") == table.cube)
        rows = query.read()
    except Exception:  # no such group, or nothing in it: there is no truth to show
        return None
    stamps = pd.to_datetime(rows[group.event_time], utc=True)
    rows = rows[stamps >= pd.to_datetime(table.rows[table.time], utc=True).min()]
    rows = rows.rename(columns={group.event_time: table.time})
    for name in held:
        if f"{name}{PROBABILITY}" in truths:
            rows[name] = rows[name].where(rows[name] >= 0)  # below zero: not known yet
    rows = rows[np.isfinite(rows[held].to_numpy(float)).any(axis=1)] if held else rows[:0]
    return (rows, [_variable(known[name], truth=True) for name in (*held, *weight)]) if len(rows) else None


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
