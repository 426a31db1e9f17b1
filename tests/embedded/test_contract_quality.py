"""What docs/embedded/quality.md promises, call by call, through the unmodified client alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hopsworks
import pytest
from contract_tools import all_refused, frame, group_of, refused
from hopsworks_common.client.exceptions import RestAPIError

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def store(project: Any) -> Any:
    return project.get_feature_store()


@pytest.fixture(scope="module")
def group(store: Any) -> Any:
    return group_of(store, "weather")


@pytest.fixture(scope="module")
def view(store: Any, group: Any) -> Any:
    made = store.create_feature_view("weather", version=1, query=group.select_all(), labels=["wet"])
    made.training_data(description="of the drought")
    return made


def at_least(minimum: float) -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    kwargs = {"column": "rain", "min_value": minimum, "max_value": 100.0}
    return ExpectationConfiguration(type="expect_column_values_to_be_between", kwargs=kwargs)


def test_a_report_made_elsewhere_is_kept(store: Any) -> None:
    gx = pytest.importorskip("great_expectations")
    made = group_of(store, "validated")
    made.save_expectation_suite(gx.core.ExpectationSuite(name="plausible", expectations=[at_least(1.0)]))
    report = made.validate(frame(), save_report=False)
    assert report.success is False
    assert made.get_all_validation_reports() == []
    made.save_validation_report(report, ingestion_result="EXPERIMENT")
    kept = made.get_latest_validation_report(ge_type=False)
    assert (kept.success, kept.ingestion_result) == (False, "EXPERIMENT")
    made.delete_expectation_suite()
    assert made.get_expectation_suite() is None


def test_expectations_are_replaced_and_removed(store: Any) -> None:
    gx = pytest.importorskip("great_expectations")
    made = group_of(store, "expecting")
    made.save_expectation_suite(gx.core.ExpectationSuite(name="plausible", expectations=[at_least(1.0)]))
    suite = made.get_expectation_suite(ge_type=False)
    (first,) = suite.expectations
    stricter = at_least(2.0)
    stricter.meta = {"expectationId": first.id}
    suite.replace_expectation(stricter)
    (kept,) = made.get_expectation_suite(ge_type=False).expectations
    assert (kept.id, kept.kwargs["min_value"]) == (first.id, 2.0)
    assert suite.get_expectation(first.id, ge_type=False).kwargs["min_value"] == 2.0
    suite.remove_expectation(first.id)
    assert made.get_expectation_suite(ge_type=False).expectations == []


def test_lineage_of_a_view(project: Any, view: Any, tmp_path: Path) -> None:
    assert view.get_models_provenance() is None or not view.get_models_provenance().accessible
    model = project.get_model_registry().python.create_model("rainy", feature_view=view, training_dataset_version=1)
    (tmp_path / "weights.txt").write_text("x")
    model.save(str(tmp_path / "weights.txt"))
    links = view.get_models_provenance(training_dataset_version=1)
    assert [(found.name, found.version) for found in links.accessible] == [("rainy", 1)]


def test_no_data_source_is_named_as_such(group: Any) -> None:
    assert group.get_data_source_provenance() is None
    assert group.get_data_source() is None
    assert group.get_storage_connector_provenance() is None
    assert group.get_storage_connector() is None


def test_datasets_are_found_by_their_words(project: Any, view: Any) -> None:
    found = project.get_search_api().training_datasets("drought")
    assert [(dataset.name, dataset.version) for dataset in found] == [("weather", 1)]
    assert project.get_search_api().training_datasets("flood") == []


def test_tags_with_what_is_known_of_them(group: Any, view: Any) -> None:
    for one in (group, view):
        one.add_tag("use", {"by": "tests"})
        assert one.get_tag_metadata("use").value == {"by": "tests"}
        assert one.get_tag_metadata("absent") is None


def test_the_features_that_monitoring_watches(group: Any) -> None:
    config = group.create_scheduled_statistics(name="watch", feature_names=["rain", "wet"])
    assert sorted(config.get_feature_names()) == ["rain", "wet"]


def test_grants_to_single_users_are_refused(group: Any) -> None:
    all_refused(
        {
            "FeatureGroup.grant_restricted_access": lambda: group.grant_restricted_access(["someone@example.org"]),
            "get_restricted_access": group.get_restricted_access,
            "revoke_restricted_access": lambda: group.revoke_restricted_access(["someone@example.org"]),
        },
        "share the feature group",
    )


def test_users_are_listed_and_stay_active(project: Any) -> None:
    api = hopsworks.get_users_api()
    made = api.register_user("contract@example.org", "Con", "Tract")
    assert "contract@example.org" in [user.email for user in api.get_users()]
    assert api.get_user(made.id).first_name == "Con"
    assert api.get_user(987654) is None
    all_refused(
        {
            "UsersApi.update_user": lambda: api.update_user(made.id, 3),
            "UsersApi.activate_user": lambda: api.activate_user(made.id),
            "UsersApi.reject_user": lambda: api.reject_user(made.id),
            "UsersApi.resend_confirmation_email": lambda: api.resend_confirmation_email(made.id),
        },
        "active from the start",
    )
    api.delete_user(made.id)
    assert api.get_user(made.id) is None


def test_members_by_their_api(project: Any) -> None:
    users, members = hopsworks.get_users_api(), project.get_members_api()
    for name in ("one", "two"):
        users.register_user(f"{name}@example.org", name, "Member")
    members.add_members({"one@example.org": "Observer", "two@example.org": "Data scientist"})
    roles = {member.email: member.role for member in members.get_members()}
    assert (roles["one@example.org"], roles["two@example.org"]) == ("Observer", "Data scientist")
    members.update_role("one@example.org", "Data owner")
    (member,) = [member for member in members.get_members() if member.email == "one@example.org"]
    assert member.role == "Data owner"
    member.remove()
    members.remove_member("two@example.org")
    assert not {"one@example.org", "two@example.org"} & {member.email for member in members.get_members()}
    with refused("Feature store restricted", "share feature groups"):
        members.add_member("one@example.org", "Feature store restricted")


def test_a_member_that_is_no_user_is_told(project: Any) -> None:
    with pytest.raises(RestAPIError, match=r"nobody@example\.org"):
        project.get_members_api().add_member("nobody@example.org", "Observer")
