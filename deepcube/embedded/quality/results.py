"""The runs of feature monitoring: compute the windows' statistics, compare them, keep what was found."""

from __future__ import annotations

import math
from typing import Any

from deepcube.embedded.catalog import Entity, now_ms
from deepcube.embedded.errors import EmbeddedError, not_found
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.quality import checks, monitoring, statistics, windows
from deepcube.embedded.quality.comparison import EXACT_METRICS, compare
from deepcube.embedded.quality.filters import Filters
from deepcube.embedded.quality.profile import ProfileConfig
from deepcube.embedded.quality.windows import Window
from deepcube.embedded.runtime import alerts
from deepcube.embedded.runtime.builtin import BUILTINS, say
from deepcube.embedded.runtime.executions import EXECUTION
from deepcube.embedded.store import datasets, views

RESULT = "monitoring_result"
_DETECTION, _REFERENCE = 0, 1  # versions under which a result keeps statistics of its own

Json = dict[str, Any]


def run(platform: Platform, project: Project, arguments: Json) -> None:
    """Do what a monitoring configuration asks for: the built-in job of kind ``monitoring``.

    A run that fails is kept as a result too, which says so.
    """
    config = platform.catalog.get(int(arguments["config"]), monitoring.CONFIG)
    artifact = platform.catalog.get(config.parent_id) if config is not None else None
    if config is None or artifact is None:
        raise EmbeddedError("this monitoring configuration was removed")
    try:
        result = _Run(platform, project, config, artifact).result()
    except Exception:
        save(platform, config, {"raisedException": True, "executionId": _execution(platform, config)})
        raise
    shifted = result.body["shiftedFeatureNames"]
    say(f"{len(result.body['featureStatisticsResults'])} features looked at, shifted: {', '.join(shifted) or 'none'}")


