"""Statistics through the real client: after a commit, by commit, on demand, of training datasets."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def store(project: Any) -> Any:
    return project.get_feature_store()


def frame(rows: int, start: int = 0) -> pd.DataFrame:
    number = np.arange(start, start + rows)
    return pd.DataFrame(
        {
            "cell": number,
            "time": pd.Timestamp("2024-01-01") + pd.to_timedelta(number, "h"),
            "ndvi": np.where(number % 10 == 3, np.nan, np.sin(number)),
            "cover": np.where(number % 2 == 0, "forest", "crop"),
            "valid": number % 3 == 0,
        }
    )


def make_group(store: Any, name: str, rows: int = 100, **options: Any) -> Any:
    group = store.create_feature_group(
        name, version=1, primary_key=["cell"], event_time="time", time_travel_format="DELTA", **options
    )
    group.insert(frame(rows))
    return group


def by_name(statistics: Any) -> dict[str, Any]:
    return {feature.feature_name: feature for feature in statistics.feature_descriptive_statistics}


def test_statistics_follow_a_commit(store: Any) -> None:
    group = make_group(store, "stats_plain")
    found = by_name(group.statistics)
    values = frame(100)["ndvi"].dropna()
    assert set(found) == {"cell", "time", "ndvi", "cover", "valid"}
    ndvi = found["ndvi"]
    assert (ndvi.count, ndvi.num_null_values, ndvi.num_non_null_values) == (100, 10, 90)
    assert ndvi.completeness == pytest.approx(0.9)
    assert ndvi.mean == pytest.approx(values.mean())
    assert ndvi.std_dev == pytest.approx(values.std(ddof=0))
    assert (ndvi.min, ndvi.max) == (values.min(), values.max())
    assert ndvi.percentiles[24] == pytest.approx(np.percentile(values, 25))
    assert ndvi.extended_statistics is None
    assert found["cover"].approx_num_distinct_values == 2
    assert found["valid"].feature_type == "Boolean"


def test_configuration_is_respected(store: Any) -> None:
    config = {
        "enabled": True,
        "histograms": True,
        "correlations": True,
        "exact_uniqueness": True,
        "columns": ["ndvi", "cell"],
    }
    found = by_name(make_group(store, "stats_rich", statistics_config=config).statistics)
    assert set(found) == {"cell", "ndvi"}
    assert sum(bar["count"] for bar in found["ndvi"].extended_statistics["histogram"]) == 90
    listed = {item["column"]: item["correlation"] for item in found["ndvi"].extended_statistics["correlations"]}
    data = frame(100).dropna()
    assert listed["cell"] == pytest.approx(data["ndvi"].corr(data["cell"].astype(float)))
    assert found["cell"].uniqueness == 1.0 and found["cell"].exact_num_distinct_values == 100


def test_a_group_that_wants_none_gets_none(store: Any) -> None:
    assert make_group(store, "stats_off", statistics_config=False).statistics is None


def test_each_commit_has_its_own(store: Any) -> None:
    group = make_group(store, "stats_commits")
    first = max(group.commit_details())
    time.sleep(0.01)
    group.insert(frame(50, start=100))
    second = max(group.commit_details())
    assert first != second
    counts = {
        moment: by_name(group.get_statistics_by_commit_window(to_commit_time=moment))["cell"].count
        for moment in (first, second)
    }
    assert counts == {first: 100, second: 150}
    assert by_name(group.statistics)["cell"].count == 150
    assert group.get_statistics_by_commit_window(to_commit_time=first - 1) is None
    assert len(group.get_all_statistics()) == 2
    some = group.get_statistics(feature_names=["ndvi", "cover"])
    assert set(by_name(some)) == {"ndvi", "cover"} and by_name(some)["ndvi"].count == 150


def test_compute_again_after_the_configuration_changed(store: Any) -> None:
    group = make_group(store, "stats_again")
    assert by_name(group.statistics)["ndvi"].extended_statistics is None
    group.statistics_config = {"enabled": True, "histograms": True}
    group.update_statistics_config()
    job = group.compute_statistics()
    assert job.get_final_state() == "SUCCEEDED"
    assert by_name(group.statistics)["ndvi"].extended_statistics["histogram"]


def test_an_empty_group_has_none(store: Any) -> None:
    from hsfs.feature import Feature

    features = [Feature("cell", "bigint"), Feature("ndvi", "double")]
    group = store.create_feature_group(
        "stats_empty", version=1, primary_key=["cell"], time_travel_format="DELTA", features=features
    )
    group.save()
    assert group.statistics is None and group.get_all_statistics() is None


def test_infinities_and_constants(store: Any) -> None:
    group = store.create_feature_group("stats_odd", version=1, primary_key=["id"], time_travel_format="DELTA")
    group.insert(pd.DataFrame({"id": [1, 2, 3], "x": [1.0, np.inf, np.nan], "same": [2.0, 2.0, 2.0]}))
    found = by_name(group.statistics)
    assert (found["x"].num_non_null_values, found["x"].max, found["x"].extended_statistics) == (
        2,
        1.0,
        {"infinities": 1},
    )
    assert (found["same"].min, found["same"].std_dev, found["same"].approx_num_distinct_values) == (2.0, 0.0, 1)


def test_training_dataset_statistics(store: Any) -> None:
    group = make_group(store, "stats_source", rows=200)
    view = store.create_feature_view(
        "stats_view", version=1, query=group.select(["cell", "ndvi", "cover"]), labels=["cover"]
    )
    view.train_test_split(test_size=0.25)
    found = view.get_training_dataset_statistics(training_dataset_version=1)
    assert {split.name for split in found.split_statistics} == {"train", "test"}
    counts = {
        split.name: {f.feature_name: f.count for f in split.feature_descriptive_statistics}
        for split in found.split_statistics
    }
    assert counts["train"]["cell"] + counts["test"]["cell"] == 200
    view.training_data()
    whole = view.get_training_dataset_statistics(training_dataset_version=2)
    assert by_name(whole)["cell"].count == 200
    only = view.get_training_dataset_statistics(training_dataset_version=2, feature_names=["ndvi"])
    assert set(by_name(only)) == {"ndvi"}
    assert view.get_training_dataset_statistics(training_dataset_version=2, before_transformation=True) is None


def test_partitions_deletions_and_appended_features(store: Any) -> None:
    from hsfs.feature import Feature

    group = make_group(store, "stats_parts", partition_key=["cover"])
    found = by_name(group.statistics)
    assert (found["cover"].count, found["cover"].approx_num_distinct_values) == (100, 2)
    group.commit_delete_record(frame(10)[["cell", "time", "cover"]])
    assert by_name(group.statistics)["cell"].count == 90
    group.append_features([Feature("rain", "double")])
    group.insert(frame(5).assign(rain=1.0))
    found = by_name(group.statistics)
    assert (found["cell"].count, found["rain"].count, found["rain"].num_null_values) == (95, 95, 90)


def test_an_activity_tells_of_them(store: Any) -> None:
    group = make_group(store, "stats_activity")
    assert group.statistics is not None
    from hsfs.core.feature_store_activity_api import FeatureStoreActivityApi
    from hsfs.feature_store_activity import FeatureStoreActivityType

    found = FeatureStoreActivityApi()._get_feature_group_activities(group.feature_store_id, group.id, [])
    kinds = [activity.type for activity in found]
    assert kinds[-1] is FeatureStoreActivityType.METADATA
    assert FeatureStoreActivityType.COMMIT in kinds and FeatureStoreActivityType.STATISTICS in kinds
    commit = next(activity for activity in found if activity.type is FeatureStoreActivityType.COMMIT)
    assert commit.commit["rows_inserted"] == 100
    moment = dt.datetime.fromtimestamp(commit.timestamp / 1000, dt.UTC)
    assert abs(dt.datetime.now(dt.UTC) - moment) < dt.timedelta(minutes=5)


def test_files_of_training_datasets_are_described_by_the_server(store: Any) -> None:
    group = make_group(store, "stats_files", rows=200)
    view = store.create_feature_view(
        "stats_files", version=1, query=group.select(["cell", "ndvi", "cover"]), labels=["cover"]
    )
    config = {"enabled": True, "histograms": True, "correlations": True, "exact_uniqueness": True}
    version, _ = view.create_training_data(data_format="parquet", statistics_config=config)
    found = by_name(view.get_training_dataset_statistics(version))
    assert (found["ndvi"].count, found["ndvi"].num_null_values) == (200, 20)
    assert found["ndvi"].mean == pytest.approx(frame(200)["ndvi"].mean())
    assert {item["column"] for item in found["ndvi"].extended_statistics["correlations"]} == {"cell", "ndvi"}
    assert found["cell"].uniqueness == 1.0


def test_splits_in_files_are_described_one_by_one(store: Any) -> None:
    group = make_group(store, "stats_splits", rows=100)
    view = store.create_feature_view("stats_splits", version=1, query=group.select(["cell", "ndvi"]))
    config = {"enabled": True, "histograms": True}
    version, job = view.create_train_test_split(
        test_size=0.3, data_format="csv", statistics_config=config, write_options={"wait_for_job": True}
    )
    assert job is None or job.get_final_state() == "SUCCEEDED"
    found = view.get_training_dataset_statistics(version)
    splits = {split.name: split.feature_descriptive_statistics for split in found.split_statistics}
    counts = {name: {f.feature_name: f.count for f in features}["cell"] for name, features in splits.items()}
    assert set(counts) == {"train", "test"} and sum(counts.values()) == 100
    numeric = [f for features in splits.values() for f in features if not f.feature_name.endswith("time")]
    assert len(numeric) == 4 and all(f.extended_statistics["histogram"] for f in numeric)
