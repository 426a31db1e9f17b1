"""Tags, keywords, search and provenance through the real client."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

pytestmark = pytest.mark.e2e

PREDICTOR = """
class Predict:
    def predict(self, inputs):
        return inputs
"""


@pytest.fixture(scope="module")
def store(project: Any) -> Any:
    return project.get_feature_store()


def make_group(store: Any, name: str, **options: Any) -> Any:
    group = store.create_feature_group(name, version=1, primary_key=["cell"], time_travel_format="DELTA", **options)
    group.insert(pd.DataFrame({"cell": [1, 2, 3], f"{name}_value": [0.1, 0.2, 0.3]}))
    return group


@pytest.fixture(scope="module")
def lineage(project: Any, store: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A chain from a source to a deployment, with a second feature group beside it."""
    folder: Path = tmp_path_factory.mktemp("lineage")
    raw = make_group(store, "raw", description="surface reflectance of a cube")
    raw.add_tag("source", {"name": "sentinel2.nc", "version": 3})
    clean = make_group(store, "clean", parents=[raw])
    extra = make_group(store, "extra")
    query = clean.select_all().join(extra.select(["extra_value"]), on=["cell"])
    view = store.create_feature_view("lineage_view", version=1, query=query, description="NDVI beside the weather")
    view.training_data()
    (folder / "model.txt").write_text("weights")
    model = project.get_model_registry().python.create_model(
        "lineage_model",
        metrics={"rmse": 0.5},
        feature_view=view,
        training_dataset_version=1,
        description="drought",
        tags={"name": "stage", "value": "test"},
    )
    model.save(str(folder / "model.txt"))
    (folder / "predictor.py").write_text(PREDICTOR)
    script = project.get_dataset_api().upload(str(folder / "predictor.py"), "Resources", overwrite=True)
    deployment = model.deploy(name="lineagedeployment", script_file=script, tags={"name": "team", "value": "a"})
    return {"raw": raw, "clean": clean, "extra": extra, "view": view, "model": model, "deployment": deployment}


def names(links: Any) -> list[str]:
    return sorted(artifact.name for artifact in links.accessible) if links is not None else []


VALUES: list[Any] = ["text", "5", 5, 1.5, True, ["a", 1], {"camelCase": {"snake_case": [1, None]}}, "{not json", ""]


@pytest.mark.parametrize("kind", ["raw", "view", "model", "deployment"])
def test_any_json_value_can_be_a_tag(lineage: dict[str, Any], kind: str) -> None:
    artifact = lineage[kind]
    add = getattr(artifact, "set_tag", None) or artifact.add_tag
    before = artifact.get_tags()
    for number, value in enumerate(VALUES):
        add(f"tag{number}", value)
    assert artifact.get_tags() == {**before, **{f"tag{number}": value for number, value in enumerate(VALUES)}}
    add("tag0", "another")
    assert artifact.get_tag("tag0") == "another"
    assert artifact.get_tag("absent") is None
    for number in range(len(VALUES)):
        artifact.delete_tag(f"tag{number}")
    assert artifact.get_tags() == before


def test_tags_at_creation_and_when_they_were_attached(store: Any) -> None:
    tags = [{"name": "owner", "value": "me"}, {"name": "digits", "value": "5"}, {"name": "object", "value": {"a": 1}}]
    group = make_group(store, "tagged", tags=tags)
    assert group.get_tags() == {"owner": "me", "digits": "5", "object": {"a": 1}}
    attached = group.get_tags_metadata()["owner"].created_on
    assert abs(dt.datetime.now(dt.UTC) - attached) < dt.timedelta(minutes=5)
    assert store.get_feature_group("tagged", 1).get_tag("owner") == "me"
    view = store.create_feature_view("tagged", version=1, query=group.select_all(), tags=tags)
    assert view.get_tags() == {"owner": "me", "digits": "5", "object": {"a": 1}}
    view.training_data(tags={"name": "split", "value": "none"})
    assert view.get_training_dataset_tags(1) == {"split": "none"}