class _Run:
    """One run of one configuration."""

    def __init__(self, platform: Platform, project: Project, config: Entity, artifact: Entity) -> None:
        self._platform = platform
        self._project = project
        self._config = config
        self._artifact = artifact
        self._now = now_ms()

    def result(self) -> Entity:
        """Compute, compare and keep."""
        body = self._config.body
        window = self._window(body["detectionWindowConfig"])
        detection = self._statistics(window)
        reference_config = body.get("referenceWindowConfig")
        reference_window = None
        reference: list[Json] | None = None
        if reference_config is not None:
            if reference_config["windowConfigType"] == windows.TRAINING_DATASET:
                reference = self._dataset_statistics(reference_config["trainingDatasetVersion"])
            else:
                reference_window = self._window(reference_config)
                reference = self._statistics(reference_window)
        catalog = self._platform.catalog
        with catalog.transaction():
            kept = self._register(window, detection)
            kept_reference = self._register(reference_window, reference) if reference_window and reference else None
            found = save(self._platform, self._config, self._body(detection, reference))
            documents = found.body["featureStatisticsResults"]
            _attach(documents, "detection", statistics.features(self._platform, kept))
            if kept_reference is not None:
                _attach(documents, "reference", statistics.features(self._platform, kept_reference))
            elif reference is not None:
                _attach(documents, "reference", self._keep_with(found, reference))
            statistics.forget_oldest(self._platform, self._artifact)
            self._alert(found)
            return catalog.update(found, found.body)

    def _window(self, document: Json) -> Window:
        start, end = windows.bounds(document, self._now)
        body = self._config.body
        model = (body["modelName"], int(body["modelVersion"])) if body.get("modelName") else None
        # A window without an offset has no start; by event time it then holds all rows, those of the future too.
        unbounded = document["windowConfigType"] == windows.ALL_TIME and body.get("eventTime") is not None
        return Window(start, None if unbounded else end, body.get("eventTime"), document["rowPercentage"], model)

    def _profile_config(self) -> ProfileConfig:
        comparisons = [
            each
            for feature in self._config.body["featureStatisticsConfigs"]
            for each in feature.get("statisticsComparisonConfigs") or []
        ]
        distributions = any(each.get("distributionMetric") for each in comparisons)
        exact = any(str(each.get("metric")).upper() in EXACT_METRICS for each in comparisons)
        columns = tuple(monitoring.feature_names(self._config))
        return ProfileConfig(columns, histograms=distributions, exact_uniqueness=exact)

    def _statistics(self, window: Window) -> list[Json]:
        return windows.statistics_of(self._platform, self._project, self._artifact, window, self._profile_config())

    def _dataset_statistics(self, version: int) -> list[Json]:
        view = self._artifact
        if view.kind != views.KIND:
            body = self._config.body
            view = views.find_view(self._platform, self._project, body["featureViewName"], body["featureViewVersion"])
        dataset = datasets.find_dataset(self._platform, view, version)
        return windows.statistics_of_dataset(self._platform, self._project, dataset, self._profile_config())

    def _register(self, window: Window, documents: list[Json]) -> Entity:
        """Keep a window's statistics with the artifact, where they can be asked for by themselves."""
        bounds = window.document()
        if window.event_time is not None and window.end_ms is None:
            bounds["windowEndEventTime"] = self._now
        document = {"computationTime": self._now, **bounds, "featureDescriptiveStatistics": documents}
        return statistics.save(self._platform, self._artifact, document)

    def _keep_with(self, result: Entity, documents: list[Json]) -> list[Json]:
        """Keep the statistics of a training dataset with the result: they are not those that the client registered."""
        kept = [
            self._platform.catalog.add(
                result.project_id,
                statistics.FEATURE,
                document["featureName"],
                {key: value for key, value in document.items() if key != "featureName"},
                version=_REFERENCE,
                parent_id=result.id,
            )
            for document in documents
        ]
        return [statistics.feature_document(entity) for entity in kept]

    def _body(self, detection: list[Json], reference: list[Json] | None) -> Json:
        found, other = _by_name(detection), _by_name(reference or [])
        results = []
        for feature in self._config.body["featureStatisticsConfigs"]:
            name = feature["featureName"]
            if name not in found or (reference is not None and name not in other):
                say(f"{name}: left out, one of the windows does not have it")
                continue
            results.append(self._feature_result(feature, found[name], other.get(name)))
        if self._config.body["featureMonitoringType"] == monitoring.COMPUTATION and not results:
            results = [{"featureName": name} for name in found]
        empty_reference = None if reference is None else any(not each["count"] for each in reference)
        return {
            "monitoringTime": self._now,
            "executionId": _execution(self._platform, self._config),
            "featureStatisticsResults": results,
            "shiftedFeatureNames": [each["featureName"] for each in results if each.get("shiftedMetricNames")],
            "emptyDetectionWindow": any(not each["count"] for each in detection),
            "emptyReferenceWindow": empty_reference,
            "raisedException": False,
        }

    def _feature_result(self, feature: Json, detection: Json, reference: Json | None) -> Json:
        outcomes, shifted = [], []
        for comparison in feature.get("statisticsComparisonConfigs") or []:
            outcome = compare(comparison, detection, reference)
            metric = comparison.get("metric") or comparison["distributionMetric"]
            say(f"{feature['featureName']}: {metric} differs by {outcome.difference}")
            difference = outcome.difference
            outcomes.append(
                {
                    "id": comparison["id"],
                    "statisticsComparisonConfigId": comparison["id"],
                    "shiftDetected": outcome.shifted,
                    "difference": difference if difference is not None and math.isfinite(difference) else None,
                }
            )
            shifted += [metric] if outcome.shifted else []
        result: Json = {"id": feature["id"], "featureName": feature["featureName"]}
        if outcomes:
            result |= {"statisticsComparisonResults": outcomes, "shiftedMetricNames": sorted(set(shifted))}
        return result

    def _alert(self, result: Entity) -> None:
        """Trigger the alerts that wait for what was found."""
        shifted = result.body["shiftedFeatureNames"]
        status = "MONITORING_SHIFT_DETECTED" if shifted else "MONITORING_SHIFT_UNDETECTED"
        statuses = [status, *(["MONITORING_EMPTY_DETECTION_WINDOW"] if result.body["emptyDetectionWindow"] else [])]
        for each in statuses:
            summary = f"{self._config.name}: {each.lower().replace('_', ' ')} {', '.join(shifted)}".strip()
            for owner in (self._artifact, None):
                alerts.trigger(self._platform, self._project.id, owner, each, summary, monitoring=self._config.name)


