"""Killed at any write, fsync or rename, by any of its processes: every operation is done, or it is not; never half.

The points are counted by the shim while an operation runs (client, server, jobs and predictors together); each is then
the place of a ``kill -9`` of the process that reached it: before the call, and, for writes, after half of it.
"""

from __future__ import annotations

import errno

import pytest
from fault_bench import Bench
from fault_explorer import Reference, explore, explore_errors, stage
from fault_shim import FAIL_FROM, FAIL_ONCE

SCENES = [
    "create_group",
    "create_stream",
    "delete_group",
    "clear_group",
    "insert_offline",
    "insert_first",
    "insert_online",
    "insert_stream",
    "insert_stream_first",
    "delete_rows",
    "append_features",
    "create_view",
    "upload",
    "model",
    "deploycreate",
    "deploystart",
    "job",
    "jobcreate",
]
_HEAVY = "training_dataset"  # its job imports the client: half a minute a point
_WITH_ERRORS = ["create_group", "insert_offline", "insert_stream", "upload", "model", "job"]
_CODES = [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO]
_LONG = [pytest.mark.slow, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module")
def references(bench: Bench) -> dict[str, Reference]:
    """What each scene leads to when nothing goes wrong; all are prepared in one home folder."""
    return stage(bench, SCENES)


@pytest.mark.parametrize("wanted", [1, pytest.param(None, marks=_LONG)])
@pytest.mark.parametrize("scene", SCENES)
def test_killed_at_any_point(bench: Bench, references: dict[str, Reference], scene: str, wanted: int | None) -> None:
    findings = explore(bench, scene, references[scene], wanted)
    assert not findings.violations, "\n".join(findings.violations)
    assert findings.total >= 5
    if wanted is None:
        assert findings.visited >= findings.total // 2, "the points of a run are those of the next, but for a few"


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_training_dataset_killed_at_any_point(bench: Bench) -> None:
    findings = explore(bench, _HEAVY, stage(bench, [_HEAVY])[_HEAVY], 12)
    assert not findings.violations, "\n".join(findings.violations)


@pytest.mark.parametrize("code", _CODES)
def test_a_disk_that_fails(bench: Bench, references: dict[str, Reference], code: int) -> None:
    """Full, read-only, forbidden or broken: the client is told, nothing is lost, and the server goes on afterwards."""
    scene = _WITH_ERRORS[_CODES.index(code) % len(_WITH_ERRORS)]
    findings = explore_errors(bench, scene, references[scene], 2, code)
    assert not findings.violations, "\n".join(findings.violations)


@pytest.mark.parametrize("mode", [FAIL_FROM, FAIL_ONCE])
@pytest.mark.parametrize("code", _CODES)
@pytest.mark.parametrize("scene", _WITH_ERRORS)
@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_disk_that_fails_anywhere(
    bench: Bench, references: dict[str, Reference], scene: str, code: int, mode: int
) -> None:
    findings = explore_errors(bench, scene, references[scene], 15, code, mode)
    assert not findings.violations, "\n".join(findings.violations)
