"""Jobs that the server itself does, inside one process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runtime_tools import eventually

from deepcube.embedded.catalog import Catalog
from deepcube.embedded.certificates import Certificates
from deepcube.embedded.files import Files
from deepcube.embedded.home import Home, Settings
from deepcube.embedded.keys import ApiKeys
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.runtime import builtin
from deepcube.embedded.runtime.builtin import BUILTINS, ensure_job, run_job, say
from deepcube.embedded.runtime.executions import Executions


def _platform(root: Path) -> Platform:
    home = Home(root)
    home.prepare()
    settings = Settings(ports={"rest": 1, "flight": 2, "online_rest": 3, "broker": 4}, mysql_host="127.0.0.1")
    catalog = Catalog(home.catalog)
    certificates = Certificates(home.certificates, ["127.0.0.1"])
    return Platform(home, settings, catalog, Files(home.files), ApiKeys(catalog), certificates)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    platform = _platform(tmp_path / "home")
    yield platform
    platform.close()


@pytest.fixture
def project(platform: Platform) -> Project:
    return platform.create_project("p")


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Register functions for the length of a test."""
    return lambda name, function: monkeypatch.setitem(BUILTINS, name, function)


def test_a_short_job_is_over_when_it_was_started(platform: Platform, project: Project, kind: Any) -> None:
    seen: list[Any] = []

    def work(platform: Platform, project: Project, arguments: dict[str, Any]) -> None:
        seen.append((project.name, arguments))
        say("worked")

    kind("work", work)
    job = ensure_job(platform, project, "g_1_offline_fg_materialization", kind="work", target=7)
    execution = run_job(platform, project, job, "-x 1")
    assert seen == [("p", {"target": 7, "args": "-x 1"})]
    assert execution.body["state"] == "FINISHED"
    assert (platform.files.root / execution.body["stdoutPath"].lstrip("/")).read_text() == "worked\n"


def test_a_job_is_made_once(platform: Platform, project: Project) -> None:
    first = ensure_job(platform, project, "j", kind="work", target=1)
    second = ensure_job(platform, project, "j", kind="work", target=2)
    assert first.id == second.id
    assert second.body["builtin"]["arguments"] == {"target": 2}
    document = builtin.job_document(platform, second)
    assert document["config"]["defaultArgs"] == ""
    assert document["href"].startswith("https://")


def test_a_failure_is_written_down(platform: Platform, project: Project, kind: Any) -> None:
    def fail(platform: Platform, project: Project, arguments: dict[str, Any]) -> None:
        raise RuntimeError("the table is gone")

    kind("fail", fail)
    execution = run_job(platform, project, ensure_job(platform, project, "j", kind="fail"))
    assert (execution.body["state"], execution.body["reason"]) == ("FAILED", "RuntimeError: the table is gone")
    assert "Traceback" in (platform.files.root / execution.body["stderrPath"].lstrip("/")).read_text()
    unknown = run_job(platform, project, ensure_job(platform, project, "k", kind="nonsense"))
    assert unknown.body["state"] == "FAILED"
    assert "nonsense" in unknown.body["reason"]


def test_a_stopped_job_stays_killed_whatever_its_thread_does(platform: Platform, project: Project, kind: Any) -> None:
    go_on, done = threading.Event(), threading.Event()

    def wait(platform: Platform, project: Project, arguments: dict[str, Any]) -> None:
        go_on.wait(20)
        done.set()

    kind("wait", wait)
    job = ensure_job(platform, project, "j", kind="wait")
    executions = platform.service(Executions)
    execution = run_job(platform, project, job)
    assert execution.body["state"] == "RUNNING"
    assert executions.stop(project, job, execution.id).body["state"] == "KILLED"
    go_on.set()
    assert done.wait(5)
    eventually(lambda: not executions._threads)
    assert executions.find(project, job, execution.id).body["state"] == "KILLED"


def test_a_job_that_was_running_when_the_server_died_has_failed(tmp_path: Path, kind: Any) -> None:
    platform = _platform(tmp_path / "home")
    project = platform.create_project("p")
    job = ensure_job(platform, project, "j", kind="wait")
    executions = platform.service(Executions)
    execution = executions.records.add(project, job)
    executions.records.update(execution.id, state="RUNNING")
    platform.catalog.close()  # what a killed server leaves: no service was closed

    again = _platform(tmp_path / "home")
    found = again.service(Executions).find(again.create_project("p"), job, execution.id)
    assert found.body["state"] == "FAILED"
    assert "stopped" in found.body["reason"]
    again.close()
