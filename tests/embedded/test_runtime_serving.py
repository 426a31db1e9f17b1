"""Deployments through the real client."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from hopsworks_common.client.exceptions import ModelServingException, RestAPIError
from runtime_tools import PREDICTOR, call, deploy, eventually, quick_client, save_model

from deepcube.embedded import Running

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with quick_client():
        yield


@pytest.fixture(scope="module")
def model(project: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with quick_client():
        return save_model(project, tmp_path_factory.mktemp("model"), "double", factor=2.0)


@pytest.fixture
def deployment(project: Any, model: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A running deployment of the test's own."""
    made = deploy(project, tmp_path, model, f"d{abs(hash(request.node.name))}")
    made.start()
    yield made
    made.delete(force=True)


def _pid(deployment: Any) -> int:
    return int(deployment.predict(data={"instances": [[0]], "explain": True})["pid"])


def _status(error: Any) -> int:
    return int(error.value.response.status_code)


def test_a_deployment_from_its_making_to_its_end(project: Any, model: Any, tmp_path: Path) -> None:
    serving = project.get_model_serving()
    made = deploy(project, tmp_path, model, "life", description="doubles")
    assert made.get_state().status == "Created"
    made.start()
    assert made.get_state().status == "Running"
    assert made.is_running()
    assert made.predict(inputs=[[1], [2.5]]) == {"predictions": [2.0, 5.0]}
    assert serving.get_deployment("life").description == "doubles"
    assert "life" in [known.name for known in serving.get_deployments(model=None)]
    made.stop()
    assert made.get_state().status == "Stopped"
    with pytest.raises(ModelServingException, match="not created or running"):
        made.predict(inputs=[[1]])
    made.restart()
    assert made.predict(inputs=[[4]]) == {"predictions": [8.0]}
    with pytest.raises(ModelServingException, match="not stopped"):
        made.delete()
    pid = _pid(made)
    made.delete(force=True)
    assert serving.get_deployment("life") is None
    assert not project.get_dataset_api().exists("Deployments/life")
    eventually(lambda: not psutil.pid_exists(pid))


def test_further_keys_of_a_request_are_keyword_arguments(deployment: Any) -> None:
    assert set(deployment.predict(data={"instances": [[1]], "explain": True})) == {"predictions", "pid"}
    assert deployment.predict(data={"inputs": [[1]], "unknown": 3}) == {"predictions": [2.0]}


def test_errors_of_the_predictor_have_their_status(embedded: Running, deployment: Any) -> None:
    with pytest.raises(RestAPIError, match="one column expected") as caught:
        deployment.predict(inputs=[[1, 2]])
    assert _status(caught) == 400
    with pytest.raises(RestAPIError, match="missing 'absent'") as caught:
        deployment.predict(inputs=[["key"]])
    assert _status(caught) == 400
    with pytest.raises(RestAPIError, match="ZeroDivisionError: division by zero") as caught:
        deployment.predict(inputs=[["divide"]])
    assert _status(caught) == 500
    log = deployment.read_logs()
    assert "Traceback" in log
    assert "status 400: one column expected" in log
    path = f"/project/1/inference/models/{deployment.name}:predict"
    for raw in (b"", b"{", b"[1]", b'{"rows": [1]}', b"\xff"):
        status, answer = call(embedded, "POST", path, raw=raw)
        assert status == 400
        assert answer["error"]
    assert call(embedded, "POST", f"/project/1/inference/models/{deployment.name}:regress", {})[0] == 501
    status, answer = call(embedded, "POST", "/project/1/inference/models/absent:predict", {"instances": [[1]]})
    assert (status, answer["errorCode"]) == (400, 250001)


def test_a_crash_is_reported_and_the_predictor_comes_back(deployment: Any) -> None:
    pid = _pid(deployment)
    with pytest.raises(RestAPIError, match="ended while it worked") as caught:
        deployment.predict(inputs=[["crash"]])
    assert _status(caught) == 503
    states = []
    eventually(lambda: states.append(deployment.get_state()) or states[-1].status == "Failed")
    assert "exited with status 7" in states[-1].condition.reason
    assert "started again" in states[-1].condition.reason
    eventually(lambda: deployment.get_state().status == "Running")
    assert _pid(deployment) != pid
    assert deployment.predict(inputs=[[3]]) == {"predictions": [6.0]}
    assert deployment.read_logs(tail=1000).count("loading") == 2


