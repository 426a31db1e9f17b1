"""``deepcube deploy`` to a second embedded Hopsworks, which is the remote: what arrives, and that it is what runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hopsworks_common.engine import execution_engine
from hopsworks_common.engine.environment_engine import EnvironmentEngine

from deepcube.embedded import Running
from jobs import definitions
from jobs.cli import main
from jobs.deploy import CREATE, REPLACE, UNCHANGED, Deployer, Outcome
from jobs.deploy_package import Package, pack
from jobs.runner import JobRunner
from jobs.stages import STAGES

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
# The client waits five seconds before it asks how a command is doing.
PROGRAM = """
from hopsworks_common.engine.environment_engine import EnvironmentEngine
EnvironmentEngine.POLL_INTERVAL = 0.1
from jobs.cli import main
main()
"""
PROBE = """
import importlib.metadata, sys, deepcube, features, jobs
print(jobs.SHIPPED)
print(importlib.metadata.version("deepcube"))
print(sys.prefix)
for module in (deepcube, features, jobs):
    print(module.__file__)
"""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the files that git knows, or would take, to a folder, with a mark that the checkout does not have."""
    folder = tmp_path_factory.mktemp("clean")
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    _mark(folder, "the first time")
    return folder


def _mark(folder: Path, text: str) -> None:
    source = (ROOT / "jobs" / "__init__.py").read_text()
    (folder / "jobs" / "__init__.py").write_text(f"{source}\nSHIPPED = {text!r}\n")


def deepcube(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the code of a folder."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HOPSWORKS_", "DEEPCUBE_"))}
    return subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        env={**inherited, "PYTHONPATH": str(folder), **environment},
        cwd=folder,
        timeout=1500,
    )


