"""Linked data from OpenStreetMap extracts: every tagged thing that an extract holds whole."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyoxigraph as ox
import shapely

from deepcube.semantics import vocabulary as v
from deepcube.semantics.feature_triples import geometry_triples

_NODE = ox.NamedNode
_LINEAR = frozenset({"highway", "railway", "waterway", "barrier"})
_AREAS = ("multipolygon", "boundary")
_SETTLEMENTS = frozenset(
    [
        "city",
        "town",
        "village",
        "hamlet",
        "isolated_dwelling",
        "farm",
        "allotments",
        "borough",
        "suburb",
        "quarter",
        "neighbourhood",
    ]
)
_TRACKS = frozenset(
    ["rail", "light_rail", "subway", "tram", "narrow_gauge", "monorail", "funicular", "miniature", "preserved"]
)
KINDS: tuple[tuple[str, frozenset[str] | None, str], ...] = (
    ("amenity", frozenset({"hospital"}), "Hospital"),
    ("amenity", frozenset({"school"}), "School"),
    ("highway", None, "Road"),
    ("railway", _TRACKS, "Railway"),
    ("place", _SETTLEMENTS, "Settlement"),
    ("building", None, "Building"),
    ("natural", None, "NaturalFeature"),
    ("landuse", None, "LandUse"),
    ("boundary", frozenset({"administrative"}), "AdministrativeArea"),
)
"""Key, values (None for all) and the type ``feature:...`` of things tagged so."""

CUT_OFF = {
    "line": "lines (open ways, roads, railways) some of whose nodes the extract lacks",
    "area": "areas (closed ways) some of whose nodes the extract lacks, or that are no valid polygon",
    "relation": "areas (multipolygon and boundary relations) some of whose ways or nodes the extract lacks",
    "other": "relations of other types, such as routes, which have no geometry of their own",
}
"""Why tagged things are left out."""


def osm_triples(path: Path, left_out: Counter[str]) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the triples of the tagged things of an extract.

    Roads, railways, waterways and barriers are lines even where they are closed; every other closed way is an area.

    Parameters
    ----------
    path : pathlib.Path
        ``.osm.pbf`` or ``.osm``.
    left_out : collections.Counter
        Counts, by :data:`CUT_OFF`, the tagged things of which the extract holds a part only: their geometry would be a
        guess.
    """
    import osmium

    factory = osmium.geom.WKBFactory()
    things: Any = osmium.FileProcessor(str(path)).with_areas().with_filter(osmium.filter.EmptyTagFilter())
    awaited: set[tuple[str, int]] = set()
    for item in things:
        tags = {tag.k: tag.v for tag in item.tags}
        linear = bool(_LINEAR & set(tags)) or tags.get("area") == "no"
        if item.is_relation():
            if tags.get("type") in _AREAS:
                awaited.add(("relation", item.id))
            else:
                left_out[CUT_OFF["other"]] += 1
        elif item.is_node():
            yield from _thing(f"node/{item.id}", tags, factory.create_point(item))
        elif item.is_area():
            local = ("way" if item.from_way() else "relation", item.orig_id())
            if local in awaited:
                awaited.discard(local)
                yield from _thing(f"{local[0]}/{local[1]}", tags, factory.create_multipolygon(item))
        elif item.is_closed() and not linear:
            awaited.add(("way", item.id))  # comes again as an area
        else:
            try:
                line = factory.create_linestring(item)
            except (RuntimeError, osmium.InvalidLocationError):
                left_out[CUT_OFF["line"]] += 1
                continue
            yield from _thing(f"way/{item.id}", tags, line)
    for kind, _ in awaited:
        left_out[CUT_OFF["area" if kind == "way" else "relation"]] += 1


def _thing(local: str, tags: Mapping[str, str], shape: str) -> Iterator[tuple[Any, Any, Any]]:
    iri = f"https://www.openstreetmap.org/{local}"
    subject = _NODE(iri)
    yield subject, _NODE(v.A), _NODE(v.GEO + "Feature")
    for key, values, kind in KINDS:
        if key in tags and (values is None or tags[key] in values):
            yield subject, _NODE(v.A), _NODE(v.FEATURE + kind)
    if "name" in tags:
        yield subject, _NODE(v.RDFS + "label"), ox.Literal(tags["name"])
    for key, value in tags.items():
        if re.fullmatch(r"[\w:.-]+", key):
            yield subject, _NODE(v.OSM_KEY + key), ox.Literal(value)
    yield from geometry_triples(subject, iri, shapely.from_wkb(shape))
