"""The wildfire feature groups and views: keys, units, physical ranges.

Groups keep the resolutions of their sources: weather is keyed by the cell of its own coarse grid, everything else by
the cell of the fire grid. What a source does not have stays null, and its view leaves it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from features.wildfire.layout import (
    CODES,
    HUMAN,
    LAND_COVER,
    NEIGHBOURHOOD,
    SEASON,
    SURFACE,
    TERRAIN,
    VEGETATION,
    WEATHER,
    lagged_names,
    patch_names,
    plain_names,
    quantity_of,
)

if TYPE_CHECKING:
    from hsfs.feature_group import FeatureGroup
    from hsfs.feature_store import FeatureStore
    from hsfs.feature_view import FeatureView

VERSION = 1
"""Version of the feature groups and views."""

KEYS = ["cube", "cell_id"]
"""Primary key of everything but the weather."""

WEATHER_KEYS = ["cube", "weather_cell"]
"""Primary key of the weather."""

LABEL = "fire"
"""Name of the target: 1 where the cell burns on the target date."""

HELPERS = ["weight", "part", "weather_cell"]
"""What training needs beside inputs and label; no model input."""

PARTS = ("train", "validation", "test", "test_known")
"""Parts of the cases; see :mod:`features.wildfire.cases`."""

SIMULATED_LABEL = "SIMULATED DATA"
"""Words that the description of every feature view over a simulated cube begins with."""

WEATHER_INPUTS = [*lagged_names(WEATHER), *plain_names(CODES, SEASON)]
"""Inputs in ``wildfire_weather``."""

SURFACE_INPUTS = [*lagged_names(SURFACE), *plain_names(VEGETATION), *patch_names(NEIGHBOURHOOD[-1:])]
"""Inputs in ``wildfire_surface``."""

STATIC_INPUTS = [*plain_names(TERRAIN, HUMAN, LAND_COVER), *patch_names(NEIGHBOURHOOD[:-1])]
"""Inputs in ``wildfire_static``."""

INPUTS = [*WEATHER_INPUTS, *SURFACE_INPUTS, *STATIC_INPUTS]
"""All model inputs, in the order that models know them in."""

_KEY = (
    ("cube", "string", "Name of the cube or table"),
    ("cell_id", "bigint", "Cell of the pixel: HEALPix nested on WGS84, level encoded in the id (zuniq)"),
)
_WEATHER_KEY = ("weather_cell", "bigint", "Cell of the pixel of the weather grid that the cell lies in")
_TIME = (
    "time",
    "timestamp",
    "Day that the forecast is made on, UTC: everything known at its end. Of tables without a year a nominal date",
)
_TARGET_COLUMNS = (
    (LABEL, "int", "1 where the cell burns on the target date: the next day, in tables of fire days the same (flag)"),
    ("weight", "double", "Cell-days that the row stands for, non-fires having been thinned out (count)"),
    ("part", "string", "train, validation, test (unseen year and place), test_known (unseen year, known place) or map"),
    _WEATHER_KEY,
    ("row", "int", "Row of the pixel in the fire grid, from the first y (count); -1 in tables"),
    ("col", "int", "Column of the pixel in the fire grid, from the first x (count); -1 in tables"),
)


def targets_group(fs: FeatureStore) -> FeatureGroup:
    """Get or create ``wildfire_targets``: the cases, whether they burnt, and which part of the split they are in."""
    return _group(fs, "wildfire_targets", "Cell-days, whether they burnt, and their part of the split", _TARGET_COLUMNS)


def weather_group(fs: FeatureStore) -> FeatureGroup:
    """Get or create ``wildfire_weather``: histories of weather and FWI on the weather's own grid."""
    return fs.get_or_create_feature_group(
        name="wildfire_weather",
        version=VERSION,
        description="Ten days of weather and Fire Weather Index, fuel moisture codes, 30-day sums; weather's own grid",
        primary_key=WEATHER_KEYS,
        event_time="time",
        online_enabled=True,
        time_travel_format="DELTA",
        features=_features((_KEY[0], _WEATHER_KEY, _TIME, *_columns(WEATHER_INPUTS))),
    )


def surface_group(fs: FeatureStore) -> FeatureGroup:
    """Get or create ``wildfire_surface``: surface temperature and vegetation of the cell, and green around it."""
    return _group(
        fs,
        "wildfire_surface",
        "Surface temperature of ten days and newest vegetation of the cell and around it",
        _columns(SURFACE_INPUTS),
    )


def static_group(fs: FeatureStore) -> FeatureGroup:
    """Get or create ``wildfire_static``: terrain, people, land cover of the cell and around it; no event time."""
    place = (
        _WEATHER_KEY,
        ("longitude", "double", "Longitude of the pixel centre (degrees east, WGS84)"),
        ("latitude", "double", "Latitude of the pixel centre (degrees north, WGS84)"),
    )
    return fs.get_or_create_feature_group(
        name="wildfire_static",
        version=VERSION,
        description="Terrain, human presence and land cover of the cell and around it",
        primary_key=KEYS,
        online_enabled=True,
        time_travel_format="DELTA",
        features=_features((*_KEY, *place, *_columns(STATIC_INPUTS))),
    )