def changes(result: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return what a deployment has changed, by kind and name."""
    assert result.returncode == 0, result.stderr
    steps = json.loads(result.stdout)["steps"]
    return {f"{step['kind']} {step['name']}": step["change"] for step in steps if step["change"] != "unchanged"}


def probe(project: Any, folder: Path, environment: str) -> list[str]:
    """Return what a job in an environment says of the code that it imports."""
    program = folder / "probe.py"
    program.write_text(PROBE)
    path = project.get_dataset_api().upload(str(program), "Resources", overwrite=True)
    api = project.get_job_api()
    config = api.get_configuration("PYTHON") | {"appPath": path, "environmentName": environment}
    execution = api.create_job("probe", config).run()
    content = project.get_dataset_api().read_content(execution.stdout_path)
    return list(content.content.decode().splitlines())


@pytest.fixture(scope="module")
def deployed(clean: Path, embedded: Running) -> dict[str, Any]:
    """Look first, deploy then; return what each has said."""
    remote = embedded.environment()
    dry = deepcube(clean, "deploy", "drought", "--dry-run", "--json", **remote)
    first = deepcube(clean, "deploy", "drought", "--json", **remote)
    return {"dry": changes(dry), "first": changes(first), "document": json.loads(first.stdout)}


def test_a_clean_folder_is_deployed_and_its_code_is_what_runs(
    clean: Path, embedded: Running, project: Any, deployed: dict[str, Any], tmp_path: Path
) -> None:
    remote = embedded.environment()
    assert deployed["dry"] == deployed["first"]
    kinds = [name.split(" ")[0] for name in deployed["first"]]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "environment": 2, "requirements": 2, "wheel": 2, "script": 1, "job": 3, "schedule": 3,
    }  # fmt: skip
    again = deepcube(clean, "deploy", "drought", "--json", **remote)
    assert changes(again) == {}
    assert "nothing to change" in again.stderr

    says = probe(project, tmp_path, "deepcube")
    assert says[:2] == ["the first time", deployed["document"]["version"]]
    overlays = str(embedded.home.root / "environments")
    assert all(line.startswith(overlays) for line in says[2:]), says

    _mark(clean, "the second time")
    try:
        changed = changes(deepcube(clean, "deploy", "drought", "--json", **remote))
        assert [name.split(" ")[0] for name in changed] == ["wheel", "wheel"]
        assert set(changed.values()) == {"replace"}
        assert probe(project, tmp_path, "deepcube")[0] == "the second time"
    finally:
        _mark(clean, "the first time")


def test_jobs_are_in_the_environment_and_on_their_schedules(project: Any, deployed: dict[str, Any]) -> None:
    api = project.get_job_api()
    for stage in STAGES:
        job = api.get_job(f"drought_{stage}")
        assert job.config["environmentName"] == "deepcube"
        assert job.config["envVars"] == {
            "TF_ENABLE_ONEDNN_OPTS": "0",
            "DEEPCUBE_SERVING_ENVIRONMENT": "deepcube-inference",
        }
        assert job.job_schedule.enabled
    assert api.get_job("drought_features").job_schedule.cron_expression == "0 0 3 ? * MON"
    assert JobRunner(project, "drought").register(STAGES) == "deepcube", "a run leaves deployed jobs as they are"
    assert api.get_job("drought_features").config["environmentName"] == "deepcube"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_deployed_use_case_runs_on_the_remote(
    clean: Path, embedded: Running, project: Any, deployed: dict[str, Any], tmp_path: Path
) -> None:
    """Features are written, a model is trained and served, all with the shipped code."""
    output = str(tmp_path / "output")
    result = deepcube(clean, "run", "drought", "--json", "--output", output, **embedded.environment())
    assert result.returncode == 0, result.stderr
    assert "deployed in environment deepcube" in result.stderr
    summary = json.loads(result.stdout.splitlines()[-1])
    store = project.get_feature_store()
    assert store.get_feature_group("drought_ndvi", version=1).read().shape[0] > 100_000
    execution = project.get_job_api().get_job("drought_features").get_executions()[0]
    assert execution.success
    deployment = project.get_model_serving().get_deployment(summary["deployment"]["name"])
    assert deployment.predictor.environment == "deepcube-inference"
    assert deployment.is_running()
    _mark(clean, "the third time")
    try:
        deepcube(clean, "deploy", "drought", "--json", **embedded.environment())
    finally:
        _mark(clean, "the first time")
    assert deployment.is_running()
    deployment.stop(await_stopped=60)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the client poll often."""
    monkeypatch.setattr(EnvironmentEngine, "POLL_INTERVAL", 0.05)
    monkeypatch.setattr(execution_engine.ExecutionEngine, "_wait_until_finished", _wait, raising=True)
    yield


def _wait(engine: Any, job: Any, execution: Any, timeout: float | None = None) -> Any:
    raise AssertionError("no job is run here")


def small_package(content: str) -> Package:
    """Return a package of one module."""
    info = "deepcube-0.1.0.dist-info"
    version, wheel = pack(
        {
            "jobs/__init__.py": content.encode(),
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: deepcube\nVersion: 0.1.0\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
    )
    return Package(version, wheel, "click\n")


def _changed(outcomes: list[Outcome], change: str) -> list[str]:
    return [outcome.kind for outcome in outcomes if outcome.change == change]


def test_an_interrupted_deployment_goes_on_where_it_was(project: Any, quick: None) -> None:
    deployer = Deployer(project, small_package("x = 1"), "interrupted")
    for last in (1, 7):  # after the requirements of one environment, after the first job
        told: list[Outcome] = []

        def tell(outcome: Outcome, done: bool, *, told: list[Outcome] = told, last: int = last) -> None:
            if done:
                told.append(outcome)
            if len(told) > last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            deployer.deploy(["drought"], tell)
        seen = deployer.deploy(["drought"], lambda outcome, done: None, dry_run=True)
        assert [outcome.change for outcome in seen[: last + 1]] == [UNCHANGED] * (last + 1)
    deployer.deploy(["drought"], lambda outcome, done: None)
    again = deployer.deploy(["drought"], lambda outcome, done: None)
    assert _changed(again, UNCHANGED) == [outcome.kind for outcome in again]


def test_what_somebody_else_has_changed_is_put_right(project: Any, quick: None, tmp_path: Path) -> None:
    deployer = Deployer(project, small_package("x = 2"), "repaired")

    def deploy() -> list[Outcome]:
        return deployer.deploy(["drought"], lambda outcome, done: None)

    deploy()
    job = definitions.find_job(project, "drought_training")
    assert job is not None
    job.pause_schedule()
    job.config["defaultArgs"] = "--stage nonsense"
    job.save()
    wrong = tmp_path / "drought.py"
    wrong.write_text("raise SystemExit")
    project.get_dataset_api().upload(str(wrong), definitions.SCRIPTS, overwrite=True)
    project.get_environment_api().get_environment("repaired").delete()
    outcomes = deploy()
    assert _changed(outcomes, CREATE) == ["environment", "requirements", "wheel"]
    assert _changed(outcomes, REPLACE) == ["script", "job"]
    mended = definitions.find_job(project, "drought_training")
    assert mended is not None
    assert mended.config["defaultArgs"].startswith("--stage training")
    assert not mended.job_schedule.enabled, "a schedule that somebody has paused stays paused"
    assert _changed(deploy(), UNCHANGED) == [outcome.kind for outcome in outcomes]


def test_without_a_deployment_jobs_run_the_platforms_own_code(project: Any, quick: None) -> None:
    for stage in STAGES:
        job = definitions.find_job(project, f"drought_{stage}")
        if job is not None:
            job.delete()
    assert JobRunner(project, "drought").register(("features",)) is None
    config = project.get_job_api().get_job("drought_features").config
    assert (config["environmentName"], config["envVars"]) == ("python-feature-pipeline", {"TF_ENABLE_ONEDNN_OPTS": "0"})


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["deploy"], {}, "HOPSWORKS_HOST, HOPSWORKS_PROJECT, HOPSWORKS_API_KEY are not set"),
        (["deploy", "nonsense"], {}, "no use case named 'nonsense'"),
        (["deploy"], {"HOPSWORKS_PORT": "1"}, "cannot reach Hopsworks at 127.0.0.1:1"),
        (["deploy"], {"HOPSWORKS_PORT": "many"}, "cannot reach Hopsworks at 127.0.0.1:many"),
        (["deploy"], {"HOPSWORKS_API_KEY": "wrong.key"}, "cannot log in to Hopsworks at"),
        (["deploy", "--environment", "Not/A Name"], {}, "small letters"),
    ],
)
def test_mistakes_get_one_message(
    embedded: Running,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    environment: dict[str, str],
    words: str,
) -> None:
    remote = embedded.environment() | environment if environment else {}
    for name in [name for name in os.environ if name.startswith("HOPSWORKS_")]:
        monkeypatch.delenv(name)
    for name, value in remote.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["deepcube", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    said = capsys.readouterr()
    assert caught.value.code in (1, 2)
    assert words in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
