"""Files that are read as feature groups, and the connectors that name where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from deltalake import write_deltalake
from hopsworks_common.client.exceptions import FeatureStoreException, RestAPIError
from hsfs.core.data_source import DataSource
from hsfs.feature import Feature
from hsfs.storage_connector import HopsFSConnector, S3Connector

FEATURES = [Feature("k", "bigint"), Feature("at", "timestamp"), Feature("x", "double")]
FRAME = pd.DataFrame({"k": [1, 2], "at": pd.to_datetime(["2024-01-01", "2024-01-02"]), "x": [0.5, None]})


@pytest.fixture(scope="module")
def store(project: Any) -> Any:
    return project.get_feature_store()


@pytest.fixture(scope="module")
def folder(embedded: Any) -> Path:
    place = embedded.home.files / "Projects/deepcube/Resources/outside"
    place.mkdir()
    return Path(place)


@pytest.fixture(scope="module")
def connector(store: Any, folder: Path) -> Any:
    from hsfs.core.storage_connector_api import StorageConnectorApi

    StorageConnectorApi()._create(HopsFSConnector(None, "outside", store.id, hopsfs_path="Resources/outside"))
    return store.get_storage_connector("outside")


def external(store: Any, connector: Any, name: str, data_format: str, path: str) -> Any:
    group = store.create_external_feature_group(
        name=name,
        version=1,
        data_format=data_format,
        primary_key=["k"],
        event_time="at",
        features=FEATURES,
        data_source=DataSource(storage_connector=connector, path=path),
    )
    group.save()
    return store.get_external_feature_group(name, 1)


def write(frame: pd.DataFrame, path: Path, data_format: str) -> None:
    path.mkdir()
    if data_format == "parquet":
        frame.astype({"at": "datetime64[us]"}).to_parquet(path / "a.parquet")
    elif data_format == "delta":
        write_deltalake(path, frame.astype({"at": "datetime64[us]"}))
    else:
        frame.to_csv(path / f"a.{data_format}", index=False, sep="\t" if data_format == "tsv" else ",")


@pytest.mark.parametrize("data_format", ["parquet", "csv", "tsv", "delta"])
def test_files_are_read_as_a_group(store: Any, connector: Any, folder: Path, data_format: str) -> None:
    write(FRAME, folder / data_format, data_format)
    group = external(store, connector, f"outside_{data_format}", data_format, data_format)
    found = group.read().sort_values("k").reset_index(drop=True)
    pd.testing.assert_frame_equal(found, FRAME, check_dtype=False)
    assert group.filter(group.k == 2).read()["k"].tolist() == [2]


def test_files_are_joined_as_of_a_time(store: Any, connector: Any, folder: Path) -> None:
    write(FRAME, folder / "joined", "parquet")
    group = external(store, connector, "outside_joined", "parquet", "joined")
    labels = store.get_or_create_feature_group("outside_labels", version=1, primary_key=["id"], event_time="t")
    labels.insert(pd.DataFrame({"id": [7, 8], "k": [1, 2], "t": pd.to_datetime(["2024-01-01 12:00:00"] * 2)}))
    query = labels.select(["id"]).join(group.select(["x", "at"]), on=["k"])
    assert query.read().sort_values("id")["at"].notna().tolist() == [True, False]
    view = store.create_feature_view("outside_view", version=1, query=query)
    assert len(view.training_data()[0]) == 2


def test_connectors_are_kept(store: Any, connector: Any) -> None:
    assert connector.type == "HOPSFS"
    assert store.get_storage_connector("nothing") is None
    from hsfs.core.storage_connector_api import StorageConnectorApi

    with pytest.raises(RestAPIError, match="there is a storage connector"):
        StorageConnectorApi()._create(HopsFSConnector(None, "outside", store.id, hopsfs_path="Resources"))
    with pytest.raises(RestAPIError, match="outside project"):
        StorageConnectorApi()._create(HopsFSConnector(None, "away", store.id, hopsfs_path="../../etc"))
    with pytest.raises(RestAPIError, match="is not supported"):
        StorageConnectorApi()._create(S3Connector(None, "bucket", store.id, bucket="b"))


def test_what_is_not_there_or_not_in_the_project_is_told(store: Any, connector: Any, folder: Path) -> None:
    with pytest.raises(RestAPIError, match="no such file or folder"):
        external(store, connector, "outside_missing", "parquet", "missing")
    with pytest.raises(RestAPIError, match="outside project"):
        external(store, connector, "outside_escaped", "parquet", "../../../../etc")
    with pytest.raises(RestAPIError, match="is not supported"):
        bucket = S3Connector(5, "bucket", store.id, bucket="b")
        external(store, bucket, "outside_bucket", "parquet", "x")


def test_the_reason_of_a_failed_read_is_told(store: Any, connector: Any, folder: Path) -> None:
    write(FRAME, folder / "brief", "csv")
    group = external(store, connector, "outside_brief", "csv", "brief")
    (folder / "brief" / "a.csv").write_text("k,at,x\n1,2024-01-01,half\n")
    with pytest.raises(FeatureStoreException, match="half"):
        group.read()
    (folder / "brief" / "a.csv").unlink()
    with pytest.raises(FeatureStoreException, match="no CSV file for external feature group 'outside_brief'"):
        group.read()


def test_a_spine_group_is_kept_but_its_rows_are_not(store: Any) -> None:
    spine = store.get_or_create_spine_group(
        name="spine", version=1, primary_key=["k"], event_time="at", dataframe=FRAME.assign(label=1)
    )
    assert spine.id is not None
    assert [
        feature.name
        for feature in store.get_or_create_spine_group(
            name="spine", version=1, primary_key=["k"], event_time="at", dataframe=FRAME.assign(label=1)
        ).features
    ] == ["k", "at", "x", "label"]
