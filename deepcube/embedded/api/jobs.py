"""Job definitions."""

from __future__ import annotations

from deepcube.embedded.routing import Call, Json, Routes
from deepcube.embedded.runtime.executions import Executions
from deepcube.embedded.runtime.jobs import JOB, find_job, job_document, job_template, save_job

routes = Routes("/project/{project_id:int}/jobs")


@routes.get("")
def find(call: Call) -> Json:
    """List the jobs."""
    jobs = call.platform.catalog.find(call.project.id, JOB)
    offset = call.integer("offset", 0) or 0
    limit = call.integer("limit")
    page = jobs[offset:] if limit is None else jobs[offset : offset + limit]
    return {"count": len(jobs), "items": [job_document(call.platform, job) for job in page]}


@routes.get("/{type}/configuration")
def configuration(call: Call) -> Json:
    """Return the default configuration of a job type."""
    return job_template(call.path["type"])


@routes.put("/{name}")
def save(call: Call) -> Json:
    """Make a job, or change one."""
    job = save_job(call.platform, call.project, call.path["name"], dict(call.document), creator=call.user.document())
    return job_document(call.platform, job)


@routes.get("/{name}")
def read(call: Call) -> Json:
    """Return a job."""
    return job_document(call.platform, find_job(call.platform, call.project, call.path["name"]))


@routes.delete("/{name}")
def remove(call: Call) -> None:
    """Remove a job with its executions; what runs of it is stopped."""
    job = find_job(call.platform, call.project, call.path["name"])
    call.platform.service(Executions).remove_job(call.project, job)
