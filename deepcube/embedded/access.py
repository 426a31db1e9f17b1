"""Who may do what: the roles of a project's members, and what a project shares with others.

===================  ==============================================================================================
Data owner           everything in the project, its members and what it shares among it
Data scientist       everything but: changing feature groups, connectors, members and shares
Observer             reading
===================  ==============================================================================================

A feature store, or one feature group, shared with another project can be read by that project's members, whatever
their role, and changed by nobody but members of the project that owns it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import FORBIDDEN, PROJECT_NOT_FOUND, ApiError, not_found
from deepcube.embedded.keys import OWNER, User
from deepcube.embedded.platform import PROJECT, Platform

MEMBER = "member"
SHARE = "share"
DATA_OWNER, DATA_SCIENTIST, OBSERVER = "Data owner", "Data scientist", "Observer"
ROLES = (DATA_OWNER, DATA_SCIENTIST, OBSERVER)

_READS = ("GET", "HEAD", "OPTIONS")
_PATH = re.compile(r"^/project/(?P<project>\d+)(?P<rest>/.*)?$")
_STORE = re.compile(r"^/featurestores/(?P<store>\d+)(?P<rest>/.*)?$")
_GROUP = re.compile(r"^/featuregroups/(?P<group>[^/]+)(/.*)?$")
# Composing a query, and asking a deployment, change nothing although they are no GET.
_HARMLESS = re.compile(r"^/(featurestores/query|featurestores/\d+/featureview/[^/]+/version/\d+/query/batch)$")
_OWNERS_ONLY = re.compile(
    r"^/(projectMembers|featurestores/share|featurestores/\d+/(featuregroups|storageconnectors))\b"
)
# The password of the broker is what one needs to write to a feature group through it.
_BROKER = re.compile(r"^/featurestores/\d+/storageconnectors/kafka_connector\b")
_TABLES = re.compile(r"/[^/]+_featurestore\.db(/|$)")
_ADMIN = re.compile(r"^/(admin(/.*)?|tags(/.*)?)$")

#: Feature groups of these projects may be changed by the call under way; None outside a call.
WRITABLE: ContextVar[frozenset[int] | None] = ContextVar("WRITABLE", default=None)


@dataclass(frozen=True)
class Request:
    """What is asked, as far as access depends on it.

    Attributes
    ----------
    method : str
        HTTP method.
    path : str
        Path below the API's prefix.
    query : mapping of str to str
        Parameters after the question mark.
    """

    method: str
    path: str
    query: Mapping[str, str]


def role_of(platform: Platform, user: User, project_id: int) -> str | None:
    """Return the role of a user in a project, or None for no member."""
    if user == OWNER:
        return DATA_OWNER
    entity = platform.catalog.first(project_id, MEMBER, name=user.email)
    return str(entity.body["role"]) if entity else None


def authorize(platform: Platform, user: User, request: Request) -> None:
    """Check that a user may make a call.

    Parameters
    ----------
    platform : Platform
        Shared state.
    user : User
        Who calls.
    request : Request
        What is asked.

    Raises
    ------
    ApiError
        403 if not; 404 if the project does not exist.
    """
    if _ADMIN.match(request.path) and not user.is_admin and (request.method != "GET" or "/admin" in request.path):
        raise forbidden("this call needs the role HOPS_ADMIN; ask the owner of the platform")
    match = _PATH.match(request.path)
    if match is None:
        return
    project_id, rest = int(match["project"]), match["rest"] or ""
    if platform.catalog.get(project_id, PROJECT) is None:
        raise not_found(f"no project with id {project_id}", PROJECT_NOT_FOUND)
    role = role_of(platform, user, project_id)
    if role is None:
        raise forbidden(f"{user.email} is not a member of project {project_id}; ask a Data owner of it")
    WRITABLE.set(frozenset({project_id} if role == DATA_OWNER else ()))
    _check_role(role, request.method, rest)
    store = _STORE.match(rest)
    if store is not None and int(store["store"]) != project_id:
        _check_shared(platform, project_id, int(store["store"]), store["rest"] or "", request)


def forbidden(message: str) -> ApiError:
    """Build the error for something that the caller may not do (HTTP 403)."""
    return ApiError(403, FORBIDDEN, message)


def _check_role(role: str, method: str, rest: str) -> None:
    if role == DATA_OWNER:
        return
    reads = method in _READS or _HARMLESS.match(rest)
    if role == OBSERVER and not reads and "/inference/" not in rest:
        raise forbidden("an Observer may read only; ask a Data owner of the project for another role")
    if (_OWNERS_ONLY.match(rest) and not reads) or _BROKER.match(rest) or (_TABLES.search(rest) and not reads):
        raise forbidden(
            f"a {role} may not change feature groups, connectors, members or shares; ask a Data owner of the project"
        )


def _check_shared(platform: Platform, reader_id: int, owner_id: int, rest: str, request: Request) -> None:
    """Check a call to the feature store of another project."""
    if platform.catalog.get(owner_id, PROJECT) is None:
        raise not_found(f"no feature store with id {owner_id}", PROJECT_NOT_FOUND)
    WRITABLE.set(frozenset())
    group = _GROUP.match(rest)
    if request.method not in _READS:
        raise forbidden("the feature store of another project is shared read-only")
    if shares_store(platform, owner_id, reader_id) and (group or rest in ("", "/featuregroups")):
        return
    if group is not None and _shares_every(platform, _named(platform, owner_id, group["group"], request), reader_id):
        return
    raise forbidden(
        f"feature store {owner_id} does not share this with project {reader_id}; ask a Data owner of its project to "
        "share the feature group"
    )


def _named(platform: Platform, owner_id: int, name: str, request: Request) -> Sequence[Entity]:
    """Return the feature groups that the last part of a path names, by id or by name."""
    if name.isascii() and name.isdigit():
        entity = platform.catalog.get(int(name), "feature_group")
        return [entity] if entity is not None and entity.project_id == owner_id else []
    version = request.query.get("version", "")
    wanted = int(version) if version.isascii() and version.isdigit() else None
    return platform.catalog.find(owner_id, "feature_group", name=name, version=wanted)


def _shares_every(platform: Platform, groups: Sequence[Entity], reader_id: int) -> bool:
    return bool(groups) and all(shares_group(platform, group, reader_id) for group in groups)


def shares_store(platform: Platform, owner_id: int, reader_id: int) -> bool:
    """Tell whether a project shares its whole feature store with another."""
    return platform.catalog.first(owner_id, SHARE, name=str(reader_id), parent_id=0) is not None


def shares_group(platform: Platform, group: Entity, reader_id: int) -> bool:
    """Tell whether a feature group is shared with a project, by itself or with its whole feature store."""
    by_itself = platform.catalog.first(group.project_id, SHARE, name=str(reader_id), parent_id=group.id)
    return by_itself is not None or shares_store(platform, group.project_id, reader_id)


def may_write(group: Entity) -> bool:
    """Tell whether the call under way may change a feature group; what no user called for may."""
    writable = WRITABLE.get()
    return writable is None or group.project_id in writable
