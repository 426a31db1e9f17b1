"""Fixtures of the hardness tests: a bench under the fault shim, and who may be skipped where."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fault_bench import Bench
from fault_shim import compiler


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The bench, whose home folder each test makes new; needs Linux and a C compiler, whose absence fails on CI."""
    reason = ""
    if not sys.platform.startswith("linux"):
        reason = "the fault shim uses /proc"
    elif compiler() is None:
        reason = "the fault shim needs a C compiler (cc)"
    if reason:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    bench = Bench(tmp_path_factory.mktemp("bench"))
    try:
        yield bench
    finally:
        bench.close()
