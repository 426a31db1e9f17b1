"""Names, units and definitions of the volcano features, and the feature groups and view that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from features.volcano.image import SIDE, STATISTICS
from features.volcano.source import KINDS

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
"""Words that the description of every feature view over simulated interferograms begins with."""

VERSION = 1
"""Version of the feature groups and of the feature view."""

KEYS = ["cube", "patch_id"]
"""Primary key of what is known of a patch."""

CHANNELS = ["phase_cosine", "phase_sine"]
"""Names of the model's input channels: the parts of the multilooked phasor (unit 1)."""

OUTPUTS = ["deformation", *KINDS]
"""Names of the model's outputs: probability of deformation, and of each type if there is deformation (unit 1)."""

EMBEDDING = 64
"""Length of the vectors that similar interferograms are found by."""

LABELS = ["deformation"]
"""Names of the labels."""

_KEY_COLUMNS = (
    Column("cube", "string", "Name of the set of interferograms"),
    Column("patch_id", "string", "SHA-256 of the phase in 256 levels: the same for every file of one interferogram"),
)
_TIME = Column("time", "timestamp", "Later date of the interferogram, UTC; of simulated ones their number, in days")
_PATCH_COLUMNS = (
    Column("file", "string", "File below the folder of the set"),
    Column("volcano", "string", "Name of the volcano, empty where the file name does not tell"),
    Column("frame", "string", "Track and frame of the satellite, empty where the file name does not tell"),
    Column("first_date", "timestamp", "Earlier date of the interferogram, UTC"),
    Column("region", "string", "Volcanoes and frames that have patches in common; splits go by region"),
    Column("split", "string", "Part that the set was divided into beforehand: train, validation or test"),
    *(Column(name, "double", meaning) for name, meaning in STATISTICS.items()),
    Column("seen", "binary", f"Multilooked phasor, {SIDE} x {SIDE} x 2, int8 / 127, zlib (unit 1)"),
)
_LABEL_COLUMNS = (
    Column("deformation", "int", "1 where somebody has seen deformation, 0 where not (flag)"),
    Column("kind", "string", f"Type of the deformation, one of {', '.join(KINDS)}; empty where unknown"),
    Column(
        "mask", "binary", f"Where the ground deforms visibly, {SIDE} x {SIDE}, int8 / 127, zlib; null where unknown"
    ),
)
_PREDICTION_COLUMNS = (
    Column("file", "string", "File below the folder of the set"),
    Column("volcano", "string", "Name of the volcano, empty where the file name does not tell"),
    *(
        Column(f"probability_{name}", "double", f"Probability of {name} (unit 1, 0 to 1)" + if_any)
        for name, if_any in [("deformation", ""), *((kind, ", given deformation") for kind in KINDS)]
    ),
    Column("deforming_share", "double", "Share of the patch that is segmented as deforming (unit 1, 0 to 1)"),
    Column("row", "int", "Row where the model sees most support of deformation (pixels of the image, from the top)"),
    Column(
        "col", "int", "Column where the model sees most support of deformation (pixels of the image, from the left)"
    ),
    Column("model_version", "int", "Version of the model in the registry (count)"),
)
EVENT_COLUMNS = (
    Column("event_id", "string", "SHA-256 of the phase in 256 levels: the same for every file of one interferogram"),
    Column("time", "timestamp", "When it was scored, UTC"),
    Column("source", "string", "Folder or cube that it was found in"),
    *_PREDICTION_COLUMNS[:2],
    Column("first_date", "string", "Earlier date of the interferogram, yyyymmdd, empty where unknown"),
    Column("second_date", "string", "Later date of the interferogram, yyyymmdd, empty where unknown"),
    *_PREDICTION_COLUMNS[2:],
    Column("model", "string", "Name of the model in the registry"),
    Column("threshold", "double", "Probability from which an alert is raised (unit 1, 0 to 1)"),
    Column("alert", "int", "1 where the probability reaches the threshold, else 0 (flag)"),
    Column("delivery", "string", "none (no alert), pending (not everybody has been told yet) or delivered"),
    Column("explanation", "string", "Why the model says so, as a JSON object"),
)
"""Columns of ``volcano_events``."""


