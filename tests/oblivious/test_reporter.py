"""The reporter: Maggy's surface, direct calls, no network."""

import pytest
from maggy.core.exceptions import BroadcastStepTypeError, BroadcastStepValueError, EarlyStopException

from deepcube.oblivious import Reporter, Step, TrainResultError


def test_steps_count_up_by_themselves_and_reach_every_observer(tmp_path):
    seen: list[Step] = []
    reporter = Reporter(tmp_path, [lambda step: bool(seen.append(step))])
    reporter.broadcast(0.5)
    reporter.broadcast(0.25, step=7, metrics={"loss": 1})
    assert seen == reporter.history == [Step(0, 0.5), Step(7, 0.25, {"loss": 1.0})]
    assert (reporter.step, reporter.metric) == (7, 0.25)


def test_an_observer_stops_the_training_after_all_have_seen_the_step(tmp_path):
    seen = []
    reporter = Reporter(tmp_path, [lambda step: step.metric > 1, lambda step: bool(seen.append(step.metric))])
    reporter.broadcast(1.0)
    with pytest.raises(EarlyStopException) as stop:
        reporter.broadcast(2.0)
    assert stop.value.metric == 2.0
    assert seen == [1.0, 2.0]


def test_bad_reports_are_refused_and_leave_no_trace(tmp_path):
    reporter = Reporter(tmp_path)
    reporter.broadcast(1.0, step=3)
    with pytest.raises(BroadcastStepValueError):
        reporter.broadcast(1.0, step=2)
    with pytest.raises(BroadcastStepTypeError):
        reporter.broadcast(1.0, step=3.5)
    with pytest.raises(TrainResultError, match="diverged"):
        reporter.broadcast(float("nan"))
    with pytest.raises(TrainResultError, match="'loss'"):
        reporter.broadcast(1.0, metrics={"loss": float("inf")})
    assert reporter.history == [Step(3, 1.0)]


def test_log_lines_are_kept_in_the_run_folder(tmp_path, capsys):
    Reporter(tmp_path).log("first")
    Reporter(tmp_path, rank=1).log("second")
    assert (tmp_path / "log.txt").read_text() == "first\nsecond\n"
    assert capsys.readouterr().out == "first\n"
