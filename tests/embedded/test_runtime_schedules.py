"""Quartz cron expressions against brute force, and schedules that fire."""

from __future__ import annotations

import time
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hopsworks.client.exceptions import RestAPIError
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_tools import eventually, quick_client, write_job

from deepcube.embedded import Running
from deepcube.embedded.errors import ApiError
from deepcube.embedded.runtime.cron import parse
from deepcube.embedded.runtime.schedules import due, interval

NOW = datetime(2026, 11, 21, 22, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 */10 * ? * *", "2026-11-21 22:40:00"),
        ("0/15 * * * * ?", "2026-11-21 22:30:30"),
        ("15 30 22 * * ?", "2026-11-22 22:30:15"),
        ("16 30 22 * * ?", "2026-11-21 22:30:16"),
        ("0 0 12 L * ?", "2026-11-30 12:00:00"),
        ("0 0 12 L-3 * ?", "2026-11-27 12:00:00"),
        ("0 0 0 15W * ?", "2026-12-15 00:00:00"),
        ("0 0 0 1W * ?", "2026-12-01 00:00:00"),
        ("0 0 0 1W 8 ? 2026", None),
        ("0 0 0 1W 8 ? 2027", "2027-08-02 00:00:00"),  # the 1st is a Sunday
        ("0 0 0 31W 10 ? 2027", "2027-10-29 00:00:00"),  # the 31st is a Sunday, the 1st another month
        ("0 0 0 LW 2 ?", "2027-02-26 00:00:00"),
        ("0 0 0 ? * 6#3", "2026-12-18 00:00:00"),
        ("0 0 0 ? * FRI#3", "2026-12-18 00:00:00"),
        ("0 0 0 ? * 6L", "2026-11-27 00:00:00"),
        ("0 0 0 ? * L", "2026-11-28 00:00:00"),
        ("0 0 0 ? * MON-FRI", "2026-11-23 00:00:00"),
        ("0 0 0 ? * FRI-MON", "2026-11-22 00:00:00"),
        ("0 0 22-2 ? * *", "2026-11-21 23:00:00"),
        ("0 0 0 29 2 ?", "2028-02-29 00:00:00"),
        ("0 0 0 29 FEB ? 2030-2035", "2032-02-29 00:00:00"),
        ("59 59 23 31 dec ?", "2026-12-31 23:59:59"),
        ("0 0 8,20 1/10 * ?", "2026-12-01 08:00:00"),
        ("0 0 0 1 1 ? 2020", None),
        ("0 0 0 30 2 ?", None),
    ],
)
def test_expressions_fire_when_quartz_would(expression: str, expected: str | None) -> None:
    at = parse(expression).after(NOW)
    assert (at.strftime("%Y-%m-%d %H:%M:%S") if at else None) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "", "* * * * *", "0 0 * * * *", "0 0 * ? * ?", "60 * * * * ?", "* 60 * * * ?", "* * 24 * * ?", "0 0 0 0 * ?",
        "0 0 0 32 * ?", "0 0 0 * 13 ?", "0 0 0 ? * 8", "0 0 0 ? * 0", "0 0 0 ? * 6#6", "0 0 0 ? * ABC", "x * * * * ?",
        "0 0/0 * * * ?", "0 0 0 40W * ?", "0 0 0 -1 * ?", "0 , * * * ?", "* * * * * ? 1969", "* * * * * ? * *",
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(ApiError):
        parse(expression)


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    value = st.integers(low, high)
    part = st.one_of(
        st.just("*"),
        value.map(str),
        st.tuples(value, value).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.tuples(value, st.integers(1, high)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )
    return st.lists(part, min_size=1, max_size=3).map(",".join)


def _allows(text: str, value: int, high: int) -> bool:
    """Read a field of plain values, ranges and steps the slow way."""
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*" or (not step and value in range(int(first), int(last or first) + 1)):
            return True
        if step and value in range(int(first), high + 1, int(step)):
            return True
    return False


@settings(max_examples=60, deadline=None)
@given(_field(0, 59), _field(0, 59), _field(0, 23), _field(1, 12), _field(1, 7), st.booleans(), st.integers(0, 10**6))
def test_no_fire_is_missed_and_none_invented(
    seconds: str, minutes: str, hours: str, months: str, days: str, of_month: bool, shift: int
) -> None:
    fields = f"{seconds} {minutes} {hours} " + (f"{days} {months} ?" if of_month else f"? {months} {days}")
    cron, moment = parse(fields), NOW + timedelta(seconds=shift)
    at = cron.after(moment)
    assert at is not None
    assert at > moment
    assert cron.before(at + timedelta(seconds=1)) == at

    def fires(time: datetime) -> bool:
        day = time.day if of_month else time.isoweekday() % 7 + 1
        return (
            _allows(seconds, time.second, 59) and _allows(minutes, time.minute, 59) and _allows(hours, time.hour, 23)
            and _allows(months, time.month, 12) and _allows(days, day, 31 if of_month else 7)
        )  # fmt: skip

    assert fires(at)
    candidate, checked = moment + timedelta(seconds=1), 0
    while candidate < at and checked < 4000:  # a bounded stretch from the start
        assert not fires(candidate)
        candidate += timedelta(seconds=1)
        checked += 1


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(1, 28))
def test_the_nearest_working_day_is_in_the_month_and_near(day: date, number: int) -> None:
    at = parse(f"0 0 0 {number}W {day.month} ?").after(
        datetime(day.year, day.month, 1, tzinfo=UTC) - timedelta(seconds=1)
    )
    if number > monthrange(2000, day.month)[1]:
        assert at is None, "no year has this day"
        return
    assert at is not None
    assert at.isoweekday() <= 5
    assert abs((at.date() - at.date().replace(day=number)).days) <= 2


