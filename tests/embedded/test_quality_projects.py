"""Projects, members, roles and sharing: through the real client, each user in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from typing import Any

import pandas as pd
import pytest

from deepcube.embedded import Running

pytestmark = pytest.mark.e2e


def request(embedded: Running, method: str, path: str, key: str) -> tuple[int, Any]:
    """Call the REST API with a key, without the client."""
    import ssl

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


PRELUDE = """
import json, hopsworks, pandas as pd
project = hopsworks.login()
store = project.get_feature_store()
def outcome(function):
    try:
        return ["ok", function()]
    except Exception as error:
        return [type(error).__name__, str(error)]
def say(value):
    print("ANSWER " + json.dumps(value, default=str))
"""


def in_client(embedded: Running, project: str, key: str, script: str) -> Any:
    """Run a script with the real client as another user; its last ``say`` is the answer."""
    environment = {**os.environ, **embedded.environment(), "HOPSWORKS_PROJECT": project, "HOPSWORKS_API_KEY": key}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script], env=environment, capture_output=True, text=True, timeout=300
    )
    answers = [line for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert answers, done.stderr[-2000:]
    return json.loads(answers[-1].removeprefix("ANSWER "))


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


def test_a_data_scientist_reads_groups_and_makes_views(
    project: Any, embedded: Running, users: dict[str, str], group: Any
) -> None:
    answer = in_client(
        embedded,
        project.name,
        users["scientist"],
        """
group = store.get_feature_group("shared_rows", 1)
rows = len(group.read())
view = store.get_or_create_feature_view("science", version=1, query=group.select_all())
say({
    "rows": rows,
    "view": len(view.get_batch_data()),
    "training": len(view.training_data()[0]),
    "insert": outcome(lambda: group.insert(pd.DataFrame({"cell": [9], "ndvi": [9.0]}))),
    "tag": outcome(lambda: group.add_tag("a", 1)),
    "delete": outcome(lambda: group.delete()),
    "create": outcome(lambda: store.create_feature_group(
        "mine", version=1, primary_key=["cell"], time_travel_format="DELTA").insert(pd.DataFrame({"cell": [1]}))),
    "member": outcome(lambda: project.add_member("second@example.org", "Observer")),
    "share": outcome(lambda: group.share("made_once")),
})
""",
    )
    assert (answer["rows"], answer["view"], answer["training"]) == (3, 3, 3)
    assert answer["insert"][0] != "ok" and "read-only" in answer["insert"][1]
    for call in ("tag", "delete", "create", "member"):
        assert answer[call][0] == "RestAPIError" and "Data scientist" in answer[call][1], call
    assert answer["share"][0] in ("PermissionError", "RestAPIError")
    assert len(group.read()) == 3


def test_an_observer_only_reads(project: Any, embedded: Running, users: dict[str, str], group: Any) -> None:
    answer = in_client(
        embedded,
        project.name,
        users["observer"],
        """
group = store.get_feature_group("shared_rows", 1)
say({
    "rows": len(group.read()),
    "view": outcome(lambda: store.create_feature_view("other", version=1, query=group.select_all())),
    "file": outcome(lambda: project.get_dataset_api().mkdir("Resources/observed")),
})
""",
    )
    assert answer["rows"] == 3
    assert answer["view"][0] == "RestAPIError" and "Observer" in answer["view"][1]
    assert answer["file"][0] != "ok"


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


def test_a_shared_group_is_read_only_elsewhere(
    project: Any, embedded: Running, users: dict[str, str], owner_key: str, group: Any
) -> None:
    reader = make_project("reader")
    script = f"""
def theirs():
    return project.get_feature_store("{project.name}").get_feature_group("shared_rows", 1)
def read():
    return sorted(theirs().read()["ndvi"])
def joined():
    own = store.get_or_create_feature_group("own_rows", version=1, primary_key=["cell"], time_travel_format="DELTA")
    own.insert(pd.DataFrame({{"cell": [1, 2], "rain": [5.0, 6.0]}}))
    view = store.get_or_create_feature_view("both", version=1, query=own.select_all().join(theirs().select(["ndvi"])))
    return sorted(view.get_batch_data()["ndvi"])
say({{
    "read": outcome(read),
    "joined": outcome(joined),
    "insert": outcome(lambda: theirs().insert(pd.DataFrame({{"cell": [9], "ndvi": [9.0]}}))),
    "tag": outcome(lambda: theirs().add_tag("a", 1)),
    "delete": outcome(lambda: theirs().delete()),
    "statistics": outcome(lambda: theirs().statistics.feature_descriptive_statistics[0].count),
    "search": outcome(lambda: [hit.name for hit in project.get_search_api().feature_groups("shared_rows")]),
}})
"""
    before = in_client(embedded, "reader", owner_key, script)
    assert before["read"][0] != "ok" and before["search"] == ["ok", []]
    group.share("reader")
    shares = group.shared_with()
    assert [share["sharedWithProject"]["name"] for share in shares] == ["reader"] and shares[0]["sharedEntirely"]
    answer = in_client(embedded, "reader", owner_key, script)
    assert answer["read"] == ["ok", [0.1, 0.2, 0.3]]
    assert answer["joined"] == ["ok", [0.1, 0.2]]
    assert answer["statistics"] == ["ok", 3]
    assert answer["search"] == ["ok", ["shared_rows"]]
    for call in ("insert", "tag", "delete"):
        assert answer[call][0] != "ok" and "read-only" in answer[call][1], (call, answer[call])
    assert len(group.read()) == 3
    group.unshare(reader.id)
    assert group.shared_with() == []
    assert in_client(embedded, "reader", owner_key, script)["read"][0] != "ok"


def test_a_whole_feature_store_is_shared(project: Any, embedded: Running, owner_key: str, group: Any) -> None:
    make_project("library")
    store = project.get_feature_store()
    store.share("library")
    assert [share["sharedWithProject"]["name"] for share in store.shared_with()] == ["library"]
    answer = in_client(
        embedded,
        "library",
        owner_key,
        f"""
other = project.get_feature_store("{project.name}")
say({{
    "listed": sorted(each.name for each in other.get_feature_groups()),
    "rows": len(other.get_feature_group("shared_rows", 1).read()),
    "create": outcome(lambda: other.create_feature_group(
        "theirs", version=1, primary_key=["cell"], time_travel_format="DELTA").insert(pd.DataFrame({{"cell": [1]}}))),
    "view": outcome(lambda: other.get_feature_view("science", 1)),
}})
""",
    )
    assert "shared_rows" in answer["listed"] and answer["rows"] == 3
    assert answer["create"][0] == "RestAPIError" and answer["view"][0] == "RestAPIError"
    store.unshare("library")
    assert store.shared_with() == []