def _by_name(documents: list[Json]) -> dict[str, Json]:
    return {document["featureName"]: document for document in documents}


def _attach(results: list[Json], role: str, kept: list[Json]) -> None:
    identifiers = {document["featureName"]: document["id"] for document in kept}
    for result in results:
        if result["featureName"] in identifiers:
            result[f"{role}StatisticsId"] = identifiers[result["featureName"]]


def _execution(platform: Platform, config: Entity) -> int:
    """Return the execution of the configuration's job that runs now; 0 if none does."""
    job = monitoring.job_of(platform, config)
    newest = platform.catalog.first(config.project_id, EXECUTION, parent_id=job.id, newest_first=True)
    return newest.id if newest is not None else 0


def save(platform: Platform, config: Entity, document: Json) -> Entity:
    """Keep the result of a run."""
    body = {
        "monitoringTime": checks.integer(document.get("monitoringTime"), "monitoringTime") or now_ms(),
        "executionId": checks.integer(document.get("executionId"), "executionId") or 0,
        "featureStatisticsResults": checks.objects(
            document.get("featureStatisticsResults"), "featureStatisticsResults"
        ),
        "shiftedFeatureNames": checks.names(document.get("shiftedFeatureNames"), "shiftedFeatureNames"),
        "emptyDetectionWindow": bool(document.get("emptyDetectionWindow")),
        "emptyReferenceWindow": document.get("emptyReferenceWindow"),
        "raisedException": bool(document.get("raisedException")),
    }
    catalog = platform.catalog
    with catalog.transaction():
        number = catalog.next_version(config.project_id, RESULT, "result", config.id)
        return catalog.add(config.project_id, RESULT, "result", body, version=number, parent_id=config.id)


def find(platform: Platform, artifact: Entity, result_id: int) -> Entity:
    """Return a result by id.

    Raises
    ------
    ApiError
        404 (270233) if no configuration of the artifact has it.
    """
    result = platform.catalog.get(result_id, RESULT)
    config = platform.catalog.get(result.parent_id, monitoring.CONFIG) if result is not None else None
    if result is None or config is None or config.parent_id != artifact.id:
        raise not_found(f"{artifact.name!r} has no monitoring result with id {result_id}", monitoring.NOT_FOUND)
    return result


def of_config(platform: Platform, config: Entity, filters: Filters) -> list[Entity]:
    """Return the results of a configuration, newest first.

    Parameters
    ----------
    platform : Platform
        Shared state.
    config : Entity
        The configuration.
    filters : Filters
        On ``monitoring_time`` (milliseconds).
    """
    found = platform.catalog.find(config.project_id, RESULT, parent_id=config.id, newest_first=True)
    return [result for result in found if filters.holds("monitoring_time", result.body["monitoringTime"])]


def document(platform: Platform, result: Entity, *, with_statistics: bool) -> Json:
    """Return a result as the REST API writes one, with the statistics that were compared if wanted."""
    found = {
        "id": result.id,
        "featureStoreId": result.project_id,
        "featureMonitoringConfigId": result.parent_id,
        **result.body,
    }
    if with_statistics:
        results = [_with_statistics(platform, each) for each in result.body["featureStatisticsResults"]]
        found["featureStatisticsResults"] = results
    return found


def _with_statistics(platform: Platform, feature: Json) -> Json:
    result = dict(feature)
    for role in ("detection", "reference"):
        identifier = feature.get(f"{role}StatisticsId")
        entity = platform.catalog.get(identifier, statistics.FEATURE) if isinstance(identifier, int) else None
        if entity is not None:
            result[f"{role}Statistics"] = statistics.feature_document(entity)
    return result


BUILTINS[monitoring.JOB_KIND] = run
