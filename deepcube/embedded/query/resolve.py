"""From the client's query document to a checked tree: groups that exist, columns that they have, keys that fit.

The rules that Hopsworks leaves open are decided here, once, for every engine:

* a join without keys uses the primary keys that both groups have, or else the right group's primary key where the left
  group has features of those names;
* a join key of the same name on both sides appears once, unless the join has a prefix;
* where names would clash without a prefix, the right group's features get ``<group>_<version>_``;
* a filter of a joined query acts on that query's rows before they are joined.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import QUERY_FAILED, bad_request
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.query.predicates import Column, Predicate, logic
from deepcube.embedded.query.shape import check_query
from deepcube.embedded.store import groups

Json = dict[str, Any]

INNER, LEFT, RIGHT, FULL, CROSS, SEMI = "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "SEMI"
_TYPES = {
    "INNER": INNER,
    "LEFT": LEFT,
    "RIGHT": RIGHT,
    "FULL": FULL,
    "OUTER": FULL,
    "CROSS": CROSS,
    "COMMA": CROSS,
    "LEFT_SEMI_JOIN": SEMI,
}
MAX_JOINS = 64


@dataclass(frozen=True)
class Output:
    """A column of the result.

    Attributes
    ----------
    name : str
        Name in the result.
    column : Column
        Where it comes from.
    feature : dict
        The feature as the client names it.
    """

    name: str
    column: Column
    feature: Json


@dataclass(frozen=True)
class Source:
    """A feature group in a query.

    Attributes
    ----------
    alias : str
        ``fg0``, ``fg1``, ... in the order of the query.
    group : Entity
        The feature group.
    project : Project
        Project that owns it.
    since_ms, until_ms : int or None
        Only what changed after, or the state at, these times (milliseconds since the epoch).
    file : Path or None
        Parquet file with the rows, where they are the caller's and not those of a feature group.
    """

    alias: str
    group: Entity
    project: Project
    since_ms: int | None = None
    until_ms: int | None = None
    file: Path | None = None

    @property
    def body(self) -> Json:
        """The group's document."""
        return self.group.body

    def column(self, name: str) -> Column | None:
        """Return a column by name, or None."""
        for feature in self.body["features"]:
            if feature["name"] == name:
                return Column(self.alias, name, feature["type"])
        return None

    @property
    def event_time(self) -> Column | None:
        """The event time column, if the group has one."""
        name = groups.event_time(self.body)
        return None if name is None else self.column(name)


@dataclass(frozen=True)
class Join:
    """A joined query.

    Attributes
    ----------
    node : Node
        What is joined.
    kind : str
        ``INNER``, ``LEFT``, ``RIGHT``, ``FULL``, ``CROSS`` or ``SEMI``.
    keys : tuple of (Column, Column)
        Left and right key columns.
    prefix : str
        Put before the names of the joined query's features.
    as_of : Column or None
        Event time of the rows that the join is a point-in-time join for; None for an ordinary join.
    max_age_ms : int or None
        How much older than that time a match may be.
    skipped : bool
        Whether nothing can be matched, since the keys are not known.
    """

    node: Node
    kind: str
    keys: tuple[tuple[Column, Column], ...]
    prefix: str
    as_of: Column | None
    max_age_ms: int | None = None
    skipped: bool = False


@dataclass(frozen=True)
class Node:
    """A query: a source, what is selected and joined, and which of its rows count."""

    source: Source
    outputs: tuple[Output, ...]
    joins: tuple[Join, ...] = ()
    filter: Predicate | None = None

    def walk(self) -> Iterator[Node]:
        """Yield this query and those below it, in the order of their aliases."""
        yield self
        for join in self.joins:
            yield from join.node.walk()

    @property
    def all_joins(self) -> Iterator[Join]:
        """All joins, those of joined queries after the one that joins them."""
        for join in self.joins:
            yield join
            yield from join.node.all_joins


@dataclass(frozen=True)
class Query:
    """A whole query.

    Attributes
    ----------
    root : Node
        The tree.
    outputs : tuple of Output
        Columns of the result, in order.
    limit : int or None
        Greatest number of rows.
    """

    root: Node
    outputs: tuple[Output, ...]
    limit: int | None

    @property
    def sources(self) -> dict[str, Source]:
        """All sources by alias."""
        return {node.source.alias: node.source for node in self.root.walk()}

    @property
    def point_in_time(self) -> bool:
        """Whether any join is a point-in-time join."""
        return any(join.as_of is not None for join in self.root.all_joins)


@dataclass
class _Scope:
    """What is being resolved: the platform and the sources named so far."""

    platform: Platform
    project: Project
    sources: list[Source] = field(default_factory=list)

    def add(self, document: Json) -> Source:
        identifier = (document.get("leftFeatureGroup") or {}).get("id")
        if not isinstance(identifier, int):
            raise bad_request("a query needs a saved feature group; save it, or get it by name", QUERY_FAILED)
        if len(self.sources) > MAX_JOINS:
            raise bad_request(f"a query can join at most {MAX_JOINS} feature groups", QUERY_FAILED)
        group = groups.find_group(self.platform, self.project, identifier)
        owner = self.platform.project(group.project_id)
        since, until = document.get("leftFeatureGroupStartTime"), document.get("leftFeatureGroupEndTime")
        source = Source(f"fg{len(self.sources)}", group, owner, _time(since), _time(until))
        self.sources.append(source)
        return source

    def locate(self, feature: Json, near: Source | None) -> Column:
        """Find the column that a filter's feature means; without a group's id, the nearest group that has it."""
        name, group_id = feature.get("name"), feature.get("featureGroupId")
        candidates = [source for source in self.sources if group_id in (None, source.group.id)]
        if near is not None and near in candidates:
            candidates = [near, *candidates]
        for source in candidates:
            column = source.column(str(name))
            if column is not None:
                return column
        raise bad_request(f"the filter names feature {name!r}, which no feature group of the query has", QUERY_FAILED)


