"""What the tests of jobs, models and deployments share."""

from __future__ import annotations

import json
import ssl
import time
import types
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deepcube.embedded import Running

PREDICTOR = """
import json, os, sys
class Predict:
    def __init__(self):
        print("loading", os.environ["DEPLOYMENT_NAME"], flush=True)
        self.factor = json.load(open(os.path.join(os.environ["MODEL_FILES_PATH"], "factor.json")))
    def predict(self, inputs, explain=False):
        if inputs == [["crash"]]:
            os._exit(7)
        if inputs == [["divide"]]:
            1 / 0
        if inputs == [["key"]]:
            {}["absent"]
        if any(len(row) != 1 for row in inputs):
            raise ValueError("one column expected")
        result = {"predictions": [self.factor * row[0] for row in inputs]}
        return {**result, "pid": os.getpid()} if explain else result
"""


@contextmanager
def quick_client() -> Iterator[None]:
    """Have the client poll often: its built-in pauses of 3 and 5 seconds are shortened to hundredths."""
    from hopsworks_common.engine import execution_engine
    from hsml.engine import model_engine, serving_engine

    clock = types.SimpleNamespace(
        sleep=lambda seconds: time.sleep(seconds / 100), time=time.time, monotonic=time.monotonic
    )
    with pytest.MonkeyPatch.context() as patch:
        for module in (execution_engine, model_engine, serving_engine):
            patch.setattr(module, "time", clock)
        # The client gives up after so many polls; more of the shorter ones last as long.
        poll = serving_engine.ServingEngine._poll_deployment_status

        def longer(engine: Any, deployment: Any, status: str, seconds: int, *rest: Any) -> Any:
            return poll(engine, deployment, status, seconds * 100, *rest)

        patch.setattr(serving_engine.ServingEngine, "_poll_deployment_status", longer)
        yield


def eventually(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Return what a function gives as soon as that is true; fail if it never is."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
        time.sleep(0.05)


def call(
    running: Running, method: str, path: str, body: Any = None, *, key: str | None = None, raw: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any]:  # fmt: skip
    """Call the REST API without the client; return the status and the parsed answer."""
    environment = running.environment()
    context = ssl.create_default_context(cafile=environment["HOPSWORKS_TRUST_STORE_PATH"])
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{running.url}/hopsworks-api/api{path}", data=data, method=method)
    key = environment["HOPSWORKS_API_KEY"] if key is None else key
    for name, value in {
        "Authorization": f"ApiKey {key}",
        "Content-Type": "application/json",
        **(headers or {}),
    }.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, context=context, timeout=60) as response:
            content = response.read()
            return response.status, json.loads(content) if content[:1] in (b"{", b"[") else content
    except urllib.error.HTTPError as error:
        content = error.read()
        return error.code, json.loads(content) if content[:1] in (b"{", b"[") else content


def write_job(project: Any, folder: Path, name: str, source: str, **config: Any) -> Any:
    """Upload a program and make a PYTHON job of it."""
    program = folder / f"{name}.py"
    program.write_text(source)
    path = project.get_dataset_api().upload(str(program), "Resources", overwrite=True)
    api = project.get_job_api()
    return api.create_job(name, api.get_configuration("PYTHON") | {"appPath": path} | config)


def save_model(project: Any, folder: Path, name: str, factor: float = 2.0, **metrics: float) -> Any:
    """Register a model version that consists of one number."""
    file = folder / "factor.json"
    file.write_text(json.dumps(factor))
    model = project.get_model_registry().python.create_model(name, metrics=metrics or {"rmse": 1.0})
    model.save(str(file), keep_original_files=True)
    return model


def deploy(project: Any, folder: Path, model: Any, name: str, source: str = PREDICTOR, **options: Any) -> Any:
    """Deploy a model with a predictor script."""
    script = folder / f"{name}_predictor.py"
    script.write_text(source)
    return model.deploy(name=name, script_file=str(script), **options)
