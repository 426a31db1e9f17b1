"""Feature monitoring: configurations of feature groups and views, and the comparisons that they ask for.

A configuration says which features to look at, in which window, and what to compare them with: another window, a
training dataset, or a number. It has a job of its own, which its schedule (or ``run_once``) starts and which the server
does itself, since the client's Python engine cannot. What a comparison means is in
:mod:`deepcube.embedded.quality.comparison`, which rows a window holds in :mod:`deepcube.embedded.quality.windows`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from deepcube.embedded.catalog import DuplicateEntityError, Entity
from deepcube.embedded.errors import bad_request, conflict, not_found, unsupported
from deepcube.embedded.keys import User
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.quality import checks, windows
from deepcube.embedded.quality.comparison import DISTRIBUTION_METRICS, METRICS, STRATEGIES
from deepcube.embedded.runtime.builtin import ensure_job
from deepcube.embedded.runtime.executions import Executions
from deepcube.embedded.runtime.jobs import JOB, SCHEDULE, schedule_document
from deepcube.embedded.runtime.models import MODEL
from deepcube.embedded.runtime.schedules import Schedules, save_schedule
from deepcube.embedded.store import groups, views

CONFIG = "monitoring_config"
JOB_KIND = "monitoring"
NOT_FOUND = 270233
EXISTS = 270232
COMPUTATION, COMPARISON, DISTRIBUTION = "STATISTICS_COMPUTATION", "STATISTICS_COMPARISON", "DISTRIBUTION_COMPARISON"
TYPES = (COMPUTATION, COMPARISON, DISTRIBUTION)

MAX_BINS = 10_000
_NAME = re.compile(r"^\w{1,64}$")
_KEPT = ("description", "featureMonitoringType", "eventTime", "modelName")
_COMPARED = (
    "metric",
    "threshold",
    "relative",
    "strict",
    "specificValue",
    "distributionMetric",
    "binningStrategy",
    "binCount",
    "smoothingEpsilon",
    "customBinEdges",
)

Json = dict[str, Any]


def create(platform: Platform, project: Project, artifact: Entity, document: Json, user: User) -> Entity:
    """Make a monitoring configuration with its job and schedule.

    Parameters
    ----------
    platform, project : Platform, Project
        Where.
    artifact : Entity
        Feature group or feature view.
    document : dict
        As the client writes it.
    user : User
        In whose name it is scheduled.

    Raises
    ------
    ApiError
        400 if the configuration cannot be, or one of this name exists.
    """
    name = document.get("name")
    if not isinstance(name, str) or not _NAME.match(name):
        raise bad_request(f"the name of a monitoring configuration has 1 to 64 letters, digits and _, found {name!r}")
    if document.get("triggerType") not in (None, "CRON"):
        raise unsupported("monitoring on each ingestion", "statistics follow each commit anyway; give it a schedule")
    body = _body(platform, artifact, document)
    with platform.catalog.transaction():
        try:
            config = platform.catalog.add(project.id, CONFIG, name, body, parent_id=artifact.id)
        except DuplicateEntityError:
            raise conflict(f"{artifact.name!r} has a monitoring configuration {name!r} already", EXISTS) from None
        job = ensure_job(platform, project, job_name(artifact, name), kind=JOB_KIND, config=config.id)
        config = platform.catalog.update(config, {**body, "jobName": job.name})
        _schedule(platform, project, job, document, user)
    platform.service(Schedules).look()  # once more: before the commit there was nothing to see
    return config


def _schedule(platform: Platform, project: Project, job: Entity, document: Json, user: User) -> None:
    schedule = checks.mapping(document.get("jobSchedule"), "jobSchedule")
    if schedule:
        save_schedule(platform, project, job, schedule, user.document())


def job_name(artifact: Entity, config: str) -> str:
    """Return the name of a configuration's job."""
    return f"{artifact.name}_{artifact.version}_{config}_run_feature_monitoring"


def update(platform: Platform, project: Project, config: Entity, document: Json, user: User) -> Entity:
    """Change a monitoring configuration; its name, and the results it has, stay."""
    artifact = platform.catalog.get(config.parent_id)
    assert artifact is not None
    body = {**_body(platform, artifact, document), "jobName": config.body["jobName"]}
    with platform.catalog.transaction():
        changed = platform.catalog.update(config, body)
        _schedule(platform, project, job_of(platform, config), document, user)
    platform.service(Schedules).look()
    return changed