def _schedule(**changes: Any) -> dict[str, Any]:
    body = {
        "cronExpression": "0 0 * * * ?", "startDateTime": 0, "endDateTime": None, "enabled": True, "catchup": False,
        "maxActiveRuns": 1, "startTimeOffsetSeconds": None, "endTimeOffsetSeconds": None, "skipToDate": None,
        "maxCatchupRuns": None, "cursor": _ms(NOW - timedelta(hours=5)),
    }  # fmt: skip
    return body | changes


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def test_what_was_missed_is_made_good() -> None:
    hours = [NOW.replace(minute=0, second=0) - timedelta(hours=i) for i in range(5)][::-1]
    assert due(_schedule(), NOW) == [hours[-1]]
    assert due(_schedule(catchup=True), NOW) == hours
    assert due(_schedule(catchup=True, maxCatchupRuns=2), NOW) == hours[-2:]
    assert due(_schedule(catchup=True, maxCatchupRuns=1), NOW) == hours[-1:]
    assert due(_schedule(catchup=True, skipToDate=_ms(hours[3])), NOW) == hours[3:]
    assert due(_schedule(catchup=True, endDateTime=_ms(hours[1])), NOW) == hours[:2]
    assert due(_schedule(cursor=_ms(hours[-1])), NOW) == []
    assert due(_schedule(enabled=False), NOW) == []


def test_a_job_is_told_its_interval() -> None:
    cron, at = parse("0 0 * * * ?"), datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert interval(_schedule(), cron, at) == {
        "HOPS_START_TIME": "2026-01-01T09:00:00Z",
        "HOPS_END_TIME": "2026-01-01T10:00:00Z",
        "HOPS_LOGICAL_DATE": "2026-01-01T10:00:00Z",
    }
    shifted = interval(_schedule(startTimeOffsetSeconds=-7200, endTimeOffsetSeconds=60), cron, at)
    assert (shifted["HOPS_START_TIME"], shifted["HOPS_END_TIME"]) == ("2026-01-01T08:00:00Z", "2026-01-01T10:01:00Z")


@pytest.fixture
def _quick() -> Iterator[None]:
    with quick_client():
        yield


