"""The online store through the unmodified client: rows in, rows and vectors out, embeddings, logs, and who may not."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pandas as pd
import pymysql
import pytest

from deepcube.embedded import Running
from deepcube.embedded.home import Settings

pytestmark = pytest.mark.e2e

DAY = pd.Timestamp("2024-01-01")
WAIT = {"wait_for_online_ingestion": True, "wait_for_job": True}


def frame(keys):
    return pd.DataFrame(
        {
            "id": pd.Series(keys, dtype="int64"),
            "ts": [DAY + pd.Timedelta(microseconds=key + 1) for key in keys],
            "text": [f"it's ü \\ {key}\n" for key in keys],
            "n": [Decimal(f"{100 + key}.25") for key in keys],
            "day": [dt.date(2024, 3, 1)] * len(keys),
            "raw": [b"\x00\xff"] * len(keys),
            "x": [[1.0, float(key)] for key in keys],
            "flag": [key % 2 == 0 for key in keys],
        }
    )


@pytest.fixture(scope="module")
def store(project):
    return project.get_feature_store()


@pytest.fixture(scope="module")
def group(store):
    made = store.get_or_create_feature_group(
        "online", version=1, primary_key=["id"], event_time="ts", online_enabled=True, time_travel_format="DELTA"
    )
    made.insert(frame(range(1, 21)), write_options=WAIT)
    return made


def expected(key):
    moment = (DAY + pd.Timedelta(microseconds=key + 1)).to_pydatetime()
    text = f"it's ü \\ {key}\n"
    return [
        key,
        moment,
        text,
        Decimal(f"{100 + key}.25"),
        dt.date(2024, 3, 1),
        b"\x00\xff",
        [1.0, float(key)],
        key % 2 == 0,
    ]


def test_rows_are_read_by_sql_with_their_types(group):
    found = group.read(online=True).sort_values("id").reset_index(drop=True)
    sent = frame(range(1, 21))
    for name in ("id", "text", "n", "day", "raw"):
        assert found[name].tolist() == sent[name].tolist()
    assert (found["ts"] == sent["ts"]).all()
    assert found["flag"].astype(bool).tolist() == sent["flag"].tolist()
    assert group.filter(group.text == "it's ü \\ 3\n").read(online=True)["id"].tolist() == [3]
    assert sorted(group.filter(group.n > Decimal("118.5")).read(online=True)["id"]) == [19, 20]


def test_progress_of_an_insert(group):
    ingestion = group.get_latest_online_ingestion()
    assert sum(result.rows for result in ingestion.results) == ingestion.num_entries
    assert ingestion.get_failures() == []


@pytest.mark.parametrize("rest", [False, True])
def test_feature_vectors(store, group, rest):
    view = store.get_or_create_feature_view("online_view", version=1, query=group.select_all())
    view.init_serving(1, init_sql_client=not rest, init_rest_client=rest)
    vector = view.get_feature_vector({"id": 7})
    wanted = expected(7)
    if rest:
        wanted[3] = str(wanted[3])
    assert vector == wanted
    keys = [20, 1, 5, 1]
    assert [found[0] for found in view.get_feature_vectors([{"id": key} for key in keys])] == keys
    missing = view.get_feature_vector({"id": 999}, allow_missing=True)
    assert missing[2] is None


def test_deleted_rows_are_gone_from_both_stores(store):
    made = store.get_or_create_feature_group(
        "deletes", version=1, primary_key=["id"], event_time="ts", online_enabled=True, time_travel_format="DELTA"
    )
    rows = frame(range(1, 6))[["id", "ts", "text"]]
    made.insert(rows, write_options=WAIT)
    made.remove_rows(rows.head(2)[["id", "ts"]])
    assert sorted(made.read(online=True)["id"]) == sorted(made.read()["id"]) == [3, 4, 5]


def test_a_stream_group_agrees_online_and_offline(store):
    made = store.get_or_create_feature_group(
        "stream", version=1, primary_key=["id"], event_time="ts", online_enabled=True, stream=True,
        time_travel_format="DELTA",
    )  # fmt: skip
    made.insert(frame(range(1, 11)), write_options=WAIT)
    made.insert(frame(range(6, 16)), write_options=WAIT)
    assert sorted(made.read(online=True)["id"]) == sorted(made.read()["id"]) == list(range(1, 16))


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_every_compression_of_the_producer(group, codec):
    options = {"kafka_producer_config": {"compression.type": codec}, **WAIT}
    group.insert(frame([1, 2, 3]), storage="online", write_options=options)
    assert group.get_latest_online_ingestion().results[0].rows == 3


def test_neighbors_of_embeddings(store):
    from hsfs.embedding import EmbeddingIndex

    index = EmbeddingIndex()
    index.add_embedding("e", 2)
    made = store.get_or_create_feature_group(
        "embedded", version=1, primary_key=["id"], online_enabled=True, embedding_index=index
    )
    points = [[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]]
    made.insert(pd.DataFrame({"id": [1, 2, 3], "kind": ["a", "b", "a"], "e": points}), write_options=WAIT)
    assert [(round(distance, 6), row[0]) for distance, row in made.find_neighbors([0.0, 0.0], k=2)] == [(0, 1), (1, 2)]
    assert [row[0] for _, row in made.find_neighbors([1.0, 0.0], k=2, filter=made.kind == "a")] == [1, 3]
    assert made.embedding_index.count() == 3


def test_the_log_of_a_feature_view(store, group):
    view = store.get_or_create_feature_view(
        "logged", version=1, query=group.select(["id", "ts", "n", "flag"]), labels=["flag"]
    )
    view.enable_logging()
    view.log(frame([1, 2])[["id", "ts", "n"]], predictions=[[True], [False]], model_name="m", model_version=1)
    view.materialize_log(wait=True)
    assert sorted(view.read_log()["id"]) == sorted(view.read_log(online=True)["id"]) == [1, 2]
    view.delete_log()
    assert len(view.read_log()) == 0


def test_a_wrong_password_opens_nothing(embedded: Running, group):
    host = Settings.load(embedded.home).mysql_host
    for user in (f"{embedded.project}_deepcube", "root", ""):
        with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
            pymysql.connect(host=host, port=3306, user=user, password="wrong", database=embedded.project)
