"""Projects, their members, and what they share with other projects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from deepcube.embedded.access import DATA_OWNER, MEMBER, ROLES, SHARE, role_of
from deepcube.embedded.catalog import DuplicateEntityError, Entity, iso_time
from deepcube.embedded.errors import (
    FEATURE_GROUP_NOT_FOUND,
    MEMBER_NOT_FOUND,
    PROJECT_EXISTS,
    PROJECT_NAME_INVALID,
    USER_NOT_FOUND,
    bad_request,
    conflict,
    not_found,
    unsupported,
)
from deepcube.embedded.keys import OWNER, User
from deepcube.embedded.platform import PROJECT, Platform, Project
from deepcube.embedded.quality import checks

# As in Hopsworks: the name becomes a folder, a database and part of table names.
_NAME = re.compile(r"^[a-zA-Z0-9]((?!__)[_a-zA-Z0-9]){0,61}$")

Json = dict[str, Any]


def create(platform: Platform, name: Any, description: Any, user: User) -> Project:
    """Make a project of which a user is the author and Data owner.

    Raises
    ------
    ApiError
        400 if the name is not one, or is taken (names that differ only in case are the same).
    """
    if not isinstance(name, str) or not _NAME.match(name):
        raise bad_request(
            f"a project's name has 1 to 62 letters, digits and single underscores and starts with no underscore, "
            f"found {name!r}",
            PROJECT_NAME_INVALID,
        )
    with platform.catalog.transaction():
        if name.lower() in {project.name.lower() for project in platform.projects()}:
            raise conflict(f"there is a project {name!r} already; choose another name", PROJECT_EXISTS)
        project = platform.create_project(name)
        entity = platform.catalog.get(project.id, PROJECT)
        assert entity is not None
        platform.catalog.update(entity, {"owner": user.email, "description": str(description or "")})
        if user != OWNER:
            set_role(platform, project, user, DATA_OWNER)
    return project


def document(platform: Platform, project: Project) -> Json:
    """Return a project as the REST API writes one."""
    entity = platform.catalog.get(project.id, PROJECT)
    body = entity.body if entity is not None else {}
    return {
        "projectId": project.id,
        "projectName": project.name,
        "description": body.get("description", ""),
        "owner": body.get("owner", OWNER.email),
        "created": project.created,
        "creationStatus": 0,
        "datasets": [],
        "namespace": project.name,
        "services": [],
    }


def author(platform: Platform, project: Project) -> User:
    """Return who made a project; its Data owner for good."""
    email = document(platform, project)["owner"]
    return platform.keys.find_user(email) or OWNER


def of_user(platform: Platform, user: User) -> list[tuple[Project, str]]:
    """Return the projects of a user with the user's role in each."""
    found = [(project, role_of(platform, user, project.id)) for project in platform.projects()]
    return [(project, role) for project, role in found if role is not None]


def members(platform: Platform, project: Project) -> list[Json]:
    """Return the members of a project, its author first, as the REST API writes them."""
    first = author(platform, project)
    found = [_member_document(project, first, DATA_OWNER, project.created)]
    for entity in platform.catalog.find(project.id, MEMBER):
        user = platform.keys.find_user(entity.name)
        if user is not None and user != first:
            found.append(_member_document(project, user, entity.body["role"], entity.created))
    return found


def _member_document(project: Project, user: User, role: str, since: str) -> Json:
    return {
        "project": {"id": project.id, "name": project.name},
        "user": user.document(),
        "teamRole": role,
        "timestamp": since,
    }


def set_role(platform: Platform, project: Project, user: User, role: str) -> None:
    """Make a user a member of a project, or change a member's role.

    Raises
    ------
    ApiError
        400 if there is no such role, 501 for a role that is not offered.
    """
    if role == "Feature store restricted":
        raise unsupported("the role 'Feature store restricted'", "share feature groups with a project of their own")
    if role not in ROLES:
        raise bad_request(f"there is no role {role!r}; the roles are {', '.join(ROLES)}")
    catalog = platform.catalog
    with catalog.transaction():
        entity = catalog.first(project.id, MEMBER, name=user.email)
        if entity is None:
            catalog.add(project.id, MEMBER, user.email, {"role": role})
        else:
            catalog.update(entity, {"role": role})


def add_members(platform: Platform, project: Project, team: Any) -> None:
    """Add members as the client names them: ``[{"projectTeamPK": {"teamMember": email}, "teamRole": role}]``.

    Raises
    ------
    ApiError
        400 for something else, 404 for an unknown user; then no member was added.
    """
    if not isinstance(team, list):
        raise bad_request('the body must be {"projectTeam": [...]}')
    with platform.catalog.transaction():
        for entry in team:
            try:
                email, role = entry["projectTeamPK"]["teamMember"], entry["teamRole"]
            except (TypeError, KeyError):
                raise bad_request("each of projectTeam needs projectTeamPK.teamMember and teamRole") from None
            user = _changeable(platform, project, checks.name(email, "teamMember"))
            set_role(platform, project, user, checks.name(role, "teamRole"))


