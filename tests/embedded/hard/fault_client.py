"""What the parent of the clients imports, and what a client process does: the real client, in scenes.

A scene is one operation of a user: what must be there before (``prepare``), the operation itself (``act``), what a user
sees of it (``look``, as JSON without times and random ids), and another write after it (``follow``).
"""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import confluent_kafka.admin
import hopsworks
import hsfs.engine.python
import hsfs.feature_group
import hsml.model
import pandas as pd
import pyarrow.pandas_compat

_real_sleep = time.sleep
_LONGEST_SLEEP = 0.05
_AGREE_SECONDS = 45.0
_POLLS = 1000  # the client counts its waits in seconds, and these are short here

# The client imports some of these at first use; a forked one has them at once.
LOADED = (confluent_kafka.admin, hsfs.engine.python, hsfs.feature_group, hsml.model, pyarrow.pandas_compat)


def _impatient(seconds: float) -> None:
    """Sleep, but not as long as the client's built-in waits are (up to 5 s): there are thousands of operations."""
    _real_sleep(min(seconds, _LONGEST_SLEEP))


def _login() -> Any:
    time.sleep = _impatient
    return hopsworks.login()


@dataclass(frozen=True)
class Scene:
    """One operation of a user.

    Attributes
    ----------
    prepare, act, follow : callable
        Take the logged-in project.
    look : callable
        Takes the project and returns what a user sees.
    """

    prepare: Callable[[Any], None]
    act: Callable[[Any], None]
    look: Callable[[Any], Any]
    follow: Callable[[Any], None]


SCENES: dict[str, Scene] = {}


def prepare(scenes: list[str]) -> None:
    """Make what must be there before scenes."""
    project = _login()
    for scene in scenes:
        SCENES[scene].prepare(project)


def act(scene: str) -> None:
    """Do the operation of a scene."""
    SCENES[scene].act(_login())


def examine(scenes: list[str]) -> dict[str, dict[str, Any]]:
    """Look, write again, and look again, for each scene."""
    project = _login()
    found: dict[str, dict[str, Any]] = {}
    for scene in scenes:
        first = SCENES[scene].look(project)
        try:
            SCENES[scene].follow(project)
        except Exception as error:
            raise AssertionError(f"the next write failed, in state {first}") from error
        found[scene] = {"state": first, "after": SCENES[scene].look(project)}
    return found


def look(scene: str) -> Any:
    """Look."""
    return SCENES[scene].look(_login())


def record(scenes: list[str]) -> list[list[Any]]:
    """Play scenes and return what the client sent over REST: method, path with query, body as text, content type."""
    import requests

    sent: dict[tuple[str, str], list[Any]] = {}
    original = requests.Session.send

    def send(self: Any, request: Any, **options: Any) -> Any:
        path = request.path_url
        body = request.body
        if isinstance(body, bytes):
            body = body.decode("latin-1")
        kind = request.headers.get("Content-Type", "application/json")
        if body is None or isinstance(body, str):
            sent.setdefault((request.method, path), [request.method, path, body, kind])
        return original(self, request, **options)

    requests.Session.send = send  # type: ignore[method-assign]
    project = _login()
    for scene in scenes:
        SCENES[scene].act(project)
        SCENES[scene].look(project)
    return list(sent.values())


def crowd_create(name: str, stream: bool) -> None:
    """Make a group for many writers."""
    _create(_login(), name, online_enabled=stream, stream=stream).save(hsfs_features())


def crowd_write(name: str, number: int, rounds: int, operation: str = "upsert") -> list[str]:
    """Write rounds of rows: keys of this writer's own, and keys that all writers share; again if it failed.

    Returns
    -------
    list of str
        Types of the errors after which a write was done again.
    """
    group = _group(_login(), name)
    failures: list[str] = []
    for round_ in range(1, rounds + 1):
        frame = pd.concat([_frame(1000 * number, 10, round_), _frame(0, 5, 100 * number + round_)])
        if operation == "insert":  # appended, so that each key is written once
            frame = _frame(1000 * number + 10 * round_, 10, round_)
        for attempt in range(60):
            try:
                group.insert(frame, operation=operation, wait=True)
                break
            except Exception as error:
                failures.append(f"{type(error).__module__}.{type(error).__name__}")
                if attempt == 59:
                    raise
                _real_sleep(0.02 * random.random() * (attempt + 1))
    return failures


