"""The catalog: unique keys, transactions, recursive removal, refusal of newer files."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from deepcube.embedded.catalog import Catalog, DuplicateEntityError, iso_time
from deepcube.embedded.errors import StorageError


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.db")


def test_an_entity_is_found_by_every_key(catalog: Catalog) -> None:
    entity = catalog.add(1, "feature_group", "ndvi", {"a": [1, None]}, version=2)
    assert catalog.get(entity.id) == entity
    assert catalog.get(entity.id, "job") is None
    assert catalog.find(1, "feature_group", name="ndvi", version=2) == [entity]
    assert catalog.find(2, "feature_group") == []
    assert catalog.find(None, "feature_group") == [entity]


def test_the_same_key_twice_is_refused(catalog: Catalog) -> None:
    catalog.add(1, "job", "train", {})
    with pytest.raises(DuplicateEntityError, match="train"):
        catalog.add(1, "job", "train", {})
    catalog.add(2, "job", "train", {})


def test_versions_count_up_per_name(catalog: Catalog) -> None:
    assert catalog.next_version(1, "model", "m") == 1
    catalog.add(1, "model", "m", {}, version=4)
    assert catalog.next_version(1, "model", "m") == 5
    assert catalog.next_version(1, "model", "other") == 1


def test_a_failed_transaction_leaves_nothing(catalog: Catalog) -> None:
    with pytest.raises(RuntimeError), catalog.transaction():
        catalog.add(1, "job", "a", {})
        with catalog.transaction():
            catalog.add(1, "job", "b", {})
        raise RuntimeError
    assert catalog.find(1, "job") == []


def test_removal_takes_everything_below(catalog: Catalog) -> None:
    top = catalog.add(1, "view", "v", {})
    middle = catalog.add(1, "dataset", "d", {}, parent_id=top.id)
    catalog.add(1, "statistics", "s", {}, parent_id=middle.id)
    other = catalog.add(1, "dataset", "d", {})
    catalog.remove(top)
    assert catalog.find(1, "dataset") == [other]
    assert catalog.find(1, "statistics") == []


def test_ids_are_never_used_again(catalog: Catalog) -> None:
    first = catalog.add(1, "model", "m", {})
    catalog.remove(first)
    assert catalog.add(1, "model", "m", {}).id > first.id


def test_content_survives_reopening(tmp_path: Path) -> None:
    entity = Catalog(tmp_path / "c.db").add(1, "job", "ü", {"é": 1.5})
    assert Catalog(tmp_path / "c.db").get(entity.id) == entity


def test_a_file_of_a_newer_version_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    Catalog(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StorageError, match="schema 99"):
        Catalog(path)
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (99,)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match="cannot be used"):
        Catalog(path)


def test_concurrent_version_numbers_are_distinct(catalog: Catalog) -> None:
    def add() -> None:
        for _ in range(20):
            with catalog.transaction():
                catalog.add(1, "model", "m", {}, version=catalog.next_version(1, "model", "m"))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entity.version for entity in catalog.find(1, "model")] == list(range(1, 81))


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(0, "1970-01-01T00:00:00.000Z"), (1500, "1970-01-01T00:00:01.500Z")]
)
def test_times_are_written_as_hopsworks_does(milliseconds: int, text: str) -> None:
    assert iso_time(milliseconds) == text


class CatalogMachine(RuleBasedStateMachine):
    """The catalog behaves as a dictionary with versioned keys."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.catalog = Catalog(Path(self.folder.name) / "c.db")
        self.model: dict[tuple[str, int], dict[str, int]] = {}

    names = st.sampled_from(["a", "b", "c'\"d"])

    @rule(name=names, version=st.integers(0, 2), value=st.integers())
    def add(self, name: str, version: int, value: int) -> None:
        if (name, version) in self.model:
            with pytest.raises(DuplicateEntityError):
                self.catalog.add(1, "k", name, {"v": value}, version=version)
        else:
            self.catalog.add(1, "k", name, {"v": value}, version=version)
            self.model[name, version] = {"v": value}

    @rule(name=names, version=st.integers(0, 2), value=st.integers())
    def update(self, name: str, version: int, value: int) -> None:
        entity = self.catalog.first(1, "k", name=name, version=version)
        assert (entity is not None) == ((name, version) in self.model)
        if entity:
            self.catalog.update(entity, {"v": value})
            self.model[name, version] = {"v": value}

    @rule(name=names, version=st.integers(0, 2))
    def remove(self, name: str, version: int) -> None:
        entity = self.catalog.first(1, "k", name=name, version=version)
        if entity:
            self.catalog.remove(entity)
            del self.model[name, version]

    @invariant()
    def same_content(self) -> None:
        assert {(e.name, e.version): e.body for e in self.catalog.find(1, "k")} == self.model

    def teardown(self) -> None:
        self.catalog.close()
        self.folder.cleanup()


TestCatalogMachine = CatalogMachine.TestCase
TestCatalogMachine.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
