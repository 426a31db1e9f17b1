"""The home folder: atomic writes, one server a folder, settings, keys."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from deepcube.embedded.catalog import Catalog
from deepcube.embedded.errors import StartError, StorageError
from deepcube.embedded.home import Home, HomeLock, Settings, write_atomically
from deepcube.embedded.keys import ApiKeys


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.prepare()
    return home


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f"
    write_atomically(file, "old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StorageError, match="No space left"):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_modes_are_as_asked(tmp_path: Path) -> None:
    write_atomically(tmp_path / "secret", b"x", mode=0o600)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_one_server_a_folder(home: Home) -> None:
    lock = HomeLock(home)
    with pytest.raises(StartError, match="already serves"):
        HomeLock(home)
    lock.release()
    HomeLock(home).release()


def test_a_stale_server_file_is_not_believed(home: Home) -> None:
    home.server_file.write_text('{"pid": 1}')
    assert home.running_server() is None
    lock = HomeLock(home)
    assert home.running_server() is None
    home.server_file.write_text('{"pid": 2}')
    assert home.running_server() == {"pid": 2}
    lock.release()


def test_settings_survive_and_damage_is_told(home: Home) -> None:
    settings = Settings(ports={"rest": 1})
    settings.save(home)
    assert Settings.load(home) == settings
    assert stat.S_IMODE(home.settings_file.stat().st_mode) == 0o600
    home.settings_file.write_text("{")
    with pytest.raises(StorageError, match=r"settings\.json"):
        Settings.load(home)


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="--home"):
        Home(tmp_path / "file" / "home").prepare()


def test_keys_are_checked_and_only_their_hashes_kept(home: Home) -> None:
    keys = ApiKeys(Catalog(home.catalog))
    key = keys.create("test")
    assert keys.user_of(key) is not None
    for wrong in ("", ".", "x.y", key[:-1], key + "x", key.split(".")[0] + "."):
        assert keys.user_of(wrong) is None
    secret = key.split(".")[1].encode()
    assert all(secret not in file.read_bytes() for file in home.root.iterdir() if file.is_file())


def test_the_owner_key_is_made_once(home: Home) -> None:
    keys = ApiKeys(Catalog(home.catalog))
    key = keys.owner_key(home)
    assert keys.owner_key(home) == key
    assert stat.S_IMODE(home.api_key_file.stat().st_mode) == 0o600
