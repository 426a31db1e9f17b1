"""Users and their API keys: keys are made once, kept as hashes, and checked on every call of every wire."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import asdict, dataclass, replace

from deepcube.embedded.catalog import Catalog, DuplicateEntityError, Entity
from deepcube.embedded.errors import USER_EXISTS, USER_NOT_FOUND, bad_request, conflict, not_found
from deepcube.embedded.home import Home, write_atomically

_KIND = "api_key"
_USER = "user"
_FIRST_UID = 10000
_EMAIL = re.compile(r"^[^@\s/]+@[^@\s/]+$")


@dataclass(frozen=True)
class User:
    """Who calls.

    Attributes
    ----------
    uid : int
        Number of the user.
    name, email : str
        As Hopsworks shows them.
    first_name, last_name : str
        Of the person.
    is_admin : bool
        Whether the user may manage users and tag schemas (the role ``HOPS_ADMIN``).
    """

    uid: int = _FIRST_UID
    name: str = "deepcube"
    email: str = "deepcube@localhost"
    first_name: str = "DeepCube"
    last_name: str = "Owner"
    is_admin: bool = False

    def document(self) -> dict[str, object]:
        """Return the user as the REST API writes one."""
        return {
            "uid": self.uid,
            "username": self.name,
            "email": self.email,
            "firstName": self.first_name,
            "lastName": self.last_name,
            "fname": self.first_name,
            "lname": self.last_name,
        }


#: Who started the server: a Data owner of every project.
OWNER = User(is_admin=True)


class ApiKeys:
    """The users and API keys of a platform. A key reads ``<prefix>.<secret>``; only a SHA-256 of the secret is stored.

    The secret has 256 random bits, so a plain hash cannot be searched and no slow hash is needed.

    Parameters
    ----------
    catalog : Catalog
        Where the users and the hashes are.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def create(self, label: str, user: User = OWNER) -> str:
        """Make a key and return it; it cannot be read again later.

        Parameters
        ----------
        label : str
            What the key is for.
        user : User
            Whose calls it makes.
        """
        prefix, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        self._catalog.add(0, _KIND, prefix, {"hash": _hash(secret), "label": label, "email": user.email})
        return f"{prefix}.{secret}"

    def user_of(self, key: str) -> User | None:
        """Return the owner of a key, or None if the key is not valid."""
        prefix, _, secret = key.partition(".")
        entity = self._catalog.first(0, _KIND, name=prefix)
        if entity is None or not hmac.compare_digest(entity.body["hash"], _hash(secret)):
            return None
        email = entity.body.get("email", OWNER.email)
        return OWNER if email == OWNER.email else self.find_user(email)

    def labels(self, user: User) -> list[str]:
        """Return what the keys of a user are for."""
        return [entity.body["label"] for entity in self._keys_of(user.email)]

    def revoke(self, label: str, user: User) -> int:
        """Make the keys of a user with a label invalid, and return how many there were."""
        doomed = [entity for entity in self._keys_of(user.email) if entity.body["label"] == label]
        with self._catalog.transaction():
            for entity in doomed:
                self._catalog.remove(entity)
        return len(doomed)

    def _keys_of(self, email: str) -> list[Entity]:
        return [entity for entity in self._catalog.find(0, _KIND) if entity.body.get("email", OWNER.email) == email]

    def owner_key(self, home: Home) -> str:
        """Return the owner's key, from the file only the owner can read; make it at the first start."""
        if home.api_key_file.exists():
            key = home.api_key_file.read_text(errors="replace").strip()
            if self.user_of(key):
                return key
        key = self.create("owner")
        write_atomically(home.api_key_file, key + "\n", mode=0o600)
        return key

    def users(self) -> list[User]:
        """Return all users, the owner first."""
        return [OWNER, *(User(**entity.body) for entity in self._catalog.find(0, _USER))]

    def find_user(self, email: str) -> User | None:
        """Return a user by e-mail address, which is not case-sensitive, or None."""
        if email.lower() == OWNER.email:
            return OWNER
        entity = self._catalog.first(0, _USER, name=email.lower())
        return User(**entity.body) if entity else None

    def user(self, uid: int) -> User:
        """Return a user by number.

        Raises
        ------
        ApiError
            404 if there is none.
        """
        for user in self.users():
            if user.uid == uid:
                return user
        raise not_found(f"no user with id {uid}", USER_NOT_FOUND)

    def register(self, email: str, first_name: str, last_name: str, *, is_admin: bool = False) -> User:
        """Add a user, who has no key and is in no project yet.

        Raises
        ------
        ApiError
            400 if the address is none or is taken.
        """
        if not _EMAIL.match(email):
            raise bad_request(f"{email!r} is not an e-mail address, such as name@example.org")
        if self.find_user(email) is not None:
            raise conflict(f"there is a user {email!r} already", USER_EXISTS)
        name = re.sub(r"[^a-z0-9]", "", email.lower().partition("@")[0])[:8] or "user"
        try:
            with self._catalog.transaction():
                entity = self._catalog.add(0, _USER, email.lower(), {})
                user = User(_FIRST_UID + entity.id, name, email.lower(), first_name, last_name, is_admin)
                self._catalog.update(entity, asdict(user))
        except DuplicateEntityError:
            raise conflict(f"there is a user {email!r} already", USER_EXISTS) from None
        return user

    def set_admin(self, user: User, is_admin: bool) -> User:
        """Make a user an administrator, or no longer one.

        Raises
        ------
        ApiError
            400 for the owner, who stays one.
        """
        if user == OWNER:
            raise bad_request("the owner of this platform is its administrator for good")
        changed = replace(user, is_admin=is_admin)
        with self._catalog.transaction():
            entity = self._catalog.first(0, _USER, name=user.email)
            if entity is None:
                raise not_found(f"no user {user.email!r}", USER_NOT_FOUND)
            self._catalog.update(entity, asdict(changed))
        return changed

    def remove_user(self, user: User) -> None:
        """Remove a user with the keys and memberships.

        Raises
        ------
        ApiError
            400 for the owner.
        """
        if user == OWNER:
            raise bad_request("the owner of this platform cannot be removed")
        with self._catalog.transaction():
            doomed = [*self._keys_of(user.email), *self._catalog.find(0, _USER, name=user.email)]
            doomed += self._catalog.find(None, "member", name=user.email)
            for entity in doomed:
                self._catalog.remove(entity)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