def crowd_read(name: str, stream: bool) -> dict[str, Any]:
    """Read what many writers wrote."""
    group = _group(_login(), name)
    return _both(group) if stream else {"offline": _offline(group)}


# --- feature groups


def _frame(first: int, count: int, value: float) -> pd.DataFrame:
    index = list(range(first, first + count))
    return pd.DataFrame(
        {
            "cell": index,
            "at": pd.to_datetime(["2024-01-01"] * count) + pd.to_timedelta(index, unit="D"),
            "value": [float(value + i) for i in index],
            "name": [f"n{i}" for i in index],
        }
    )


def _create(project: Any, name: str, **options: Any) -> Any:
    return project.get_feature_store().create_feature_group(
        name, version=1, primary_key=["cell"], event_time="at", time_travel_format="DELTA", **options
    )


def _group(project: Any, name: str) -> Any:
    return project.get_feature_store().get_feature_group(name, version=1)


def _rows(frame: pd.DataFrame) -> list[list[Any]]:
    if frame.empty:
        return []
    frame = frame.sort_values("cell")
    return [[int(row.cell), str(row.at)[:10], float(row.value), str(row.name_)] for row in
            frame.rename(columns={"name": "name_"}).itertuples()]  # fmt: skip


def _offline(group: Any) -> list[list[Any]]:
    return _rows(group.read(dataframe_type="pandas"))


def _online(group: Any) -> list[list[Any]]:
    return _rows(group.read(online=True, dataframe_type="pandas"))


def _both(group: Any) -> dict[str, Any]:
    """Both stores, once they agree; what they hold if they do not come to agree.

    Rows of a group with stream that no job comes for are written by the server after a while.
    """
    deadline = time.monotonic() + (_AGREE_SECONDS if group.stream else 0.0)
    while True:
        found = {"offline": _offline(group), "online": _online(group)}
        if found["offline"] == found["online"] or time.monotonic() > deadline:
            return found
        _real_sleep(0.1)


def _insert(group: Any, frame: pd.DataFrame, **options: Any) -> None:
    group.insert(frame, wait=True, **options)


OLD, NEW, NEXT = (0, 5, 0.0), (3, 5, 100.0), (7, 5, 200.0)


def _register_insert(name: str, *, online: bool = False, stream: bool = False, first: bool = False) -> None:
    """A scene in which rows are brought into a group: some new keys, some known ones."""

    def make(project: Any) -> None:
        group = _create(project, name, online_enabled=online, stream=stream)
        if first:
            group.save(hsfs_features())
        else:
            _insert(group, _frame(*OLD))

    def insert(which: tuple[int, int, float]) -> Callable[[Any], None]:
        return lambda project: _insert(_group(project, name), _frame(*which))

    def see(project: Any) -> Any:
        group = _group(project, name)
        return _both(group) if online else {"offline": _offline(group)}

    # Without stream, the client writes offline and online by itself, one after the other: doing it again mends a gap.
    two_writes = online and not stream
    SCENES[name] = Scene(make, insert(NEW), see, insert(NEW) if two_writes else insert(NEXT))


def hsfs_features() -> list[Any]:
    """The features of :func:`_frame`, declared."""
    from hsfs.feature import Feature

    return [
        Feature("cell", "bigint"),
        Feature("at", "timestamp"),
        Feature("value", "double"),
        Feature("name", "string"),
    ]


_register_insert("insert_offline")
_register_insert("insert_first", first=True)
_register_insert("insert_online", online=True)
_register_insert("insert_stream", online=True, stream=True)
_register_insert("insert_stream_first", online=True, stream=True, first=True)


