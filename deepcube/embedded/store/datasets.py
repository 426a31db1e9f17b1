"""Training datasets of feature views: their metadata, and the files of those that are materialised.

Files are first written into a folder beside their place and then moved there, so that a dataset is the old one or the
new one, never a part; :func:`recover`, at the start of a server, ends a move that a crash cut short.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deepcube.embedded.catalog import DuplicateEntityError, Entity
from deepcube.embedded.errors import TRAINING_DATASET_NOT_FOUND, bad_request, conflict, not_found, unsupported
from deepcube.embedded.home import sync_folder
from deepcube.embedded.keys import OWNER
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.store import views
from deepcube.embedded.store.names import check_version

KIND = "training_dataset"
IN_MEMORY = "IN_MEMORY_TRAINING_DATASET"
FORMATS = ("parquet", "csv", "tsv")
_NEW, _OLD = ".new-", ".old-"
_KEPT = (
    "name",
    "description",
    "dataFormat",
    "coalesce",
    "trainingDatasetType",
    "splits",
    "seed",
    "statisticsConfig",
    "trainSplit",
    "eventStartTime",
    "eventEndTime",
    "extraFilter",
    "spineAnchored",
    "lookback",
)
_CONFLICT = 270011

Json = dict[str, Any]

#: Functions that add parts of other modules (tags, ...) to a dataset's document.
DOCUMENT_PARTS: list[Callable[[Platform, Entity, Json], None]] = []
#: Functions called, inside the transaction, with the entity and the request's document when a dataset is made.
CREATE_HOOKS: list[Callable[[Platform, Project, Entity, Json], None]] = []
#: Functions that return what uses a feature view or dataset, as text for a message (models, deployments).
USERS: list[Callable[[Platform, Project, Entity], list[str]]] = []


def find_dataset(platform: Platform, view: Entity, version: int) -> Entity:
    """Return a training dataset of a feature view.

    Raises
    ------
    ApiError
        404 (270012) if there is none.
    """
    entity = platform.catalog.first(view.project_id, KIND, parent_id=view.id, version=version)
    if entity is None:
        raise not_found(
            f"feature view {view.name!r} version {view.version} has no training dataset version {version}",
            TRAINING_DATASET_NOT_FOUND,
        )
    return entity


def datasets_of(platform: Platform, view: Entity) -> list[Entity]:
    """Return the training datasets of a feature view, oldest first."""
    return platform.catalog.find(view.project_id, KIND, parent_id=view.id)


def create_dataset(platform: Platform, project: Project, view: Entity, document: Json) -> Entity:
    """Make the metadata of a training dataset from the client's document.

    Raises
    ------
    ApiError
        400 if the document is not valid or the version exists.
    """
    version = check_version(document.get("version"), "training dataset")
    body = {key: document[key] for key in _KEPT if document.get(key) is not None}
    body["name"] = document.get("name") or view.name
    body["splits"] = document.get("splits") or []
    body["creator"] = OWNER.document()
    _check(document, body)
    _bound(body)
    with platform.catalog.transaction():
        if version is None:
            version = platform.catalog.next_version(project.id, KIND, view.name, view.id)
        try:
            entity = platform.catalog.add(project.id, KIND, view.name, body, version=version, parent_id=view.id)
        except DuplicateEntityError:
            raise conflict(
                f"feature view {view.name!r} version {view.version} has a training dataset version {version} already",
                _CONFLICT,
            ) from None
        platform.files.remove(place(platform, project, view, entity))
        for hook in CREATE_HOOKS:
            hook(platform, project, entity, document)
    return entity


def _check(document: Json, body: Json) -> None:
    name, kind = str(body["name"]), str(body.get("dataFormat") or "parquet").lower()
    if "/" in name or name in ("", ".", "..") or name.startswith("."):
        raise bad_request(f"{name!r} cannot be the name of a training dataset")
    for split in body["splits"]:
        if not str(split.get("name") or "").isidentifier():
            raise bad_request(f"{split.get('name')!r} cannot be the name of a split; use letters, digits, underscores")
    if body.get("trainingDatasetType") == IN_MEMORY:
        return
    if kind not in FORMATS:
        raise unsupported(
            f"a training dataset in format {kind!r}", f"the formats that the Python client can read are {FORMATS}"
        )
    connector = (document.get("dataSource") or {}).get("storageConnector") or {}
    if body.get("trainingDatasetType") == "EXTERNAL_TRAINING_DATASET":
        raise unsupported(
            f"a training dataset in the storage {connector.get('name')!r}", "training datasets lie in the project"
        )


def _bound(body: Json) -> None:
    """Let splits by time say which rows are read at all."""
    splits = [split for split in body["splits"] if split.get("splitType") == "TIME_SERIES_SPLIT"]
    starts, ends = [split.get("startTime") for split in splits], [split.get("endTime") for split in splits]
    if splits and all(isinstance(time, int) for time in starts + ends):
        body["eventStartTime"], body["eventEndTime"] = min(starts), max(ends)


def dataset_document(platform: Platform, project: Project, view: Entity, entity: Entity) -> Json:
    """Return a training dataset as the REST API writes one.

    Its data source names no path, since with one the client would start a Spark job to write it.
    """
    document = {
        **entity.body,
        "id": entity.id,
        "version": entity.version,
        "created": entity.created,
        "type": "trainingDatasetDTO",
        "featurestoreId": project.id,
        "featurestoreName": project.featurestore_name,
        "featureViewName": view.name,
        "featureViewVersion": view.version,
        "features": [],
        "fromQuery": True,
        "location": platform.files.public(place(platform, project, view, entity)),
        "dataSource": {"storageConnector": training_store(project), "path": ""},
        "statisticsConfig": entity.body.get("statisticsConfig") or {"enabled": False},
    }
    for part in DOCUMENT_PARTS:
        part(platform, entity, document)
    return document


def training_store(project: Project) -> Json:
    """Return the connector of the folder where training datasets are written."""
    name = f"{project.name}_Training_Datasets"
    return {
        "type": "featurestoreHopsfsConnectorDTO",
        "storageConnectorType": "HOPSFS",
        "id": project.id,
        "name": name,
        "featurestoreId": project.id,
        "description": "training datasets",
        "hopsfsPath": f"/Projects/{project.name}/{name}",
        "datasetName": name,
    }


def update_dataset(platform: Platform, entity: Entity, document: Json) -> Entity:
    """Change the description or the statistics configuration of a training dataset."""
    changes = {key: document[key] for key in ("description", "statisticsConfig") if document.get(key) is not None}
    return platform.catalog.update(entity, {**entity.body, **changes})


def place(platform: Platform, project: Project, view: Entity, entity: Entity) -> Path:
    """Return the folder of a training dataset's files."""
    folder = platform.files.project_folder(project.name) / f"{project.name}_Training_Datasets"
    return folder / f"{view.name}_{view.version}_{entity.version}"