def test_a_predictor_that_is_killed_comes_back(deployment: Any) -> None:
    pid = _pid(deployment)
    psutil.Process(pid).kill()
    eventually(lambda: _answers(deployment) and _pid(deployment) != pid)


def test_a_killed_supervisor_takes_its_predictor_along(deployment: Any) -> None:
    predictor = psutil.Process(_pid(deployment))
    predictor.parent().kill()
    eventually(lambda: not predictor.is_running() or predictor.status() == psutil.STATUS_ZOMBIE)
    eventually(lambda: _answers(deployment))


def _answers(deployment: Any) -> bool:
    try:
        return bool(deployment.predict(inputs=[[1]]) == {"predictions": [2.0]})
    except (RestAPIError, ModelServingException):
        return False


def test_a_script_that_cannot_be_loaded_fails_with_its_reason(project: Any, model: Any, tmp_path: Path) -> None:
    made = deploy(project, tmp_path, model, "unloadable", "import no_such_module_at_all")
    with pytest.raises(ModelServingException, match="no_such_module_at_all"):
        made.start()
    state = made.get_state()
    assert (state.status, state.available_predictor_instances) == ("Failed", 0)
    with pytest.raises(ModelServingException):
        made.predict(inputs=[[1]])
    made.stop()
    assert made.get_state().status == "Stopped"
    made.delete()
    classless = deploy(project, tmp_path, model, "classless", "x = 1")
    with pytest.raises(ModelServingException, match="class Predict"):
        classless.start()
    classless.delete(force=True)


def test_a_failed_deployment_that_is_started_again_is_starting(
    embedded: Running, project: Any, model: Any, tmp_path: Path
) -> None:
    """The client sends no start for one that has failed; the console does."""
    ready = tmp_path / "ready"
    script = f"import pathlib, time\ntime.sleep(2)\nassert pathlib.Path({str(ready)!r}).exists()\n{PREDICTOR}"
    made = deploy(project, tmp_path, model, "secondchance", script)
    with pytest.raises(ModelServingException):
        made.start()
    ready.touch()
    assert call(embedded, "POST", f"/project/1/serving/{made.id}?action=start")[0] < 300
    assert made.get_state().status == "Starting"
    eventually(lambda: made.get_state().status == "Running")
    made.delete(force=True)


def test_worker_processes_share_the_work(project: Any, model: Any, tmp_path: Path) -> None:
    source = """
import os, time
class Predict:
    def predict(self, inputs):
        time.sleep(0.2)
        return [os.getpid()]
"""
    made = deploy(
        project, tmp_path, model, "workers", source, scaling_configuration={"min_instances": 3, "max_instances": 3}
    )
    made.start()
    eventually(lambda: made.get_state().available_predictor_instances == 3)
    with ThreadPoolExecutor(6) as pool:
        pids = {answer["predictions"][0] for answer in pool.map(lambda _: made.predict(inputs=[[1]]), range(12))}
    assert len(pids) == 3
    psutil.Process(pids.pop()).kill()
    assert made.get_state().status == "Running"
    eventually(lambda: made.get_state().available_predictor_instances == 3)
    assert len({log.instance_name for log in made._serving_engine._serving_api._get_logs(made, "predictor", 10)}) == 3
    made.delete(force=True)


TRANSFORMER = """
class Transformer:
    def preprocess(self, inputs):
        print("preprocessing", flush=True)
        if "text" in str(inputs["instances"]):
            raise ValueError("numbers expected")
        return {"instances": [[row[0] + 1] for row in inputs["instances"]]}
    def postprocess(self, outputs):
        return {**outputs, "unit": "mm"}
"""


