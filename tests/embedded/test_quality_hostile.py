"""Documents that make no sense: each is refused with a reason, none breaks the catalog or is half kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import ApiError
from deepcube.embedded.home import Home
from deepcube.embedded.keys import OWNER
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.quality import expectations, monitoring, projects, results, statistics, tagging, validation
from deepcube.embedded.quality.filters import Filters
from deepcube.embedded.quality.search import Search
from deepcube.embedded.quality.statistics import StatisticsQuery
from deepcube.embedded.server import open_platform
from deepcube.embedded.store import group_changes

GROUP = {
    "name": "rows",
    "version": 1,
    "features": [
        {"name": "cell", "type": "bigint", "primary": True},
        {"name": "time", "type": "timestamp"},
        {"name": "ndvi", "type": "double"},
    ],
    "eventTime": "time",
    "timeTravelFormat": "DELTA",
}
SUITE = {
    "expectationSuiteName": "s",
    "meta": "{}",
    "validationIngestionPolicy": "STRICT",
    "runValidation": True,
    "expectations": [{"expectationType": "expect_x", "kwargs": '{"column": "ndvi"}', "meta": "{}"}],
}
REPORT = {
    "success": True,
    "ingestionResult": "INGESTED",
    "statistics": "{}",
    "meta": "{}",
    "results": [{"success": True, "result": "{}", "expectationConfig": '{"meta": {"expectationId": 1}}'}],
}
STATISTICS = {
    "computationTime": 5,
    "rowPercentage": 1.0,
    "beforeTransformation": False,
    "featureDescriptiveStatistics": [{"featureName": "ndvi", "count": 3, "mean": 1.0}],
    "splitStatistics": [{"name": "train", "featureDescriptiveStatistics": [{"featureName": "ndvi", "count": 2}]}],
}
CONFIG = {
    "name": "config",
    "featureMonitoringType": "STATISTICS_COMPARISON",
    "eventTime": "time",
    "detectionWindowConfig": {"windowConfigType": "ROLLING_TIME", "timeOffset": "1d", "rowPercentage": 0.5},
    "referenceWindowConfig": {"windowConfigType": "ALL_TIME", "rowPercentage": 1.0},
    "featureStatisticsConfigs": [
        {
            "featureName": "ndvi",
            "statisticsComparisonConfigs": [
                {"metric": "MEAN", "threshold": 1.0, "strict": False, "specificValue": 1.0},
                {"distributionMetric": "PSI", "threshold": 0.2, "binCount": 5, "customBinEdges": [0.0, 1.0]},
            ],
        }
    ],
    "jobSchedule": {"cronExpression": "0 0 3 * * ?", "startDateTime": 5, "enabled": True},
}
RESULT = {"monitoringTime": 5, "executionId": 1, "featureStatisticsResults": [{"featureName": "ndvi"}]}

json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["9" * 300, "\ud800", "a\0b"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def damaged(draw: st.DrawFn, document: Any) -> Any:
    """Return a document with one part replaced by something else."""
    if draw(st.integers(0, 3)) == 0 or not isinstance(document, (dict, list)) or not document:
        return draw(json_values)
    changed = copy.copy(document)
    key = draw(st.sampled_from(sorted(document) if isinstance(document, dict) else list(range(len(document)))))
    changed[key] = draw(damaged(document[key]))
    return changed


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    home = Home(tmp_path_factory.mktemp("home"))
    home.prepare()
    opened = open_platform(home, 0)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def project(platform: Platform) -> Project:
    return platform.projects()[0]


@pytest.fixture(scope="module")
def group(platform: Platform, project: Project) -> Entity:
    return group_changes.create_group(platform, project, GROUP)


def count(platform: Platform) -> int:
    with platform.catalog.transaction() as connection:
        (found,) = connection.execute("SELECT count(*) FROM entity").fetchone()
    return int(found)


def attempt(platform: Platform, call: Callable[[], object]) -> bool:
    """Make a call that may be refused; if it is, nothing of it may be kept."""
    before = count(platform)
    try:
        call()
    except ApiError as error:
        assert error.status in (400, 404, 501) and len(error.message) > 10
        assert count(platform) == before
        return False
    return True


given_settings = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@given_settings
@given(document=damaged(SUITE))
def test_suites(platform: Platform, group: Entity, document: Any) -> None:
    if isinstance(document, dict) and attempt(platform, lambda: expectations.create_suite(platform, group, document)):
        made = expectations.find_suite(platform, group)
        assert made is not None and expectations.suite_document(platform, group, made)["id"] == made.id
        expectations.delete_suite(platform, group, made.id, OWNER)


@given_settings
@given(document=damaged(REPORT))
def test_reports(platform: Platform, group: Entity, document: Any) -> None:
    if isinstance(document, dict):
        attempt(platform, lambda: validation.save_report(platform, group, document, OWNER))
    assert isinstance(validation.history(platform, group, 1, Filters()), list)


@given_settings
@given(document=damaged(STATISTICS))
def test_statistics(platform: Platform, group: Entity, document: Any) -> None:
    if isinstance(document, dict):
        attempt(platform, lambda: statistics.save(platform, group, document))
    found = statistics.find(platform, group, StatisticsQuery(Filters.parse(["computation_time_ltoeq:10"])))
    assert isinstance(found, list)


@given_settings
@given(document=damaged(CONFIG))
def test_monitoring(platform: Platform, project: Project, group: Entity, document: Any) -> None:
    if not isinstance(document, dict):
        return
    if attempt(platform, lambda: monitoring.create(platform, project, group, document, OWNER)):
        (config,) = monitoring.of_artifact(platform, group)
        assert monitoring.document(platform, config)["id"] == config.id
        monitoring.remove(platform, project, config)


@given_settings
@given(document=damaged(RESULT))
def test_results(platform: Platform, project: Project, group: Entity, document: Any) -> None:
    found = monitoring.of_artifact(platform, group)
    config = found[0] if found else monitoring.create(platform, project, group, CONFIG, OWNER)
    if isinstance(document, dict):
        attempt(platform, lambda: results.save(platform, config, document))
    for result in results.of_config(platform, config, Filters()):
        results.document(platform, result, with_statistics=True)
    monitoring.remove(platform, project, config)


@given_settings
@given(name=st.one_of(st.text(max_size=300), st.just("\udfff"), json_values), value=json_values)
def test_tags_keywords_and_projects(platform: Platform, group: Entity, name: Any, value: Any) -> None:
    document = {"items": [{"name": name, "value": value}]}
    attempt(platform, lambda: tagging.set_tags(platform, group, document))
    attempt(platform, lambda: tagging.set_tags(platform, group, value))
    attempt(platform, lambda: tagging.replace_keywords(platform, group, [name]))
    attempt(platform, lambda: projects.create(platform, name, value, OWNER))
    attempt(platform, lambda: projects.add_members(platform, platform.projects()[0], value))
    assert len(tagging.tags(platform, group)) >= 0


@given_settings
@given(st.lists(st.one_of(st.text(max_size=20), st.from_regex(r"[a-z_]{1,10}_(eq|ltoeq|gte):.{0,10}", fullmatch=True))))
def test_filters(texts: list[str]) -> None:
    try:
        found = Filters.parse(texts)
    except ApiError as error:
        assert error.status == 400
        return
    for name, _, _ in found.conditions:
        for value in (None, 5, "text", True):
            assert found.holds(name, value) in (True, False)


@given_settings
@given(term=st.one_of(st.none(), st.text(max_size=20)), keywords=st.text(max_size=20), tags=st.text(max_size=20))
def test_searches(platform: Platform, term: str | None, keywords: str, tags: str) -> None:
    from deepcube.embedded.quality.search import search

    try:
        wanted = Search.parse(term, keywords, tags)
    except ApiError as error:
        assert error.status == 400
        return
    found = search(platform, platform.projects(), wanted, "ALL", offset=0, size=10)
    assert found["featuregroupsTotal"] >= len(found["featuregroups"])