def change_role(platform: Platform, project: Project, email: str, role: str) -> None:
    """Change the role of a member.

    Raises
    ------
    ApiError
        404 if the user is no member, 400 for the author of the project.
    """
    user = _changeable(platform, project, email)
    _member(platform, project, user)
    set_role(platform, project, user, role)


def remove_member(platform: Platform, project: Project, email: str) -> None:
    """Take a member out of a project.

    Raises
    ------
    ApiError
        404 if the user is no member, 400 for the author of the project.
    """
    with platform.catalog.transaction():
        platform.catalog.remove(_member(platform, project, _changeable(platform, project, email)))


def _changeable(platform: Platform, project: Project, email: str) -> User:
    user = platform.keys.find_user(email)
    if user is None:
        raise not_found(
            f"no user {email!r}; an administrator adds one with get_users_api().register_user()", USER_NOT_FOUND
        )
    if user in (OWNER, author(platform, project)):
        raise bad_request(f"{email!r} is the author of the project, or of the platform, and stays its Data owner")
    return user


def _member(platform: Platform, project: Project, user: User) -> Entity:
    entity = platform.catalog.first(project.id, MEMBER, name=user.email)
    if entity is None:
        raise not_found(f"{user.email!r} is not a member of project {project.name!r}", MEMBER_NOT_FOUND)
    return entity


def share(
    platform: Platform,
    project: Project,
    target: Project,
    user: User,
    group: Entity | None,
    features: Sequence[str] = (),
) -> None:
    """Let the members of another project read a feature group, or all of them; doing it again changes nothing.

    Parameters
    ----------
    platform : Platform
        Shared state.
    project, target : Project
        Which shares, and with which.
    user : User
        Who shares.
    group : Entity or None
        The feature group; None for the whole feature store.
    features : sequence of str
        Only these features; not offered.

    Raises
    ------
    ApiError
        400 if a project would share with itself.
    """
    if features:
        raise unsupported("share(features=...)", "share a feature group that holds only these features")
    if target.id == project.id:
        raise bad_request(f"project {project.name!r} cannot share with itself")
    try:
        parent = group.id if group is not None else 0
        platform.catalog.add(project.id, SHARE, str(target.id), {"by": user.document()}, parent_id=parent)
    except DuplicateEntityError:
        return


def unshare(platform: Platform, project: Project, target: Project, group: Entity | None) -> None:
    """Take a share back.

    Raises
    ------
    ApiError
        404 if there is none.
    """
    parent = group.id if group is not None else 0
    with platform.catalog.transaction():
        entity = platform.catalog.first(project.id, SHARE, name=str(target.id), parent_id=parent)
        if entity is None:
            raise not_found(f"this is not shared with project {target.name!r}", FEATURE_GROUP_NOT_FOUND)
        platform.catalog.remove(entity)


def shares(platform: Platform, project: Project, group: Entity | None) -> list[Json]:
    """Return with whom a feature group, or the whole feature store, is shared, as the REST API writes it."""
    parent = group.id if group is not None else 0
    found = platform.catalog.find(project.id, SHARE, parent_id=parent)
    return [
        {
            "sharedWithProject": {"id": target.id, "name": target.name},
            "sharedBy": entity.body["by"],
            "sharedOn": iso_time(entity.created_ms),
            "sharedEntirely": True,
            "features": [],
        }
        for entity in found
        if (target := _project_or_none(platform, int(entity.name))) is not None
    ]


def shared_stores(platform: Platform, project: Project) -> list[Project]:
    """Return the projects that share their whole feature store with a project."""
    found = platform.catalog.find(None, SHARE, name=str(project.id), parent_id=0)
    owners = [_project_or_none(platform, entity.project_id) for entity in found]
    return [owner for owner in owners if owner is not None]


def sharing_projects(platform: Platform, project: Project) -> list[Project]:
    """Return the projects that share anything with a project."""
    found = platform.catalog.find(None, SHARE, name=str(project.id))
    owners = [_project_or_none(platform, project_id) for project_id in sorted({e.project_id for e in found})]
    return [owner for owner in owners if owner is not None]


def _project_or_none(platform: Platform, project_id: int) -> Project | None:
    return platform.project(project_id) if platform.catalog.get(project_id, PROJECT) is not None else None