def test_a_transformer_works_before_and_after(project: Any, model: Any, tmp_path: Path) -> None:
    from hsml.transformer import Transformer

    (tmp_path / "transformer.py").write_text(TRANSFORMER)
    transformer = Transformer(str(tmp_path / "transformer.py"))
    made = deploy(project, tmp_path, model, "transformed", transformer=transformer)
    made.start()
    assert made.predict(inputs=[[1], [2]]) == {"predictions": [4.0, 6.0], "unit": "mm"}
    answer = made.predict(data={"instances": [[1]], "explain": True})
    assert (answer["predictions"], "pid" in answer) == ([4.0], True)
    with pytest.raises(RestAPIError, match="numbers expected") as caught:
        made.predict(inputs=[["text"]])
    assert _status(caught) == 400
    assert "preprocessing" in made.read_logs(component="transformer")
    assert "preprocessing" not in made.read_logs(component="predictor")
    assert made.get_state().available_transformer_instances == 1
    made.delete(force=True)


def test_a_running_deployment_takes_changes_over(project: Any, deployment: Any, tmp_path: Path) -> None:
    old = _pid(deployment)
    (tmp_path / "new.py").write_text(PREDICTOR.replace("self.factor * row[0]", "-self.factor * row[0]"))
    deployment.script_file = str(tmp_path / "new.py")
    deployment.predictor.description = "negative"
    deployment.save()
    assert deployment.predict(inputs=[[1]]) == {"predictions": [-2.0]}
    assert project.get_model_serving().get_deployment(deployment.name).description == "negative"
    eventually(lambda: not psutil.pid_exists(old))


def test_no_request_is_lost_while_a_change_is_taken_over(project: Any, deployment: Any, tmp_path: Path) -> None:
    changed = project.get_model_serving().get_deployment(deployment.name)
    (tmp_path / "same.py").write_text(PREDICTOR)
    with ThreadPoolExecutor(2) as pool:
        stop: list[int] = []

        def ask() -> int:
            count = 0
            while not stop:
                assert deployment.predict(inputs=[[1]]) == {"predictions": [2.0]}
                count += 1
            return count

        asking = pool.submit(ask)
        try:
            changed.script_file = str(tmp_path / "same.py")
            changed.save()
            time.sleep(0.5)
        finally:
            stop.append(1)
        assert asking.result() > 0


