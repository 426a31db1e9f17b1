"""Feature groups through the unmodified client: every type, every way to write and to read."""

from __future__ import annotations

import json
import time
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hopsworks_common import client
from hopsworks_common.client.exceptions import FeatureStoreException, RestAPIError
from hsfs.feature import Feature

START = pd.Timestamp("2024-01-01")


@pytest.fixture(scope="module")
def store(project: Any) -> Any:
    return project.get_feature_store()


def weather(rows: int = 6, first: int = 0) -> pd.DataFrame:
    number = np.arange(first, first + rows)
    return pd.DataFrame(
        {
            "cell": number.astype("int64"),
            "at": START + pd.to_timedelta(number, "h"),
            "rain": number * 0.5,
            "name": [f"cell'{n}\\ü" for n in number],
        }
    )


def made(store: Any, name: str, frame: pd.DataFrame, **more: Any) -> Any:
    options = {"primary_key": ["cell"], "event_time": "at", "time_travel_format": "DELTA", **more}
    group = store.get_or_create_feature_group(name, version=1, **options)
    group.insert(frame)
    return group


def read(source: Any, by: str = "cell") -> pd.DataFrame:
    return source.read().sort_values(by).reset_index(drop=True)


def request(store: Any, method: str, path: list[Any], document: dict[str, Any]) -> Any:
    """Make a call that no method of the client makes in that way."""
    whole = ["project", store.project_id, "featurestores", store.id, *path]
    return client._get_instance()._send_request(method, whole, data=json.dumps(document))


def same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    wanted = wanted.astype(dict.fromkeys(wanted.select_dtypes("datetime64"), "datetime64[us]"))
    pd.testing.assert_frame_equal(found[list(wanted.columns)], wanted.reset_index(drop=True), check_dtype=False)


def test_rows_come_back_as_they_were_written(store: Any) -> None:
    frame = weather()
    group = made(store, "round_trip", frame, description="what fell")
    same(read(group), frame)
    again = store.get_feature_group("round_trip", 1)
    assert (again.description, again.primary_key, again.event_time) == ("what fell", ["cell"], "at")
    assert [feature.type for feature in again.features] == ["bigint", "timestamp", "double", "string"]
    assert Path(again.location).is_dir()


def test_every_type_comes_back(store: Any) -> None:
    table = pa.table(
        {
            "cell": pa.array([1, 2], pa.int64()),
            "middle": pa.array([2**30, None], pa.int32()),
            "single": pa.array([0.1, None], pa.float32()),
            "double": pa.array([0.1, None], pa.float64()),
            "flag": pa.array([True, None]),
            "word": pa.array(["å\n\t'\"", None]),
            "raw": pa.array([b"\x00\xff", None]),
            "day": pa.array([date(1969, 12, 31), None]),
            "moment": pa.array([datetime(2024, 2, 29, 23, 59, 59, 999999), None], pa.timestamp("us")),
            "money": pa.array([Decimal("-12345678901234567.89"), None], pa.decimal128(19, 2)),
            "series": pa.array([[1.5, None], None], pa.list_(pa.float64())),
            "nested": pa.array([[["a"], []], None], pa.list_(pa.list_(pa.string()))),
            "record": pa.array([{"a": 1, "b": "x"}, None], pa.struct([("a", pa.int64()), ("b", pa.string())])),
            "lookup": pa.array([[("å", 1.5)], None], pa.map_(pa.string(), pa.float64())),
        }
    )
    features = [
        Feature(name, kind)
        for name, kind in {
            "cell": "bigint",
            "middle": "int",
            "single": "float",
            "double": "double",
            "flag": "boolean",
            "word": "string",
            "raw": "binary",
            "day": "date",
            "moment": "timestamp",
            "money": "decimal(19,2)",
            "series": "array<double>",
            "nested": "array<array<string>>",
            "record": "struct<a:bigint,b:string>",
            "lookup": "map<string,double>",
        }.items()
    ]
    group = store.create_feature_group("every_type", version=1, primary_key=["cell"], features=features)
    group.save()
    assert len(group.read()) == 0
    group.insert(table.to_pandas(types_mapper=pd.ArrowDtype), validation_options={"schema_validation": False})
    first, second = group.read().sort_values("cell").to_dict("records")
    for name in table.column_names[1:10]:
        wanted = table.column(name)[0].as_py()
        found = first[name]
        assert (np.float32(wanted) if name == "single" else wanted) == (
            found.to_pydatetime() if isinstance(found, pd.Timestamp) else found
        ), name
        assert pd.isna(second[name]), name
    assert first["series"][0] == 1.5 and np.isnan(first["series"][1])
    assert [list(part) for part in first["nested"]] == [["a"], []]
    assert first["record"] == {"a": 1, "b": "x"}
    assert list(first["lookup"]) == [("å", 1.5)]