def resolve(platform: Platform, project: Project, document: Json) -> Query:
    """Check a query document and turn it into a tree.

    Parameters
    ----------
    platform, project : Platform, Project
        Who asks.
    document : dict
        The client's query.

    Raises
    ------
    ApiError
        404 if a feature group is missing, 400 if the document is not a valid query.
    """
    check_query(document)
    scope = _Scope(platform, project)
    root = _node(scope, document, None)
    limit = document.get("limit")
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise bad_request(f"the limit of a query must be a whole number of rows, found {limit!r}", QUERY_FAILED)
    outputs = [output for node in root.walk() for output in node.outputs]
    if not outputs:
        raise bad_request("the query selects no feature", QUERY_FAILED)
    return Query(root, tuple(outputs), limit)


def _node(
    scope: _Scope, document: Json, as_of: Column | None, prefix: str = "", drop: frozenset[str] = frozenset()
) -> Node:
    source = scope.add(document)
    outputs = [
        _output(scope, source, feature, prefix)
        for feature in document.get("leftFeatures") or []
        if feature["name"] not in drop
    ]
    taken = {output.name for output in outputs}
    anchor = as_of or source.event_time
    joins = []
    for join in document.get("joins") or []:
        resolved = _join(scope, source, join, anchor, taken)
        joins.append(resolved)
        taken |= {output.name for node in resolved.node.walk() for output in node.outputs}
    predicate = logic(document.get("filter"), lambda feature: scope.locate(feature, source))
    return Node(source, tuple(outputs), tuple(joins), predicate)


def _output(scope: _Scope, source: Source, feature: Json, prefix: str) -> Output:
    column = source.column(feature["name"])
    if column is None:
        raise bad_request(
            f"feature group {source.group.name!r} version {source.group.version} has no feature {feature['name']!r}",
            QUERY_FAILED,
        )
    if feature.get("useFullyQualifiedName"):
        name = f"{source.project.name}_{source.group.name}_{source.group.version}_{feature['name']}"
    else:
        name = prefix + feature["name"]
    return Output(name, column, feature)


def _join(scope: _Scope, left: Source, document: Json, anchor: Column | None, taken: set[str]) -> Join:
    kind = _TYPES.get(str(document.get("type") or LEFT).upper())
    if kind is None:
        raise bad_request(
            f"unknown join type {document.get('type')!r}; there are inner, left, right, full (outer), cross and "
            "left_semi_join",
            QUERY_FAILED,
        )
    below = document["query"]
    identifier = (below.get("leftFeatureGroup") or {}).get("id")
    right = groups.find_group(scope.platform, scope.project, identifier)
    pairs = [] if kind == CROSS else _key_names(left, right, document)
    prefix, drop = _naming(document.get("prefix"), below, right, pairs, taken)
    own_time = groups.event_time(right.body)
    as_of = anchor if own_time is not None and kind != CROSS else None
    node = _node(scope, below, anchor, prefix, drop)
    if kind == SEMI:
        node = _silent(node)
    keys = tuple((_key(left, a), _key(node.source, b)) for a, b in pairs)
    return Join(node, kind, keys, prefix, as_of)


def _silent(node: Node) -> Node:
    """Return a query that filters but gives no column."""
    joins = tuple(replace(join, node=_silent(join.node)) for join in node.joins)
    return replace(node, outputs=(), joins=joins)


def _key(source: Source, name: str) -> Column:
    column = source.column(name)
    if column is None:
        raise bad_request(
            f"feature group {source.group.name!r} version {source.group.version} has no join key {name!r}", QUERY_FAILED
        )
    return column


def _key_names(left: Source, right: Entity, document: Json) -> list[tuple[str, str]]:
    on, left_on, right_on = (_names(document.get(key)) for key in ("on", "leftOn", "rightOn"))
    if left_on or right_on:
        if len(left_on) != len(right_on):
            raise bad_request(f"a join needs as many left keys as right keys, found {left_on} and {right_on}")
        return list(zip(left_on, right_on, strict=True))
    if not on:
        left_keys, right_keys = groups.primary_key(left.body), groups.primary_key(right.body)
        on = [key for key in left_keys if key in right_keys]
        if not on and right_keys and all(left.column(key) for key in right_keys):
            on = right_keys
    if not on:
        raise bad_request(
            f"feature groups {left.group.name!r} and {right.name!r} have no primary key in common; name the join keys "
            "with on=, or left_on= and right_on=",
            QUERY_FAILED,
        )
    return [(key, key) for key in on]


def _naming(
    prefix: str | None, below: Json, right: Entity, pairs: list[tuple[str, str]], taken: set[str]
) -> tuple[str, frozenset[str]]:
    """Return the prefix of a join and which of its features are left out."""
    if prefix:
        return prefix, frozenset()
    drop = frozenset(b for a, b in pairs if a == b and b in taken)
    names = {f["name"] for f in below.get("leftFeatures") or [] if not f.get("useFullyQualifiedName")} - drop
    return (f"{right.name}_{right.version}_" if names & taken else ""), drop


def _names(features: list[Any] | None) -> list[str]:
    return [feature["name"] if isinstance(feature, dict) else str(feature) for feature in features or []]


def _time(value: Any) -> int | None:
    """Return a time of time travel; 0 means none."""
    if value in (None, 0):
        return None
    if not isinstance(value, int):
        raise bad_request(f"a time of time travel must be milliseconds since the epoch, found {value!r}", QUERY_FAILED)
    return value
