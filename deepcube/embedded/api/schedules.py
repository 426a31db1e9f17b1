"""Schedules of jobs."""

from __future__ import annotations

from deepcube.embedded.catalog import Entity
from deepcube.embedded.routing import Call, Json, Routes
from deepcube.embedded.runtime.jobs import find_job, schedule_document
from deepcube.embedded.runtime.schedules import Schedules, find_schedule, save_schedule

routes = Routes("/project/{project_id:int}/jobs/{name}/schedule/v2")


def _job(call: Call) -> Entity:
    return find_job(call.platform, call.project, call.path["name"])


@routes.get("")
def read(call: Call) -> Json:
    """Return the schedule of a job."""
    return schedule_document(find_schedule(call.platform, call.project, _job(call)))


@routes.post("")
@routes.put("")
def save(call: Call) -> Json:
    """Schedule a job, or change its schedule."""
    schedule = save_schedule(call.platform, call.project, _job(call), call.document, call.user.document())
    return schedule_document(schedule)


@routes.delete("")
def remove(call: Call) -> None:
    """Remove the schedule of a job."""
    call.platform.catalog.remove(find_schedule(call.platform, call.project, _job(call)))
    call.platform.service(Schedules).look()
