"""Prepared statements with which the client looks feature vectors up in the online store.

One statement for the root of a view and one for each query joined to it; what is joined further down is joined in the
statement itself, since its key is a feature that the lookup finds.
"""

from __future__ import annotations

from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.query.predicates import Column
from deepcube.embedded.query.resolve import CROSS, FULL, RIGHT, SEMI, Node, resolve
from deepcube.embedded.query.sql import MYSQL, online_table
from deepcube.embedded.store import groups

Json = dict[str, Any]

FEATURES, HELPERS, BOTH, LOGGING = "features", "helpers", "both", "logging"


def statements(platform: Platform, project: Project, view: Entity, wanted: str, batch: bool) -> list[Json]:
    """Return the prepared statements of a view.

    Parameters
    ----------
    platform, project : Platform, Project
        Where the view is.
    view : Entity
        The feature view.
    wanted : str
        ``FEATURES``, ``HELPERS`` (inference helper columns), ``BOTH``, or ``LOGGING``: both, and the root's event time.
    batch : bool
        For a list of keys instead of one.

    Raises
    ------
    ApiError
        400 if a feature group has no online copy; 404 if one is gone.
    """
    root = resolve(platform, project, view.body["query"]).root
    columns = {(c["source"], c["featureGroupFeatureName"]): c for c in view.body["features"]}
    found = []
    for index, node in enumerate([_alone(root), *(join.node for join in root.joins if join.kind != SEMI)]):
        prefix = root.joins[index - 1].prefix if index else ""
        selected = _selected(node, columns, wanted)
        if wanted == LOGGING and index == 0 and (time := node.source.event_time) is not None:
            selected.setdefault(time.name, time)
        if selected:
            found.append(_statement(node, selected, index, prefix, batch))
    return found


def _alone(root: Node) -> Node:
    return Node(root.source, root.outputs)


def _selected(node: Node, columns: dict[tuple[str, str], Json], wanted: str) -> dict[str, Column]:
    """Return, by output name, the columns of a node and of what is joined to it that a statement gives.

    Labels and training helpers are not known when one predicts; on-demand features are computed then.
    """
    selected: dict[str, Column] = {}
    for part in node.walk():
        for output in part.outputs:
            column = columns[output.column.source, output.column.name]
            helper = column["inferenceHelperColumn"]
            if column["label"] or column["trainingHelperColumn"] or column["onDemand"]:
                continue
            if wanted in (BOTH, LOGGING) or helper == (wanted == HELPERS):
                selected[output.name] = output.column
    return selected


def _statement(node: Node, selected: dict[str, Column], index: int, prefix: str, batch: bool) -> Json:
    keys = groups.primary_key(node.source.body)
    alias = node.source.alias
    if batch:  # the client finds a key's row by the key's columns
        keyed = {prefix + key: Column(alias, key, "") for key in keys}
        selected = {**keyed, **selected}
        places = ", ".join(MYSQL.column(Column(alias, key, "")) for key in keys)
        where = f"({places}) IN ?"
    else:
        where = " AND ".join(f"{MYSQL.column(Column(alias, key, ''))} = ?" for key in keys)
    chosen = ", ".join(f"{MYSQL.column(column)} AS {MYSQL.name(name)}" for name, column in selected.items())
    return {
        "featureGroupId": node.source.group.id,
        "preparedStatementIndex": index,
        "preparedStatementParameters": [{"name": key, "index": place} for place, key in enumerate(keys, start=1)],
        "queryOnline": f"SELECT {chosen}\nFROM {_from(node)}\nWHERE {where}",
        "prefix": prefix,
    }


def _from(node: Node) -> str:
    text = ""
    for part in node.walk():
        group = part.source.group
        if not group.body.get("onlineEnabled"):
            raise bad_request(
                f"feature group {group.name!r} version {group.version} has no online copy; create it with "
                "online_enabled=True to look feature vectors up"
            )
    text = f"{online_table(node.source)} AS {MYSQL.name(node.source.alias)}"
    for join in [below for part in node.walk() for below in part.joins]:
        if join.kind in (RIGHT, FULL, CROSS, SEMI):
            raise bad_request(
                f"feature vectors cannot be looked up through a nested {join.kind} join; use left or inner"
            )
        on = " AND ".join(f"{MYSQL.column(left)} = {MYSQL.column(right)}" for left, right in join.keys)
        text += f"\n{join.kind} JOIN {online_table(join.node.source)} AS {MYSQL.name(join.node.source.alias)} ON {on}"
    return text