def job_name(view: Entity, entity: Entity) -> str:
    """Return the name of the job that writes a training dataset."""
    return f"{view.name}_{view.version}_{entity.version}_create_fv_td"


def delete_dataset(platform: Platform, project: Project, view: Entity, entity: Entity) -> None:
    """Remove a training dataset with its job and its files."""
    with platform.catalog.transaction():
        platform.catalog.remove(entity)
        for job in platform.catalog.find(project.id, "job", name=job_name(view, entity)):
            platform.catalog.remove(job)
    platform.files.remove(place(platform, project, view, entity))


def purge_dataset(platform: Platform, project: Project, view: Entity, entity: Entity) -> None:
    """Remove the files of a training dataset and keep its metadata."""
    platform.files.remove(place(platform, project, view, entity))


def delete_view(platform: Platform, project: Project, view: Entity, *, force: bool = False) -> None:
    """Remove a feature view with its training datasets.

    Raises
    ------
    ApiError
        400 if a model or a deployment uses it and the caller does not force it.
    """
    users = [user for users in USERS for user in users(platform, project, view)]
    if users and not force:
        raise bad_request(
            f"feature view {view.name!r} version {view.version} is used by {', '.join(users)}; delete with force=True "
            "to remove it all the same"
        )
    for hook in views.DELETE_HOOKS:
        hook(platform, project, view)
    with platform.catalog.transaction():
        doomed = datasets_of(platform, view)
        for entity in doomed:
            for job in platform.catalog.find(project.id, "job", name=job_name(view, entity)):
                platform.catalog.remove(job)
        platform.catalog.remove(view)
    for entity in doomed:
        platform.files.remove(place(platform, project, view, entity))


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """Give a folder to write into; at the end it takes the place of another, unless something went wrong.

    Parameters
    ----------
    target : Path
        Folder that is replaced; it need not exist.
    """
    new, old = target.with_name(_NEW + target.name), target.with_name(_OLD + target.name)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        _sync(new)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        new.rename(target)
        sync_folder(target.parent)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _sync(folder: Path) -> None:
    """Make the files of a folder durable."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
    sync_folder(folder)


def recover(platform: Platform) -> None:
    """Finish or undo what a crash left of :func:`replaced`, in every project."""
    for project in platform.projects():
        folder = platform.files.project_folder(project.name) / f"{project.name}_Training_Datasets"
        for old in folder.glob(f"{_OLD}*"):
            target = old.with_name(old.name.removeprefix(_OLD))
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.rename(target)
        for new in folder.glob(f"{_NEW}*"):
            shutil.rmtree(new, ignore_errors=True)


def views_of(platform: Platform, entity: Entity) -> Entity:
    """Return the feature view of a training dataset."""
    view = platform.catalog.get(entity.parent_id, views.KIND)
    assert view is not None
    return view
