"""Python environments through the real client: made, installed into, used by jobs and deployments, removed."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hopsworks.client.exceptions import RestAPIError
from hopsworks_common.client.exceptions import EnvironmentException
from hopsworks_common.engine.environment_engine import EnvironmentEngine
from hypothesis import given
from hypothesis import strategies as st
from runtime_tools import call, deploy, eventually, quick_client, save_model, write_job

from deepcube.embedded import Running, down, up
from deepcube.embedded.runtime.environments_installer import read_requirements
from deepcube.embedded.runtime.environments_overlay import make_overlay, site_of

pytestmark = pytest.mark.e2e

BASE = "python-feature-pipeline"
SHOW = (
    "import importlib.metadata as m, sys, flavours\n"
    "print(sys.prefix, flavours.__file__, flavours.TASTE, m.version('flavours'))\n"
    "import duckdb, hopsworks\nprint(m.version('hopsworks'))"
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(EnvironmentEngine, "POLL_INTERVAL", 0.05)
    with quick_client():
        yield


def wheel(folder: Path, version: str, *requires: str, program: str | None = None, name: str = "flavours") -> Path:
    """Write a wheel of one module by hand."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"TASTE = 'taste of {version}'\ndef main():\n    print('{name} says', TASTE)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {each}\n" for each in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if program:
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{program} = {name}:main\n"
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text.encode())}")
    place = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(place, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,", ""]))
    return place


def upload(project: Any, file: Path) -> str:
    """Upload a file and return its path in the project."""
    return str(project.get_dataset_api().upload(str(file), "Resources", overwrite=True))


def libraries(running: Running, project: Any, name: str) -> dict[str, tuple[str, bool]]:
    """Return version of each library of an environment, and whether it comes with the server."""
    _, answer = call(running, "GET", f"/project/{project.id}/python/environments/{name}/libraries")
    return {item["library"]: (item["version"], item["preinstalled"]) for item in answer["items"]}


def printed(project: Any, execution: Any) -> list[str]:
    """Return the lines that an execution has printed."""
    content = project.get_dataset_api().read_content(execution.stdout_path)
    return content.content.decode().splitlines() if content is not None else []


def test_a_job_runs_with_what_its_environment_has(embedded: Running, project: Any, tmp_path: Path) -> None:
    api = project.get_environment_api()
    environment = api.create_environment("flavoured", description="with flavours", base_environment_name=BASE)
    assert (environment.name, environment.description) == ("flavoured", "with flavours")
    assert "flavoured" in [known.name for known in api.get_environments()]
    environment.install_wheel(upload(project, wheel(tmp_path, "1.0", "duckdb>=1", program="taste")))
    assert libraries(embedded, project, "flavoured")["flavours"] == ("1.0", False)
    assert libraries(embedded, project, "flavoured")["duckdb"][1] is True, "what is there is not installed again"
    job = write_job(project, tmp_path, "tasting", SHOW, environmentName="flavoured")
    first = printed(project, job.run())
    prefix, module, *taste = first[0].split()
    assert module.startswith(prefix)
    assert prefix.startswith(str(embedded.home.root / "environments"))
    assert taste == ["taste", "of", "1.0", "1.0"]
    assert first[1] == "5.2.1"

    environment.install_wheel(upload(project, wheel(tmp_path, "1.0+other", program="taste")))
    second = printed(project, job.run())[0].split()
    assert second[2:] == ["taste", "of", "1.0+other", "1.0+other"]
    assert second[0] != prefix
    assert not Path(prefix).exists(), "what nobody uses any more is gone"
    script = "import subprocess; print(subprocess.run(['taste'], capture_output=True, text=True, check=True).stdout)"
    shell = write_job(project, tmp_path, "shell", script, environmentName="flavoured")
    api.create_environment("copied", base_environment_name="flavoured")
    shell.config["environmentName"] = "copied"
    assert printed(project, shell.save().run())[0] == "flavours says taste of 1.0+other"

    environment.uninstall("flavours")
    assert "flavours" not in libraries(embedded, project, "flavoured")
    assert "flavours" in libraries(embedded, project, "copied")
    api.get_environment("copied").delete()
    assert api.get_environment("copied") is None
    kept = [folder.name for folder in (embedded.home.root / "environments").iterdir()]
    assert not [name for name in kept if "-copied-" in name]


def test_what_a_requirements_file_asks_for_and_is_there_is_not_fetched(
    embedded: Running, project: Any, tmp_path: Path
) -> None:
    versions = {name: version for name, (version, _) in libraries(embedded, project, BASE).items()}
    file = tmp_path / "requirements.txt"
    file.write_text(
        f"# a lock\nduckdb=={versions['duckdb']} ; python_version > '3' \\\n    --hash=sha256:{'0' * 64} \\\n"
        f"    --hash=sha256:{'1' * 64}\n    # via nothing\n"
        f"absent==1 ; sys_platform == 'nowhere' --hash=sha256:{'2' * 64}\n"
    )
    environment = project.get_environment_api().create_environment("locked", base_environment_name=BASE)
    environment.install_requirements(upload(project, file))
    log = (
        project.get_dataset_api()
        .read_content(f"/Projects/{project.name}/Logs/Environments/locked/1_{file.name}.log")
        .content.decode()
    )
    assert log == "2 requirements are satisfied, 0 are to be installed\n"

    plain = tmp_path / "more.txt"
    wheel(tmp_path, "2.0")
    plain.write_text(f"--no-index\n--find-links {tmp_path}\nflavours>=2\nduckdb\n")
    environment.install_requirements(upload(project, plain))
    assert libraries(embedded, project, "locked")["flavours"] == ("2.0", False)


def test_a_failed_installation_says_why_and_changes_nothing(embedded: Running, project: Any, tmp_path: Path) -> None:
    environment = project.get_environment_api().create_environment("steady", base_environment_name=BASE)
    environment.install_wheel(upload(project, wheel(tmp_path, "1.0")))
    before = libraries(embedded, project, "steady")
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("--no-index\nno-such-package-as-this==1\n")
    with pytest.raises(EnvironmentException, match="no-such-package-as-this"):
        environment.install_requirements(upload(project, wrong))
    broken = tmp_path / "broken-1.0-py3-none-any.whl"
    broken.write_bytes(b"no zip")
    with pytest.raises(EnvironmentException, match="no wheel that can be read"):
        environment.install_wheel(upload(project, broken))
    altered = tmp_path / "altered.txt"
    altered.write_text(f"--no-index\n--find-links {tmp_path}\nflavours==2.0 --hash=sha256:{'0' * 64}\n")
    wheel(tmp_path, "2.0")
    with pytest.raises(EnvironmentException, match="HASH"):
        environment.install_requirements(upload(project, altered))
    assert libraries(embedded, project, "steady") == before
    environment.install_wheel(upload(project, wheel(tmp_path, "3.0")))  # a failure does not stand in the way
    assert libraries(embedded, project, "steady")["flavours"] == ("3.0", False)


def test_an_environment_in_use_stays(project: Any, tmp_path: Path) -> None:
    api = project.get_environment_api()
    environment = api.create_environment("busy", base_environment_name=BASE)
    environment.install_wheel(upload(project, wheel(tmp_path, "1.0")))
    source = "import sys, time\nprint(sys.prefix, flush=True)\ntime.sleep(600)\n"
    execution = write_job(project, tmp_path, "long", source, environmentName="busy").run(await_termination=False)
    (prefix,) = eventually(lambda: printed(project, execution))
    with pytest.raises(RestAPIError, match=f"in use by execution {execution.id} of job 'long'"):
        environment.delete()
    environment.install_wheel(upload(project, wheel(tmp_path, "2.0")))
    assert Path(prefix).exists(), "what runs keeps what it was started with"
    execution.stop()
    environment.delete()
    assert not Path(prefix).exists()


def test_a_deployment_runs_in_its_environment(project: Any, tmp_path: Path) -> None:
    environment = project.get_environment_api().create_environment("served", base_environment_name=BASE)
    environment.install_wheel(upload(project, wheel(tmp_path, "1.0")))
    predictor = "import flavours\nclass Predict:\n    def predict(self, inputs):\n        return [flavours.TASTE]\n"
    model = save_model(project, tmp_path, "tasty")
    deployment = deploy(project, tmp_path, model, "tasty", predictor, environment="served")
    deployment.start(await_running=60)
    assert deployment.predict(inputs=[1])["predictions"] == ["taste of 1.0"]
    with pytest.raises(RestAPIError, match="in use by deployment 'tasty'"):
        environment.delete()
    environment.install_wheel(upload(project, wheel(tmp_path, "2.0")))
    assert deployment.predict(inputs=[1])["predictions"] == ["taste of 1.0"], "until it is started again"
    deployment.stop(await_stopped=60)
    deployment.start(await_running=60)
    assert deployment.predict(inputs=[1])["predictions"] == ["taste of 2.0"]
    deployment.stop(await_stopped=60)
    deployment.delete()
    environment.delete()
    with pytest.raises(RestAPIError, match="no environment named 'served'"):
        deploy(project, tmp_path, model, "again", predictor, environment="served")


def test_what_cannot_be_done_is_told(project: Any, tmp_path: Path) -> None:
    api = project.get_environment_api()
    assert api.get_environment("absent") is None
    assert api.get_environment(BASE).python_version.startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")
    base = api.get_environment(BASE)
    file = upload(project, wheel(tmp_path, "1.0"))
    for attempt in (base.delete, lambda: base.install_wheel(file), lambda: base.uninstall("duckdb")):
        with pytest.raises(RestAPIError, match="server's own Python") as caught:
            attempt()
        assert caught.value.response.status_code == 501
    for name, parent, words in (
        ("Capital", BASE, "not a name"),
        ("a" * 64, BASE, "not a name"),
        (BASE, BASE, "already"),
        ("fine", "absent", "no environment named 'absent'"),
    ):
        with pytest.raises(RestAPIError, match=words):
            api.create_environment(name, base_environment_name=parent)
    mine = api.create_environment("mine", base_environment_name=BASE)
    with pytest.raises(RestAPIError, match="already"):
        api.create_environment("mine", base_environment_name=BASE)
    with pytest.raises(RestAPIError, match="no such file"):
        mine.install_wheel("Resources/absent-1.0-py3-none-any.whl")
    with pytest.raises(RestAPIError, match="npm"):
        mine.install_npm(["express"])
    with pytest.raises(RestAPIError, match="not among the packages that were installed"):
        mine.uninstall("duckdb")
    with pytest.raises(RestAPIError, match="no environment named 'absent'"):
        write_job(project, tmp_path, "nowhere", "", environmentName="absent")


def test_a_killed_server_leaves_the_old_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that is under way when the server is killed has failed afterwards, and left nothing behind."""
    import hopsworks

    home = tmp_path / "home"
    running, _ = up(home, port=0)
    try:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        project = hopsworks.login()
        environment = project.get_environment_api().create_environment("cut", base_environment_name=BASE)
        environment.install_wheel(upload(project, wheel(tmp_path, "1.0")))
        fifo = tmp_path / "links"
        os.mkfifo(fifo)  # the installer waits for somebody to write into it
        slow = tmp_path / "slow.txt"
        slow.write_text(f"--no-index\n-r {fifo}\nno-such-package-as-this\n")
        environment.install_requirements(upload(project, slow), await_installation=False)
        installer = eventually(lambda: [p for p in psutil.process_iter(["cmdline"]) if _installs(p, home)])
        os.kill(running.pid, signal.SIGKILL)
        eventually(lambda: not any(process.is_running() for process in installer))
        running, _ = up(home)
        overlays = list((home / "environments").iterdir())
        assert len(overlays) == 1
        assert libraries(running, project, "cut")["flavours"] == ("1.0", False)
        _, answer = call(
            running, "GET", f"/project/{project.id}/python/environments/cut/libraries/slow.txt?expand=commands"
        )
        assert answer["commands"]["items"][0]["status"] == "FAILED"
        assert "server was stopped" in answer["commands"]["items"][0]["errorMessage"]
        environment.install_wheel(upload(project, wheel(tmp_path, "2.0")))
        assert libraries(running, project, "cut")["flavours"] == ("2.0", False)
        hopsworks.logout()
    finally:
        down(home)


def _installs(process: psutil.Process, home: Path) -> bool:
    command = process.info["cmdline"] or []
    return bool(command) and command[0].startswith(str(home / "environments")) and "install" in command


NAMES = st.sampled_from(["one", "two", "three"])
VERSIONS = st.integers(1, 4).map(str)


@given(st.dictionaries(NAMES, VERSIONS), st.lists(st.tuples(NAMES, VERSIONS, st.booleans()), max_size=6))
def test_what_is_missing_is_what_is_not_there(installed: dict[str, str], asked: list[tuple[str, str, bool]]) -> None:
    lines = [f"{name}=={version}" + (" \\\n  --hash=sha256:00" if hashed else "") for name, version, hashed in asked]
    wanted = read_requirements("# comment\n" + "\n    # via x\n".join(lines), installed)
    expected = [name for name, version, _ in asked if installed.get(name) != version]
    assert [line.partition("==")[0] for line in wanted.missing] == expected
    assert wanted.satisfied == len(asked) - len(expected)
    assert wanted.locked == (bool(asked) and all(hashed for _, _, hashed in asked))


def test_a_new_revision_shares_files_and_renames_itself(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    make_overlay(old, None)
    (site_of(old) / "module.py").write_text("x = 1")
    (old / "bin" / "program").write_text(f"#!{old}/bin/python\n")
    (old / "bin" / "program").chmod(0o755)
    make_overlay(new, old)
    assert (site_of(new) / "module.py").samefile(site_of(old) / "module.py")
    assert (new / "bin" / "program").read_text() == f"#!{new}/bin/python\n"
    assert os.access(new / "bin" / "program", os.X_OK)
    assert (old / "bin" / "program").read_text() == f"#!{old}/bin/python\n"
