"""Which of the registered volcano models to use."""

from __future__ import annotations

from typing import Any

from features import volcano
from inference_pipelines.deployments import NoModelError, newest_model

_PREFIX = "volcano_"


def best_model(project: Any) -> Any:
    """Return the model to use where nobody names one: the newest that was scored on real interferograms, if any.

    Sets are known by their feature views.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.

    Returns
    -------
    hsml.model.Model
        Its newest version.

    Raises
    ------
    NoModelError
        If no volcano model is registered at all.
    """
    fs = project.get_feature_store()
    found = []
    for cube in _cubes(fs):
        view = fs.get_feature_view(f"{_PREFIX}{cube}", volcano.VERSION)
        if view is None:
            continue
        try:
            model = newest_model(project, f"{_PREFIX}{cube}")
        except NoModelError:
            continue
        found.append((not volcano.is_simulated(view), str(model.created), model))
    if not found:
        raise NoModelError(
            "Found no volcano model in the registry; expected one to score with. "
            "Train one first: deepcube run volcano --source FOLDER."
        )
    return max(found, key=lambda each: each[:2])[2]


def _cubes(fs: Any) -> list[str]:
    group = volcano.labels_group(fs)
    return [] if group.id is None else sorted(group.select(["cube"]).read()["cube"].unique())
