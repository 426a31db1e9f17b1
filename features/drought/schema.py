"""Names, units and definitions of the drought features, and the feature groups and view that hold them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from deepcube.cubes import TimeSplit
from deepcube.cubes import time_split as split_times

if TYPE_CHECKING:
    from hsfs.feature_group import FeatureGroup
    from hsfs.feature_store import FeatureStore
    from hsfs.feature_view import FeatureView


class Column(NamedTuple):
    """Name, Hopsworks type and meaning of a feature; the meaning ends with the unit in parentheses or says it."""

    name: str
    type: str
    description: str


SIMULATED_LABEL = "SIMULATED DATA"
"""Words that the description of every feature view over a simulated cube begins with."""

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

_KEY_COLUMNS = (
    Column("cube", "string", "Name of the cube, for example romania_s2"),
    Column("cell_id", "bigint", "Cell of the pixel: HEALPix nested on WGS84, level encoded in the id (zuniq)"),
)
_TIME = Column("time", "timestamp", "Time step of the cube, UTC; from a composited cube the end of its window")

_NDVI_COLUMNS = (
    Column("ndvi", "double", "Normalised difference vegetation index (unit 1, -1 to 1); null at a gap"),
    Column("valid_fraction", "double", "Share of the acquisitions in the step that were clear (unit 1, 0 to 1)"),
    Column("is_gap", "int", "1 where the step has no valid observation, else 0 (flag)"),
    Column("longitude", "double", "Longitude of the pixel centre (degrees east, WGS84)"),
    Column("latitude", "double", "Latitude of the pixel centre (degrees north, WGS84)"),
    Column("row", "int", "Row of the pixel in the grid of the cube, counted from the first y (count)"),
    Column("col", "int", "Column of the pixel in the grid of the cube, counted from the first x (count)"),
)
_CLIMATOLOGY_COLUMNS = (
    Column("season", "int", "Season of the year as long as a step, 0 being centred on 1 January (count)"),
    Column("ndvi_mean", "double", "Mean NDVI of the season in the training years (unit 1)"),
    Column("ndvi_std", "double", "Standard deviation of NDVI in the season in the training years (unit 1)"),
    Column("observations", "int", "Training observations that the season was fitted on (count)"),
    Column("fit_start", "timestamp", "First time of the fit period, UTC"),
    Column("fit_end", "timestamp", "End of the fit period, UTC"),
)
_INPUT_COLUMNS = (
    *(
        Column(
            f"ndvi_anomaly_lag_{k}",
            "double",
            f"NDVI minus its training-year climatology at lag {k}, in steps before the origin (unit 1); 0 at a gap",
        )
        for k in LAGS
    ),
    *(
        Column(
            f"gap_lag_{k}",
            "double",
            f"1 where nothing valid was observed at lag {k}, in steps before the origin, else 0 (flag)",
        )
        for k in LAGS
    ),
    *(
        Column(
            f"ndvi_climatology_step_{h}",
            "double",
            f"Training-year climatology of NDVI at the date of target {h}, in steps ahead (unit 1)",
        )
        for h in HORIZONS
    ),
    Column("ndvi_climatology_now", "double", "Training-year climatology of NDVI at the origin (unit 1)"),
    Column(
        "ndvi_last_observed", "double", "Last valid NDVI at or before the origin (unit 1): the persistence forecast"
    ),
    Column("season_sin", "double", "Sine of the time of the year of the origin (unit 1)"),
    Column("season_cos", "double", "Cosine of the time of the year of the origin (unit 1)"),
    Column("steps_since_observation", "double", "Age of the last valid observation at the origin (steps of the cube)"),
)
_TARGET_COLUMNS = tuple(
    Column(label, "double", f"NDVI observed at step {h} after the origin (unit 1); null where that step is a gap")
    for h, label in zip(HORIZONS, LABELS, strict=True)
)

_WEATHER_COLUMNS = (
    *(
        Column(
            f"rain_anomaly_lag_{k}",
            "double",
            f"Rain of the step at lag {k}, in steps before the origin, minus its training-year climatology (mm); "
            "0 where unknown, null where the cube has no rain",
        )
        for k in LAGS
    ),
    *(
        Column(
            f"temperature_anomaly_lag_{k}",
            "double",
            f"Mean air temperature of the step at lag {k}, in steps before the origin, minus its training-year "
            "climatology (K); 0 where unknown, null where the cube has no temperature",
        )
        for k in LAGS
    ),
)

WEATHER_UNITS = {column.name: "mm" if column.name.startswith("rain") else "K" for column in _WEATHER_COLUMNS}
"""Names of the optional model inputs, for cubes that have weather, with their units."""

SPI_MONTHS = (1, 3, 6)
"""Windows of the standardised precipitation index, in months."""

_SPI_COLUMNS = tuple(
    Column(
        f"spi_{months}",
        "double",
        f"Standardised precipitation index over {months} months, of the last month that was over at the origin, fitted "
        "on the training years (unit 1, bounded at 3.09); 0 where unknown",
    )
    for months in SPI_MONTHS
)

SPI_UNITS = {column.name: "1" for column in _SPI_COLUMNS}
"""Names of the further inputs of cubes with daily rain over three training years and more, with their unit."""

EXTRA_UNITS = WEATHER_UNITS | SPI_UNITS
"""Names of all optional model inputs, in order, with their units."""

FEATURE_NAMES = [column.name for column in _INPUT_COLUMNS]
"""Names of the model inputs, in order; all double, none ever null."""


def possible_range(name: str) -> tuple[float, float]:
    """Return what a model input can be: NDVI lies within -1 and 1, so its departures within -2 and 2; and so on."""
    if name.startswith(("ndvi_anomaly", "rain_anomaly", "temperature_anomaly")):
        reach = {"ndvi": 2.0, "rain": 3000.0, "temperature": 60.0}[name.split("_", maxsplit=1)[0]]
        return -reach, reach
    if name.startswith("gap_lag"):
        return 0.0, 1.0
    if name.startswith("spi_"):
        return -3.09, 3.09
    return (0.0, float("inf")) if name == "steps_since_observation" else (-1.0, 1.0)


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
    return _group(fs, "drought_ndvi", "NDVI per cell and time step, gaps null and flagged", _NDVI_COLUMNS)


def climatology_group(fs: "FeatureStore") -> "FeatureGroup":
    """Get or create ``drought_climatology``: the normal season of every cell, from the training years."""
    return fs.get_or_create_feature_group(
        name="drought_climatology",
        version=VERSION,
        description="Seasonal mean and spread of NDVI per cell, fitted on the training years only",
        primary_key=[*KEYS, "season"],
        event_time="fit_end",
        time_travel_format="DELTA",
        features=_features(_KEY_COLUMNS + _CLIMATOLOGY_COLUMNS),
    )


def features_group(fs: "FeatureStore") -> "FeatureGroup":
    """Get or create ``drought_features``: the model inputs, offline and online."""
    description = "What a drought forecast made at time may know: anomalies, gaps, climatology, season"
    return _group(fs, "drought_features", description, _INPUT_COLUMNS, online=True)


def targets_group(fs: "FeatureStore") -> "FeatureGroup":
    """Get or create ``drought_targets``: NDVI one, two and three steps after each forecast origin.

    The group is enabled online, though nothing is ever written there: the client serves feature vectors only from views
    all of whose groups are, the group of the labels included.
    """
    description = "NDVI observed after each forecast origin; null at gaps and beyond the end of the cube"
    return _group(fs, "drought_targets", description, _TARGET_COLUMNS, online=True)


def weather_group(fs: "FeatureStore") -> "FeatureGroup":
    """Get or create ``drought_weather``: further inputs for cubes that have daily weather, offline and online."""
    description = "Departures of rain and temperature from normal that a drought forecast made at time may know"
    return _group(fs, "drought_weather", description, _WEATHER_COLUMNS, online=True)


def spi_group(fs: "FeatureStore") -> "FeatureGroup":
    """Get or create ``drought_spi``: standardised precipitation, for cubes that have years of daily rain."""
    description = "Standardised precipitation index that a drought forecast made at time may know"
    return _group(fs, "drought_spi", description, _SPI_COLUMNS, online=True)


def feature_view(
    fs: "FeatureStore", cube: str, *, simulated: bool | None = None, weather: Sequence[str] = ()
) -> "FeatureView":
    """Get or create the feature view ``drought_<cube>``: targets joined point-in-time with the features.

    Parameters
    ----------
    fs : hsfs.feature_store.FeatureStore
        Feature store that holds the four groups.
    cube : str
        Name of a cube that the feature pipeline has written.
    simulated : bool, optional
        Whether the cube is simulated, which the description of the view then says from now on; without, it stays.
    weather : sequence of str
        ``rain``, ``temperature`` and ``spi``, as far as the cube has them: further inputs of a view that is created. A
        view that exists keeps its inputs.

    Returns
    -------
    hsfs.feature_view.FeatureView
        View with the inputs ``FEATURE_NAMES``, those of the weather, and the labels ``LABELS``, over the rows of that
        cube only.
    """
    targets, inputs = targets_group(fs), features_group(fs)
    query = (
        targets.select(LABELS)
        .join(inputs.select(FEATURE_NAMES), on=KEYS, join_type="inner")
        .filter(targets.get_feature("cube") == cube)
    )
    for group, units in ((weather_group, WEATHER_UNITS), (spi_group, SPI_UNITS)):
        further = [name for name in units if name.startswith(tuple(weather))]
        if further:
            query = query.join(group(fs).select(further), on=KEYS, join_type="inner")
    description = f"NDVI of {cube} one to three steps ahead, from what is known at the forecast origin"
    if simulated:
        description = f"{SIMULATED_LABEL}: {description}"
    view = fs.get_or_create_feature_view(
        name=f"drought_{cube}", version=VERSION, description=description, query=query, labels=LABELS
    )
    if simulated is not None and is_simulated(view) != simulated:
        view.description = description
        view.update()
    return view


def is_simulated(view: Any) -> bool:
    """Tell from the description of a cube's feature view whether the cube is simulated."""
    return str(view.description or "").startswith(SIMULATED_LABEL)


def label_simulated(group: Any) -> None:
    """Say in the description of a feature group that some of its rows are of simulated cubes.

    Cubes share their groups, so the description only points to where it is said of each cube. Saying it again changes
    nothing.

    Parameters
    ----------
    group : hsfs.feature_group.FeatureGroup
        A group that holds rows of a simulated cube.
    """
    note = f"Holds rows of cubes that are {SIMULATED_LABEL}: the feature view drought_<cube> says which."
    if note not in (group.description or ""):
        group.update_description(f"{group.description}. {note}")


def _group(
    fs: "FeatureStore", name: str, description: str, columns: tuple[Column, ...], online: bool = False
) -> "FeatureGroup":
    return fs.get_or_create_feature_group(
        name=name,
        version=VERSION,
        description=description,
        primary_key=KEYS,
        event_time="time",
        online_enabled=online,
        time_travel_format="DELTA",
        features=_features((*_KEY_COLUMNS, _TIME, *columns)),
    )


def _features(columns: tuple[Column, ...]) -> list[Any]:
    from hsfs.feature import Feature  # takes seconds; names and units are wanted without the client, too

    return [Feature(*column) for column in columns]