def test_a_time_with_a_zone_is_kept_in_utc(store: Any) -> None:
    frame = weather()
    frame["at"] = frame["at"].dt.tz_localize("Europe/Stockholm")
    group = made(store, "zoned", frame)
    wanted = frame.assign(at=frame["at"].dt.tz_convert("UTC").dt.tz_localize(None))
    same(read(group), wanted)


def test_an_insert_merges_by_key_and_event_time(store: Any) -> None:
    frame = weather()
    group = made(store, "merged", frame)
    changed = frame.tail(2).assign(rain=9.0)
    group.insert(pd.concat([changed, weather(2, first=6)]))
    same(read(group), pd.concat([frame.head(4), changed, weather(2, first=6)]))
    counts = [
        (commit["rowsInserted"], commit["rowsUpdated"], commit["rowsDeleted"])
        for _, commit in sorted(group.commit_details().items())
    ]
    assert counts == [(6, 0, 0), (2, 2, 0)]


def test_an_append_does_not_merge(store: Any) -> None:
    frame = weather()
    group = made(store, "appended", frame)
    group.insert(frame, operation="insert")
    assert len(group.read()) == 12


def test_an_overwrite_leaves_only_the_new_rows(store: Any) -> None:
    group = made(store, "overwritten", weather())
    group.insert(weather(2, first=10), overwrite=True)
    same(read(group), weather(2, first=10))
    assert [commit["rowsInserted"] for commit in group.commit_details().values()] == [2]


def test_rows_are_deleted_by_key(store: Any) -> None:
    frame = weather()
    group = made(store, "deleted", frame)
    group.commit_delete_record(frame.head(2))
    same(read(group), frame.tail(4))
    assert group.commit_details(limit=1).popitem()[1]["rowsDeleted"] == 2


def test_as_of_shows_the_past_and_changes_since(store: Any) -> None:
    frame = weather()
    group = made(store, "travelled", frame)
    first = max(group.commit_details())
    time.sleep(0.05)
    group.insert(frame.head(2).assign(rain=9.0))
    second = max(group.commit_details())
    time.sleep(0.05)
    group.commit_delete_record(frame.tail(1))
    same(read(group.as_of(first)), frame)
    assert len(group.as_of(second).read()) == 6
    changed = read(group.as_of(exclude_until=first))
    assert changed["cell"].tolist() == [0, 1] and (changed["rain"] == 9.0).all()
    assert len(group.as_of(first, exclude_until=first - 1).read()) == 6
    assert len(group.as_of(exclude_until=second).read()) == 0
    assert group.commit_details(wallclock_time=first).keys() == {first}
    with pytest.raises(FeatureStoreException, match="No commits found"):
        group.as_of(first - 60_000).read()


@pytest.mark.parametrize("keys", [["region"], ["region", "day"]])
def test_partitions_are_read_whole_and_by_filter(store: Any, keys: list[str]) -> None:
    frame = weather(12)
    frame["region"] = [None if n == 5 else f"a/b {n % 3}=%" for n in range(12)]
    frame["day"] = [date(2024, 1, 1 + n % 2) for n in range(12)]
    group = made(store, f"partitioned_{len(keys)}", frame, partition_key=keys)
    same(read(group), frame)
    some = group.filter(group.region == "a/b 1=%").read()
    assert sorted(some["cell"]) == [1, 4, 7, 10]
    group.insert(frame.head(3).assign(rain=7.0))
    assert (read(group)["rain"].head(3) == 7.0).all() and len(group.read()) == 12


def test_appended_features_are_missing_in_old_rows(store: Any) -> None:
    frame = weather()
    group = made(store, "grown", frame)
    group.append_features([Feature("wind", "double"), Feature("tags", "array<string>")])
    assert [feature.name for feature in store.get_feature_group("grown", 1).features][-2:] == ["wind", "tags"]
    assert group.read()["wind"].isna().all()
    group.insert(weather(1, first=9).assign(wind=3.0, tags=[["x", "y"]]))
    row = read(group).iloc[-1]
    assert row["wind"] == 3.0 and list(row["tags"]) == ["x", "y"]
    with pytest.raises(RestAPIError, match="already"):
        group.append_features([Feature("wind", "double")])


def test_metadata_is_changed(store: Any) -> None:
    group = made(store, "described", weather())
    group.update_description("new words")
    group.update_feature_description("rain", "mm in one hour")
    group.update_statistics_config()
    group.update_deprecated(True)
    with pytest.warns(Warning, match="deprecated"):
        again = store.get_feature_group("described", 1)
    assert again.description == "new words"
    assert again.get_feature("rain").description == "mm in one hour"
    again.update_deprecated(False)


