"""Runs a scene with a fault at one point after another, and judges what a user then finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fault_bench import Bench
from fault_points import chosen
from fault_shim import COUNT, FAIL_FROM, HALF, KILL, Point

PATIENCE_SECONDS = 15.0
ERROR_SECONDS = 6.0
RECOVERY_SECONDS = 30.0
_SLOW = {"training_dataset": 90.0}  # seconds for a job that imports the client


@dataclass(frozen=True)
class Reference:
    """What a scene leads to when nothing goes wrong.

    Attributes
    ----------
    total : int
        How many fault points it has.
    writes : list of int
        Those that are writes of more than one byte.
    old, new : object
        What a user sees before and after.
    old_after, new_after : object
        The same after the next write.
    """

    total: int
    writes: list[int]
    old: Any
    new: Any
    old_after: Any
    new_after: Any


@dataclass
class Findings:
    """What an exploration found.

    Attributes
    ----------
    total : int
        How many points the scene has.
    visited : int
        How many faults were made.
    acknowledged : int
        After how many of them the operation came back all the same.
    violations : list of str
        What should not have been.
    """

    total: int
    visited: int = 0
    acknowledged: int = 0
    violations: list[str] = field(default_factory=list)


def stage(bench: Bench, scenes: list[str]) -> dict[str, Reference]:
    """Prepare scenes in one home folder, saved as ``stage``, and run each without a fault."""
    bench.restore_empty()
    with bench.serving():
        bench.must("prepare", scenes=scenes)
    bench.save("stage")
    with bench.serving():
        without = bench.must("examine", scenes=scenes)
    bench.restore("stage")
    traces: dict[str, list[Point]] = {}
    with bench.serving():
        for scene in scenes:
            with bench.control.armed(COUNT, trace=True):
                bench.must("act", scene=scene)
            traces[scene] = bench.control.trace()
        with_act = bench.must("examine", scenes=scenes)
    bench.reap()
    for scene in scenes:
        assert without[scene]["state"] != with_act[scene]["state"], f"{scene} must change what a user sees"
    return {
        scene: Reference(
            len(traces[scene]),
            [point.number for point in traces[scene] if point.size > 1],
            without[scene]["state"],
            with_act[scene]["state"],
            without[scene]["after"],
            with_act[scene]["after"],
        )
        for scene in scenes
    }


def explore(
    bench: Bench, scene: str, expected: Reference, wanted: int | None, modes: tuple[int, ...] = (KILL, HALF)
) -> Findings:
    """Kill at the points of a scene, and see what is left.

    Parameters
    ----------
    scene : str
        Name of a scene of ``fault_client``.
    expected : Reference
        What :func:`stage` says of it.
    wanted : int or None
        About how many points to visit in each mode; None for all.
    modes : tuple of int
        ``KILL`` before the call, ``HALF`` after half of a write.
    """
    findings = Findings(expected.total)
    for mode in modes:
        points = expected.writes if mode == HALF else list(range(1, expected.total + 1))
        for index in chosen(len(points), wanted, f"{scene}-{mode}"):
            _visit(bench, scene, expected, mode, points[index - 1], findings)
    return findings


def explore_errors(
    bench: Bench, scene: str, expected: Reference, wanted: int | None, code: int, mode: int = FAIL_FROM
) -> Findings:
    """Let calls fail from a point on, for some seconds or until the operation has ended; no restart follows.

    Parameters
    ----------
    code : int
        ``errno`` of the failures; with ``ENOSPC`` only calls that need space fail.
    mode : int
        ``FAIL_FROM``: all calls from the point on; ``FAIL_ONCE``: the one at the point.
    """
    findings = Findings(expected.total)
    for number in chosen(expected.total, wanted, f"{scene}-{code}-{mode}"):
        bench.restore("stage")
        bench.start()
        try:
            bench.control.arm(mode, number, error=code, trace=True)
            client = bench.begin("act", scene=scene)
            client.wait(ERROR_SECONDS)  # with a client that tries again and again, until the disk is well again
            fired = bench.control.fired
            bench.control.disarm()
            outcome = client.outcome(RECOVERY_SECONDS)
            if not fired:
                continue
            findings.visited += 1
            findings.acknowledged += outcome.acknowledged
            point = next(point for point in bench.control.trace() if point.number == fired)
            label = f"{scene}: error {code}, mode {mode}, from {fired} of {expected.total} ({point.call} {point.path})"
            if outcome.signal:
                findings.violations.append(f"{label}: the client was left waiting: {outcome.error}")
                continue
            assert bench.server is not None
            if not bench.server.running():
                findings.violations.append(f"{label}: the server ended{bench.tail()}")
                continue
            wrong = _judge(bench, scene, expected, outcome.acknowledged, True)
            findings.violations += [f"{label}: {what}" for what in wrong]
        finally:
            bench.control.disarm()
            bench.stop()
            bench.reap()
    return findings


def _visit(bench: Bench, scene: str, expected: Reference, mode: int, number: int, findings: Findings) -> None:
    bench.restore("stage")
    bench.start()
    assert bench.server is not None
    try:
        bench.control.arm(mode, number, trace=True)
        client = bench.begin("act", scene=scene)
        while client.running() and not bench.control.fired:
            client.wait(0.02)
        fired, victim = bench.control.fired, bench.control.fired_pid
        bench.control.disarm()
        if not fired:
            return  # this time the scene had fewer points
        findings.visited += 1
        point = next(point for point in bench.control.trace() if point.number == fired)
        who = {bench.server.pid: "server", client.pid: "client"}.get(victim, "child")
        if who == "server":
            bench.server.wait(20)
            bench.start()
        outcome = client.outcome(_SLOW.get(scene, PATIENCE_SECONDS))
        findings.acknowledged += outcome.acknowledged
        label = f"{scene}: mode {mode}, point {number} of {expected.total} ({who}: {point.call} {point.path})"
        wrong = _judge(bench, scene, expected, outcome.acknowledged, who == "child")
        findings.violations += [f"{label}: {what}" for what in wrong]
    finally:
        bench.control.disarm()
        bench.stop()
        for line in bench.reap():
            findings.violations.append(f"{scene}: point {number}: a process was left behind: {line}")


def _also_allowed(scene: str, expected: Reference, failed: bool) -> list[tuple[Any, Any]]:
    """Return what else may be found after an operation that was not acknowledged, with what a write makes of it.

    Parameters
    ----------
    failed : bool
        Whether a process of a job or a predictor may have failed.
    """
    old, new = expected.old, expected.new
    if scene == "insert_online":
        # Without stream the client writes offline, then online; doing it again, as the next write does, mends the gap.
        return [({"offline": new["offline"], "online": old["online"]}, expected.new_after)]
    if scene == "upload":
        # To overwrite, the client removes the file, which is acknowledged, and then sends the new one.
        return [([None, *old[1:]], [None, *expected.old_after[1:]])]
    if scene == "job" and failed:  # the execution is there and says that it failed, whether it had come to its output
        return [
            ({"states": ["FAILED"], "output": output}, {"states": ["FAILED", "SUCCEEDED"], "output": output})
            for output in (old["output"], new["output"])
        ]
    if scene == "deploystart" and failed:
        return [(["Failed", None], expected.old_after)]
    return []


def _judge(bench: Bench, scene: str, expected: Reference, acknowledged: bool, failed: bool) -> list[str]:
    examined = bench.client("examine", scenes=[scene])
    if not examined.acknowledged:
        return [f"cannot be used afterwards: {examined}{bench.tail()}"]
    state, after = examined.value[scene]["state"], examined.value[scene]["after"]
    pairs = [(expected.new, expected.new_after)]
    if not acknowledged:
        pairs += [(expected.old, expected.old_after), *_also_allowed(scene, expected, failed)]
    found = [wanted for allowed, wanted in pairs if allowed == state]
    if not found:
        what = "acknowledged but lost" if acknowledged else "neither old nor new"
        return [f"{what}: {state}, allowed are {[allowed for allowed, _ in pairs]}"]
    return [] if after in found else [f"in state {state} the next write leads to {after}, expected {found}"]
