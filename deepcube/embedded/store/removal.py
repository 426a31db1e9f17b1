"""Removing a feature group that feature views are made of."""

from __future__ import annotations

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request
from deepcube.embedded.platform import Platform
from deepcube.embedded.store import datasets, group_changes, views


def remove_group(platform: Platform, group: Entity, *, force: bool = False, with_views: bool = False) -> None:
    """Remove a feature group with its data.

    Parameters
    ----------
    platform : Platform
        The platform.
    group : Entity
        The feature group.
    force : bool
        Remove it although feature views use it; they stay, and say what they miss.
    with_views : bool
        Remove those views too, with their training datasets.

    Raises
    ------
    ApiError
        400 if feature views use the group and neither is asked for.
    """
    using = views.dependents(platform, group.id)
    if using and not force and not with_views:
        names = ", ".join(f"{view.name} version {view.version}" for view in using)
        raise bad_request(
            f"feature group {group.name!r} version {group.version} is used by the feature views {names}; delete with "
            "delete_feature_views=True to remove them too, or with force=True to leave them without it"
        )
    if with_views:
        for view in using:
            if view.project_id == group.project_id:
                datasets.delete_view(platform, platform.project(view.project_id), view, force=force)
    group_changes.delete_group(platform, group)