def test_versions_are_counted_and_kept_apart(store: Any) -> None:
    first = store.create_feature_group("counted", primary_key=["cell"], event_time="at")
    first.insert(weather(2))
    second = store.create_feature_group("counted", primary_key=["cell"], event_time="at")
    second.insert(weather(3))
    assert (first.version, second.version) == (1, 2)
    assert [group.version for group in store.get_feature_groups("counted")] == [1, 2]
    with pytest.raises(RestAPIError, match="exists already"):
        store.create_feature_group("counted", version=2, primary_key=["cell"], event_time="at").insert(weather(2))
    first.delete()
    assert len(second.read()) == 3
    assert store.get_feature_group("counted", 1) is None


def test_a_group_made_again_does_not_see_the_rows_of_the_old(store: Any) -> None:
    group = made(store, "again", weather())
    left = Path(group.location)
    group.delete()
    assert not left.exists()
    left.mkdir()
    (left / "left.parquet").write_bytes(b"what a crash left")
    same(read(made(store, "again", weather(2))), weather(2))


def test_tables_are_kept_in_shape_by_the_client(store: Any) -> None:
    group = made(store, "shaped", weather())
    for first in (10, 20, 30):
        group.insert(weather(2, first=first), operation="insert")
    assert group.delta_compact()["numFilesRemoved"] >= 4
    assert group.delta_checkpoint() == {"version": 4}
    group.delta_vacuum(retention_hours=0)
    assert len(list(Path(group.location).glob("*.parquet"))) == 1
    group.insert(weather(1, first=40))
    assert len(group.read()) == 13
    assert sum(commit["rowsInserted"] for commit in group.commit_details().values()) == 13


def test_a_hudi_group_is_kept_behind_a_stream(store: Any) -> None:
    group = store.get_or_create_feature_group(
        "hudi", version=1, primary_key=["cell"], event_time="at", time_travel_format="HUDI"
    )
    group.insert(weather(), write_options={"wait_for_job": True})
    assert group.stream
    same(read(group), weather())


def test_a_stream_group_without_rows_reads_as_empty(store: Any) -> None:
    features = [Feature("cell", "bigint"), Feature("at", "timestamp"), Feature("rain", "double")]
    group = store.create_feature_group(
        "unmaterialised", version=1, primary_key=["cell"], event_time="at", stream=True, features=features
    )
    group.save()
    assert list(group.read().columns) == ["cell", "at", "rain"] and len(group.read()) == 0


def test_commits_that_the_client_did_not_report_are_found(store: Any) -> None:
    from deltalake import write_deltalake

    group = made(store, "unreported", weather())
    extra = pa.Table.from_pandas(weather(2, first=20), preserve_index=False)
    write_deltalake(
        group.location, extra.cast(pa.schema([*extra.schema]).set(1, pa.field("at", pa.timestamp("us")))), mode="append"
    )
    assert sorted(commit["rowsInserted"] for commit in group.commit_details().values()) == [2, 6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Capital"}, "lower-case letter"),
        ({"name": "../escape"}, "lower-case letter"),
        ({"name": "x" * 64}, "at most 63"),
        ({"version": -1}, "positive integer"),
        ({"version": "1"}, "positive integer"),
        ({"features": [{"name": "a;b", "type": "int"}]}, "lower-case letter"),
        ({"features": [{"name": "a", "type": "blob"}]}, "unknown feature type"),
        ({"features": [{"name": "a", "type": "array<int"}]}, "unknown feature type"),
        ({"features": [{"name": "a"}]}, "no type"),
        ({"features": [{"name": "a", "type": "int"}] * 2}, "same name"),
        ({"eventTime": "b", "features": [{"name": "a", "type": "int"}]}, "not among its features"),
        ({"eventTime": "a", "features": [{"name": "a", "type": "string"}]}, "must be timestamp"),
        ({"type": "other"}, "not one of"),
        ({"timeTravelFormat": "ICEBERG"}, "is not supported"),
    ],
)
def test_a_group_that_is_not_valid_is_refused(store: Any, change: dict[str, Any], message: str) -> None:
    with pytest.raises(RestAPIError) as caught:
        request(store, "POST", ["featuregroups"], {"name": "valid", "features": [], **change})
    assert message in caught.value.response.json()["errorMsg"]
    assert store.get_feature_group("valid", 1) is None


def test_calls_that_are_not_offered_say_so(store: Any) -> None:
    group = made(store, "plain", weather())
    with pytest.raises(RestAPIError) as caught:
        request(store, "POST", ["featuregroups", group.id, "ingestion"], {})
    assert "is not supported by the embedded Hopsworks" in caught.value.response.json()["errorMsg"]
    with pytest.raises(RestAPIError) as caught:
        store.create_training_dataset("alone", version=1, data_format="parquet").save(group.select_all())
    assert "create_training_data()" in caught.value.response.json()["errorMsg"]
