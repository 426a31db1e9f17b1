"""What the query service runs: signed plans, passes, tables that stay in their folder, and a database that is shut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from deepcube.embedded.errors import ApiError
from deepcube.embedded.home import Home
from deepcube.embedded.keys import OWNER
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.query import literals, passes, plans, tables
from deepcube.embedded.query.compose import compose
from deepcube.embedded.query.engine import connect
from deepcube.embedded.query.execute import run
from deepcube.embedded.server import open_platform
from deepcube.embedded.store import commits, datasets, group_changes, groups, views
from deepcube.embedded.store.types import arrow_type

QUERY = {"leftFeatureGroup": {"id": 1}, "leftFeatures": [{"name": "k"}], "joins": [], "filter": None}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    home = Home(tmp_path_factory.mktemp("home"))
    home.prepare()
    opened = open_platform(home, 0, None)
    yield opened
    opened.close()


@pytest.fixture
def project(platform: Platform) -> Project:
    return platform.projects()[0]


def filled(platform: Platform, project: Project, name: str, table: pa.Table, key: str = "k") -> Any:
    kinds = [{"name": f.name, "type": "bigint", "primary": f.name == key} for f in table.schema]
    group = group_changes.create_group(platform, project, {"name": name, "version": 1, "features": kinds})
    write_deltalake(
        groups.delta_location(platform, project, group), table, configuration={"delta.enableChangeDataFeed": "true"}
    )
    return group


def read(platform: Platform, project: Project, group: Any, **more: Any) -> list[dict[str, Any]]:
    names = [{"name": feature["name"]} for feature in group.body["features"]]
    document = {"leftFeatureGroup": {"id": group.id}, "leftFeatures": names, **more}
    return run(platform, compose(platform, project, document)).read_all().to_pylist()


def test_a_plan_is_read_by_the_server_that_made_it(platform: Platform, project: Project) -> None:
    payload, signature = plans.make_plan(platform, project, QUERY)
    assert json.loads(payload)["signature"] == signature
    assert plans.read_plan(platform, payload) == (project, plans.slim(QUERY))


@pytest.mark.parametrize(
    "change",
    [
        {"project": 2},
        {"until": 2**60},
        {"query": {"leftFeatureGroup": {"id": 2}}},
        {"signature": ""},
        {"signature": None},
        {"signature": "ü"},
        {"more": 1},
    ],
)
def test_a_plan_that_was_changed_is_refused(platform: Platform, project: Project, change: dict[str, Any]) -> None:
    payload, _ = plans.make_plan(platform, project, QUERY)
    with pytest.raises(ApiError, match="was not made by this server"):
        plans.read_plan(platform, {**json.loads(payload), **change})


@pytest.mark.parametrize("payload", ["", "{}", "[]", "null", "1", '"x"', "{", b"\xff"])
def test_what_is_no_plan_is_refused(platform: Platform, payload: Any) -> None:
    with pytest.raises(ApiError, match="was not made by this server"):
        plans.read_plan(platform, payload)


def test_an_old_plan_is_refused(platform: Platform, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "VALID_MS", -1)
    payload, _ = plans.make_plan(platform, project, QUERY)
    with pytest.raises(ApiError, match="too long ago"):
        plans.read_plan(platform, payload)


def test_a_pass_opens_its_project_and_no_other(platform: Platform, project: Project) -> None:
    token = passes.issue(platform, project, OWNER)
    assert passes.check(platform, token) == (project, OWNER)
    other = platform.create_project("neighbour")
    forged = "-".join([str(other.id), *token.split("-")[1:]])
    for bad in (forged, token[:-1], "", "---", "a-b-c-d", token.upper()):
        with pytest.raises(ApiError, match="log in again"):
            passes.check(platform, bad)
    stranger = platform.keys.register("stranger@example.org", "A", "B")
    with pytest.raises(ApiError, match="log in again"):
        passes.check(platform, passes.issue(platform, project, stranger))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/written.csv'",
        "ATTACH '/tmp/attached.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '1TB'",
        "SELECT * FROM somewhere",
    ],
)
def test_the_database_is_shut(platform: Platform, statement: str) -> None:
    somewhere = pa.table({"x": [1]})
    assert len(somewhere) == 1
    with pytest.raises(ApiError, match="cannot be run"), connect(platform) as connection:
        connection.execute(statement)


def test_queries_do_not_see_each_others_tables(platform: Platform) -> None:
    with connect(platform) as one:
        one.register("mine", pa.table({"x": [1]}))
        with pytest.raises(ApiError, match="does not exist"), connect(platform) as other:
            other.execute("SELECT * FROM mine")


def test_a_table_that_names_a_file_outside_of_it_is_not_read(
    platform: Platform, project: Project, tmp_path: Path
) -> None:
    group = filled(platform, project, "hostile", pa.table({"k": pa.array([1], pa.int64())}))
    secret = filled(platform, project, "secret", pa.table({"k": pa.array([42], pa.int64())}))
    target = Path(DeltaTable(groups.delta_location(platform, project, secret)).file_uris()[0])
    folder = groups.delta_location(platform, project, group)
    log = folder / "_delta_log" / "00000000000000000000.json"
    mine = Path(DeltaTable(folder).file_uris()[0])
    for path in (str(target), f"../secret_1/{target.name}"):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        for line in lines:
            if "add" in line:
                line["add"]["path"] = path
        log.write_text("\n".join(map(json.dumps, lines)))
        with pytest.raises((ApiError, OSError)):
            read(platform, project, group)
    mine.unlink()
    mine.symlink_to(target)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if "add" in line:
            line["add"]["path"] = mine.name
    log.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(ApiError, match="outside of it"):
        read(platform, project, group)


def test_a_group_of_another_project_is_unknown(platform: Platform, project: Project) -> None:
    group = filled(platform, project, "owned", pa.table({"k": pa.array([1], pa.int64())}))
    other = platform.create_project("elsewhere")
    with pytest.raises(ApiError) as caught:
        read(platform, other, group)
    assert (caught.value.status, caught.value.code) == (404, 270009)


def test_the_same_key_written_twice_counts_once_among_the_changes(platform: Platform, project: Project) -> None:
    group = filled(
        platform,
        project,
        "changing",
        pa.table({"k": pa.array([1, 2, 3], pa.int64()), "v": pa.array([0, 0, 0], pa.int64())}),
    )
    first = commits.commits(platform, project, group)[0].body["commitTime"]
    table = DeltaTable(groups.delta_location(platform, project, group))
    import time

    time.sleep(0.01)
    for value in (1, 2):
        source = pa.table({"k": pa.array([1, 2], pa.int64()), "v": pa.array([value, value], pa.int64())})
        merge = table.merge(source, "t.k = s.k", source_alias="s", target_alias="t")
        merge.when_matched_update_all().when_not_matched_insert_all().execute()
    table.delete("k = 2")
    changed = read(platform, project, group, leftFeatureGroupStartTime=first)
    assert changed == [{"k": 1, "v": 2}]


def test_commits_end_with_their_table(platform: Platform, project: Project) -> None:
    group = filled(platform, project, "emptied", pa.table({"k": pa.array([1], pa.int64())}))
    assert len(commits.commits(platform, project, group)) == 1
    group_changes.clear_group(platform, group)
    assert commits.commits(platform, project, group) == []
    write_deltalake(groups.delta_location(platform, project, group), pa.table({"k": pa.array([1, 2], pa.int64())}))
    assert [commit.body["rowsInserted"] for commit in commits.commits(platform, project, group)] == [2]


def test_a_replaced_folder_is_the_old_or_the_new(
    platform: Platform, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = platform.files.project_folder(project.name) / f"{project.name}_Training_Datasets"
    target = folder / "kept_1_1"

    def write(content: str) -> None:
        with datasets.replaced(target) as new:
            (new / "part").write_text(content)

    write("old")
    with pytest.raises(RuntimeError), datasets.replaced(target) as new:
        (new / "part").write_text("broken")
        raise RuntimeError
    assert (target / "part").read_text() == "old"
    rename = Path.rename
    for crash in (1, 2):  # a crash before the first rename, and one between the two
        seen = 0

        def failing(self: Path, other: Path, crash: int = crash) -> Path:
            nonlocal seen
            seen += 1
            if seen == crash:
                raise KeyboardInterrupt
            return rename(self, other)

        monkeypatch.setattr(Path, "rename", failing)
        with pytest.raises(KeyboardInterrupt):
            write("new")
        monkeypatch.undo()
        datasets.recover(platform)
        assert (target / "part").read_text() == "old"
    write("new")
    assert [path.name for path in folder.iterdir()] == ["kept_1_1"]
    assert (target / "part").read_text() == "new"


def test_serving_keys_of_a_view_are_named_as_they_are_looked_up(platform: Platform, project: Project) -> None:
    root = filled(
        platform, project, "serving_root", pa.table({"k": pa.array([1], pa.int64()), "p": pa.array([1], pa.int64())})
    )
    other = filled(
        platform,
        project,
        "serving_other",
        pa.table({"q": pa.array([1], pa.int64()), "x": pa.array([1], pa.int64())}),
        "q",
    )
    joined = {
        "query": {"leftFeatureGroup": {"id": other.id}, "leftFeatures": [{"name": "x"}]},
        "leftOn": ["p"],
        "rightOn": ["q"],
        "prefix": "o_",
    }
    query = {"leftFeatureGroup": {"id": root.id}, "leftFeatures": [{"name": "k"}], "joins": [joined]}
    view = views.create_view(platform, project, {"name": "served", "version": 1, "query": query})
    keys = [(key["featureName"], key["prefix"], key["joinOn"], key["required"]) for key in view.body["servingKeys"]]
    assert keys == [("k", "", None, True), ("q", "o_", "p", False)]


@given(st.text())
def test_any_text_is_the_same_text_in_the_database(text: str) -> None:
    if "\0" in text:
        with pytest.raises(ApiError, match="NUL"):
            literals.offline(text)
    else:
        assert duckdb.execute(f"SELECT {literals.offline(text)}").fetchone() == (text,)


@given(
    st.one_of(
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.booleans(),
        st.datetimes(),
        st.dates(),
        st.binary(),
        st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9),
    )
)
def test_any_value_is_the_same_value_in_the_database(value: Any) -> None:
    (found,) = duckdb.execute(f"SELECT {literals.offline(value)}").fetchone() or (None,)
    assert found == value or (value != value and found != found)


@pytest.mark.parametrize("kind", ["int", "array<struct<a:map<string,double>,b:decimal(38,10)>>"])
def test_a_type_has_a_column_in_the_database(kind: str) -> None:
    arrow = arrow_type(kind)
    (found,) = duckdb.execute(f"SELECT typeof(CAST(NULL AS {tables.duckdb_type(arrow)}))").fetchone() or ("",)
    assert found.split("(")[0].lower() in ("integer", "struct")
