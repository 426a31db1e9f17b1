"""The server, supervisors and predictors killed at any time: what is acknowledged stays, nothing runs twice."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hopsworks
import psutil
import pytest
import requests
from hopsworks_common.client.exceptions import RestAPIError
from runtime_tools import deploy, eventually, quick_client, save_model, write_job

from deepcube.embedded import Home, Running, down, find, up
from deepcube.embedded.launcher import _await_unlocked

pytestmark = pytest.mark.e2e


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home folder of the test's own, with a running server that the client is logged in to."""
    root = tmp_path / "home"
    running, _ = up(root, port=0)
    with pytest.MonkeyPatch.context() as patch, quick_client():
        for name, value in running.environment().items():
            patch.setenv(name, value)
        yield root
        hopsworks.logout()
    if find(root) is not None:
        down(root)


def _kill(root: Path) -> None:
    """Kill the server without a warning, and wait until it is dead."""
    running = find(root)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    _await_unlocked(Home(root))


def _restart(root: Path) -> Running:
    running, was_started = up(root)
    assert was_started
    return running


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_job_outlives_a_killed_server(home: Path, tmp_path: Path) -> None:
    project = hopsworks.login()
    go_on = tmp_path / "go_on"
    source = (
        "import os, time\nprint(os.getpid(), flush=True)\n"
        f"while not os.path.exists({str(go_on)!r}): time.sleep(0.05)\nprint('done')"
    )
    job = write_job(project, tmp_path, "outlives", source)
    execution = job.run(await_termination=False)
    pid = int(eventually(lambda: execution.get_pod_logs().log))
    _kill(home)
    assert _lives(pid)
    _restart(home)
    assert job.get_state() == "RUNNING"
    go_on.touch()
    execution.await_termination()
    assert job.get_state() == "FINISHED"
    assert project.get_dataset_api().read_content(execution.stdout_path).content == f"{pid}\ndone\n".encode()
    assert list((home / "run" / "executions").iterdir()) == []


def test_a_job_that_ends_while_there_is_no_server(home: Path, tmp_path: Path) -> None:
    project = hopsworks.login()
    for name, code, state in (("ends_well", 0, "FINISHED"), ("ends_badly", 3, "FAILED")):
        job = write_job(project, tmp_path, name, f"import sys, time\ntime.sleep(1)\nprint('over')\nsys.exit({code})")
        execution = job.run(await_termination=False)
        eventually(lambda job=job: job.get_state() == "RUNNING")
        _kill(home)
        time.sleep(2)
        _restart(home)
        assert job.get_state() == state
        assert project.get_dataset_api().read_content(execution.stdout_path).content == b"over\n"


def test_a_killed_supervisor_is_reported(home: Path, tmp_path: Path) -> None:
    project = hopsworks.login()
    job = write_job(project, tmp_path, "orphaned", "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)")
    execution = job.run(await_termination=False)
    pid = int(eventually(lambda: execution.get_pod_logs().log))
    psutil.Process(pid).parent().kill()
    eventually(lambda: job.get_state() == "FAILED")
    eventually(lambda: not _lives(pid))
    assert b"supervisor was killed" in project.get_dataset_api().read_content(execution.stderr_path).content
    job.run(args="next", await_termination=False).stop()


def test_server_and_supervisor_killed_together(home: Path, tmp_path: Path) -> None:
    project = hopsworks.login()
    job = write_job(project, tmp_path, "both", "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)")
    execution = job.run(await_termination=False)
    pid = int(eventually(lambda: execution.get_pod_logs().log))
    supervisor = psutil.Process(pid).parent()
    _kill(home)
    supervisor.kill()
    _restart(home)
    assert job.get_state() == "FAILED"
    eventually(lambda: not _lives(pid))


def test_a_stopped_server_stops_its_jobs_and_deployments(home: Path, tmp_path: Path) -> None:
    project = hopsworks.login()
    job = write_job(project, tmp_path, "stopped", "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)")
    execution = job.run(await_termination=False)
    deployment = deploy(project, tmp_path, save_model(project, tmp_path, "m"), "stays")
    deployment.start()
    pids = [int(eventually(lambda: execution.get_pod_logs().log))]
    pids.append(deployment.predict(data={"instances": [[1]], "explain": True})["pid"])
    down(home)
    assert [pid for pid in pids if _lives(pid)] == []
    _restart(home)
    assert (job.get_state(), job.get_final_state()) == ("KILLED", "KILLED")
    eventually(lambda: deployment.get_state().status == "Running")
    assert deployment.predict(inputs=[[1]]) == {"predictions": [2.0]}
    deployment.stop()
    down(home)
    _restart(home)
    time.sleep(0.5)
    assert deployment.get_state().status == "Stopped"


