"""Secrets, account variables and alerts through the real client."""

from __future__ import annotations

import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hopsworks
import pytest
from hopsworks.client.exceptions import JobExecutionException, RestAPIError
from runtime_tools import call, quick_client, write_job

from deepcube.embedded import Running

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with quick_client():
        yield


@pytest.fixture
def secrets(project: Any) -> Any:
    return hopsworks.get_secrets_api()


def _name() -> str:
    return f"s{uuid.uuid4().hex}"


def test_a_secret_is_kept_and_forgotten(secrets: Any) -> None:
    name = _name()
    assert secrets.create_secret(name, "wördle 🗝").value == "wördle 🗝"
    assert secrets.get(name) == "wördle 🗝"
    listed = {secret.name: secret.value for secret in secrets.get_secrets()}
    assert listed[name] is None
    with pytest.raises(RestAPIError):
        secrets.create_secret(name, "again")
    secrets.get_secret(name).delete()
    assert secrets.get_secret(name) is None


def test_no_file_of_the_home_folder_has_a_secret_in_clear(embedded: Running, secrets: Any) -> None:
    value = f"needle{uuid.uuid4().hex}"
    secrets.create_secret(_name(), value)
    variables = hopsworks.get_env_vars_api()
    variables.create_env_var("HAYSTACK", value)
    for place in embedded.home.root.rglob("*"):
        if place.is_file() and not place.is_socket():
            assert value.encode() not in place.read_bytes(), place
    key = embedded.home.root / "secret_key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    variables.delete_env_var("HAYSTACK")


def test_a_list_of_secrets_has_no_values_on_the_wire(embedded: Running, secrets: Any) -> None:
    secrets.create_secret(_name(), "in clear?")
    _, answer = call(embedded, "GET", "/users/secrets")
    assert answer["items"]
    assert all("secret" not in item for item in answer["items"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "a/b", "secret": "x"},
        {"name": "n", "secret": ""},
        {"name": "n", "secret": 5},
        {"name": "n", "secret": "x" * 9001},
        {"name": "n", "secret": "x", "visibility": "WORLD"},
    ],
)
def test_what_is_no_secret_is_refused(embedded: Running, body: dict[str, Any]) -> None:
    assert call(embedded, "POST", "/users/secrets", body)[0] == 400


def test_a_file_as_a_secret(secrets: Any, tmp_path: Path) -> None:
    import base64

    (tmp_path / "key.pem").write_bytes(b"\0binary\xff")
    name = _name()
    secrets.create_secret_from_file(name, str(tmp_path / "key.pem"))
    assert base64.b64decode(secrets.get(name)) == b"\0binary\xff"


def test_account_variables_reach_jobs(project: Any, secrets: Any, tmp_path: Path) -> None:
    variables, name = hopsworks.get_env_vars_api(), _name()
    secrets.create_secret(name, "from a secret")
    variables.create_env_var("PLAIN_VARIABLE", "plain")
    variables.set_env_var("SECRET_VARIABLE", secret_name=name)
    source = "import os; print(os.environ['PLAIN_VARIABLE'], os.environ['SECRET_VARIABLE'])"
    execution = write_job(project, tmp_path, "variables", source).run()
    assert project.get_dataset_api().read_content(execution.stdout_path).content == b"plain from a secret\n"
    assert variables.get("PLAIN_VARIABLE") == "plain"
    variables.update_env_var("PLAIN_VARIABLE", "changed")
    assert {v.name: v.value for v in variables.get_env_vars()}["PLAIN_VARIABLE"] == "changed"
    for reserved in ("HOPSWORKS_API_KEY", "PATH", "1x", "a=b"):
        with pytest.raises(RestAPIError):
            variables.create_env_var(reserved, "x")
    variables.delete_all()
    assert variables.get_env_vars() == []


def test_alerts_are_recorded_when_a_job_fails(project: Any, tmp_path: Path) -> None:
    api = project.get_alerts_api()
    receiver = api.create_alert_receiver("team", email_configs=[{"to": "team@example.org"}])
    assert receiver.name == f"{project.name}__team"
    job = write_job(project, tmp_path, "alerting", "import sys; sys.exit(len(sys.argv) - 1)")
    alert = job.create_alert(receiver="team", status="failed", severity="critical")
    assert job.get_alert(alert.id).status == "FAILED"
    assert [known.id for known in job.get_alerts()] == [alert.id]
    general = api.create_project_alert(receiver="team", status="job_finished", severity="info", service="Jobs")
    assert [known.id for known in api.get_alerts()] == [general.id]
    before = len(api.get_triggered_alerts())
    with pytest.raises(JobExecutionException):
        job.run(args="x")
    job.run()
    finished, failed = api.get_triggered_alerts()[: len(api.get_triggered_alerts()) - before]
    assert (failed.labels["job"], failed.labels["severity"], failed.labels["status"]) == (
        "alerting",
        "critical",
        "FAILED",
    )
    assert "exited with status 1" in failed.annotations["summary"]
    assert finished.labels["status"] == "JOB_FINISHED"
    with pytest.raises(RestAPIError):
        job.create_alert(receiver="team", status="failed", severity="critical")
    with pytest.raises(RestAPIError, match="no alert receiver"):
        job.create_alert(receiver="nobody", status="killed", severity="critical")
    api.delete_alert(general.id)
    assert api.get_alert(general.id) is None
    api.trigger_alert("team", "title", "summary", "words", "warning", "mine", "by hand")
    assert api.get_triggered_alerts()[0].annotations["description"] == "words"
