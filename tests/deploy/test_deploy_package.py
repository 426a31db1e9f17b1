"""The shipped wheel: the same for the same code, well-formed, and from an installation as from a checkout."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcube.embedded.runtime.cron import parse
from jobs import deploy_package, usecases
from jobs.deploy_package import build, checkout, direct_requirements, pack, select_locked

INFO = "deepcube-0.1.0.dist-info"
METADATA = b"Metadata-Version: 2.4\nName: deepcube\nVersion: 0.1.0\nRequires-Dist: click>=8.1\n\nVersion: of the text\n"


def _files(**more: bytes) -> dict[str, bytes]:
    return {"jobs/__init__.py": b"", f"{INFO}/METADATA": METADATA, f"{INFO}/WHEEL": b"Wheel-Version: 1.0\n", **more}


def _open(wheel: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}/[a-z]{1,5}\.py", fullmatch=True), st.binary(max_size=20)))
def test_a_packed_wheel_lists_what_is_in_it(more: dict[str, bytes]) -> None:
    version, wheel = pack(_files(**more))
    assert re.fullmatch(r"0\.1\.0\+[0-9a-f]{12}", version)
    content = _open(wheel)
    info = f"deepcube-{version}.dist-info"
    assert f"\nVersion: {version}\n".encode() in content[f"{info}/METADATA"]
    assert content[f"{info}/METADATA"].endswith(b"\n\nVersion: of the text\n")
    record = dict(line.split(",", 1) for line in content.pop(f"{info}/RECORD").decode().splitlines())
    assert record.pop(f"{info}/RECORD") == ","
    for name, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        assert record.pop(name) == f"sha256={digest},{len(data)}"
    assert not record
    assert {**more, "jobs/__init__.py": more.get("jobs/__init__.py", b"")}.items() <= content.items()
    assert pack(content) == (version, wheel), "packed again, also from the packed one, it is the same"


@given(st.binary(max_size=8), st.binary(max_size=8))
def test_other_content_is_another_version(first: bytes, second: bytes) -> None:
    versions = [pack(_files(**{"jobs/x.py": content}))[0] for content in (first, second)]
    assert (versions[0] == versions[1]) == (first == second)


def test_a_checkout_and_an_installation_of_it_give_the_same_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout()
    assert root is not None
    package = build()
    content = _open(package.wheel)
    for module in ("jobs/deploy.py", "features/__init__.py", "deepcube/embedded/server.py"):
        assert content[module] == (root / module).read_bytes()
    assert not [name for name in content if name.startswith("tests/")]
    for name, data in content.items():
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    info = tmp_path / f"deepcube-{package.version}.dist-info"
    (info / "INSTALLER").write_text("pip\n")
    with (info / "RECORD").open("a") as record:
        record.write(f"{info.name}/INSTALLER,,\n../../bin/deepcube,,\njobs/__pycache__/x.pyc,,\n")
    installed = importlib.metadata.Distribution.at(info)
    real = importlib.metadata.distribution
    monkeypatch.setattr(deploy_package, "checkout", lambda: None)
    monkeypatch.setattr(
        importlib.metadata, "distribution", lambda name: installed if name == "deepcube" else real(name)
    )
    again = build()
    assert (again.version, again.wheel) == (package.version, package.wheel)
    assert again.requirements == package.requirements, "an installation has its lock with it"


def test_of_the_lock_goes_what_the_code_needs_and_no_more() -> None:
    requirements = build().requirements
    names = set(re.findall(r"(?m)^([a-z0-9-]+)==", requirements))
    assert {"hopsworks", "duckdb", "tensorflow-cpu", "numpy", "click", "pyspark"} <= names
    assert not {"pytest", "ruff", "mypy", "jax", "playwright"} & names
    assert requirements.count("==") <= requirements.count("--hash=")


LOCK = """# how it was made
a==1 ; python_version > '3' \\
    --hash=sha256:aa
    # via deepcube (pyproject.toml)
b==2 \\
    --hash=sha256:bb
    # via
    #   a
    #   c
c==3 \\
    --hash=sha256:cc
    # via deepcube (pyproject.toml)
"""


def test_a_lock_is_cut_along_its_notes() -> None:
    assert select_locked(LOCK, {"a"}) == "".join(LOCK.splitlines(keepends=True)[i] for i in (1, 2, 4, 5))
    assert "c==3" in select_locked(LOCK, {"c"})
    assert select_locked(LOCK, {"d"}) == "\n"


def test_extras_lead_to_extras_and_markers_are_a_clusters() -> None:
    lines = [
        "Click>=8",
        "hopsworks[python]==5.2.1",
        "deepcube[cubes,train]; extra == 'all'",
        "xarray; extra == 'cubes'",
        "tensorflow-cpu; (sys_platform == 'linux' and platform_machine == 'x86_64') and extra == 'train'",
        "pytest; extra == 'dev'",
        "pywin32; sys_platform == 'win32'",
    ]
    assert direct_requirements(lines) == {
        "click": set(),
        "hopsworks": {"python"},
        "xarray": set(),
        "tensorflow-cpu": set(),
    }


def test_schedules_of_use_cases_can_be_kept() -> None:
    declared = {name: usecases.load(name) for name in usecases.names()}
    assert declared["drought"].schedule
    for use_case in declared.values():
        assert set(use_case.schedule) <= set(use_case.stages)
        for expression in use_case.schedule.values():
            parse(expression)
