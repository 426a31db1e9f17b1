"""Declared features of cubes, computed tile by tile into rows for the feature store.

A feature says what is to be computed, from which variables and, where something is fitted, on which period. An
extraction evaluates features on one grid in bounded memory and yields Arrow tables with a cell and a time as keys; it
can be interrupted and goes on where it stopped. May import :mod:`deepcube.cubes`; nothing else of the project.
"""

from deepcube.cubes.features.climate import Fwi, Spei, Spi, monthly_totals
from deepcube.cubes.features.errors import FeatureError
from deepcube.cubes.features.extract import Extraction, declare, extract, feed
from deepcube.cubes.features.fireweather import FireWeather, fuel_moisture
from deepcube.cubes.features.journal import Journal
from deepcube.cubes.features.specs import (
    Anomaly,
    Feature,
    Kndvi,
    Lag,
    Masked,
    Ndvi,
    Season,
    Value,
    Window,
)
from deepcube.cubes.features.terrain import Aspect, Distance, Slope, Tpi
from deepcube.cubes.features.tile import Tile
from deepcube.cubes.features.zones import ZoneWeights, zonal_rows, zone_weights

__all__ = [
    "Anomaly",
    "Aspect",
    "Distance",
    "Extraction",
    "Feature",
    "FeatureError",
    "FireWeather",
    "Fwi",
    "Journal",
    "Kndvi",
    "Lag",
    "Masked",
    "Ndvi",
    "Season",
    "Slope",
    "Spei",
    "Spi",
    "Tile",
    "Tpi",
    "Value",
    "Window",
    "ZoneWeights",
    "declare",
    "extract",
    "feed",
    "fuel_moisture",
    "monthly_totals",
    "zonal_rows",
    "zone_weights",
]