PLACE_COLUMNS = (
    ("place", "string", "Identifier: the IRI of linked data, or a name made from row and column"),
    ("name", "string", "Name for people"),
    ("kind", "string", "What it is, for example town; settlement where the cube's population is all that is known"),
    ("longitude", "double", "Longitude (degrees east, WGS84)"),
    ("latitude", "double", "Latitude (degrees north, WGS84)"),
    ("cell_id", "bigint", "Cell of the fire grid that the place lies in"),
    ("people", "double", "People within RADIUS of the place, by the cube's population, or as the source says (count)"),
    ("road_km", "double", "Roads within RADIUS of the place (km)"),
)
"""Columns of ``wildfire_places``, but for the cube."""


def places_group(fs: FeatureStore) -> FeatureGroup:
    """Get or create ``wildfire_places``: towns and other assets that a fire would threaten."""
    return fs.get_or_create_feature_group(
        name="wildfire_places",
        version=VERSION,
        description="Places with people and assets, from linked data or from the cube's own population",
        primary_key=["cube", "place"],
        time_travel_format="DELTA",
        features=_features((_KEY[0], *PLACE_COLUMNS)),
    )


def feature_view(
    fs: FeatureStore, cube: str, *, inputs: Sequence[str] = INPUTS, simulated: bool | None = None
) -> FeatureView:
    """Get or create the feature view ``wildfire_<cube>``: targets joined with the inputs that the source has.

    Parameters
    ----------
    fs : hsfs.feature_store.FeatureStore
        Feature store that holds the groups.
    cube : str
        Name of a cube or table that the feature pipeline has written.
    inputs : sequence of str
        Some of :data:`INPUTS`, for a view that is created; a view that exists keeps its inputs.
    simulated : bool, optional
        Whether the cube is simulated, which the description of the view then says from now on; without, it stays.

    Returns
    -------
    hsfs.feature_view.FeatureView
        View with these inputs, the label and, as training helpers, weight, part and the cell of the weather.
    """
    targets = targets_group(fs)
    query = targets.select([LABEL, *HELPERS])
    for group, names, keys in (
        (weather_group(fs), WEATHER_INPUTS, WEATHER_KEYS),
        (surface_group(fs), SURFACE_INPUTS, KEYS),
        (static_group(fs), STATIC_INPUTS, KEYS),
    ):
        wanted = [name for name in names if name in set(inputs)]
        if wanted:
            query = query.join(group.select(wanted), on=keys, join_type="inner")
    query = query.filter(targets.get_feature("cube") == cube)
    description = f"Whether cells of {cube} burn on the target date, from what is known the day before"
    if simulated:
        description = f"{SIMULATED_LABEL}: {description}"
    view = fs.get_or_create_feature_view(
        name=f"wildfire_{cube}",
        version=VERSION,
        description=description,
        query=query,
        labels=[LABEL],
        training_helper_columns=HELPERS,
    )
    if simulated is not None and is_simulated(view) != simulated:
        view.description = description
        view.update()
    return view


def view_inputs(view: Any) -> list[str]:
    """Return the model inputs of a view, in the order of :data:`INPUTS`."""
    present = {feature.name for feature in view.features}
    return [name for name in INPUTS if name in present]


def is_simulated(view: Any) -> bool:
    """Tell from the description of a cube's feature view whether the cube is simulated."""
    return str(view.description or "").startswith(SIMULATED_LABEL)


def label_simulated(group: Any) -> None:
    """Say in the description of a feature group that some of its rows are of simulated cubes; once is enough."""
    note = f"Holds rows of cubes that are {SIMULATED_LABEL}: the feature view wildfire_<cube> says which."
    if note not in (group.description or ""):
        group.update_description(f"{group.description}. {note}")


def _columns(names: Sequence[str]) -> tuple[tuple[str, str, str], ...]:
    return tuple((name, "double", _meaning(name)) for name in names)


def _meaning(name: str) -> str:
    quantity = quantity_of(name)
    unit = "degrees Celsius" if quantity.units == "degC" else quantity.units
    where = ""
    if "_lag_" in name:
        where = f", {name.rsplit('_', 1)[1]} days before the forecast"
    elif "_at_" in name:
        where = f" {name.split('_at_')[1].replace('_', ', ')} pixels south and east of the cell (m: minus, p: plus)"
    return f"{quantity.text[0].upper()}{quantity.text[1:]}{where} (unit {unit}); {quantity.low:g} to {quantity.high:g}"


def _group(fs: FeatureStore, name: str, description: str, columns: Sequence[tuple[str, str, str]]) -> FeatureGroup:
    # The group of the labels is enabled online, though nothing is written there: the client serves feature vectors only
    # from views all of whose groups are.
    return fs.get_or_create_feature_group(
        name=name,
        version=VERSION,
        description=description,
        primary_key=KEYS,
        event_time="time",
        online_enabled=True,
        time_travel_format="DELTA",
        features=_features((*_KEY, _TIME, *columns)),
    )


def _features(columns: Sequence[tuple[str, str, str]]) -> list[Any]:
    from hsfs.feature import Feature  # takes seconds; names and units are wanted without the client, too

    return [Feature(*column) for column in columns]
