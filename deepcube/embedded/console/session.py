"""Who is signed in to the console: sessions in this process, and one-time addresses made by another process.

A session is a random id in a cookie that scripts cannot read and that other sites cannot send; the API key it stands
for stays in this process. Sessions are not kept over a restart: one signs in again.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from deepcube.embedded.errors import StartError
from deepcube.embedded.home import Home, write_atomically
from deepcube.embedded.keys import ApiKeys

SESSION_SECONDS = 12 * 3600.0
IDLE_SECONDS = 2 * 3600.0
TICKET_SECONDS = 120.0
MAX_SESSIONS = 256

SIGN_IN_PATH = "/console/sign-in"
TICKET_PATH = "/console/ticket"


@dataclass
class Session:
    """One signed-in browser.

    Attributes
    ----------
    key : str
        The API key that it acts with; never sent to the browser.
    started, seen : float
        Times of the clock of :class:`Sessions`, in seconds.
    csrf : str
        Token that every form of the session carries.
    notice : str
        What the next page says once, e.g. that a job was started.
    """

    key: str = field(repr=False)
    started: float
    seen: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    notice: str = ""

    def take_notice(self) -> str:
        """Return the notice and forget it."""
        notice, self.notice = self.notice, ""
        return notice


class Sessions:
    """The sessions of one server.

    Parameters
    ----------
    keys : ApiKeys
        Decides whether the key of a session is (still) valid.
    clock : callable
        Gives seconds.
    """

    def __init__(self, keys: ApiKeys, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._guard = threading.Lock()

    def open(self, key: str) -> str | None:
        """Sign in with an API key.

        Returns
        -------
        str or None
            The id for the cookie; None if the key is not valid.
        """
        if self._keys.user_of(key) is None:
            return None
        now, session_id = self._clock(), secrets.token_urlsafe(32)
        with self._guard:
            self._drop_expired(now)
            while len(self._sessions) >= MAX_SESSIONS:
                del self._sessions[min(self._sessions, key=lambda digest: self._sessions[digest].seen)]
            self._sessions[_digest(session_id)] = Session(key, now, now)
        return session_id

    def find(self, session_id: str) -> Session | None:
        """Return a session, or None if there is none, it has expired, or its key was taken back."""
        now = self._clock()
        with self._guard:
            self._drop_expired(now)
            session = self._sessions.get(_digest(session_id))
        if session is None:
            return None
        if self._keys.user_of(session.key) is None:
            self.close(session_id)
            return None
        session.seen = now
        return session

    def close(self, session_id: str) -> None:
        """Sign out; an unknown id is fine."""
        with self._guard:
            self._sessions.pop(_digest(session_id), None)

    def _drop_expired(self, now: float) -> None:
        over = [
            digest
            for digest, session in self._sessions.items()
            if now - session.started > SESSION_SECONDS or now - session.seen > IDLE_SECONDS
        ]
        for digest in over:
            del self._sessions[digest]


def _digest(secret: str) -> str:
    """Hash an id, so that looking it up takes a time that tells nothing of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def one_time_url(home: Home) -> str:
    """Return an address that signs a browser in to the running server of a home folder, once and soon.

    Works from any process that may write in the home folder, which proves that it is the owner's. The address holds a
    token, not the API key; the home folder holds only a hash of the token.

    Parameters
    ----------
    home : Home
        Home folder of a running server.

    Returns
    -------
    str
        ``https://127.0.0.1:<port>/console/ticket?token=...``, valid for :data:`TICKET_SECONDS`.

    Raises
    ------
    StartError
        If no server runs.
    StorageError
        If the home folder cannot be written.
    """
    server = home.running_server()
    if server is None:
        raise StartError(f"no embedded Hopsworks serves {home.root}; start one with `deepcube up`")
    token = secrets.token_urlsafe(32)
    _folder(home).mkdir(mode=0o700, exist_ok=True)
    write_atomically(_ticket(home, token), json.dumps({"expires": time.time() + TICKET_SECONDS}), mode=0o600)
    return f"{server['url']}{TICKET_PATH}?token={token}"


def redeem(home: Home, token: str) -> bool:
    """Use up a one-time token; of several that try at once, one succeeds.

    Returns
    -------
    bool
        Whether the token was valid.
    """
    _sweep(home)
    ticket = _ticket(home, token)
    try:
        expires = json.loads(ticket.read_text())["expires"]
        ticket.unlink()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return isinstance(expires, int | float) and time.time() < expires


def _folder(home: Home) -> Path:
    return home.run / "console-tickets"


def _ticket(home: Home, token: str) -> Path:
    return _folder(home) / _digest(token)


def _sweep(home: Home) -> None:
    """Remove tickets that were never used."""
    if not _folder(home).is_dir():
        return
    for ticket in _folder(home).iterdir():
        try:
            if time.time() - ticket.stat().st_mtime > 2 * TICKET_SECONDS:
                ticket.unlink()
        except FileNotFoundError:
            continue