@pytest.mark.e2e
@pytest.mark.usefixtures("_quick")
class TestThroughTheClient:
    def test_a_schedule_fires_until_it_is_removed(self, project: Any, tmp_path: Path) -> None:
        source = "import os; print(os.environ['HOPS_START_TIME'], os.environ['HOPS_END_TIME'])"
        job = write_job(project, tmp_path, "every_second", source)
        schedule = job.schedule("* * * * * ?")
        assert schedule.enabled
        assert schedule.next_execution_date_time > datetime.now(UTC) - timedelta(seconds=5)
        done = eventually(
            lambda: [e for e in job.get_executions() if e.success] if len(job.get_executions()) > 2 else []
        )
        log = project.get_dataset_api().read_content(done[-1].stdout_path).content.decode()
        start, end = log.split()
        assert datetime.fromisoformat(end) - datetime.fromisoformat(start) == timedelta(seconds=1)
        job.unschedule()
        assert project.get_job_api().get_job("every_second").job_schedule is None
        time.sleep(1.1)
        count = len(job.get_executions())
        time.sleep(1.5)
        assert len(job.get_executions()) == count

    def test_a_paused_schedule_does_not_fire(self, project: Any, tmp_path: Path) -> None:
        job = write_job(project, tmp_path, "paused", "pass")
        job.schedule("0 0 0 1 1 ?")
        assert job.pause_schedule().next_execution_date_time is None
        assert not project.get_job_api().get_job("paused").job_schedule.enabled
        assert job.resume_schedule().next_execution_date_time.month == 1

    def test_start_and_end_are_kept(self, project: Any, tmp_path: Path) -> None:
        job = write_job(project, tmp_path, "bounded", "pass")
        start = datetime(2100, 5, 5, tzinfo=UTC)
        schedule = job.schedule("0 0 0 * * ?", start_time=start, end_time=start + timedelta(days=3))
        assert schedule.next_execution_date_time == start
        assert schedule.end_date_time == start + timedelta(days=3)
        past = job.schedule("0 0 0 * * ?", start_time=datetime(2000, 1, 1), end_time=datetime(2000, 2, 1))
        assert past.next_execution_date_time is None
        with pytest.raises(RestAPIError, match="ends before"):
            job.schedule("0 0 0 * * ?", start_time=start, end_time=start - timedelta(days=1))
        with pytest.raises(RestAPIError, match="six"):
            job.schedule("* * * * *")

    def test_no_more_run_at_a_time_than_allowed(self, project: Any, tmp_path: Path) -> None:
        job = write_job(project, tmp_path, "slow", "import time; time.sleep(2.5)")
        job.schedule("* * * * * ?", max_active_runs=1)
        most, until = 0, time.monotonic() + 6
        while time.monotonic() < until:
            most = max(most, sum(e.success is None for e in job.get_executions()))
            time.sleep(0.05)
        job.unschedule()
        assert most == 1
        assert len(job.get_executions()) >= 2

    def test_missed_intervals_are_caught_up(self, project: Any, tmp_path: Path) -> None:
        job = write_job(project, tmp_path, "catchup", "import os; print(os.environ['HOPS_LOGICAL_DATE'])")
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        job.schedule("0 0 0 * * ?", start_time=today - timedelta(days=3), catchup=True, max_active_runs=4)
        eventually(lambda: len([e for e in job.get_executions() if e.success]) == 4)
        files = project.get_dataset_api()
        dates = sorted(files.read_content(e.stdout_path).content.decode().strip() for e in job.get_executions())
        assert dates == [f"{(today - timedelta(days=i)):%Y-%m-%dT00:00:00Z}" for i in (3, 2, 1, 0)]
        job.unschedule()

    def test_a_deleted_job_takes_its_schedule_along(self, embedded: Running, project: Any, tmp_path: Path) -> None:
        job = write_job(project, tmp_path, "gone", "pass")
        job.schedule("* * * * * ?")
        job.delete()
        time.sleep(1.2)
        assert project.get_job_api().get_job("gone") is None
        assert "cannot fire" not in embedded.home.server_log.read_text()
