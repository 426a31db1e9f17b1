"""A deadline that is looked at before every call of a model, so that no explanation runs on long after its time."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from deepcube.explain.models import BATCH, ModelAdapter, adapt
from deepcube.explain.traced import TracedModel

_CALLS = 3  # one call may take so small a part of the time that is left, if each row takes as long as the last ones did
_FEWEST = 4  # rows
_GROWTH = 64  # how many times the rows of the last call the next may have: that one tells little of very many


class OutOfTime(Exception):  # noqa: N818  (no error: nothing is wrong)
    """The time of a step was up before a call of the model; no ``ValueError``, which adapters take for bad inputs."""


class Watch:
    """Stops a step whose time is up, between two calls of a model, and keeps these calls short where time is.

    One step at a time; how many rows a call may have follows from how long the one before it took.
    """

    def __init__(self) -> None:
        self._deadline = math.inf
        self._rows, self._began = 1, 0.0

    @contextmanager
    def until(self, seconds: float) -> Iterator[None]:
        """Let what is done inside take so long at most, up to the model's current call.

        Parameters
        ----------
        seconds : float
            Time from now; infinity for no limit.

        Raises
        ------
        OutOfTime
            If the model was to be called after that.
        """
        self._rows, self._began = 1, time.perf_counter()
        self._deadline = self._began + seconds
        try:
            yield
        finally:
            self._deadline = math.inf

    def before(self, rows: int) -> None:
        """Announce a call of the model.

        Raises
        ------
        OutOfTime
            If there is no time for it.
        """
        now = time.perf_counter()
        if now >= self._deadline:
            raise OutOfTime
        self._rows, self._began = rows, now

    def most_rows(self) -> int:
        """Return how many rows the next call may have: as many as the last one lets a small part of the time have."""
        if math.isinf(self._deadline):
            return BATCH
        now = time.perf_counter()
        allowed, took = (self._deadline - now) / _CALLS, now - self._began
        growth = min(_GROWTH, allowed / took) if took > 0 else _GROWTH
        return max(_FEWEST, min(BATCH, int(self._rows * growth)))


def watched(model: ModelAdapter, watch: Watch) -> ModelAdapter:
    """Return a model that looks at the watch before every call.

    Parameters
    ----------
    model : ModelAdapter
        The model; one of Keras stays as it is, a torch module gets a hook that does nothing without a deadline.
    watch : Watch
        The watch.

    Returns
    -------
    ModelAdapter
        The same model, watched.
    """
    if isinstance(model.original, TracedModel):
        return replace(adapt(model.original.announced(watch.before)), most_rows=watch.most_rows)
    if model.kind == "torch":
        # captum calls the module itself, not the adapter.
        model.original.register_forward_pre_hook(lambda _, given: watch.before(len(given[0]) if given else 1))
        return replace(model, most_rows=watch.most_rows)

    def call(x: Any) -> Any:
        watch.before(len(x))
        return model.call(x)

    return replace(model, call=call, most_rows=watch.most_rows)
