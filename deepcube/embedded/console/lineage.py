"""Lineage: what an artifact comes from and what came of it, as a graph that can be followed by its links."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from deepcube.embedded.console.pages import Page
from deepcube.embedded.errors import ApiError

LEVELS = 5
_BOX_WIDTH, _BOX_HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 176, 46, 44, 16, 8
_MAX_TITLE = 21
_KINDS = {
    "FEATURE_GROUP": "Feature group",
    "EXTERNAL_FEATURE_GROUP": "External feature group",
    "FEATURE_VIEW": "Feature view",
    "TRAINING_DATASET": "Training dataset",
    "MODEL": "Model",
    "STORAGE_CONNECTOR": "Connector",
    "SOURCE": "Source",
    "DEPLOYMENT": "Deployment",
    "JOB": "Job",
}


@dataclass(frozen=True)
class Node:
    """An artifact of a lineage graph.

    Attributes
    ----------
    kind : str
        As the REST API names it, e.g. ``FEATURE_VIEW``.
    name : str
        Its name.
    version : int or None
        Its version.
    href : str
        Page of the console; empty if it has none (deleted, or of another project).
    note : str
        ``deleted`` or ``not accessible``; empty otherwise, as for a source outside the platform.
    """

    kind: str
    name: str
    version: int | None
    href: str = ""
    note: str = ""

    @property
    def title(self) -> str:
        """Name as it fits into a box."""
        return self.name if len(self.name) <= _MAX_TITLE else f"{self.name[: _MAX_TITLE - 1]}…"

    @property
    def subtitle(self) -> str:
        """Kind, version and note."""
        kind = _KINDS.get(self.kind, self.kind.replace("_", " ").capitalize())
        version = f" {self.version}" if self.version is not None else ""
        return f"{kind}{version}{f', {self.note}' if self.note else ''}"


@dataclass(frozen=True)
class Box:
    """A node with its place in the drawing."""

    node: Node
    x: int
    y: int
    is_center: bool


@dataclass(frozen=True)
class Drawing:
    """A lineage graph laid out from left (sources) to right.

    Attributes
    ----------
    width, height : int
        Of the drawing.
    box_width, box_height : int
        Of every box.
    boxes : tuple of Box
        The nodes.
    arrows : tuple of str
        SVG path data.
    relations : tuple of (Node, Node)
        What each arrow says: the second was made from the first.
    """

    width: int
    height: int
    box_width: int
    box_height: int
    boxes: tuple[Box, ...]
    arrows: tuple[str, ...]
    relations: tuple[tuple[Node, Node], ...]


def lineage(page: Page, *artifact: object) -> Drawing | None:
    """Return the lineage of an artifact, or None if the platform does not tell it.

    Parameters
    ----------
    page : Page
        The page.
    *artifact : object
        Segments of the artifact's path below the project.
    """
    try:
        document = page.get(
            *artifact,
            "provenance",
            "links",
            expand="provenance_artifacts",
            upstreamLvls=LEVELS,
            downstreamLvls=LEVELS,
        )
    except ApiError:
        return None
    return draw(read_links(document, page.base))


@dataclass(frozen=True)
class Graph:
    """Artifacts and which was made from which.

    Attributes
    ----------
    center : Node
        The artifact asked for.
    relations : tuple of (Node, Node)
        The second was made from the first.
    """

    center: Node
    relations: tuple[tuple[Node, Node], ...]


def read_links(document: dict[str, Any], base: str) -> Graph:
    """Read the answer of ``.../provenance/links``.

    Parameters
    ----------
    document : dict
        ``{"node": ..., "upstream": [...], "downstream": [...]}``, links in links.
    base : str
        Address of the project's pages.
    """
    relations = dict.fromkeys(_relations(document, base))
    return Graph(_node(document["node"], base), tuple(relations))


def _relations(link: dict[str, Any], base: str) -> Iterator[tuple[Node, Node]]:
    node = _node(link["node"], base)
    for before in link.get("upstream") or []:
        yield _node(before["node"], base), node
        yield from _relations(before, base)
    for after in link.get("downstream") or []:
        yield node, _node(after["node"], base)
        yield from _relations(after, base)


def _node(document: dict[str, Any], base: str) -> Node:
    artifact = document.get("artifact") or {}
    kind, name, version = str(document.get("artifactType")), str(artifact.get("name")), artifact.get("version")
    if kind == "DEPLOYMENT":
        version = None  # it says which version of its settings this is, not which deployment
    if document.get("accessible", True):
        return Node(kind, name, version, _href(kind, artifact, base))
    note = "deleted" if document.get("deleted") else "" if kind == "SOURCE" else "not accessible"
    return Node(kind, name, version, note=note)


def _href(kind: str, artifact: dict[str, Any], base: str) -> str:
    name = quote(str(artifact.get("name")), safe="")
    if kind in ("FEATURE_GROUP", "EXTERNAL_FEATURE_GROUP") and artifact.get("id") is not None:
        return f"{base}/features/groups/{artifact['id']}"
    if kind == "FEATURE_VIEW":
        return f"{base}/features/views/{name}/{artifact.get('version')}"
    if kind == "TRAINING_DATASET" and artifact.get("featureViewName"):
        view = quote(str(artifact["featureViewName"]), safe="")
        return f"{base}/features/views/{view}/{artifact.get('featureViewVersion')}"
    if kind == "DEPLOYMENT" and artifact.get("id") is not None:
        return f"{base}/deployments/{artifact['id']}"
    if kind == "MODEL":
        return f"{base}/models/{name}?version={artifact.get('version')}"
    return ""


def draw(graph: Graph) -> Drawing:
    """Lay a graph out: a node stands right of everything that it was made from."""
    nodes = dict.fromkeys([graph.center, *(node for relation in graph.relations for node in relation)])
    columns: dict[int, list[Node]] = {}
    for node, column in _columns(list(nodes), graph.relations).items():
        columns.setdefault(column, []).append(node)
    _untangle(columns, graph.relations)
    tallest = max(len(column) for column in columns.values())
    height = 2 * _MARGIN + tallest * (_BOX_HEIGHT + _GAP_Y) - _GAP_Y
    places: dict[Node, tuple[int, int]] = {}
    for column, members in columns.items():
        top = (height - len(members) * (_BOX_HEIGHT + _GAP_Y) + _GAP_Y) // 2
        for row, node in enumerate(members):
            places[node] = (_MARGIN + column * (_BOX_WIDTH + _GAP_X), top + row * (_BOX_HEIGHT + _GAP_Y))
    width = 2 * _MARGIN + (max(columns) + 1) * (_BOX_WIDTH + _GAP_X) - _GAP_X
    boxes = tuple(Box(node, x, y, node == graph.center) for node, (x, y) in places.items())
    arrows = tuple(_arrow(places[before], places[after]) for before, after in graph.relations)
    return Drawing(width, height, _BOX_WIDTH, _BOX_HEIGHT, boxes, arrows, graph.relations)


def _columns(nodes: list[Node], relations: Iterable[tuple[Node, Node]]) -> dict[Node, int]:
    """Return the length of the longest way from a source to each node (a cycle, which cannot be, is cut)."""
    columns = dict.fromkeys(nodes, 0)
    known = list(relations)
    for _ in nodes:
        changed = False
        for before, after in known:
            if columns[after] <= columns[before] < len(nodes):
                columns[after] = columns[before] + 1
                changed = True
        if not changed:
            break
    return columns


def _untangle(columns: dict[int, list[Node]], relations: Iterable[tuple[Node, Node]]) -> None:
    """Order each column by the mean place of what its nodes were made from, so that few arrows cross."""
    sources: dict[Node, list[Node]] = {}
    for before, after in relations:
        sources.setdefault(after, []).append(before)
    rows: dict[Node, float] = {}
    for column in sorted(columns):
        members = columns[column]
        means = {
            node: sum(rows.get(source, 0.0) for source in sources[node]) / len(sources[node])
            if node in sources
            else float(position)
            for position, node in enumerate(members)
        }
        members.sort(key=lambda node: means[node])
        rows |= {node: float(position) for position, node in enumerate(members)}


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x0, y0 = start[0] + _BOX_WIDTH, start[1] + _BOX_HEIGHT // 2
    x1, y1 = end[0] - 6, end[1] + _BOX_HEIGHT // 2
    bend = max((x1 - x0) // 2, 12)
    return f"M{x0} {y0}C{x0 + bend} {y0} {x1 - bend} {y1} {x1} {y1}"
