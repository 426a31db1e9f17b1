"""What the rest of the platform calls in the online store: at the making of feature groups, and as a built-in job."""

from __future__ import annotations

from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.online import feature_log
from deepcube.embedded.online.materialize import JOB_KIND, job_name, run_job
from deepcube.embedded.online.store import OnlineStore
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime.builtin import BUILTINS, ensure_job
from deepcube.embedded.store.groups import CREATE_HOOKS, STREAM


def group_created(platform: Platform, project: Project, group: Entity, document: dict[str, Any]) -> None:
    """Make the online table and the materialisation job of a feature group that needs them."""
    if group.body.get("onlineEnabled"):
        platform.service(OnlineStore).create(group)
    if group.body.get("type") == STREAM:
        ensure_job(platform, project, job_name(group), kind=JOB_KIND, target=group.id)


def register() -> None:
    """Register with feature groups and built-in jobs; called once, when the wires are loaded."""
    BUILTINS[JOB_KIND] = run_job
    feature_log.register()
    if group_created not in CREATE_HOOKS:
        CREATE_HOOKS.append(group_created)
