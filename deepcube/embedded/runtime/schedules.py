"""Schedules of jobs: fired by Quartz cron expressions in UTC, once per interval, also over restarts.

A schedule remembers up to when it has fired (its *cursor*). Firing writes the execution and the new cursor in one
transaction, so that a crash neither loses nor doubles one. What fell due while the server was down, or while as many
executions as allowed were running, is made good afterwards: every interval with ``catchup``, else the latest only.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from deepcube.embedded.catalog import Entity, now_ms
from deepcube.embedded.errors import ApiError, bad_request, not_found
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime.cron import Cron, parse
from deepcube.embedded.runtime.executions import Executions
from deepcube.embedded.runtime.jobs import JOB, SCHEDULE, schedule_document

SCHEDULE_NOT_FOUND = 130039
MAX_CATCHUP_RUNS = 1000

_MAX_SLEEP_SECONDS = 60.0
_BLOCKED_SECONDS = 1.0

_log = logging.getLogger(__name__)


def save_schedule(
    platform: Platform, project: Project, job: Entity, document: dict[str, Any], user: dict[str, object]
) -> Entity:
    """Make or replace the schedule of a job.

    Parameters
    ----------
    document : dict
        ``cronExpression``, ``startDateTime`` and ``endDateTime`` (milliseconds, UTC), ``enabled``, ``catchup``,
        ``maxActiveRuns``, ``startTimeOffsetSeconds``, ``endTimeOffsetSeconds``, ``skipToDate``, ``maxCatchupRuns``.
    user : dict
        User document of who schedules; executions are theirs.

    Raises
    ------
    ApiError
        If the expression or a number is not usable.
    """
    expression = document.get("cronExpression")
    if not isinstance(expression, str):
        raise bad_request("a schedule has a cronExpression, such as '0 0 3 * * ?'")
    parse(expression)
    now = now_ms()
    body: dict[str, Any] = {
        "cronExpression": expression,
        "startDateTime": _integer(document, "startDateTime", now),
        "endDateTime": _integer(document, "endDateTime"),
        "enabled": bool(document.get("enabled", True)),
        "catchup": bool(document.get("catchup")),
        "maxActiveRuns": _integer(document, "maxActiveRuns", 1),
        "startTimeOffsetSeconds": _integer(document, "startTimeOffsetSeconds"),
        "endTimeOffsetSeconds": _integer(document, "endTimeOffsetSeconds"),
        "skipToDate": _integer(document, "skipToDate"),
        "maxCatchupRuns": _integer(document, "maxCatchupRuns"),
        "user": user,
    }
    if body["maxActiveRuns"] < 1:
        raise bad_request(f"maxActiveRuns must be at least 1, found {body['maxActiveRuns']}")
    if body["endDateTime"] is not None and body["endDateTime"] < body["startDateTime"]:
        raise bad_request("the schedule ends before it starts")
    first = body["startDateTime"] if body["catchup"] else max(now, body["startDateTime"])
    with platform.catalog.transaction():
        known = platform.catalog.first(project.id, SCHEDULE, parent_id=job.id)
        kept = known is not None and all(known.body[key] == body[key] for key in ("cronExpression", "startDateTime"))
        if known is not None and kept and body["catchup"]:
            first = known.body["cursor"] + 1
        body["cursor"] = first - 1
        body["nextExecutionDateTime"] = _next(body)
        if known is None:
            schedule = platform.catalog.add(project.id, SCHEDULE, job.name, body, parent_id=job.id)
        else:
            schedule = platform.catalog.update(known, body)
    platform.service(Schedules).look()
    return schedule


def find_schedule(platform: Platform, project: Project, job: Entity) -> Entity:
    """Return the schedule of a job.

    Raises
    ------
    ApiError
        404 if it has none.
    """
    schedule = platform.catalog.first(project.id, SCHEDULE, parent_id=job.id)
    if schedule is None:
        raise not_found(f"job {job.name!r} has no schedule", SCHEDULE_NOT_FOUND)
    return schedule


def _integer(document: dict[str, Any], field: str, default: int | None = None) -> int | None:
    value = document.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise bad_request(f"{field} of a schedule is a number, found {value!r}")
    return int(value)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _next(body: dict[str, Any]) -> int | None:
    """Return when a schedule fires next after its cursor, or None if it does not."""
    if not body["enabled"]:
        return None
    time = parse(body["cronExpression"]).after(_time(body["cursor"]))
    if time is None or (body["endDateTime"] is not None and _milliseconds(time) > body["endDateTime"]):
        return None
    return _milliseconds(time)


def due(body: dict[str, Any], now: datetime) -> list[datetime]:
    """Return the times for which a schedule is to run a job now, oldest first.

    Without ``catchup`` that is the latest one at most; with it, those since ``skipToDate``, the latest
    ``maxCatchupRuns`` of them.
    """
    cron = parse(body["cronExpression"])
    times: list[datetime] = []
    until = now if body["endDateTime"] is None else min(now, _time(body["endDateTime"]))
    if not body["enabled"]:
        return []
    at = cron.after(_time(max(body["cursor"], (body["skipToDate"] or 0) - 1)))
    if at is None or at > until:
        return []
    if not body["catchup"]:
        latest = cron.before(until + timedelta(seconds=1))
        return [latest] if latest is not None else []
    limit = min(body["maxCatchupRuns"] or MAX_CATCHUP_RUNS, MAX_CATCHUP_RUNS)
    while at is not None and at <= until:
        times = [*times[-limit + 1 :], at] if limit > 1 else [at]
        at = cron.after(at)
    return times


def interval(body: dict[str, Any], cron: Cron, time: datetime) -> dict[str, str]:
    """Return the environment variables that tell a job its interval: ``HOPS_START_TIME`` and ``HOPS_END_TIME``."""
    offset = body["startTimeOffsetSeconds"]
    start = (cron.before(time) or time) if offset is None else time + timedelta(seconds=offset)
    end = time + timedelta(seconds=body["endTimeOffsetSeconds"] or 0)
    return {"HOPS_START_TIME": _iso(start), "HOPS_END_TIME": _iso(end), "HOPS_LOGICAL_DATE": _iso(time)}


def _iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


class Schedules:
    """Fires all schedules.

    Parameters
    ----------
    platform : Platform
        Whose jobs.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._executions = platform.service(Executions)
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="schedules", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Look at the schedules anew; one has changed."""
        self._wake.set()

    def close(self) -> None:
        """Fire no more."""
        self._closing.set()
        self._wake.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                pause = self._fire_due()
            except Exception:
                _log.exception("cannot fire the schedules")
                pause = _BLOCKED_SECONDS
            self._wake.wait(pause)
            self._wake.clear()

    def _fire_due(self) -> float:
        """Fire what is due; return after how many seconds to look again."""
        pause = _MAX_SLEEP_SECONDS
        for schedule in self._platform.catalog.find(None, SCHEDULE):
            next_time = schedule.body["nextExecutionDateTime"]
            if next_time is None:
                continue
            if next_time <= now_ms() and not self._fire(schedule):
                pause = min(pause, _BLOCKED_SECONDS)
                continue
            current = self._platform.catalog.get(schedule.id, SCHEDULE)
            upcoming = current.body["nextExecutionDateTime"] if current is not None else None
            if upcoming is not None:
                pause = min(pause, max(0.0, (upcoming - now_ms()) / 1000))
        return pause

    def _fire(self, schedule: Entity) -> bool:
        """Start what a schedule owes; return False if as many executions as allowed run already."""
        project = self._platform.project(schedule.project_id)
        started: list[Entity] = []
        job = self._platform.catalog.get(schedule.parent_id, JOB)
        if job is None:
            return True
        with self._platform.catalog.transaction():
            current = self._platform.catalog.get(schedule.id, SCHEDULE)
            if current is None:
                return True
            body = dict(current.body)
            cron = parse(body["cronExpression"])
            owed = due(body, datetime.now(UTC))
            free = body["maxActiveRuns"] - self._executions.records.active(job)
            for time in owed[: max(0, free)]:
                body["cursor"] = _milliseconds(time)
                started.append(self._record(project, job, body, cron, time))
            if not owed:
                body["cursor"] = max(body["cursor"], body["nextExecutionDateTime"])
            body["nextExecutionDateTime"] = _next(body)
            self._platform.catalog.update(current, body)
        for execution in started:
            self._executions.launch(project, job, execution)
        return len(started) == len(owed)

    def _record(self, project: Project, job: Entity, body: dict[str, Any], cron: Cron, time: datetime) -> Entity:
        variables = interval(body, cron, time)
        extra = {
            "logicalDate": variables["HOPS_LOGICAL_DATE"],
            "dataIntervalStart": variables["HOPS_START_TIME"],
            "dataIntervalEnd": variables["HOPS_END_TIME"],
            "scheduled": True,
        }
        try:
            return self._executions.records.add(project, job, variables=variables, user=body["user"], extra=extra)
        except ApiError as error:
            _log.warning("schedule of job %s: %s", job.name, error)
            raise


__all__ = ["Schedules", "due", "find_schedule", "interval", "save_schedule", "schedule_document"]
