"""The platform: what every wire and every resource of the API shares."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from deepcube.embedded.catalog import Catalog, Entity
from deepcube.embedded.certificates import Certificates
from deepcube.embedded.errors import PROJECT_NOT_FOUND, ApiError, not_found
from deepcube.embedded.files import Files
from deepcube.embedded.home import Home, Settings
from deepcube.embedded.keys import ApiKeys

PROJECT = "project"
_Service = TypeVar("_Service")


@dataclass(frozen=True)
class Project:
    """A project; its feature store and its model registry carry the same id.

    Attributes
    ----------
    id : int
        Id of the project.
    name : str
        Name of the project.
    created : str
        ISO 8601 time.
    """

    id: int
    name: str
    created: str

    @property
    def featurestore_name(self) -> str:
        """Name of the offline feature store (``<project>_featurestore``)."""
        return f"{self.name}_featurestore"


@dataclass
class Platform:
    """State shared by all wires of one server.

    Attributes
    ----------
    home : Home
        Where everything is kept.
    settings : Settings
        Ports and passwords.
    catalog : Catalog
        Metadata.
    files : Files
        Project files.
    keys : ApiKeys
        Who may call.
    certificates : Certificates
        TLS material of all wires.
    """

    home: Home
    settings: Settings
    catalog: Catalog
    files: Files
    keys: ApiKeys
    certificates: Certificates
    _services: dict[type, object] = field(default_factory=dict)
    _guard: threading.RLock = field(default_factory=threading.RLock)

    def service(self, kind: type[_Service], make: Callable[[Platform], _Service] | None = None) -> _Service:
        """Return the one service of a class (the online store, the job runner, ...), made at first use.

        Parameters
        ----------
        kind : type
            Class of the service.
        make : callable, optional
            Builds it from the platform; the class itself is called by default.
        """
        with self._guard:
            if kind not in self._services:
                self._services[kind] = (make or kind)(self)  # type: ignore[call-arg]
            return self._services[kind]  # type: ignore[return-value]

    def close(self) -> None:
        """Stop the services, newest first, and close the catalog."""
        for service in reversed(list(self._services.values())):
            close = getattr(service, "close", None)
            if close is not None:
                close()
        self._services.clear()
        self.catalog.close()

    def project(self, project_id: int) -> Project:
        """Return a project.

        Raises
        ------
        ApiError
            If there is none with this id.
        """
        entity = self.catalog.get(project_id, PROJECT)
        if entity is None:
            raise not_found(f"no project with id {project_id}", PROJECT_NOT_FOUND)
        return as_project(entity)

    def projects(self) -> list[Project]:
        """Return all projects, oldest first."""
        return [as_project(entity) for entity in self.catalog.find(0, PROJECT)]

    def project_named(self, name: str) -> Project:
        """Return a project by name.

        Raises
        ------
        ApiError
            If there is none; the message lists those there are.
        """
        entity = self.catalog.first(0, PROJECT, name=name)
        if entity is None:
            known = ", ".join(project.name for project in self.projects())
            raise ApiError(404, PROJECT_NOT_FOUND, f"no project named {name!r}; there are: {known}")
        return as_project(entity)

    def create_project(self, name: str) -> Project:
        """Make a project with its folders, or return it if it exists."""
        entity = self.catalog.first(0, PROJECT, name=name)
        if entity is None:
            self.files.create_project(name)
            entity = self.catalog.add(0, PROJECT, name, {})
        return as_project(entity)

    @property
    def rest_url(self) -> str:
        """Base address of the REST API."""
        return f"https://127.0.0.1:{self.settings.ports['rest']}/hopsworks-api/api"

    def client_environment(self) -> dict[str, str]:
        """Return the variables with which a bare ``hopsworks.login()`` reaches this platform."""
        return client_environment(self.home, self.settings, self.keys.owner_key(self.home))


def as_project(entity: Entity) -> Project:
    """Read a project from its catalog entity."""
    return Project(entity.id, entity.name, entity.created)


def client_environment(home: Home, settings: Settings, api_key: str) -> dict[str, str]:
    """Return the ``HOPSWORKS_*`` variables that point the client at a home folder's server.

    Parameters
    ----------
    home : Home
        Home folder of the server.
    settings : Settings
        Its settings, with the port of the REST wire.
    api_key : str
        A key of the user.
    """
    return {
        "HOPSWORKS_HOST": "127.0.0.1",
        "HOPSWORKS_PORT": str(settings.ports["rest"]),
        "HOPSWORKS_PROJECT": settings.project,
        "HOPSWORKS_API_KEY": api_key,
        "HOPSWORKS_HOSTNAME_VERIFICATION": "true",
        "HOPSWORKS_TRUST_STORE_PATH": str(home.certificates / "ca.pem"),
        "HOPSWORKS_ENGINE": "python",
    }
