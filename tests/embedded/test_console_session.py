"""Signing in to the console: sessions that end, addresses that work once."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcube.embedded import StartError
from deepcube.embedded.catalog import Catalog
from deepcube.embedded.console import one_time_url, session
from deepcube.embedded.console.session import IDLE_SECONDS, MAX_SESSIONS, SESSION_SECONDS, Sessions, redeem
from deepcube.embedded.console.site import local_target
from deepcube.embedded.home import Home, HomeLock
from deepcube.embedded.keys import ApiKeys


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.prepare()
    return home


@pytest.fixture
def keys(home: Home) -> Iterator[ApiKeys]:
    catalog = Catalog(home.catalog)
    yield ApiKeys(catalog)
    catalog.close()


def test_only_a_valid_key_opens_a_session(keys: ApiKeys) -> None:
    sessions = Sessions(keys)
    assert sessions.open("wrong.key") is None
    assert sessions.open("") is None
    opened = sessions.open(keys.create("test"))
    assert opened is not None
    assert sessions.find(opened) is not None
    assert sessions.find(opened + "x") is None


def test_a_session_shows_neither_key_nor_token_when_printed(keys: ApiKeys) -> None:
    sessions, key = Sessions(keys), keys.create("test")
    found = sessions.find(sessions.open(key) or "")
    assert found is not None
    assert key not in repr(found)
    assert found.csrf not in repr(found)


def test_a_session_ends_when_idle(keys: ApiKeys) -> None:
    clock = Clock()
    sessions = Sessions(keys, clock)
    opened = sessions.open(keys.create("test")) or ""
    clock.now += IDLE_SECONDS - 1
    assert sessions.find(opened) is not None
    clock.now += IDLE_SECONDS + 1
    assert sessions.find(opened) is None


def test_a_session_ends_however_busy_it_is(keys: ApiKeys) -> None:
    clock = Clock()
    sessions = Sessions(keys, clock)
    opened = sessions.open(keys.create("test")) or ""
    for _ in range(int(SESSION_SECONDS // 3600)):
        clock.now += 3600
        assert sessions.find(opened) is not None
    clock.now += 3600
    assert sessions.find(opened) is None


def test_a_session_ends_with_its_key(keys: ApiKeys, home: Home) -> None:
    sessions = Sessions(keys)
    key = keys.create("test")
    opened = sessions.open(key) or ""
    catalog = Catalog(home.catalog)
    entity = catalog.first(0, "api_key", name=key.partition(".")[0])
    assert entity is not None
    catalog.remove(entity)
    catalog.close()
    assert sessions.find(opened) is None


def test_signing_out_ends_one_session_only(keys: ApiKeys) -> None:
    sessions, key = Sessions(keys), keys.create("test")
    first, second = sessions.open(key) or "", sessions.open(key) or ""
    sessions.close(first)
    assert sessions.find(first) is None
    assert sessions.find(second) is not None


def test_sessions_do_not_pile_up(keys: ApiKeys) -> None:
    clock = Clock()
    sessions, key = Sessions(keys, clock), keys.create("test")
    opened = []
    for _ in range(MAX_SESSIONS + 3):
        clock.now += 1
        opened.append(sessions.open(key) or "")
    assert [sessions.find(each) is None for each in opened[:4]] == [True, True, True, False]
    assert sessions.find(opened[-1]) is not None


@pytest.fixture
def served(home: Home) -> Iterator[Home]:
    """A home folder that looks served."""
    lock = HomeLock(home)
    home.server_file.write_text(json.dumps({"pid": os.getpid(), "url": "https://127.0.0.1:1234"}))
    yield home
    lock.release()


def _token(url: str) -> str:
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "127.0.0.1:1234", "/console/ticket")
    return parse_qs(parts.query)["token"][0]


def test_without_a_server_there_is_no_address(home: Home) -> None:
    with pytest.raises(StartError, match="deepcube up"):
        one_time_url(home)


def test_a_one_time_address_works_once(served: Home) -> None:
    token = _token(one_time_url(served))
    assert redeem(served, token)
    assert not redeem(served, token)


def test_the_home_folder_does_not_hold_the_token(served: Home) -> None:
    token = _token(one_time_url(served))
    tickets = list((served.run / "console-tickets").iterdir())
    assert len(tickets) == 1
    assert token not in tickets[0].name + tickets[0].read_text()
    assert tickets[0].stat().st_mode & 0o077 == 0
    assert tickets[0].parent.stat().st_mode & 0o077 == 0


def test_of_many_that_try_at_once_one_succeeds(served: Home) -> None:
    for _ in range(20):
        token = _token(one_time_url(served))
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(lambda _, token=token: redeem(served, token), range(8))) == 1


def test_an_old_address_does_not_work(served: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    token = _token(one_time_url(served))
    later = time.time() + session.TICKET_SECONDS + 1
    monkeypatch.setattr(session.time, "time", lambda: later)
    assert not redeem(served, token)


def test_unused_tickets_are_swept(served: Home) -> None:
    one_time_url(served)
    (ticket,) = (served.run / "console-tickets").iterdir()
    old = time.time() - 3 * session.TICKET_SECONDS
    os.utime(ticket, (old, old))
    assert not redeem(served, "something else")
    assert not ticket.exists()


@given(st.text())
def test_a_made_up_token_is_not_valid(token: str) -> None:
    assert not redeem(Home(Path("/nonexistent")), token)


@given(st.one_of(st.text(), st.text().map(lambda text: "/console" + text), st.text().map("//".__add__)))
def test_after_signing_in_one_stays_on_the_console(target: str) -> None:
    chosen = local_target(target)
    assert chosen == "/console" or chosen.startswith("/console/")
    assert "\\" not in chosen
    assert chosen.isprintable()


def test_after_signing_in_one_is_where_one_wanted_to_be() -> None:
    assert local_target("/console/1/jobs?x=1") == "/console/1/jobs?x=1"
    assert local_target("/console/sign-in") == "/console"
    assert local_target("//evil.example/console/") == "/console"
