"""What the map asks of rows that were written: what the model saw of an interferogram, and the picture of an alert."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from features import volcano
from inference_pipelines.volcano import feed
from inference_pipelines.volcano.alerts import ALERTS


def instance_of(project: Any, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the deployment explains for a row of predictions or events.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    row : mapping
        A row of ``volcano_predictions`` or ``volcano_events``.

    Returns
    -------
    dict or None
        A phase that looks to the model like the interferogram; None where the feature store does not hold it.
    """
    patches = volcano.patches_group(project.get_feature_store())
    identity = str(row.get("patch_id") or row.get("event_id") or "")
    if patches.id is None or not identity:
        return None
    found = patches.select(["seen"]).filter(patches.get_feature("patch_id") == identity).read()
    if found.empty:
        return None
    seen = volcano.unpack(found["seen"].iloc[0], volcano.SIDE, volcano.SIDE, 2)
    return {"phase": np.round(volcano.expand(seen).astype(float), 4).tolist()}


def picture_of(row: Mapping[str, Any]) -> str | None:
    """Return where the picture of an alert lies in the project's files; None for rows that are none."""
    return f"{ALERTS}/{feed.picture(row)}" if row.get("alert") and row.get("event_id") else None