def test_a_change_that_does_not_come_up_leaves_the_old_one_serving(deployment: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('not this one')")
    (tmp_path / "good.py").write_text(PREDICTOR)
    deployment.script_file = str(tmp_path / "broken.py")
    with pytest.raises(ModelServingException, match="not this one"):
        deployment.save()
    assert deployment.predict(inputs=[[1]]) == {"predictions": [2.0]}
    deployment.script_file = str(tmp_path / "good.py")
    deployment.save()
    assert deployment.get_state().status == "Running"


def test_versions_and_rollback(deployment: Any, tmp_path: Path) -> None:
    (tmp_path / "v2.py").write_text(PREDICTOR.replace("self.factor * row[0]", "100"))
    deployment.script_file = str(tmp_path / "v2.py")
    deployment.save(new_version=True)
    assert deployment.version == 2
    assert deployment.predict(inputs=[[1]]) == {"predictions": [100]}
    assert [(v.version, v.active) for v in deployment.get_versions()] == [(2, True), (1, False)]
    deployment.rollback(1)
    assert deployment.version == 1
    assert deployment.predict(inputs=[[1]]) == {"predictions": [2.0]}
    with pytest.raises(RestAPIError):
        deployment.rollback(9)


def test_a_name_is_taken_once(project: Any, deployment: Any, model: Any, tmp_path: Path) -> None:
    again = deploy(project, tmp_path, model, deployment.name)
    assert again.id == deployment.id
    other = save_model(project, tmp_path, "other_model", factor=3.0)
    with pytest.raises(RestAPIError) as caught:
        deploy(project, tmp_path, other, deployment.name)
    assert caught.value.error_code == 240011


def test_what_is_served_does_not_change_with_the_uploaded_script(project: Any, model: Any, tmp_path: Path) -> None:
    files = project.get_dataset_api()
    (tmp_path / "kept.py").write_text(PREDICTOR)
    path = files.upload(str(tmp_path / "kept.py"), "Resources", overwrite=True)
    made = model.deploy(name="kept", script_file=path)
    files.remove(path)
    made.start()
    assert made.predict(inputs=[[1]]) == {"predictions": [2.0]}
    made.delete(force=True)


def test_numpy_and_frames_and_what_is_not_finite(project: Any, model: Any, tmp_path: Path) -> None:
    source = """
import numpy as np, pandas as pd, datetime
class Predict:
    def predict(self, inputs):
        return [np.float32(1.5), np.array([1, 2]), np.nan, np.inf, (1, np.int64(2)), datetime.date(2020, 1, 2),
                pd.Series([1.0]), pd.DataFrame({"a": [1]}), {"x": np.bool_(True)}, None, "text"]
"""
    made = deploy(project, tmp_path, model, "kinds", source)
    made.start()
    assert made.predict(inputs=[[1]])["predictions"] == [
        1.5, [1, 2], None, None, [1, 2], "2020-01-02", [1.0], [{"a": 1}], {"x": True}, None, "text",
    ]  # fmt: skip
    made.delete(force=True)


def test_a_coroutine_may_predict_and_status_codes_are_kept(project: Any, model: Any, tmp_path: Path) -> None:
    source = """
import asyncio
from hsml.default_predictor import PredictionError
class Predict:
    async def predict(self, inputs):
        await asyncio.sleep(0.3)
        if inputs == [[404]]:
            raise PredictionError(404, {"code": "ENTITY_NOT_FOUND", "message": "no such cell"})
        return inputs
"""
    made = deploy(project, tmp_path, model, "coroutine", source)
    made.start()
    begin = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        assert [a["predictions"] for a in pool.map(lambda i: made.predict(inputs=[[i]]), range(8))] == [
            [[i]] for i in range(8)
        ]
    assert time.monotonic() - begin < 8 * 0.3
    with pytest.raises(RestAPIError, match="no such cell") as caught:
        made.predict(inputs=[[404]])
    assert caught.value.response.status_code == 404
    assert caught.value.response.json()["detail"]["code"] == "ENTITY_NOT_FOUND"
    made.delete(force=True)


def test_a_predictor_may_log_in(project: Any, model: Any, tmp_path: Path) -> None:
    source = """
import os, hopsworks
class Predict:
    def __init__(self):
        self.project = hopsworks.login()
    def predict(self, inputs):
        model = self.project.get_model_registry().get_model(os.environ["MODEL_NAME"], int(os.environ["MODEL_VERSION"]))
        return [self.project.name, model.version, os.environ["FLAVOUR"], sorted(os.listdir("."))]
"""
    made = deploy(project, tmp_path, model, "login", source, env_vars={"FLAVOUR": "sour"})
    made.start()
    assert made.predict(inputs=[[1]])["predictions"] == [project.name, 1, "sour", ["factor.json"]]
    made.delete(force=True)


def test_scikit_learn_models_need_no_script(project: Any, tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    from sklearn.linear_model import LinearRegression

    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]), tmp_path / "model.pkl")
    model = project.get_model_registry().sklearn.create_model("line")
    model.save(str(tmp_path / "model.pkl"))
    made = model.deploy(name="line")
    made.start()
    assert made.predict(inputs=[[2.0]])["predictions"] == pytest.approx([5.0])
    made.delete(force=True)


