"""Names, units and definitions of the drought features, and the feature groups and view that hold them."""

from typing import TYPE_CHECKING, Any

from hsfs.feature import Feature

from deepcube.cubes import TimeSplit
from deepcube.cubes import time_split as split_times

if TYPE_CHECKING:
    from hsfs.feature_group import FeatureGroup
    from hsfs.feature_store import FeatureStore
    from hsfs.feature_view import FeatureView

VERSION = 1
"""Version of the feature groups and of the feature view."""

HORIZONS = (1, 2, 3)
"""Forecast horizons, in steps of the cube."""

LAGS = tuple(range(6))
"""Steps of memory, 0 being the forecast origin itself."""

KEYS = ["cube", "cell_id"]
"""Primary key of everything but the climatology."""

LABELS = [f"ndvi_step_{h}" for h in HORIZONS]
"""Names of the forecast targets."""

_KEY_FEATURES = (
    Feature("cube", "string", "Name of the cube, for example romania_s2"),
    Feature("cell_id", "bigint", "Cell of the pixel: HEALPix nested on WGS84, level encoded in the id (zuniq)"),
)
_TIME = Feature("time", "timestamp", "Time step of the cube, UTC; from a composited cube the end of its window")

_NDVI_FEATURES = (
    Feature("ndvi", "double", "Normalised difference vegetation index (unit 1, -1 to 1); null at a gap"),
    Feature("valid_fraction", "double", "Share of the acquisitions in the step that were clear (unit 1, 0 to 1)"),
    Feature("is_gap", "int", "1 where the step has no valid observation, else 0 (flag)"),
    Feature("longitude", "double", "Longitude of the pixel centre (degrees east, WGS84)"),
    Feature("latitude", "double", "Latitude of the pixel centre (degrees north, WGS84)"),
    Feature("row", "int", "Row of the pixel in the grid of the cube, counted from the first y (count)"),
    Feature("col", "int", "Column of the pixel in the grid of the cube, counted from the first x (count)"),
)
_CLIMATOLOGY_FEATURES = (
    Feature("season", "int", "Season of the year as long as a step, 0 being centred on 1 January (count)"),
    Feature("ndvi_mean", "double", "Mean NDVI of the season in the training years (unit 1)"),
    Feature("ndvi_std", "double", "Standard deviation of NDVI in the season in the training years (unit 1)"),
    Feature("observations", "int", "Training observations that the season was fitted on (count)"),
    Feature("fit_start", "timestamp", "First time of the fit period, UTC"),
    Feature("fit_end", "timestamp", "End of the fit period, UTC"),
)
_INPUT_FEATURES = (
    *(
        Feature(
            f"ndvi_anomaly_lag_{k}",
            "double",
            f"NDVI minus its training-year climatology, {k} steps before the origin (unit 1); 0 at a gap",
        )
        for k in LAGS
    ),
    *(
        Feature(
            f"gap_lag_{k}", "double", f"1 where {k} steps before the origin nothing valid was observed, else 0 (flag)"
        )
        for k in LAGS
    ),
    *(
        Feature(
            f"ndvi_climatology_step_{h}",
            "double",
            f"Training-year climatology of NDVI at the target date {h} steps ahead (unit 1)",
        )
        for h in HORIZONS
    ),
    Feature("ndvi_climatology_now", "double", "Training-year climatology of NDVI at the origin (unit 1)"),
    Feature(
        "ndvi_last_observed", "double", "Last valid NDVI at or before the origin (unit 1): the persistence forecast"
    ),
    Feature("season_sin", "double", "Sine of the time of the year of the origin (unit 1)"),
    Feature("season_cos", "double", "Cosine of the time of the year of the origin (unit 1)"),
    Feature("steps_since_observation", "double", "Age of the last valid observation at the origin (steps of the cube)"),
)
_TARGET_FEATURES = tuple(
    Feature(label, "double", f"NDVI observed {h} steps after the origin (unit 1); null where that step is a gap")
    for h, label in zip(HORIZONS, LABELS, strict=True)
)

