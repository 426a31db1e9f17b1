"""Statistics computed by the server: after each commit, when a client asks for a commit's, and by a job.

The client's Python engine computes none for feature groups. A commit is answered at once; its statistics follow in a
thread, the newest commit of a group only if several came meanwhile. Whoever asks for those of a commit that has none
yet, or none any more, gets them computed then, so nothing depends on the thread: it only makes the answer quick.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import Any

from deltalake.exceptions import DeltaError
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from deepcube.embedded.catalog import Entity, now_ms
from deepcube.embedded.errors import ApiError, EmbeddedError, not_found
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.quality import activities, dataset_statistics, statistics
from deepcube.embedded.quality.filters import Filters
from deepcube.embedded.quality.profile import ProfileConfig, profile
from deepcube.embedded.quality.statistics import StatisticsQuery
from deepcube.embedded.query.engine import connect
from deepcube.embedded.runtime.builtin import BUILTINS, ensure_job, run_job, say
from deepcube.embedded.store import commits, datasets, groups

COMMIT_NOT_FOUND = 270227
JOB_KIND = "statistics"
_CLOSE_SECONDS = 5.0

_log = logging.getLogger(__name__)

Json = dict[str, Any]


class StatisticsService:
    """Computes the statistics of feature groups.

    Parameters
    ----------
    platform : Platform
        Shared state.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._queue: OrderedDict[int, int] = OrderedDict()  # feature group -> its newest commit
        self._changed = threading.Condition()
        self._closing = False
        self._busy: dict[int, threading.Lock] = {}
        self._worker: threading.Thread | None = None

    def schedule(self, group: Entity, commit: Entity) -> None:
        """Compute the statistics of a commit soon, if the group wants any."""
        if not is_enabled(group):
            return
        with self._changed:
            self._queue[group.id] = commit.id
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="statistics", daemon=True)
                self._worker.start()
            self._changed.notify()

    def close(self) -> None:
        """Stop after the commit at hand, or without it if it takes long: it is computed again when asked for."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._worker is not None:
            self._worker.join(_CLOSE_SECONDS)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                group_id, commit_id = self._queue.popitem(last=False)
            try:
                self._compute_scheduled(group_id, commit_id)
            except Exception:
                _log.exception("the statistics of feature group %d could not be computed", group_id)

    def _compute_scheduled(self, group_id: int, commit_id: int) -> None:
        group = self._platform.catalog.get(group_id, groups.KIND)
        commit = self._platform.catalog.get(commit_id, commits.KIND)
        if group is not None and commit is not None:
            self.of_commit(group, commit)

    def of_commit(self, group: Entity, commit: Entity, *, again: bool = False) -> Entity:
        """Return the statistics of a feature group as of a commit; computed, if there are none.

        Parameters
        ----------
        group, commit : Entity
            The feature group and its commit.
        again : bool
            Compute them even if there are some: the configuration may have changed since.
        """
        with self._changed:
            busy = self._busy.setdefault(group.id, threading.Lock())
        with busy:  # who asks while they are being computed waits for them instead of computing them too
            found = None if again else self._of_commit(group, commit)
            return found or self._compute(group, commit)

    def _of_commit(self, group: Entity, commit: Entity) -> Entity | None:
        query = StatisticsQuery(Filters.parse([f"window_end_commit_time_eq:{commit.body['commitTime']}"]))
        return statistics.newest(self._platform, group, query)

    def _compute(self, group: Entity, commit: Entity) -> Entity:
        config = ProfileConfig.from_document(group.body.get("statisticsConfig"))
        documents = profile_group(self._platform, group, config, commit)
        with self._platform.catalog.transaction():
            if self._platform.catalog.get(commit.id) is None:  # the group was removed or emptied meanwhile
                raise not_found(f"feature group {group.name!r} has no such commit any more", COMMIT_NOT_FOUND)
            document = {
                "computationTime": now_ms(),
                "windowEndCommitTime": commit.body["commitTime"],
                "featureDescriptiveStatistics": documents,
            }
            kept = statistics.save(self._platform, group, document)
            statistics.forget_oldest(self._platform, group)
            detail = {"statistics": {"computationTime": kept.body["computationTime"], "features": len(documents)}}
            message = "The statistics of the feature group were computed"
            activities.record(self._platform, group, activities.STATISTICS, message, detail=detail)
        return kept


def is_enabled(group: Entity) -> bool:
    """Tell whether a feature group wants statistics; they are on unless its configuration turns them off."""
    config = group.body.get("statisticsConfig") or {}
    return config.get("enabled") is not False and not groups.is_external(group.body)


def profile_group(platform: Platform, group: Entity, config: ProfileConfig, commit: Entity | None) -> list[Json]:
    """Return the statistics of the rows that a feature group had after a commit.

    Parameters
    ----------
    platform : Platform
        Shared state.
    group : Entity
        The feature group.
    config : ProfileConfig
        What to compute.
    commit : Entity or None
        The commit; None for the rows as they are.
    """
    project = platform.project(group.project_id)
    version = None if commit is None else commit.version - 1  # the catalog keeps the table's version plus one
    try:
        table = groups.delta_table(platform, project, group, version)
    except DeltaError as error:  # the table was emptied or removed since
        raise not_found(
            f"feature group {group.name!r} has no such commit any more: {error}", COMMIT_NOT_FOUND
        ) from None
    rows = groups.arrow_schema(group.body).empty_table()
    if table is not None:
        # Arrow's own file system: through that of the Delta library the server keeps more memory with every read.
        place = SubTreeFileSystem(str(groups.delta_location(platform, project, group)), LocalFileSystem())
        rows = table.to_pyarrow_dataset(filesystem=place)
    present = set(rows.schema.names)
    names = [feature["name"] for feature in group.body["features"] if feature["name"] in present]
    with connect(platform) as connection:
        connection.register("written", rows)
        listed = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
        if not listed:
            return []
        connection.execute(f"CREATE TEMP VIEW features AS SELECT {listed} FROM written")
        return profile(connection, "features", config)


def commit_at(platform: Platform, group: Entity, time_ms: int) -> Entity:
    """Return the newest commit of a feature group at or before a time.

    Raises
    ------
    ApiError
        404 (270227) if there is none.
    """
    project = platform.project(group.project_id)
    found = commits.commits(platform, project, group, time_ms, 1)
    if not found:
        raise not_found(
            f"feature group {group.name!r} version {group.version} has no commit at or before {time_ms}",
            COMMIT_NOT_FOUND,
        )
    return found[0]


def of_group(platform: Platform, group: Entity, query: StatisticsQuery) -> list[Json]:
    """Return the statistics of a feature group that a call asks for.

    The end of a window that is asked for exactly means the newest commit at or before it, as in Hopsworks; the
    statistics of a commit that has none are computed. A call for the newest ones gets those of the newest commit.

    Raises
    ------
    ApiError
        404 if there are none, and none to compute.
    """
    window = query.window()
    service = platform.service(StatisticsService)
    if set(window) == {"window_end_commit_time"} and not query.filters.values("row_percentage", "eq"):
        commit = commit_at(platform, group, window["window_end_commit_time"])
        if is_enabled(group):
            service.of_commit(group, commit)
        query = query.with_window_end(commit.body["commitTime"])
    elif not query.filters.conditions and is_enabled(group):
        newest = commits.commits(platform, platform.project(group.project_id), group, None, 1)
        if newest:
            service.of_commit(group, newest[0])
    return statistics.first(platform, group, query)


def start_job(platform: Platform, project: Project, artifact: Entity, arguments: Json) -> Entity:
    """Start the job that computes statistics anew, and return it.

    Parameters
    ----------
    platform : Platform
        Shared state.
    project : Project
        Project of the artifact.
    artifact : Entity
        Feature group or training dataset.
    arguments : dict
        ``group`` and, for the rows as of an earlier time, ``until`` (milliseconds); or ``dataset``.
    """
    name = f"{artifact.name}_{artifact.version}_compute_statistics"
    job = ensure_job(platform, project, name, kind=JOB_KIND, **arguments)
    run_job(platform, project, job)
    return job


def run(platform: Platform, project: Project, arguments: Json) -> None:
    """Compute the statistics of a feature group or training dataset: the built-in job of kind ``statistics``."""
    if "dataset" in arguments:
        _run_dataset(platform, project, int(arguments["dataset"]))
        return
    group = groups.find_group(platform, project, int(arguments["group"]))
    until = arguments.get("until")
    try:
        commit = commit_at(platform, group, now_ms() if until is None else int(until))
    except ApiError as error:
        say(error.message)
        return
    kept = platform.service(StatisticsService).of_commit(group, commit, again=True)
    say(f"computed the statistics of {group.name} version {group.version} as of {kept.body['windowEndCommitTime']}")


def _run_dataset(platform: Platform, project: Project, dataset_id: int) -> None:
    dataset = platform.catalog.get(dataset_id, datasets.KIND)
    if dataset is None:
        raise EmbeddedError("the training dataset was removed")
    kept = dataset_statistics.refresh(platform, project, dataset, again=True)
    say("this training dataset has no files" if kept is None else f"computed the statistics of {dataset.name}")


BUILTINS[JOB_KIND] = run