def patches_group(fs: FeatureStore) -> FeatureGroup:
    """Get or create ``volcano_patches``: what the network sees of every interferogram, and where it comes from."""
    return _group(fs, "volcano_patches", "Wrapped interferograms, reduced, with dates and statistics", _PATCH_COLUMNS)


def labels_group(fs: FeatureStore) -> FeatureGroup:
    """Get or create ``volcano_labels``: whether the ground deforms, by whom or what is known."""
    return _group(fs, "volcano_labels", "Deformation in interferograms, as experts or a simulator know", _LABEL_COLUMNS)


def predictions_group(fs: FeatureStore) -> FeatureGroup:
    """Get or create ``volcano_predictions``: what a model says of every interferogram of a set."""
    return _group(fs, "volcano_predictions", "Deformation in interferograms, as a model sees it", _PREDICTION_COLUMNS)


def embeddings_group(fs: FeatureStore) -> FeatureGroup:
    """Get or create ``volcano_embeddings``: online, with an index that finds similar past interferograms."""
    from hsfs.embedding import EmbeddingIndex

    index = EmbeddingIndex()
    index.add_embedding("embedding", EMBEDDING)
    columns = (
        *_PREDICTION_COLUMNS[:2],
        Column("deformation", "int", "1 where somebody has seen deformation, 0 where not, -1 where nobody has said"),
        Column("probability_deformation", "double", "Probability of deformation (unit 1, 0 to 1)"),
        Column("embedding", "array<double>", "What the model makes of it: activations of its last layer but one"),
    )
    description = "Interferograms as vectors, to find similar ones by"
    return _group(fs, "volcano_embeddings", description, columns, online=True, embedding_index=index)


def events_group(fs: FeatureStore) -> FeatureGroup:
    """Get or create ``volcano_events``: every interferogram that the alert service has scored, once."""
    from hsfs.feature import Feature

    return fs.get_or_create_feature_group(
        name="volcano_events",
        version=VERSION,
        description="Interferograms scored by the alert service, and the alerts that they raised",
        primary_key=["event_id"],
        event_time="time",
        time_travel_format="DELTA",
        features=[Feature(*column) for column in EVENT_COLUMNS],
    )


def feature_view(fs: FeatureStore, cube: str, *, simulated: bool | None = None) -> FeatureView:
    """Get or create the feature view ``volcano_<cube>``: labelled interferograms of one set.

    Parameters
    ----------
    fs : hsfs.feature_store.FeatureStore
        Feature store that holds the groups.
    cube : str
        Name of a set that the feature pipeline has written.
    simulated : bool, optional
        Whether the set is simulated, which the description of the view then says from now on; without, it stays.
    """
    labels, patches = labels_group(fs), patches_group(fs)
    query = (
        labels.select(["deformation", "kind", "mask"])
        .join(patches.select([column.name for column in _PATCH_COLUMNS]), on=KEYS, join_type="inner")
        .filter(labels.get_feature("cube") == cube)
    )
    description = f"Deformation in the interferograms of {cube}"
    if simulated:
        description = f"{SIMULATED_LABEL}: {description}"
    view = fs.get_or_create_feature_view(
        name=f"volcano_{cube}", version=VERSION, description=description, query=query, labels=LABELS
    )
    if simulated is not None and is_simulated(view) != simulated:
        view.description = description
        view.update()
    return view


def is_simulated(view: Any) -> bool:
    """Tell from the description of a feature view whether its interferograms are simulated."""
    return str(view.description or "").startswith(SIMULATED_LABEL)


def label_simulated(group: Any) -> None:
    """Say in the description of a feature group that some of its rows are of simulated interferograms."""
    note = f"Holds rows of sets that are {SIMULATED_LABEL}: the feature view volcano_<cube> says which."
    if note not in (group.description or ""):
        group.update_description(f"{group.description}. {note}")


def _group(
    fs: FeatureStore, name: str, description: str, columns: tuple[Column, ...], online: bool = False, **options: Any
) -> FeatureGroup:
    from hsfs.feature import Feature  # takes seconds; names and units are wanted without the client, too

    return fs.get_or_create_feature_group(
        name=name,
        version=VERSION,
        description=description,
        primary_key=KEYS,
        event_time="time",
        online_enabled=online,
        time_travel_format="DELTA",
        features=[Feature(*column) for column in (*_KEY_COLUMNS, _TIME, *columns)],
        **options,
    )
