"""Descriptive statistics of feature groups, feature views and training datasets: kept, and found again.

A *statistics* entity says of which artifact, window and moment the numbers are; below it lies one entity per feature
(and split), so that the numbers of a wide group are only read where a call asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from deepcube.embedded.catalog import DuplicateEntityError, Entity, now_ms
from deepcube.embedded.errors import STATISTICS_NOT_FOUND, bad_request, not_found
from deepcube.embedded.platform import Platform
from deepcube.embedded.quality import checks
from deepcube.embedded.quality.filters import Filters

STATISTICS = "statistics"
FEATURE = "feature_statistics"

KEPT_COMMITS = 100
KEPT_WINDOWS = 1000

_WINDOW = {
    "window_start_commit_time": "windowStartCommitTime",
    "window_end_commit_time": "windowEndCommitTime",
    "window_start_event_time": "windowStartEventTime",
    "window_end_event_time": "windowEndEventTime",
    "event_time": "eventTime",
}
_FIELDS = {
    **_WINDOW,
    "computation_time": "computationTime",
    "row_percentage": "rowPercentage",
    "before_transformation": "beforeTransformation",
}
_TIMES = ("computationTime", *(key for key in _WINDOW.values() if key != "eventTime"))
# A lookup by these, with "equal", means one window: the bounds that it does not name must be open.
_BOUNDS = ("window_start_commit_time", "window_end_commit_time", "window_start_event_time", "window_end_event_time")

Json = dict[str, Any]


@dataclass(frozen=True)
class StatisticsQuery:
    """Which statistics of an artifact a call asks for.

    Attributes
    ----------
    filters : Filters
        On the window, the time of computation, the fraction of rows, and "before transformation".
    feature_names : tuple of str
        Only these features; all if empty.
    sort_by : tuple of str
        ``<field>:<asc|desc>``; newest computation first if empty.
    offset, limit : int
        Which part of the list.
    with_content : bool
        Whether the numbers are wanted, or only what there is.
    """

    filters: Filters = field(default_factory=Filters)
    feature_names: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    offset: int = 0
    limit: int | None = None
    with_content: bool = True

    def __post_init__(self) -> None:
        """Refuse fields that statistics do not have."""
        unknown = self.filters.unknown(_FIELDS)
        if unknown:
            raise bad_request(f"statistics cannot be filtered by {', '.join(unknown)}; only by {', '.join(_FIELDS)}")

    def window(self) -> dict[str, Any]:
        """Return the bounds that are asked for exactly."""
        return {name: found[0] for name in _BOUNDS if (found := self.filters.values(name, "eq"))}

    def matches(self, body: Json) -> bool:
        """Tell whether statistics are asked for."""
        if not all(self.filters.holds(name, body.get(key)) for name, key in _FIELDS.items()):
            return False
        window = self.window()
        if not window and self.limit == 1 and "rowPercentage" in body and not _is_whole(body):
            return False  # the newest ones are those of all rows, not those of a window that monitoring looked at
        return not window or all(name in window or body.get(_WINDOW[name]) is None for name in _BOUNDS)

    def with_window_end(self, time_ms: int) -> StatisticsQuery:
        """Return the query with another end of the window of commits."""
        others = tuple(c for c in self.filters.conditions if c[0] != "window_end_commit_time")
        return replace(self, filters=Filters((*others, ("window_end_commit_time", "eq", time_ms))))


def save(platform: Platform, artifact: Entity, document: Json) -> Entity:
    """Keep the statistics of an artifact.

    Parameters
    ----------
    platform : Platform
        Shared state.
    artifact : Entity
        Feature group, feature view or training dataset.
    document : dict
        As the client writes it: ``computationTime``, window, ``featureDescriptiveStatistics``, ``splitStatistics``.

    Raises
    ------
    ApiError
        400 if the document is not one.
    """
    body = _header(document)
    splits = checks.objects(document.get("splitStatistics"), "splitStatistics")
    body["splits"] = [checks.name(split.get("name"), "the name of a split") for split in splits]
    catalog = platform.catalog
    with catalog.transaction():
        number = catalog.next_version(artifact.project_id, STATISTICS, STATISTICS, artifact.id)
        kept = catalog.add(artifact.project_id, STATISTICS, STATISTICS, body, version=number, parent_id=artifact.id)
        _save_features(platform, kept, 0, document)
        for position, split in enumerate(splits, start=1):
            _save_features(platform, kept, position, split)
    return kept


def _header(document: Json) -> Json:
    """Return of what statistics are, and when they were computed."""
    body: Json = {key: checks.integer(document.get(key), key) for key in _TIMES}
    body["eventTime"] = checks.text(document.get("eventTime"), "eventTime")
    fraction = checks.number(document.get("rowPercentage"), "rowPercentage")
    body = {key: value for key, value in body.items() if value is not None}
    body.setdefault("computationTime", now_ms())
    before = document.get("beforeTransformation") is True
    return {**body, "rowPercentage": 1.0 if fraction is None else fraction, "beforeTransformation": before}


def _save_features(platform: Platform, kept: Entity, split: int, holder: Json) -> None:
    field_name = "featureDescriptiveStatistics"
    for document in checks.objects(holder.get(field_name), field_name):
        name = checks.name(document.get("featureName"), "featureName")
        body = {key: value for key, value in document.items() if key not in ("id", "featureName") and value is not None}
        try:
            platform.catalog.add(kept.project_id, FEATURE, name, body, version=split, parent_id=kept.id)
        except DuplicateEntityError:
            raise bad_request(f"{field_name} holds feature {name!r} twice") from None


def find(platform: Platform, artifact: Entity, query: StatisticsQuery) -> list[Json]:
    """Return the statistics of an artifact that a call asks for, as the REST API writes them."""
    found = platform.catalog.find(artifact.project_id, STATISTICS, parent_id=artifact.id, newest_first=True)
    wanted = [entity for entity in found if query.matches(entity.body)]
    if query.feature_names:
        wanted = [entity for entity in wanted if _features(platform, entity, query.feature_names)]
    for sort in reversed(query.sort_by or ("computation_time:desc",)):
        name, _, direction = sort.partition(":")
        if name.lower() not in _FIELDS:
            raise bad_request(f"statistics cannot be sorted by {name!r}; only by {', '.join(_FIELDS)}")
        wanted.sort(key=_sort_key(_FIELDS[name.lower()]), reverse=direction.lower() == "desc")
    end = None if query.limit is None else query.offset + query.limit
    return [
        document(platform, entity, query.feature_names, query.with_content) for entity in wanted[query.offset : end]
    ]


def _sort_key(field_name: str) -> Callable[[Entity], Any]:
    return lambda entity: entity.body.get(field_name) or 0


def newest(platform: Platform, artifact: Entity, query: StatisticsQuery) -> Entity | None:
    """Return the newest statistics that a query names, or None."""
    found = platform.catalog.find(artifact.project_id, STATISTICS, parent_id=artifact.id, newest_first=True)
    return next((entity for entity in found if query.matches(entity.body)), None)


def forget_oldest(
    platform: Platform, artifact: Entity, commits: int = KEPT_COMMITS, windows: int = KEPT_WINDOWS
) -> None:
    """Remove the oldest statistics of an artifact, which can be computed again.

    Parameters
    ----------
    platform : Platform
        Shared state.
    artifact : Entity
        Feature group or feature view.
    commits, windows : int
        How many of single commits, and of the windows that monitoring looked at, stay.
    """
    found = platform.catalog.find(artifact.project_id, STATISTICS, parent_id=artifact.id, newest_first=True)
    whole = [entity for entity in found if _is_whole(entity.body) and "windowEndCommitTime" in entity.body]
    parts = [entity for entity in found if not _is_whole(entity.body)]
    for entity in (*whole[commits:], *parts[windows:]):
        platform.catalog.remove(entity)


def _is_whole(body: Json) -> bool:
    """Tell whether statistics are about all rows as of a commit, or of a dataset."""
    return not {"windowStartCommitTime", "eventTime"} & set(body) and body["rowPercentage"] == 1.0


def first(platform: Platform, artifact: Entity, query: StatisticsQuery) -> list[Json]:
    """Return what :func:`find` returns, which must be something.

    Raises
    ------
    ApiError
        404 (270228) if there are none.
    """
    found = find(platform, artifact, query)
    if not found:
        raise not_found(
            f"no such statistics of {artifact.kind.replace('_', ' ')} {artifact.name!r} version {artifact.version}; "
            "compute them with compute_statistics()",
            STATISTICS_NOT_FOUND,
        )
    return found


def _features(platform: Platform, kept: Entity, names: tuple[str, ...] = ()) -> list[Entity]:
    entities = platform.catalog.find(kept.project_id, FEATURE, parent_id=kept.id)
    return [entity for entity in entities if not names or entity.name in names]


def document(platform: Platform, kept: Entity, feature_names: tuple[str, ...] = (), with_content: bool = True) -> Json:
    """Return statistics as the REST API writes them."""
    body = {key: value for key, value in kept.body.items() if key != "splits"}
    result: Json = {"id": kept.id, **body}
    owner = platform.catalog.get(kept.parent_id)
    if owner is not None and owner.kind == "feature_group":
        result["featureGroupId"] = owner.id
    if not with_content:
        return result
    features = _features(platform, kept, feature_names)
    result["featureDescriptiveStatistics"] = [feature_document(e) for e in features if e.version == 0] or None
    if kept.body["splits"]:
        result["splitStatistics"] = [
            {
                "name": name,
                "featureDescriptiveStatistics": [feature_document(e) for e in features if e.version == split],
            }
            for split, name in enumerate(kept.body["splits"], start=1)
        ]
    return result


def feature_document(entity: Entity) -> Json:
    """Return the statistics of one feature as the REST API writes them."""
    return {"id": entity.id, "featureName": entity.name, **entity.body}


def features(platform: Platform, kept: Entity) -> list[Json]:
    """Return the statistics of every feature of the whole (not of a split)."""
    return [feature_document(entity) for entity in _features(platform, kept) if entity.version == 0]
