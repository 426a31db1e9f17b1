"""Jobs and executions through the real client."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from hopsworks.client.exceptions import JobExecutionException, RestAPIError
from runtime_tools import call, eventually, quick_client, write_job

from deepcube.embedded import Running

pytestmark = pytest.mark.e2e

ECHO = "import os, sys; print('args', sys.argv[1:]); print('env', os.environ.get('FLAVOUR')); sys.exit(0)"
SLEEP = "import time\nprint('started', flush=True)\ntime.sleep(600)"


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with quick_client():
        yield


def _output(execution: Any, tmp_path: Path) -> tuple[str, str]:
    out, err = execution.download_logs(str(tmp_path))
    return Path(out).read_text(), Path(err).read_text()


def test_arguments_and_variables_reach_the_job(project: Any, tmp_path: Path) -> None:
    job = write_job(project, tmp_path, "echo", ECHO, defaultArgs="--default 'two words'", envVars={"FLAVOUR": "sour"})
    out, _ = _output(job.run(), tmp_path)
    assert out.splitlines() == ["args ['--default', 'two words']", "env sour"]
    out, _ = _output(job.run(args="a 'b c'"), tmp_path)
    assert out.splitlines()[0] == "args ['a', 'b c']"
    out, _ = _output(job.run(args="a", env_vars={"FLAVOUR": "sweet"}), tmp_path)
    assert out.splitlines() == ["args ['a']", "env sweet"]


def test_a_bare_login_in_a_job_reaches_its_project(project: Any, tmp_path: Path) -> None:
    source = (
        "import os, hopsworks\nproject = hopsworks.login()\n"
        "print('PROJECT', project.name, project.get_feature_store().name)\n"
        "print('JOB', os.environ['HOPSWORKS_JOB_NAME'])\n"
    )
    execution = write_job(project, tmp_path, "bare", source).run()
    assert (execution.state, execution.final_status, execution.success) == ("FINISHED", "SUCCEEDED", True)
    out, _ = _output(execution, tmp_path)
    assert f"PROJECT {project.name} {project.name}_featurestore" in out
    assert "JOB bare" in out


def test_a_failing_job_says_why(project: Any, tmp_path: Path) -> None:
    job = write_job(project, tmp_path, "broken", "raise RuntimeError('no data in 1999')")
    with pytest.raises(JobExecutionException):
        job.run()
    execution = job.get_executions()[0]
    assert (execution.state, execution.final_status, execution.success) == ("FAILED", "FAILED", False)
    assert job.get_final_state() == "FAILED"
    _, err = _output(execution, tmp_path)
    assert "RuntimeError: no data in 1999" in err
    assert "exited with status 1" in err


def test_logs_are_readable_while_the_job_runs(project: Any, tmp_path: Path) -> None:
    execution = write_job(project, tmp_path, "live", SLEEP).run(await_termination=False)
    log = eventually(lambda: execution.get_pod_logs().log)
    assert log == "started\n"
    assert project.get_dataset_api().read_content(execution.stdout_path).content == b"started\n"
    execution.stop()


def test_stop_ends_the_job_and_all_it_has_started(project: Any, tmp_path: Path) -> None:
    source = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "print(child.pid, flush=True)\ntime.sleep(600)"
    )
    job = write_job(project, tmp_path, "family", source)
    execution = job.run(await_termination=False)
    child = int(eventually(lambda: execution.get_pod_logs().log))
    assert psutil.pid_exists(child)
    execution.stop()
    assert job.get_state() == "KILLED"
    eventually(lambda: _gone(child))
    with pytest.raises(JobExecutionException, match="stopped"):
        execution.await_termination()


def test_a_job_that_ignores_the_signal_is_ended_all_the_same(project: Any, tmp_path: Path) -> None:
    source = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(600)"
    )
    job = write_job(project, tmp_path, "deaf", source)
    execution = job.run(await_termination=False)
    eventually(lambda: execution.get_pod_logs().log)
    execution.stop()
    assert job.get_state() == "KILLED"


def test_executions_run_side_by_side(project: Any, tmp_path: Path) -> None:
    job = write_job(project, tmp_path, "parallel", "import sys, time; time.sleep(1); print(sys.argv[1])")
    with ThreadPoolExecutor(4) as pool:
        executions = list(pool.map(lambda i: job.run(args=str(i)), range(4)))
    assert sorted(_output(execution, tmp_path)[0] for execution in executions) == ["0\n", "1\n", "2\n", "3\n"]
    assert len({execution.id for execution in executions}) == 4
    assert [e.id for e in job.get_executions()] == sorted((e.id for e in executions), reverse=True)


def test_files_lie_in_the_working_folder(project: Any, tmp_path: Path) -> None:
    (tmp_path / "extra.txt").write_text("extra")
    extra = project.get_dataset_api().upload(str(tmp_path / "extra.txt"), "Resources", overwrite=True)
    job = write_job(
        project, tmp_path, "files", "print(open('extra.txt').read())", files=f"hdfs:///Projects/{project.name}/{extra}"
    )
    assert _output(job.run(), tmp_path)[0] == "extra\n"


def test_output_is_bounded(embedded: Running, project: Any, tmp_path: Path) -> None:
    source = "for i in range(1_100_000): print(f'{i:07} ' + 'x' * 92)\nprint('the end')"
    execution = write_job(project, tmp_path, "chatty", source).run()
    log = embedded.home.files / execution.stdout_path.lstrip("/")
    assert log.stat().st_size <= 64 * 1024 * 1024
    text = log.read_text()
    assert text.startswith("... ")
    assert text.endswith("the end\n")
    assert "dropped" in text.splitlines()[0]


def test_a_failed_execution_runs_again_in_place(project: Any, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    source = f"import os, sys\nready = os.path.exists({str(flag)!r})\nprint(ready)\nsys.exit(0 if ready else 1)"
    job = write_job(project, tmp_path, "again", source)
    with pytest.raises(JobExecutionException):
        job.run()
    execution = job.get_executions()[0]
    flag.touch()
    execution.rerun()
    execution.await_termination()
    last = job.get_executions()[0]
    assert (last.id, last.state, last.rerun_count) == (execution.id, "FINISHED", 1)
    assert _output(last, tmp_path)[0] == "True\n"
    logs = Path(last.stdout_path).parent
    assert project.get_dataset_api().read_content(f"{logs}/attempt-1/stdout.log").content == b"False\n"
    with pytest.raises(RestAPIError):
        last.rerun()


def test_what_cannot_run_is_refused_with_a_reason(project: Any, tmp_path: Path) -> None:
    api = project.get_job_api()
    template = api.get_configuration("PYTHON")
    for config, reason in (
        ({"appPath": "Resources/notebook.ipynb"}, "notebook"),
        ({"appPath": "Resources/program.jar"}, ".py file"),
        ({"appPath": "../../x.py"}, "outside"),
        ({"appPath": "Resources/x.py", "defaultArgs": "'open"}, "cannot be split"),
        ({"appPath": "Resources/x.py", "envVars": ["novalue"]}, "environment variables"),
        (
            {
                "type": "sparkJobConfiguration",
                "mainClass": "x",
                "appPath": "Resources/x.jar",
            },
            "PYSPARK",
        ),
    ):
        with pytest.raises(RestAPIError, match=reason):
            api.create_job("refused", template | config)
    for job_type in ("SPARK", "DOCKER", "PYTHON_APP", "AGENT", "COBOL"):
        with pytest.raises(RestAPIError) as caught:
            api.get_configuration(job_type)
        assert caught.value.response.status_code == 501
    assert not api.exists("refused")
    job = api.create_job("absent", template | {"appPath": "Resources/absent.py"})
    with pytest.raises(RestAPIError, match="does not exist"):
        job.run()
    assert job.get_executions() == []


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "x" * 201, "a\nb"])
def test_a_name_that_would_not_do_as_a_folder_is_refused(embedded: Running, name: str) -> None:
    from urllib.parse import quote

    body = {"type": "pythonJobConfiguration", "appPath": "Resources/x.py"}
    assert call(embedded, "PUT", f"/project/1/jobs/{quote(name, safe='')}", body)[0] in (400, 404, 501)


def test_delete_stops_what_runs(project: Any, tmp_path: Path) -> None:
    job = write_job(project, tmp_path, "doomed", "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)")
    execution = job.run(await_termination=False)
    pid = int(eventually(lambda: execution.get_pod_logs().log))
    job.delete()
    assert project.get_job_api().get_job("doomed") is None
    eventually(lambda: _gone(pid))


def test_delete_an_execution(project: Any, tmp_path: Path) -> None:
    job = write_job(project, tmp_path, "once", "print(1)")
    execution = job.run()
    execution.delete()
    assert job.get_executions() == []
    assert not project.get_dataset_api().exists(execution.stdout_path)


def test_a_saved_job_keeps_what_was_changed(project: Any, tmp_path: Path) -> None:
    job = write_job(project, tmp_path, "changed", ECHO)
    job.config["defaultArgs"] = "later"
    job.description = "says what it is given"
    job.save()
    read = project.get_job_api().get_job("changed")
    assert (read.id, read.config["defaultArgs"], read.description) == (job.id, "later", "says what it is given")
    assert _output(read.run(), tmp_path)[0].startswith("args ['later']")


def test_an_execution_of_another_job_is_not_found(embedded: Running, project: Any, tmp_path: Path) -> None:
    execution = write_job(project, tmp_path, "one", "print(1)").run()
    write_job(project, tmp_path, "two", "print(1)")
    status, answer = call(embedded, "GET", f"/project/1/jobs/two/executions/{execution.id}")
    assert (status, answer["errorCode"]) == (404, 130010)


def test_two_clients_do_not_remove_each_others_certificates(project: Any, tmp_path: Path) -> None:
    source = (
        "import subprocess, sys, hopsworks\nproject = hopsworks.login()\n"
        "code = 'import hopsworks; hopsworks.login(); print(\"inner\", flush=True)'\n"
        "subprocess.run([sys.executable, '-c', code], check=True)\n"
        "from pathlib import Path\nimport hopsworks_common.client as client\n"
        "print('LEFT', sorted(p.name for p in Path(client._get_instance()._cert_folder).iterdir()))\n"
    )
    out, _ = _output(write_job(project, tmp_path, "nested", source).run(), tmp_path)
    assert "inner" in out
    assert "client_cert.pem" in out.partition("LEFT")[2]


def _gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_finished_jobs_leave_nothing_behind(embedded: Running, project: Any, tmp_path: Path) -> None:
    write_job(project, tmp_path, "tidy", "print(1)").run()
    folder = embedded.home.run / "executions"
    eventually(lambda: not list(folder.iterdir()), seconds=10)
    time.sleep(0.2)
    server = psutil.Process(embedded.pid)
    assert [child for child in server.children() if child.status() == psutil.STATUS_ZOMBIE] == []


def test_a_members_job_calls_in_the_members_name(embedded: Running, project: Any, tmp_path: Path) -> None:
    import hopsworks

    users = hopsworks.get_users_api()
    users.register_user("scientist@example.org", "Ada", "Scientist", password="unused password")
    project.add_member("scientist@example.org", "Data scientist")
    _, answer = call(embedded, "POST", "/users/apiKey?name=test&user=scientist@example.org")
    key = answer["key"]
    source = "import os, hopsworks\nhopsworks.login()\nprint('KEY', os.environ['HOPSWORKS_API_KEY'])"
    write_job(project, tmp_path, "mine", source)
    assert call(embedded, "PUT", "/project/1/projectMembers", {}, key=key)[0] != 200
    _, started = call(embedded, "POST", "/project/1/jobs/mine/executions", key=key, raw=b"")
    job = project.get_job_api().get_job("mine")
    eventually(lambda: job.get_state() == "FINISHED")
    out = project.get_dataset_api().read_content(started["stdoutPath"]).content.decode()
    own = out.partition("KEY ")[2].strip()
    assert own not in (key, embedded.environment()["HOPSWORKS_API_KEY"])
    assert job.get_executions()[0].user["email"] == "scientist@example.org"
    assert call(embedded, "GET", "/users/profile", key=key)[0] == 200
    eventually(lambda: call(embedded, "GET", "/users/profile", key=own)[0] == 401)


@pytest.mark.slow
def test_pyspark_runs_in_local_mode(project: Any, tmp_path: Path) -> None:
    pytest.importorskip("pyspark")
    source = (
        "import sys, hopsworks\nfrom pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        "total = spark.range(1000).selectExpr('sum(id)').collect()[0][0]\n"
        "print('SUM', total, sys.argv[1:], spark.sparkContext.master)\n"
        "print('MEMORY', spark.conf.get('spark.driver.memory'), spark.conf.get('spark.my.own'))\n"
        "print('PROJECT', hopsworks.login().name)\n"
    )
    (tmp_path / "spark.py").write_text(source)
    path = project.get_dataset_api().upload(str(tmp_path / "spark.py"), "Resources", overwrite=True)
    api = project.get_job_api()
    config = api.get_configuration("PYSPARK")
    config |= {"appPath": path, "spark.driver.memory": 1024, "properties": "spark.my.own=some value"}
    execution = api.create_job("spark", config).run(args="a 'b c'")
    assert (execution.final_status, execution.success) == ("SUCCEEDED", True)
    out, _ = _output(execution, tmp_path)
    assert "SUM 499500 ['a', 'b c'] local[*]" in out
    assert "MEMORY 1024m some value" in out
    assert f"PROJECT {project.name}" in out
