"""Feature monitoring through the real client: configured, scheduled, computed by the server, listed."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.e2e

NOW = dt.datetime.now(dt.UTC).replace(tzinfo=None, minute=0, second=0, microsecond=0)


@pytest.fixture(scope="module")
def store(project: Any) -> Any:
    return project.get_feature_store()


def rows(days_ago: int, mean: float, count: int = 200, start: int = 0) -> pd.DataFrame:
    """Return rows of one day, with values around a mean."""
    number = np.arange(start, start + count)
    values = mean + np.sin(number)
    moment = NOW - dt.timedelta(days=days_ago)
    return pd.DataFrame(
        {"cell": number, "time": moment, "ndvi": values, "cover": np.where(number % 2, "crop", "forest")}
    )


def make_group(store: Any, name: str, *frames: pd.DataFrame) -> Any:
    group = store.create_feature_group(
        name, version=1, primary_key=["cell"], event_time="time", time_travel_format="DELTA"
    )
    for frame in frames:
        group.insert(frame)
        time.sleep(0.01)
    return group


def run(config: Any) -> Any:
    """Run a configuration, wait for its job, and return the newest result."""
    job = config.run_once()
    for _ in range(200):
        execution = job.get_executions()[0]
        if execution.state in ("FINISHED", "FAILED", "KILLED"):
            break
        time.sleep(0.1)
    assert execution.final_status == "SUCCEEDED"
    newest = config.get_history()[0]
    assert newest.execution_id == execution.id
    return newest


@pytest.fixture(scope="module")
def shifted(store: Any) -> Any:
    """A group whose last day has other values than the week before."""
    before = [rows(day, 0.0, start=day * 1000) for day in (3, 4, 5)]
    return make_group(store, "monitored", *before, rows(0, 5.0, start=0))


def test_scheduled_statistics(shifted: Any) -> None:
    config = shifted.create_scheduled_statistics("daily_statistics", feature_names=["ndvi"]).save()
    assert (config.job_name, config.enabled) == ("monitored_1_daily_statistics_run_feature_monitoring", True)
    result = run(config)
    assert not result.shift_detected and result.empty_detection_window is False
    (feature,) = result.feature_statistics_results
    assert feature.feature_name == "ndvi" and feature.detection_statistics.count == 800
    assert feature.reference_statistics is None


def test_a_shift_of_the_mean_is_detected(shifted: Any) -> None:
    config = (
        shifted.create_feature_monitoring("mean_shift")
        .with_detection_window(time_offset="1d")
        .with_reference_window(time_offset="1w", window_length="5d")
        .compare_on("mean", threshold=1.0, feature_name="ndvi")
        .compare_on("mean", threshold=0.1, feature_name="cell", relative=True)
        .compare_on("completeness", threshold=0.1, feature_name="cover")
        .save()
    )
    result = run(config)
    found = {feature.feature_name: feature for feature in result.feature_statistics_results}
    ndvi = found["ndvi"]
    assert (ndvi.detection_statistics.count, ndvi.reference_statistics.count) == (200, 600)
    difference = ndvi.statistics_comparison_results[0].difference
    assert difference == pytest.approx(abs(ndvi.detection_statistics.mean - ndvi.reference_statistics.mean))
    assert difference == pytest.approx(5.0, abs=0.1) and ndvi.shift_detected
    assert ndvi.shifted_metric_names == {"MEAN"}
    assert not found["cover"].shift_detected and found["cover"].statistics_comparison_results[0].difference == 0.0
    assert result.shifted_feature_names == {"ndvi", "cell"}


def test_a_specific_value(shifted: Any) -> None:
    config = (
        shifted.create_feature_monitoring("specific")
        .with_detection_window(time_offset="1d")
        .compare_on("max", threshold=0.5, specific_value=1.0, feature_name="ndvi")
        .compare_on("count", threshold=1, specific_value=200, feature_name="ndvi")
        .save()
    )
    result = run(config)
    by_metric = result.feature_statistics_results[0].shifted_metric_names
    assert by_metric == {"MAX"} and result.empty_reference_window is None


def test_distributions(shifted: Any) -> None:
    config = (
        shifted.create_feature_monitoring("distribution")
        .with_detection_window(time_offset="1d")
        .with_reference_window(time_offset="1w", window_length="5d")
        .compare_on_distribution("PSI", feature_name="ndvi")
        .compare_on_distribution("JS_DIVERGENCE", threshold=0.1, feature_name="cover")
        .save()
    )
    found = {feature.feature_name: feature for feature in run(config).feature_statistics_results}
    assert found["ndvi"].shifted_metric_names == {"PSI"}
    assert not found["cover"].shift_detected
    assert found["cover"].statistics_comparison_results[0].difference == pytest.approx(0.0, abs=1e-6)


def test_windows_by_commit_time(store: Any) -> None:
    group = make_group(store, "by_commit", rows(1, 0.0), rows(0, 1.0, count=50, start=5000))
    config = (
        group.create_feature_monitoring("commits", event_time=False)
        .with_detection_window(time_offset="1h")
        .compare_on("count", threshold=1, specific_value=250, feature_name="ndvi")
        .save()
    )
    assert not run(config).shift_detected
    old = group.create_feature_monitoring("old_commits", event_time=False)
    old = old.with_detection_window(time_offset="2d", window_length="1d")
    result = run(old.compare_on("mean", threshold=1, specific_value=0, feature_name="ndvi").save())
    assert result.empty_detection_window and not result.shift_detected


def test_an_empty_window_is_said(shifted: Any) -> None:
    config = (
        shifted.create_feature_monitoring("empty")
        .with_detection_window(time_offset="52w", window_length="1w")
        .compare_on("mean", threshold=1.0, specific_value=0.0, feature_name="ndvi")
        .save()
    )
    result = run(config)
    assert result.empty_detection_window and not result.shift_detected
    assert result.feature_statistics_results[0].statistics_comparison_results[0].difference is None


def test_a_view_against_its_training_dataset(store: Any, shifted: Any) -> None:
    view = store.create_feature_view("monitored_view", version=1, query=shifted.select(["cell", "ndvi", "cover"]))
    until = NOW - dt.timedelta(days=1)
    view.training_data(start_time=NOW - dt.timedelta(days=9), end_time=until)
    config = (
        view.create_feature_monitoring("against_training")
        .with_detection_window(time_offset="1d")
        .with_reference_training_dataset(1)
        .compare_on("mean", threshold=1.0, feature_name="ndvi")
        .compare_on_distribution("PSI", feature_name="cover", threshold=0.2)
        .save()
    )
    assert (config.feature_view_name, config.feature_view_version) == ("monitored_view", 1)
    found = {feature.feature_name: feature for feature in run(config).feature_statistics_results}
    assert (found["ndvi"].detection_statistics.count, found["ndvi"].reference_statistics.count) == (200, 600)
    assert found["ndvi"].shift_detected and not found["cover"].shift_detected
    # Rows that come later change neither the training dataset nor what it is compared with.
    shifted.insert(rows(3, 50.0, start=90_000))
    again = {feature.feature_name: feature for feature in run(config).feature_statistics_results}
    assert again["ndvi"].reference_statistics.count == 600


def test_configurations_are_listed_changed_and_removed(store: Any) -> None:
    from hopsworks.client.exceptions import RestAPIError

    group = make_group(store, "configured", rows(0, 0.0))
    make = group.create_feature_monitoring
    config = make("first").compare_on("mean", threshold=1, specific_value=0, feature_name="ndvi").save()
    make("second").compare_on("count", threshold=1, specific_value=0, feature_name="cell").save()
    assert {each.name for each in group.get_feature_monitoring_configs()} == {"first", "second"}
    assert [each.name for each in group.get_feature_monitoring_configs(feature_name="cell")] == ["second"]
    assert group.get_feature_monitoring_configs(name="first").id == config.id
    assert group.get_feature_monitoring_configs(config_id=config.id).name == "first"
    assert group.get_feature_monitoring_configs(name="absent") == []
    with pytest.raises(RestAPIError, match="already"):
        make("first").compare_on("mean", threshold=1, specific_value=0, feature_name="ndvi").save()
    config.description = "changed"
    assert config.update().description == "changed"
    config.disable()
    assert group.get_feature_monitoring_configs(name="first").enabled is False
    config.enable()
    assert group.get_feature_monitoring_configs(name="first").enabled is True
    run(config)
    config.delete()
    assert [each.name for each in group.get_feature_monitoring_configs()] == ["second"]
    assert group.get_feature_monitoring_history(config_name="first") == []


def test_history_by_time(shifted: Any) -> None:
    config = (
        shifted.create_feature_monitoring("history")
        .compare_on("count", threshold=1e9, specific_value=0, feature_name="cell")
        .save()
    )
    first = run(config)
    time.sleep(0.01)
    second = run(config)
    times = [result.monitoring_time for result in config.get_history()]
    assert times == [second.monitoring_time, first.monitoring_time]
    later = config.get_history(start_time=second.monitoring_time, with_statistics=False)
    assert [result.id for result in later] == [second.id]
    assert later[0].feature_statistics_results[0].detection_statistics is None
    assert [result.id for result in config.get_history(end_time=first.monitoring_time)] == [first.id]


def test_a_schedule_fires(store: Any) -> None:
    group = make_group(store, "scheduled", rows(0, 0.0))
    config = (
        group.create_feature_monitoring("each_second", cron_expression="* * * ? * * *")
        .compare_on("count", threshold=1e9, specific_value=0, feature_name="cell")
        .save()
    )
    for _ in range(200):
        if config.get_history(with_statistics=False):
            break
        time.sleep(0.1)
    assert config.get_history(with_statistics=False)
    config.delete()


def test_a_failed_run_is_kept(store: Any) -> None:
    group = make_group(store, "failing", rows(0, 0.0))
    view = store.create_feature_view("failing_view", version=1, query=group.select_all())
    config = (
        view.create_feature_monitoring("no_dataset")
        .with_reference_training_dataset(7)
        .compare_on("mean", threshold=1.0, feature_name="ndvi")
        .save()
    )
    job = config.run_once()
    for _ in range(200):
        if job.get_executions()[0].state == "FAILED":
            break
        time.sleep(0.1)
    assert job.get_executions()[0].final_status == "FAILED"
    assert config.get_history()[0].feature_statistics_results == []


def test_what_a_model_logs_against_its_training_dataset(project: Any, store: Any, tmp_path: Any) -> None:
    group = make_group(store, "logged", rows(0, 0.0))
    view = store.create_feature_view("logged_view", version=1, query=group.select(["cell", "ndvi"]))
    view.enable_logging()
    view.training_data()
    (tmp_path / "model.txt").write_text("weights")
    registry = project.get_model_registry()
    model = registry.python.create_model("logged_model", feature_view=view, training_dataset_version=1)
    model.save(str(tmp_path / "model.txt"))
    served = view.get_batch_data().head(20).assign(ndvi=7.0)
    view.log(served, model=model, write_options={"wait_for_online_ingestion": True})
    view.materialize_log(wait=True)
    config = (
        view.create_model_monitoring("drift", "logged_model", 1)
        .with_reference_training_dataset()
        .compare_on("mean", threshold=1.0, feature_name="ndvi")
        .save()
    )
    found = {feature.feature_name: feature for feature in run(config).feature_statistics_results}
    assert (found["ndvi"].detection_statistics.count, found["ndvi"].reference_statistics.count) == (20, 200)
    assert found["ndvi"].shift_detected


def test_alerts_of_a_shift_and_of_a_validation(project: Any, shifted: Any) -> None:
    alerts = project.get_alerts_api()
    alerts.create_alert_receiver("someone", email_configs=[{"to": "someone@example.org"}])
    alert = shifted.create_alert("someone", "monitoring_shift_detected", "critical")
    validation = shifted.create_alert("someone", "feature_validation_failure", "warning")
    assert {each.id for each in shifted.get_alerts()} == {alert.id, validation.id}
    assert shifted.get_alert(alert.id).status == "MONITORING_SHIFT_DETECTED"
    assert shifted.get_alert(999_999) is None
    config = shifted.create_feature_monitoring("alerting")
    run(config.compare_on("count", threshold=0, specific_value=0, feature_name="cell").save())
    summaries = [each.annotations["summary"] for each in alerts.get_triggered_alerts()]
    assert any("alerting" in summary for summary in summaries)