def test_tags_of_models_deployments_and_jobs_at_creation(project: Any, lineage: dict[str, Any]) -> None:
    assert lineage["model"].get_tags() == {"stage": "test"}
    assert lineage["deployment"].get_tags() == {"team": "a"}
    jobs = project.get_job_api()
    job = jobs.create_job("tagged_job", {**jobs.get_configuration("PYTHON"), "appPath": "Resources/predictor.py"})
    job.add_tag("cost", {"cents": 5})
    assert job.get_tags() == {"cost": {"cents": 5}} and job.get_tag("cost") == {"cents": 5}
    job.delete_tag("cost")
    assert job.get_tags() == {}


def test_tags_of_training_datasets_and_files(project: Any, lineage: dict[str, Any]) -> None:
    view, files = lineage["view"], project.get_dataset_api()
    view.add_training_dataset_tag(1, "split", "time")
    assert view.get_training_dataset_tags(1) == {"split": "time"}
    assert view.get_training_dataset_tag(1, "split") == "time"
    view.delete_training_dataset_tag(1, "split")
    assert view.get_training_dataset_tags(1) == {}
    files.add("Resources/predictor.py", "reviewed", {"by": "me"})
    assert files.get_tags("Resources/predictor.py") == {"reviewed": {"by": "me"}}
    assert files.get_tags("Resources/predictor.py", "reviewed") == {"reviewed": {"by": "me"}}
    files.delete("Resources/predictor.py", "reviewed")
    assert files.get_tags("Resources/predictor.py") == {}


def test_a_schema_is_enforced(store: Any) -> None:
    from hopsworks.client.exceptions import RestAPIError
    from hopsworks.core.tag_schemas_api import TagSchemasApi

    schemas = TagSchemasApi()
    schemas.create("quality", {"type": "object", "properties": {"grade": {"enum": ["A", "B"]}}, "required": ["grade"]})
    assert [item["name"] for item in schemas.list()["items"]] == ["quality"]
    group = make_group(store, "graded")
    group.add_tag("quality", {"grade": "A"})
    with pytest.raises(RestAPIError, match="does not satisfy"):
        group.add_tag("quality", {"grade": "C"})
    assert group.get_tag("quality") == {"grade": "A"}
    with pytest.raises(RestAPIError, match="JSON Schema"):
        schemas.create("broken", {"type": "nonsense"})
    schemas.create("remote", {"$ref": "https://example.org/schema.json"})
    with pytest.raises(RestAPIError, match="cannot be applied"):
        group.add_tag("remote", 1)
    for name in ("quality", "remote"):
        schemas.delete(name)
    group.add_tag("quality", {"grade": "C"})


def test_keywords(lineage: dict[str, Any]) -> None:
    for artifact in (lineage["raw"], lineage["view"]):
        assert artifact.set_keywords(["b", "a"]) == ["a", "b"]
        assert artifact.add_keywords("c") == ["a", "b", "c"]
        assert artifact.delete_keyword("b") == ["a", "c"]
        assert artifact.get_keywords() == ["a", "c"]
        assert all(isinstance(moment, dt.datetime) for moment in artifact.get_keywords_metadata().values())
    view = lineage["view"]
    assert view.set_training_dataset_keywords(1, ["x"]) == ["x"]
    assert view.get_training_dataset_keywords(1) == ["x"]


def test_search_finds_by_name_description_feature_tag_and_keyword(project: Any, lineage: dict[str, Any]) -> None:
    api = project.get_search_api()
    lineage["extra"].set_keywords(["weather"])
    lineage["extra"].add_tag("owner", {"team": "Climate"})
    assert api.feature_groups("raw")[0].name == "raw"
    assert [hit.name for hit in api.feature_groups("REFLECTANCE cube")] == ["raw"]
    assert [hit.name for hit in api.feature_groups("extra_value")] == ["extra"]
    assert [hit.name for hit in api.feature_groups("weather")] == ["extra"]
    assert [hit.name for hit in api.feature_groups(keyword_filter="weather")] == ["extra"]
    wanted = {"name": "owner", "key": "team", "value": "climate"}
    assert [hit.name for hit in api.feature_groups(tag_filter=wanted)] == ["extra"]
    assert api.feature_groups(tag_filter={**wanted, "value": "other"}) == []
    assert [hit.name for hit in api.feature_views("weather")] == ["lineage_view"]
    assert [hit.name for hit in api.features("raw_val")] == ["raw_value"]
    everything = api.feature_store("lineage")
    assert [hit.name for hit in everything.models] == ["lineage_model"]
    assert [hit.name for hit in everything.deployments] == ["lineagedeployment"]
    assert api.feature_groups("no such thing") == []
    assert api.feature_groups("raw", global_search=True)[0].name == "raw"