FEATURE_NAMES = [feature.name for feature in _INPUT_FEATURES]
"""Names of the model inputs, in order; all double, none ever null."""

PERSISTENCE = "ndvi_last_observed"
"""The input that is itself the persistence forecast, at every horizon."""

CLIMATOLOGY = [f"ndvi_climatology_step_{h}" for h in HORIZONS]
"""The inputs that are themselves the climatology forecast, one per horizon."""


def time_split(times: Any) -> TimeSplit:
    """Split forecast origins into training, validation and test periods.

    Parameters
    ----------
    times : array-like of datetime64, shape (n,)
        Forecast origins of one cube.

    Returns
    -------
    TimeSplit
        Whole years at the end are held out (see :func:`deepcube.cubes.splits.held_out_years`), with an embargo of the
        longest horizon before each boundary. The training period is also the fit period of the climatology.

    Raises
    ------
    deepcube.cubes.TimeAxisError
        If the series is too short.
    """
    return split_times(times, embargo=max(HORIZONS))


def ndvi_group(fs: "FeatureStore") -> "FeatureGroup":
    """Get or create ``drought_ndvi``: NDVI per cell and step, gaps null and flagged."""
    return _group(fs, "drought_ndvi", "NDVI per cell and time step, gaps null and flagged", _NDVI_FEATURES)


def climatology_group(fs: "FeatureStore") -> "FeatureGroup":
    """Get or create ``drought_climatology``: the normal season of every cell, from the training years."""
    return fs.get_or_create_feature_group(
        name="drought_climatology",
        version=VERSION,
        description="Seasonal mean and spread of NDVI per cell, fitted on the training years only",
        primary_key=[*KEYS, "season"],
        event_time="fit_end",
        time_travel_format="DELTA",
        features=[*_KEY_FEATURES, *_CLIMATOLOGY_FEATURES],
    )


def features_group(fs: "FeatureStore") -> "FeatureGroup":
    """Get or create ``drought_features``: the model inputs, offline and online."""
    description = "What a drought forecast made at time may know: anomalies, gaps, climatology, season"
    return _group(fs, "drought_features", description, _INPUT_FEATURES, online=True)


def targets_group(fs: "FeatureStore") -> "FeatureGroup":
    """Get or create ``drought_targets``: NDVI one, two and three steps after each forecast origin."""
    description = "NDVI observed after each forecast origin; null at gaps and beyond the end of the cube"
    return _group(fs, "drought_targets", description, _TARGET_FEATURES)


def feature_view(fs: "FeatureStore", cube: str) -> "FeatureView":
    """Get or create the feature view ``drought_<cube>``: targets joined point-in-time with the features.

    Parameters
    ----------
    fs : hsfs.feature_store.FeatureStore
        Feature store that holds the four groups.
    cube : str
        Name of a cube that the feature pipeline has written.

    Returns
    -------
    hsfs.feature_view.FeatureView
        View with the inputs ``FEATURE_NAMES`` and the labels ``LABELS``, over the rows of that cube only.
    """
    targets, inputs = targets_group(fs), features_group(fs)
    query = (
        targets.select(LABELS)
        .join(inputs.select(FEATURE_NAMES), on=KEYS, join_type="inner")
        .filter(targets.get_feature("cube") == cube)
    )
    return fs.get_or_create_feature_view(
        name=f"drought_{cube}",
        version=VERSION,
        description=f"NDVI of {cube} one to three steps ahead, from what is known at the forecast origin",
        query=query,
        labels=LABELS,
    )


def _group(
    fs: "FeatureStore", name: str, description: str, features: tuple[Feature, ...], online: bool = False
) -> "FeatureGroup":
    return fs.get_or_create_feature_group(
        name=name,
        version=VERSION,
        description=description,
        primary_key=KEYS,
        event_time="time",
        online_enabled=online,
        time_travel_format="DELTA",
        features=[*_KEY_FEATURES, _TIME, *features],
    )
