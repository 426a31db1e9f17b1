"""Feature views and training datasets through the unmodified client."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hopsworks import udf
from hopsworks.hsfs.builtin_transformations import label_encoder, min_max_scaler
from hopsworks_common.client.exceptions import FeatureStoreException, RestAPIError

ROWS = 200
START = pd.Timestamp("2024-01-01")


@udf(float, drop=[])
def doubled(amount):  # type: ignore[no-untyped-def]
    return amount * 2


@pytest.fixture(scope="module")
def store(project: Any) -> Any:
    return project.get_feature_store()


@pytest.fixture(scope="module")
def payments() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "payment": np.arange(ROWS),
            "person": generator.integers(0, 20, ROWS),
            "at": START + pd.to_timedelta(np.arange(ROWS), "h"),
            "amount": generator.random(ROWS) * 100,
            "place": generator.choice(["a", "b", "c"], ROWS),
            "fraud": generator.integers(0, 2, ROWS),
        }
    )


@pytest.fixture(scope="module")
def persons() -> pd.DataFrame:
    first = pd.DataFrame({"person": np.arange(20), "since": START - pd.Timedelta(days=9), "age": np.arange(20) + 20})
    later = first.assign(since=START + pd.Timedelta(hours=100), age=first["age"] + 100)
    return pd.concat([first, later])


@pytest.fixture(scope="module")
def groups(store: Any, payments: pd.DataFrame, persons: pd.DataFrame) -> tuple[Any, Any]:
    options = {"version": 1, "online_enabled": True, "time_travel_format": "DELTA"}
    one = store.get_or_create_feature_group("payments", primary_key=["payment"], event_time="at", **options)
    one.insert(payments)
    two = store.get_or_create_feature_group("persons", primary_key=["person"], event_time="since", **options)
    two.insert(persons)
    return one, two


@pytest.fixture(scope="module")
def query(groups: tuple[Any, Any]) -> Any:
    one, two = groups
    return one.select(["payment", "person", "amount", "place", "fraud"]).join(
        two.select(["age"]), on=["person"], prefix="p_"
    )


@pytest.fixture(scope="module")
def view(store: Any, query: Any) -> Any:
    return store.get_or_create_feature_view("fraud", version=1, query=query, labels=["fraud"], description="is it?")


def ages(payments: pd.DataFrame) -> np.ndarray:
    """Return the age that was known at each payment."""
    known = payments["at"] >= START + pd.Timedelta(hours=100)
    return (payments["person"] + 20 + 100 * known).to_numpy()


def test_a_view_is_found_with_its_roles(store: Any, view: Any) -> None:
    again = store.get_feature_view("fraud", 1)
    assert [feature.name for feature in again.schema] == ["payment", "person", "amount", "place", "fraud", "p_age"]
    assert again.labels == ["fraud"] and again.description == "is it?"
    assert [other.version for other in store.get_feature_views("fraud")] == [1]
    assert store.get_feature_view("nothing", 1) is None
    again.description = "it is"
    again.update()
    assert store.get_feature_view("fraud", 1).description == "it is"


def test_batch_data_is_what_was_known_at_the_time(view: Any, payments: pd.DataFrame) -> None:
    found = view.get_batch_data().sort_values("payment")
    assert list(found.columns) == ["payment", "person", "amount", "place", "p_age"]
    np.testing.assert_array_equal(found["p_age"], ages(payments))
    window = view.get_batch_data(start_time="2024-01-01 10:00:00", end_time="2024-01-01 12:00:00")
    assert sorted(window["payment"]) == [10, 11]
    whole = view.get_batch_data(primary_key=True, event_time=True)
    assert {"deepcube_payments_1_at", "deepcube_persons_1_person", "deepcube_persons_1_since"} < set(whole.columns)
    filtered = view.get_batch_data(extra_filter=view.query.get_feature("amount") > 50)
    assert len(filtered) == (payments["amount"] > 50).sum()


def test_a_split_in_time_has_no_row_twice_and_none_from_elsewhere(view: Any, payments: pd.DataFrame) -> None:
    parts = view.train_validation_test_split(
        train_start="2024-01-01",
        train_end="2024-01-04",
        validation_start="2024-01-04",
        validation_end="2024-01-05",
        test_start="2024-01-05",
        test_end="2024-01-06",
    )
    features, labels = parts[:3], parts[3:]
    assert [len(part) for part in features] == [72, 24, 24] == [len(part) for part in labels]
    assert [sorted(part["payment"])[0] for part in features] == [0, 72, 96]
    assert "fraud" not in features[0] and list(labels[0].columns) == ["fraud"]
    joined = pd.concat(features).sort_values("payment")
    np.testing.assert_array_equal(joined["p_age"], ages(payments)[:120])
    version = view.get_last_accessed_training_dataset()
    again = view.get_train_validation_test_split(training_dataset_version=version)
    assert [len(part) for part in again[:3]] == [72, 24, 24]


def test_a_random_split_has_every_row_once(view: Any) -> None:
    train, test, *labels = view.train_test_split(test_size=0.25)
    assert [len(part) for part in (train, test, *labels)] == [150, 50, 150, 50]
    assert sorted(pd.concat([train, test])["payment"]) == list(range(ROWS))


def test_a_dataset_is_written_read_written_again_and_purged(store: Any, view: Any, embedded: Any) -> None:
    version, _ = view.create_training_data(data_format="parquet", description="all of it")
    features, labels = view.get_training_data(training_dataset_version=version)
    assert len(features) == ROWS == len(labels) and "fraud" not in features
    folder = embedded.home.files / f"Projects/deepcube/deepcube_Training_Datasets/fraud_1_{version}"
    before = next(folder.rglob("*.parquet")).stat().st_ino
    view.recreate_training_dataset(version)
    assert next(folder.rglob("*.parquet")).stat().st_ino != before
    assert len(view.get_training_data(training_dataset_version=version)[0]) == ROWS
    view.purge_training_data(version)
    assert not folder.exists()
    assert version in [dataset.version for dataset in view.get_training_datasets()]
    view.delete_training_dataset(version)
    with pytest.raises(RestAPIError, match="no training dataset version"):
        view.get_training_data(training_dataset_version=version)


def test_a_split_dataset_is_written_by_a_job(view: Any) -> None:
    version, job = view.create_train_test_split(test_size=0.25, data_format="tsv", seed=3)
    assert job.get_state() == "FINISHED"
    parts = view.get_train_test_split(training_dataset_version=version)
    assert [len(part) for part in parts] == [150, 50, 150, 50]
    view.delete_training_dataset(version)


def test_a_dataset_in_three_parts_is_written_by_a_job(view: Any) -> None:
    version, job = view.create_train_validation_test_split(
        validation_size=0.1, test_size=0.25, data_format="parquet", seed=3
    )
    assert job.get_state() == "FINISHED"
    parts = view.get_train_validation_test_split(training_dataset_version=version)
    assert [len(part) for part in parts] == [130, 20, 50] * 2
    assert sorted(pd.concat(parts[:3])["payment"]) == list(range(ROWS))
    view.delete_training_dataset(version)


def test_a_format_that_the_client_cannot_read_is_refused(view: Any) -> None:
    with pytest.raises(RestAPIError, match="is not supported"):
        view.create_training_data(data_format="tfrecord")


def test_a_filter_of_the_dataset_holds_when_it_is_read_again(view: Any, payments: pd.DataFrame) -> None:
    features, _ = view.training_data(extra_filter=view.query.get_feature("place") == "a")
    version = view.get_last_accessed_training_dataset()
    again, _ = view.get_training_data(training_dataset_version=version)
    assert len(features) == (payments["place"] == "a").sum() == len(again)


def test_transformations_are_fitted_on_the_training_part_only(store: Any, query: Any, payments: pd.DataFrame) -> None:
    view = store.get_or_create_feature_view(
        "scaled",
        version=1,
        query=query,
        labels=["fraud"],
        transformation_functions=[min_max_scaler("amount"), label_encoder("place")],
    )
    train, test, *_ = view.train_test_split(train_start="2024-01-01", train_end="2024-01-05", test_end="2024-01-09")
    early = payments["amount"][:96]
    scaled = (payments["amount"] - early.min()) / (early.max() - early.min())
    np.testing.assert_allclose(train.sort_values("payment")["min_max_scaler_amount_"], scaled[:96])
    np.testing.assert_allclose(test.sort_values("payment")["min_max_scaler_amount_"], scaled[96:192])
    again = store.get_feature_view("scaled", 1)
    version = view.get_last_accessed_training_dataset()
    again.init_batch_scoring(version)
    batch = again.get_batch_data().sort_values("payment")
    np.testing.assert_allclose(batch["min_max_scaler_amount_"], scaled)
    again.init_serving(version)
    vector = again.get_feature_vector({"payment": 150, "person": int(payments["person"][150])}, return_type="pandas")
    np.testing.assert_allclose(vector["min_max_scaler_amount_"], scaled[150])


def test_on_demand_features_are_computed_from_the_request(store: Any, payments: pd.DataFrame) -> None:
    group = store.get_or_create_feature_group(
        "on_demand",
        version=1,
        primary_key=["payment"],
        event_time="at",
        online_enabled=True,
        time_travel_format="DELTA",
        transformation_functions=[doubled("amount")],
    )
    group.insert(payments[["payment", "at", "amount"]])
    stored = group.read().sort_values("payment")
    np.testing.assert_allclose(stored["doubled"], payments["amount"] * 2)
    view = store.get_or_create_feature_view("on_demand", version=1, query=group.select(["payment", "doubled"]))
    assert store.get_feature_view("on_demand", 1).request_parameters == ["amount"]
    view.init_serving(1)
    assert view.get_feature_vector({"payment": 3}, request_parameters={"amount": 21.0}) == [3, 42.0]


def test_transformation_functions_are_kept_by_version(store: Any) -> None:
    kept = store.create_transformation_function(doubled, version=1)
    kept.save()
    found = store.get_transformation_function("doubled", 1)
    assert found.hopsworks_udf.function_name == "doubled"
    assert [f.hopsworks_udf.function_name for f in store.get_transformation_functions()] == ["doubled"]
    with pytest.raises(RestAPIError, match="exists already"):
        store.create_transformation_function(doubled, version=1).save()
    found.delete()
    assert store.get_transformation_function("doubled", 1) is None


def test_helper_columns_come_where_they_help(store: Any, groups: tuple[Any, Any], payments: pd.DataFrame) -> None:
    view = store.get_or_create_feature_view(
        "helped",
        version=1,
        query=groups[0].select(["payment", "amount", "place", "person", "fraud"]),
        labels=["fraud"],
        inference_helper_columns=["place"],
        training_helper_columns=["person"],
    )
    assert list(view.get_batch_data().columns) == ["payment", "amount"]
    assert list(view.get_batch_data(inference_helper_columns=True).columns) == ["payment", "amount", "place"]
    features, _ = view.training_data(training_helper_columns=True)
    assert "person" in features and "place" not in features
    view.init_serving()
    assert view.get_feature_vector({"payment": 5}) == [5, payments["amount"][5]]
    helper = view.get_inference_helper({"payment": 5}, return_type="dict")
    assert helper == {"place": payments["place"][5]}


def test_feature_vectors_are_looked_up(view: Any, payments: pd.DataFrame, persons: pd.DataFrame) -> None:
    view.init_serving()
    newest = persons.tail(20).set_index("person")["age"]

    def wanted(number: int) -> list[Any]:
        row = payments.loc[number]
        return [number, row["person"], row["amount"], row["place"], newest[row["person"]]]

    keys = [{"payment": n, "person": int(payments["person"][n])} for n in (5, 7, 5)]
    assert view.get_feature_vector(keys[0]) == wanted(5)
    assert view.get_feature_vectors(keys) == [wanted(5), wanted(7), wanted(5)]
    frame = view.get_feature_vector(keys[0], return_type="pandas")
    assert frame.loc[0].tolist() == wanted(5)
    missing = view.get_feature_vector({"payment": 10**6, "person": 3}, allow_missing=True)
    assert missing == [10**6, 3, None, None, newest[3]]


def test_what_is_joined_further_down_is_found_online(store: Any, groups: tuple[Any, Any]) -> None:
    town = store.get_or_create_feature_group(
        "towns", version=1, primary_key=["town"], online_enabled=True, time_travel_format="DELTA"
    )
    town.insert(pd.DataFrame({"town": [1, 2], "mayor": ["x", "y"]}))
    home = store.get_or_create_feature_group(
        "homes", version=1, primary_key=["person"], online_enabled=True, time_travel_format="DELTA"
    )
    home.insert(pd.DataFrame({"person": [1, 2, 3], "town": [2, 1, 9]}))
    below = home.select(["town"]).join(town.select(["mayor"]), on=["town"])
    view = store.get_or_create_feature_view(
        "snowflake", version=1, query=groups[0].select(["payment"]).join(below, on=["person"])
    )
    view.init_serving()
    assert view.get_feature_vector({"payment": 5, "person": 1}) == [5, 2, "y"]
    assert view.get_feature_vector({"payment": 5, "person": 3}) == [5, 9, None]
    assert view.get_feature_vectors([{"payment": 6, "person": 2}]) == [[6, 1, "x"]]


def test_a_spine_is_answered_row_by_row(store: Any, view: Any, payments: pd.DataFrame) -> None:
    spine = pd.DataFrame(
        {
            "payment": [3, 10**6, 4],
            "person": [1, 2, 3],
            "at": [START + pd.Timedelta(hours=hours) for hours in (150, 50, 2)],
        }
    )
    found = view.get_batch_data(spine_df=spine)
    assert found["payment"].tolist() == [3, 10**6, 4]
    assert found["p_age"].tolist() == [121, 22, 23]
    assert found["amount"][0] == payments["amount"][3]
    assert found["amount"][1:].isna().all()  # unknown, and known only later than asked for
    labelled = spine.assign(fraud=[1, 0, 1], note=["x", "y", "z"])
    train, test, *labels = view.train_test_split(test_size=0.34, spine_df=labelled)
    assert len(train) + len(test) == 3 and "note" in train
    assert sorted(pd.concat(labels)["fraud"]) == [0, 1, 1]
    with pytest.raises(FeatureStoreException, match="was built from a `spine_df`"):
        view.get_train_test_split(training_dataset_version=view.get_last_accessed_training_dataset())
    written, _ = view.create_training_data(spine_df=labelled, data_format="parquet")
    assert len(view.get_training_data(training_dataset_version=written)[0]) == 3


def test_a_spine_does_not_see_what_is_too_old(store: Any, query: Any) -> None:
    view = store.get_or_create_feature_view("aged", version=1, query=query, max_feature_age=timedelta(hours=3))
    times = [START + pd.Timedelta(hours=hours) for hours in (100, 103, 104)]
    spine = pd.DataFrame({"payment": [0, 100, 100], "person": [5, 5, 5], "at": times})
    found = view.get_batch_data(spine_df=spine)
    assert found["p_age"][:2].tolist() == [125, 125] and pd.isna(found["p_age"][2])
    assert pd.isna(found["amount"][0]) and found["amount"][1] > 0 and pd.isna(found["amount"][2])


def test_a_lookback_bounds_what_is_read(view: Any) -> None:
    found = view.get_batch_data(lookback={"key": "EVENT_TIME", "start": "2024-01-05 00:00:00"})
    assert found["payment"].min() == 96
    assert found.sort_values("payment")["p_age"].isna().sum() == 4  # until the persons' second rows
    only = {"feature_group_lookbacks": {"persons": {"key": "EVENT_TIME", "start": "2024-01-05 00:00:00"}}}
    found = view.get_batch_data(lookback=only)
    assert len(found) == ROWS and found["p_age"].isna().sum() == 100
    keyed = {"feature_group_lookbacks": {"persons": {"key": "PARTITION_KEY", "start": "2024-01-05"}}}
    with pytest.raises(RestAPIError, match="has no partition key"):
        view.get_batch_data(lookback=keyed)


def test_a_view_of_a_deleted_group_says_what_is_missing(store: Any) -> None:
    group = store.get_or_create_feature_group("brief", version=1, primary_key=["k"], time_travel_format="DELTA")
    group.insert(pd.DataFrame({"k": [1], "x": [1]}))
    view = store.create_feature_view("brief", version=1, query=group.select_all())
    with pytest.raises(RestAPIError, match="is used by the feature views brief version 1"):
        group.delete()
    group.delete(force=True)
    with pytest.raises(ValueError, match="no longer valid"):
        store.get_feature_view("brief", 1)
    with pytest.raises(RestAPIError, match="it may have been deleted"):
        view.get_batch_data()
    view.delete()
    assert store.get_feature_view("brief", 1) is None


def test_a_group_is_deleted_with_its_views(store: Any) -> None:
    group = store.get_or_create_feature_group("tied", version=1, primary_key=["k"], time_travel_format="DELTA")
    group.insert(pd.DataFrame({"k": [1], "x": [1]}))
    store.create_feature_view("tied", version=1, query=group.select_all()).create_training_data(data_format="parquet")
    group.delete(delete_feature_views=True)
    assert store.get_feature_view("tied", 1) is None


def test_views_that_are_not_valid_are_refused(store: Any, groups: tuple[Any, Any], query: Any) -> None:
    with pytest.raises(RestAPIError, match="exists already"):
        store.create_feature_view("fraud", version=1, query=query)
    with pytest.raises(RestAPIError, match="lower-case letter"):
        store.create_feature_view("Fraud!", version=1, query=query)
    both = groups[0].select(["payment", "amount"]).join(groups[0].select(["amount"]), on=["payment"])
    named = store.create_feature_view("twice", version=1, query=both)
    assert [feature.name for feature in named.schema] == ["payment", "amount", "payments_1_amount"]


def test_a_view_without_event_time_has_no_time_window(store: Any) -> None:
    group = store.get_or_create_feature_group("timeless", version=1, primary_key=["k"], time_travel_format="DELTA")
    group.insert(pd.DataFrame({"k": [1, 2], "x": [1, 2]}))
    view = store.create_feature_view("timeless", version=1, query=group.select_all())
    assert len(view.training_data()[0]) == 2
    with pytest.raises(ValueError, match="event time column is not available"):
        view.get_batch_data(start_time="2024-01-01")


@pytest.mark.parametrize("unit", [1, 1000])
def test_whole_numbers_are_times_in_seconds_or_milliseconds(store: Any, unit: int) -> None:
    first = 1_704_067_200
    frame = pd.DataFrame({"k": [1, 2, 3], "t": [(first + day * 86_400) * unit for day in range(3)]})
    name = f"numbered_{unit}"
    group = store.get_or_create_feature_group(
        name, version=1, primary_key=["k"], event_time="t", time_travel_format="DELTA"
    )
    group.insert(frame)
    view = store.create_feature_view(name, version=1, query=group.select_all())
    assert sorted(view.get_batch_data(start_time="2024-01-02", end_time="2024-01-03")["k"]) == [2]
    train, test, *_ = view.train_test_split(
        train_start="2024-01-01", train_end="2024-01-03", test_start="2024-01-03", test_end="2024-01-04"
    )
    assert (sorted(train["k"]), sorted(test["k"])) == ([1, 2], [3])


def test_every_dataset_is_purged_or_deleted(store: Any, groups: tuple[Any, Any], embedded: Any) -> None:
    view = store.create_feature_view("cleared", version=1, query=groups[0].select(["payment", "amount"]))
    folder = embedded.home.files / "Projects/deepcube/deepcube_Training_Datasets"
    for _ in range(2):
        view.create_training_data(data_format="parquet")
    assert len(list(folder.glob("cleared_*"))) == 2
    view.purge_all_training_data()
    assert not list(folder.glob("cleared_*")) and len(view.get_training_datasets()) == 2
    view.delete_all_training_datasets()
    assert view.get_training_datasets() == []
    assert "amount" in view.get_batch_query()


def test_no_half_written_dataset_is_left(embedded: Any, view: Any) -> None:
    folder = embedded.home.files / "Projects/deepcube/deepcube_Training_Datasets"
    assert not [path for path in Path(folder).iterdir() if path.name.startswith(".")]