def _register_delete_rows() -> None:
    name = "delete_rows"

    def make(project: Any) -> None:
        _insert(_create(project, name), _frame(*OLD))

    def delete(project: Any) -> None:
        _group(project, name).commit_delete_record(_frame(0, 2, 0.0))

    SCENES[name] = Scene(
        make, delete, lambda project: _offline(_group(project, name)),
        lambda project: _insert(_group(project, name), _frame(*NEXT)),
    )  # fmt: skip


def _register_append_features() -> None:
    name = "append_features"

    def make(project: Any) -> None:
        _insert(_create(project, name, online_enabled=True, stream=True), _frame(*OLD))

    def append(project: Any) -> None:
        from hsfs.feature import Feature

        _group(project, name).append_features([Feature("extra", "double")])

    def see(project: Any) -> Any:
        group = _group(project, name)
        return {"features": sorted(feature.name for feature in group.features), **_both(group)}

    def insert(project: Any) -> None:
        group = _group(project, name)
        frame = _frame(*NEXT)
        if "extra" in {feature.name for feature in group.features}:
            frame["extra"] = 1.0
        _insert(group, frame)

    SCENES[name] = Scene(make, append, see, insert)


def _groups(project: Any, prefix: str) -> list[Any]:
    found = project.get_feature_store().get_feature_groups()
    return sorted((group for group in found if group.name.startswith(prefix)), key=lambda group: group.name)


def _register_create_group(name: str, **options: Any) -> None:
    def see(project: Any) -> Any:
        return [[g.name, g.version, [f.name for f in g.features], g.online_enabled] for g in _groups(project, name)]

    def create(project: Any) -> None:
        _create(project, name, **options).save(hsfs_features())

    def use(project: Any) -> None:
        if not _groups(project, name):
            create(project)
        group = _group(project, name)
        _insert(group, _frame(*OLD))
        assert len(_offline(group)) == 5, "a group that was made takes rows"
        _create(project, f"{name}_next", **options).save(hsfs_features())

    SCENES[name] = Scene(lambda project: None, create, see, use)


def _register_delete_group() -> None:
    name = "delete_group"

    def make(project: Any) -> None:
        _insert(_create(project, name, online_enabled=True, stream=True), _frame(*OLD))

    def see(project: Any) -> Any:
        return [[group.name, _both(group)] for group in _groups(project, name)]

    def make_again(project: Any) -> None:
        for group in _groups(project, name):
            group.delete()
        make(project)

    SCENES[name] = Scene(make, lambda project: _group(project, name).delete(), see, make_again)


def _register_clear_group() -> None:
    """What the client does first when it inserts with ``overwrite=True``."""
    from hsfs.core.feature_group_api import FeatureGroupApi

    name = "clear_group"

    def make(project: Any) -> None:
        _insert(_create(project, name, online_enabled=True, stream=True), _frame(*OLD))

    def clear(project: Any) -> None:
        FeatureGroupApi()._delete_content(_group(project, name))

    SCENES[name] = Scene(
        make, clear, lambda project: _both(_group(project, name)),
        lambda project: _insert(_group(project, name), _frame(*NEXT)),
    )  # fmt: skip


_register_delete_rows()
_register_clear_group()
_register_append_features()
_register_create_group("create_group")
_register_create_group("create_stream", online_enabled=True, stream=True)
_register_delete_group()


# --- feature views and training datasets


def _register_view() -> None:
    name = "create_view"

    def create(project: Any, view: str = name) -> None:
        query = _group(project, f"{name}_source").select_all()
        project.get_feature_store().create_feature_view(view, query, version=1, labels=["value"])

    def see(project: Any) -> Any:
        store = project.get_feature_store()
        found = []
        for view in (name, f"{name}_next"):
            found += [[each.name, each.version, sorted(each.labels), len(each.get_batch_data())]
                      for each in store.get_feature_views(view)]  # fmt: skip
        return found

    SCENES[name] = Scene(
        lambda project: _insert(_create(project, f"{name}_source"), _frame(*OLD)), create, see,
        lambda project: create(project, f"{name}_next"),
    )  # fmt: skip


