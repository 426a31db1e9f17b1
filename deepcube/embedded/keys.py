"""API keys: made once, kept as hashes, checked on every call of every wire."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from deepcube.embedded.catalog import Catalog
from deepcube.embedded.home import Home, write_atomically

_KIND = "api_key"


@dataclass(frozen=True)
class User:
    """Who calls.

    Attributes
    ----------
    uid : int
        Number of the user.
    name, email : str
        As Hopsworks shows them.
    """

    uid: int = 10000
    name: str = "deepcube"
    email: str = "deepcube@localhost"

    def document(self) -> dict[str, object]:
        """Return the user as the REST API writes one."""
        return {
            "uid": self.uid,
            "username": self.name,
            "email": self.email,
            "firstName": "DeepCube",
            "lastName": "Owner",
            "fname": "DeepCube",
            "lname": "Owner",
        }


OWNER = User()


class ApiKeys:
    """The API keys of a platform. A key reads ``<prefix>.<secret>``; only a SHA-256 of the secret is stored.

    The secret has 256 random bits, so a plain hash cannot be searched and no slow hash is needed.

    Parameters
    ----------
    catalog : Catalog
        Where the hashes are.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def create(self, label: str) -> str:
        """Make a key and return it; it cannot be read again later.

        Parameters
        ----------
        label : str
            What the key is for.
        """
        prefix, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        self._catalog.add(0, _KIND, prefix, {"hash": _hash(secret), "label": label})
        return f"{prefix}.{secret}"

    def user_of(self, key: str) -> User | None:
        """Return the owner of a key, or None if the key is not valid."""
        prefix, _, secret = key.partition(".")
        entity = self._catalog.first(0, _KIND, name=prefix)
        if entity is None or not hmac.compare_digest(entity.body["hash"], _hash(secret)):
            return None
        return OWNER

    def owner_key(self, home: Home) -> str:
        """Return the owner's key, from the file only the owner can read; make it at the first start."""
        if home.api_key_file.exists():
            key = home.api_key_file.read_text().strip()
            if self.user_of(key):
                return key
        key = self.create("owner")
        write_atomically(home.api_key_file, key + "\n", mode=0o600)
        return key


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
