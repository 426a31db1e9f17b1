"""Features of the volcano use case: wrapped interferograms, reduced to what a network sees, and what is known of them.

Feature groups, keyed by set (``cube``) and content of the interferogram, dated by its later date:

- ``volcano_patches``: the multilooked phasor, dates, volcano, frame, and statistics that need no learning;
- ``volcano_labels``: whether the ground deforms, its type and a mask where known;
- ``volcano_predictions`` and ``volcano_embeddings``: what a model makes of them, the latter with a similarity index;
- ``volcano_events``: what the alert service has scored, keyed by content, so that nothing raises an alert twice;
- ``volcano_places``: where interferograms and volcanoes lie, as far as files or a catalogue tell.
"""

from features.volcano.image import (
    IMAGES,
    LOOKS,
    PIXELS,
    SIDE,
    STATISTICS,
    InterferogramError,
    check_phase,
    content_hash,
    expand,
    from_grey,
    incoherent,
    pack,
    phasor,
    read_interferogram,
    statistics,
    unpack,
    windows,
)
from features.volcano.places import (
    PLACE_COLUMNS,
    CatalogueError,
    Position,
    georeferenced_rows,
    locate_coordinates,
    locate_pixel,
    places_group,
    read_catalogue,
)
from features.volcano.schema import (
    CHANNELS,
    EMBEDDING,
    EVENT_COLUMNS,
    KEYS,
    LABELS,
    OUTPUTS,
    SIMULATED_LABEL,
    VERSION,
    embeddings_group,
    events_group,
    feature_view,
    is_simulated,
    label_simulated,
    labels_group,
    patches_group,
    predictions_group,
)
from features.volcano.shape import SHAPE, shape_statistics, unwrap
from features.volcano.source import KINDS, SIMULATED, Patch, VolcanoSource, cube_name, name_parts, open_source, regions
from features.volcano.tables import Tables, compute_tables

__all__ = [
    "CHANNELS",
    "EMBEDDING",
    "EVENT_COLUMNS",
    "IMAGES",
    "KEYS",
    "KINDS",
    "LABELS",
    "LOOKS",
    "OUTPUTS",
    "PIXELS",
    "PLACE_COLUMNS",
    "SHAPE",
    "SIDE",
    "SIMULATED",
    "SIMULATED_LABEL",
    "STATISTICS",
    "VERSION",
    "CatalogueError",
    "InterferogramError",
    "Patch",
    "Position",
    "Tables",
    "VolcanoSource",
    "check_phase",
    "compute_tables",
    "content_hash",
    "cube_name",
    "embeddings_group",
    "events_group",
    "expand",
    "feature_view",
    "from_grey",
    "georeferenced_rows",
    "incoherent",
    "is_simulated",
    "label_simulated",
    "labels_group",
    "locate_coordinates",
    "locate_pixel",
    "name_parts",
    "open_source",
    "pack",
    "patches_group",
    "phasor",
    "places_group",
    "predictions_group",
    "read_catalogue",
    "read_interferogram",
    "regions",
    "shape_statistics",
    "statistics",
    "unpack",
    "unwrap",
    "windows",
]