def _register_training_dataset() -> None:
    name = "training_dataset"

    def make(project: Any) -> None:
        group = _create(project, f"{name}_source")
        _insert(group, _frame(0, 20, 0.0))
        project.get_feature_store().create_feature_view(name, group.select_all(), version=1, labels=["value"])

    def create(project: Any) -> None:
        view = project.get_feature_store().get_feature_view(name, version=1)
        view.create_train_test_split(
            test_size=0.25, seed=1, data_format="parquet", write_options={"wait_for_job": True}
        )

    def see(project: Any) -> Any:
        """Datasets that can be read; one whose data are not there (a run that was cut off) counts as not made."""
        view = project.get_feature_store().get_feature_view(name, version=1)
        found = []
        for dataset in sorted(view.get_training_datasets(), key=lambda each: each.version):
            with contextlib.suppress(Exception):
                train, test, _, labels = view.get_train_test_split(dataset.version)
                found.append([len(train), len(test), len(labels)])
        return found

    SCENES[name] = Scene(make, create, see, create)


_register_view()
_register_training_dataset()


# --- files, models, deployments, jobs


def _file(name: str, content: str) -> str:
    folder = Path(tempfile.mkdtemp())
    (folder / name).write_text(content)
    return str(folder / name)


def _read_file(project: Any, path: str) -> str | None:
    api = project.get_dataset_api()
    if not api.exists(path):
        return None
    folder = tempfile.mkdtemp()
    return Path(api.download(path, local_path=folder, overwrite=True)).read_text()


def _register_upload() -> None:
    name, chunk = "upload", 1000

    def upload(content: str, file: str) -> Callable[[Any], None]:
        def run(project: Any) -> None:
            project.get_dataset_api().upload(_file(file, content), "Resources", overwrite=True, chunk_size=chunk)

        return run

    def see(project: Any) -> Any:
        texts = [_read_file(project, f"Resources/{file}") for file in ("kept.txt", "next.txt")]
        return [text and [text[0], len(text)] for text in texts]

    SCENES[name] = Scene(upload("o" * 2500, "kept.txt"), upload("n" * 3500, "kept.txt"), see,
                         upload("x" * 10, "next.txt"))  # fmt: skip


def _save_model(project: Any, name: str, factor: float) -> Any:
    model = project.get_model_registry().python.create_model(name, metrics={"rmse": factor})
    folder = Path(_file("factor.json", str(factor))).parent
    (folder / "weights.bin").write_bytes(bytes(5000))
    model.save(str(folder), keep_original_files=True)
    return model


def _register_model() -> None:
    name = "model"

    def see(project: Any) -> Any:
        found = []
        for model in sorted(project.get_model_registry().get_models(name), key=lambda each: each.version):
            folder = Path(model.download(tempfile.mkdtemp()))
            sizes = sorted([file.name, file.stat().st_size] for file in folder.rglob("*") if file.is_file())
            found.append([model.training_metrics, sizes])
        return found  # without the number of the version, of which an attempt that failed uses one up

    SCENES[name] = Scene(
        lambda project: _save_model(project, name, 1.0), lambda project: _save_model(project, name, 2.0), see,
        lambda project: _save_model(project, name, 3.0),
    )  # fmt: skip


_PREDICTOR = """
import json, os
class Predict:
    def __init__(self):
        self.factor = json.load(open(os.path.join(os.environ["MODEL_FILES_PATH"], "factor.json")))
    def predict(self, inputs):
        return {"predictions": [self.factor * row[0] for row in inputs]}
"""


