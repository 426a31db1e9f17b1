"""What the contract tests share: the module's feature store, simple frames, and how a refusal reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hopsworks_common.client.exceptions import RestAPIError

START = pd.Timestamp("2024-01-01")
WAIT = {"wait_for_online_ingestion": True, "wait_for_job": True}


def frame(rows: int = 6, first: int = 0) -> pd.DataFrame:
    """Return rows of a cell, an hour, an amount of rain and a flag."""
    number = np.arange(first, first + rows).astype("int64")
    return pd.DataFrame(
        {"cell": number, "at": START + pd.to_timedelta(number, "h"), "rain": number * 0.5, "wet": number % 2}
    )


def group_of(store: Any, name: str, rows: int = 6, **options: Any) -> Any:
    """Make a feature group with rows, as a Delta table unless another format is asked for."""
    fixed = {"version": 1, "primary_key": ["cell"], "event_time": "at", "time_travel_format": "DELTA"}
    made = store.create_feature_group(name, **{**fixed, **options})
    made.insert(frame(rows), write_options=WAIT)
    return made


@contextmanager
def refused(call: str, instead: str) -> Iterator[None]:
    """Expect the platform's refusal, which names the client's call and what to use instead."""
    with pytest.raises(RestAPIError) as caught:
        yield
    message = caught.value.response.json()["errorMsg"]
    assert caught.value.response.status_code == 501, message
    named, _, reason = message.partition(" is not supported by the embedded Hopsworks: ")
    assert call in named, message
    assert instead in reason, message


def all_refused(calls: dict[str, Callable[[], Any]], instead: str) -> None:
    """Expect that each of several calls is refused under its own name."""
    for name, call in calls.items():
        with refused(name, instead):
            call()
