"""The table of who may do what, call by call, and what is kept of logs that only grow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepcube.embedded.access import DATA_OWNER, DATA_SCIENTIST, OBSERVER, ROLES, Request, authorize, may_write
from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import ApiError
from deepcube.embedded.home import Home
from deepcube.embedded.keys import OWNER, User
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.quality import activities, projects, statistics
from deepcube.embedded.server import open_platform
from deepcube.embedded.store import group_changes

GROUP = {"features": [{"name": "cell", "type": "bigint", "primary": True}], "timeTravelFormat": "DELTA", "version": 1}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    home = Home(tmp_path_factory.mktemp("home"))
    home.prepare()
    opened = open_platform(home, 0)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def mine(platform: Platform) -> Project:
    return platform.projects()[0]


@pytest.fixture(scope="module")
def other(platform: Platform) -> Project:
    return projects.create(platform, "other", None, OWNER)


@pytest.fixture(scope="module")
def users(platform: Platform, mine: Project) -> dict[str, User]:
    found = {}
    for role in ROLES:
        user = platform.keys.register(f"{role.replace(' ', '.')}@example.org", "A", "B")
        projects.set_role(platform, mine, user, role)
        found[role] = user
    return found


@pytest.fixture(scope="module")
def group(platform: Platform, other: Project) -> Entity:
    return group_changes.create_group(platform, other, {**GROUP, "name": "theirs"})


def allowed(platform: Platform, user: User, method: str, path: str, **query: str) -> int:
    """Return 200, or the status with which a call is refused."""
    try:
        authorize(platform, user, Request(method, path, query))
    except ApiError as error:
        return error.status
    return 200


# Path below the project, method, and who may: Data owner, Data scientist, Observer.
CALLS = [
    ("GET", "/featurestores/{id}/featuregroups/x", 200, 200, 200),
    ("POST", "/featurestores/{id}/featuregroups", 200, 403, 403),
    ("PUT", "/featurestores/{id}/featuregroups/5", 200, 403, 403),
    ("DELETE", "/featurestores/{id}/featuregroups/5", 200, 403, 403),
    ("POST", "/featurestores/{id}/featuregroups/5/commits", 200, 403, 403),
    ("PUT", "/featurestores/{id}/featuregroups/5/tags/x", 200, 403, 403),
    ("POST", "/featurestores/{id}/featureview", 200, 200, 403),
    ("POST", "/featurestores/{id}/featureview/v/version/1/trainingdatasets", 200, 200, 403),
    ("POST", "/featurestores/{id}/featureview/v/version/1/query/batch", 200, 200, 200),
    ("PUT", "/featurestores/query", 200, 200, 200),
    ("GET", "/featurestores/{id}/storageconnectors/kafka_connector/byok", 200, 403, 403),
    ("GET", "/featurestores/{id}/storageconnectors/onlinefeaturestore", 200, 200, 200),
    ("POST", "/featurestores/share", 200, 403, 403),
    ("GET", "/featurestores/share", 200, 200, 200),
    ("POST", "/projectMembers", 200, 403, 403),
    ("DELETE", "/projectMembers/x@y.z", 200, 403, 403),
    ("GET", "/projectMembers", 200, 200, 200),
    ("PUT", "/jobs/j", 200, 200, 403),
    ("POST", "/jobs/j/executions", 200, 200, 403),
    ("PUT", "/modelregistries/{id}/models/m_1", 200, 200, 403),
    ("POST", "/serving/5", 200, 200, 403),
    ("POST", "/inference/models/d:predict", 200, 200, 200),
    ("POST", "/dataset/upload/Resources", 200, 200, 403),
    ("POST", "/dataset/upload/Projects/p/p_featurestore.db/x", 200, 403, 403),
    ("DELETE", "/dataset/p_featurestore.db/g_1", 200, 403, 403),
    ("GET", "/dataset/p_featurestore.db", 200, 200, 200),
]


@pytest.mark.parametrize(("method", "path", "owner", "scientist", "observer"), CALLS)
def test_roles(
    platform: Platform,
    mine: Project,
    users: dict[str, User],
    method: str,
    path: str,
    owner: int,
    scientist: int,
    observer: int,
) -> None:
    path = f"/project/{mine.id}" + path.format(id=mine.id)
    found = [allowed(platform, users[role], method, path) for role in (DATA_OWNER, DATA_SCIENTIST, OBSERVER)]
    assert found == [owner, scientist, observer]
    assert allowed(platform, OWNER, method, path) == 200


def test_who_is_no_member_may_nothing(platform: Platform, other: Project, users: dict[str, User]) -> None:
    for method, path, *_ in CALLS:
        for user in users.values():
            assert allowed(platform, user, method, f"/project/{other.id}" + path.format(id=other.id)) == 403
    assert allowed(platform, OWNER, "GET", "/project/424242/jobs") == 404


def test_administration(platform: Platform, users: dict[str, User]) -> None:
    user = users[DATA_OWNER]
    calls = {
        ("GET", "/admin/users"): 403, ("POST", "/admin/users"): 403, ("DELETE", "/admin/users/5"): 403,
        ("POST", "/tags"): 403, ("DELETE", "/tags/x"): 403, ("GET", "/tags"): 200, ("GET", "/users/profile"): 200,
        ("POST", "/project"): 200, ("POST", "/users/apiKey"): 200,
    }  # fmt: skip
    assert {call: allowed(platform, user, *call) for call in calls} == calls
    assert all(allowed(platform, OWNER, *call) == 200 for call in calls)
    admin = platform.keys.set_admin(user, True)
    assert all(allowed(platform, admin, *call) == 200 for call in calls)
    platform.keys.set_admin(admin, False)


def test_shares(platform: Platform, mine: Project, other: Project, users: dict[str, User], group: Entity) -> None:
    theirs = f"/project/{mine.id}/featurestores/{other.id}"
    by_id, by_name = f"{theirs}/featuregroups/{group.id}", f"{theirs}/featuregroups/theirs"
    for user in (OWNER, *users.values()):
        assert allowed(platform, user, "GET", by_id) == allowed(platform, user, "GET", by_name, version="1") == 403
    projects.share(platform, other, mine, OWNER, group)
    second = group_changes.create_group(platform, other, {**GROUP, "name": "theirs", "version": 2})
    for user in (OWNER, *users.values()):
        assert allowed(platform, user, "GET", by_id) == allowed(platform, user, "GET", by_name, version="1") == 200
        assert not may_write(group)
        assert allowed(platform, user, "GET", by_name) == 403, "another version of it is not shared"
        assert allowed(platform, user, "GET", f"{theirs}/featuregroups/{second.id}") == 403
        assert allowed(platform, user, "GET", f"{theirs}/featuregroups") == 403
        assert allowed(platform, user, "DELETE", by_id) == allowed(platform, user, "POST", f"{by_id}/commits") == 403
    projects.share(platform, other, mine, OWNER, None)
    for user in (OWNER, *users.values()):
        assert allowed(platform, user, "GET", f"{theirs}/featuregroups") == 200
        assert allowed(platform, user, "GET", f"{theirs}/featureview") == 403
        assert allowed(platform, user, "PUT", by_id) == 403
    projects.unshare(platform, other, mine, None)
    projects.unshare(platform, other, mine, group)
    assert allowed(platform, OWNER, "GET", by_id) == 403


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=40), st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]))
def test_no_path_lets_an_outsider_in(
    platform: Platform, other: Project, users: dict[str, User], rest: str, method: str
) -> None:
    path = f"/project/{other.id}/{rest}"
    assert allowed(platform, users[DATA_OWNER], method, path) == 403 or "\n" in rest


def test_logs_do_not_grow_without_end(
    platform: Platform, other: Project, group: Entity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities, "KEPT", 10)
    for number in range(205):
        activities.record(platform, group, activities.METADATA, f"change {number}")
    found = activities.history(platform, group, [activities.METADATA])
    assert len(found) <= 10 + 100 and found[0]["metadata"] == "change 204"
    for number in range(6):
        statistics.save(platform, group, {"computationTime": number, "windowEndCommitTime": number})
        statistics.save(platform, group, {"computationTime": number, "windowStartCommitTime": 1, "rowPercentage": 0.5})
    statistics.forget_oldest(platform, group, commits=2, windows=3)
    left = [entity.body["computationTime"] for entity in platform.catalog.find(other.id, statistics.STATISTICS)]
    assert sorted(left) == [3, 4, 4, 5, 5]
