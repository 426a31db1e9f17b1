"""Questions to the platform, one after the other, of which nobody waits for those whose asker has left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from deepcube.atlas.errors import StoppedError
from deepcube.atlas.layers import Stop

_LOOK_SECONDS = 0.05  # from one look to the next whether the client is still there
_Found = TypeVar("_Found")


class Turns:
    """One turn at a time: the client of the platform is not made for several threads.

    A call of the client cannot be broken off from outside, and a deployment cannot be told to stop. So the call is made
    in a thread of its own: when its asker leaves, the worker that waited for it is free at once, and the next question
    comes as soon as the platform has answered the one that nobody reads any more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def take(self, work: Callable[[], _Found], stop: Stop) -> _Found:
        """Do some work when it is its turn.

        Parameters
        ----------
        work : callable
            Asks the platform; should look at ``stop`` between its questions.
        stop : callable
            Tells whether the asker has left.

        Raises
        ------
        StoppedError
            If the asker has left; work that has not begun is never begun.
        """
        while not self._lock.acquire(timeout=_LOOK_SECONDS):
            go_on(stop)
        done = threading.Event()
        found: list[_Found] = []
        problems: list[BaseException] = []

        def turn() -> None:
            try:
                go_on(stop)
                found.append(work())
            except BaseException as error:
                problems.append(error)
            finally:
                self._lock.release()
                done.set()

        threading.Thread(target=turn, daemon=True).start()
        while not done.wait(_LOOK_SECONDS):
            go_on(stop)
        if problems:
            raise problems[0]
        return found[0]


def go_on(stop: Stop) -> None:
    """Go on only for somebody who is still there.

    Raises
    ------
    StoppedError
        If the client has left.
    """
    if stop():
        raise StoppedError("the client has left")
