"""Ctrl-C while the joins of a query run."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Iterator

import pyarrow as pa
import pytest

from deepcube.semantics.session import Limits, Session, Stop

SCHEMA = pa.schema([("x", pa.int64())])


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C through: the workers of pytest-xdist ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_an_interrupt_within_a_statement_is_an_interrupt_and_ends_the_reading() -> None:
    read = []

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(10_000):
            if number == 3:
                _thread.interrupt_main()
            read.append(number)
            time.sleep(0.02)
            yield pa.record_batch([pa.array([number])], SCHEMA)

    session = Session(Limits(), Stop())
    with pytest.raises(KeyboardInterrupt):
        session.run(f"CREATE TABLE t AS SELECT * FROM {session.register_stream(SCHEMA, batches())}")
    session.close()
    seen = len(read)
    time.sleep(0.2)
    assert seen == len(read) < 1000, "nothing reads on once the session is closed"
    assert not [thread for thread in threading.enumerate() if thread is session._watch]
