"""Features of the drought use case: from NDVI in a cube to what a forecast may know, and what came true.

Four feature groups, keyed by cube and cell and dated by time step:

- ``drought_ndvi``: what was observed;
- ``drought_climatology``: what is normal for the season, fitted on the training years only;
- ``drought_features``: what a forecast made at ``time`` may know, also in the online store;
- ``drought_targets``: what happened one, two and three steps later.

A cube that has rain or temperature on a daily grid of its own also gets rows in ``drought_weather``, and with years of
rain in ``drought_spi``, which join the inputs of its view.

No feature at time *t* depends on data after *t*, and none depends on the seasons of the held-out years.
"""

from features.drought.schema import (
    CLIMATOLOGY,
    EXTRA_UNITS,
    FEATURE_NAMES,
    HORIZONS,
    KEYS,
    LABELS,
    LAGS,
    PERSISTENCE,
    SIMULATED_LABEL,
    SPI_UNITS,
    VERSION,
    WEATHER_UNITS,
    climatology_group,
    feature_view,
    features_group,
    is_simulated,
    label_simulated,
    ndvi_group,
    possible_range,
    spi_group,
    targets_group,
    time_split,
    weather_group,
)
from features.drought.source import SAMPLE, SIMULATED, NdviSource, cube_name, open_source
from features.drought.tables import Block, Tables, compute_tables, latest_rows

__all__ = [
    "CLIMATOLOGY",
    "EXTRA_UNITS",
    "FEATURE_NAMES",
    "HORIZONS",
    "KEYS",
    "LABELS",
    "LAGS",
    "PERSISTENCE",
    "SAMPLE",
    "SIMULATED",
    "SIMULATED_LABEL",
    "SPI_UNITS",
    "VERSION",
    "WEATHER_UNITS",
    "Block",
    "NdviSource",
    "Tables",
    "climatology_group",
    "compute_tables",
    "cube_name",
    "feature_view",
    "features_group",
    "is_simulated",
    "label_simulated",
    "latest_rows",
    "ndvi_group",
    "open_source",
    "possible_range",
    "spi_group",
    "targets_group",
    "time_split",
    "weather_group",
]
