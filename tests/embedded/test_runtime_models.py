"""The model registry through the real client."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hopsworks_common.client.exceptions import ModelRegistryException, RestAPIError
from runtime_tools import call, quick_client, save_model, write_job

from deepcube.embedded import Running

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with quick_client():
        yield


@pytest.fixture
def registry(project: Any) -> Any:
    return project.get_model_registry()


@pytest.fixture
def name() -> str:
    return f"m{uuid.uuid4().hex}"


@pytest.mark.parametrize("framework", ["python", "sklearn", "tensorflow", "torch", "llm"])
def test_models_of_every_framework(registry: Any, tmp_path: Path, name: str, framework: str) -> None:
    (tmp_path / "files" / "below").mkdir(parents=True)
    (tmp_path / "files" / "model.bin").write_bytes(b"\0\1" * 1000)
    (tmp_path / "files" / "below" / "vocabulary.txt").write_text("a b")
    model = getattr(registry, framework).create_model(name, description="first", metrics={"rmse": 0.5})
    model.save(str(tmp_path / "files"), keep_original_files=True)
    read = registry.get_model(name, 1)
    assert type(read) is type(model)
    assert (read.version, read.description, read.training_metrics) == (1, "first", {"rmse": 0.5})
    assert read.framework == framework.upper()
    folder = Path(read.download(str(tmp_path / "back")))
    assert (folder / "model.bin").read_bytes() == b"\0\1" * 1000
    assert (folder / "below" / "vocabulary.txt").read_text() == "a b"


def test_versions_count_up_and_are_compared(project: Any, registry: Any, tmp_path: Path, name: str) -> None:
    for rmse in (0.3, 0.1, 0.2):
        save_model(project, tmp_path, name, rmse=rmse, r2=1 - rmse)
    assert [model.version for model in registry.get_models(name)] == [1, 2, 3]
    assert registry.get_best_model(name, "rmse", "min").version == 2
    assert registry.get_best_model(name, "rmse", "max").version == 1
    assert registry.get_best_model(name, "r2", "max").version == 2


def test_a_missing_metric_never_wins(project: Any, registry: Any, tmp_path: Path, name: str) -> None:
    save_model(project, tmp_path, name, other=1.0)
    save_model(project, tmp_path, name, rmse=0.7)
    save_model(project, tmp_path, name, rmse=math.nan)
    assert registry.get_best_model(name, "rmse", "min").version == 2
    assert registry.get_best_model(name, "rmse", "max").version == 2
    assert registry.get_best_model(name, "absent", "max") is None
    assert registry.get_best_model("absent", "rmse", "max") is None


def test_of_equal_models_the_newer_is_the_best(project: Any, registry: Any, tmp_path: Path, name: str) -> None:
    for _ in range(3):
        save_model(project, tmp_path, name, rmse=0.5)
    assert registry.get_best_model(name, "rmse", "min").version == 3


def test_schema_and_input_example_are_kept(registry: Any, tmp_path: Path, name: str) -> None:
    import pandas as pd
    from hsml.model_schema import ModelSchema
    from hsml.schema import Schema

    (tmp_path / "m").write_text("m")
    frame = pd.DataFrame({"ndvi": [0.1, 0.2], "season": [1.0, 2.0]})
    schema = ModelSchema(Schema(frame), Schema(pd.DataFrame({"next": [0.1]})))
    model = registry.python.create_model(name, model_schema=schema, input_example=frame)
    model.save(str(tmp_path / "m"))
    read = registry.get_model(name, 1)
    columns = read.model_schema["input_schema"]["columnar_schema"]
    assert [column["name"] for column in columns] == ["ndvi", "season"]
    assert read.input_example == {"ndvi": 0.1, "season": 1.0} or list(read.input_example)


def test_a_removed_model_is_gone_with_its_files(project: Any, registry: Any, tmp_path: Path, name: str) -> None:
    model = save_model(project, tmp_path, name, factor=1.0)
    first_id = model.id
    model.delete()
    assert registry.get_model(name, 1) is None
    assert not project.get_dataset_api().exists(f"Models/{name}/1")
    again = save_model(project, tmp_path, name, factor=2.0)
    assert again.version == 1
    assert again.id != first_id
    assert Path(again.download(), "factor.json").read_text() == "2.0"
    with pytest.raises(RestAPIError) as caught:
        model.delete()
    assert caught.value.error_code == 360000
    assert registry.get_model(name, 1) is not None


def test_a_version_is_registered_once(project: Any, registry: Any, tmp_path: Path, name: str) -> None:
    save_model(project, tmp_path, name)
    again = registry.python.create_model(name, version=1)
    with pytest.raises(ModelRegistryException, match="already exists"):
        again.save(str(tmp_path / "factor.json"))


def test_the_framework_can_be_changed_later(
    project: Any, registry: Any, embedded: Running, name: str, tmp_path: Path
) -> None:
    model = save_model(project, tmp_path, name)
    path = f"/project/1/modelregistries/1/models/{model.id}"
    assert call(embedded, "PATCH", path, {"framework": "SKLEARN"})[0] == 200
    assert registry.get_model(name, 1).framework == "SKLEARN"
    assert call(embedded, "PATCH", path, {"framework": "COBOL"})[0] == 400
    assert call(embedded, "PATCH", path, {"metrics": {"rmse": 0}})[0] == 400


@pytest.mark.parametrize("key", ["a", "a_", "_1", "a_0", "a_x", "../x_1", "a-b_1", "a_1_"])
def test_a_key_that_names_no_version_is_refused(embedded: Running, key: str) -> None:
    assert call(embedded, "GET", f"/project/1/modelregistries/1/models/{key}")[0] in (400, 404, 501)
    status, _ = call(embedded, "PUT", f"/project/1/modelregistries/1/models/{key}", {"framework": "PYTHON"})
    assert status in (400, 404, 501)


def test_a_model_needs_its_files(embedded: Running, name: str) -> None:
    status, answer = call(embedded, "PUT", f"/project/1/modelregistries/1/models/{name}_1", {"framework": "PYTHON"})
    assert status == 404
    assert "upload" in answer["errorMsg"]


def test_another_projects_registry_is_not_open(embedded: Running) -> None:
    assert call(embedded, "GET", "/project/1/modelregistries/999/models")[0] in (400, 403, 404)


def test_two_that_save_at_once_do_not_remove_each_others_files(
    embedded: Running, project: Any, registry: Any, tmp_path: Path, name: str
) -> None:
    """The client removes the folder of a version that it could not make; here it is another client's."""
    files = project.get_dataset_api()
    files.mkdir(f"Models/{name}")
    files.mkdir(f"Models/{name}/1")
    (tmp_path / "winner").write_text("winner")
    files.upload(str(tmp_path / "winner"), f"Models/{name}/1")
    assert call(embedded, "POST", f"/project/1/dataset/Models/{name}/1?action=create")[0] == 400
    assert call(embedded, "DELETE", f"/project/1/dataset/Models/{name}/1")[0] == 204
    assert files.exists(f"Models/{name}/1/winner")
    assert call(embedded, "DELETE", f"/project/1/dataset/Models/{name}/1")[0] == 204
    assert not files.exists(f"Models/{name}/1")


def test_many_processes_save_versions_of_one_model(embedded: Running, project: Any, registry: Any, name: str) -> None:
    source = f"""
import pathlib, sys, hopsworks
registry = hopsworks.login().get_model_registry()
pathlib.Path("who.txt").write_text(sys.argv[1])
for attempt in range(20):
    try:
        model = registry.python.create_model("{name}", metrics={{"who": float(sys.argv[1])}})
        model.save("who.txt", keep_original_files=True)
        break
    except Exception as error:
        print(error)
else:
    sys.exit("no version was free")
"""
    import tempfile
    from concurrent.futures import ThreadPoolExecutor

    with tempfile.TemporaryDirectory() as folder:
        job = write_job(project, Path(folder), f"saver_{name}", source)
        with ThreadPoolExecutor(4) as pool:
            executions = list(pool.map(lambda i: job.run(args=str(i)), range(4)))
        assert all(execution.success for execution in executions)
        models = registry.get_models(name)
        assert len(models) == 4
        assert len({model.version for model in models}) == 4
        for model in models:
            target = Path(folder) / str(model.version)
            kept = Path(model.download(str(target)), "who.txt").read_text()
            assert float(kept) == model.training_metrics["who"]
