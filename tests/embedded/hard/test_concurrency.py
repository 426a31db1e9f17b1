"""Many processes write at once, and a random walk of one: nothing is lost, nothing doubled, nothing mixed."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from fault_bench import Bench

from deepcube.embedded import find

PROCESSES = 8
SHARED = 5
_LONG = [pytest.mark.slow, pytest.mark.timeout(3600)]


def _crowd(bench: Bench, name: str, processes: int, rounds: int, **options: Any) -> list[list[str]]:
    children = [
        bench.begin("crowd_write", name=name, number=number, rounds=rounds, **options)
        for number in range(1, processes + 1)
    ]
    outcomes = [child.outcome(600) for child in children]
    for outcome in outcomes:
        assert outcome.acknowledged, outcome
    return [outcome.value for outcome in outcomes]


def _check(rows: list[list[Any]], processes: int, rounds: int) -> None:
    """Own keys hold the last round; shared keys hold what one of the writers wrote, all of it."""
    assert len(rows) == SHARED + 10 * processes
    assert len({row[0] for row in rows}) == len(rows), "no key is there twice"
    for cell, _, value, _ in rows:
        if cell >= 1000:
            assert value == rounds + cell, (cell, value)
    shared = [row[2] - row[0] for row in rows if row[0] < SHARED]
    allowed = {100 * number + round_ for number in range(1, processes + 1) for round_ in range(1, rounds + 1)}
    assert set(shared) <= allowed, shared


@pytest.mark.parametrize("rounds", [2, pytest.param(40, marks=_LONG)])
def test_eight_processes_upsert_one_stream_group(bench: Bench, rounds: int) -> None:
    bench.restore_empty()
    with bench.serving():
        bench.must("crowd_create", name="crowd", stream=True)
        failures = _crowd(bench, "crowd", PROCESSES, rounds)
        assert not any(failures), f"clients saw conflicts: {failures}"
        bench.stop(9)
        bench.start()
        found = bench.must("crowd_read", name="crowd", stream=True)
    assert found["offline"] == found["online"]
    _check(found["offline"], PROCESSES, rounds)


@pytest.mark.parametrize(("processes", "rounds"), [(3, 2), pytest.param(6, 10, marks=_LONG)])
def test_direct_upserts_conflict_and_are_done_again(bench: Bench, processes: int, rounds: int) -> None:
    """Without stream each client commits to the Delta table itself; one of two merges fails as a whole, and says so."""
    bench.restore_empty()
    with bench.serving():
        bench.must("crowd_create", name="direct", stream=False)
        failures = _crowd(bench, "direct", processes, rounds)
        found = bench.must("crowd_read", name="direct", stream=False)
    kinds = Counter(kind for each in failures for kind in each)
    assert set(kinds) <= {"deltalake.exceptions.CommitFailedError", "_internal.CommitFailedError"}, kinds
    _check(found["offline"], processes, rounds)


@pytest.mark.parametrize(("processes", "rounds"), [(3, 2), pytest.param(6, 10, marks=_LONG)])
def test_direct_appends_do_not_conflict(bench: Bench, processes: int, rounds: int) -> None:
    bench.restore_empty()
    with bench.serving():
        bench.must("crowd_create", name="appended", stream=False)
        failures = _crowd(bench, "appended", processes, rounds, operation="insert")
        found = bench.must("crowd_read", name="appended", stream=False)
    assert not any(failures), failures
    assert len(found["offline"]) == 10 * processes * rounds
    assert len({row[0] for row in found["offline"]}) == len(found["offline"])


@pytest.mark.parametrize(("examples", "steps"), [(2, 7), pytest.param(30, 25, marks=_LONG)])
def test_any_sequence_of_writes_reads_and_kills_equals_the_model(bench: Bench, examples: int, steps: int) -> None:
    bench.restore_empty()
    bench.start()
    machine = bench.clients.spawn("fault_machine:run", _environment(bench), examples=examples, steps=steps, seed=1)
    try:
        while machine.running():
            assert bench.server is not None
            if not bench.server.running():
                bench.start()
            time.sleep(0.02)
        outcome = machine.outcome(1)
        assert outcome.acknowledged, outcome.error[-6000:] + bench.tail()
    finally:
        machine.kill()
        bench.stop()


def _environment(bench: Bench) -> dict[str, str]:

    running = find(bench.home)
    assert running is not None
    return running.environment()
