"""Runs a scene with a fault at one point after another, and judges what a user then finds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from fault_bench import Bench
from fault_points import chosen
from fault_shim import COUNT, HALF, KILL, Point

PATIENCE_SECONDS = 15.0


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
        outcome = client.outcome(PATIENCE_SECONDS)
        findings.acknowledged += outcome.acknowledged
        label = f"{scene}: mode {mode}, point {number} of {expected.total} ({who}: {point.call} {point.path})"
        if who == "child":
            expected = _with_failed_child(scene, expected)
        findings.violations += [f"{label}: {what}" for what in _judge(bench, scene, expected, outcome.acknowledged)]
    finally:
        bench.control.disarm()
        bench.stop()
        for line in bench.reap():
            findings.violations.append(f"{scene}: point {number}: a process was left behind: {line}")


def _with_failed_child(scene: str, expected: Reference) -> Reference:
    """What is expected when the process of a job or a predictor was killed: it is there, and has failed."""
    if scene == "job":
        return replace(
            expected,
            old={"states": ["FAILED"], "output": expected.old["output"]},
            old_after={"states": ["FAILED", "SUCCEEDED"], "output": expected.old["output"]},
        )
    if scene == "deploystart":
        return replace(expected, old=["Failed", None])
    return expected


def _judge(bench: Bench, scene: str, expected: Reference, acknowledged: bool) -> list[str]:
    examined = bench.client("examine", scenes=[scene])
    if not examined.acknowledged:
        return [f"cannot be used afterwards: {examined}{bench.tail()}"]
    state, after = examined.value[scene]["state"], examined.value[scene]["after"]
    if acknowledged and state != expected.new:
        return [f"acknowledged but lost: {state}, expected {expected.new}"]
    if state not in (expected.old, expected.new):
        return [f"neither old nor new: {state}, expected {expected.old} or {expected.new}"]
    wanted = expected.new_after if state == expected.new else expected.old_after
    return [] if after == wanted else [f"the next write leads to {after}, expected {wanted}"]
