"""Appended features: the columns that a Delta table gets when its feature group does.

The client changes the metadata first and then asks for a job that changes the table. Between the two, and after a crash
there, reads give missing values for the new features.
"""

from __future__ import annotations

from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime.builtin import BUILTINS, ensure_job, run_job, say
from deepcube.embedded.store import groups

JOB = "table_schema"


def start_job(platform: Platform, project: Project, group: Entity) -> Entity:
    """Start the job that gives the table of a feature group its new columns, and return it."""
    name = f"{group.name}_{group.version}_alter_fg_schema"
    job = ensure_job(platform, project, name, kind=JOB, target=group.id)
    run_job(platform, project, job)
    return job


def _work(platform: Platform, project: Project, arguments: dict[str, Any]) -> None:
    added = groups.append_columns(platform, project, groups.own_group(platform, project, arguments["target"]))
    say(f"new columns: {', '.join(added) or 'none'}")


BUILTINS[JOB] = _work