def remove(platform: Platform, project: Project, config: Entity) -> None:
    """Remove a monitoring configuration with its results, job and schedule."""
    platform.service(Executions).remove_job(project, job_of(platform, config))
    platform.catalog.remove(config)


def job_of(platform: Platform, config: Entity) -> Entity:
    """Return the job of a configuration; made again if someone removed it."""
    found = platform.catalog.first(config.project_id, JOB, name=config.body["jobName"])
    if found is not None:
        return found
    project = platform.project(config.project_id)
    return ensure_job(platform, project, config.body["jobName"], kind=JOB_KIND, config=config.id)


def find(platform: Platform, artifact: Entity, config_id: int) -> Entity:
    """Return a configuration of an artifact by id.

    Raises
    ------
    ApiError
        404 (270233) if it has none with this id.
    """
    config = platform.catalog.get(config_id, CONFIG)
    if config is None or config.parent_id != artifact.id:
        raise not_found(f"{artifact.name!r} has no monitoring configuration with id {config_id}", NOT_FOUND)
    return config


def named(platform: Platform, artifact: Entity, name: str) -> Entity:
    """Return a configuration of an artifact by name.

    Raises
    ------
    ApiError
        404 (270233) if it has none of this name.
    """
    config = platform.catalog.first(artifact.project_id, CONFIG, name=name, parent_id=artifact.id)
    if config is None:
        raise not_found(f"{artifact.name!r} has no monitoring configuration {name!r}", NOT_FOUND)
    return config


def of_artifact(platform: Platform, artifact: Entity, feature: str | None = None) -> list[Entity]:
    """Return the configurations of an artifact, or those of them that look at a feature."""
    found = platform.catalog.find(artifact.project_id, CONFIG, parent_id=artifact.id)
    return [config for config in found if feature is None or feature in feature_names(config)]


def of_model(platform: Platform, project: Project, model: Entity) -> list[Entity]:
    """Return the configurations that look at what a model logged."""
    assert model.kind == MODEL
    wanted = (model.name, model.version)
    found = platform.catalog.find(project.id, CONFIG)
    return [config for config in found if (config.body.get("modelName"), config.body.get("modelVersion")) == wanted]


def feature_names(config: Entity) -> list[str]:
    """Return the features that a configuration looks at."""
    return [each["featureName"] for each in config.body["featureStatisticsConfigs"]]


def document(platform: Platform, config: Entity) -> Json:
    """Return a configuration as the REST API writes one."""
    artifact = platform.catalog.get(config.parent_id)
    assert artifact is not None
    job = platform.catalog.first(config.project_id, JOB, name=config.body["jobName"])
    schedule = platform.catalog.first(config.project_id, SCHEDULE, parent_id=job.id) if job is not None else None
    result = {"id": config.id, "name": config.name, "featureStoreId": config.project_id, "triggerType": "CRON"}
    result |= {key: value for key, value in config.body.items() if value is not None}
    if schedule is not None:
        result |= {"jobSchedule": schedule_document(schedule), "enabled": schedule.body["enabled"]}
    if artifact.kind == groups.KIND:
        return {**result, "featureGroupId": artifact.id}
    names = {"featureViewName": artifact.name, "featureViewVersion": artifact.version}
    return {**result, "featureViewId": artifact.id, **names}


def _body(platform: Platform, artifact: Entity, document: Json) -> Json:
    """Check a configuration and return what is kept of it, each part with a number of its own."""
    if document.get("featureMonitoringType") not in TYPES:
        raise bad_request(f"featureMonitoringType must be one of {', '.join(TYPES)}")
    windows.check_event_time(platform, artifact, document.get("eventTime"))
    number = iter(range(1, 1_000_000))
    body: Json = {key: checks.text(document.get(key), key) for key in _KEPT}
    body["modelVersion"] = checks.integer(document.get("modelVersion"), "modelVersion")
    body["detectionWindowConfig"] = _window(document.get("detectionWindowConfig"), number)
    reference = document.get("referenceWindowConfig")
    if reference is not None and document["featureMonitoringType"] != COMPUTATION:
        body["referenceWindowConfig"] = _window(reference, number, is_reference=True)
        _keep_view(platform, artifact, document, body)
    known = _features(artifact)
    body["featureStatisticsConfigs"] = [
        _feature(each, known, number, "referenceWindowConfig" in body)
        for each in checks.objects(document.get("featureStatisticsConfigs"), "featureStatisticsConfigs")
    ]
    if not body["featureStatisticsConfigs"] and document["featureMonitoringType"] != COMPUTATION:
        raise bad_request("there is nothing to compare; use compare_on() or compare_on_distribution()")
    return body


