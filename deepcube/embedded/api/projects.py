"""Projects, their members, what they share, and the users of the platform."""

from __future__ import annotations

import secrets
from urllib.parse import parse_qs

from deepcube.embedded.access import forbidden
from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import USER_NOT_FOUND, bad_request, not_found, unsupported
from deepcube.embedded.keys import User
from deepcube.embedded.platform import Project
from deepcube.embedded.quality import projects
from deepcube.embedded.routing import Call, Json, Routes, items
from deepcube.embedded.store import groups

routes = Routes()

_PROJECT = "/project/{project_id:int}"
_SHARE = _PROJECT + "/featurestores/share"
_GROUP = _SHARE + "/featuregroups/{group_id:int}"
_RESTRICTED = _PROJECT + "/featurestores/{featurestore_id:int}/featuregroups/{group_id:int}/restrictedaccess"


@routes.get("/project")
def list_projects(call: Call) -> Json:
    """List the caller's projects.

    The client keeps its certificates in a folder named after the user and removes it at exit; a name that differs
    with every login keeps two processes of one user from removing each other's.
    """
    user = {**call.user.document(), "username": f"{call.user.name[:4]}{secrets.token_hex(4)}"}
    return [
        {
            "project": {
                "id": project.id,
                "name": project.name,
                "owner": projects.author(call.platform, project).document(),
            },
            "user": user,
            "teamRole": role,
        }
        for project, role in projects.of_user(call.platform, call.user)
    ]


@routes.post("/project")
def create_project(call: Call) -> Json:
    """Make a project."""
    name = call.document.get("projectName") or call.parameter("projectName")
    project = projects.create(call.platform, name, call.document.get("description"), call.user)
    return projects.document(call.platform, project)


@routes.get("/project/getProjectInfo/{name}")
def project_by_name(call: Call) -> Json:
    """Return a project by name."""
    project = call.platform.project_named(call.path["name"])
    mine = {found.id for found, _ in projects.of_user(call.platform, call.user)}
    if project.id not in mine:
        raise forbidden(f"{call.user.email} is not a member of project {project.name!r}; ask a Data owner of it")
    return projects.document(call.platform, project)


@routes.get(_PROJECT)
def project_by_id(call: Call) -> Json:
    """Return a project by id."""
    return projects.document(call.platform, call.project)


@routes.get(_PROJECT + "/projectMembers")
def list_members(call: Call) -> Json:
    """List the members of a project."""
    return projects.members(call.platform, call.project)


@routes.post(_PROJECT + "/projectMembers")
def add_members(call: Call) -> Json:
    """Add members."""
    projects.add_members(call.platform, call.project, call.document.get("projectTeam"))


@routes.post(_PROJECT + "/projectMembers/{email}")
def change_role(call: Call) -> Json:
    """Change a member's role, sent as a form."""
    role = parse_qs(call.body.decode("utf-8", "replace")).get("role", [""])[0]
    projects.change_role(call.platform, call.project, call.path["email"], role)


@routes.delete(_PROJECT + "/projectMembers/{email}")
def remove_member(call: Call) -> Json:
    """Take a member out of a project; files of the project stay."""
    projects.remove_member(call.platform, call.project, call.path["email"])


def _target(call: Call) -> Project:
    target = call.integer("project")
    if target is None:
        raise bad_request("the query parameter 'project' is missing: the id of the project to share with")
    return call.platform.project(target)


def _group(call: Call) -> Entity | None:
    if "group_id" not in call.path:
        return None
    return groups.own_group(call.platform, call.project, call.path["group_id"])


@routes.get(_SHARE)
@routes.get(_GROUP)
def list_shares(call: Call) -> Json:
    """List with whom the feature store, or a feature group, is shared."""
    return items(projects.shares(call.platform, call.project, _group(call)))


@routes.post(_SHARE)
@routes.post(_GROUP)
def share(call: Call) -> Json:
    """Share the feature store, or a feature group, with another project."""
    features = call.query.get("feature", [])
    projects.share(call.platform, call.project, _target(call), call.user, _group(call), features)


@routes.delete(_SHARE)
@routes.delete(_GROUP)
def unshare(call: Call) -> Json:
    """Take a share back."""
    projects.unshare(call.platform, call.project, _target(call), _group(call))


@routes.get(_RESTRICTED)
@routes.post(_RESTRICTED)
@routes.delete(_RESTRICTED)
def restricted_access(call: Call) -> Json:
    """Refuse grants to single users."""
    raise unsupported(
        "FeatureGroup.grant_restricted_access (get_restricted_access, revoke_restricted_access)",
        "share the feature group with a project of these users",
    )


def _user_document(user: User) -> Json:
    """Return a user as an administrator sees one; 2 is the code of an activated account."""
    roles = ["HOPS_ADMIN"] if user.is_admin else ["HOPS_USER"]
    return {
        **{key: value for key, value in user.document().items() if key not in ("firstName", "lastName")},
        "id": user.uid,
        "firstname": user.first_name,
        "lastname": user.last_name,
        "status": 2,
        "role": [{"groupName": role} for role in roles],
    }


@routes.get("/admin/users")
def list_users(call: Call) -> Json:
    """List the users of the platform."""
    return items([_user_document(user) for user in call.platform.keys.users()])


@routes.post("/admin/users")
def register_user(call: Call) -> Json:
    """Add a user; the key is asked for separately, since there are no passwords here."""
    user = call.platform.keys.register(
        call.parameter("email") or "",
        call.parameter("givenName") or "",
        call.parameter("surname") or "",
        is_admin=call.parameter("role") == "HOPS_ADMIN",
    )
    return _user_document(user)


@routes.get("/admin/users/{uid:int}")
def read_user(call: Call) -> Json:
    """Return a user."""
    return _user_document(call.platform.keys.user(call.path["uid"]))


@routes.put("/admin/users/{uid:int}/role")
def set_user_role(call: Call) -> Json:
    """Make a user an administrator, or no longer one."""
    keys = call.platform.keys
    role = call.body.decode("utf-8", "replace").strip()
    return _user_document(keys.set_admin(keys.user(call.path["uid"]), role == "HOPS_ADMIN"))


@routes.delete("/admin/users/{uid:int}")
def remove_user(call: Call) -> Json:
    """Remove a user, whose keys are then not valid any more."""
    keys = call.platform.keys
    keys.remove_user(keys.user(call.path["uid"]))


def _whose_keys(call: Call) -> User:
    """Return whose keys a call is about: the caller's, or, for an administrator, those of the address ``user``."""
    email = call.parameter("user")
    if email is None or email.lower() == call.user.email:
        return call.user
    if not call.user.is_admin:
        raise forbidden("keys of another user need the role HOPS_ADMIN")
    found = call.platform.keys.find_user(email)
    if found is None:
        raise not_found(f"no user {email!r}", USER_NOT_FOUND)
    return found


@routes.get("/users/apiKey")
def list_keys(call: Call) -> Json:
    """List what the keys of a user are for; a key itself cannot be read again."""
    return items([{"name": label} for label in call.platform.keys.labels(_whose_keys(call))])


@routes.post("/users/apiKey")
def create_key(call: Call) -> Json:
    """Make a key for a user."""
    name = call.parameter("name") or "key"
    return {"name": name, "key": call.platform.keys.create(name, _whose_keys(call))}


@routes.delete("/users/apiKey/{name}")
def revoke_key(call: Call) -> Json:
    """Make a user's keys of a name invalid."""
    user = _whose_keys(call)
    if not call.platform.keys.revoke(call.path["name"], user):
        raise not_found(f"{user.email} has no API key named {call.path['name']!r}", USER_NOT_FOUND)