def test_search_pages_highlights_and_gives_the_artifact(project: Any, lineage: dict[str, Any]) -> None:
    api = project.get_search_api()
    hit = api.feature_groups("reflect")[0]
    assert hit.highlights.description == "surface <em>reflect</em>ance of a cube"
    assert (hit.project.name, hit.version) == (project.name, 1)
    assert hit.get().id == lineage["raw"].id
    page = api.feature_store("value", limit=1, offset=1)
    assert len(page.features) == 1 and page.features_total > 2 and page.features_offset == 1


def test_lineage_upwards(lineage: dict[str, Any]) -> None:
    assert names(lineage["clean"].get_parent_feature_groups()) == ["raw"]
    assert lineage["raw"].get_parent_feature_groups() is None
    assert names(lineage["view"].get_parent_feature_groups()) == ["clean", "extra"]
    model = lineage["model"]
    assert names(model.get_feature_view_provenance()) == ["lineage_view"]
    assert [d.version for d in model.get_training_dataset_provenance().accessible] == [1]
    assert model.get_feature_view(init=False).name == "lineage_view"


def test_lineage_downwards(lineage: dict[str, Any]) -> None:
    assert names(lineage["raw"].get_generated_feature_groups()) == ["clean"]
    assert names(lineage["raw"].get_generated_feature_views()) == []
    assert names(lineage["clean"].get_generated_feature_views()) == ["lineage_view"]
    view = lineage["view"]
    assert [model.name for model in view.get_models()] == ["lineage_model"]
    assert [model.name for model in view.get_models(training_dataset_version=1)] == ["lineage_model"]
    assert view.get_models(training_dataset_version=2) == []
    assert view.get_newest_model().version == 1


def test_lineage_from_the_source_to_the_deployment(project: Any, lineage: dict[str, Any]) -> None:
    from hopsworks_common import client

    instance = client._get_instance()
    path = [
        "project",
        project.id,
        "featurestores",
        project.id,
        "featuregroups",
        lineage["raw"].id,
        "provenance",
        "links",
    ]
    link = instance._send_request("GET", path)
    assert link["upstream"][0]["node"]["artifact"]["name"] == "sentinel2.nc"
    kinds = []
    while True:
        kinds.append(link["node"]["artifactType"])
        if not link["downstream"]:
            break
        link = link["downstream"][0]
    assert kinds == ["FEATURE_GROUP", "FEATURE_GROUP", "FEATURE_VIEW", "TRAINING_DATASET", "MODEL", "DEPLOYMENT"]
    back = instance._send_request(
        "GET", ["project", project.id, "serving", lineage["deployment"].id, "provenance", "links"]
    )
    kinds = []
    while back["upstream"]:
        back = back["upstream"][0]
        kinds.append(back["node"]["artifactType"])
    assert kinds == ["MODEL", "TRAINING_DATASET", "FEATURE_VIEW", "FEATURE_GROUP", "FEATURE_GROUP", "SOURCE"]


def test_lineage_names_what_was_deleted(store: Any) -> None:
    parent = make_group(store, "doomed_parent")
    child = make_group(store, "orphan", parents=[parent])
    parent.delete()
    found = child.get_parent_feature_groups()
    assert found.accessible == [] and [(a.name, a.version) for a in found.deleted] == [("doomed_parent", 1)]
    keeper = make_group(store, "keeper")
    view = store.create_feature_view("doomed_view", version=1, query=keeper.select_all())
    view.delete()
    gone = keeper.get_generated_feature_views()
    assert gone.accessible == [] and [a.name for a in gone.deleted] == ["doomed_view"]


def test_a_view_that_a_model_uses_is_not_deleted_by_accident(store: Any, lineage: dict[str, Any]) -> None:
    from hopsworks.client.exceptions import RestAPIError

    with pytest.raises(RestAPIError, match="lineage_model"):
        lineage["view"].delete()
    assert store.get_feature_view("lineage_view", 1) is not None
