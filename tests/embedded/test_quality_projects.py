"""Projects, members, roles and sharing: through the real client, logged in as one user after the other."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytest

from deepcube.embedded import Running

pytestmark = pytest.mark.e2e


def request(embedded: Running, method: str, path: str, key: str) -> tuple[int, Any]:
    """Call the REST API with a key, without the client."""
    context = ssl.create_default_context(cafile=str(embedded.home.certificates / "ca.pem"))
    call = urllib.request.Request(f"{embedded.url}/hopsworks-api/api{path}", method=method, data=b"{}")
    call.add_header("Authorization", f"ApiKey {key}")
    call.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(call, context=context) as response:
            content = response.read()
            return response.status, json.loads(content) if content else None
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def make_project(name: str, description: str | None = None) -> Any:
    """Make a project with the client, which returns none while another one is in use, and return it."""
    import hopsworks
    from hopsworks_common.core.project_api import ProjectApi

    hopsworks.create_project(name, description=description)
    return ProjectApi()._get_project(name)


@pytest.fixture(scope="module")
def owner_key(embedded: Running) -> str:
    return embedded.home.api_key_file.read_text().strip()


@pytest.fixture(scope="module")
def users(project: Any, embedded: Running, owner_key: str) -> dict[str, str]:
    """Register a user of each role and return their keys."""
    import hopsworks

    api, keys = hopsworks.get_users_api(), {}
    for name, role in (("scientist", "Data scientist"), ("observer", "Observer"), ("second", "Data owner")):
        email = f"{name}@example.org"
        user = api.register_user(email, name.capitalize(), "Test")
        assert user.roles == ["HOPS_USER"]
        project.add_member(email, role)
        status, answer = request(embedded, "POST", f"/users/apiKey?name=test&user={email}", owner_key)
        assert status == 200
        keys[name] = answer["key"]
    return keys


@pytest.fixture(scope="module")
def group(project: Any) -> Any:
    found = project.get_feature_store().create_feature_group(
        "shared_rows", version=1, primary_key=["cell"], time_travel_format="DELTA"
    )
    found.insert(pd.DataFrame({"cell": [1, 2, 3], "ndvi": [0.1, 0.2, 0.3]}))
    return found


@contextmanager
def logged_in(project_name: str, key: str) -> Iterator[Any]:
    """Use the client as another user, or in another project; afterwards it is the owner's again.

    The client has one connection per process; what was made with one connection works with the next.
    """
    import hopsworks

    hopsworks.logout()
    try:
        yield hopsworks.login(project=project_name, api_key_value=key)
    finally:
        hopsworks.logout()
        hopsworks.login()


def refusal(function: Callable[[], object]) -> str:
    """Return the message with which a call fails."""
    with pytest.raises(Exception) as caught:
        function()
    return f"{type(caught.value).__name__}: {caught.value}"


def make_and_fill(store: Any, name: str) -> Any:
    made = store.create_feature_group(name, version=1, primary_key=["cell"], time_travel_format="DELTA")
    made.insert(pd.DataFrame({"cell": [1, 2], "rain": [5.0, 6.0]}))
    return made


def test_a_project_is_made_once(project: Any) -> None:
    import hopsworks
    from hopsworks.client.exceptions import RestAPIError

    made = make_project("made_once", "for a test")
    assert (made.name, made.description) == ("made_once", "for a test")
    with pytest.raises(RestAPIError, match="already"):
        hopsworks.create_project("Made_Once")
    for name in ("", "../up", "with space", "_under", "two__under", "a" * 63):
        with pytest.raises(RestAPIError, match="name"):
            hopsworks.create_project(name)


def test_members_are_listed_changed_and_removed(project: Any, users: dict[str, str]) -> None:
    import hopsworks
    from hopsworks.client.exceptions import RestAPIError

    hopsworks.get_users_api().register_user("guest@example.org", "Guest", "Test")
    member = project.add_member("guest@example.org", "Observer")
    assert (member.email, member.role) == ("guest@example.org", "Observer")
    member.update_role("Data scientist")
    roles = {each.email: each.role for each in project.get_members()}
    assert roles["guest@example.org"] == "Data scientist" and roles["deepcube@localhost"] == "Data owner"
    member.remove()
    assert "guest@example.org" not in [each.email for each in project.get_members()]
    with pytest.raises(RestAPIError, match="register_user"):
        project.add_member("nobody@example.org", "Observer")
    with pytest.raises(RestAPIError, match="not supported"):
        project.add_member("guest@example.org", "Feature store restricted")
    with pytest.raises(RestAPIError, match="author"):
        project.remove_member("deepcube@localhost")


def test_a_data_scientist_reads_groups_and_makes_views(project: Any, users: dict[str, str], group: Any) -> None:
    with logged_in(project.name, users["scientist"]) as mine:
        store = mine.get_feature_store()
        found = store.get_feature_group("shared_rows", 1)
        assert len(found.read()) == 3
        view = store.create_feature_view("science", version=1, query=found.select_all())
        assert len(view.get_batch_data()) == 3 and len(view.training_data()[0]) == 3
        assert "read-only" in refusal(lambda: found.insert(pd.DataFrame({"cell": [9], "ndvi": [9.0]})))
        for call in (
            lambda: found.add_tag("a", 1),
            found.delete,
            lambda: make_and_fill(store, "mine"),
            lambda: mine.add_member("second@example.org", "Observer"),
        ):
            assert "Data scientist" in refusal(call)
        assert "Data Owner" in refusal(lambda: found.share(project.id))
    assert len(group.read()) == 3


def test_an_observer_only_reads(project: Any, users: dict[str, str], group: Any) -> None:
    with logged_in(project.name, users["observer"]) as mine:
        found = mine.get_feature_store().get_feature_group("shared_rows", 1)
        assert len(found.read()) == 3
        make = lambda: mine.get_feature_store().create_feature_view("other", version=1, query=found.select_all())  # noqa: E731
        assert "Observer" in refusal(make)
        assert "Observer" in refusal(lambda: mine.get_dataset_api().mkdir("Resources/observed"))


def test_who_is_no_member_sees_nothing(
    project: Any, embedded: Running, users: dict[str, str], owner_key: str, group: Any
) -> None:
    other = make_project("closed")
    key = users["scientist"]
    assert request(embedded, "GET", f"/project/{other.id}/featurestores/{other.id}", key)[0] == 403
    assert request(embedded, "GET", "/project/getProjectInfo/closed", key)[0] == 403
    _, listed = request(embedded, "GET", "/project", key)
    assert [entry["project"]["name"] for entry in listed] == [project.name]
    assert listed[0]["teamRole"] == "Data scientist"
    # The id of a group of one project, asked for through another.
    path = f"/project/{other.id}/featurestores/{other.id}/featuregroups/{group.id}"
    assert request(embedded, "GET", path, owner_key)[0] == 404
    path = f"/project/{other.id}/featurestores/{project.id}/featuregroups/{group.id}"
    assert request(embedded, "GET", path, owner_key)[0] == 403
    assert request(embedded, "GET", "/project/999999/jobs", owner_key)[0] == 404


def test_administration_needs_an_administrator(embedded: Running, users: dict[str, str], owner_key: str) -> None:
    key = users["second"]
    assert request(embedded, "GET", "/admin/users", key)[0] == 403
    assert request(embedded, "POST", "/admin/users?email=x@example.org", key)[0] == 403
    assert request(embedded, "POST", "/users/apiKey?name=x&user=deepcube@localhost", key)[0] == 403
    assert request(embedded, "POST", "/tags?name=x", key)[0] == 403
    status, answer = request(embedded, "POST", "/users/apiKey?name=second", key)
    assert status == 200
    assert request(embedded, "GET", "/users/profile", answer["key"])[1]["email"] == "second@example.org"
    assert request(embedded, "DELETE", "/users/apiKey/second", key)[0] == 204
    assert request(embedded, "GET", "/users/profile", answer["key"])[0] == 401


def test_a_removed_user_has_no_access(embedded: Running, project: Any, owner_key: str) -> None:
    import hopsworks

    api = hopsworks.get_users_api()
    user = api.register_user("leaver@example.org", "Lea", "Ver")
    project.add_member("leaver@example.org", "Data owner")
    key = request(embedded, "POST", "/users/apiKey?name=k&user=leaver@example.org", owner_key)[1]["key"]
    assert request(embedded, "GET", f"/project/{project.id}", key)[0] == 200
    assert api.get_user_by_email("Leaver@example.org").id == user.id
    api.delete_user(user.id)
    assert request(embedded, "GET", f"/project/{project.id}", key)[0] == 401
    assert api.get_user_by_email("leaver@example.org") is None
    # A later user of the same address does not inherit membership.
    api.register_user("leaver@example.org", "Other", "Person")
    assert "leaver@example.org" not in [member.email for member in project.get_members()]


def test_a_shared_group_is_read_only_elsewhere(project: Any, owner_key: str, group: Any) -> None:
    reader = make_project("reader")
    with logged_in("reader", owner_key) as other:
        assert "no feature store" in refusal(lambda: other.get_feature_store(project.name))
        assert other.get_search_api().feature_groups("shared_rows") == []
    group.share("reader")
    shares = group.shared_with()
    assert [share["sharedWithProject"]["name"] for share in shares] == ["reader"] and shares[0]["sharedEntirely"]
    with logged_in("reader", owner_key) as other:
        theirs = other.get_feature_store(project.name).get_feature_group("shared_rows", 1)
        assert sorted(theirs.read()["ndvi"]) == [0.1, 0.2, 0.3]
        assert {f.feature_name: f.count for f in theirs.statistics.feature_descriptive_statistics} == {
            "cell": 3,
            "ndvi": 3,
        }
        assert [hit.name for hit in other.get_search_api().feature_groups("shared_rows")] == ["shared_rows"]
        store = other.get_feature_store()
        query = make_and_fill(store, "own_rows").select_all().join(theirs.select(["ndvi"]))
        view = store.create_feature_view("both", version=1, query=query)
        assert sorted(view.get_batch_data()["ndvi"]) == [0.1, 0.2]
        assert {parent.name for parent in view.get_parent_feature_groups().accessible} == {"own_rows", "shared_rows"}
        for call in (
            lambda: theirs.insert(pd.DataFrame({"cell": [9], "ndvi": [9.0]})),
            lambda: theirs.add_tag("a", 1),
            theirs.delete,
        ):
            assert "read-only" in refusal(call)
    assert len(group.read()) == 3
    group.unshare(reader.id)
    assert group.shared_with() == []
    with logged_in("reader", owner_key) as other:
        view = other.get_feature_store().get_feature_view
        assert "no feature group" in refusal(theirs.read)
        assert "no longer valid" in refusal(lambda: view("both", 1))


def test_a_whole_feature_store_is_shared(project: Any, owner_key: str, group: Any) -> None:
    make_project("library")
    store = project.get_feature_store()
    store.share("library")
    assert [share["sharedWithProject"]["name"] for share in store.shared_with()] == ["library"]
    with logged_in("library", owner_key) as other:
        theirs = other.get_feature_store(project.name)
        assert "shared_rows" in [each.name for each in theirs.get_feature_groups()]
        assert len(theirs.get_feature_group("shared_rows", 1).read()) == 3
        assert "read-only" in refusal(lambda: make_and_fill(theirs, "theirs"))
        assert "does not share" in refusal(lambda: theirs.get_feature_view("science", 1))
    store.unshare("library")
    assert store.shared_with() == []
