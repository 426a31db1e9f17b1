"""Who may ask: a key in a header for programs, a cookie for the page, which a key or a one-time address sets."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

SESSION_SECONDS = 12 * 3600.0
"""Time that a browser stays signed in."""

TICKET_SECONDS = 300.0
"""Time in which a one-time address must be used."""

MAX_SESSIONS = 256
"""Browsers signed in at once; the oldest is signed out."""


class Sessions:
    """The browsers that are signed in to this process.

    Parameters
    ----------
    key : str
        Key that lets one in.
    clock : callable
        Gives seconds.
    """

    def __init__(self, key: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._key = key
        self._clock = clock
        self._sessions: dict[str, float] = {}
        self._tickets: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_key(self, given: str) -> bool:
        """Tell whether this is the key."""
        return hmac.compare_digest(given.strip().encode(), self._key.encode())

    def ticket(self) -> str:
        """Return a token that signs in once, soon."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._tickets[_digest(token)] = self._clock() + TICKET_SECONDS
        return token

    def redeem(self, token: str) -> str | None:
        """Use up a token and return the id of a new session; None if the token is not valid."""
        with self._lock:
            expires = self._tickets.pop(_digest(token), 0.0)
        return self.open() if self._clock() < expires else None

    def open(self) -> str:
        """Start a session and return its id."""
        session = secrets.token_urlsafe(32)
        now = self._clock()
        with self._lock:
            for digest in [digest for digest, ends in self._sessions.items() if ends < now]:
                del self._sessions[digest]
            while len(self._sessions) >= MAX_SESSIONS:
                del self._sessions[min(self._sessions, key=lambda digest: self._sessions[digest])]
            self._sessions[_digest(session)] = now + SESSION_SECONDS
        return session

    def valid(self, session: str) -> bool:
        """Tell whether a session has not ended."""
        with self._lock:
            return self._clock() < self._sessions.get(_digest(session), 0.0)

    def close(self, session: str) -> None:
        """End a session; an unknown one is fine."""
        with self._lock:
            self._sessions.pop(_digest(session), None)


def _digest(secret: str) -> str:
    """Hash an id, so that looking it up takes a time that tells nothing of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read_key(path: Path) -> str:
    """Return the key in a file, which is made with a new one, readable by its owner only, if it is missing."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        try:
            os.link(part, path)  # not a rename: of two processes that make a key at once, the first one's counts
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return path.read_text().strip()
