"""What docs/embedded/featurestore.md promises, call by call, through the unmodified client alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from contract_tools import START, all_refused, frame, group_of, refused
from hopsworks import udf
from hopsworks_common.client.exceptions import FeatureStoreException, RestAPIError
from hopsworks_common.core.trino_api import TrinoException
from hsfs.feature import Feature
from hsfs.storage_connector import HopsFSConnector, S3Connector

pytestmark = pytest.mark.e2e

SUPERSET: dict[str, tuple[Any, ...]] = {
    "create_chart": ("a", "bar", 1, "{}"),
    "create_dashboard": ("a",),
    "create_dataset": (1, "a"),
    "delete_chart": (1,),
    "delete_dashboard": (1,),
    "delete_dataset": (1,),
    "get_chart": (1,),
    "get_dashboard": (1,),
    "get_dataset": (1,),
    "list_charts": (),
    "list_dashboards": (),
    "list_databases": (),
    "list_datasets": (),
    "update_chart": (1,),
    "update_dashboard": (1,),
    "update_dataset": (1,),
}
TRINO: dict[str, tuple[Any, ...]] = {
    "create_catalog": ("a", "postgresql", {}),
    "delete_catalog": ("a",),
    "get_capabilities": (),
    "get_catalog": ("a",),
    "get_catalog_template": ("a", 1),
    "get_catalogs": (),
    "restart": (),
    "test_connection": ("a", "postgresql", {}),
    "update_catalog": ("a", "postgresql", {}),
}
ALWAYS = ("2020-01-01", "2100-01-01")


@udf(float)
def halved(rain):  # type: ignore[no-untyped-def]
    return rain / 2


@udf(float)
def sixfold(wet):  # type: ignore[no-untyped-def]
    return wet * 6.0


@pytest.fixture(scope="module")
def store(project: Any) -> Any:
    return project.get_feature_store()


@pytest.fixture(scope="module")
def group(store: Any) -> Any:
    return group_of(store, "contract", rows=60, online_enabled=True)


@pytest.fixture(scope="module")
def view(store: Any, group: Any) -> Any:
    made = store.create_feature_view("contract", version=1, query=group.select(["cell", "rain", "wet"]), labels=["wet"])
    made.create_training_data(data_format="parquet")
    return made


def again(store: Any, group: Any) -> Any:
    """Return a feature group as the platform knows it now."""
    return store.get_feature_group(group.name, group.version)


@pytest.mark.parametrize(
    ("option", "value", "travel"),
    [("clustered_by", ["rain"], "DELTA"), ("partitioned_by", ["day(at)"], "HUDI"), ("zorder_by", ["rain"], "HUDI")],
)
def test_layouts_are_kept_for_groups_that_the_server_writes(store: Any, option: str, value: Any, travel: str) -> None:
    made = group_of(store, f"layout_{option}", time_travel_format=travel, stream=True, **{option: value})
    found = again(store, made)
    assert getattr(found, option) == value
    assert len(found.read()) == 6
    if travel == "HUDI":
        assert found.describe_layout()["stored"][option] == value


def test_layouts_that_need_spark_are_refused_by_the_client(store: Any, group: Any) -> None:
    for option, reason in {
        "clustered_by": "requires Spark writers",
        "partitioned_by": "Delta has no partition transforms",
        "zorder_by": "not supported on DELTA",
        "sort_order": "requires time_travel_format ICEBERG",
    }.items():
        with pytest.raises(FeatureStoreException, match=reason):
            group_of(store, "spark_only", **{option: ["rain"]})
    for call in (
        group.get_clustering_columns,
        group.disable_clustering,
        lambda: group.update_clustering(["rain"]),
        group.describe_layout,
    ):
        with pytest.raises(FeatureStoreException, match="Spark"):
            call()
    for call in (
        group.get_partition_spec,
        group.get_partition_specs,
        group.get_sort_order,
        lambda: group.update_partition_spec(["day(at)"]),
    ):
        with pytest.raises(FeatureStoreException, match="ICEBERG"):
            call()


def test_a_group_in_iceberg_is_refused(store: Any) -> None:
    made = store.create_feature_group("iceberg", version=1, primary_key=["cell"], time_travel_format="ICEBERG")
    with refused("time_travel_format='ICEBERG'", "use 'DELTA'"):
        made.save(frame())


def test_metadata_of_a_group_changes_and_stays(store: Any, group: Any) -> None:
    group.update_features([Feature("rain", "double", description="fallen (mm)")])
    group.update_notification_topic_name("news")
    group.update_topic_name("rows")
    group.enable_ttl(3600)
    found = again(store, group)
    assert found.get_feature("rain").description == "fallen (mm)"
    assert (found.notification_topic_name, found.topic_name) == ("news", "rows")
    assert (found.ttl, found.ttl_enabled) == (3600, True)
    group.disable_ttl()
    assert again(store, group).ttl_enabled is False
    group.update_deprecated(True)
    with pytest.warns(Warning, match="deprecated"):
        again(store, group).check_deprecated()
    group.update_deprecated(False)


def test_changes_between_times(store: Any) -> None:
    made = group_of(store, "changing", rows=3)
    between = datetime.now(UTC)
    made.insert(frame(2, first=2).assign(rain=9.0))
    assert sorted(made.read_changes(*ALWAYS)["cell"]) == [0, 1, 2, 3]
    late = made.read_changes(between, ALWAYS[1])
    assert sorted(late["cell"]) == [2, 3]
    assert set(late["rain"]) == {9.0}
    assert sorted(made.select_all().pull_changes(between, ALWAYS[1]).read()["cell"]) == [2, 3]
    with pytest.raises(FeatureStoreException, match="does not support incremental queries"):
        made.read(between)


def test_upkeep_of_the_table_keeps_its_rows(store: Any) -> None:
    made = group_of(store, "upkeep", rows=3)
    for number in range(3, 6):
        made.insert(frame(1, first=number))
    done = made.optimize()
    assert (done["numFilesAdded"], done["numFilesRemoved"]) == (1, 4)
    made.insert(frame(1, first=6))
    assert made.delta_optimize()["numFilesRemoved"] == 2
    made.delta_cleanup_metadata()
    assert sorted(made.read()["cell"]) == list(range(7))


def test_selections_of_a_group(group: Any) -> None:
    def columns(query: Any) -> list[str]:
        return list(query.limit(1).read().columns)

    assert columns(group.select_all()) == ["cell", "at", "rain", "wet"]
    assert columns(group.select_all(include_primary_key=False, include_event_time=False)) == ["rain", "wet"]
    assert columns(group.select_except(["rain"])) == ["cell", "at", "wet"]
    assert columns(group.select_features()) == ["rain", "wet"]
    assert columns(group.select(["rain"]).append_feature(group.get_feature("wet"))) == ["rain", "wet"]
    assert sorted(group.read_primary_keys()["cell"]) == list(range(60))
    assert len(group.select_all().limit(7).read()) == 7
    assert len(group.select_all().show(5)) == 5


def test_transformations_of_a_group_at_hand(store: Any) -> None:
    made = store.create_feature_group(
        "demanding",
        version=1,
        primary_key=["cell"],
        online_enabled=True,
        time_travel_format="DELTA",
        transformation_functions=[sixfold("wet")],
    )
    made.insert(frame())
    assert sorted(made.read()["sixfold"]) == [0.0] * 3 + [6.0] * 3
    assert list(made.execute_odts(frame())["sixfold"]) == [0.0, 6.0] * 3
    store.create_feature_view("demanding", version=1, query=made.select(["cell", "sixfold"]))
    view = store.get_feature_view("demanding", 1)
    assert list(view.execute_odts(frame())["sixfold"]) == [0.0, 6.0] * 3
    view.init_serving()
    assert view.compute_on_demand_features([4, None], request_parameters={"wet": 1}) == [4, 6.0]


def test_the_store_lists_and_finds(store: Any, group: Any, view: Any) -> None:
    group.set_keywords(["weather"])
    assert "weather" in store.get_all_keywords()
    assert [found.name for found in store.search_feature_groups("contract")] == ["contract"]
    assert [found.name for found in store.search_feature_views("contract")] == ["contract"]
    assert "rain" in [found.name for found in store.search_features("rain")]
    assert [found.name for found in store.search_training_datasets("contract")] == ["contract"]
    assert [found.name for found in store.search("weather").feature_groups] == ["contract"]
    assert [found.name for found in store.get_feature_views("contract")] == ["contract"]
    assert store.get_external_feature_groups("contract") == []


def test_transformation_functions_are_listed(store: Any) -> None:
    store.create_transformation_function(sixfold, version=1).save()
    names = [found.hopsworks_udf.function_name for found in store.get_transformation_functions()]
    assert names.count("sixfold") == 1


def test_data_sources_lead_to_files_of_the_project(store: Any) -> None:
    made = store.create_data_source(HopsFSConnector(None, "resources", store.id, hopsfs_path="Resources"))
    assert made.storage_connector.name == "resources"
    found = store.get_data_source("resources").storage_connector
    assert found._hopsfs_path.endswith("/Resources")
    assert HopsFSConnector(None, "jobs", store.id, hopsfs_path="Jupyter").save().name == "jobs"
    assert store.get_online_data_source().storage_connector.name == store.get_online_storage_connector().name
    with refused("a storage connector of type S3", "use HOPSFS"):
        store.create_data_source(S3Connector(None, "bucket", store.id, bucket="b"))
    instead = "external feature group"
    all_refused(
        {
            "DataSource.get_databases": made.get_databases,
            "DataSource.get_tables": lambda: made.get_tables("x"),
            "DataSource.get_data": made.get_data,
            "DataSource.get_metadata": made.get_metadata,
            "DataSource": lambda: made.estimate_ingestion_resources(feature_group_id=1),
        },
        instead,
    )
    for call in (
        made.infer_metadata,
        found.get_databases,
        lambda: found.get_tables("x"),
        lambda: found.get_data(made),
        lambda: found.get_metadata(made),
        lambda: found.infer_metadata(made),
    ):
        with refused("DataSource.get_", instead):
            call()
    with pytest.raises(ValueError, match="only supported for CRM"):
        found.get_data_batch([made])
    for call in (found.create_trino_catalog, found.get_trino_catalog_template):
        with refused("TrinoCatalogApi", "Delta tables"):
            call()
    all_refused(
        {
            "get_feature_groups_provenance": found.get_feature_groups_provenance,
            "get_training_datasets_provenance": found.get_training_datasets_provenance,
        },
        "get_parent_feature_groups",
    )
    for call in (
        found.get_feature_groups,
        found.get_training_datasets,
        made.get_feature_groups,
        made.get_feature_groups_provenance,
        made.get_training_datasets,
        made.get_training_datasets_provenance,
    ):
        with refused("StorageConnector.get_", "get_parent_feature_groups"):
            call()


def test_charts_and_sql_are_refused_by_name(store: Any) -> None:
    all_refused(
        {
            "FeatureStore.create_chart": lambda: store.create_chart("x", "t", "u", None),
            "get_charts": store.get_charts,
            "get_chart": lambda: store.get_chart(1),
            "FeatureStore.create_dashboard": lambda: store.create_dashboard("x", []),
            "get_dashboards": store.get_dashboards,
            "get_dashboard": lambda: store.get_dashboard(1),
        },
        "the console shows",
    )
    with pytest.raises(ValueError, match="not supported"):
        store.sql("SELECT 1")


@pytest.mark.parametrize(("name", "arguments"), sorted(SUPERSET.items()))
def test_superset_is_refused(project: Any, name: str, arguments: tuple[Any, ...]) -> None:
    with refused("SupersetApi", "the console shows"):
        getattr(project.get_superset_api(), name)(*arguments)


@pytest.mark.parametrize(("name", "arguments"), sorted(TRINO.items()))
def test_catalogs_of_trino_are_refused(project: Any, name: str, arguments: tuple[Any, ...]) -> None:
    with refused("TrinoCatalogApi", "Delta tables"):
        getattr(project.get_trino_catalog_api(), name)(*arguments)


def test_trino_itself_is_not_there(project: Any) -> None:
    api = project.get_trino_api()
    for call in (api.get_host, api.get_basic_auth):
        with pytest.raises((FeatureStoreException, TrinoException), match="could not"):
            call()
    for call in (api.connect, api.create_engine):
        with pytest.raises((FeatureStoreException, ModuleNotFoundError), match=r"trino"):
            call()


def test_training_datasets_without_a_view_are_refused(store: Any, group: Any) -> None:
    old = store.create_training_dataset("old", version=1, data_format="parquet")
    rows = group.select_all()
    with refused("create_training_dataset", "feature_view.create_training_data()"):
        old.save(rows)
    for call in (
        lambda: old.insert(rows, True),
        old.delete,
        old.get_query,
        old.update_statistics_config,
        lambda: old.add_tag("a", 1),
        lambda: old.get_tag("a"),
        old.get_tags,
        lambda: old.delete_tag("a"),
    ):
        with refused("TrainingDataset", "the feature view"):
            call()
    for call in (old.read, lambda: old.show(1)):
        with pytest.raises(RestAPIError, match="no such file"):
            call()
    for call in (
        old.init_prepared_statement,
        lambda: old.get_serving_vector({"cell": 1}),
        lambda: old.get_serving_vectors({"cell": [1]}),
    ):
        with pytest.raises(AttributeError):
            call()
    assert old.compute_statistics() is None
    assert store.get_training_datasets("old") == []
    assert store.get_training_dataset("old") is None


def test_files_are_read_by_the_older_names_of_external_groups(project: Any, store: Any, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("cell,rain\n1,2.5\n")
    project.get_dataset_api().upload(str(tmp_path / "old.csv"), "Resources")
    connector = HopsFSConnector(None, "files", store.id, hopsfs_path="Resources").save()
    made = store.create_on_demand_feature_group(
        "old_name", version=1, storage_connector=connector, data_format="csv", path="old.csv", primary_key=["cell"],
        features=[Feature("cell", "bigint"), Feature("rain", "double")],
    )  # fmt: skip
    made.save()
    found = store.get_on_demand_feature_group("old_name", 1)
    assert found.read()["rain"].tolist() == [2.5]
    assert [group.name for group in store.get_on_demand_feature_groups("old_name")] == ["old_name"]
    assert [group.name for group in store.get_external_feature_groups("old_name")] == ["old_name"]
    with refused("ExternalFeatureGroup.test_data_source_access", "read the group"):
        found.test_data_source_access()
    with pytest.raises(FeatureStoreException, match="Online storage is not enabled"):
        found.insert(frame())


def test_what_fails_in_the_client_changes_nothing(store: Any, group: Any, view: Any) -> None:
    with pytest.raises(AttributeError, match="pop"):
        group.prepare_spark_location()
    with pytest.raises(AttributeError, match="delete_by_name_version"):
        type(view).clean(store.id, "contract", "1")
    assert store.get_feature_view("contract", 1) is not None
    assert len(group.read()) == 60


def test_the_schema_of_a_training_dataset(view: Any) -> None:
    assert [feature.name for feature in view.get_training_dataset_schema(1)] == ["cell", "rain", "wet"]


def test_marks_of_a_training_dataset(view: Any) -> None:
    view.add_training_dataset_tag(1, "use", {"by": "tests"})
    assert view.get_training_dataset_tag(1, "use") == {"by": "tests"}
    assert view.get_training_dataset_tags(1) == {"use": {"by": "tests"}}
    assert view.get_training_dataset_tag_metadata(1, "use").value == {"by": "tests"}
    assert set(view.get_training_dataset_tags_metadata(1)) == {"use"}
    view.delete_training_dataset_tag(1, "use")
    assert view.get_training_dataset_tags(1) == {}
    view.set_training_dataset_keywords(1, ["a"])
    view.add_training_dataset_keywords(1, ["b"])
    view.delete_training_dataset_keyword(1, "a")
    assert view.get_training_dataset_keywords(1) == ["b"]
    assert set(view.get_training_dataset_keywords_metadata(1)) == {"b"}


async def _vectors(view: Any) -> Any:
    one = await view.get_feature_vector_async(entry={"cell": 3}, return_type="list")
    return one, await view.get_feature_vectors_async(entry=[{"cell": 4}, {"cell": 5}], return_type="list")


def test_a_view_with_a_transformation(store: Any, group: Any) -> None:
    view = store.create_feature_view(
        "halving", version=1, query=group.select(["cell", "rain", "wet"]), inference_helper_columns=["wet"],
        transformation_functions=[halved("rain")],
    )  # fmt: skip
    view.init_batch_scoring()
    assert sorted(view.get_batch_data()["halved_rain_"])[-1] == 59 / 4
    assert view.get_root_fg().name == "contract"
    assert view.get_feature("rain").name == "rain"
    assert list(view.transform(frame(3))["halved_rain_"]) == [0.0, 0.25, 0.5]
    assert list(view.execute_mdts(frame(3))["halved_rain_"]) == [0.0, 0.25, 0.5]
    view.init_serving()
    one, more = asyncio.run(_vectors(view))
    helpers = view.get_inference_helpers([{"cell": 4}, {"cell": 5}], return_type="dict")
    assert helpers == [{"wet": 0}, {"wet": 1}]
    assert one == [3, 1.5, 0.75]
    assert more == [[4, 2.0, 1.0], [5, 2.5, 1.25]]


def test_rows_at_their_times(store: Any, group: Any) -> None:
    early = group.filter(group.at < START + pd.Timedelta(hours=2))
    with early.read_batches(batch_size=1) as batches:
        assert sum(batch.num_rows for batch in batches) == 2