def _features(artifact: Entity) -> list[str]:
    return [feature["name"] for feature in artifact.body["features"]]


def _window(document: Any, number: Iterator[int], *, is_reference: bool = False) -> Json:
    given = checks.mapping(document, "a window")
    kind = given.get("windowConfigType", windows.ALL_TIME)
    if kind not in windows.TYPES or (kind == windows.TRAINING_DATASET and not is_reference):
        raise bad_request(f"windowConfigType {kind!r} is not one of {', '.join(windows.TYPES)}")
    if kind == windows.TRAINING_DATASET:
        version = checks.integer(given.get("trainingDatasetVersion"), "trainingDatasetVersion")
        if version is None:
            raise bad_request("a reference training dataset needs a trainingDatasetVersion")
        return {"id": next(number), "windowConfigType": kind, "trainingDatasetVersion": version}
    fraction = checks.number(given.get("rowPercentage"), "rowPercentage")
    fraction = 1.0 if fraction is None else float(fraction)
    if not 0 < fraction <= 1:
        raise bad_request(f"rowPercentage must be above 0 and at most 1, found {fraction}")
    times = {key: checks.text(given.get(key), key, 100) for key in ("timeOffset", "windowLength")}
    windows.bounds(times, 0)
    return {"id": next(number), "windowConfigType": kind, **times, "rowPercentage": fraction}


def _keep_view(platform: Platform, artifact: Entity, document: Json, body: Json) -> None:
    """Keep which view a reference training dataset belongs to, if the artifact is a feature group.

    The configuration names it, or else a model, whose log the feature group holds and which names its view.
    """
    if body["referenceWindowConfig"]["windowConfigType"] != windows.TRAINING_DATASET or artifact.kind == views.KIND:
        return
    name, version = document.get("featureViewName"), document.get("featureViewVersion")
    if name is None and body["modelName"] is not None:
        model = platform.catalog.first(
            artifact.project_id, MODEL, name=body["modelName"], version=int(body["modelVersion"] or 0)
        )
        view = (model.body.get("featureView") or {}) if model is not None else {}
        name, version = view.get("name"), view.get("version")
    if name is None or version is None:
        raise bad_request("a feature group is compared with a training dataset only for a model that names its view")
    body |= {"featureViewName": name, "featureViewVersion": version}


def _feature(document: Json, known: list[str], number: Iterator[int], has_reference: bool) -> Json:
    name = document.get("featureName")
    if name not in known:
        raise bad_request(f"there is no feature {name!r}; the features are {', '.join(known)}")
    result: Json = {"id": next(number), "featureName": name}
    if document.get("statisticsComparisonConfigs") is not None:
        result["statisticsComparisonConfigs"] = [
            _comparison(each, number, has_reference)
            for each in checks.objects(document["statisticsComparisonConfigs"], "statisticsComparisonConfigs")
        ]
    return result


def _comparison(document: Json, number: Iterator[int], has_reference: bool) -> Json:
    metric, distribution = document.get("metric"), document.get("distributionMetric")
    if (metric is None) == (distribution is None):
        raise bad_request("a comparison has either a metric or a distributionMetric")
    if metric is not None and str(metric).upper() not in METRICS:
        raise bad_request(f"metric {metric!r} is not one of {', '.join(METRICS)}")
    if distribution is not None and distribution not in DISTRIBUTION_METRICS:
        raise bad_request(f"distributionMetric {distribution!r} is not one of {', '.join(DISTRIBUTION_METRICS)}")
    if document.get("binningStrategy") not in (None, *STRATEGIES):
        raise bad_request(f"binningStrategy {document['binningStrategy']!r} is not one of {', '.join(STRATEGIES)}")
    if document.get("specificValue") is None and not has_reference:
        raise bad_request("a comparison needs a reference window, a training dataset or a specific value")
    for key in ("threshold", "specificValue", "smoothingEpsilon"):
        checks.number(document.get(key), key)
    bins = checks.integer(document.get("binCount"), "binCount")
    if bins is not None and not 1 <= bins <= MAX_BINS:
        raise bad_request(f"binCount must be from 1 to {MAX_BINS}, found {bins}")
    edges = document.get("customBinEdges")
    if edges is not None and not isinstance(edges, list):
        raise bad_request("customBinEdges must be a list of numbers")
    for edge in edges or []:
        checks.number(edge, "an edge of a bin")
    kept = {key: document[key] for key in _COMPARED if document.get(key) is not None}
    return {"id": next(number), "relative": False, "strict": False, **kept}
