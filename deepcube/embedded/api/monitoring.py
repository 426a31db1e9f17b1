"""Feature monitoring of feature groups and feature views: configurations, runs and results."""

from __future__ import annotations

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request
from deepcube.embedded.quality import monitoring, results
from deepcube.embedded.quality.artifacts import artifact_of
from deepcube.embedded.quality.filters import Filters
from deepcube.embedded.routing import Call, Json, Routes, items
from deepcube.embedded.runtime.builtin import job_document, run_job

routes = Routes("/project/{project_id:int}")

_STORE = "/featurestores/{featurestore_id:int}"
_BASES = tuple(
    _STORE + artifact + "/featuremonitoring"
    for artifact in ("/featuregroups/{group_id:int}", "/featureview/{view}/version/{version:int}")
)


def _artifact(call: Call) -> Entity:
    return artifact_of(call.platform, call.project, call.path)


def _config(call: Call) -> Entity:
    return monitoring.find(call.platform, _artifact(call), call.path["config_id"])


def _document(call: Call, config: Entity) -> Json:
    return monitoring.document(call.platform, config)


def create_config(call: Call) -> Json:
    """Make a configuration with its job and schedule."""
    config = monitoring.create(call.platform, call.project, _artifact(call), call.document, call.user)
    return _document(call, config)


def list_configs(call: Call) -> Json:
    """List the configurations of an artifact, or those that look at one feature."""
    found = monitoring.of_artifact(call.platform, _artifact(call), call.path.get("feature"))
    return items([_document(call, config) for config in found])


def config_by_name(call: Call) -> Json:
    """Return a configuration by name."""
    return _document(call, monitoring.named(call.platform, _artifact(call), call.path["name"]))


def config_by_id(call: Call) -> Json:
    """Return a configuration by id."""
    return _document(call, _config(call))


def update_config(call: Call) -> Json:
    """Change a configuration."""
    return _document(call, monitoring.update(call.platform, call.project, _config(call), call.document, call.user))


def delete_config(call: Call) -> Json:
    """Remove a configuration with its results and job."""
    monitoring.remove(call.platform, call.project, _config(call))


def set_up_job(call: Call) -> Json:
    """Return the job of a configuration."""
    config = monitoring.named(call.platform, _artifact(call), call.path["name"])
    return job_document(call.platform, monitoring.job_of(call.platform, config))


def trigger_job(call: Call) -> Json:
    """Run a configuration now."""
    job = monitoring.job_of(call.platform, _config(call))
    run_job(call.platform, call.project, job)
    return job_document(call.platform, job)


def save_result(call: Call) -> Json:
    """Keep a result that a client computed."""
    config_id = call.document.get("featureMonitoringConfigId")
    if not isinstance(config_id, int):
        raise bad_request("the result names no featureMonitoringConfigId")
    config = monitoring.find(call.platform, _artifact(call), config_id)
    return results.document(call.platform, results.save(call.platform, config, call.document), with_statistics=False)


def list_results(call: Call) -> Json:
    """List the results of a configuration, newest first."""
    filters = Filters.parse(call.query.get("filter_by", []))
    found = results.of_config(call.platform, _config(call), filters)
    offset, limit = call.integer("offset", 0) or 0, call.integer("limit")
    chosen = found[offset : None if limit is None else offset + limit]
    with_statistics = call.parameter("expand") == "statistics"
    return items([results.document(call.platform, each, with_statistics=with_statistics) for each in chosen])


def result_by_id(call: Call) -> Json:
    """Return a result with the statistics that were compared."""
    found = results.find(call.platform, _artifact(call), call.path["result_id"])
    return results.document(call.platform, found, with_statistics=True)


def delete_result(call: Call) -> Json:
    """Remove a result."""
    call.platform.catalog.remove(results.find(call.platform, _artifact(call), call.path["result_id"]))


for _base in _BASES:
    routes.post(_base + "/config")(create_config)
    routes.get(_base + "/config/entity")(list_configs)
    routes.get(_base + "/config/feature/{feature}")(list_configs)
    routes.get(_base + "/config/name/{name}")(config_by_name)
    routes.post(_base + "/config/setup/{name}")(set_up_job)
    routes.get(_base + "/config/{config_id:int}")(config_by_id)
    routes.put(_base + "/config/{config_id:int}")(update_config)
    routes.delete(_base + "/config/{config_id:int}")(delete_config)
    routes.post(_base + "/config/{config_id:int}/trigger")(trigger_job)
    routes.post(_base + "/result")(save_result)
    routes.get(_base + "/result/byconfig/{config_id:int}")(list_results)
    routes.get(_base + "/result/{result_id:int}")(result_by_id)
    routes.delete(_base + "/result/{result_id:int}")(delete_result)


@routes.get("/modelregistries/{registry_id:int}/models/{model}/featuremonitoring")
def configs_of_model(call: Call) -> Json:
    """List the configurations that look at what a model logged."""
    found = monitoring.of_model(call.platform, call.project, _artifact(call))
    return items([_document(call, config) for config in found])
