"""The documents' tables of calls, the client and the tests agree: nothing is promised untested, nothing left unsaid."""

from __future__ import annotations

from pathlib import Path

import client_calls
import pytest
from client_calls import Promise

CLIENT_ALONE = "client"  # the second cell of calls that send no request


@pytest.fixture(scope="module")
def promises() -> list[Promise]:
    return client_calls.promises()


def listed(promises: list[Promise]) -> str:
    return "\n".join(sorted({f"{promise.document}: {promise.text}" for promise in promises}))


def test_every_document_has_its_table(promises: list[Promise]) -> None:
    for document in ("featurestore.md", "online.md", "quality.md", "runtime.md"):
        assert sum(promise.document == document for promise in promises) > 20, document


def test_every_promise_has_an_answer(promises: list[Promise]) -> None:
    unanswered = [promise for promise in promises if not promise.support]
    assert not unanswered, f"rows without an answer in the second cell:\n{listed(unanswered)}"


def test_the_client_has_every_call(promises: list[Promise]) -> None:
    absent = [promise for promise in promises if not client_calls.exists(promise)]
    assert not absent, f"the installed client has no such call; correct the table:\n{listed(absent)}"


def test_every_call_is_exercised(promises: list[Promise]) -> None:
    names = client_calls.exercised()
    untested = [promise for promise in promises if promise.name not in names and promise.support != CLIENT_ALONE]
    assert not untested, f"no test in tests/embedded makes these calls; write a contract test:\n{listed(untested)}"


def test_every_call_of_the_client_is_in_a_table(promises: list[Promise]) -> None:
    named = {(promise.receiver, promise.name) for promise in promises}
    unsaid = [
        f"{owner}.{name}"
        for owner, name in client_calls.offered()
        if not any((other, name) in named for other in client_calls.same_calls(owner))
    ]
    assert not unsaid, "no table of docs/embedded/*.md says whether these are offered:\n" + "\n".join(unsaid)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("`fg.insert` (upsert), `remove_rows`", [("FeatureGroup", "insert"), ("FeatureGroup", "remove_rows")]),
        ("`fg.materialization_job.run`", [("Job", "run")]),
        ("`project.get_search_api().features(...)`", [("SearchApi", "features")]),
        ("`hopsworks.udf`; `UsersApi.set_role`", [("hopsworks", "udf"), ("UsersApi", "set_role")]),
        ("rows as of `lookback=` and `fg.insert(storage=\"online\")`", [("", "lookback"), ("FeatureGroup", "insert")]),
        ("SPARK, `\"envVars\"` of the configuration", []),
    ],
)  # fmt: skip
def test_how_a_cell_is_read(cell: str, expected: list[tuple[str, str]]) -> None:
    found = client_calls.of_cell("a.md", cell, "yes")
    assert [(promise.receiver, promise.name) for promise in found] == expected


def test_a_missing_call_is_noticed(tmp_path: Path) -> None:
    table = tmp_path / "a.md"
    table.write_text(
        "| call | supported | note |\n|---|---|---|\n| `fg.fly`, `insert` | yes | |\n\n| `fg.swim` | no | |\n"
    )
    found = list(client_calls.of_document(table))
    assert [(promise.name, client_calls.exists(promise)) for promise in found] == [("fly", False), ("insert", True)]