def test_a_deployment_comes_back_after_the_server_was_killed(home: Path, tmp_path: Path) -> None:
    project = hopsworks.login()
    deployment = deploy(project, tmp_path, save_model(project, tmp_path, "m"), "returns")
    deployment.start()
    pid = deployment.predict(data={"instances": [[1]], "explain": True})["pid"]
    _kill(home)
    eventually(lambda: not _lives(pid))
    _restart(home)
    eventually(lambda: deployment.get_state().status == "Running")
    assert deployment.predict(inputs=[[1]]) == {"predictions": [2.0]}
    logs = project.get_dataset_api().list("Logs/Serving/returns")
    assert len(logs) == 1  # what the first process wrote


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3, 4))])
def test_no_acknowledged_execution_is_lost_or_runs_twice(home: Path, tmp_path: Path, seed: int) -> None:
    """Kill the server again and again while a client starts jobs as fast as it can."""
    randomly = random.Random(seed)
    project = hopsworks.login()
    trace = tmp_path / "trace"
    source = (
        "import os, sys\n"
        f"out = os.open({str(trace)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "os.write(out, (os.environ['HOPSWORKS_JOB_EXECUTION_ID'] + '\\n').encode())\n"
    )
    job = write_job(project, tmp_path, "counted", source)
    acknowledged: list[int] = []
    over = threading.Event()

    def keep_starting() -> None:
        while not over.is_set():
            with contextlib.suppress(requests.RequestException, RestAPIError):
                acknowledged.append(job.run(await_termination=False).id)

    client = threading.Thread(target=keep_starting)
    client.start()
    for _ in range(4):
        time.sleep(randomly.uniform(0.05, 0.6))
        _kill(home)
        _restart(home)
    over.set()
    client.join()
    executions = eventually(
        lambda: [] if any(e.success is None for e in job.get_executions()) else job.get_executions()
    )
    ran = [int(line) for line in trace.read_text().split()]
    states = {execution.id: execution.state for execution in executions}
    assert set(acknowledged) <= set(states)
    assert len(ran) == len(set(ran)), "an execution ran twice"
    assert set(ran) <= set(states), "something ran that is not written down"
    finished = {number for number, state in states.items() if state == "FINISHED"}
    assert finished <= set(ran), "an execution is called finished that never ran"
    assert set(states.values()) <= {"FINISHED", "FAILED"}
    assert len(finished) >= len(states) - 4  # at most one per kill may have been cut off, and says that it failed


def test_an_upload_that_is_cut_off_is_not_visible_and_can_be_repeated(home: Path, tmp_path: Path) -> None:
    project = hopsworks.login()
    files = project.get_dataset_api()
    content = os.urandom(12_000_000)
    (tmp_path / "big.bin").write_bytes(content)
    for pause in (0.02, 0.05, 0.1):
        cut = threading.Timer(pause, _kill, [home])
        cut.start()
        with contextlib.suppress(requests.RequestException):
            files.upload(str(tmp_path / "big.bin"), "Resources", chunk_size=200_000, overwrite=True)
        cut.join()
        _restart(home)
        place = home / "hopsfs" / "Projects" / project.name / "Resources" / "big.bin"
        assert not place.exists() or place.read_bytes() == content
    files.upload(str(tmp_path / "big.bin"), "Resources", overwrite=True)
    assert place.read_bytes() == content


def test_a_schedule_fires_once_per_interval_over_restarts(home: Path, tmp_path: Path) -> None:
    project = hopsworks.login()
    job = write_job(project, tmp_path, "ticks", "import os; print(os.environ['HOPS_LOGICAL_DATE'])")
    job.schedule("* * * * * ?", catchup=True, max_active_runs=50)
    for _ in range(3):
        time.sleep(1.1)
        _kill(home)
        _restart(home)
    time.sleep(1.1)
    job.unschedule()
    executions = eventually(
        lambda: [] if any(e.success is None for e in job.get_executions()) else job.get_executions()
    )
    files = project.get_dataset_api()
    fired = sorted(files.read_content(e.stdout_path).content.decode().strip() for e in executions if e.success)
    assert len(fired) == len(set(fired)), "an interval was run twice"
    seconds = [int(date[17:19]) + 60 * int(date[14:16]) for date in fired]
    gaps = [(b - a) % 3600 for a, b in itertools.pairwise(seconds)]
    failed = sum(e.success is False for e in executions)
    assert sum(gap - 1 for gap in gaps) <= failed, "an interval was lost"


def test_scripts_and_metadata_change_together(home: Path, tmp_path: Path) -> None:
    """A crash between the commit and the move of the script is made good at the next start."""
    from deepcube.embedded.home import HomeLock
    from deepcube.embedded.runtime import deployments
    from deepcube.embedded.runtime.trees import Trees
    from deepcube.embedded.server import open_platform

    project = hopsworks.login()
    model = save_model(project, tmp_path, "m")
    deployment = deploy(project, tmp_path, model, "atomic")
    (tmp_path / "next.py").write_text("class Predict: pass  # next")
    path = project.get_dataset_api().upload(str(tmp_path / "next.py"), "Resources")
    document = {"id": deployment.id, "name": "atomic", "modelName": "m", "modelVersion": 1, "predictor": path}
    down(home)

    class CrashError(Exception):
        pass

    def crash(*arguments: Any) -> None:
        raise CrashError

    lock = HomeLock(Home(home))
    for crash_in_commit in (True, False):
        platform = open_platform(Home(home), 0)
        owner = platform.projects()[0]
        with pytest.MonkeyPatch.context() as patch:
            if crash_in_commit:
                patch.setattr(deployments, "_store", crash)
            patch.setattr(Trees, "execute", crash)
            with pytest.raises(CrashError):
                deployments.save(platform, owner, document, "deepcube@localhost")
        platform.catalog.close()

        platform = open_platform(Home(home), 0)
        platform.service(Trees)
        entity = deployments.find_deployment(platform, owner, deployment.id)
        script = platform.files.resolve(owner.name, entity.body["config"]["predictor"])
        assert script.is_file()
        assert ("# next" in script.read_text()) is (not crash_in_commit)
        assert entity.body["revision"] == (1 if crash_in_commit else 2)
        assert list((home / "hopsfs" / ".staging" / "pending").iterdir()) == []
        platform.close()
    lock.release()