def _settled(deployment: Any) -> str:
    deadline = time.monotonic() + _AGREE_SECONDS
    while True:
        state = str(deployment.get_state().status)
        if state.lower() not in ("starting", "stopping", "updating") or time.monotonic() > deadline:
            return state
        _real_sleep(0.05)


def _answer(project: Any, name: str) -> Any:
    deployment = project.get_model_serving().get_deployment(name)
    if deployment is None:
        return None
    state = _settled(deployment)
    running = state.lower() == "running"
    return [state, deployment.predict(inputs=[[3.0]])["predictions"] if running else None]


def _register_deploy() -> None:
    def create(project: Any, model: str, name: str) -> None:
        project.get_model_registry().get_model(model, version=1).deploy(
            name=name, script_file=_file("predictor.py", _PREDICTOR)
        )

    def start(project: Any, name: str) -> None:
        deployment = project.get_model_serving().get_deployment(name)
        if deployment.get_state().status == "Failed":  # the client starts none that has failed: a user stops it first
            deployment.stop(await_stopped=_POLLS)
        deployment.start(await_running=_POLLS)

    def finish(name: str) -> Callable[[Any], None]:
        def run(project: Any) -> None:
            if project.get_model_serving().get_deployment(name) is None:
                create(project, name, name)
            start(project, name)

        return run

    SCENES["deploycreate"] = Scene(
        lambda project: _save_model(project, "deploycreate", 2.0),
        lambda project: create(project, "deploycreate", "deploycreate"),
        lambda project: _answer(project, "deploycreate"),
        finish("deploycreate"),
    )

    def make(project: Any) -> None:
        _save_model(project, "deploystart", 2.0)
        create(project, "deploystart", "deploystart")

    def stop(project: Any) -> None:
        deployment = project.get_model_serving().get_deployment("deploystart")
        deployment.stop(await_stopped=_POLLS)
        deployment.start(await_running=_POLLS)

    SCENES["deploystart"] = Scene(
        make, lambda project: start(project, "deploystart"), lambda project: _answer(project, "deploystart"),
        finish("deploystart"),
    )  # fmt: skip


_PROGRAM = """
import sys
from pathlib import Path
print("working", flush=True)
target = Path(sys.argv[1])
target.with_suffix(".part").write_text("done")
target.with_suffix(".part").replace(target)
"""


def _register_job() -> None:
    name = "job"

    def make(project: Any) -> None:
        path = project.get_dataset_api().upload(_file("job_program.py", _PROGRAM), "Resources", overwrite=True)
        api = project.get_job_api()
        api.create_job(name, api.get_configuration("PYTHON") | {"appPath": path})

    def run(output: str) -> Callable[[Any], None]:
        def go(project: Any) -> None:
            folder = Path(os.environ["FAULT_HOME"]) / "hopsfs" / "Projects" / project.name / "Resources"
            execution = project.get_job_api().get_job(name).run(args=str(folder / output), await_termination=True)
            assert execution.success, execution.final_status

        return go

    def see(project: Any) -> Any:
        deadline = time.monotonic() + _AGREE_SECONDS
        while True:
            executions = project.get_job_api().get_job(name).get_executions()
            states = [each.final_status for each in sorted(executions, key=lambda each: each.id)]
            if "UNDEFINED" not in states or time.monotonic() > deadline:
                break
            _real_sleep(0.05)
        return {"states": states, "output": _read_file(project, "Resources/job.out")}

    SCENES[name] = Scene(make, run("job.out"), see, run("next.out"))

    def create(project: Any, job: str = "jobcreate") -> None:
        api = project.get_job_api()
        api.create_job(job, api.get_configuration("PYTHON") | {"appPath": "Resources/any.py"})

    def jobs(project: Any) -> Any:
        return sorted(job.name for job in project.get_job_api().get_jobs() if job.name.startswith("jobcreate"))

    SCENES["jobcreate"] = Scene(lambda project: None, create, jobs, lambda project: create(project, "jobcreate_next"))


_register_upload()
_register_model()
_register_deploy()
_register_job()
