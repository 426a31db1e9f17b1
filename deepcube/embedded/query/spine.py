"""Reads that are anchored on the caller's own rows (``spine_df``) instead of a view's root feature group.

Each row of the frame is an entity at a moment. The result has exactly these rows, in their order: columns that the
frame carries are the frame's, every other feature is the newest one of its group at or before that moment, the root's
too. What cannot be looked up, because the frame lacks the key, is missing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import QUERY_FAILED, bad_request
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.query.predicates import Column, Predicate, columns, conjuncts
from deepcube.embedded.query.resolve import FULL, LEFT, RIGHT, Join, Node, Output, Query, Source
from deepcube.embedded.store import groups
from deepcube.embedded.store.features import EXTERNAL
from deepcube.embedded.store.types import arrow_type

Json = dict[str, Any]

ALIAS = "spine"
FOLDER = "Resources/.hopsworks_spine"
MAX_COLUMNS = 256
_FILE = re.compile(r"[0-9a-f]{32}\.parquet")
_ROW = "__hopsworks_spine_row_id"


def anchored(platform: Platform, project: Project, query: Query, document: Json) -> Query:
    """Return a query that is anchored on the rows that the client has uploaded.

    Parameters
    ----------
    platform, project : Platform, Project
        Where the rows are.
    query : Query
        The query of the view.
    document : dict
        The client's description of the frame: columns, event time, file, view.

    Raises
    ------
    ApiError
        400 if the frame does not fit the query, 404 if its file is gone.
    """
    source = _source(platform, project, document)
    supplied = {feature["name"] for feature in source.body["features"]}
    time = source.column(str(document.get("eventTimeColumn")))
    if time is None:
        raise bad_request(f"the spine has no event time column {document.get('eventTimeColumn')!r}", QUERY_FAILED)
    root = query.root
    lookups = _Lookups(source, root.source, supplied, time, _max_age(platform, project, document))
    joins = [lookups.root(root), *(lookups.join(join) for join in root.joins)]
    outputs = [replace(output, column=lookups.column(output.column)) for output in query.outputs]
    taken = {output.name for output in outputs}
    passed = [column["name"] for column in document["columns"] if column.get("passthrough")]
    for name in passed:
        column = source.column(name)
        assert column is not None
        if name in taken:
            raise bad_request(f"column {name!r} of the spine is a feature of the view; drop it from spine_df")
        outputs.append(Output(name, column, {"name": name}))
    return Query(Node(source, (), tuple(joins)), tuple(outputs), query.limit)


class _Lookups:
    """Turns the joins of a view into lookups for the rows of a spine.

    Parameters
    ----------
    spine, root : Source
        The spine, and the group that it stands in for.
    supplied : set of str
        Columns of the spine.
    time : Column
        Its event time.
    max_age_ms : int or None
        How old a found row may be.
    """

    def __init__(self, spine: Source, root: Source, supplied: set[str], time: Column, max_age_ms: int | None) -> None:
        self._spine = spine
        self._root = root
        self._supplied = supplied
        self._time = time
        self._max_age_ms = max_age_ms
        keys = groups.primary_key(root.body)
        self._found = bool(keys) and supplied >= set(keys)

    def column(self, column: Column) -> Column:
        """Return where a column's values come from: the spine has precedence over the root."""
        if column.source == self._root.alias and column.name in self._supplied:
            return replace(column, source=ALIAS)
        return column

    def root(self, node: Node) -> Join:
        """Return the lookup of the root's own features."""
        for part in conjuncts(node.filter):
            self._check(part)
        keys = tuple((Column(ALIAS, name, kind), Column(self._root.alias, name, kind)) for name, kind in self._keys())
        alone = Node(node.source, (), (), node.filter)
        return Join(alone, LEFT, keys, "", self._time, max_age_ms=self._max_age_ms, skipped=not self._found)

    def _keys(self) -> list[tuple[str, str]]:
        body = self._root.body
        return [(f["name"], f["type"]) for f in body["features"] if f["primary"]]

    def _check(self, part: Predicate) -> None:
        outside = [c.name for c in columns(part) if c.source != self._root.alias or c.name in self._supplied]
        if outside:
            raise bad_request(
                f"the filter names {', '.join(outside)}, which the rows of spine_df decide; filter the frame, or the "
                "query that is joined",
                QUERY_FAILED,
            )

    def join(self, join: Join) -> Join:
        """Return the lookup of a joined group: every row of the spine stays, whatever is found."""
        if join.kind in (RIGHT, FULL):
            raise bad_request("a view with a right or full join cannot be read with spine_df", QUERY_FAILED)
        keys = tuple((self.column(left), right) for left, right in join.keys)
        lost = any(left.source == self._root.alias for left, _ in keys) and not self._found
        return replace(self._again(join), kind=LEFT, keys=keys, skipped=lost)

    def _again(self, join: Join) -> Join:
        """Anchor a join, and those inside it, on the spine's times."""
        timed = join.node.source.event_time is not None
        inner = tuple(self._again(below) for below in join.node.joins)
        return replace(
            join,
            node=replace(join.node, joins=inner),
            as_of=self._time if timed else None,
            max_age_ms=self._max_age_ms if timed else None,
        )


def _source(platform: Platform, project: Project, document: Json) -> Source:
    """Return the spine as a source: a group that exists for this query only."""
    carried = [column for column in document.get("columns") or [] if column.get("name") != _ROW]
    if not carried or len(carried) > MAX_COLUMNS:
        raise bad_request(f"a spine has 1 to {MAX_COLUMNS} columns, found {len(carried)}", QUERY_FAILED)
    flags = dict.fromkeys(("primary", "foreign", "partition", "hudiPrecombineKey", "offlineOnly", "onDemand"), False)
    for column in carried:
        arrow_type(str(column.get("type")))
    body = {
        "type": EXTERNAL,
        "spine": True,
        "eventTime": document.get("eventTimeColumn"),
        "features": [{"name": str(column.get("name")), "type": column["type"], **flags} for column in carried],
    }
    entity = Entity(0, project.id, "spine", 0, "spine_df", 0, 0, body)
    return Source(ALIAS, entity, project, file=_place(platform, project, document.get("parquetBasename")))


def _place(platform: Platform, project: Project, name: Any) -> Path | None:
    if name is None:
        return None  # the client asks for the query's text before it uploads the rows
    if not isinstance(name, str) or not _FILE.fullmatch(name):
        raise bad_request(f"{name!r} is not the file of a spine", QUERY_FAILED)
    return platform.files.existing(project.name, f"{FOLDER}/{name}")


def _max_age(platform: Platform, project: Project, document: Json) -> int | None:
    """Return how old a found row may be, which the view says and not the caller."""
    name, version = document.get("featureViewName"), document.get("featureViewVersion")
    view = platform.catalog.first(project.id, "feature_view", name=name, version=version) if name else None
    seconds = view.body.get("maxFeatureAgeSecs") if view is not None else None
    return None if seconds is None else int(seconds) * 1000
