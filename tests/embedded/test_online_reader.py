"""What SQL may read: the project's own tables, in bounded time, and nothing else."""

from __future__ import annotations

import contextlib
import sqlite3
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from online_tools import Sender, bare_platform, first_project, make_group

from deepcube.embedded.online import reader as reader_module
from deepcube.embedded.online.errors import QueryError
from deepcube.embedded.online.reader import Reader


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    with bare_platform(tmp_path_factory.mktemp("home")) as platform:
        features = {
            "a": "bigint",
            "b": "string",
            "t": "timestamp",
            "n": "decimal(10,2)",
            "x": "array<int>",
            "f": "boolean",
        }
        sender = Sender(platform, make_group(platform, features, ["a", "b"], name="g"))
        sender.send([{"a": i // 10, "b": str(i % 10), "t": i, "f": i % 2 == 0} for i in range(100)])
        other = platform.create_project("other")
        assert other.id != first_project(platform).id
        with sender.store.readers(first_project(platform)).lend() as lent:
            yield lent


def rows(reader, text, *parameters):
    return reader.rows(reader.plan(text), list(parameters)).fetchall()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM log",
        "SELECT count(*) FROM log",
        "SELECT * FROM deepcube.producer",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM deepcube.sqlite_schema",
        "SELECT * FROM pragma_table_list",
        "SELECT * FROM other.g_1",
        "SELECT * FROM temp.sqlite_master",
        "INSERT INTO g_1 (a, b) VALUES (1, 'x')",
        "UPDATE g_1 SET f = 0",
        "DELETE FROM g_1",
        "WITH x AS (SELECT 1) DELETE FROM g_1",
        "DROP TABLE g_1",
        "CREATE TABLE y (a)",
        "CREATE TEMP TABLE y AS SELECT 1",
        "ATTACH 'x.db' AS y",
        "PRAGMA writable_schema = 1",
        "VACUUM INTO 'x.db'",
        "BEGIN",
        "SELECT load_extension('x')",
        "SELECT randomblob(1000000000)",
        "SELECT zeroblob(1000000000)",
        "SELECT printf('%1000000000d', 1)",
        "SELECT writefile('x', 'y')",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n",
        "SELECT 1; DROP TABLE g_1",
        "EXPLAIN SELECT 1",
        "",
        "SELECT",
        "SELECT a FROM",
    ],
)
def test_what_is_not_a_read_of_the_projects_tables_is_refused(reader, text):
    with pytest.raises(QueryError):
        rows(reader, text)
    assert rows(reader, "SELECT count(*) AS n FROM g_1") == [(100,)]


@given(st.text(max_size=60))
def test_any_text_is_answered_or_refused(reader, text):
    with contextlib.suppress(QueryError, sqlite3.Error):
        rows(reader, "SELECT " + text)
    assert rows(reader, "SELECT a FROM `deepcube`.`g_1` WHERE a = ? AND b = ?", 3, "4") == [(3,)]


def test_columns_keep_their_declared_types(reader):
    plan = reader.plan("SELECT `r`.`t` AS `when`, n, x, f, a + 1 AS more, b FROM `deepcube`.`g_1` AS `r`")
    assert plan.columns == (
        ("when", "DATETIME_TEXT"),
        ("n", "DECIMAL_TEXT"),
        ("x", "BLOB"),
        ("f", "BOOLEAN"),
        ("more", ""),
        ("b", "VARCHAR"),
    )


@pytest.mark.parametrize(
    ("text", "by_key"),
    [
        ("SELECT t FROM g_1 WHERE a = ? AND b = ?", True),
        (
            "SELECT t FROM g_1 WHERE (a, b) IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') "
            "FROM json_each(?))",
            True,
        ),
        ("SELECT t FROM g_1 WHERE t = ?", False),
        ("SELECT t FROM g_1", False),
        ("SELECT l.t FROM g_1 AS l JOIN g_1 AS r ON l.t = r.t WHERE l.a = ? AND l.b = ?", False),
    ],
)
def test_only_look_ups_by_key_count_as_such(reader, text, by_key):
    assert reader.plan(text).by_key is by_key


def test_a_statement_that_runs_too_long_is_stopped(reader, monkeypatch):
    monkeypatch.setattr(reader_module, "MAX_SECONDS", 0.2)
    crossed = ", ".join(f"g_1 AS t{i}" for i in range(8))
    begin = time.monotonic()
    with pytest.raises((QueryError, sqlite3.Error), match="interrupted"):
        rows(reader, f"SELECT sum(t0.a + t7.a) AS s FROM {crossed}")
    assert time.monotonic() - begin < 30
    monkeypatch.undo()
    assert rows(reader, "SELECT count(*) AS n FROM g_1") == [(100,)]


def test_a_reader_sees_new_rows_and_new_tables(tmp_path):
    with bare_platform(tmp_path) as platform:
        sender = Sender(platform, make_group(platform, {"id": "int"}, ["id"], name="one"))
        project = first_project(platform)
        database = sender.store.database(project.id)
        own = Reader(database.path, project.name, lambda: database.schema_changes)
        assert rows(own, "SELECT id FROM one_1") == []
        sender.send([{"id": 1}])
        assert rows(own, "SELECT id FROM one_1") == [(1,)]
        Sender(platform, make_group(platform, {"id": "int"}, ["id"], name="two")).send([{"id": 2}])
        assert rows(own, "SELECT one_1.id AS a, two_1.id AS b FROM one_1, two_1") == [(1, 2)]
        own.close()


def test_a_statement_prepared_before_a_table_changed_is_still_right(tmp_path):
    with bare_platform(tmp_path) as platform:
        group = make_group(platform, {"id": "int", "v": "int"}, ["id"], name="one")
        sender, project = Sender(platform, group), first_project(platform)
        sender.send([{"id": 1, "v": 2}])
        with sender.store.readers(project).lend() as lent:
            assert rows(lent, "SELECT * FROM one_1") == [(1, 2)]
            platform.catalog.remove(group)
            renewed = Sender(platform, make_group(platform, {"id": "int", "w": "timestamp"}, ["id"], name="one"))
            renewed.send([{"id": 7, "w": 0}])
            plan = lent.plan("SELECT * FROM one_1")
            assert lent.rows(plan, []).fetchall() == [(7, "1970-01-01 00:00:00")]
            assert plan.columns == (("id", "INT"), ("w", "DATETIME_TEXT"))
