"""What docs/embedded/runtime.md promises, call by call, through the unmodified client alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hopsworks
import pandas as pd
import pytest
from contract_tools import all_refused, frame, group_of, refused
from hopsworks_common.client.exceptions import ModelServingException
from hopsworks_common.core.job_configuration import JobConfiguration
from runtime_tools import PREDICTOR, deploy, quick_client, save_model, write_job

pytestmark = pytest.mark.e2e

TRANSFORMER = """
class Transformer:
    def preprocess(self, inputs):
        return {"instances": [[value + 1 for value in row] for row in inputs["instances"]]}
    def postprocess(self, outputs):
        return outputs
"""


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with quick_client():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contract")


@pytest.fixture(scope="module")
def files(project: Any) -> Any:
    return project.get_dataset_api()


@pytest.fixture(scope="module")
def model(project: Any, folder: Path) -> Any:
    with quick_client():
        return save_model(project, folder, "double")


@pytest.fixture(scope="module")
def uploaded(files: Any, folder: Path) -> dict[str, str]:
    """Paths of a predictor and a transformer script in the project."""
    paths = {}
    for name, source in {"predictor": PREDICTOR, "transformer": TRANSFORMER}.items():
        (folder / f"{name}.py").write_text(source)
        paths[name] = files.upload(str(folder / f"{name}.py"), "Resources", overwrite=True)
    return paths


@pytest.fixture(scope="module")
def deployment(project: Any, model: Any, uploaded: dict[str, str]) -> Iterator[Any]:
    """A deployment made of its parts, running."""
    serving = project.get_model_serving()
    with quick_client():
        predictor = serving.create_predictor(model, name="parts", script_file=uploaded["predictor"])
        predictor.transformer = serving.create_transformer(script_file=uploaded["transformer"])
        made = serving.create_deployment(predictor)
        made.save()
        made.start()
        yield made
        made.delete(force=True)


@pytest.fixture(scope="module")
def job(project: Any, folder: Path) -> Any:
    return write_job(project, folder, "greeting", "print('hello')")


@pytest.fixture(scope="module")
def execution(job: Any) -> Any:
    with quick_client():
        return job.run(await_termination=True)


def test_the_clients_upload_of_a_feature_group_fails_in_the_client(project: Any, files: Any) -> None:
    group = group_of(project.get_feature_store(), "uploaded")
    with pytest.raises(TypeError, match="can only concatenate str"):
        files.upload_feature_group(group, "Resources", frame())


def test_files_by_their_older_names(files: Any, folder: Path) -> None:
    (folder / "note.txt").write_text("x")
    path = files.upload(str(folder / "note.txt"), "Resources", overwrite=True)
    assert files.path_exists(path)
    files.rm(path)
    assert not files.path_exists(path)


def test_a_downloaded_model_leaves_the_cache(model: Any) -> None:
    place = Path(model.download())
    assert (place / "factor.json").read_text() == "2.0"
    model.clear_cache()
    assert not (place / "factor.json").exists()
    assert (Path(model.download()) / "factor.json").read_text() == "2.0"


def test_models_of_the_hub_are_refused(project: Any) -> None:
    with refused("ModelRegistry.hf_download", "huggingface_hub"):
        project.get_model_registry().hf_download("owner/model")


def test_a_model_knows_its_page_and_its_monitoring(embedded: Any, model: Any) -> None:
    assert model.get_url() == f"{embedded.url}/p/1/models/double/1"
    assert model.get_monitoring_configs() == []


def test_a_deployment_of_parts(project: Any, deployment: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert deployment.predict(inputs=[[1], [2]]) == {"predictions": [4.0, 6.0]}
    deployment.init_predict()
    assert deployment.predict(inputs=[[0]]) == {"predictions": [2.0]}
    assert deployment.is_created()
    assert not deployment.is_stopped()
    assert (deployment.get_model().name, deployment.get_model().version) == ("double", 1)
    assert deployment.get_feature_view() is None
    serving = project.get_model_serving()
    assert serving.get_deployment_by_id(deployment.id).name == "parts"
    assert serving.get_deployment_by_id(99999) is None
    capsys.readouterr()
    deployment.get_logs()
    assert "loading parts" in capsys.readouterr().out
    deployment.get_logs(component="transformer")
    assert "transformer of parts is ready" in capsys.readouterr().out
    deployment.describe()
    assert '"model_name": "double"' in capsys.readouterr().out


def test_where_a_deployment_is_reached(embedded: Any, project: Any, deployment: Any) -> None:
    path = f"{embedded.url}/hopsworks-api/api/project/1/inference/models/parts:predict"
    assert deployment.get_inference_url() == deployment.predictor.get_inference_url() == path
    assert deployment.get_url() == f"{embedded.url}/p/1/deployments/{deployment.id}"
    for one in (deployment, deployment.predictor):
        assert one.get_endpoint_url() is None
        assert one.get_openai_url() is None
    assert project.get_model_serving().get_inference_endpoints() == []


def test_monitoring_of_a_model_without_a_view_is_refused_by_the_client(deployment: Any, model: Any) -> None:
    with pytest.raises(ModelServingException, match="use create_model_monitoring"):
        deployment.create_feature_monitoring("drift")
    with pytest.raises(ModelServingException, match="no parent feature view"):
        deployment.create_model_monitoring("drift")
    assert deployment.get_monitoring_configs() == model.get_monitoring_configs() == []


def test_the_files_of_a_deployment(deployment: Any, folder: Path) -> None:
    place = Path(deployment.download_artifact_files(str(folder / "artifact")))
    assert {file.name for file in place.rglob("*.py")} == {"predictor.py", "transformer.py"}


def test_the_schema_of_a_deployment_with_a_view(project: Any, folder: Path) -> None:
    store = project.get_feature_store()
    group = group_of(store, "served", online_enabled=True)
    view = store.create_feature_view("served", version=1, query=group.select(["cell", "rain", "wet"]), labels=["wet"])
    view.training_data()
    model = project.get_model_registry().python.create_model("served", feature_view=view, training_dataset_version=1)
    (folder / "served.txt").write_text("x")
    model.save(str(folder / "served.txt"), keep_original_files=True)
    made = deploy(project, folder, model, "served", default_predictor=False)
    with pytest.raises(ModelServingException, match="no schema to re-infer"):
        made.reinfer_schema()
    with pytest.raises(ModelServingException, match="no feature view with logging"):
        made.commit_feature_logs()
    made.delete(force=True)
    serving = project.get_model_serving()
    vectors = serving.create_deployment(serving.create_feature_view_predictor(view, training_dataset_version=1))
    vectors.save()
    vectors.schema = {"serving_keys": [{"name": "other", "type": "string"}]}
    vectors.reinfer_schema()
    found = project.get_model_serving().get_deployment(vectors.name)
    assert [key.name for key in found.schema.serving_keys] == ["cell"]
    vectors.delete(force=True)


def test_servers_and_agents_are_refused(project: Any, uploaded: dict[str, str], folder: Path) -> None:
    serving = project.get_model_serving()
    with refused("ModelServing.get_vllm_image_tags", "predictor script"):
        serving.get_vllm_image_tags()
    endpoint = serving.create_endpoint("web", uploaded["transformer"])
    made = endpoint.deploy()
    with pytest.raises(ModelServingException, match="class Predict"):
        made.start()
    made.delete(force=True)
    with refused("ModelServing.deploy_agent", "class Predict"):
        serving.deploy_agent(str(folder / "predictor.py"), name="agent")


def test_jobs_by_their_older_names(project: Any, job: Any, execution: Any) -> None:
    api = project.get_job_api()
    assert api.get("greeting").id == job.id
    api.launch("greeting")
    api.last_execution(job)
    with refused("a job of type SPARK", "PYSPARK"):
        api.create("older", JobConfiguration())
    schedule = api.create_or_update_schedule_job(
        "greeting", {"cronExpression": "0 0 3 * * ? *", "startDateTime": 1700000000000}
    )
    assert schedule.cron_expression == "0 0 3 * * ? *"
    assert api.get_job("greeting").job_schedule.id == schedule.id
    api.delete_schedule_job("greeting")
    assert api.get_job("greeting").job_schedule is None


def test_marks_and_addresses_of_a_job(embedded: Any, job: Any, execution: Any) -> None:
    job.add_tag("team", "one")
    assert job.get_tag_metadata("team").value == "one"
    assert execution.success is True
    assert job.get_url().startswith(embedded.url)
    assert execution.get_url().startswith(embedded.url)


def test_what_apps_and_ingestion_have_is_refused(project: Any, execution: Any) -> None:
    assert execution.app_url is None
    with refused("Execution.stop_table", "ingestion"):
        execution.stop_table(0)
    apps, git = project.get_app_api(), project.get_git_api()
    all_refused({"get_apps": apps.get_apps, "get_app": lambda: apps.get_app("x")}, "beside the server")
    with refused("PYTHON_APP", "with its own command"):
        apps.create_app("x", app_path="Resources/x.py")
    all_refused(
        {
            "GitApi.clone": lambda: git.clone("https://x/y.git", "Resources", provider="GitHub"),
            "get_repos": git.get_repos,
            "get_repo": lambda: git.get_repo("x"),
            "get_providers": git.get_providers,
            "get_provider": lambda: git.get_provider("GitHub"),
            "GitApi.set_provider": lambda: git.set_provider("GitHub", "someone", "token"),
        },
        "DatasetApi.upload",
    )


def test_alerts_by_the_thing_they_watch(project: Any, job: Any) -> None:
    store, api = project.get_feature_store(), project.get_alerts_api()
    receiver = api.create_alert_receiver("all", email_configs=[{"to": "all@example.org"}])
    assert api.get_alert_receiver(receiver.name).name == receiver.name
    assert receiver.name in [known.name for known in api.get_alert_receivers()]
    of_job = api.create_job_alert(job.name, "all", "failed", "warning")
    assert api.get_job_alert(job.name, of_job.id).status == "FAILED"
    assert [known.id for known in api.get_job_alerts(job.name)] == [of_job.id]
    group = group_of(store, "watched")
    store.create_feature_view("watched", version=1, query=group.select_all())
    of_group = api.create_feature_group_alert(store.id, group.id, "all", "feature_validation_failure", "critical")
    assert api.get_feature_group_alert(store.id, group.id, of_group.id).severity == "CRITICAL"
    assert [known.id for known in api.get_feature_group_alerts(store.id, group.id)] == [of_group.id]
    of_view = api.create_feature_view_alert(store.id, "watched", 1, "all", "monitoring_shift_detected", "info")
    assert api.get_feature_view_alert(store.id, "watched", 1, of_view.id).status == "MONITORING_SHIFT_DETECTED"
    assert [known.id for known in api.get_feature_view_alerts(store.id, "watched", 1)] == [of_view.id]
    general = project.create_job_alert("all", "job_failed", "info")
    stores = project.create_featurestore_alert("all", "feature_validation_failure", "info")
    assert {known.id for known in project.get_alerts()} == {general.id, stores.id}
    assert project.get_alert(stores.id).service == "FEATURESTORE"


def test_variables_and_secrets_of_a_user(project: Any) -> None:
    variables, secrets = hopsworks.get_env_vars_api(), hopsworks.get_secrets_api()
    made = variables.create_env_var("CONTRACT_A", "one")
    variables.set_env_var("CONTRACT_B", "two")
    assert variables.get_env_var("CONTRACT_A").value == "one"
    made.delete()
    assert variables.get_env_var("CONTRACT_A") is None
    variables.delete("CONTRACT_B")
    assert variables.get_env_vars() == []
    secret = secrets.create_secret("contract", "hidden", project=project.name)
    assert (secrets.get_secret("contract").value, secrets.get_secret("contract").scope) == ("hidden", project.id)
    assert "contract" in [known.name for known in secrets.get_secrets()]
    secret.delete()
    assert secrets.get_secret("contract") is None


def test_the_doors_of_a_project(embedded: Any, project: Any) -> None:
    assert project.get_url() == f"{embedded.url}/p/1"
    assert project.get_jobs_api().get_job("greeting") is not None
    environment = project.get_environment_api().get_environment("python-feature-pipeline")
    assert environment.name == "python-feature-pipeline"
    package, manifest = "https://example.org/a.git", "Resources/package.json"
    for call in (
        lambda: environment.install_npm("left-pad"),
        lambda: environment.install_npm_from_git(package),
        lambda: environment.install_npm_from_package_json(manifest),
        lambda: environment.inspect_npm_git(package),
        lambda: environment.resolve_npm_package_json(manifest),
    ):
        with refused("npm", "install a wheel"):
            call()
    assert hopsworks.get_current_project().id == project.id
    assert isinstance(project.get_feature_store().get_feature_group("watched", 1).read(), pd.DataFrame)
