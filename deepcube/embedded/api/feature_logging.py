"""Feature logging: the log of a feature view is enabled, found, paused, written to the offline table, and emptied."""

from __future__ import annotations

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request
from deepcube.embedded.online import feature_log
from deepcube.embedded.routing import Call, Json, Routes
from deepcube.embedded.runtime.builtin import job_document, run_job
from deepcube.embedded.runtime.jobs import SCHEDULE, find_job
from deepcube.embedded.runtime.schedules import save_schedule
from deepcube.embedded.store.features import STREAM
from deepcube.embedded.store.groups import materialization_job
from deepcube.embedded.store.views import find_view

_VIEW = "/featureview/{name}/version/{version:int}"
routes = Routes("/project/{project_id:int}/featurestores/{featurestore_id:int}" + _VIEW + "/log")


def _view(call: Call) -> Entity:
    return find_view(call.platform, call.project, call.path["name"], call.path["version"])


@routes.put()
def enable(call: Call) -> Json:
    """Give a feature view a log; one that has it keeps it."""
    logging = feature_log.enable(call.platform, call.project, _view(call), call.document)
    return feature_log.logging_document(call.platform, logging)


@routes.get()
def find(call: Call) -> Json:
    """Return the log of a feature view with its feature group."""
    return feature_log.logging_document(call.platform, feature_log.logging_of(call.platform, _view(call)))


@routes.post("/pause")
def pause(call: Call) -> Json:
    """Pause the schedule by which the log is written to the offline table; logging itself goes on."""
    _set_paused(call, True)


@routes.post("/resume")
def resume(call: Call) -> Json:
    """Let the schedule go on."""
    _set_paused(call, False)


def _set_paused(call: Call, paused: bool) -> None:
    logging = feature_log.logging_of(call.platform, _view(call))
    feature_log.pause(call.platform, logging, paused)
    job = _job(call, logging)
    schedule = job and call.platform.catalog.first(call.project.id, SCHEDULE, parent_id=job.id)
    if job is not None and schedule is not None:
        changed = {**schedule.body, "enabled": not paused}
        save_schedule(call.platform, call.project, job, changed, schedule.body["user"])


def _job(call: Call, logging: Entity) -> Entity | None:
    """Return the job that materialises a log; None for one that the client's own job commits."""
    group = feature_log.group_of(call.platform, logging)
    if group.body["type"] != STREAM:
        return None
    return find_job(call.platform, call.project, materialization_job(group))


@routes.post("/materialize")
def materialize(call: Call) -> Json:
    """Write the log to the offline table, by its job."""
    job = _job(call, feature_log.logging_of(call.platform, _view(call)))
    if job is None:
        raise bad_request("this log is committed by a job of the client's own; call materialize_log() of the client")
    run_job(call.platform, call.project, job)
    return job_document(call.platform, job)


@routes.delete()
@routes.delete("/transformed")
@routes.delete("/untransformed")
def delete(call: Call) -> Json:
    """Empty the log; with ``transport``, make it anew for that way. One group holds both kinds of features."""
    feature_log.delete(call.platform, call.project, _view(call), call.parameter("transport"))
