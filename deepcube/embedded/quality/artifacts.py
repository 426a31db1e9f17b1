"""Find what a path of the REST API names: groups, views, training datasets, models and deployments of one project.

Every lookup is inside one project, so that an id of another project is as unknown as one that was never given out.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import (
    FEATURE_GROUP_NOT_FOUND,
    FEATURE_VIEW_NOT_FOUND,
    JOB_NOT_FOUND,
    MODEL_NOT_FOUND,
    SERVING_NOT_FOUND,
    TRAINING_DATASET_NOT_FOUND,
    not_found,
)
from deepcube.embedded.platform import Platform, Project

FEATURE_GROUP = "feature_group"
FEATURE_VIEW = "feature_view"
TRAINING_DATASET = "training_dataset"
MODEL = "model"
DEPLOYMENT = "deployment"
JOB = "job"
COMMIT = "commit"


@dataclass(frozen=True)
class Artifacts:
    """The artifacts of one project.

    Attributes
    ----------
    platform : Platform
        Shared state.
    project : Project
        Whose artifacts these are.
    """

    platform: Platform
    project: Project

    def _by_id(self, kind: str, entity_id: int, label: str, code: int) -> Entity:
        entity = self.platform.catalog.get(entity_id, kind)
        if entity is None or entity.project_id != self.project.id:
            raise not_found(f"no {label} with id {entity_id} in project {self.project.name!r}", code)
        return entity

    def _by_name(self, kind: str, name: str, version: int, label: str, code: int, parent_id: int | None) -> Entity:
        entity = self.platform.catalog.first(self.project.id, kind, name=name, version=version, parent_id=parent_id)
        if entity is None:
            raise not_found(f"no {label} {name!r} version {version} in project {self.project.name!r}", code)
        return entity

    def group(self, group_id: int) -> Entity:
        """Return a feature group by id.

        Raises
        ------
        ApiError
            404 if the project has none.
        """
        return self._by_id(FEATURE_GROUP, group_id, "feature group", FEATURE_GROUP_NOT_FOUND)

    def view(self, name: str, version: int) -> Entity:
        """Return a feature view.

        Raises
        ------
        ApiError
            404 if the project has none.
        """
        return self._by_name(FEATURE_VIEW, name, version, "feature view", FEATURE_VIEW_NOT_FOUND, None)

    def training_dataset(self, view: Entity, version: int) -> Entity:
        """Return a training dataset of a feature view.

        Raises
        ------
        ApiError
            404 if the view has none with this version.
        """
        entity = self.platform.catalog.first(self.project.id, TRAINING_DATASET, parent_id=view.id, version=version)
        if entity is None:
            raise not_found(
                f"feature view {view.name!r} version {view.version} has no training dataset version {version}",
                TRAINING_DATASET_NOT_FOUND,
            )
        return entity

    def model(self, name_version: str) -> Entity:
        """Return a model by ``<name>_<version>``.

        Raises
        ------
        ApiError
            404 if the project has none.
        """
        name, _, version = name_version.rpartition("_")
        if not version.isdigit():
            raise not_found(f"no model {name_version!r}: expected <name>_<version>", MODEL_NOT_FOUND)
        return self._by_name(MODEL, name, int(version), "model", MODEL_NOT_FOUND, None)

    def deployment(self, deployment_id: int) -> Entity:
        """Return a deployment by id.

        Raises
        ------
        ApiError
            404 if the project has none.
        """
        return self._by_id(DEPLOYMENT, deployment_id, "deployment", SERVING_NOT_FOUND)

    def job(self, name: str) -> Entity:
        """Return a job by name.

        Raises
        ------
        ApiError
            404 if the project has none.
        """
        entity = self.platform.catalog.first(self.project.id, JOB, name=name)
        if entity is None:
            raise not_found(f"no job {name!r} in project {self.project.name!r}", JOB_NOT_FOUND)
        return entity
