"""Secrets and account-wide environment variables, encrypted at rest.

The key lies in a file of its own in the home folder that only its owner can read (mode 0600), so that a copy of the
catalog alone gives no secret away.
"""

from __future__ import annotations

import re
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from deepcube.embedded.catalog import DuplicateEntityError, Entity
from deepcube.embedded.errors import ApiError, StorageError, bad_request, conflict, not_found
from deepcube.embedded.home import write_atomically
from deepcube.embedded.keys import User
from deepcube.embedded.platform import Platform

SECRET_NOT_FOUND = 160048
SECRET_EXISTS = 160049
VARIABLE_NOT_FOUND = 160070
VARIABLE_EXISTS = 160071

MAX_SECRET = 9000
MAX_VARIABLE = 8192

_SECRET = "secret"
_VARIABLE = "account_variable"
_SECRET_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,200}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_RESERVED = re.compile(r"(API_KEY|HOPS_.*|HOPSWORKS_.*|DEEPCUBE_.*|REST_ENDPOINT|PATH|HOME|PYTHONPATH)")


class Vault:
    """The secrets of all users.

    Parameters
    ----------
    platform : Platform
        Whose secrets; the key is made at first use.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._catalog = platform.catalog
        file = platform.home.root / "secret_key"
        if not file.exists():
            if self._catalog.first(0, _SECRET) or self._catalog.first(0, _VARIABLE):
                raise StorageError(f"{file} is missing, so the stored secrets cannot be read; restore it")
            write_atomically(file, Fernet.generate_key(), mode=0o600)
        self._fernet = Fernet(file.read_bytes().strip())

    # -- secrets

    def create_secret(self, user: User, name: Any, value: Any, visibility: str, scope: int | None) -> Entity:
        """Keep a secret.

        Parameters
        ----------
        visibility : str
            ``PRIVATE``, or ``PROJECT`` for the members of a project.
        scope : int or None
            That project.

        Raises
        ------
        ApiError
            If the name or value is not usable or the user has a secret of this name.
        """
        if not isinstance(name, str) or not _SECRET_NAME.fullmatch(name):
            raise bad_request(f"{name!r} is not a name for a secret; use letters, digits, _ . -")
        if not isinstance(value, str) or not value or len(value) > MAX_SECRET:
            raise bad_request(f"a secret is text of 1 to {MAX_SECRET} characters")
        if visibility == "PROJECT":
            self._platform.project(int(scope or 0))
        body: dict[str, Any] = {"name": name, "owner": user.email, "value": self._seal(value)}
        body |= {"visibility": visibility, "scope": scope if visibility == "PROJECT" else None}
        try:
            return self._catalog.add(0, _SECRET, f"{user.email}/{name}", body)
        except DuplicateEntityError:
            raise conflict(f"there is a secret named {name!r} already; delete it first", SECRET_EXISTS) from None

    def secrets(self, user: User) -> list[Entity]:
        """Return the secrets of a user."""
        return [entity for entity in self._catalog.find(0, _SECRET) if entity.body["owner"] == user.email]

    def secret(self, user: User, name: str) -> Entity:
        """Return a secret of a user.

        Raises
        ------
        ApiError
            404 with code 160048 if there is none.
        """
        entity = self._catalog.first(0, _SECRET, name=f"{user.email}/{name}")
        if entity is None:
            raise not_found(f"{user.email} has no secret named {name!r}", SECRET_NOT_FOUND)
        return entity

    def shared_secret(self, user: User, owner: str, name: str) -> Entity:
        """Return a secret that another user shares with a project of this one; ``owner`` is a user or e-mail name."""
        from deepcube.embedded.access import role_of

        for entity in self._catalog.find(0, _SECRET):
            body = entity.body
            if body["name"] == name and owner in (body["owner"], body["owner"].partition("@")[0]):
                shared = body["visibility"] == "PROJECT" and role_of(self._platform, user, body["scope"]) is not None
                if shared or body["owner"] == user.email:
                    return entity
        raise not_found(f"{owner} shares no secret named {name!r} with a project of yours", SECRET_NOT_FOUND)

    def remove_secret(self, user: User, name: str) -> None:
        """Forget a secret."""
        self._catalog.remove(self.secret(user, name))

    # -- variables

    def set_variable(self, user: User, name: Any, value: Any, secret_name: str | None, *, create: bool) -> Entity:
        """Keep an environment variable that every job and deployment of the user gets.

        Parameters
        ----------
        secret_name : str or None
            Secret whose value the variable has, in place of a value of its own.
        create : bool
            Whether it must be new; otherwise it must exist.

        Raises
        ------
        ApiError
            If the name is reserved or not usable, or it is (not) there already.
        """
        if not isinstance(name, str) or not _VARIABLE_NAME.fullmatch(name) or _RESERVED.fullmatch(name):
            raise bad_request(f"{name!r} cannot be an environment variable of the account; choose another name")
        if secret_name is not None:
            self.secret(user, secret_name)
        elif not isinstance(value, str) or len(value) > MAX_VARIABLE or "\0" in value:
            raise bad_request(f"the value of an environment variable is text of at most {MAX_VARIABLE} characters")
        body = {"name": name, "owner": user.email, "secret": secret_name}
        body["value"] = None if secret_name is not None else self._seal(str(value))
        with self._catalog.transaction():
            known = self._catalog.first(0, _VARIABLE, name=f"{user.email}/{name}")
            if known is not None and create:
                raise conflict(f"there is an environment variable {name!r} already; update it", VARIABLE_EXISTS)
            if known is None and not create:
                raise self._no_variable(user, name)
            if known is not None:
                return self._catalog.update(known, body)
            return self._catalog.add(0, _VARIABLE, f"{user.email}/{name}", body)

    def variables(self, user: User) -> list[Entity]:
        """Return the environment variables of a user."""
        return [entity for entity in self._catalog.find(0, _VARIABLE) if entity.body["owner"] == user.email]

    def variable(self, user: User, name: str) -> Entity:
        """Return an environment variable of a user.

        Raises
        ------
        ApiError
            404 if there is none.
        """
        entity = self._catalog.first(0, _VARIABLE, name=f"{user.email}/{name}")
        if entity is None:
            raise self._no_variable(user, name)
        return entity

    def remove_variable(self, user: User, name: str) -> None:
        """Forget an environment variable."""
        self._catalog.remove(self.variable(user, name))

    def environment(self, user: User) -> dict[str, str]:
        """Return the environment variables of a user's jobs and deployments."""
        return {entity.body["name"]: self.value(entity) for entity in self.variables(user)}

    # -- values

    def value(self, entity: Entity) -> str:
        """Return a secret or variable in clear.

        Raises
        ------
        ApiError
            If it was encrypted with another key.
        """
        if entity.body.get("secret"):
            owner = self._platform.keys.find_user(entity.body["owner"])
            return self.value(self.secret(owner, entity.body["secret"])) if owner else ""
        try:
            return self._fernet.decrypt(entity.body["value"].encode()).decode()
        except InvalidToken:
            name = entity.body["name"]
            message = f"{name!r} was encrypted with another key than the home folder's secret_key; set it anew"
            raise ApiError(500, SECRET_NOT_FOUND, message) from None

    def _seal(self, value: str) -> str:
        return self._fernet.encrypt(value.encode()).decode()

    @staticmethod
    def _no_variable(user: User, name: str) -> ApiError:
        return not_found(f"{user.email} has no environment variable named {name!r}", VARIABLE_NOT_FOUND)
