"""Features of the wildfire use case: what is known of a cell at the end of a day, and whether it burns the next.

Four feature groups at the resolutions of their sources, dated by the day that the forecast is made on:

- ``wildfire_weather``: ten days of weather and Fire Weather Index, on the weather's own grid;
- ``wildfire_surface``: surface temperature and vegetation of the cell;
- ``wildfire_static``: terrain, people and land cover of the cell and around it;
- ``wildfire_targets``: the cases, whether they burnt, what each stands for, and its part of the split.

A fifth, ``wildfire_places``, holds what a fire would threaten. Nothing known of a day comes from a later one. Tables of
fire days fill the same groups as far as they go.
"""

from features.wildfire.firecube import FireCube, Tables, open_firecube
from features.wildfire.firedays import FireDays, open_fire_days
from features.wildfire.layout import Layout, group_of, quantity_of, units_of
from features.wildfire.places import PlacesError, find_places, rank_places
from features.wildfire.schema import (
    HELPERS,
    INPUTS,
    KEYS,
    LABEL,
    PARTS,
    SIMULATED_LABEL,
    VERSION,
    WEATHER_KEYS,
    feature_view,
    is_simulated,
    label_simulated,
    places_group,
    static_group,
    surface_group,
    targets_group,
    view_inputs,
    weather_group,
)
from features.wildfire.source import SIMULATED, cube_name, open_source

__all__ = [
    "HELPERS",
    "INPUTS",
    "KEYS",
    "LABEL",
    "PARTS",
    "SIMULATED",
    "SIMULATED_LABEL",
    "VERSION",
    "WEATHER_KEYS",
    "FireCube",
    "FireDays",
    "Layout",
    "PlacesError",
    "Tables",
    "cube_name",
    "feature_view",
    "find_places",
    "group_of",
    "is_simulated",
    "label_simulated",
    "open_fire_days",
    "open_firecube",
    "open_source",
    "places_group",
    "quantity_of",
    "rank_places",
    "static_group",
    "surface_group",
    "targets_group",
    "units_of",
    "view_inputs",
    "weather_group",
]
