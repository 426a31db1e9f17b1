"""What docs/embedded/online.md promises, call by call, through the unmodified client alone."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from contract_tools import WAIT, all_refused, frame, group_of
from hopsworks_common.client.exceptions import FeatureStoreException
from hsfs.embedding import EmbeddingIndex

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def store(project: Any) -> Any:
    return project.get_feature_store()


@pytest.fixture(scope="module")
def group(store: Any) -> Any:
    return group_of(store, "stream", stream=True, online_enabled=True)


@pytest.fixture(scope="module")
def view(store: Any, group: Any) -> Any:
    made = store.create_feature_view("logged", version=1, query=group.select(["cell", "rain", "wet"]), labels=["wet"])
    made.enable_logging()
    return made


def test_rows_in_several_parts(group: Any) -> None:
    with group.multi_part_insert() as parts:
        parts.insert(frame(2, first=10))
        parts.insert(frame(2, first=12))
    group.multi_part_insert(frame(2, first=14))
    group.finalize_multi_part_insert()
    group.materialization_job.run(await_termination=True)
    assert sorted(group.read(online=True)["cell"]) == [*range(6), *range(10, 16)]
    assert sorted(group.read()["cell"]) == [*range(6), *range(10, 16)]


def test_one_may_wait_for_the_rows(group: Any) -> None:
    options = {**WAIT, "online_ingestion_options": {"timeout": 20, "period": 0.1}}
    group.insert(frame(3).assign(rain=7.0), write_options=options)
    found = group.read(online=True)
    assert found[found["cell"] < 3]["rain"].tolist() == [7.0] * 3


def test_progress_of_an_ingestion(group: Any, capsys: pytest.CaptureFixture[str]) -> None:
    group.insert(frame(4), write_options=WAIT)
    newest = group.get_latest_online_ingestion()
    found = group.get_online_ingestion(newest.id)
    found.refresh()
    found.wait_for_completion()
    assert [(result.status, result.rows) for result in found.results] == [("UPSERTED", 4)]
    assert found.num_entries == 4
    capsys.readouterr()
    found.print_logs()
    assert capsys.readouterr().out.strip() == ""


def test_what_a_log_holds_and_when_it_was_written(view: Any) -> None:
    assert view.get_log_timeline() == {}
    view.log(frame(2)[["cell", "rain"]], predictions=[[True], [False]], model_name="m", model_version=1)
    view.materialize_log(wait=True)
    (commit,) = view.get_log_timeline().values()
    assert (commit["rowsInserted"], commit["rowsUpdated"], commit["rowsDeleted"]) == (2, 0, 0)


def test_the_schedule_of_a_log_is_paused_and_resumed(project: Any, view: Any) -> None:
    def schedule() -> Any:
        return project.get_job_api().get_job("logged_1_log_1_offline_fg_materialization").job_schedule

    assert schedule() is None
    view.set_log_materialization_interval("hour")
    assert (schedule().cron_expression, schedule().enabled) == ("0 0 * * * ? *", True)
    view.pause_logging()
    assert schedule().enabled is False
    view.resume_logging()
    assert schedule().enabled is True
    view.set_log_materialization_interval("day")
    assert schedule().cron_expression.split()[:3] == ["0", "0", "0"]


def test_a_logger_of_ones_own_is_for_deployments(view: Any) -> None:
    with pytest.raises(FeatureStoreException, match="only supported in Hopsworks serving deployments"):
        view.create_feature_logger()
    view.init_feature_logger(None)


def test_embeddings_are_kept_with_their_kind(store: Any) -> None:
    index = EmbeddingIndex()
    index.add_embedding("e", 2)
    made = store.create_feature_group(
        "points", version=1, primary_key=["k"], online_enabled=True, embedding_index=index
    )
    made.insert(pd.DataFrame({"k": [1, 2], "e": [[0.0, 0.0], [1.0, 0.0]]}), write_options=WAIT)
    found = store.get_feature_group("points", 1)
    assert found.embedding_index.get_embedding("e").dimension == 2
    assert [embedding.name for embedding in found.embedding_index.get_embeddings()] == ["e"]
    assert found.embedding_index.count() == 2
    assert sorted(found.read(online=True)["k"]) == [1, 2]


def test_the_broker_is_for_rows_of_feature_groups_only(project: Any, store: Any, group: Any) -> None:
    api = project.get_kafka_api()
    instead = "insert into one"
    all_refused(
        {
            "KafkaApi.create_topic": lambda: api.create_topic("t", {"type": "record"}, 1),
            "get_topics": api.get_topics,
            "get_topic": lambda: api.get_topic("t"),
            "get_subjects": api.get_subjects,
            "KafkaApi.create_schema": lambda: api.create_schema("s", {"type": "record", "name": "s", "fields": []}),
            "get_schemas": lambda: api.get_schemas("s"),
            "get_schema": lambda: api.get_schema("s", 1),
            "KafkaApi.get_default_config": api.get_default_config,
        },
        instead,
    )
    schema = api.get_subject(store.id, "stream_1")["schema"]
    assert all(name in schema for name in ("cell", "rain", "wet"))


def test_indices_of_ones_own_are_refused(project: Any) -> None:
    import opensearchpy

    api = project.get_opensearch_api()
    index = api.get_project_index("mine")
    assert index.startswith(project.name)
    search = opensearchpy.OpenSearch(**api.get_default_py_config())
    with pytest.raises(opensearchpy.exceptions.TransportError, match="embedding index"):
        search.indices.create(index=index)


def test_a_stream_data_frame_needs_spark(group: Any) -> None:
    with pytest.raises(TypeError, match="Use `insert"):
        group.insert_stream(frame())