@pytest.mark.slow
def test_tensorflow_models_need_no_script(project: Any, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    for name, export in (("kerasfile", False), ("savedmodel", True)):
        folder = tmp_path / name
        folder.mkdir()
        if export:
            network.export(str(folder / "1"), verbose=False)
        else:
            network.save(str(folder / "model.keras"))
        model = project.get_model_registry().tensorflow.create_model(name)
        model.save(str(folder))
        made = model.deploy(name=name)
        made.start()
        assert made.predict(inputs=[[1.0, 2.0]])["predictions"] == [[pytest.approx(3.0)]]
        made.delete(force=True)


def test_what_is_not_offered_says_so(embedded: Running, model: Any) -> None:
    body = {"name": "x", "modelName": model.name, "modelVersion": 1, "predictor": "Resources/x.py"}
    for change, status in (
        ({"modelServer": "VLLM"}, 501),
        ({"apiProtocol": "GRPC"}, 501),
        ({"gitUrl": "https://example.org/x.git"}, 501),
        ({"name": "../x"}, 400),
        ({"name": "a/b"}, 400),
        ({"name": ""}, 400),
        ({"modelName": "absent"}, 404),
        ({"predictor": "Resources/absent.py"}, 400),
        ({"predictor": "../../../etc/passwd"}, 403),
        ({"predictorEnvVars": ["A"]}, 400),
        ({"modelName": None, "predictor": None}, 400),
        ({"id": 987654}, 404),
    ):
        assert call(embedded, "PUT", "/project/1/serving", body | change)[0] == status, change


def test_nobody_but_this_user_reaches_the_sockets(embedded: Running, deployment: Any) -> None:
    folder = embedded.home.run / "sockets"
    assert folder.stat().st_mode & 0o077 == 0
    assert [socket.stat().st_mode & 0o077 for socket in folder.iterdir()] == [0] * len(list(folder.iterdir()))
    assert list(folder.iterdir())


def test_logs_are_archived_when_a_deployment_stops(deployment: Any, tmp_path: Path) -> None:
    deployment.predict(inputs=[[1]])
    deployment.stop()
    paths = deployment.download_logs(str(tmp_path))
    assert any("loading" in Path(path).read_text() for path in paths)


def test_tail_logs_shows_what_is_new(deployment: Any) -> None:
    time.sleep(1.1)  # what is older than this second is not new
    logs = deployment.tail_logs(interval=0.05, timeout=20)
    with ThreadPoolExecutor(1) as pool:
        news = pool.submit(next, logs)
        time.sleep(0.5)
        for columns in (2, 3):
            with pytest.raises(RestAPIError):
                deployment.predict(inputs=[[1] * columns])
        assert "one column expected" in news.result()
    assert "is ready" not in news.result()
    rest = news.result() + (next(logs) if news.result().count("expected") < 2 else "")
    assert rest.count("one column expected") == 2
    assert "T" not in rest.split(":")[0].split()[0]  # the times that the client asked for are taken off again


def test_logs_since_a_moment_and_with_times(embedded: Running, deployment: Any) -> None:
    from datetime import UTC, datetime, timedelta

    assert "is ready" in deployment.read_logs(since=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    assert deployment.read_logs(since=(datetime.now(UTC) + timedelta(hours=1)).isoformat()) == ""
    (log,) = call(embedded, "GET", f"/project/1/serving/{deployment.id}/logs?timestamps=true&tail=1")[1]
    assert abs(datetime.fromisoformat(log["content"].split()[0]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert call(embedded, "GET", f"/project/1/serving/{deployment.id}/logs?since=yesterday")[0] == 400


def test_the_request_of_a_large_batch(deployment: Any) -> None:
    rows = [[float(i)] for i in range(50_000)]
    assert deployment.predict(inputs=rows)["predictions"] == [2 * row[0] for row in rows]


def test_documents_are_valid_json(embedded: Running, deployment: Any) -> None:
    status, document = call(embedded, "GET", f"/project/1/serving/{deployment.id}")
    assert status == 200
    assert json.loads(json.dumps(document, allow_nan=False))["condition"]["type"] == "READY"


@pytest.mark.slow
def test_the_default_predictor_looks_features_up(project: Any, tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    import pandas as pd
    from sklearn.linear_model import LinearRegression

    store = project.get_feature_store()
    frame = pd.DataFrame(
        {"cell": range(20), "a": [i / 20 for i in range(20)], "b": [(i * 7 % 20) / 20 for i in range(20)]}
    )
    frame["y"] = 2 * frame["a"] + frame["b"]
    group = store.get_or_create_feature_group("default_predictor", 1, primary_key=["cell"], online_enabled=True)
    group.insert(frame)
    view = store.get_or_create_feature_view(
        "default_predictor", query=group.select(["a", "b", "y"]), version=1, labels=["y"]
    )
    x, _, y, _ = view.train_test_split(test_size=0.2)
    joblib.dump(LinearRegression().fit(x, y), tmp_path / "model.pkl")
    model = project.get_model_registry().python.create_model("looked_up", feature_view=view, training_dataset_version=1)
    model.save(str(tmp_path / "model.pkl"))
    made = model.deploy(name="lookedup")
    made.start()
    answer = made.predict(inputs=[{"cell": 3}, {"cell": 4}])["predictions"]
    assert [row[0] for row in answer] == pytest.approx(frame["y"][3:5].tolist())
    made.delete(force=True)
    vectors = view.deploy(name="vectors", training_dataset_version=1)
    vectors.start()
    assert vectors.predict(inputs=[{"cell": 3}])["predictions"] == [pytest.approx([0.15, 0.05])]
    vectors.delete(force=True)
